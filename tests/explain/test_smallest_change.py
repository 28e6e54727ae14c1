"""The smallest set of parts whose removal turns an answer, against all sets by brute force."""

import itertools

import numpy as np
import pytest

from fmkit.explain.smallest_change import search


def linear(weights, bias):
    """Margins of a linear model: the weights of the parts that are left, and a bias."""
    return lambda sets: np.array(
        [bias + sum(w for k, w in enumerate(weights) if k not in gone) for gone in sets]
    )


def smallest(parts, margins):
    """The size of the smallest set that turns the answer, of all sets."""
    for size in range(1, parts + 1):
        sets = [frozenset(chosen) for chosen in itertools.combinations(range(parts), size)]
        if (margins(sets) < 0).any():
            return size
    return None


@pytest.mark.parametrize("seed", range(8))
def test_of_a_linear_model_the_smallest_set_is_found(seed):
    rng = np.random.default_rng(seed)
    weights, bias = rng.normal(size=9), -rng.uniform(0, 2)
    margins = linear(weights, bias + max(0.0, 0.5 - weights.sum() - bias))
    change = search(9, margins, most=9)
    assert change.turned
    assert len(change.parts) == smallest(9, margins)
    (after,) = margins([frozenset(change.parts)])
    assert after < 0
    assert change.after == pytest.approx(after)
    assert change.before == pytest.approx(margins([frozenset()])[0])


@pytest.mark.parametrize("seed", range(8))
def test_of_a_model_with_interactions_each_part_is_needed(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(8, 8))

    def margins(sets):
        present = np.array([[k not in gone for k in range(8)] for gone in sets], float)
        return 1.5 + np.einsum("ni,ij,nj->n", present, np.abs(matrix), present) / 8 - present.sum(1)

    shifted = margins([frozenset()])[0]
    change = search(8, lambda sets: margins(sets) - shifted + 0.7, most=8)
    if not change.turned:
        assert smallest(8, lambda sets: margins(sets) - shifted + 0.7) is None
        return
    fewer = [frozenset(change.parts) - {part} for part in change.parts]
    assert (margins(fewer) - shifted + 0.7 >= 0).all()
    if change.is_smallest:
        assert len(change.parts) == smallest(8, lambda sets: margins(sets) - shifted + 0.7)


def test_a_part_that_is_not_needed_comes_back():
    """Either of two parts alone lowers the answer most, but a pair of others turns it with one."""

    def margins(sets):
        values = []
        for gone in sets:
            values.append(1.0 - 0.3 * (0 in gone) - 0.4 * (1 in gone) - 2.0 * ({0, 2} <= gone))
        return np.array(values)

    change = search(3, margins, most=3)
    assert change.parts == (0, 2)
    assert change.is_smallest


def test_no_change_is_an_answer():
    change = search(6, linear(np.ones(6), 10.0), most=3)
    assert not change.turned
    assert len(change.parts) == 3  # those that brought it nearest
    assert change.after == pytest.approx(13.0)
    assert not search(0, linear([], 1.0), most=3).parts
    assert not search(4, linear(np.ones(4), 1.0), most=0).turned
    # A draw is no other answer: with equal values the first one is given.
    assert not search(1, linear([1.0], 0.0), most=1).turned
