import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from fmkit.config.registry import config_class
from fmkit.config.schema.keys import key_infos
from fmkit.config.schema.optimizer import (
    AdamConfig,
    LionConfig,
    MuonConfig,
    OptimizerConfig,
    SgdConfig,
)
from fmkit.core.errors import ConfigError
from fmkit.optim import optimizers
from fmkit.optim.schedules import Schedule

RATES = {"adamw": 0.01, "adam": 0.01, "sgd": 0.05, "lion": 0.003, "muon": 0.01}

NAMES = key_infos(OptimizerConfig)["name"].choices


def config(name, **changes):
    return config_class("optimizer", name)(**{"name": name, **changes})


def test_the_config_names_every_optimizer():
    assert tuple(optimizers._OPTIMIZERS) == NAMES


def small_model(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16, name="hidden"),
            keras.layers.LayerNormalization(name="norm"),
            keras.layers.ReLU(),
            keras.layers.Dense(3, name="logits"),
        ]
    )


def batches(count, size=8, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count * size, 8)).astype("float32")
    targets = (inputs[:, 0] > 0).astype("int32") + (inputs[:, 1] > 0)
    return inputs, targets


def fitted(model, optimizer, size, count, seed=0):
    inputs, targets = batches(count, size, seed)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss)
    return model.fit(inputs, targets, batch_size=size, shuffle=False, epochs=1, verbose=0)


def weights(model):
    return [np.array(each) for each in model.get_weights()]


def vector(value, name="v"):
    return keras.Variable(np.asarray(value, "float32"), name=name)


@pytest.mark.parametrize("name", NAMES)
def test_lowers_the_loss(name):
    model = small_model()
    schedule = Schedule(RATES[name], total_steps=80, warmup_steps=4)
    settings = config(name, weight_decay=1e-3, ema=0.9)
    optimizer = optimizers.build(settings, schedule, model.trainable_variables)
    inputs, targets = batches(20)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss)
    before = model.evaluate(inputs, targets, verbose=0)
    model.fit(inputs, targets, batch_size=8, epochs=4, verbose=0)
    assert model.evaluate(inputs, targets, verbose=0) < 0.7 * before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("accumulation", [1, 3])
def test_weight_decay_takes_rate_times_decay_from_kernels_and_nothing_else(name, accumulation):
    model = keras.Sequential(
        [
            keras.Input((4, 6)),
            keras.layers.BatchNormalization(name="batchnorm"),
            keras.layers.Dense(6, name="hidden"),
            keras.layers.Conv1D(6, 3, name="convolution"),
            keras.layers.LayerNormalization(name="norm"),
            keras.layers.Dense(2, name="logits"),
        ]
    )
    variables = model.trainable_variables
    for variable in variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    before = [each.numpy() for each in variables]
    settings = config(name, weight_decay=0.5, accumulation=accumulation)
    optimizer = optimizers.build(settings, Schedule(0.1, 10, kind="constant"), variables)
    for _ in range(accumulation * 2):
        optimizer.apply([np.zeros(each.shape, "float32") for each in variables], variables)
    for variable, old in zip(variables, before, strict=True):
        if variable.name == "kernel":
            np.testing.assert_allclose(variable, old * (1 - 0.1 * 0.5) ** 2, rtol=1e-6)
        else:
            np.testing.assert_array_equal(variable, old)


def test_weight_decay_goes_by_role_not_only_by_rank():
    attention = keras.layers.MultiHeadAttention(2, 4, name="attention")
    attention.build((None, 5, 8), (None, 5, 8))
    decayed = {v.path for v in attention.trainable_variables if optimizers.is_decayed(v)}
    assert decayed == {
        f"attention/{part}/kernel" for part in ("query", "key", "value", "attention_output")
    }
    with keras.name_scope("vit"):
        spared = [
            keras.Variable(np.zeros((1, 5, 8)), name=name)
            for name in ("position_embedding", "pos_embed", "class_token", "cls_token")
        ]
    assert not any(optimizers.is_decayed(each) for each in spared)
    words = keras.layers.Embedding(10, 4)
    words.build()
    assert optimizers.is_decayed(words.embeddings)


def test_clips_by_the_norm_over_all_variables():
    variables = [vector([0.0, 0.0]), vector([[0.0]])]
    settings = SgdConfig(momentum=0.0, nesterov=False, clip_norm=1.0)
    optimizer = optimizers.build(settings, Schedule(1.0, 5, kind="constant"), variables)
    optimizer.apply([np.float32([3.0, 0.0]), np.float32([[4.0]])], variables)
    np.testing.assert_allclose(variables[0], [-0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(variables[1], [[-0.8]], rtol=1e-6)


def test_clips_the_average_of_accumulated_gradients():
    variables = [vector([0.0, 0.0])]
    settings = SgdConfig(momentum=0.0, nesterov=False, clip_norm=1.0, accumulation=2)
    optimizer = optimizers.build(settings, Schedule(1.0, 5, kind="constant"), variables)
    # Each is far over the limit, their average (0.3, 0.4) is not.
    optimizer.apply([np.float32([30.3, 0.4])], variables)
    np.testing.assert_array_equal(variables[0], [0, 0])
    optimizer.apply([np.float32([-29.7, 0.4])], variables)
    np.testing.assert_allclose(variables[0], [-0.3, -0.4], rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_accumulating_batches_is_one_larger_batch(name):
    results = []
    for accumulation, size in ((1, 24), (3, 8)):
        model = small_model()
        settings = config(name, weight_decay=0.01, accumulation=accumulation, ema=0.8)
        # A warm-up and a decay: the two agree only if both count updates.
        schedule = Schedule(RATES[name], total_steps=6, warmup_steps=2)
        optimizer = optimizers.build(settings, schedule, model.trainable_variables)
        fitted(model, optimizer, size=size, count=6 * 24 // size)
        assert int(optimizer.iterations) == 6
        # fit() ends by putting the average into the model, so this compares the average.
        results.append(weights(model))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_average_equals_a_hand_computation(accumulation):
    variables = [vector([[1.0, 2.0]], name="kernel")]
    settings = SgdConfig(
        momentum=0.0, nesterov=False, clip_norm=None, ema=0.9, accumulation=accumulation
    )
    optimizer = optimizers.build(settings, Schedule(0.5, 9, kind="constant"), variables)
    weight = np.array([[1.0, 2.0]])
    average = weight
    np.testing.assert_allclose(optimizer._model_variables_moving_average[0], average)
    for update, gradient in enumerate([1.0, -2.0, 3.0]):
        for _ in range(accumulation):
            np.testing.assert_allclose(
                optimizer._model_variables_moving_average[0], average, rtol=1e-6
            )
            optimizer.apply([np.full((1, 2), gradient, "float32")], variables)
        weight = weight - 0.5 * gradient
        average = weight if update == 0 else 0.9 * average + 0.1 * weight
        np.testing.assert_allclose(variables[0], weight, rtol=1e-6)
        np.testing.assert_allclose(optimizer._model_variables_moving_average[0], average, rtol=1e-6)


def test_the_learning_rate_shown_is_that_of_the_next_update():
    variables = [vector([0.0])]
    schedule = Schedule(1.0, total_steps=10, warmup_steps=4)
    optimizer = optimizers.build(SgdConfig(accumulation=2), schedule, variables)
    shown = []
    for _ in range(4):
        shown.append(float(optimizer.learning_rate))
        optimizer.apply([np.float32([1.0])], variables)
    assert shown == [0.25, 0.25, 0.5, 0.5]


def test_muon_orthogonalises_hidden_matrices_only():
    layers = {}
    for name in ("hidden", "logits", "patch_embedding", "pos_embed"):
        with keras.name_scope("model"), keras.name_scope(name):
            layers[name] = keras.Variable(np.zeros((4, 4)), name="kernel", dtype="float32")
    layers["convolution"] = keras.Variable(np.zeros((3, 3, 2, 2)), name="kernel", dtype="float32")
    optimizer = optimizers.build(MuonConfig(), Schedule(0.1, 5), list(layers.values()))
    muon = {
        name
        for (name, _), velocity in zip(layers.items(), optimizer.adam_velocities, strict=True)
        if velocity is None
    }
    assert muon == {"hidden"}


def test_a_reloaded_model_has_the_same_optimizer(tmp_path):
    model = small_model()
    settings = AdamConfig(name="adamw", weight_decay=0.1, ema=0.9, accumulation=2)
    schedule = Schedule(0.01, total_steps=10, warmup_steps=2)
    optimizer = optimizers.build(settings, schedule, model.trainable_variables)
    fitted(model, optimizer, size=8, count=4)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == optimizer.get_config()
    for each in (model, again):
        inputs, targets = batches(4, seed=5)
        each.fit(inputs, targets, batch_size=8, shuffle=False, verbose=0)
    for one, other in zip(weights(model), weights(again), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_slots_have_the_same_paths_however_often_one_is_built():
    model = small_model()
    paths = [
        [
            slot.path
            for slot in optimizers.build(
                AdamConfig(name="adamw"), Schedule(0.1, 5), model.trainable_variables
            ).variables
        ]
        for _ in range(2)
    ]
    assert paths[0] == paths[1]
    assert len(set(paths[0])) == len(paths[0])


def test_refuses_names_and_settings_that_cannot_work():
    with pytest.raises(ConfigError, match="Did you mean adam"):
        optimizers.build(AdamConfig(name="adamx"), Schedule(0.1, 5), [])
    with pytest.raises(ConfigError, match="beta_1"):
        optimizers.build(LionConfig(beta_1=0.0), Schedule(0.1, 5), [])


TWO_REPLICAS = """
import json
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy as np
from fmkit.config.schema.optimizer import SgdConfig
from fmkit.optim import optimizers

def step(strategy, accumulation=1):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
        settings = SgdConfig(
            momentum=0.0, nesterov=False, clip_norm=0.5, l2_sp=0.25, accumulation=accumulation
        )
        kernel = model.trainable_variables[0]
        optimizer = optimizers.build(
            settings, 1.0, model.trainable_variables, {id(kernel): 2.0},
            {id(kernel): keras.Variable(np.full(kernel.shape, 0.5, "float32"))},
        )
        model.compile(optimizer=optimizer, loss="mse")
    before = model.get_weights()
    inputs = np.random.default_rng(0).normal(size=(16, 8))
    model.fit(inputs, np.ones((16, 4)), batch_size=16 // accumulation, shuffle=False, verbose=0)
    kernel, bias = (a - b for a, b in zip(model.get_weights(), before))
    gradient = kernel / 2.0 + 0.25 * (before[0] - 0.5)  # twice the rate, and the decay towards 0.5
    return np.concatenate([np.ravel(gradient), bias])

two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
steps = [step(tf.distribute.get_strategy()), step(two), step(two, accumulation=4)]
print(json.dumps({"steps": [each.tolist() for each in steps]}))
"""


def test_two_replicas_clip_the_gradient_of_the_whole_batch():
    done = subprocess.run(
        [sys.executable, "-c", TWO_REPLICAS], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert np.linalg.norm(found["steps"][0]) == pytest.approx(0.5, rel=1e-5)
    for steps in found["steps"][1:]:  # of the whole batch, and of four that are accumulated
        np.testing.assert_allclose(steps, found["steps"][0], rtol=1e-4, atol=1e-6)


def ids(variables, values):
    return {id(each): value for each, value in zip(variables, values, strict=True)}


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_step_is_multiplier_times_rate_times_the_gradient_clipped_by_the_true_norm(accumulation):
    variables = [vector([0.0, 0.0]), vector([[0.0]]), vector([0.0])]
    settings = SgdConfig(momentum=0.0, nesterov=False, clip_norm=1.0, accumulation=accumulation)
    optimizer = optimizers.build(
        settings, Schedule(0.5, 9, kind="constant"), variables, ids(variables[:2], [0.25, 3.0])
    )
    slots = optimizers.build(settings, optimizer._learning_rate, variables).variables
    assert [each.path for each in slots] == [each.path for each in optimizer.variables]
    for _ in range(accumulation):
        gradients = [np.float32([3.0, 0.0]), np.float32([[4.0]]), np.float32([12.0])]  # norm 13
        optimizer.apply(gradients, variables)
    np.testing.assert_allclose(variables[0], [-0.25 * 0.5 * 3 / 13, 0.0], rtol=1e-6)
    np.testing.assert_allclose(variables[1], [[-3.0 * 0.5 * 4 / 13]], rtol=1e-6)
    np.testing.assert_allclose(variables[2], [-0.5 * 12 / 13], rtol=1e-6)  # named by nobody


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_goes_at_the_multiplied_rate(name):
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype("float32") for shape in ((4, 4), (4,), (4, 2))]
    gradients = [[rng.normal(size=each.shape).astype("float32") for each in start] for _ in "123"]

    def run(rate, factors):
        variables = [vector(each) for each in start]
        settings = config(name, weight_decay=0.1, clip_norm=None)
        schedule = Schedule(rate, 9, kind="constant")
        optimizer = optimizers.build(settings, schedule, variables, ids(variables, factors))
        for each in gradients:
            optimizer.apply(each, variables)
        return [each.numpy() for each in variables]

    slow, fast, mixed = run(0.01, [1, 1, 1]), run(0.03, [1, 1, 1]), run(0.01, [1, 3, 3])
    for found, expected in zip(mixed, (slow[0], fast[1], fast[2]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert np.abs(slow[1] - fast[1]).max() > 1e-3


def test_without_multipliers_nothing_differs_from_keras_to_the_last_bit():
    results = []
    for ours in (True, False):
        model = small_model()
        variables = model.trainable_variables
        if ours:
            settings = AdamConfig(name="adamw", weight_decay=0.1, learning_rate=0.01)
            optimizer = optimizers.build(settings, 0.01, variables, ids(variables, [1.0] * 6))
        else:
            optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.1, global_clipnorm=1.0)
            spared = [each for each in variables if each.name != "kernel"]
            optimizer.exclude_from_weight_decay(spared)
        fitted(model, optimizer, size=8, count=6)
        results.append(weights(model))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("wrapped", [False, True])
def test_l2_sp_pulls_to_the_pretrained_values_and_weight_decay_pulls_the_others_to_0(wrapped):
    kernel, bias, head = vector([[4.0]], "kernel"), vector([5.0], "bias"), vector([[6.0]], "kernel")
    variables = [kernel, bias, head]
    settings = SgdConfig(momentum=0.0, nesterov=False, weight_decay=0.5, l2_sp=0.2, ema=0.9)
    schedule = Schedule(0.1, 9, kind="constant")
    pretrained = ids(variables[:2], [vector([[1.0]]), vector([1.0])])
    multipliers = ids(variables, [0.5, 0.5, 2.0])
    optimizer = optimizers.build(settings, schedule, variables, multipliers, pretrained)
    slots = optimizers.build(settings, schedule, variables).variables
    assert [each.path for each in slots] == [each.path for each in optimizer.variables]
    if wrapped:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    for _ in range(3):
        optimizer.apply([np.zeros(each.shape, "float32") for each in variables], variables)
    np.testing.assert_allclose(kernel, [[1 + 3 * (1 - 0.1 * 0.5 * 0.2) ** 3]], rtol=1e-6)
    np.testing.assert_array_equal(bias, [5.0])
    np.testing.assert_allclose(head, [[6 * (1 - 0.1 * 2.0 * 0.5) ** 3]], rtol=1e-6)
    assert optimizers.variable_update(optimizer, kernel) == optimizers.VariableUpdate(0.5, 0.0, 0.2)
    assert optimizers.variable_update(optimizer, bias) == optimizers.VariableUpdate(0.5)
    assert optimizers.variable_update(optimizer, head) == optimizers.VariableUpdate(2.0, 0.5, 0.0)
    assert optimizers.variable_update(optimizer, vector([0.0])) == optimizers.VariableUpdate()
