"""What is hidden, what of it is told to nobody, and what a painted picture is judged by."""

import keras
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import MaskedImageConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.models.backbone import Backbone
from fmkit.models.vision import small
from fmkit.tasks.self_supervised.masked_image import MaskedImage
from fmkit.tasks.self_supervised.simmim import Simmim, random_masks

PHOTOS = DataSpec("image", (), {})


def chance(seed=0):
    return np.random.default_rng(seed)


def simmim():
    return Simmim(MaskedImageConfig(), small.small_cnn(ModelConfig("small_cnn", "none")))


@pytest.mark.parametrize(
    ("side", "ratio", "block"), [(24, 0.6, 4), (24, 0.01, 6), (24, 0.99, 6), (28, 0.5, 5)]
)
def test_the_same_number_of_whole_blocks_is_hidden_in_each_image(side, ratio, block):
    found = random_masks(9, side, ratio, block, chance())
    assert found.shape == (9, side, side)
    cells = found[:, ::block, ::block]
    again = cells.repeat(block, 1).repeat(block, 2)[:, :side, :side]
    assert np.array_equal(again, found)
    counts = set(cells.sum(axis=(1, 2)).tolist())
    total = cells.shape[1] ** 2
    assert counts == {min(max(1, round(ratio * total)), total - 1)}
    assert len({each.tobytes() for each in found}) > 1


@pytest.mark.parametrize("side", [2, 8, 32, 224])
def test_blocks_are_a_sixth_of_the_side_and_something_is_left_at_any_size(side):
    found = random_masks(4, side, 0.6, None, chance())
    assert all(0 < each.mean() < 1 for each in found)
    assert np.array_equal(found, random_masks(4, side, 0.6, max(1, round(side / 6)), chance()))
    assert 0 < random_masks(4, side, 0.6, 4096, chance()).mean() < 1


def test_nothing_of_what_is_hidden_reaches_the_network():
    task = simmim()
    images = chance(1).uniform(0, 255, (5, 24, 24, 3)).astype(np.float32)
    (shown,), targets = task.prepare_batch(images, chance())
    mask = targets[..., 3:] == 1
    assert (shown.dtype, targets.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(targets[..., :3], images / 127.5 - 1, atol=1e-6)
    assert np.array_equal(np.where(mask, 0, shown), np.where(mask, 0, images))
    other = np.where(mask, 255 - images, images)
    (again,), _ = task.prepare_batch(other, chance())
    assert np.array_equal(again, shown)
    visible = images[0][~mask[0, ..., 0]].mean(axis=0)
    np.testing.assert_allclose(shown[0][mask[0, ..., 0]], np.tile(visible, (mask[0].sum(), 1)),
                               rtol=1e-4)  # fmt: skip


def test_the_loss_is_the_mean_error_of_hidden_pixels_alone():
    task = simmim()
    targets = chance(1).uniform(-1, 1, (3, 8, 8, 4)).astype(np.float32)
    targets[..., 3] = chance(2).random((3, 8, 8)) < 0.4
    outputs = chance(3).uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    expected = np.abs(outputs - targets[..., :3])[targets[..., 3] == 1].mean()
    assert float(task.loss(targets, outputs)) == pytest.approx(expected, rel=1e-5)
    targets[..., 3] = 0
    assert float(task.loss(targets, outputs)) == 0


@pytest.mark.parametrize(("name", "size"), [("small_cnn", 32), ("small_vit", 32)])
def test_each_cell_paints_its_own_pixels(name, size):
    model = ModelConfig(name=name, weights="none", image_size=size)
    backbone = getattr(small, name)(model)
    task = MaskedImage(MaskedImageConfig(method="simmim"), PHOTOS)
    network = keras.Model(backbone.model.input, task.head(backbone, model))
    assert network.output.shape == (None, size, size, 3)
    assert task.features.shape[1:] == (backbone.model.output.shape[-1],)
    upper = keras.Model(backbone.model.output, network.output)
    features = np.zeros((1, *backbone.model.output.shape[1:]), np.float32)
    offset = 1 if backbone.has_class_token else 0
    grid = 8 if offset else features.shape[1]
    cell, (row, column) = size // grid, (1, 2)
    place = (0, offset + row * grid + column) if offset else (0, row, column)
    features[place] = chance().normal(size=features.shape[-1])
    painted = np.abs(upper.predict(features, verbose=0)[0]).sum(axis=-1) > 0
    expected = np.zeros((size, size), bool)
    expected[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = True
    assert np.array_equal(painted, expected)
    # In a cell, pixels come row by row, as the kernel has them.
    kernel = np.zeros((features.shape[-1], cell * cell * 3), np.float32)
    kernel[:, 3 * (cell + 1)] = 1  # the red of row 1, column 1
    network.get_layer("head_pixels").set_weights([kernel, np.zeros(cell * cell * 3)])
    features[place] = 1
    red = np.argwhere(upper.predict(features, verbose=0)[0])
    assert red.tolist() == [[row * cell + 1, column * cell + 1, 0]]


def test_a_side_that_is_no_multiple_of_the_stride_is_painted_whole():
    model = ModelConfig(name="small_cnn", weights="none", image_size=28)
    task, backbone = MaskedImage(MaskedImageConfig(), PHOTOS), small.small_cnn(model)
    assert task.head(backbone, model).shape == (None, 28, 28, 3)


def test_a_backbone_that_gives_a_vector_is_refused():
    model = ModelConfig(name="small_cnn", weights="none", image_size=8)
    inner = small.small_cnn(model)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(inner.model.output)
    whole = keras.Model(inner.model.input, pooled)
    backbone = Backbone("mine", whole, 8, inner.blocks, "vector")
    with pytest.raises(ConfigError, match=r"model\.name=mine have none"):
        MaskedImage(MaskedImageConfig(), PHOTOS).head(backbone, model)
