"""The order of training: exact, uniform, and the same from any step on."""

import numpy as np
import pytest

from fmkit.data.loaders.sampler import EpochOrder, LengthOrder


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


def test_an_order_is_that_of_earlier_versions():
    """Runs of version 0.3 resume in it: steps of two epochs, of 600 examples in batches of 8."""
    order = EpochOrder(np.arange(600), 3, 8)
    assert order.indices(70).tolist() == [528, 423, 510, 466, 552, 171, 355, 282]
    assert order.indices(0).tolist() == [179, 211, 150, 198, 529, 142, 164, 569]
    assert order.indices(75).tolist() == [555, 299, 78, 237, 431, 564, 505, 548]


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


@pytest.mark.parametrize(("count", "batch"), [(1, 4), (7, 4), (64, 4), (1000, 8), (1000, 2000)])
def test_an_order_by_length_is_a_permutation_with_its_small_batch_last(count, batch):
    indices = np.arange(count) * 3 + 5
    lengths = np.random.default_rng(0).integers(1, 300, 3 * count + 6)
    order = LengthOrder(indices, 1, batch, lengths)
    for number in range(3):
        assert sorted(epoch(order, number)) == indices.tolist()
    sizes = [len(order.indices(step)) for step in range(order.steps_per_epoch)]
    assert sizes[:-1] == [batch] * (len(sizes) - 1)
    whole = order.indices(0, order.steps_per_epoch)
    np.testing.assert_array_equal(whole, epoch(order, 0))
    if count > 4:
        assert not np.array_equal(epoch(order, 0), epoch(order, 1))


def test_an_order_by_length_puts_like_with_like_and_batches_in_no_order_of_length():
    lengths = np.random.default_rng(0).permutation(2048)
    order = LengthOrder(np.arange(2048), 0, 16, lengths)
    steps = [lengths[order.indices(step)] for step in range(order.steps_per_epoch)]
    assert np.mean([each.max() - each.min() for each in steps]) < 60  # 2048 at random: 1800
    means = np.array([each.mean() for each in steps])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_a_step_by_length_depends_on_seed_and_step_alone():
    lengths = np.random.default_rng(0).integers(1, 300, 500)
    whole = [LengthOrder(np.arange(500), 3, 4, lengths).indices(step) for step in range(250)]
    for step in (249, 7, 130, 0):
        fresh = LengthOrder(np.arange(500), 3, 4, lengths)
        np.testing.assert_array_equal(fresh.indices(step), whole[step])
