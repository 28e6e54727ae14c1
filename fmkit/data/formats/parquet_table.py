"""Parquet files, read in batches of rows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fmkit.config.saved_config import shell_setting
from fmkit.core.errors import join_names
from fmkit.core.sanitize import escape_invisible
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.cells import cell_text
from fmkit.data.formats.delimited import ColumnError, Row, check_columns
from fmkit.data.formats.text_files import BadEncoding, open_input

PARQUET = (".parquet", ".pq")
"""How names of parquet files end."""

_BATCH_ROWS = 1024  # rows that are decoded together, at most
_BATCH_BYTES = 2**22  # approximate bytes of one column's cells that are decoded together
_BUFFER = 2**20  # bytes of a file that are read together
_MAX_NAMES = 100_000  # classes or tags


class ParquetTable:
    """A parquet file, read in batches of rows; `UnusableInput` where it cannot be read.

    Attributes:
        names: of its columns.
        class_names: by column, the names of the numbers in it, as `datasets` writes them.
        row_count: rows of the file.
        photo_columns: those of `{"bytes": ..., "path": ...}`, as `datasets` writes photos.
    """

    def __init__(self, path: str) -> None:
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        stream = open_input(path)
        try:
            self._file = parquet.ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False)
            self._schema = self._file.schema_arrow
        except (arrow.ArrowException, OSError) as error:
            stream.close()
            raise _parquet_error(error) from None
        self.names = list(self._schema.names)
        self.class_names = _class_names(dict(self._schema.metadata or {}))
        self.row_count = int(self._file.metadata.num_rows)
        self.photo_columns = [
            field.name for field in self._schema if "bytes: binary" in str(field.type)
        ]

    def check_texts(self, columns: Sequence[str], may_have_lists: Sequence[str] = ()) -> None:
        """Raise `UnusableInput` if it lacks columns, or has lists or objects in them."""
        import pyarrow as arrow

        check_columns(columns, self.names)
        fields = [self._schema.field(name) for name in columns if name not in may_have_lists]
        photos = [name for name in columns if name in self.photo_columns]
        nested = [f"{f.name!r} is {f.type}" for f in fields if arrow.types.is_nested(f.type)]
        if photos:
            raise UnusableInput(
                "not_text",
                f"column {photos[0]!r} has photos in it, not texts: "
                f"data=image_table {shell_setting('data.path_column', photos[0])}",
            )
        if nested:
            raise ColumnError("not_text", f"column {join_names(nested)}; expected texts")

    def bytes_per_row(self, column: str) -> int:
        """Approximate bytes of a cell of a column, at least 1."""
        metadata: Any = self._file.metadata
        total = sum(
            chunk.total_uncompressed_size
            for group in range(metadata.num_row_groups)
            for chunk in map(metadata.row_group(group).column, range(metadata.num_columns))
            if chunk.path_in_schema == column
        )
        return max(1, total // max(1, self.row_count))

    def rows(
        self, columns: Sequence[str] | None = None, row_bytes: int = 1
    ) -> Iterator[dict[str, Any]]:
        """The rows as typed cells by column (None: all); a few megabytes are decoded at a time.

        Raises:
            UnusableInput: the file is damaged.
        """
        import pyarrow as arrow

        count = max(1, min(_BATCH_ROWS, _BATCH_BYTES // row_bytes))
        try:
            for batch in self._file.iter_batches(count, columns=columns, use_threads=False):
                yield from batch.to_pylist()
        except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _parquet_error(error) from None

    def text_rows(self, columns: Sequence[str], encoding: str, row_bytes: int = 1) -> Iterator[Row]:
        """The rows as texts; `encoding` is that of cells which are bytes. See `rows`."""
        for index, cells in enumerate(self.rows(columns, row_bytes)):
            texts, fault = {}, ""
            try:
                texts = {name: cell_text(cells[name], encoding) for name in columns}
            except BadEncoding as error:
                fault = str(error)
            yield Row(index, index + 1, index * row_bytes, texts, fault)


def _parquet_error(error: Exception) -> UnusableInput:
    # For a damaged file Arrow also raises an OSError, which then has no error number.
    if isinstance(error, OSError) and error.errno is not None:
        return UnusableInput("unreadable", str(error.strerror or error))
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    shown = escape_invisible(reason)  # bytes of the file, among others
    return UnusableInput("not_text", f"it is not a readable parquet file: {shown}")


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """The names of classes or tags by column, as `datasets` writes them into a parquet file."""
    try:
        features = dict(json.loads(metadata[b"huggingface"])["info"]["features"])
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    names = {str(column): _feature_names(feature) for column, feature in features.items()}
    return {column: column_names for column, column_names in names.items() if column_names}


def _feature_names(feature: Any) -> list[str]:
    """The names of a class, or of the classes in a list; none of another feature."""
    for key in ("feature", "names"):
        if isinstance(feature, list) and len(feature) == 1:
            (feature,) = feature
        feature = feature.get(key, feature) if isinstance(feature, Mapping) else feature
    is_list = isinstance(feature, list) and 0 < len(feature) <= _MAX_NAMES
    return feature if is_list and all(isinstance(name, str) for name in feature) else []


def named(cell: Any, names: Sequence[str]) -> Any:
    """A cell, or a list of them, with names instead of their numbers; -1 has none."""
    if isinstance(cell, list):
        return [named(entry, names) for entry in cell]
    if isinstance(cell, int) and not isinstance(cell, bool):
        return names[cell] if 0 <= cell < len(names) else None if cell == -1 else cell
    return cell
