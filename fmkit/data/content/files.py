"""Content of examples that are files, which are not read before they are needed."""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fmkit.data.examples import Content


@dataclass(frozen=True, eq=False)
class Files(Content):
    """Files, one per example.

    Attributes:
        paths: absolute paths, in the order of the examples.
        sizes: bytes of each file, (N,) int64.
    """

    columns: ClassVar = ("paths", "sizes")
    paths: tuple[str, ...]
    sizes: np.ndarray

    def identity(self, index: int) -> tuple[int, bytes]:
        """The file's size."""
        return int(self.sizes[index]), b""

    def digest(self) -> str:
        """SHA-256 of paths, sizes and modification times."""
        digest = hashlib.sha256()
        for path, size in zip(self.paths, self.sizes, strict=True):
            modified = 0
            with contextlib.suppress(OSError):
                modified = Path(path).stat().st_mtime_ns
            digest.update(f"{path}\0{size}\0{modified}\n".encode())
        return digest.hexdigest()

    def size_columns(self) -> dict[str, np.ndarray]:
        """Bytes."""
        return {"bytes": self.sizes}


class Recordings(Files):
    """Recordings of speech or other sound."""

    modality: ClassVar[str] = "audio"
    noun: ClassVar[str] = "recording"
