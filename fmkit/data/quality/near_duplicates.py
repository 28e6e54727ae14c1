"""Near-duplicate search: the same photo twice, by how well small copies of the two correlate.

Near duplicates are found in three steps, each of which sees fewer pairs than the one before:

1. A difference hash of 112 bits (after Krawetz, "Kind of like that", 2013: whether grey values of
   an 8 x 8 thumbnail rise or fall to the right and downwards) is cut into 7 words; photos that
   share a word are compared, at most `_NEIGHBOURS` of them each.
2. Their 16 x 16 thumbnails must correlate by `_MIN_CORRELATION_16`.
3. Their 32 x 32 thumbnails, which only now are fetched, must correlate by `_MIN_CORRELATION_32`.

Correlation ignores brightness and contrast, so photos that were saved again, scaled or relit stay
near. The threshold was set on 2,624 photos of solar cells, which all look alike: of 3.4 million
pairs none correlates by more than .9984, while copies saved as JPEG of quality 85, and those scaled
to two thirds as well, correlate by .9994 and more. Crops and turns are not found. Photos with
hardly any contrast are not compared: noise would decide.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fmkit.core import machine

MAX_PAIRS = 20_000
"""Pairs that step 3 compares, those that correlate most first."""

_NEIGHBOURS = 32
_MAX_HASH_DISTANCE = 24  # of 112 bits
_MIN_CORRELATION_16 = 0.99
_MIN_CORRELATION_32 = 0.999
_PAIRS_AT_ONCE = 4096
_VALUES_AT_ONCE = 2**16  # grey values as float32, which stay in the processor's cache
_MIN_CONTRAST = 4.0  # standard deviation in grey levels


@machine.one_blas_thread()
def near_duplicates(
    digests: np.ndarray,
    thumbnails: np.ndarray,
    fetch_thumbnails: Callable[[list[int]], np.ndarray],
) -> list[list[int]]:
    """Groups of positions whose photos look the same though their files differ.

    Args:
        digests: (N, 16) uint8.
        thumbnails: (N, 256) uint8.
        fetch_thumbnails: positions (M,) -> their larger thumbnails, (M, 1024) uint8.
    """
    pairs = _candidates(digests, thumbnails)
    if not len(pairs):
        return []
    positions, rows = np.unique(pairs, return_inverse=True)
    large = fetch_thumbnails(positions.tolist())
    correlations = _correlations(large, _moments(large), rows.reshape(pairs.shape))
    near = pairs[correlations >= _MIN_CORRELATION_32]
    if not len(near):
        return []
    # Not SciPy's DisjointSet, whose import takes longer than a scan of 1,000 photos.
    groups = {position: [position] for position in np.unique(near).tolist()}
    for left, right in near.tolist():
        smaller, larger = sorted((groups[left], groups[right]), key=len)
        if smaller is not larger:
            larger += smaller
            groups.update(dict.fromkeys(smaller, larger))
    return sorted(sorted(group) for first, group in groups.items() if first == group[0])


def _candidates(digests: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """Pairs of positions that pass steps 1 and 2, (P, 2), those that correlate most first."""
    moments = _moments(thumbnails)
    compared = np.flatnonzero(moments[1] >= (_MIN_CONTRAST * thumbnails.shape[1]) ** 2)
    pairs, correlations = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    least, count = _MIN_CORRELATION_16, 0
    keys = np.ascontiguousarray(digests).view(np.uint64)
    for rows in _similar_hashes(_hashes(thumbnails[compared])):
        new = np.sort(compared[rows], axis=1)
        new = new[(keys[new[:, 0]] != keys[new[:, 1]]).any(axis=1)]
        correlation = _correlations(thumbnails, moments, new)
        passed = correlation >= least
        pairs.append(new[passed])
        correlations.append(correlation[passed])
        count += len(pairs[-1])
        if count >= 2 * MAX_PAIRS:  # where many photos are alike, the best are enough
            pairs, correlations = _best(pairs, correlations)
            least, count = correlations[0][-1], MAX_PAIRS
    return _best(pairs, correlations)[0][0]


def _best(
    pairs: list[np.ndarray], correlations: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The `MAX_PAIRS` that correlate most, in that order, as lists of one array."""
    joined, correlation = np.concatenate(pairs), np.concatenate(correlations)
    best = np.lexsort((joined[:, 1], joined[:, 0], -correlation))[:MAX_PAIRS]
    return [joined[best]], [correlation[best]]


def block_sums(images: np.ndarray, side: int) -> np.ndarray:
    """Sums of 2 x 2 grey values of images, (N, S * S) uint8 -> (N, S / 2, S / 2) uint16."""
    images = images.reshape(-1, side, side)
    rows = np.add(images[:, ::2], images[:, 1::2], dtype=np.uint16)
    return rows[:, :, ::2] + rows[:, :, 1::2]  # ten times as fast as a sum over two axes


def _hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Difference hashes, (N, 14) uint8: 56 bits to the right, 56 downwards."""
    small = block_sums(thumbnails, 16)
    right = (small[:, :, 1:] > small[:, :, :-1]).reshape(-1, 56)
    down = (small[:, 1:, :] > small[:, :-1, :]).reshape(-1, 56)
    return np.packbits(np.concatenate([right, down], axis=1), axis=1)


def _similar_hashes(hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of rows that share a 16-bit word of their hashes and differ in few bits, (P, 2), each
    pair once, some thousands at a time."""
    words = hashes.view(">u2").astype(np.int32)
    halves = np.pad(hashes, ((0, 0), (0, 2))).view("<u8")
    by_hash = np.lexsort(halves.T)
    places: list[np.ndarray] = []  # of each row in the orders of the words before
    for key in words.T:
        # Within a word, similar hashes are neighbours.
        order = by_hash[np.argsort(key[by_hash].astype(np.uint16), kind="stable")]
        ordered = np.pad(key[order], (0, _NEIGHBOURS), constant_values=-1)
        for start in range(0, len(order), _PAIRS_AT_ONCE):
            window = sliding_window_view(ordered[start:], _NEIGHBOURS + 1)[:_PAIRS_AT_ONCE]
            first, distance = np.nonzero(window[:, 1:] == window[:, :1])
            pairs = np.stack([order[start + first], order[start + first + distance + 1]], axis=1)
            bits = np.bitwise_count(halves[pairs[:, 0]] ^ halves[pairs[:, 1]])
            pairs = pairs[bits[:, 0] + bits[:, 1] <= _MAX_HASH_DISTANCE]
            for earlier, place in enumerate(places):  # it has been a pair by another word
                same = words[pairs[:, 0], earlier] == words[pairs[:, 1], earlier]
                apart = np.abs(place[pairs[:, 0]] - place[pairs[:, 1]])
                pairs = pairs[~(same & (apart <= _NEIGHBOURS))]
            yield from _parts(pairs)
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        places.append(place)


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of images, (N, W) uint8: their sums, and their variances by W^2, (N,) float64 each."""
    sums, squares = np.zeros((2, len(images)))
    for part in _in_cache(len(images), images):
        blocks = _exact_blocks(images[part])
        sums[part] = np.einsum("pij->p", blocks)
        squares[part] = np.einsum("pij,pij->pi", blocks, blocks).sum(axis=1, dtype=np.float64)
    return sums, images.shape[1] * squares - sums**2


def _correlations(
    images: np.ndarray, moments: tuple[np.ndarray, np.ndarray], pairs: np.ndarray
) -> np.ndarray:
    """Pearson's correlation of pairs (P, 2) of images (N, W), (P,); 0 for one without contrast."""
    left, right = pairs.T
    products = np.zeros(len(pairs))
    for part in _in_cache(len(pairs), images):
        blocks = _exact_blocks(images[left[part]]), _exact_blocks(images[right[part]])
        products[part] = np.einsum("pij,pij->pi", *blocks).sum(axis=1, dtype=np.float64)
    sums, variances = moments
    covariances = images.shape[1] * products - sums[left] * sums[right]
    return covariances / np.maximum(np.sqrt(variances[left] * variances[right]), 1e-6)


def _exact_blocks(images: np.ndarray) -> np.ndarray:
    """Images (N, W) uint8 cut into blocks, (N, W / 256, 256): there float32 holds the sum of
    products exactly, since it stays below 2^24."""
    return images.reshape(len(images), images.shape[1] // 256, 256).astype(np.float32)


def _in_cache(count: int, images: np.ndarray) -> Iterator[slice]:
    """Slices of a count of images, (N, W)."""
    size = max(1, _VALUES_AT_ONCE // images.shape[1])
    return (slice(start, start + size) for start in range(0, count, size))


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return np.split(rows, range(_PAIRS_AT_ONCE, len(rows), _PAIRS_AT_ONCE))
