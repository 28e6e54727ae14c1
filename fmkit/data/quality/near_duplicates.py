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

MAX_PAIRS = 20_000
"""Pairs that step 3 compares, those that correlate most first."""

_NEIGHBOURS = 32
_MAX_HASH_DISTANCE = 24  # of 112 bits
_MIN_CORRELATION_16 = 0.99
_MIN_CORRELATION_32 = 0.999
_PAIRS_AT_ONCE = 4096
_MIN_CONTRAST = 4.0  # standard deviation in grey levels


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
    pairs = _candidates(digests, thumbnails)[:MAX_PAIRS]
    if not len(pairs):
        return []
    positions, rows = np.unique(pairs, return_inverse=True)
    large, rows = fetch_thumbnails(positions.tolist()), rows.reshape(pairs.shape)
    correlations = [
        _correlations(large[part[:, 0]], large[part[:, 1]])
        for part in np.split(rows, range(_PAIRS_AT_ONCE, len(rows), _PAIRS_AT_ONCE))
    ]
    from scipy.cluster.hierarchy import DisjointSet  # 0.3 s, and few data sets need it

    near = pairs[np.concatenate(correlations) >= _MIN_CORRELATION_32]
    sets = DisjointSet(np.unique(near).tolist())
    for left, right in near.tolist():
        sets.merge(left, right)
    return sorted(sorted(subset) for subset in sets.subsets())


def _candidates(digests: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """Pairs of positions that pass steps 1 and 2, (P, 2), those that correlate most first."""
    contrast = thumbnails.std(axis=1) if len(thumbnails) else np.zeros(0)
    compared = np.flatnonzero(contrast >= _MIN_CONTRAST)
    if len(compared) < 2:
        return np.zeros((0, 2), np.int64)
    # Difference hashes, (N, 14) uint8: 56 bits to the right, 56 downwards.
    small = thumbnails[compared].reshape(-1, 8, 2, 8, 2).astype(np.uint16).sum(axis=(2, 4))
    right = (small[:, :, 1:] > small[:, :, :-1]).reshape(len(small), -1)
    down = (small[:, 1:, :] > small[:, :-1, :]).reshape(len(small), -1)
    hashes = np.packbits(np.concatenate([right, down], axis=1), axis=1)
    correlation_of: dict[tuple[int, int], float] = {}
    for first, second in _sharing_a_word(hashes):
        distance = np.bitwise_count(hashes[first] ^ hashes[second]).sum(axis=1)
        close = distance <= _MAX_HASH_DISTANCE
        left, right = np.sort([compared[first[close]], compared[second[close]]], axis=0)
        differ = (digests[left] != digests[right]).any(axis=1)
        left, right = left[differ], right[differ]
        correlations = _correlations(thumbnails[left], thumbnails[right])
        for row in np.flatnonzero(correlations >= _MIN_CORRELATION_16).tolist():
            correlation_of[int(left[row]), int(right[row])] = float(correlations[row])
    ranked = sorted(correlation_of, key=lambda pair: (-correlation_of[pair], pair))
    return np.array(ranked, np.int64).reshape(-1, 2)


def _sharing_a_word(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows that share a 16-bit word of their hashes, some at a time."""
    octets = hashes.reshape(len(hashes), -1, 2).astype(np.uint16)
    words = octets[..., 0] << 8 | octets[..., 1]
    for column in range(words.shape[1]):
        key = words[:, column]
        order = np.lexsort((*hashes.T, key))  # within a word, similar hashes are neighbours
        ordered = key[order]
        for distance in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
            same = np.flatnonzero(ordered[distance:] == ordered[:-distance])
            if not len(same):
                break
            yield order[same], order[same + distance]


def _correlations(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Pearson's correlation row by row; 0 where a row has no contrast."""
    left = left.astype(np.float32) - left.mean(axis=1, keepdims=True)
    right = right.astype(np.float32) - right.mean(axis=1, keepdims=True)
    norms = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    return (left * right).sum(axis=1) / np.maximum(norms, 1e-6)
