"""Where runs come from: the run whose weights each started from, what came of it, and resumes."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.store.run_index import RunSummary
from fmkit.store.run_table import RunTable

INIT, WEIGHTS = "init", "model.weights"
"""Keys by which a run names another one, the first in the order of precedence."""


@dataclass(frozen=True)
class Link:
    """What a run started from.

    Attributes:
        path: the run's folder, or a file in it.
        key: of the config, that names it.
        parent: that run; None where it is not in the table.
    """

    path: str
    key: str
    parent: RunSummary | None


@dataclass(frozen=True)
class Node:
    """A run in the order of a tree: after its parent, and before what started from it.

    Attributes:
        run: itself.
        depth: runs between it and the first one.
        link: what it started from; None of a run that started from no other one.
        is_last: whether no other run follows that started from the same one.
    """

    run: RunSummary
    depth: int
    link: Link | None
    is_last: bool


RESUMES = {"time": str, "phase": str, "epoch": int, "step": int, "host": str, "fmkit": str}
"""What a status has of a resume: when; in which phase, after how many of its epochs and how many
steps of the run; where, and by which version. Those of 0.6 and before have no phase, epoch, fmkit.
"""


def resumes(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How often a run was stopped and resumed, oldest first; what cannot be read is None."""
    entries = status.get("resumes")
    return [
        {
            key: value if type(value := entry.get(key)) is kind else None
            for key, kind in RESUMES.items()
        }
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict)
    ]


def describe_resume(entry: Mapping[str, Any]) -> str:
    """Where a run went on, such as `step 7 (full, after epoch 1)`."""
    if not entry["step"]:
        return "from the beginning"
    phase = entry["phase"] and f" ({entry['phase']}, after epoch {entry['epoch'] or 0})"
    return f"step {entry['step']}{phase or ''}"


def links(table: RunTable) -> dict[Path, Link]:
    """By folder, the runs that started from another one."""
    columns = table.columns([INIT, WEIGHTS])
    named = {
        run.folder: (key, value)
        for key in (WEIGHTS, INIT)
        for run, value in zip(table.runs, columns[key] or [], strict=bool(columns[key]))
        if isinstance(value, str) and os.sep in value
    }
    if not named:
        return {}
    runs = {os.path.realpath(run.folder): run for run in table.runs}
    result = {}
    for folder, (key, value) in named.items():
        path = os.path.realpath(value)
        parent = runs.get(path) or runs.get(os.path.dirname(path))  # noqa: PTH120
        if parent is not None or key == INIT:
            result[folder] = Link(value, key, parent)
    return result


def tree(table: RunTable, run: Path | None = None) -> Iterator[Node]:
    """Runs that started from another one or that another one started from, as trees, newest first.

    Args:
        table: all runs.
        run: only the tree that this run is in, also where it is alone.
    """
    by_folder = links(table)
    children: dict[Path, list[RunSummary]] = {}
    for one in table.runs:
        link = by_folder.get(one.folder)
        if link is not None and link.parent is not None:
            children.setdefault(link.parent.folder, []).append(one)
    roots = [one for one in table.runs if one.folder in children or one.folder in by_folder]
    if run is not None:
        roots = [one for one in table.runs if one.folder == _first(run, by_folder)]
    else:
        roots = [one for one in roots if _parent(one.folder, by_folder) is None]
    visited: set[Path] = set()
    pending = [(root, 0, True) for root in reversed(roots)]
    while pending:
        one, depth, is_last = pending.pop()
        if one.folder in visited:
            continue
        visited.add(one.folder)
        yield Node(one, depth, by_folder.get(one.folder), is_last)
        # The newest is first in the table; in a tree the oldest comes first, as it was made.
        pending += [
            (child, depth + 1, number == 0)
            for number, child in enumerate(children.get(one.folder, ()))
        ]


def _parent(folder: Path, by_folder: Mapping[Path, Link]) -> RunSummary | None:
    link = by_folder.get(folder)
    return None if link is None else link.parent


def _first(folder: Path, by_folder: Mapping[Path, Link]) -> Path:
    """The first ancestor; of runs whose records name each other, the one that comes up again."""
    visited: set[Path] = set()
    while (parent := _parent(folder, by_folder)) is not None and folder not in visited:
        visited.add(folder)
        folder = parent.folder
    return folder
