"""Named arrays as a safetensors file: arrays only, no object is ever deserialised."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

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
