"""Segments of photos: of what looks alike, all numbered, and the photo without some of them."""

import numpy as np
import pytest

from fmkit.explain import photo_segments


@pytest.fixture
def photo():
    """Noise around four colours, a quarter of the photo each."""
    colours = np.array([[[220, 30, 30], [30, 220, 30]], [[30, 30, 220], [220, 220, 30]]])
    noise = np.random.default_rng(0).integers(-15, 15, (64, 64, 3))
    return (np.kron(colours, np.ones((32, 32, 1), int)) + noise).astype(np.uint8)


def test_segments_do_not_cross_edges_and_have_every_number(photo):
    count = photo_segments.SEGMENTS
    labels = photo_segments.segments(photo)
    assert labels.shape == (64, 64)
    numbers, sizes = np.unique(labels, return_counts=True)
    assert numbers.tolist() == list(range(len(numbers)))
    assert count / 2 <= len(numbers) <= count * 1.5
    quarter = np.kron([[0, 1], [2, 3]], np.ones((32, 32), int))
    inside = sum(np.bincount(quarter[labels == k]).max() for k in numbers)
    assert inside / sizes.sum() > 0.98


def test_a_photo_smaller_than_its_grid_has_segments_too():
    labels = photo_segments.segments(np.zeros((8, 8, 3), np.uint8))
    assert labels.shape == (8, 8)
    assert labels.min() == 0


def test_removed_segments_are_out_of_focus_and_the_rest_is_as_it_was(photo):
    labels = photo_segments.segments(photo)
    blurred = photo_segments.blurred(photo)
    assert blurred[:8, :8].std() < photo[:8, :8].std()
    changed = photo_segments.without(photo, blurred, labels, {0, 3})
    is_gone = np.isin(labels, [0, 3])
    np.testing.assert_array_equal(changed[~is_gone], photo[~is_gone])
    np.testing.assert_allclose(changed[is_gone], blurred[is_gone], atol=1)
    np.testing.assert_array_equal(photo_segments.without(photo, blurred, labels, ()), photo)
