"""What the encoder sees of an image, what the decoder is told, and what a painted patch is for."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import MaskedImageConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.models import composite_backbone
from fmkit.models.backbone import Backbone, Block, Patches
from fmkit.models.vision import small
from fmkit.tasks.self_supervised import mae
from fmkit.tasks.self_supervised.masked_image import MaskedImage
from fmkit.train.task_model import TaskModel

PHOTOS = DataSpec("image", (), {})
MODEL = ModelConfig(name="small_vit", weights="none", image_size=24)


def chance(seed=0):
    return np.random.default_rng(seed)


def photos(count=3, size=24, seed=1):
    return chance(seed).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def made(**keys):
    backbone = small.small_vit(MODEL)
    task = MaskedImage(MaskedImageConfig(**keys), PHOTOS)
    output = task.head(backbone, MODEL)
    return backbone, task, TaskModel([backbone.model.input, *task.extra_inputs], output, task)


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_a_vision_transformer_is_trained_by_mae_and_says_so():
    backbone, task, learner = made()
    assert task.resolved_config == MaskedImageConfig(
        method="mae", mask_ratio=0.75, decoder_width=32
    )
    assert learner.output.shape == (None, 27, 48)  # of 36 patches three quarters, 4 x 4 x 3 each
    assert task.features is not None
    assert {id(each) for each in backbone.model.weights} <= {id(each) for each in learner.weights}
    _, task, learner = made(method="simmim")
    assert task.resolved_config == MaskedImageConfig(method="simmim", mask_ratio=0.6)
    assert learner.output.shape == (None, 24, 24, 3)


def test_what_is_hidden_changes_nothing_that_the_network_computes():
    _, task, learner = made()
    images = photos()
    (shown, order), _ = task.prepare_batch(images, chance())
    assert np.array_equal(shown, images)
    assert order.dtype == np.int32
    assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(36), (3, 1)))
    assert len({each.tobytes() for each in order}) == 3
    before = numbers(learner([images, order]))
    changed = images.copy()
    for row, places in enumerate(order):
        for place in places[9:]:  # nine are visible
            top, left = 4 * (place // 6), 4 * (place % 6)
            changed[row, top : top + 4, left : left + 4] = 0
    assert (changed != images).mean() > 0.7
    np.testing.assert_array_equal(numbers(learner([changed, order])), before)
    place = order[0, 0]
    changed[0, 4 * (place // 6), 4 * (place % 6)] += 50
    after = numbers(learner([changed, order]))
    assert np.abs(after[0] - before[0]).max() > 1e-4
    np.testing.assert_array_equal(after[1:], before[1:])


def test_the_encoder_on_all_tokens_is_the_backbone_and_on_some_does_without_the_others():
    backbone = small.small_vit(MODEL)
    patches, images = backbone.patches, photos()
    tokens = keras.Model(backbone.model.input, patches.tokens)(images)
    some = keras.Input((None, 64))
    encoder = keras.Model(some, patches.encode(some))
    expected = numbers(backbone.model(images))
    np.testing.assert_allclose(numbers(encoder(tokens)), expected, atol=1e-6)
    mixed = chance().permutation(37)
    swapped = numbers(encoder(numbers(tokens)[:, mixed]))
    np.testing.assert_allclose(swapped, expected[:, mixed], atol=1e-5)
    few = numbers(encoder(numbers(tokens)[:, :5]))
    assert few.shape == (3, 5, 64)
    assert np.abs(few - expected[:, :5]).max() > 1e-3
    assert {id(each) for each in encoder.weights} <= {id(each) for each in backbone.model.weights}


def test_tokens_are_gathered_image_by_image():
    tokens, places = chance().normal(size=(3, 7, 5)), chance().integers(0, 7, (3, 4))
    inputs = keras.Input((7, 5)), keras.Input((4,), dtype="int32")
    gather = keras.Model(inputs, mae._gather(*inputs))
    found = numbers(gather([tokens, places]))
    expected = np.take_along_axis(tokens, places[..., None], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_targets_are_the_hidden_patches_each_by_its_own_mean_and_variance():
    _, task, _ = made(mask_ratio=0.5)
    images = photos(2)
    (_, order), targets = task.prepare_batch(images, chance())
    assert targets.shape == (2, 18, 48)
    assert targets.dtype == np.float32
    for row in range(2):
        for number, place in enumerate(order[row, 18:]):
            top, left = 4 * (place // 6), 4 * (place % 6)
            patch = images[row, top : top + 4, left : left + 4].reshape(-1) / 127.5 - 1
            expected = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 1e-6)
            np.testing.assert_allclose(targets[row, number], expected, atol=1e-4)
    assert (mae.normalised(np.full((1, 1, 48), 200.0)) == 0).all()


def test_the_loss_is_the_mean_squared_error():
    _, task, learner = made()
    inputs, targets = task.prepare_batch(photos(), chance())
    learner.compile()
    outputs = learner.predict(inputs, verbose=0)
    expected = ((outputs - targets) ** 2).mean()
    assert float(task.loss(targets, outputs, None, True)) == pytest.approx(expected, rel=1e-5)
    told = learner.evaluate(inputs, targets, verbose=0, return_dict=True)
    assert told["loss"] == pytest.approx(expected, rel=1e-5)


def test_gradients_reach_the_embedding_every_block_and_all_of_the_decoder():
    backbone, task, learner = made(decoder_depth=2)
    inputs, targets = task.prepare_batch(photos(8), chance())
    with tf.GradientTape() as tape:
        loss = task.loss(targets, learner(list(inputs), training=True), None, True)
    variables = learner.trainable_variables
    assert len(variables) == len(learner.weights)
    for variable, gradient in zip(
        variables, tape.gradient(loss, [each.value for each in variables]), strict=True
    ):
        # A key's bias moves all scores of a query alike, which softmax does not see.
        assert "key/bias" in variable.path or np.abs(numbers(gradient)).max() > 0, variable.path
    assert {id(each) for each in backbone.model.weights} <= {id(each) for each in variables}


def test_a_place_has_the_position_that_the_paper_gives_it():
    table = mae.position_table(5, 16)
    assert table.shape == (25, 16)
    frequencies = 1 / 10_000 ** (np.arange(4) / 4)
    row, column = 3, 1
    expected = [
        *np.sin(column * frequencies), *np.cos(column * frequencies),
        *np.sin(row * frequencies), *np.cos(row * frequencies),
    ]  # fmt: skip
    np.testing.assert_allclose(table[5 * row + column], expected, atol=1e-6)


@pytest.mark.parametrize(("ratio", "hidden"), [(0.01, 1), (0.5, 18), (0.99, 35)])
def test_something_is_hidden_and_something_is_left(ratio, hidden):
    _, task, learner = made(mask_ratio=ratio, decoder_width=8, decoder_depth=1)
    assert learner.output.shape[1] == hidden
    (_, order), targets = task.prepare_batch(photos(1), chance())
    assert (order.shape, targets.shape) == ((1, 36), (1, hidden, 48))


def test_the_decoder_has_the_size_that_is_asked_for():
    _, _, learner = made(decoder_width=40, decoder_depth=3)
    assert learner.get_layer("head_embedding").output.shape == (None, 10, 40)
    blocks = [each.name for each in learner.layers if each.name.startswith("head_block")]
    assert blocks == ["head_block0", "head_block1", "head_block2"]
    _, _, learner = made()
    assert learner.get_layer("head_embedding").output.shape[-1] == 32


def test_what_cannot_be_is_refused():
    model = ModelConfig(name="small_cnn", weights="none", image_size=24)
    backbone = small.small_cnn(model)
    with pytest.raises(ConfigError, match=r"model\.name=small_cnn cannot leave patches out"):
        MaskedImage(MaskedImageConfig(method="mae"), PHOTOS).head(backbone, model)
    with pytest.raises(ConfigError, match=r"task\.mask_block=4 is for task\.method=simmim"):
        made(mask_block=4)
    with pytest.raises(RuntimeError, match="call `head` first"):
        MaskedImage(MaskedImageConfig(), PHOTOS).prepare_batch(photos(), chance())


def test_what_a_backbone_says_of_its_patches_must_be_true():
    backbone = small.small_vit(MODEL)
    patches = backbone.patches

    def with_patches(**keys):
        return dataclasses.replace(backbone, patches=dataclasses.replace(patches, **keys))

    with pytest.raises(ConfigError, match="received 37"):
        with_patches(leading=0)
    with pytest.raises(ConfigError, match="9 patches of 8 pixels"):
        with_patches(side=8)
    with pytest.raises(ConfigError, match="of one shape"):
        with_patches(features=backbone.model.output[:, 1:])
    early = backbone.model.get_layer("block1_add2").output
    with pytest.raises(ConfigError, match="computed without block2_norm1/gamma"):
        with_patches(features=early)


def test_a_model_of_one_patch_has_nothing_to_hide():
    images = keras.Input((8, 8, 3))
    tokens = keras.layers.Reshape((1, 192))(images)
    dense = keras.layers.Dense(8)
    model = keras.Model(images, dense(tokens))
    blocks = (Block("stem", (dense,)),)
    patches = Patches(tokens, model.output, 8, 0)
    with pytest.raises(ConfigError, match="of one shape"):
        Backbone("mine", model, 8, blocks, "tokens", patches=patches)
    patches = Patches(model.output, keras.layers.Activation("relu")(model.output), 8, 0)
    backbone = Backbone("mine", model, 8, blocks, "tokens", patches=patches)
    with pytest.raises(ConfigError, match="has only one patch"):
        MaskedImage(MaskedImageConfig(), PHOTOS).head(backbone, MODEL)


def test_a_backbone_without_leading_tokens_trains_too():
    images = keras.Input((8, 8, 3))
    cells = keras.layers.Reshape((2, 4, 2, 12))(images)
    cells = keras.layers.Reshape((4, 48))(keras.layers.Permute((1, 3, 2, 4))(cells))
    embed, mix = keras.layers.Dense(8), keras.layers.MultiHeadAttention(2, 4)
    tokens = embed(cells)
    model = keras.Model(images, mix(tokens, tokens))
    blocks = (Block("stem", (embed,)), Block("block", (mix,)))
    backbone = Backbone(
        "mine", model, 8, blocks, "tokens", patches=Patches(tokens, model.output, 4, 0)
    )
    task = MaskedImage(MaskedImageConfig(decoder_depth=1, decoder_width=8), PHOTOS)
    output = task.head(backbone, MODEL)
    learner = TaskModel([images, *task.extra_inputs], output, task)
    inputs, targets = task.prepare_batch(photos(2, 8), chance())
    assert learner.predict(inputs, verbose=0).shape == targets.shape == (2, 3, 48)


def test_read_through_another_input_the_layers_are_the_same():
    backbone = small.small_vit(MODEL)
    beside = composite_backbone.with_own_input(backbone, "other")
    assert beside.patches.tokens is not backbone.patches.tokens
    found, expected = (
        keras.Model(each.model.input, each.patches.encode(each.patches.tokens[:, :4]))
        for each in (beside, backbone)
    )
    np.testing.assert_array_equal(numbers(found(photos())), numbers(expected(photos())))
    assert {id(each) for each in found.weights} == {id(each) for each in expected.weights}
