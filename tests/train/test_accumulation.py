"""`optimizer.accumulation`: the update is that of one large batch, which plain Keras computes here.

The large batch is padded to the longest of its rows; losses are written out, not those of the
tasks.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from small_runs import assembled, settings, train

from fmkit.config.schema.optimizer import SgdConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import MaskedImageConfig
from fmkit.optim.update_rule import UpdateRule
from fmkit.optim.windows import UpdateWindows
from fmkit.tasks.base import Task
from fmkit.tasks.language.token_losses import UNUSED, TokenTask
from fmkit.tasks.self_supervised.simmim import Simmim
from fmkit.train.checkpoints import variables
from fmkit.train.task_model import TaskModel

SIZES = (6, 6, 5)  # the last batch is smaller
SGD = SgdConfig(momentum=0.0, nesterov=False, clip_norm=None, weight_decay=0.0)
RNG = np.random.default_rng(0)


class Weighted(Task):
    """As `Classification` with class weights."""

    def __init__(self):
        self._loss = keras.losses.CategoricalCrossentropy(from_logits=True)

    def loss(self, targets, outputs, weights, training):
        return self._loss(targets, outputs, sample_weight=weights)


class HiddenPixels(Task):
    """As `MaskedImage` with SimMIM's loss."""

    def __init__(self):
        self._method = Simmim(MaskedImageConfig(), None)

    def loss(self, targets, outputs, weights, training):
        return self._method.loss(targets, outputs)

    def loss_weight(self, targets):
        return self._method.loss_weight(targets)


def tokens():
    """Batches of rows of 4 to 9 tokens of 5 classes, many of them without a target."""
    batches = []
    for size, length, share in zip(SIZES, (4, 9, 7), (0.9, 0.2, 0.6), strict=True):
        x = RNG.normal(size=(size, length, 3)).astype("float32")
        y = RNG.integers(0, 5, (size, length)).astype("int32")
        batches.append((x, np.where(RNG.random((size, length)) < share, y, UNUSED)))
    longest = max(x.shape[1] for x, _ in batches)
    padded = [
        (np.pad(x, ((0, 0), (0, longest - x.shape[1]), (0, 0))),
         np.pad(y, ((0, 0), (0, longest - y.shape[1])), constant_values=UNUSED))
        for x, y in batches
    ]  # fmt: skip
    return batches, tuple(map(np.concatenate, zip(*padded, strict=True)))


def of_tokens(x, y, logits, weights):
    log_probabilities = ops.log_softmax(logits, axis=-1)
    right = ops.one_hot(ops.maximum(y, 0), 5) * log_probabilities
    used = ops.cast(y >= 0, "float32")
    return -ops.sum(ops.sum(right, -1) * used) / ops.sum(used)


def classes():
    """Batches with a weight for each example, those of the last batch large."""
    batches = []
    for number, size in enumerate(SIZES):
        x = RNG.normal(size=(size, 3)).astype("float32")
        y = np.eye(5, dtype="float32")[RNG.integers(0, 5, size)]
        batches.append((x, y, RNG.uniform(0.1, 1 + 4 * number, size).astype("float32")))
    return batches, tuple(map(np.concatenate, zip(*batches, strict=True)))


def of_classes(x, y, logits, weights):
    losses = -ops.sum(y * ops.log_softmax(logits, axis=-1), axis=-1)
    return ops.sum(losses * weights) / ops.cast(ops.shape(y)[0], "float32")


def pixels():
    """Batches of images, most pixels of the first hidden and few of the others."""
    batches = []
    for size, share in zip(SIZES, (0.9, 0.2, 0.5), strict=True):
        x = RNG.normal(size=(size, 4, 4, 3)).astype("float32")
        mask = (RNG.random((size, 4, 4, 1)) < share).astype("float32")
        batches.append((x, np.concatenate([RNG.normal(size=x.shape), mask], -1).astype("float32")))
    return batches, tuple(map(np.concatenate, zip(*batches, strict=True)))


def of_pixels(x, y, outputs, weights):
    errors = ops.mean(ops.abs(y[..., :3] - outputs), axis=-1) * y[..., 3]
    return ops.sum(errors) / ops.sum(y[..., 3])


CASES = {
    "tokens": (lambda: TokenTask.__new__(TokenTask), tokens, of_tokens, (None, 3), 5),
    "weights": (Weighted, classes, of_classes, (3,), 5),
    "masks": (HiddenPixels, pixels, of_pixels, (4, 4, 3), 3),
}


def network(shape, width):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    return inputs, keras.layers.Dense(width, activation="tanh")(keras.layers.Dense(4)(inputs))


def accumulated(task, batches, shape, width):
    """Weights after one update of all batches; each is shared among the devices there are."""
    model = TaskModel(*network(shape, width), task)
    model.whole_batch = max(SIZES)
    rule = model.update_rule = UpdateRule()
    config = dataclasses.replace(SGD, accumulation=len(batches))
    rule.build(model, config, 1.0, {}, {}, UpdateWindows(len(batches), 99, 99))
    model.compile(optimizer=rule.optimizers[""], jit_compile=False)
    signature = (
        tf.TensorSpec((None, *shape), "float32"),
        *(tf.TensorSpec([None] * array.ndim, array.dtype) for array in batches[0][1:]),
    )
    dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    model.fit(dataset, steps_per_epoch=len(batches), verbose=0)
    return [np.asarray(ops.convert_to_tensor(weight)) for weight in model.trainable_variables]


def large(batch, loss, shape, width):
    """The same after one batch, in plain Keras."""

    class Plain(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return loss(x, y, y_pred, sample_weight)

    model = Plain(*network(shape, width))
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    model.train_on_batch(*batch)
    return [np.asarray(weight) for weight in model.trainable_variables]


@pytest.mark.parametrize("name", CASES)
def test_an_update_of_unequal_batches_is_that_of_one_large_batch(name):
    task, make, loss, shape, width = CASES[name]
    batches, whole = make()
    expected = large(whole, loss, shape, width)
    for value, right in zip(accumulated(task(), batches, shape, width), expected, strict=True):
        np.testing.assert_allclose(value, right, atol=2e-6)
    # A mean of the batches' means is another update.
    means = [large(batch, loss, shape, width) for batch in batches]
    apart = [np.abs(np.mean(value, axis=0) - right).max()
             for *value, right in zip(*means, expected, strict=True)]  # fmt: skip
    assert max(apart) > 1e-3


TWO_DEVICES = """
import json
import tensorflow as tf
pieces = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], pieces)
import numpy as np
from test_accumulation import CASES, accumulated, large

strategy, apart = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), {}
for name, (task, make, loss, shape, width) in CASES.items():
    batches, whole = make()
    # Keras cannot build a model on a first batch of an odd size.
    half = tuple(array[:12] for array in whole)
    for count, parts, whole in ((3, batches, whole), (1, [half], half)):
        expected = large(whole, loss, shape, width)
        with strategy.scope():
            weights = accumulated(task(), parts, shape, width)
        pairs = zip(weights, expected, strict=True)
        apart[f"{name} {count}"] = max(float(np.abs(a - b).max()) for a, b in pairs)
print(json.dumps(apart))
"""


@pytest.mark.slow
def test_two_devices_make_the_update_of_one_large_batch():
    """In one batch their shares have unequal numbers of tokens, too."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parent,
    )  # fmt: skip
    apart = json.loads(done.stdout.splitlines()[-1])
    assert len(apart) == 2 * len(CASES)
    assert max(apart.values()) < 2e-6, apart


def test_the_last_window_of_an_epoch_is_applied(tmp_path):
    """7 batches of 7 and 6, 4 of them accumulated: two updates an epoch, of 28 and of 20 images."""
    stage = {"full": PhaseConfig(epochs="12 steps", batchnorm="frozen", learning_rate=0.05)}
    config = settings(stage, data_batch_size=7, runtime_keep=9, runtime_log_every=1)
    config.optimizer = dataclasses.replace(
        SGD, accumulation=4, schedule="linear", warmup="0%", learning_rate=0.05
    )
    done = train(tmp_path, config)
    trained, model = done.saved(12), done.assembly.model
    (phase,), rates = done.assembly.phases, [0.05, 0.0375, 0.025, 0.0125]  # 4 updates
    assert [row["learning_rate"] for row in done.rows if "val_loss" not in row] == pytest.approx(
        [0.05] * 3 + [0.0375] * 3 + [0.025] * 4 + [0.0125] + [0.0]
    )
    images, labels = zip(*done.assembly.training_batches(phase, 0, 12), strict=True)
    first = assembled_weights(config)
    for path, variable in variables.by_path(model.variables).items():
        variable.assign(first[path])
    plain = keras.Model(model.inputs, model.outputs)
    plain.compile(
        keras.optimizers.SGD(0.05), keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    windows = ((0, 4), (4, 7), (7, 11), (11, 12))
    for rate, (begin, end) in zip(rates, windows, strict=True):
        plain.optimizer.learning_rate = rate
        plain.train_on_batch(np.concatenate(images[begin:end]), np.concatenate(labels[begin:end]))
    for path, value in variables.arrays(model.variables).items():
        np.testing.assert_allclose(trained[path], value, atol=2e-6, err_msg=path)
    assert np.abs(trained["logits/kernel"] - first["logits/kernel"]).max() > 1e-2


def assembled_weights(config):
    """The weights that a run of a config starts from."""
    return variables.arrays(assembled(config).model.variables)
