"""Quality checks of images: every photo is read whole, on all cores, before anything is trained.

Threads do it: Pillow and hashing release Python's lock, and a photo at a time in each thread
keeps memory flat. Files that are unchanged since the last scan are not read again (`scan_cache`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from fmkit.config.schema.data import DataConfig, ImageData
from fmkit.core.errors import join_names, plural
from fmkit.core.machine import available_cores
from fmkit.data.content.images import ImageArray, ImageFiles, describe_grey_range
from fmkit.data.examples import Examples, ProgressCallback
from fmkit.data.findings import Finding
from fmkit.data.images.decode import DEEP_MODES
from fmkit.data.images.image_file import EXTENSION_OF
from fmkit.data.quality import mirrored_classes
from fmkit.data.quality.duplicates import DuplicateGroups, group_equal
from fmkit.data.quality.image_probe import SIDE, ImageFacts, probe, size_problem
from fmkit.data.quality.inspect import ContentScan
from fmkit.data.quality.near_duplicates import block_sums, near_duplicates
from fmkit.data.quality.scan_cache import FileState, ScanCache

_NOT_CONVERTED = ("RGB", "L", *DEEP_MODES)  # plain, or with a finding of their own
_MODE_NAMES = {
    "1": "black-and-white",
    "P": "palette",
    "PA": "transparent palette",
    "LA": "transparent grey",
    "RGBA": "transparent RGB",
    "RGB;16": "16-bit RGB",
    "RGBA;16": "transparent 16-bit",
}
"""Words for Pillow's modes; the others are words already, such as CMYK."""
_OUTLYING = 0.01  # of the training photos, whose values do not decide what is black or white
_DARK = 64  # of 255, where a photo with 16 bits a colour has few levels in its upper 8
_CHUNK = 32  # photos a task: enough that tasks cost nothing, few enough that a stop is at once
_SAVE_EVERY = 2048  # photos between two writes to the cache


def check(
    examples: Examples,
    config: DataConfig,
    cache_folder: Path | None,
    progress: ProgressCallback | None,
) -> ContentScan:
    """Read every image file; images in memory are known to be whole."""
    images = examples.content
    if not isinstance(images, ImageFiles):
        positions = _sample(examples, config, np.arange(len(examples)))
        if not isinstance(images, ImageArray) or not len(positions):
            return ContentScan()
        copies = mirrored_classes.thumbnails(images.pixels[positions])
        return ContentScan(_mirrored(examples, config, positions, copies))
    # The config of a plugin's source need not have the key.
    max_pixels = getattr(config, "max_pixels", ImageData.max_pixels)
    with contextlib.closing(ScanCache(cache_folder)) as cache:
        result = scan(images.paths, max_pixels, cache, progress=progress)
        usable = np.setdiff1d(np.arange(len(examples)), list(result.faults))
        digests, paths = result.digests[usable], [images.paths[index] for index in usable]
        positions = _sample(examples, config, usable)
        copies = cache.thumbnails([images.paths[index] for index in positions])
        near = near_duplicates(
            digests,
            result.thumbnails[usable],
            lambda positions: cache.thumbnails([paths[position] for position in positions]),
        )
    duplicates = DuplicateGroups(
        group_equal((index, result.digests[index].tobytes()) for index in usable.tolist()),
        [usable[group].tolist() for group in near],
    )
    formats, modes = (
        dict(Counter(name for name in names if name).most_common())
        for names in (result.formats, result.modes)
    )
    return ContentScan(
        [
            *_findings(examples.ids, images.paths, result, modes),
            *_mirrored(examples, config, positions, copies),
        ],
        duplicates,
        {"width": result.widths, "height": result.heights},
        {
            "files_read": result.files_read,
            "seconds": round(result.seconds, 3),
            "formats": formats,
            "modes": modes,
        },
        partial(_fit_grey_range, images, result, getattr(config, "grey_range", None)),
    )


def _fit_grey_range(
    images: ImageFiles, result: ImageScan, chosen: list[float] | None, training: np.ndarray
) -> tuple[ImageFiles, list[Finding]]:
    """The photos with the range of values that becomes 0 to 255 in grey of more than 8 bits.

    One range for the whole data set, since between photos of one camera, scanner or sensor a value
    means the same: scaled one by one, dark photos would look like bright ones. The few training
    photos whose values lie furthest out do not decide it, as one test card would do.
    """
    deep = np.flatnonzero(~np.isnan(result.grey_ranges[:, 0]))
    if not len(deep):
        return images, []
    deciding = np.intersect1d(deep, training)
    lows, highs = result.grey_ranges[deciding if len(deciding) else deep].T
    low = float(np.quantile(lows, _OUTLYING, method="lower"))
    high = float(np.quantile(highs, 1 - _OUTLYING, method="higher"))
    source = "those of the training photos"
    if chosen is not None:
        (low, high), source = chosen, "data.grey_range"
    count = plural(len(deep), "photo is grey", "photos are grey")
    why = f"{count} with more than 8 bits: {describe_grey_range((low, high))} ({source})."
    finding = Finding("deep_grey", "", why, count=len(deep))
    return dataclasses.replace(images, grey_range=(low, high)), [finding]


def _sample(examples: Examples, config: DataConfig, usable: np.ndarray) -> np.ndarray:
    """Positions of photos to find mirrored classes by; none where nothing is flipped."""
    flips = getattr(config, "flip", "none") != "none" and getattr(config, "augment", "") != "none"
    if not flips or not examples.classes:
        return np.zeros(0, np.int64)
    labels = np.asarray(examples.labels)[usable]
    return usable[mirrored_classes.sample(labels, len(examples.classes))]


def _mirrored(
    examples: Examples, config: DataConfig, positions: np.ndarray, copies: np.ndarray
) -> list[Finding]:
    """Classes that `data.flip` turns into each other, by grey copies of some photos."""
    if not len(positions):
        return []
    side = mirrored_classes.SIDE
    return mirrored_classes.mirrored_findings(
        copies.reshape(-1, side, side), np.asarray(examples.labels)[positions], examples.classes,
        getattr(config, "flip", "none"),
    )  # fmt: skip


def _findings(
    ids: Sequence[str], paths: Sequence[str], result: ImageScan, modes: Mapping[str, int]
) -> list[Finding]:
    """What the scan found, a finding a file, and one for all modes that are converted."""
    findings = [
        Finding(kind, ids[index], why, (ids[index],), paths[index])
        for index, (kind, why) in sorted(result.faults.items())
    ]
    for kind in ("animated", "blank", "few_levels"):
        positions: list[int] = getattr(result, kind)
        findings += [Finding(kind, ids[index], "", (ids[index],)) for index in sorted(positions)]
    for index, image_format in enumerate(result.formats):
        suffix = os.path.splitext(paths[index])[1].lower()  # noqa: PTH122 - a call a photo
        if image_format and EXTENSION_OF.get(suffix, image_format) != image_format:
            why = f"it is {image_format}, the name ends in {suffix}"
            findings.append(Finding("wrong_extension", ids[index], why, (ids[index],)))
    converted = {mode: count for mode, count in modes.items() if mode not in _NOT_CONVERTED}
    if converted:
        names = {
            mode: _MODE_NAMES.get(mode, mode).replace(";16", " of 16 bits") for mode in converted
        }
        named = [f"{count:,} {names[mode]}" for mode, count in converted.items()]
        counts = join_names(named)
        total = sum(converted.values())
        why = f"{counts} {'photo becomes' if total == 1 else 'photos become'} 8-bit RGB."
        if any("-band" in mode for mode in converted):
            why += " Bands after the third are dropped."
        findings.append(Finding("converted", "", why, count=total))
    return findings


class ImageScan:
    """What N files of a data set contain, by their position in it."""

    def __init__(self, count: int) -> None:
        self.faults: dict[int, tuple[str, str]] = {}  # kind and reason of each unusable file
        self.digests = np.zeros((count, 16), np.uint8)  # of the files' bytes
        # 16 x 16 grey values; the cache has them at twice the side.
        self.thumbnails = np.zeros((count, SIDE * SIDE // 4), np.uint8)
        self.widths, self.heights = np.zeros((2, count), np.int32)  # in pixels
        # Of grey with more than 8 bits, the lowest and the highest value; NaN for other photos.
        self.grey_ranges = np.full((count, 2), np.nan)
        self.formats, self.modes = [""] * count, [""] * count  # Pillow's names
        self.animated: list[int] = []  # positions of files with more than one frame
        self.blank: list[int] = []  # positions of files of one colour
        self.few_levels: list[int] = []  # positions of dark files with 16 bits a colour
        self.files_added = 0
        self.files_read = 0  # of these now; the others were in the cache
        self.seconds = 0.0  # that it took

    def add(self, rows: Sequence[tuple[int, ImageFacts]], max_pixels: int) -> None:
        """Add some files, each with its position."""
        self.files_added += len(rows)
        usable = []
        for index, facts in rows:
            kind, why = facts.kind, facts.why
            if not kind and (too_large := size_problem(facts.width, facts.height, max_pixels)):
                kind, why = "too_large", too_large  # cached under another limit
            if kind:
                self.faults[index] = kind, why
            else:
                usable.append((index, facts))
                self._add_usable(index, facts)
        indices = [index for index, _ in usable]
        digests = b"".join(facts.digest for _, facts in usable)
        self.digests[indices] = np.frombuffer(digests, np.uint8).reshape(-1, 16)
        thumbnails = b"".join(facts.thumbnail for _, facts in usable)
        means = block_sums(np.frombuffer(thumbnails, np.uint8), SIDE) // 4
        self.thumbnails[indices] = means.reshape(-1, SIDE * SIDE // 4)

    def _add_usable(self, index: int, facts: ImageFacts) -> None:
        self.widths[index], self.heights[index] = facts.width, facts.height
        self.formats[index], self.modes[index] = sys.intern(facts.format), sys.intern(facts.mode)
        if facts.low is not None:
            self.grey_ranges[index] = facts.low, facts.high
        if facts.animated:
            self.animated.append(index)
        if facts.blank:
            self.blank.append(index)
        elif facts.mode.endswith(";16") and max(facts.thumbnail) < _DARK:
            self.few_levels.append(index)


def scan(
    paths: Sequence[str],
    max_pixels: int,
    cache: ScanCache,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> ImageScan:
    """Read and decode files, except those that are unchanged since a result was cached.

    Args:
        max_pixels: largest width x height that is decoded.
        cache: earlier results; new ones are added, also when this is interrupted.
    """
    began = time.monotonic()
    result = ImageScan(len(paths))
    states: dict[int, FileState] = {}
    fresh: list[tuple[str, FileState, ImageFacts]] = []
    unread = _unread(paths, cache, max_pixels, result, states)
    try:
        with contextlib.closing(_probe(paths, unread, max_pixels, threads)) as probed:
            for rows in probed:
                result.add(rows, max_pixels)
                result.files_read += len(rows)
                fresh += [(paths[i], states.pop(i), facts) for i, facts in rows if i in states]
                if len(fresh) >= _SAVE_EVERY:
                    cache.put(fresh)
                    fresh = []
                if progress is not None:
                    progress(result.files_added, len(paths))
    finally:
        cache.put(fresh)
    result.seconds = time.monotonic() - began
    return result


def _unread(
    paths: Sequence[str],
    cache: ScanCache,
    max_pixels: int,
    result: ImageScan,
    states: dict[int, FileState],
) -> Iterator[list[int]]:
    """The files that have to be read, some at a time, and their `states`; the others are added to
    the result. The cache is asked as it goes, while threads read what came before."""
    for start in range(0, len(paths), _CHUNK):
        part = range(start, min(start + _CHUNK, len(paths)))
        for index in part:
            with contextlib.suppress(OSError):
                status = os.stat(paths[index])  # noqa: PTH116 - a call a photo, without objects
                states[index] = (status.st_size, status.st_mtime_ns)
        cached = cache.get([paths[index] for index in part], [states.get(i) for i in part])
        rows = [(index, facts) for index, facts in zip(part, cached, strict=True) if facts]
        result.add(rows, max_pixels)
        for index, _ in rows:
            del states[index]
        if left := [index for index, facts in zip(part, cached, strict=True) if facts is None]:
            yield left


def _probe(
    paths: Sequence[str], unread: Iterator[list[int]], max_pixels: int, threads: int | None
) -> Generator[list[tuple[int, ImageFacts]], None, None]:
    """Probe the unread files on threads, which end at once when this is closed."""
    stopped, threads = threading.Event(), threads or available_cores()

    def probe_chunk(chunk: Sequence[int]) -> list[tuple[int, ImageFacts]]:
        return [(index, probe(paths[index], max_pixels)) for index in chunk if not stopped.is_set()]

    with warnings.catch_warnings(), ThreadPoolExecutor(threads, "fmkit-scan") as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it is a finding of ours

        def submit(count: int) -> set[Future]:
            return {pool.submit(probe_chunk, chunk) for chunk in itertools.islice(unread, count)}

        try:
            waiting = submit(4 * threads)
            while waiting:
                ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                waiting |= submit(len(ready))
                yield [row for future in ready for row in future.result()]
        finally:
            stopped.set()
