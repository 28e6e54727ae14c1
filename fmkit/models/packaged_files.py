"""Files of weights: inside installed packages, which are not imported, or from the network."""

import contextlib
import importlib.util
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from fmkit.core.errors import ArtifactError, FmkitError
from fmkit.core.files import sha256_file


def installed_file(
    package: str, name: str, sha256: str, message: str, install: str, reinstall: str
) -> Path:
    """A file of an installed package, which is not imported, checked to the last bit.

    Args:
        package: its top-level module.
        name: the file's path inside it.
        sha256: digest of the file.
        message: for a package that is not installed; `install` is what to do then.
        reinstall: what to run where the file is damaged.

    Raises:
        ArtifactError: it is not installed, or is another file.
    """
    spec = importlib.util.find_spec(package)
    folders = (spec and spec.submodule_search_locations) or []
    path = next((path for folder in folders if (path := Path(folder) / name).is_file()), None)
    if path is None:
        raise ArtifactError(message, install)
    digest = sha256_file(path)
    if digest != sha256:
        raise ArtifactError(
            f"{path} is damaged or has been changed: its SHA-256 is {digest}, not {sha256}.",
            f"Run: {reinstall}",
        )
    return path


@contextlib.contextmanager
def fetching(explain: Callable[[Exception], FmkitError]) -> Iterator[None]:
    """Let Keras or KerasHub fetch files; a server that does not answer is given up.

    Args:
        explain: the error that is raised for one that they raised.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10.0)  # seconds to answer
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            yield
    except FmkitError:
        raise
    except Exception as error:  # Keras, KerasHub, kagglehub and h5py raise many kinds here
        raise explain(error) from error
    finally:
        socket.setdefaulttimeout(before)
