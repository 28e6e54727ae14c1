"""Shares of each class that add up, and an order of examples that depends on their ids alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from fmkit.core.errors import ConfigError, received
from fmkit.data.examples import Examples
from fmkit.data.targets import LabelSets


def hash_ranks(ids: Iterable[str], salt: str) -> np.ndarray:
    """A pseudo-random number per id, uint64, that depends on `salt` and the id and nothing else."""
    digests = (hashlib.sha256(f"{salt}\0{each}".encode()).digest()[:8] for each in ids)
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def allocate(
    counts: Sequence[int], total: int, least: Sequence[int], most: Sequence[int]
) -> np.ndarray:
    """Share `total` out in proportion to `counts` by largest remainder (Hamilton's method).

    Args:
        counts: examples of each class.
        total: what the shares add up to, as far as `least` and `most` let them.
        least: the smallest share of each class.
        most: the largest share of each class; it wins over `least`.

    Returns:
        Whole shares, (C,) int64.
    """
    counts_array = np.asarray(counts, dtype=np.int64)
    everything = max(1, int(counts_array.sum()))
    quotas = counts_array * total / everything
    upper = np.asarray(most, dtype=np.int64)
    shares = np.minimum(np.maximum(np.floor(quotas).astype(np.int64), least), upper)
    floors = np.minimum(least, upper)
    while shares.sum() != total:
        step = 1 if shares.sum() < total else -1
        free = shares < upper if step > 0 else shares > floors
        if not free.any():
            break
        want = np.round((quotas - shares) * step, 9)  # rounded, or noise in the last bit decides
        want[~free] = -np.inf
        shares[int(np.argmax(want))] += step
    return shares


def strata(examples: Examples) -> tuple[np.ndarray, int]:
    """What examples are shared out by, (N,) whole numbers, and how many of those there may be.

    Their class; where they have sets of labels, their rarest label; else all are alike.
    """
    if isinstance(examples.annotations, LabelSets):
        return examples.annotations.rarest(), len(examples.annotations.names) + 1
    return examples.labels, max(1, len(examples.classes))


def limit_examples(examples: Examples, limit: int | None) -> Examples:
    """At most `limit` examples, the same share of each class and named split, in the old order.

    Which ones is decided by the hash of their ids, so a file more changes few of them.

    Raises:
        ConfigError: the limit leaves some class without an example.
    """
    if limit is None or limit >= len(examples):
        return examples
    found, most = strata(examples)
    numbers = found.astype(np.int64)
    if examples.splits is not None:
        _, split_numbers = np.unique(examples.splits, return_inverse=True)
        numbers = numbers + most * split_numbers
    kinds, counts = np.unique(numbers, return_counts=True)
    if limit < len(kinds):
        word = "label" if examples.annotations is not None else "class"
        raise ConfigError(
            received("data.limit", limit, f"at least {len(kinds)}, one per {word} and split")
        )
    shares = allocate(counts.tolist(), limit, [1] * len(kinds), counts.tolist())
    rank = hash_ranks(examples.ids, "limit")
    kept: list[int] = []
    for kind, share in zip(kinds, shares, strict=True):
        members = np.flatnonzero(numbers == kind)
        kept.extend(members[np.argsort(rank[members], kind="stable")[:share]].tolist())
    return examples.take(np.array(sorted(kept), dtype=np.int64))
