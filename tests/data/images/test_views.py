"""Several views of an example in one batch, and batches that a task draws inputs from."""

import numpy as np
import pytest
import tensorflow as tf

from fmkit.core.errors import ConfigError
from fmkit.data.loaders.image_loader import ImageLoader

SIZE = 12


def loader(examples, **options):
    settings = {"image_size": SIZE, "batch_size": 4, "augment": "views", "views_per_image": 2}
    targets = np.zeros(len(examples), np.int32)
    return ImageLoader(examples, targets, **{**settings, **options})


def batches(dataset):
    return [tuple(np.asarray(part) for part in batch) for batch in dataset]


def images(dataset):
    return [each[0] for each in batches(dataset)]


def same(left, right):
    assert len(left) == len(right)
    return all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def made():
    """A function that keeps loaders, since presets take seconds to trace."""
    kept = {}

    def make(examples, **options):
        return kept.setdefault(repr(options), loader(examples, **options))

    return make


def test_a_batch_has_two_different_views_of_each_example(rows, made):
    examples = rows(11)
    found = made(examples)
    part = batches(found.train(np.arange(11), seed=3, steps=6))
    assert [x.shape for x, _ in part] == 2 * [(8, SIZE, SIZE, 3)] + [(6, SIZE, SIZE, 3)] + (
        2 * [(8, SIZE, SIZE, 3)] + [(6, SIZE, SIZE, 3)]
    )
    assert [len(y) for _, y in part] == [4, 4, 3, 4, 4, 3]
    every = np.concatenate([x for x, _ in part])
    assert every.dtype == np.float32
    assert (every.min(), every.max()) >= (0, 0)
    assert every.max() <= 255
    assert len({view.tobytes() for view in every}) == 44  # in each epoch others


def test_views_are_a_function_of_seed_and_step_alone(rows, made):
    examples, indices = rows(11), np.arange(11)
    found = made(examples)
    whole = images(found.train(indices, seed=3, steps=7))
    assert same(whole[4:], images(found.train(indices, seed=3, steps=3, start=4)))
    alone = loader(examples, parallel=1)
    assert same(whole, images(alone.train(indices, seed=3, steps=7)))
    assert not np.array_equal(whole[0], images(found.train(indices, seed=4, steps=1))[0])


def test_the_two_views_of_an_example_follow_each_other(rows, made):
    """Of images of one colour each: however they are cut, the colour tells which it is."""
    examples = rows(8)
    for index, pixels in enumerate(examples.content.pixels):
        pixels[:] = 30 * index
    found = loader(examples, augment="light")
    for views in images(found.train(np.arange(8), seed=0, steps=2)):
        colours = views.mean(axis=(1, 2, 3))
        assert np.array_equal(colours[0::2], colours[1::2])
        assert len(set(colours)) == 4


def test_what_judges_epochs_is_the_same_whatever_the_seed_and_the_preset(rows, made):
    examples, indices = rows(11), np.array([7, 2, 5, 9, 1])
    found = made(examples)
    judged = images(found.ordered(indices))
    assert [len(each) for each in judged] == [8, 2]
    assert same(judged, images(found.ordered(indices)))
    assert same(judged, images(loader(examples, augment="light").ordered(indices)))
    assert not np.array_equal(judged[0][0::2], judged[0][1::2])
    # Each example's views are its own, in whatever company.
    assert np.array_equal(judged[0][2:4], images(found.ordered(indices[1:2]))[0])


def test_plain_images_are_there_too(rows, made):
    examples, indices = rows(11), np.array([7, 2, 5, 9, 1])
    plain = images(made(examples).unaugmented(indices))
    single = loader(examples, augment="none", views_per_image=1)
    assert same(plain, images(single.ordered(indices)))
    assert [each.dtype for each in plain] == [np.uint8, np.uint8]


def test_presets_that_make_no_sense_are_refused(rows, made):
    found = made(rows(11))
    with pytest.raises(ConfigError, match="are the same"):
        found.check_augment("none")
    with pytest.raises(ConfigError, match="mixes labels"):
        found.check_augment("strong")
    found.check_augment("medium")


def drawn(images, chance):
    """Two inputs and a target that tell what was drawn."""
    noise = chance.integers(0, 1000, (len(images), 1))
    return (images, noise.astype(np.int32)), np.float32(noise) + images.mean(axis=(1, 2, 3))[
        :, None
    ]


@pytest.mark.parametrize("augment", ["none", "light"])
def test_a_task_draws_inputs_and_targets_by_seed_and_step(rows, augment):
    examples, indices = rows(11), np.arange(11)
    found = loader(examples, augment=augment, views_per_image=1, prepare_batch=drawn)

    def steps(dataset):
        return [(*map(np.asarray, inputs), np.asarray(y)) for inputs, y in dataset]

    whole = steps(found.train(indices, seed=3, steps=7))
    again = steps(found.train(indices, seed=3, steps=3, start=4))
    for one, other in zip(whole[4:], again, strict=True):
        assert same(one, other)
    for photos, noise, targets in whole:
        assert photos.dtype == np.float32
        np.testing.assert_allclose(targets - noise, photos.mean(axis=(1, 2, 3))[:, None], rtol=1e-3)
    assert len({noise.tobytes() for _, noise, _ in whole}) == 7
    other = steps(found.train(indices, seed=4, steps=1))
    assert not np.array_equal(other[0][1], whole[0][1])
    judged = steps(found.ordered(indices))
    for one, two in zip(judged, steps(found.ordered(indices)), strict=True):
        assert same(one, two)
    element = found.ordered(indices).element_spec
    assert [each.shape.as_list() for each in tf.nest.flatten(element)] == [
        [None, SIZE, SIZE, 3], [None, 1], [None, 1],
    ]  # fmt: skip


def test_large_images_are_blurred_now_and_then(rows):
    examples = rows(4, size=64)
    found = loader(examples, image_size=64, batch_size=4)
    (views,) = images(found.train(np.arange(4), seed=0, steps=1))
    assert views.shape == (8, 64, 64, 3)
    assert np.isfinite(views).all()
    assert views.min() >= 0
    assert views.max() <= 255
