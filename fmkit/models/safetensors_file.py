"""Arrays in a `.safetensors` file: 8 bytes of length, a JSON header, then the numbers.

The format is that of huggingface/safetensors, format.md. Nothing is read before the header has been
checked: names once each, offsets that follow each other from the first to the last byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fmkit import untrusted
from fmkit.models.arrays import MOST_ARRAYS, Arrays, Refused, Shape, count

_DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2"},
    **{"I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"},
    "BF16": "<u2",  # the upper half of a float32
}
_LENGTH = 8  # bytes, of the header's length
_MOST_BRACKETS = 4 * MOST_ARRAYS


@contextmanager
def opened(path: Path) -> Iterator[Arrays]:
    """The arrays of a file, by name.

    Raises:
        Refused: the file is damaged, or not what it says.
        OSError: it cannot be read.
    """
    with untrusted.open_regular(path) as stream:
        size = stream.seek(0, 2)
        header, start = _header(stream, size)
        rows = {name: _row(name, value) for name, value in header.items()}
        _check_places(rows, size - start)

        def load(name: str) -> np.ndarray:
            kind, shape, first, last = rows[name]
            stream.seek(start + first)
            content = stream.read(last - first)
            if len(content) != last - first:
                raise Refused(f"it is cut short in {name!r}")
            values = np.frombuffer(content, _DTYPES[kind]).reshape(shape)
            if kind == "BF16":
                return (values.astype(np.uint32) << 16).view(np.float32)
            return values

        yield Arrays({name: row[1] for name, row in rows.items()}, load)


def _header(stream: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    stream.seek(0)
    length = int.from_bytes(stream.read(_LENGTH), "little")
    if size < _LENGTH or length > size - _LENGTH:
        raise Refused(f"it has {size:,} bytes, fewer than its header alone: it was cut short")
    if length > untrusted.MOST_JSON:
        raise Refused(f"its header has {length:,} bytes; {untrusted.MOST_JSON:,} are allowed")
    text = stream.read(length)
    if text.count(b"[") + text.count(b"{") > _MOST_BRACKETS:
        raise Refused(f"its header names more than {MOST_ARRAYS:,} arrays")
    try:
        header = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Refused("its header is no JSON; it is damaged or of another format") from error
    if not isinstance(header, dict):
        raise Refused("its header is no mapping")
    header.pop("__metadata__", None)
    return header, _LENGTH + length


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("its header has a name twice")
    return found


def _row(name: str, value: Any) -> tuple[str, Shape, int, int]:
    """An array's type, shape, first byte and end."""
    try:
        kind, shape, (first, last) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise Refused(f"its header has no sensible row for {name!r}") from None
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise Refused(f"{name!r} has the type {str(kind)[:40]!r}; numbers are expected")
    if type(first) is not int or type(last) is not int or not 0 <= first <= last:
        raise Refused(f"{name!r} has no sensible place")
    width = np.dtype(_DTYPES[kind]).itemsize
    if count(name, shape, (last - first) // width) * width != last - first:
        raise Refused(f"{name!r} has another size than its shape needs")
    return kind, shape, first, last


def _check_places(rows: dict[str, tuple[str, Shape, int, int]], size: int) -> None:
    end = 0
    for name, (_, _, first, last) in sorted(rows.items(), key=lambda row: row[1][2:]):
        if first != end:
            raise Refused(f"{name!r} overlaps with another array, or leaves a gap before it")
        end = last
    if end > size:
        raise Refused(f"its arrays need {end:,} bytes and it has {size:,}: it was cut short")
    if end < size:
        raise Refused(f"{size - end:,} bytes follow its last array")
