"""Arrays in a `.safetensors` file: 8 bytes of length, a JSON header, then the numbers.

The format is that of huggingface/safetensors, format.md. Nothing is read before the header has been
checked: names once each, offsets that follow each other from the first to the last byte.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fmkit.core import safe_io
from fmkit.models.weights.arrays import (
    MAX_ARRAYS,
    Shape,
    WeightArrays,
    WeightsRefused,
    element_count,
)

_DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2"},
    **{"I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"},
    "BF16": "<u2",  # the upper half of a float32
}
_LENGTH = 8  # bytes, of the header's length
_MAX_BRACKETS = 4 * MAX_ARRAYS


@contextmanager
def open_safetensors(path: Path) -> Iterator[WeightArrays]:
    """The arrays of a file, by name.

    Raises:
        Refused: the file is damaged, or not what it says.
        OSError: it cannot be read.
    """
    with safe_io.open_regular(path) as stream:
        size = stream.seek(0, 2)
        header, start = _header(stream, size)
        rows = {name: _row(name, value) for name, value in header.items()}
        _check_places(rows, size - start)

        def load(name: str) -> np.ndarray:
            kind, shape, first, last = rows[name]
            stream.seek(start + first)
            content = stream.read(last - first)
            if len(content) != last - first:
                raise WeightsRefused(f"it is cut short in {name!r}")
            values = np.frombuffer(content, _DTYPES[kind]).reshape(shape)
            if kind == "BF16":
                return (values.astype(np.uint32) << 16).view(np.float32)
            return values

        yield WeightArrays({name: row[1] for name, row in rows.items()}, load)


def _header(stream: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    stream.seek(0)
    length = int.from_bytes(stream.read(_LENGTH), "little")
    if size < _LENGTH or length > size - _LENGTH:
        raise WeightsRefused(
            f"it has {size:,} bytes, fewer than its header alone: it was cut short"
        )
    if length > safe_io.MAX_JSON:
        raise WeightsRefused(f"its header has {length:,} bytes; {safe_io.MAX_JSON:,} are allowed")
    text = stream.read(length)
    if text.count(b"[") + text.count(b"{") > _MAX_BRACKETS:
        raise WeightsRefused(f"its header names more than {MAX_ARRAYS:,} arrays")
    try:
        header = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise WeightsRefused("its header is no JSON; it is damaged or of another format") from error
    if not isinstance(header, dict):
        raise WeightsRefused("its header is no mapping")
    header.pop("__metadata__", None)
    return header, _LENGTH + length


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise WeightsRefused("its header has a name twice")
    return found


def _row(name: str, value: Any) -> tuple[str, Shape, int, int]:
    """An array's type, shape, first byte and end."""
    try:
        kind, shape, (first, last) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise WeightsRefused(f"its header has no sensible row for {name!r}") from None
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise WeightsRefused(f"{name!r} has the type {str(kind)[:40]!r}; numbers are expected")
    if type(first) is not int or type(last) is not int or not 0 <= first <= last:
        raise WeightsRefused(f"{name!r} has no sensible place")
    width = np.dtype(_DTYPES[kind]).itemsize
    if element_count(name, shape, (last - first) // width) * width != last - first:
        raise WeightsRefused(f"{name!r} has another size than its shape needs")
    return kind, shape, first, last


def _check_places(rows: dict[str, tuple[str, Shape, int, int]], size: int) -> None:
    end = 0
    for name, (_, _, first, last) in sorted(rows.items(), key=lambda row: row[1][2:]):
        if first != end:
            raise WeightsRefused(f"{name!r} overlaps with another array, or leaves a gap before it")
        end = last
    if end > size:
        raise WeightsRefused(f"its arrays need {end:,} bytes and it has {size:,}: it was cut short")
    if end < size:
        raise WeightsRefused(f"{size - end:,} bytes follow its last array")


_NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


def pieces(arrays: Mapping[str, np.ndarray]) -> list[memoryview]:
    """The bytes of a file, piece by piece and without a copy, so that they are hashed on the way.

    The package's own writer takes a path; what it wrote would have to be read again for a hash.
    The format: https://github.com/huggingface/safetensors#format.

    Raises:
        ValueError: an array has a type that the format lacks.
    """
    header: dict[str, dict[str, object]] = {}
    bodies, end = [], 0
    # The widest types first: then each tensor begins at a multiple of its width.
    for name in sorted(arrays, key=lambda each: (-arrays[each].dtype.itemsize, each)):
        array = arrays[name]
        kind = _NAMES.get(array.dtype.name)
        if kind is None:
            raise ValueError(f"{name}: no tensor file holds {array.dtype.name}")
        if sys.byteorder == "big" or array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("<"))
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, end]}
        bodies.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [memoryview(len(text).to_bytes(8, "little") + text), *bodies]


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name.

    The package holds every size in the header against the size of the file before it allocates.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no file of tensors.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def not_finite(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """The names of arrays that do not hold finite numbers only."""
    return [name for name, array in arrays.items() if not _is_finite(array)]


def _is_finite(array: np.ndarray) -> bool:
    if array.dtype.kind == "V":  # bfloat16, which NumPy does not know
        array = array.astype(np.float32)
    if array.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum()):
            return True
    return bool(np.isfinite(array).all())  # a sum may leave the numbers where no value does
