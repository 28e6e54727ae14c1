"""New photos to predict: one file, a folder, or a table with a column of paths."""

from __future__ import annotations

from pathlib import Path

from fmkit.errors import DataError, received

_TABLES = (".csv", ".tsv", ".parquet")


def list_photos(source: Path, path_column: str) -> list[str]:
    """Absolute paths of the photos, in a stable order.

    Args:
        source: a photo, a folder (searched to the bottom), or a `.csv`, `.tsv` or `.parquet` table.
        path_column: the table's column of paths; relative ones start from the table's folder.

    Raises:
        DataError: nothing is there, or it holds no photo.
    """
    from fmkit.data.decode import EXTENSIONS

    if source.is_dir():
        found = sorted(
            each
            for each in source.rglob("*")
            if each.suffix.lower() in EXTENSIONS
            and not each.name.startswith(".")
            and not each.is_dir()
        )
        if not found:
            raise DataError(f"input: {source} holds no photo ({', '.join(sorted(EXTENSIONS))}).")
        return [str(each.absolute()) for each in found]
    if not source.is_file():
        raise DataError(received("input", str(source), "a photo, a folder or a table that exists"))
    if source.suffix.lower() in _TABLES:
        return _from_table(source, path_column)
    return [str(source.absolute())]


def _from_table(source: Path, path_column: str) -> list[str]:
    from fmkit.data.table_file import read_columns

    paths = read_columns(source, [path_column], "Name it: path_column=NAME")[path_column]
    if not paths:
        raise DataError(f"input: {source} has no row.")
    return [str((source.parent / each).absolute()) for each in paths]
