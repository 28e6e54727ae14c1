"""The cache of decoded images: all in memory where they fit, decoded each time where not."""

import contextlib
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fmkit.core.errors import DataError
from fmkit.core.machine import available_cores
from fmkit.data.class_checks import SHOWN
from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.examples import Examples, ProgressCallback
from fmkit.data.images.decode import decode, from_array

_PER_TASK = 4  # images of a task on the threads that decode, since a task costs some 30 us
_ALIGNMENT = 64  # bytes; TensorFlow copies an array that is not aligned so


class PixelCache:
    """Square RGB images of a data set, by position.

    Args:
        size: side of the images in pixels, S.
        resize: `squash`, `pad` or `crop`.
        threads: threads that decode; empty means one per core.
    """

    def __init__(
        self,
        examples: Examples,
        size: int,
        resize: str,
        memory_budget_bytes: int,
        threads: int | None = None,
    ) -> None:
        if not isinstance(examples.content, ImageFiles | ImageArray):
            raise TypeError(f"no pixels in examples of {examples.content.modality}")
        self._size, self._resize, self._images = size, resize, examples.content
        self._shape = (len(examples), size, size, 3)
        self.bytes = int(np.prod(self._shape))  # of all images decoded
        self.in_memory = self.bytes <= memory_budget_bytes  # whether decoded images are kept
        decision = "decoded images are kept in memory"
        if not self.in_memory:
            decision = "images are decoded anew"
        self.decision = (  # with the figures behind it, as a phrase for the log
            f"{decision} ({_format_memory(self.bytes)} for {len(examples)} of {size} x {size}; "
            f"budget {_format_memory(memory_budget_bytes)})"
        )
        self._pixels: np.ndarray | None = None
        self._is_decoded = np.zeros(len(examples) if self.in_memory else 0, dtype=bool)
        self._failures: dict[int, DataError] = {}
        self._lock = threading.Lock()
        self._threads = threads or available_cores()
        self._pool: ThreadPoolExecutor | None = None

    def prepare(
        self, indices: np.ndarray | None = None, progress: ProgressCallback | None = None
    ) -> None:
        """Decode the images at `indices`, or all, once, in parallel, before training.

        Raises:
            DataError: files are broken; the first ten by name, with their total.
        """

        def load(index: int) -> None:
            with contextlib.suppress(DataError):  # recorded; all are reported together
                self._load(index)

        todo = np.arange(self._shape[0]) if indices is None else np.unique(indices)
        self._failures.clear()
        for start in range(0, len(todo), 256):
            part = todo[start : start + 256]
            if self.in_memory:
                part = part[~self._is_decoded[part]]
            self._map(load, part.tolist())
            if progress is not None:
                progress(min(start + 256, len(todo)), len(todo))
        if self._failures:
            raise self._error(len(todo))

    def read(self, indices: np.ndarray) -> np.ndarray:
        """The images at `indices`, (B, S, S, 3) uint8.

        Raises:
            DataError: a file is broken.
        """
        batch = _aligned((len(indices), *self._shape[1:]))
        if self.in_memory:
            self._map(self._load, indices[~self._is_decoded[indices]].tolist())
            # `clip` writes straight into the batch; the line above refuses what is out of range.
            return np.take(self._memory(), indices, axis=0, out=batch, mode="clip")

        def fill(row: int) -> None:  # on the threads that decode, which saves the batch's a copy
            batch[row] = self._load(int(indices[row]))

        self._map(fill, list(range(len(indices))))
        return batch

    @property
    def failure(self) -> DataError | None:
        """The error about the files that could not be decoded so far; None where there are none."""
        return self._error(self._shape[0]) if self._failures else None

    def _memory(self) -> np.ndarray:
        with self._lock:
            if self._pixels is None:  # memory is used only as rows are written
                self._pixels = np.empty(self._shape, dtype=np.uint8)
            return self._pixels

    def _load(self, index: int) -> np.ndarray:
        """One decoded image, kept if images are kept; a failure is recorded and raised."""
        try:
            if isinstance(self._images, ImageFiles):
                path, grey_range = self._images.paths[index], self._images.grey_range
                pixels = decode(path, self._size, self._resize, grey_range)
            else:
                pixels = from_array(self._images.pixels[index], self._size, self._resize)
        except DataError as error:
            self._failures[index] = error
            raise
        if self.in_memory:
            self._memory()[index] = pixels
            self._is_decoded[index] = True
        return pixels

    def _map(self, function: Callable[[int], object], indices: list[int]) -> None:
        def call(part: list[int]) -> None:
            for index in part:
                function(index)

        if len(indices) < 2 or self._threads == 1:
            call(indices)
            return
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="fmkit-decode")
        size = max(1, min(_PER_TASK, len(indices) // self._threads))
        parts = [indices[start : start + size] for start in range(0, len(indices), size)]
        list(self._pool.map(call, parts))

    def _error(self, total: int) -> DataError:
        """One sentence on files that cannot be read, the first ten with their reason."""
        broken = [f"\n   {self._failures[index].message}" for index in sorted(self._failures)]
        lines, hidden = "".join(broken[:SHOWN]), len(broken) - SHOWN
        are = (
            "file is not a readable image" if len(broken) == 1 else "files are not readable images"
        )
        more = f"\n   and {hidden} more" if hidden > 0 else ""
        message = f"{len(broken)} of {total} {are}:{lines}{more}"
        return DataError(message, "Replace or remove them, then start again.")


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialised array of uint8 that TensorFlow takes without a copy."""
    size = math.prod(shape)
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].reshape(shape)


def _format_memory(number: int) -> str:
    mebibytes = number / 2**20
    return f"{mebibytes:.1f} MiB" if mebibytes < 1024 else f"{mebibytes / 1024:.1f} GiB"
