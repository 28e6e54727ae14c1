"""Arrays in `.safetensors` files, read by the library of that name and written for checkpoints.

The library (https://github.com/huggingface/safetensors) checks the whole header before it gives out
an array: offsets that follow each other from the first to the last byte, sizes as the shapes need.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from fmkit.core import safe_io
from fmkit.core.safe_io import UnsafeContent
from fmkit.models.weights.arrays import MAX_ARRAYS, Shape, WeightArrays, element_count

_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""By NumPy's name of a type, the format's; what else the library reads is not taken."""


@contextmanager
def open_safetensors(path: Path) -> Iterator[WeightArrays]:
    """The arrays of a file, by name; bfloat16 comes as float32.

    Raises:
        UnsafeContent: the file is damaged, or not what it says.
        OSError: it cannot be read.
    """
    size, rows = _check_header(path)
    shapes: dict[str, Shape] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118
                array = file.get_slice(name)
                dtype, shapes[name] = array.get_dtype(), tuple(array.get_shape())
                if dtype not in _DTYPES.values():
                    allowed = ", ".join(_DTYPES.values())
                    raise UnsafeContent(f"{name!r} has the type {dtype!r}; expected {allowed}")
                # The library has held the size against the file's.
                element_count(name, shapes[name], sys.maxsize)
            if len(shapes) != rows or rows > MAX_ARRAYS:
                raise UnsafeContent(f"its header has duplicate names, or more than {MAX_ARRAYS:,}")

            def load(name: str) -> np.ndarray:
                array: np.ndarray = file.get_tensor(name)
                return array.astype(np.float32) if array.dtype.name == "bfloat16" else array

            yield WeightArrays(shapes, load)
    except SafetensorError as error:
        raise UnsafeContent(f"it has {size:,} bytes, and is damaged: {_reason(error)}") from error


def _check_header(path: Path) -> tuple[int, int]:
    """The file's size in bytes, and how many arrays its header describes.

    The library takes headers of 100 MB, and of two arrays with one name the last.
    """
    with safe_io.open_regular(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        length = int.from_bytes(stream.read(8), "little")
        if safe_io.MAX_JSON < length <= size:
            raise UnsafeContent(
                f"its header has {length:,} bytes; {safe_io.MAX_JSON:,} are allowed"
            )
        return size, stream.read(min(length, size)).count(b'"data_offsets"')


def _reason(error: SafetensorError) -> str:
    return str(error).rpartition("deserializing header: ")[2].splitlines()[0]


def serialize(arrays: Mapping[str, np.ndarray]) -> list[memoryview]:
    """The bytes of a file, chunk by chunk and without a copy of any array.

    Not the library's writer: it takes either a path, and a checkpoint would have to be read again
    for its hash, or gives all bytes at once, and a model would be in memory three times.

    Raises:
        ValueError: an array has a type that the format lacks.
    """
    header: dict[str, dict[str, object]] = {}
    bodies, end = [], 0
    # The widest types first: then each array begins at a multiple of its width.
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array = arrays[name]
        dtype = _DTYPES.get(array.dtype.name)
        if dtype is None:
            raise ValueError(f"{name}: safetensors files cannot hold {array.dtype.name}")
        if sys.byteorder == "big" or array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("<"))
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
        bodies.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [memoryview(len(text).to_bytes(8, "little") + text), *bodies]


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file by name, in the types that it has.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a safetensors file.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(_reason(error)) from error


def not_finite(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """The names of arrays that hold NaN or infinity."""
    names = []
    for name, array in arrays.items():
        if array.dtype.kind == "V":  # bfloat16, which NumPy does not know
            array = array.astype(np.float32)
        if array.dtype.kind == "f":
            with np.errstate(all="ignore"):
                total = array.sum()
            # The sum may overflow where no value is infinite.
            if not np.isfinite(total) and not np.isfinite(array).all():
                names.append(name)
    return names
