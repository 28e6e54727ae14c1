"""Quarantine: unusable files are moved beside the data's folder, never deleted, with a way back.

`photos/cats/x.jpg` goes to `quarantine/photos/cats/x.jpg`, and `quarantine/undo.sh` gets a line
that moves it back, written before the file is moved. Nothing outside the folder is touched, no file
is ever replaced, and of a link the link itself is moved.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmkit.config import registry
from fmkit.core.errors import ConfigError, ResourceError, plural
from fmkit.core.files import absolute_path, matching_paths
from fmkit.data.findings import Finding, printable

NAME = "quarantine"
UNDO = "undo.sh"


def movable_root(config: Any) -> Path:
    """The folder whose files may be moved, by the keys of `data`: its root, or a table's folder.

    Raises:
        ConfigError: the data's files belong to a package, or there are none.
    """
    if not registry.source_entry(config.name).has_user_files:
        raise ConfigError(
            f"data.on_bad=quarantine moves files, and data={config.name} has none that are yours.",
            "Leave them out instead: data.on_bad=skip",
        )
    if image_root := getattr(config, "image_root", None):
        return Path(absolute_path(image_root))
    root = Path(os.path.commonpath(matching_paths(config.root)))
    return root.parent if root.is_file() else root


def move(findings: Sequence[Finding], root: Path) -> dict[str, str]:
    """Move the files of findings out of a folder.

    Args:
        findings: those with a path are moved, if it is in the folder.
        root: the data's folder.

    Returns:
        New path by old path.

    Raises:
        ResourceError: the quarantine cannot be written; what was moved is in its log.
    """
    quarantine = root.parent / NAME
    moved: dict[str, str] = {}
    for finding in findings:
        # Whether the file, or the link itself, really is under the folder.
        real = os.path.realpath(os.path.dirname(finding.path))  # noqa: PTH120
        inside = os.path.join(os.path.realpath(root), "")  # noqa: PTH118
        if not finding.path or not f"{real}{os.sep}".startswith(inside):
            continue
        path = quarantine / root.name / os.path.relpath(finding.path, root)
        target, number = path, 0
        while os.path.lexists(target):
            number += 1
            target = path.with_name(f"{path.name}.{number}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_undo(quarantine / UNDO, finding, target)
            Path(finding.path).rename(target)
        except OSError as error:
            count = plural(len(moved), "file was", "files were")
            raise ResourceError(
                f"data.on_bad=quarantine: {printable(finding.path)} cannot be moved to "
                f"{printable(str(quarantine))}: {error.strerror}. {count} moved before.",
                "data.on_bad=skip leaves files out where they are.",
            ) from error
        moved[finding.path] = str(target)
    return moved


def _write_undo(log: Path, finding: Finding, target: Path) -> None:
    """Add the line that moves a file back; it refuses to replace one that exists by then."""
    begin = "" if log.exists() else "#!/bin/sh\n# Moves every file of this folder back.\n"
    reason = "".join(c if c.isprintable() else "?" for c in f"{finding.kind} {finding.why}")
    back = f"mv -n -- {shlex.quote(str(target))} {shlex.quote(finding.path)}\n"
    with log.open("ab") as stream:
        stream.write(os.fsencode(f"{begin}# {reason.strip()}\n{back}"))
        stream.flush()
        os.fsync(stream.fileno())
