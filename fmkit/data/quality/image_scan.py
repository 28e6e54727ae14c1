"""Every photo of a data set read whole, on all cores, before anything is trained.

Threads do it: Pillow and hashing let go of Python's lock, and a photo at a time in each thread
keeps memory flat. Files that are as they were the last time are not read again (`scan_cache`).
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from fmkit.core.machine import available_cores
from fmkit.data.quality.image_probe import SIDE, ImageFacts, probe
from fmkit.data.quality.scan_cache import ScanCache, State

_PART = 32  # photos a task: enough that tasks cost nothing, few enough that a stop is at once
_SAVED = 2048  # photos between two writes to the cache

ProgressCallback = Callable[[int, int], None]
"""Called with how many photos were looked at and how many there are."""


@dataclass
class Scan:
    """What the files of a data set are, by their position in it.

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
        read: files that were read now; the others were known.
        seconds: that it took.
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
    read: int = 0
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.formats)

    def good(self) -> np.ndarray:
        """Positions of the files that can be used, sorted."""
        return np.setdiff1d(np.arange(len(self)), list(self.faults))

    def counted(self, names: Sequence[str]) -> dict[str, int]:
        """Formats or modes of the usable files with their counts, the most frequent first."""
        return dict(Counter(each for each in names if each).most_common())

    def enter(self, index: int, facts: ImageFacts, max_pixels: int) -> None:
        """Take over what one file is."""
        if not facts.kind and facts.width * facts.height > max_pixels:  # known under another limit
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
    tell: ProgressCallback | None = None,
) -> Scan:
    """Read and decode files, all but those that the cache knows.

    Args:
        paths: the files.
        max_pixels: largest width x height that is decoded.
        cache: what was found before; what is found now is added, also when this is interrupted.
        threads: that decode; empty means one per core.
        tell: called now and then.
    """
    began = time.monotonic()
    found = _empty(len(paths))
    todo: list[int] = []
    states: dict[int, State] = {}
    for index, path in enumerate(paths):
        try:
            status = os.stat(path)  # noqa: PTH116 - a call a photo, without objects
            states[index] = (status.st_size, status.st_mtime_ns)
            known = cache.get(path, states[index])
        except OSError:
            known = None
        if known is None:
            todo.append(index)
        else:
            found.enter(index, known, max_pixels)
    _read(found, paths, todo, states, max_pixels, cache, threads or available_cores(), tell)
    found.animated.sort()
    found.blank.sort()
    found.read, found.seconds = len(todo), time.monotonic() - began
    return found


def _empty(count: int) -> Scan:
    return Scan(
        faults={},
        digests=np.zeros((count, 16), np.uint8),
        thumbnails=np.zeros((count, SIDE * SIDE // 4), np.uint8),
        widths=np.zeros(count, np.int32),
        heights=np.zeros(count, np.int32),
        formats=[""] * count,
        modes=[""] * count,
    )


def _read(
    found: Scan,
    paths: Sequence[str],
    todo: Sequence[int],
    states: dict[int, State],
    max_pixels: int,
    cache: ScanCache,
    threads: int,
    tell: ProgressCallback | None,
) -> None:
    """Probe the files of `todo` on threads, which end at once when this one is interrupted."""
    stopped = threading.Event()

    def work(part: Sequence[int]) -> list[tuple[int, ImageFacts]]:
        return [(each, probe(paths[each], max_pixels)) for each in part if not stopped.is_set()]

    parts = iter([todo[start : start + _PART] for start in range(0, len(todo), _PART)])
    fresh: list[tuple[str, State, ImageFacts]] = []
    waiting: set[Future] = set()
    done = len(paths) - len(todo)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads, "fmkit-scan") as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we tell of it ourselves
        try:
            waiting |= {pool.submit(work, part) for part in itertools.islice(parts, 4 * threads)}
            while waiting:
                ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                waiting |= {pool.submit(work, part) for part in itertools.islice(parts, len(ready))}
                for index, facts in (row for each in ready for row in each.result()):
                    found.enter(index, facts, max_pixels)
                    if index in states:
                        fresh.append((paths[index], states[index], facts))
                    done += 1
                if len(fresh) >= _SAVED:
                    cache.put(fresh)
                    fresh = []
                if tell is not None:
                    tell(done, len(paths))
        finally:
            stopped.set()
            cache.put(fresh)
