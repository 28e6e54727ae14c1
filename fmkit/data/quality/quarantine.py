"""Files that cannot be used are moved beside the data's folder, never deleted, with a way back.

`photos/cats/x.jpg` goes to `quarantine/photos/cats/x.jpg`, and `quarantine/undo.sh` gets a line
that moves it back, written before the file is moved. Nothing that lies elsewhere is touched, no
file is ever replaced, and of a link the link itself is moved.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from fmkit.config.schema.data import (
    DataConfig,
    ImageFolderData,
    ImageTableData,
    PhotosData,
    TextFolderData,
)
from fmkit.core.errors import ConfigError, ResourceError
from fmkit.core.files import absolute_path
from fmkit.data.findings import Finding, printable

NAME = "quarantine"
UNDO = "undo.sh"


def folder_of(config: DataConfig) -> Path:
    """The folder whose files may be moved.

    Raises:
        ConfigError: the data's files belong to a package, or are none.
    """
    if isinstance(config, ImageFolderData | PhotosData | TextFolderData):
        return Path(absolute_path(config.root))
    if isinstance(config, ImageTableData):
        root = config.image_root or os.path.dirname(absolute_path(config.root))  # noqa: PTH120
        return Path(absolute_path(root))
    raise ConfigError(
        f"data.on_bad=quarantine moves files, and data={config.name} has none that are yours.",
        "Leave them out instead: data.on_bad=skip",
    )


def move(found: Sequence[Finding], root: Path) -> dict[str, str]:
    """Move the files of findings out of a folder.

    Args:
        found: those with a path are moved, if it lies in the folder.
        root: the data's folder.

    Returns:
        New path by old path.

    Raises:
        ResourceError: the quarantine cannot be written; what was moved is in its log.
    """
    place = root.parent / NAME
    moved: dict[str, str] = {}
    for each in found:
        if not each.path or not _inside(each.path, root):
            continue
        target = _free(place / root.name / os.path.relpath(each.path, root))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_undo(place / UNDO, each, target)
            Path(each.path).rename(target)
        except OSError as error:
            raise ResourceError(
                f"data.on_bad=quarantine: {printable(each.path)} cannot be moved to "
                f"{printable(str(place))}: {error.strerror}. {len(moved)} files were moved before.",
                "data.on_bad=skip leaves files out where they are.",
            ) from error
        moved[each.path] = str(target)
    return moved


def _inside(path: str, root: Path) -> bool:
    """Whether a file, or a link itself, really lies under a folder."""
    real = os.path.realpath(os.path.dirname(path))  # noqa: PTH120
    return (real + os.sep).startswith(os.path.join(os.path.realpath(root), ""))  # noqa: PTH118


def _free(path: Path) -> Path:
    """A path that nothing has: the one given, or one with a number."""
    number, free = 0, path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free


def _write_undo(log: Path, found: Finding, target: Path) -> None:
    """Add the line that moves a file back; it refuses to replace one that is there by then."""
    begin = "" if log.exists() else "#!/bin/sh\n# Moves every file of this folder back.\n"
    reason = "".join(each if each.isprintable() else "?" for each in f"{found.kind} {found.why}")
    back = f"mv -n -- {shlex.quote(str(target))} {shlex.quote(found.path)}\n"
    with log.open("ab") as stream:
        stream.write(os.fsencode(f"{begin}# {reason.strip()}\n{back}"))
        stream.flush()
        os.fsync(stream.fileno())
