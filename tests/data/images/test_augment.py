"""Presets stay in range, vary, keep labels true to the pixels, and depend on their seeds alone."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from pictures import picture

from fmkit.core.errors import ConfigError
from fmkit.data.images.augment import PRESETS, Augmentation

SIZE = 28
IMAGE = np.asarray(picture(1, (SIZE, SIZE)))


@functools.cache
def made(preset, flip):
    return Augmentation(preset, flip, SIZE)


def many(preset, flip="horizontal", seed=(1, 2), epoch=0, start=0, count=60, image=IMAGE):
    augmentation = made(preset, flip)
    indices = tf.data.Dataset.range(start, start + count)
    augmented = indices.map(lambda index: augmentation.example(image, seed, epoch, index))
    return np.stack(list(augmented.as_numpy_iterator()))


@pytest.mark.parametrize("preset", PRESETS[1:])
def test_examples_stay_in_range_and_vary(preset):
    images = many(preset)
    assert images.shape == (60, SIZE, SIZE, 3)
    assert images.dtype == np.float32
    assert np.isfinite(images).all()
    assert images.min() >= 0
    assert images.max() <= 255
    assert len({image.tobytes() for image in images}) > 25


def test_draws_depend_on_seed_epoch_and_index_alone():
    images = many("strong")
    assert np.array_equal(images[20:30], many("strong", start=20, count=10))
    for other in (many("strong", epoch=1), many("strong", seed=(1, 3)), many("strong", start=60)):
        assert (images != other).any(axis=(1, 2, 3)).mean() > 0.9


def test_the_models_precision_does_not_matter():
    images = many("medium", count=10)
    made.cache_clear()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert np.array_equal(many("medium", count=10), images)
    finally:
        keras.config.set_dtype_policy("float32")
        made.cache_clear()


def test_light_is_a_flip_and_a_shift_and_nothing_else():
    margin = round(SIZE / 14)
    padded = np.pad(IMAGE, ((margin, margin), (margin, margin), (0, 0)), "reflect")
    allowed = {"none": set(), "horizontal": set(), "both": set()}
    for top in range(2 * margin + 1):
        for left in range(2 * margin + 1):
            cut = padded[top : top + SIZE, left : left + SIZE].astype(np.float32)
            allowed["none"].add(cut.tobytes())
            allowed["horizontal"] |= {cut.tobytes(), cut[:, ::-1].tobytes()}
            allowed["both"] |= {cut[::a, ::b].tobytes() for a in (1, -1) for b in (1, -1)}
    for flip, cuts in allowed.items():
        found = {image.tobytes() for image in many("light", flip, count=300)}
        assert found <= cuts
        assert len(found) > 0.8 * len(cuts)


def test_stronger_presets_change_more():
    change = [np.abs(many(preset, flip="none") - IMAGE).mean() for preset in PRESETS[1:]]
    assert change[0] < change[1] < change[2]


def test_mixed_labels_are_those_of_the_mixed_pixels():
    """Each image is one constant of its own: its mean tells its share in the mixture."""
    augmentation = made("strong", "none")
    seed = tf.constant([5, 6])
    values = np.arange(8, dtype=np.float32) * 30
    images = np.broadcast_to(values[:, None, None, None], (8, SIZE, SIZE, 3)).copy()
    targets = np.eye(8, dtype=np.float32)
    kinds = set()
    for number in range(12):
        mixed, labels = augmentation.batch(
            tf.constant(images), tf.constant(targets), seed, epoch=0, number=number
        )
        again, _ = augmentation.batch(
            tf.constant(images), tf.constant(targets), seed, epoch=0, number=number
        )
        assert np.array_equal(mixed, again)
        assert np.allclose(np.sum(labels, axis=1), 1, atol=1e-5)
        assert np.abs(np.mean(mixed, axis=(1, 2, 3)) - labels.numpy() @ values).max() < 25
        flat = np.ptp(mixed, axis=(1, 2, 3)).max() < 1e-3
        kinds.add("mixup" if flat else "cutmix")
    assert kinds == {"mixup", "cutmix"}


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="Did you mean medium"):
        Augmentation("medum", "none", SIZE)
    with pytest.raises(ConfigError, match=r"data\.flip"):
        Augmentation("light", "vertical", SIZE)


@pytest.mark.parametrize("preset", ["none", "light", "medium", "strong", "views"])
@pytest.mark.parametrize("flip", ["none", "horizontal", "both"])
def test_a_phrase_says_what_it_does(preset, flip):
    made = Augmentation(preset, flip, SIZE)
    phrase = made.describe()
    assert phrase.startswith(preset)
    if preset != "none":
        flips = {"none": "no", "horizontal": "horizontal", "both": "horizontal and vertical"}[flip]
        assert f"{flips} flips" in phrase
    assert ("MixUp" in phrase) == made.mixes_targets
