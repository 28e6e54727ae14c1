"""The header of a GGUF file: what it says about itself, and where its tensors are.

The package `gguf` has a reader too, which takes seconds for a vocabulary: it makes an array of
every string. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3, little
endian.
"""

import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.core.errors import ArtifactError

_NUMBERS = ("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?", None, None, "<Q", "<q", "<d")
"""The format of each type of value, for `struct`; 8 is a string, 9 an array."""
_STRING, _ARRAY = 8, 9


class GgufFile:
    """A file of named tensors in ggml's formats.

    Attributes:
        fields: metadata by key: numbers, texts, and lists of them.
        tensors: by name, the shape as ggml has it (the fastest axis first), the number of its
            format, and its offset in the file.

    Raises:
        ArtifactError: it is not such a file.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            self._bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._offset = 4
        try:
            version = self._value(4)
            if self._bytes[:4] != b"GGUF" or version not in (2, 3):
                raise ArtifactError(f"{path} is not a GGUF file of version 2 or 3.")
            tensors, fields = self._value(10), self._value(10)
            self.fields = {self._value(_STRING): self._value(self._value(4)) for _ in range(fields)}
            infos = [self._tensor() for _ in range(tensors)]
        except (struct.error, IndexError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be read as a GGUF file: {error}.") from error
        alignment = self.fields.get("general.alignment", 32)
        begin = -(-self._offset // alignment) * alignment
        self.tensors = {name: (shape, kind, begin + at) for name, shape, kind, at in infos}

    def floats(self, name: str) -> np.ndarray:
        """A tensor as float32, axes in NumPy's order."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

        shape, kind, begin = self.tensors[name]
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        count = int(np.prod(shape)) // block * size
        raw = np.frombuffer(self._bytes, np.uint8, count, begin)
        raw = raw.reshape(*shape[:0:-1], shape[0] // block * size)
        dequantize: Callable[..., np.ndarray] = quants.dequantize
        return np.asarray(dequantize(raw, GGMLQuantizationType(kind)), np.float32)

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._value(_STRING)
        shape = tuple(self._value(10) for _ in range(self._value(4)))
        return name, shape, self._value(4), self._value(10)

    def _value(self, kind: int) -> Any:
        """The next value of a type."""
        if kind == _STRING:
            length = self._value(10)
            self._offset += length
            return self._bytes[self._offset - length : self._offset].decode("utf-8")
        if kind == _ARRAY:
            item, count = self._value(4), self._value(10)
            return [self._value(item) for _ in range(count)]
        pattern = _NUMBERS[kind]
        if pattern is None:
            raise ValueError(f"type {kind}")
        (value,) = struct.unpack_from(pattern, self._bytes, self._offset)
        self._offset += struct.calcsize(pattern)
        return value
