"""The cache of decoded images: all in memory where they fit, decoded each time where not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fmkit.core.errors import DataError
from fmkit.core.machine import available_cores
from fmkit.data.class_checks import SHOWN
from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.examples import Examples
from fmkit.data.images.decode import decode_example


class PixelCache:
    """Square RGB images of a data set, by position.

    Args:
        examples: the data set.
        size: side of the images in pixels, S.
        resize: `squash`, `pad` or `crop`.
        memory_budget_bytes: most memory for decoded images.
        threads: threads that decode; empty means one per core.

    Attributes:
        in_memory: whether decoded images are kept.
        bytes: of all images decoded.
        decision: that, with the figures behind it, as a phrase for the log.
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
        self._examples, self._size, self._resize = examples, size, resize
        self._images = examples.content
        self.bytes = needed = len(examples) * size * size * 3
        self.in_memory = needed <= memory_budget_bytes
        decision = "decoded images are kept in memory"
        if not self.in_memory:
            decision = "images are decoded anew"
        self.decision = (
            f"{decision} ({_format_memory(needed)} for {len(examples)} of {size} x {size}; "
            f"budget {_format_memory(memory_budget_bytes)})"
        )
        self._pixels: np.ndarray | None = None
        self._is_decoded = np.zeros(len(examples) if self.in_memory else 0, dtype=bool)
        self._failures: dict[int, str] = {}
        self._lock = threading.Lock()
        self._threads = threads or available_cores()
        self._pool: ThreadPoolExecutor | None = None

    def prepare(
        self,
        indices: np.ndarray | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Decode all images once, in parallel: broken files are found before training.

        Args:
            indices: positions to decode; empty means all.
            progress: called with how many are done and how many there are.

        Raises:
            DataError: files are broken; the first ten by name, with their total.
        """
        todo = np.arange(len(self._examples)) if indices is None else np.unique(indices)
        self._failures.clear()
        for start in range(0, len(todo), 256):
            part = todo[start : start + 256]
            if self.in_memory:
                part = part[~self._is_decoded[part]]
            self._map(self._try_load, part.tolist())
            if progress is not None:
                progress(min(start + 256, len(todo)), len(todo))
        if self._failures:
            raise self._error(len(todo))

    def read(self, indices: np.ndarray) -> np.ndarray:
        """The images at `indices`, (B, S, S, 3) uint8.

        Raises:
            DataError: a file is broken.
        """
        if not self.in_memory:
            batch = np.empty((len(indices), self._size, self._size, 3), dtype=np.uint8)

            def fill(
                row: int,
            ) -> None:  # on the threads that decode, which saves the batch's a copy
                batch[row] = self._load(int(indices[row]))

            self._map(fill, list(range(len(indices))))
            return batch
        missing = indices[~self._is_decoded[indices]]
        if len(missing):
            self._map(self._load, missing.tolist())
        return self._memory()[indices]

    @property
    def failure(self) -> DataError | None:
        """The error about the files that could not be decoded so far; None where there are none."""
        return self._error(len(self._examples)) if self._failures else None

    def _memory(self) -> np.ndarray:
        with self._lock:
            if self._pixels is None:  # memory is used only as rows are written
                shape = (len(self._examples), self._size, self._size, 3)
                self._pixels = np.empty(shape, dtype=np.uint8)
            return self._pixels

    def _load(self, index: int) -> np.ndarray:
        """One decoded image, kept if images are kept; a failure is recorded and raised."""
        try:
            pixels = decode_example(self._images, index, self._size, self._resize)
        except DataError as error:
            self._failures[index] = error.message
            raise
        if self.in_memory:
            self._memory()[index] = pixels
            self._is_decoded[index] = True
        return pixels

    def _try_load(self, index: int) -> None:
        try:
            self._load(index)
        except DataError:
            return  # recorded; all are reported together

    def _map(self, function: Callable[[int], object], indices: list[int]) -> Iterable:
        if len(indices) < 2 or self._threads == 1:
            return [function(index) for index in indices]
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="fmkit-decode")
        return list(self._pool.map(function, indices))

    def _error(self, total: int) -> DataError:
        broken = [self._failures[index] for index in sorted(self._failures)]
        return DataError(broken_files(broken, total), "Replace or remove them, then start again.")


def _format_memory(number: int) -> str:
    amount, unit = number / 2**20, "MiB"
    if amount >= 1024:
        amount, unit = amount / 1024, "GiB"
    return f"{amount:.1f} {unit}"


def broken_files(broken: Sequence[str], total: int) -> str:
    """One sentence on files that cannot be read, the first ten with their reason."""
    lines = "".join(f"\n   {failure}" for failure in broken[:SHOWN])
    more = f"\n   and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    are = "file is not a readable image" if len(broken) == 1 else "files are not readable images"
    return f"{len(broken)} of {total} {are}:{lines}{more}"
