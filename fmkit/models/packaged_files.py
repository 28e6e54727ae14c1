"""Files that come inside installed packages: found without importing the package, and checked."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fmkit.core.errors import ArtifactError
from fmkit.core.files import sha256_file


def installed_file(
    package: str, name: str, sha256: str, message: str, install: str, reinstall: str
) -> Path:
    """A file of an installed package, checked to the last bit.

    Args:
        package: its top-level module, which is not imported.
        name: the file's path inside it.
        sha256: digest of the file.
        message: the message where it is not installed.
        install: what to do then.
        reinstall: what to run where the file is damaged.

    Raises:
        ArtifactError: it is not installed, or is another file.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = next(
        (Path(folder) / name for folder in folders if (Path(folder) / name).is_file()), None
    )
    if path is None:
        raise ArtifactError(message, install)
    digest = sha256_file(path)
    if digest != sha256:
        raise ArtifactError(
            f"{path} is damaged or has been changed: its SHA-256 is {digest}, not {sha256}.",
            f"Run: {reinstall}",
        )
    return path
