"""The YAML behind a chosen option: its own file, after those that it builds on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fmkit.config import user_file


def chain(
    folders: Sequence[Path], group: str, option: str | None
) -> list[tuple[Path, user_file.ConfigFile]]:
    """The files behind an option, the first to build on first; none where no folder has it.

    Args:
        folders: config folders that hold a folder for each group.
        group: such as `data`, or `experiment`.
        option: the file's name without `.yaml`.
    """
    package = "" if group == "experiment" else group
    todo, found, seen = [option], [], set()
    while todo:
        name = todo.pop()
        if not user_file.is_option(name):
            continue
        for parent in folders:
            path = parent / group / f"{name}.yaml"
            if path in seen or not path.is_file():
                continue
            seen.add(path)
            file = user_file.read_config_file(path, package)
            found.append((path, file))
            todo.extend(bases(group, file))
    return found[::-1]


def bases(group: str, file: user_file.ConfigFile) -> list[str]:
    """The options of the same group that a file's defaults list builds on."""
    beside = [file.choices[group]] if group in file.choices else []
    return [*file.defaults, *beside]
