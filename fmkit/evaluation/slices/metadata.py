"""Columns by which examples are sliced: of the data's table, of another file, or their sizes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from fmkit.core.errors import ConfigError, DataError, join_names, plural, received
from fmkit.core.files import absolute_path
from fmkit.data.examples import Examples
from fmkit.data.formats import tables
from fmkit.data.sources.named_rows import named_rows

Rows = list[tuple[str, Mapping[str, str]]]
"""The name of an example, and the cells of its row."""

_LEAST = 0.5
"""Share of the examples that a file has to name."""


def columns_of(
    config: Any, examples: Examples, names: Sequence[str] | None, file: str | None
) -> dict[str, list[str]]:
    """The values of columns for examples, empty where an example has no row.

    Args:
        config: of the data.
        examples: those that are sliced.
        names: of the columns; None: all of `file` but the one with the names of the examples.
        file: a table with a row per example; None: the data's own.

    Raises:
        ConfigError: there is no such column, or the data has no table.
        DataError: the file cannot be read, or does not name the examples.
    """
    sizes = {
        name: [str(value) for value in values.tolist()]
        for name, values in examples.content.size_columns().items()
    }
    if file is None and {*(names or ())} <= {*sizes}:
        return {name: sizes[name] for name in names or ()}
    rows, key = _rows_of_file(Path(absolute_path(file)), examples) if file else _own_rows(config)
    cells_of = _rows_of_examples(examples.ids, rows)
    available = list(dict.fromkeys(name for _, cells in rows for name in cells if name != key))
    names = names if names is not None else available
    unknown = [name for name in names if name not in available and name not in sizes]
    if unknown:
        raise ConfigError(received("slices", unknown[0], [*available, *sizes]))
    return {
        name: [cells.get(name, "") for cells in cells_of] if name in available else sizes[name]
        for name in names
    }


def _own_rows(config: Any) -> tuple[Rows, str]:
    """The rows of the data's own table, named as its examples are."""
    rows = named_rows(config)
    if rows is None:
        raise ConfigError(
            f"slices: data={config.name} has no table with columns.",
            "Name a table with a row per example: slices_file=FILE",
        )
    return rows, ""


def _rows_of_file(path: Path, examples: Examples) -> tuple[Rows, str]:
    """The rows of a file by the column that names most of the examples, and that column."""
    if not path.is_file():
        raise DataError(f"slices_file: {path} is not a file.")
    cells = [row.cells for row in tables.read(path, [], "", all_columns=True) if row.cells]
    ends = {_parts(name)[-1] for name in examples.ids}
    counts = {
        name: len(ends & {_parts(row.get(name, ""))[-1] for row in cells})
        for name in dict.fromkeys(name for row in cells for name in row)
    }
    key = max(counts, key=lambda name: counts[name], default="")
    if not key or counts[key] < _LEAST * len(ends):
        shown = join_names([repr(name) for name in examples.ids[:3]])
        raise DataError(
            f"slices_file: no column of {path.name} names the examples: it has to have most of "
            f"{plural(len(examples.ids), 'id')}, such as {shown}."
        )
    return [(row.get(key, ""), row) for row in cells], key


def _rows_of_examples(ids: Sequence[str], rows: Rows) -> list[Mapping[str, str]]:
    """The cells of each example: of the row with its id, or with a path of which one ends in the
    other; none where several rows, or other examples, fit as well."""
    by_end: dict[str, list[tuple[tuple[str, ...], Mapping[str, str]]]] = {}
    for name, cells in rows:
        parts = _parts(name)
        by_end.setdefault(parts[-1], []).append((parts, cells))
    ends = Counter(
        own[start:] for name in ids for own in [_parts(name)] for start in range(len(own))
    )
    cells_of: list[Mapping[str, str]] = []
    for name in ids:
        own = _parts(name)
        fitting = {
            parts: cells
            for parts, cells in reversed(by_end.get(own[-1], []))  # of equal rows the first counts
            if own[-len(parts) :] == parts[-len(own) :] and ends[parts[-len(own) :]] == 1
        }
        longest = max(map(len, fitting), default=0)
        best = [cells for parts, cells in fitting.items() if len(parts) == longest]
        cells_of.append(best[0] if len(best) == 1 else {})
    return cells_of


def _parts(path: str) -> tuple[str, ...]:
    """The parts of a path, of Windows too, or of an id."""
    return PurePosixPath(path.replace("\\", "/")).parts or ("",)
