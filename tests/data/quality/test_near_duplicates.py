"""Near duplicates are those of a plain loop over all pairs, however many photos are alike."""

import itertools

import numpy as np
import pytest

from fmkit.data.quality import near_duplicates


def copies(bases, each, noise, seed=0):
    """Digests, 16 x 16 and 32 x 32 thumbnails of noisy copies of some photos, in random order."""
    draw = np.random.default_rng(seed)
    plain = draw.integers(0, 256, (bases, 8, 8)).repeat(4, axis=1).repeat(4, axis=2)
    large = plain.repeat(each, axis=0) + draw.normal(0, noise, (bases * each, 32, 32))
    large = draw.permutation(large).clip(0, 255).astype(np.uint8)
    small = large.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4)).astype(np.uint8)
    digests = draw.integers(0, 256, (len(large), 16), dtype=np.uint8)
    digests[-1] = digests[0]
    return digests, small.reshape(len(large), -1), large.reshape(len(large), -1)


def bits(thumbnail):
    grey = thumbnail.reshape(8, 2, 8, 2).sum(axis=(1, 3), dtype=int)
    right, down = grey[:, 1:] > grey[:, :-1], grey[1:] > grey[:-1]
    return np.concatenate([right.ravel(), down.ravel()])


def by_a_plain_loop(digests, small, large, most):
    """The groups where no photo has more neighbours than are compared."""
    hashes, ranked = [bits(thumbnail) for thumbnail in small], []
    for one, other in itertools.combinations(range(len(small)), 2):
        differ = hashes[one] != hashes[other]
        shares_a_word = not differ.reshape(7, 16).any(axis=1).all()
        if not shares_a_word or differ.sum() > 24 or (digests[one] == digests[other]).all():
            continue
        correlation = np.corrcoef(small[one], small[other])[0, 1]
        if correlation >= 0.99:
            ranked.append((-correlation, one, other))
    groups = {number: {number} for number in range(len(small))}
    for _, one, other in sorted(ranked)[:most]:
        if np.corrcoef(large[one], large[other])[0, 1] >= 0.999:
            groups[one] |= groups[other]
            for number in groups[one]:
                groups[number] = groups[one]
    return sorted({tuple(sorted(group)) for group in groups.values() if len(group) > 1})


@pytest.mark.parametrize(("bases", "each", "noise"), [(1, 30, 1.5), (9, 3, 2.0), (30, 1, 2.0)])
@pytest.mark.parametrize("at_once", [5, 4096])
@pytest.mark.parametrize("most", [4, 20_000])
def test_the_groups_are_those_of_a_plain_loop(monkeypatch, bases, each, noise, at_once, most):
    monkeypatch.setattr(near_duplicates, "MAX_PAIRS", most)
    monkeypatch.setattr(near_duplicates, "_PAIRS_AT_ONCE", at_once)
    digests, small, large = copies(bases, each, noise)
    found = near_duplicates.near_duplicates(digests, small, lambda rows: large[rows])
    expected = by_a_plain_loop(digests, small, large, most)
    assert [tuple(group) for group in found] == expected
    assert bool(expected) == (each > 1)


def test_photos_without_contrast_and_no_photos_at_all():
    grey = np.full((5, 256), 100, np.uint8)
    digests = np.arange(80, dtype=np.uint8).reshape(5, 16)
    for count in (5, 1, 0):
        assert near_duplicates.near_duplicates(digests[:count], grey[:count], None) == []
