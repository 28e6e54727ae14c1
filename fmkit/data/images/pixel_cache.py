"""The decoded pixels of a data set: kept in memory where they fit, decoded each time where not."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from fmkit.core.errors import DataError
from fmkit.core.machine import available_cores
from fmkit.data.class_checks import SHOWN
from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.examples import Examples
from fmkit.data.images.decode import FORMATS, decode, from_array


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
        what = "decoded images are kept in memory" if self.in_memory else "images are decoded anew"
        self.decision = (
            f"{what} ({_amount(needed)} for {len(examples)} of {size} x {size}; "
            f"budget {_amount(memory_budget_bytes)})"
        )
        self._kept: np.ndarray | None = None
        self._filled = np.zeros(len(examples) if self.in_memory else 0, dtype=bool)
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
        chosen = np.arange(len(self._examples)) if indices is None else np.unique(indices)
        self._failures.clear()
        for start in range(0, len(chosen), 256):
            part = chosen[start : start + 256]
            if self.in_memory:
                part = part[~self._filled[part]]
            self._map(self._attempt, part.tolist())
            if progress is not None:
                progress(min(start + 256, len(chosen)), len(chosen))
        if self._failures:
            raise self._error(len(chosen))

    def read(self, indices: np.ndarray) -> np.ndarray:
        """The images at `indices`, (B, S, S, 3) uint8.

        Raises:
            DataError: a file is broken.
        """
        if not self.in_memory:
            batch = np.empty((len(indices), self._size, self._size, 3), dtype=np.uint8)

            def fill(row: int) -> None:  # on the threads that decode: one copy less for the batch's
                batch[row] = self._load(int(indices[row]))

            self._map(fill, list(range(len(indices))))
            return batch
        missing = indices[~self._filled[indices]]
        if len(missing):
            self._map(self._load, missing.tolist())
        return self._memory()[indices]

    @property
    def failure(self) -> DataError | None:
        """What to tell about the files that broke so far, if any did."""
        return self._error(len(self._examples)) if self._failures else None

    def _memory(self) -> np.ndarray:
        with self._lock:
            if self._kept is None:  # the system gives its pages only as rows are written
                shape = (len(self._examples), self._size, self._size, 3)
                self._kept = np.empty(shape, dtype=np.uint8)
            return self._kept

    def _load(self, index: int) -> np.ndarray:
        """One decoded image, kept if images are kept; a failure is noted and raised."""
        images = self._images
        try:
            if isinstance(images, ImageFiles):
                pixels = decode(images.paths[index], self._size, self._resize)
            else:
                pixels = from_array(images.pixels[index], self._size, self._resize)
        except DataError as error:
            self._failures[index] = error.message
            raise
        if self.in_memory:
            self._memory()[index] = pixels
            self._filled[index] = True
        return pixels

    def _attempt(self, index: int) -> None:
        try:
            self._load(index)
        except DataError:
            return  # noted; all are told together

    def _map(self, function: Callable[[int], object], indices: list[int]) -> Iterable:
        if len(indices) < 2 or self._threads == 1:
            return [function(each) for each in indices]
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="fmkit-decode")
        return list(self._pool.map(function, indices))

    def _error(self, total: int) -> DataError:
        broken = [self._failures[each] for each in sorted(self._failures)]
        return DataError(broken_files(broken, total), "Replace or remove them, then start again.")


def _amount(number: int) -> str:
    amount, unit = number / 2**20, "MiB"
    if amount >= 1024:
        amount, unit = amount / 1024, "GiB"
    return f"{amount:.1f} {unit}"


PROBES = 16
"""Files whose headers are read."""


def typical_side(images: ImageFiles | ImageArray) -> int | None:
    """The longer side of an image in pixels: of arrays exact, of files the median of a few.

    None when no file could be read; what is wrong with it is told where files are decoded.
    """
    if isinstance(images, ImageArray):
        return max(images.pixels.shape[1:3])
    step = max(1, len(images.paths) // PROBES)
    sides = [_side(path) for path in images.paths[::step][:PROBES]]
    known = [each for each in sides if each is not None]
    return int(statistics.median(known)) if known else None


def _side(path: str) -> int | None:
    """A file's longer side, from its header; None when it cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return max(image.size)
    except Exception:  # Pillow's plugins raise nearly anything on broken files
        return None


def broken_files(broken: Sequence[str], total: int) -> str:
    """One sentence on files that cannot be read, the first ten with their reason."""
    lines = "".join(f"\n   {each}" for each in broken[:SHOWN])
    more = f"\n   and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    files = "file is" if len(broken) == 1 else "files are"
    return f"{len(broken)} of {total} {files} no readable image:{lines}{more}"
