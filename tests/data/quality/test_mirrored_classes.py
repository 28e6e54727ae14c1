"""Classes that a flip turns into each other are found, and others are not."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

from fmkit.config import auto_recipe
from fmkit.config.schema.data import ImageData
from fmkit.data.content.images import ImageArray
from fmkit.data.examples import Examples
from fmkit.data.quality import image_scan

ANGLES = {"right": 0, "down": 90, "left": 180, "up": 270}


def arrows(kinds, count, seed=0):
    """Arrows of many sizes and colours on noise, turned by up to 25 degrees."""
    random = np.random.default_rng(seed)
    pixels, labels = [], []
    for number in range(count):
        label = number % len(kinds)
        image = Image.new("RGB", (64, 64), tuple(random.integers(0, 120, 3).tolist()))
        width = random.uniform(22, 50)
        height, turn = width * random.uniform(0.3, 0.6), random.uniform(-25, 25)
        shape = [(-0.5, -0.12), (0.1, -0.12), (0.1, -0.5), (0.5, 0), (0.1, 0.5), (0.1, 0.12),
                 (-0.5, 0.12)]  # fmt: skip
        points = np.array(shape) * (width, height)
        angle = np.deg2rad(ANGLES[kinds[label]] + turn)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = random.uniform(width / 2, 64 - width / 2, 2)
        corners = [tuple(point) for point in points @ rotation.T + centre]
        colour = tuple(random.integers(130, 256, 3).tolist())
        ImageDraw.Draw(image).polygon(corners, fill=colour)
        noisy = np.asarray(image, float) + random.normal(0, 25, (64, 64, 3))
        pixels.append(noisy.clip(0, 255).astype(np.uint8))
        labels.append(label)
    return np.stack(pixels), np.array(labels, np.int32)


def found(pixels, labels, classes, **keys):
    """The findings of a data set in memory, as `fmkit check` and every run have them."""
    ids = tuple(map(str, range(len(labels))))
    examples = Examples(ids, labels, tuple(classes), ImageArray(pixels))
    config = ImageData(name="arrays", **keys)
    return list(image_scan.check(examples, config, None, None).findings)


@pytest.mark.parametrize("count", [60, 200])
def test_arrows_to_the_left_and_right_are_found(count):
    pixels, labels = arrows(("left", "right"), count)
    (finding,) = found(pixels, labels, ("left", "right"))
    assert finding.kind == "mirrored_classes"
    assert "'left' and 'right'" in finding.why
    assert not finding.is_error
    assert found(pixels, labels, ("left", "right"), flip="none") == []
    assert found(pixels, labels, ("left", "right"), augment="none") == []


def test_of_four_kinds_each_flip_names_its_own_two():
    kinds = ("left", "right", "up", "down")
    pixels, labels = arrows(kinds, 200)
    (finding,) = found(pixels, labels, kinds)
    assert "'left' and 'right'" in finding.why
    assert "'up'" not in finding.why
    across, along = found(pixels, labels, kinds, flip="both")
    assert "(horizontal)" in across.why
    assert "'up' and 'down'" in along.why
    assert "'left'" not in along.why


def test_nothing_is_found_where_a_flip_makes_no_other_class():
    digits = load_digits()
    pixels = (digits.images * 16).clip(0, 255).astype(np.uint8)
    names = tuple(map(str, range(10)))
    assert found(pixels, digits.target.astype(np.int32), names, flip="both") == []
    pixels, labels = arrows(("up", "down"), 100)
    assert found(pixels, labels, ("up", "down")) == []
    labels = np.random.default_rng(0).integers(0, 2, 100).astype(np.int32)
    assert found(pixels, labels, ("one", "other"), flip="both") == []  # labels at random
    assert found(pixels[:20], labels[:20], ("one", "other")) == []  # too few to tell


def test_the_recipe_leaves_flips_out_there():
    facts = auto_recipe.RunFacts(
        examples=200, classes=2, side=64, own_size=224, pretrained=True, device="cpu", cores=2,
        lengths={"head": "5"}, is_solvable=True, batch_size=32, learning_rate=0.01,
        has_mirrored_classes=True,
    )  # fmt: skip
    chosen = {choice.key: choice for choice in auto_recipe.choose(facts, ())}
    assert chosen["data.flip"].value == "none"
    kept = {choice.key: choice for choice in auto_recipe.choose(facts, ("data.flip",))}
    assert kept["data.flip"].by_user
    usual = auto_recipe.choose(dataclasses.replace(facts, has_mirrored_classes=False), ())
    assert "data.flip" not in [choice.key for choice in usual]
