"""The same photo twice: exact copies by digest, near copies by how alike their pixels are.

Near copies are found in three steps, each of which sees far fewer pairs than the one before:

1. A difference hash of 112 bits (after Krawetz, "Kind of like that", 2013: whether grey values of
   an 8 x 8 thumbnail rise or fall to the right and downwards) is cut into 7 words; photos that
   share a word are compared, at most `_NEIGHBOURS` of them each.
2. Their 16 x 16 thumbnails must correlate by `_THUMBNAIL`.
3. The files are decoded again, and correlate by `_ALIKE` at 32 x 32.

Correlation is blind to brightness and contrast, so saving again, scaling and lighting stay near.
The threshold was set on 2,624 photos of solar cells, which all look alike: of 3.4 million pairs
none correlates by more than .9984, while copies saved as JPEG of quality 85, and those scaled to
two thirds as well, correlate by .9994 and more. Crops and turns are not found. Photos with hardly
any contrast are not compared: noise would decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from PIL import Image

from fmkit.data.decode import FORMATS, plain
from fmkit.data.pixels import available_cores
from fmkit.data.probe import SIDE
from fmkit.data.regular import opened
from fmkit.data.scan_cache import ScanCache

MOST_PAIRS = 20_000
"""Pairs that step 3 looks at, the most alike first."""

_NEIGHBOURS = 32
_MOST_BITS = 24  # of 112 that may differ
_THUMBNAIL = 0.99
_ALIKE = 0.999
_LARGE = 32
_KEPT = 4096  # decoded photos at that size: 4 MiB
_LEAST_CONTRAST = 4.0  # standard deviation in grey levels
_ONES = np.array([bin(each).count("1") for each in range(256)], np.uint8)


def exact(digests: np.ndarray) -> list[list[int]]:
    """Groups of positions with equal digests, (N, 16) uint8, the first position first."""
    rows = np.ascontiguousarray(digests).view([("", digests.dtype)] * digests.shape[1]).ravel()
    _, inverse, counts = np.unique(rows, return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts[inverse] > 1)
    groups: dict[int, list[int]] = {}
    for index in several.tolist():
        groups.setdefault(int(inverse[index]), []).append(index)
    return list(groups.values())


def near(
    paths: Sequence[str], digests: np.ndarray, thumbnails: np.ndarray, cache: ScanCache
) -> tuple[list[list[int]], int]:
    """Groups of positions whose photos look the same though their files differ.

    Args:
        paths: the files.
        digests: (N, 16) uint8.
        thumbnails: (N, 256) uint8.
        cache: knows pairs that were compared before.

    Returns:
        The groups, and how many candidates were too many to be looked at.
    """
    candidates = _candidates(digests, thumbnails)
    left = max(0, len(candidates) - MOST_PAIRS)
    pairs = _verified(candidates[:MOST_PAIRS], paths, digests, cache)
    return _groups(pairs), left


def _candidates(digests: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """Pairs of positions that pass steps 1 and 2, (P, 2), the most alike first."""
    contrast = thumbnails.std(axis=1) if len(thumbnails) else np.zeros(0)
    chosen = np.flatnonzero(contrast >= _LEAST_CONTRAST)
    if len(chosen) < 2:
        return np.zeros((0, 2), np.int64)
    hashes = _hashes(thumbnails[chosen])
    found: dict[tuple[int, int], float] = {}
    for first, second in _sharing(hashes):
        bits = _ONES[hashes[first] ^ hashes[second]].sum(axis=1)
        kept = bits <= _MOST_BITS
        one, other = chosen[first[kept]], chosen[second[kept]]
        kept = (digests[one] != digests[other]).any(axis=1)
        one, other = np.minimum(one, other)[kept], np.maximum(one, other)[kept]
        alike = _correlations(thumbnails[one], thumbnails[other])
        for row in np.flatnonzero(alike >= _THUMBNAIL).tolist():
            found[int(one[row]), int(other[row])] = float(alike[row])
    ranked = sorted(found, key=lambda pair: (-found[pair], pair))
    return np.array(ranked, np.int64).reshape(-1, 2)


def _hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Difference hashes, (N, 14) uint8: 56 bits to the right, 56 downwards."""
    half = SIDE // 2
    small = thumbnails.reshape(-1, half, 2, half, 2).astype(np.uint16).sum(axis=(2, 4))
    right = (small[:, :, 1:] > small[:, :, :-1]).reshape(len(small), -1)
    down = (small[:, 1:, :] > small[:, :-1, :]).reshape(len(small), -1)
    return np.packbits(np.concatenate([right, down], axis=1), axis=1)


def _sharing(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows that share a 16-bit word of their hashes, some at a time."""
    octets = hashes.reshape(len(hashes), -1, 2).astype(np.uint16)
    words = octets[..., 0] << 8 | octets[..., 1]
    for column in range(words.shape[1]):
        key = words[:, column]
        order = np.lexsort((*hashes.T, key))  # within a word, similar hashes lie together
        ordered = key[order]
        for distance in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
            same = np.flatnonzero(ordered[distance:] == ordered[:-distance])
            if not len(same):
                break
            yield order[same], order[same + distance]


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's correlation row by row; 0 where a row has no contrast."""
    one = one.astype(np.float32) - one.mean(axis=1, keepdims=True)
    other = other.astype(np.float32) - other.mean(axis=1, keepdims=True)
    norms = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return (one * other).sum(axis=1) / np.maximum(norms, 1e-6)


def _verified(
    candidates: np.ndarray, paths: Sequence[str], digests: np.ndarray, cache: ScanCache
) -> list[tuple[int, int]]:
    """The candidates that pass step 3."""
    found: list[tuple[int, int]] = []
    todo: list[tuple[int, int]] = []
    for one, other in candidates.tolist():
        known = cache.alike(digests[one].tobytes(), digests[other].tobytes())
        if known is None:
            todo.append((one, other))
        elif known >= _ALIKE:
            found.append((one, other))

    large = lru_cache(_KEPT)(_large)  # a photo is in several pairs, and those lie together

    def compare(pair: tuple[int, int]) -> float:
        one, other = (large(paths[each]) for each in pair)
        if one is None or other is None:
            return 0.0
        return float(_correlations(one[None], other[None])[0])

    pool = ThreadPoolExecutor(available_cores(), "fmkit-scan")
    try:
        alike = list(pool.map(compare, todo))
    finally:
        pool.shutdown(cancel_futures=True)
    rows = zip(todo, alike, strict=True)
    cache.put_alike(
        [(digests[one].tobytes(), digests[other].tobytes(), value) for (one, other), value in rows]
    )
    return found + [pair for pair, value in zip(todo, alike, strict=True) if value >= _ALIKE]


def _large(path: str) -> np.ndarray | None:
    """A photo as 32 x 32 grey values in a row; None when it can no longer be read."""
    try:
        with opened(path) as stream, Image.open(stream, formats=FORMATS) as image:
            image.draft("L", (4 * _LARGE, 4 * _LARGE))
            grey = plain(image).convert("L")
            return np.asarray(grey.resize((_LARGE, _LARGE), Image.Resampling.BILINEAR)).ravel()
    except Exception:  # it was whole a moment ago
        return None


def _groups(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """What pairs connect, each group sorted."""
    parent: dict[int, int] = {}
    root = _finder(parent)
    for one, other in pairs:
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    groups: dict[int, list[int]] = {}
    for each in sorted(parent):
        groups.setdefault(root(each), []).append(each)
    return [group for group in groups.values() if len(group) > 1]


def _finder(parent: dict[int, int]) -> Callable[[int], int]:
    """Union-find's `find`, with path halving."""

    def root(each: int) -> int:
        parent.setdefault(each, each)
        while parent[each] != each:
            parent[each] = parent[parent[each]]
            each = parent[each]
        return each

    return root
