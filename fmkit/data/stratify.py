"""Stratified sampling: shares per class that add up, ordered by a hash of ids alone."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from fmkit.core.errors import ConfigError, received
from fmkit.data.examples import Examples


def hash_ranks(ids: Iterable[str], salt: str) -> np.ndarray:
    """A pseudo-random number per id, uint64, that depends on `salt` and the id and nothing else."""
    digests = (hashlib.sha256(f"{salt}\0{name}".encode()).digest()[:8] for name in ids)
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def sample_by_id(ids: Sequence[str], indices: np.ndarray, count: int, salt: str) -> np.ndarray:
    """At most `count` of the positions, sorted; the examples' ids and `salt` decide which."""
    indices = np.asarray(indices, np.int64)
    if len(indices) <= count:
        return indices
    ranks = hash_ranks((ids[index] for index in indices), salt)
    return np.sort(indices[np.argsort(ranks, kind="stable")[:count]])


def ranked_members(labels: np.ndarray, ranks: np.ndarray) -> dict[int, np.ndarray]:
    """By label in rising order, the positions that have it, those with the lowest rank first.

    Args:
        labels: (N,) whole numbers.
        ranks: (N,); equal ones keep their order.
    """
    order = np.lexsort((ranks, labels))
    names, starts = np.unique(labels[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=False))


def allocate(counts: ArrayLike, total: int, least: ArrayLike, most: ArrayLike) -> np.ndarray:
    """Divide `total` in proportion to `counts` by largest remainder (Hamilton's method).

    Args:
        counts: examples of each class, (C,).
        total: what the shares add up to, as far as `least` and `most` allow.
        least: the smallest share of each class, (C,).
        most: the largest share of each class, (C,); it takes precedence over `least`.

    Returns:
        Whole shares, (C,) int64.
    """
    counts, least, most = (np.asarray(values, np.int64) for values in (counts, least, most))
    quotas = counts * total / max(1, int(counts.sum()))
    lower = np.minimum(least, most)
    shares = np.clip(np.floor(quotas).astype(np.int64), lower, most)
    while shares.sum() != total:
        step = 1 if shares.sum() < total else -1
        adjustable = shares < most if step > 0 else shares > lower
        if not adjustable.any():
            break
        # Rounded: otherwise noise in the last bit of a float decides between equal remainders.
        remainder = np.round((quotas - shares) * step, 9)
        remainder[~adjustable] = -np.inf
        shares[int(np.argmax(remainder))] += step
    return shares


def strata(examples: Examples) -> tuple[np.ndarray, int]:
    """The stratum of each example, (N,) whole numbers, and how many strata there may be.

    Its class, or what its annotations say (the rarest label of a set); else all are in one.
    """
    own = None if examples.annotations is None else examples.annotations.strata()
    return own or (examples.labels, max(1, len(examples.classes)))


def listed_strata(examples: Examples) -> tuple[np.ndarray, int]:
    """The strata as of `strata` by the labels that the source lists, whatever became of them."""
    stratum, count = strata(examples)
    listed = examples.listed_strata
    return (stratum, count) if listed is None else (listed, max(count, int(listed.max()) + 1))


def limit_examples(examples: Examples, limit: int | None) -> Examples:
    """At most `limit` examples, the same share of each class and named split, in the old order.

    The hash of their ids decides which ones, so that adding a file changes few of them.

    Raises:
        ConfigError: the limit leaves some class without an example.
    """
    if limit is None or limit >= len(examples):
        return examples
    stratum, count = listed_strata(examples)
    cells = stratum.astype(np.int64)
    if examples.splits is not None:
        _, split_numbers = np.unique(examples.splits, return_inverse=True)
        cells = cells + count * split_numbers
    numbers, counts = np.unique(cells, return_counts=True)
    if limit < len(numbers):
        noun = "label" if examples.annotations is not None else "class"
        raise ConfigError(
            received("data.limit", limit, f"at least {len(numbers)}, one per {noun} and split")
        )
    shares = allocate(counts, limit, np.ones_like(counts), counts)
    by_cell = ranked_members(cells, hash_ranks(examples.ids, "limit")).values()
    sampled = [members[:share] for members, share in zip(by_cell, shares, strict=True)]
    return examples.take(np.sort(np.concatenate(sampled)))
