"""Every photo of a data set is read whole, on all cores, before anything is trained.

Threads do it: Pillow and hashing release Python's lock, and a photo at a time in each thread
keeps memory flat. Files that are unchanged since the last scan are not read again (`scan_cache`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from fmkit.core.machine import available_cores
from fmkit.data.quality.content_scan import ProgressCallback
from fmkit.data.quality.image_probe import SIDE, ImageFacts, probe
from fmkit.data.quality.scan_cache import FileState, ScanCache

_CHUNK = 32  # photos a task: enough that tasks cost nothing, few enough that a stop is at once
_SAVE_EVERY = 2048  # photos between two writes to the cache


@dataclass
class ImageScan:
    """What the files of a data set contain, by their position in it.

    Attributes:
        faults: kind of finding and reason of each file that cannot be used.
        digests: (N, 16) uint8, of the files' bytes.
        thumbnails: (N, 256) uint8, 16 x 16 grey values; the cache has them at twice the side.
        widths: (N,) pixels.
        heights: (N,) pixels.
        formats: (N,) Pillow's names.
        modes: (N,) Pillow's names.
        animated: positions of files with more than one frame.
        blank: positions of files of one colour.
        files_read: files that were read now; the others were in the cache.
        seconds: how long it took.
    """

    faults: dict[int, tuple[str, str]]
    digests: np.ndarray
    thumbnails: np.ndarray
    widths: np.ndarray
    heights: np.ndarray
    formats: list[str]
    modes: list[str]
    animated: list[int] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    files_read: int = 0
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.formats)

    def usable(self) -> np.ndarray:
        """Positions of the files that can be used, sorted."""
        return np.setdiff1d(np.arange(len(self)), list(self.faults))

    def count_names(self, names: Sequence[str]) -> dict[str, int]:
        """Formats or modes of the usable files with their counts, the most frequent first."""
        return dict(Counter(name for name in names if name).most_common())

    def add(self, index: int, facts: ImageFacts, max_pixels: int) -> None:
        """Add one file."""
        if not facts.kind and facts.width * facts.height > max_pixels:  # cached under another limit
            size = f"{facts.width:,} x {facts.height:,}"
            why = f"{size} pixels by its header; data.max_pixels is {max_pixels:,}"
            facts = ImageFacts("too_large", why)
        if facts.kind:
            self.faults[index] = (facts.kind, facts.why)
            return
        self.digests[index] = np.frombuffer(facts.digest, np.uint8)
        halves = np.frombuffer(facts.thumbnail, np.uint8).reshape(SIDE // 2, 2, SIDE // 2, 2)
        self.thumbnails[index] = halves.mean(axis=(1, 3)).ravel()
        self.widths[index], self.heights[index] = facts.width, facts.height
        self.formats[index], self.modes[index] = sys.intern(facts.format), sys.intern(facts.mode)
        if facts.animated:
            self.animated.append(index)
        if facts.blank:
            self.blank.append(index)


def scan(
    paths: Sequence[str],
    max_pixels: int,
    cache: ScanCache,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> ImageScan:
    """Read and decode files, except those that are unchanged since a result was cached.

    Args:
        paths: the files.
        max_pixels: largest width x height that is decoded.
        cache: earlier results; new ones are added, also when this is interrupted.
        threads: that decode; empty means one per core.
        progress: called now and then.
    """
    began = time.monotonic()
    result = _empty(len(paths))
    unread: list[int] = []
    states: dict[int, FileState] = {}
    for index, path in enumerate(paths):
        facts = None
        with contextlib.suppress(OSError):
            status = os.stat(path)  # noqa: PTH116 - a call a photo, without objects
            states[index] = (status.st_size, status.st_mtime_ns)
            facts = cache.get(path, states[index])
        if facts is None:
            unread.append(index)
        else:
            result.add(index, facts, max_pixels)
    _read(result, paths, unread, states, max_pixels, cache, threads or available_cores(), progress)
    result.animated.sort()
    result.blank.sort()
    result.files_read, result.seconds = len(unread), time.monotonic() - began
    return result


def _empty(count: int) -> ImageScan:
    return ImageScan(
        faults={},
        digests=np.zeros((count, 16), np.uint8),
        thumbnails=np.zeros((count, SIDE * SIDE // 4), np.uint8),
        widths=np.zeros(count, np.int32),
        heights=np.zeros(count, np.int32),
        formats=[""] * count,
        modes=[""] * count,
    )


def _read(
    result: ImageScan,
    paths: Sequence[str],
    unread: Sequence[int],
    states: dict[int, FileState],
    max_pixels: int,
    cache: ScanCache,
    threads: int,
    progress: ProgressCallback | None,
) -> None:
    """Probe the unread files on threads, which end at once when this one is interrupted."""
    stopped = threading.Event()

    def probe_chunk(chunk: Sequence[int]) -> list[tuple[int, ImageFacts]]:
        return [(index, probe(paths[index], max_pixels)) for index in chunk if not stopped.is_set()]

    chunks = iter([unread[start : start + _CHUNK] for start in range(0, len(unread), _CHUNK)])
    fresh: list[tuple[str, FileState, ImageFacts]] = []
    waiting: set[Future] = set()
    done = len(paths) - len(unread)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads, "fmkit-scan") as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it is a finding of ours

        def submit(count: int) -> set[Future]:
            return {pool.submit(probe_chunk, chunk) for chunk in itertools.islice(chunks, count)}

        try:
            waiting |= submit(4 * threads)
            while waiting:
                ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                waiting |= submit(len(ready))
                for index, facts in (row for future in ready for row in future.result()):
                    result.add(index, facts, max_pixels)
                    if index in states:
                        fresh.append((paths[index], states[index], facts))
                    done += 1
                if len(fresh) >= _SAVE_EVERY:
                    cache.put(fresh)
                    fresh = []
                if progress is not None:
                    progress(done, len(paths))
        finally:
            stopped.set()
            cache.put(fresh)
