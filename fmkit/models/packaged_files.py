"""Files of weights: inside installed packages, which are not imported, or from the network."""

import contextlib
import importlib.util
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from fmkit.core.errors import ArtifactError, FmkitError, causes
from fmkit.core.files import sha256_file

_NO_NETWORK = {
    *("ConnectionError", "ConnectError", "ConnectTimeout", "Timeout", "TimeoutException"),
    *("TimeoutError", "TransportError", "URLError", "gaierror", "LocalEntryNotFoundError"),
}
"""Errors of the libraries that fetch files (urllib, urllib3, requests, httpx, huggingface_hub), by
the names of their classes or base classes: none of them is imported here."""


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


def why_not_fetched(error: Exception) -> tuple[str, str]:
    """Why a file could not be fetched, in words and not in those of the library that tried it.

    The second is what to do; empty where another way to the file is.
    """
    chain = [*causes(error)]
    for cause in chain:
        response = getattr(cause, "response", None)
        status = getattr(response, "status_code", None) or getattr(cause, "code", None)
        if status in (401, 403):
            return (
                "the server wants permission, or does not have it",
                "Check the name, accept the terms on its page, and name a token of yours: "
                "HF_TOKEN=... for Hugging Face, KAGGLE_API_TOKEN=... for Kaggle.",
            )
        if status == 404:
            return "the server does not have it", "Check the name: fmkit models WORD lists presets."
        if isinstance(status, int) and status >= 400:
            return f"the server refuses (HTTP status {status})", "Try again later."
    names = {base.__name__ for cause in chain for base in type(cause).__mro__}
    if names & _NO_NETWORK:
        return "there is no network connection to the server", ""
    reason = next((line for line in str(error).splitlines() if line.strip()), repr(error))
    return reason.strip().removesuffix("."), ""


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
