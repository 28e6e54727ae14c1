"""The same photo twice: exact copies by digest, near copies by how alike their pixels are.

Near copies are found in three steps, each of which sees fewer pairs than the one before:

1. A difference hash of 112 bits (after Krawetz, "Kind of like that", 2013: whether grey values of
   an 8 x 8 thumbnail rise or fall to the right and downwards) is cut into 7 words; photos that
   share a word are compared, at most `_NEIGHBOURS` of them each.
2. Their 16 x 16 thumbnails must correlate by `_THUMBNAIL`.
3. Their 32 x 32 thumbnails, which only now are fetched, must correlate by `_ALIKE`.

Correlation is blind to brightness and contrast, so saving again, scaling and lighting stay near.
The threshold was set on 2,624 photos of solar cells, which all look alike: of 3.4 million pairs
none correlates by more than .9984, while copies saved as JPEG of quality 85, and those scaled to
two thirds as well, correlate by .9994 and more. Crops and turns are not found. Photos with hardly
any contrast are not compared: noise would decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

MAX_PAIRS = 20_000
"""Pairs that step 3 looks at, the most alike first."""

_NEIGHBOURS = 32
_MAX_BITS = 24  # of 112 that may differ
_THUMBNAIL = 0.99
_ALIKE = 0.999
_PART = 4096  # pairs that are compared at once
_MIN_CONTRAST = 4.0  # standard deviation in grey levels
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
    digests: np.ndarray, thumbnails: np.ndarray, fetch: Callable[[list[int]], np.ndarray]
) -> list[list[int]]:
    """Groups of positions whose photos look the same though their files differ.

    Args:
        digests: (N, 16) uint8.
        thumbnails: (N, 256) uint8.
        fetch: positions (M,) -> their larger thumbnails, (M, 1024) uint8.
    """
    candidates = _candidates(digests, thumbnails)[:MAX_PAIRS]
    if not len(candidates):
        return []
    wanted, places = np.unique(candidates, return_inverse=True)
    large, places = fetch(wanted.tolist()), places.reshape(candidates.shape)
    pairs = [
        pair.tolist()
        for part in range(0, len(candidates), _PART)
        for pair in _alike(candidates[part : part + _PART], places[part : part + _PART], large)
    ]
    return _groups(pairs)


def _alike(candidates: np.ndarray, places: np.ndarray, large: np.ndarray) -> np.ndarray:
    """The candidates that pass step 3."""
    alike = _correlations(large[places[:, 0]], large[places[:, 1]])
    return candidates[alike >= _ALIKE]


def _candidates(digests: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """Pairs of positions that pass steps 1 and 2, (P, 2), the most alike first."""
    contrast = thumbnails.std(axis=1) if len(thumbnails) else np.zeros(0)
    chosen = np.flatnonzero(contrast >= _MIN_CONTRAST)
    if len(chosen) < 2:
        return np.zeros((0, 2), np.int64)
    hashes = _hashes(thumbnails[chosen])
    found: dict[tuple[int, int], float] = {}
    for first, second in _sharing(hashes):
        bits = _ONES[hashes[first] ^ hashes[second]].sum(axis=1)
        kept = bits <= _MAX_BITS
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
    small = thumbnails.reshape(-1, 8, 2, 8, 2).astype(np.uint16).sum(axis=(2, 4))
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
