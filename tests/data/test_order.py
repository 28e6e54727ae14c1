"""The order of training: exact, uniform, and the same from any step on."""

import numpy as np
import pytest

from fmkit.data.order import EpochOrder


def epoch(order, number):
    steps = range(number * order.steps_per_epoch, (number + 1) * order.steps_per_epoch)
    return np.concatenate([order.indices(step) for step in steps])


@pytest.mark.parametrize("count", [1, 2, 7, 64, 1000])
def test_every_example_comes_once_an_epoch(count):
    indices = np.arange(count) * 3 + 5
    order = EpochOrder(indices, seed=1, batch_size=4)
    for number in range(3):
        assert sorted(epoch(order, number)) == indices.tolist()


def test_a_step_depends_on_seed_and_step_alone():
    indices = np.arange(50)
    whole = [EpochOrder(indices, 3, 8).indices(step) for step in range(30)]
    for step in (29, 7, 0, 13):
        np.testing.assert_array_equal(EpochOrder(indices, 3, 8).indices(step), whole[step])
    assert any((EpochOrder(indices, 4, 8).indices(step) != whole[step]).any() for step in range(3))


def test_every_place_is_equally_likely():
    """Chi-square per degree of freedom of (example, place) counts; 1 is uniform."""
    count, epochs = 30, 900
    order = EpochOrder(np.arange(count), seed=0, batch_size=count)
    seen = np.zeros((count, count))
    for number in range(epochs):
        seen[np.arange(count), epoch(order, number)] += 1
    expected = epochs / count
    ratio = ((seen - expected) ** 2 / expected).sum() / (count - 1) ** 2
    assert 0.8 < ratio < 1.2  # about 4 standard deviations
