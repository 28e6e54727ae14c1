"""Opening files that came from elsewhere: nothing is waited for that is no file."""

from __future__ import annotations

import os
import stat
from typing import IO


class NotAFile(OSError):
    """A FIFO, a socket, a device or a folder where a file should be.

    Attributes:
        mode: what it is, as `stat` tells it.
    """

    def __init__(self, path: str | bytes, mode: int) -> None:
        super().__init__(f"{path!r} is no regular file")
        self.mode = mode


def opened(path: str | bytes) -> IO[bytes]:
    """A regular file, for reading. A FIFO without a writer would block an ordinary `open`.

    Raises:
        NotAFile: it is something else.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise NotAFile(path, mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
