"""Photos inside of a parquet file, as Hugging Face's `datasets` writes them: files, once.

A cell is `{"bytes": ..., "path": ...}`. The photos go into the folder
`photos/` of the cache, from where they are read as all photos are; a file that has changed goes
into another folder there.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fmkit.core import atomic_dir, console, files
from fmkit.core.errors import plural
from fmkit.data.formats import file_type
from fmkit.data.formats.parquet_table import PARQUET, ParquetTable
from fmkit.data.formats.text_files import file_ending
from fmkit.store.array_cache import PHOTOS
from fmkit.store.lock import Lock

_ENDINGS = {"JPEG": ".jpg"}

_locks: dict[Path, Lock] = {}
"""Of folders that this process reads, until it ends: `fmkit cache clear` leaves them alone."""


def photo_columns(path: Path) -> list[str]:
    """The columns of a parquet file that have photos in them; none of another file.

    Raises:
        UnusableInput: it cannot be read.
    """
    if file_ending(path.name) not in PARQUET:
        return []
    return ParquetTable(str(path)).photo_columns


def photo_files(path: Path, column: str) -> list[str]:
    """The photos of a column, as files; a path a row, empty where a row has none.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
        UnusableInput: the parquet file is damaged.
    """
    status, table = path.stat(), ParquetTable(str(path))
    facts = f"{files.absolute_path(path)}\0{status.st_size}\0{status.st_mtime_ns}\0{column}"
    folder = files.cache_folder() / PHOTOS / hashlib.sha256(facts.encode()).hexdigest()[:32]
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder not in _locks:
        _locks[folder] = Lock(folder.with_name(f"{folder.name}.lock"))
        _locks[folder].try_acquire(exclusive=False)
    if not folder.is_dir():
        files.require_free_space(folder.parent, status.st_size)
        count = plural(table.row_count, "photo")
        with (
            console.announce_slow(f"taking {count} out of {path.name}, once, into {folder}"),
            atomic_dir.replacing(folder) as (temporary, _),
        ):
            for number, content in enumerate(_contents(table, column)):
                if content:
                    target = temporary / f"{number:08d}{_ending(content)}"
                    target.write_bytes(content)
                    # The time is part of what tells whether photos are the same.
                    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
    paths = [""] * table.row_count
    for photo in folder.iterdir():
        paths[int(photo.name[:8])] = str(photo)
    return paths


def _contents(table: ParquetTable, column: str) -> Iterator[bytes]:
    for cells in table.rows([column], table.bytes_per_row(f"{column}.bytes")):
        cell: Any = cells[column]
        content = cell.get("bytes") if isinstance(cell, dict) else None
        yield content if isinstance(content, bytes) else b""


def _ending(content: bytes) -> str:
    name = file_type.image_format(content[: file_type.HEAD])
    return _ENDINGS.get(name or "", f".{name.lower()}" if name else ".png")
