"""A disk that is full, without one."""

import contextlib
import resource


@contextlib.contextmanager
def largest_file(size):
    """No file may grow beyond so many bytes: what the kernel does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
