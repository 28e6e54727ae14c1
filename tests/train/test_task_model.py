"""The loss of training has its regularisers, that of validation has none."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax
from small_runs import Trained, assembled, folder, images, settings

from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import ClassificationConfig
from fmkit.core.types import DataSpec
from fmkit.tasks.classification import Classification
from fmkit.train import loop
from fmkit.train.checkpoints import variables
from fmkit.train.task_model import TaskModel

SMOOTHING = 0.3


def uneven():
    """Many of the first class, few of the last."""
    examples = images(90)
    chosen = [index for index in range(90) if index % 3 == 0 or index % 9 == 1 or index < 12]
    return examples.take(np.array(chosen))


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A run whose steps are too small to change anything, and its weights."""
    stage = {"full": PhaseConfig(epochs="1", learning_rate=1e-30)}
    config = settings(stage, task_label_smoothing=SMOOTHING, task_class_weights="balanced")
    assembly = assembled(config, uneven())
    kernel = assembly.model.get_layer("logits").kernel
    kernel.assign(np.random.default_rng(3).normal(0, 2, kernel.shape))
    run = folder(tmp_path_factory.mktemp("untouched"))
    return Trained(assembly, run, loop.train(assembly, run))


def cross_entropies(done, images, targets):
    """Of each example, in float64."""
    logits = np.asarray(done.assembly.model(images, training=False), np.float64)
    return -(targets * log_softmax(logits, axis=1)).sum(axis=1)


def test_the_validation_loss_is_the_plain_cross_entropy(untouched):
    assembly = untouched.assembly
    losses = [
        cross_entropies(untouched, *batch) for batch in assembly.ordered("val").as_numpy_iterator()
    ]
    expected = np.concatenate(losses).mean()
    assert expected > 0.5
    assert untouched.rows[0]["val_loss"] == pytest.approx(expected, rel=1e-5)


def test_the_training_loss_is_smoothed_and_weighted(untouched):
    assembly = untouched.assembly
    counts = np.bincount(assembly.examples.labels[assembly.splits["train"]])
    balanced = counts.sum() / (3 * counts)
    assert balanced.max() > 2 * balanced.min()
    losses = []
    batches = assembly.training_batches(
        assembly.phases[0], 0, assembly.phases[0].steps
    ).as_numpy_iterator()
    for pictures, targets, weights in batches:
        np.testing.assert_allclose(weights, balanced[targets.argmax(axis=1)], rtol=1e-6)
        smoothed = targets * (1 - SMOOTHING) + SMOOTHING / 3
        losses.append(weights * cross_entropies(untouched, pictures, smoothed))
    assert len(np.concatenate(losses)) == counts.sum()
    assert untouched.rows[0]["loss"] == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)


def test_a_weight_penalty_counts_in_training_only():
    task = Classification(ClassificationConfig(), DataSpec("image", ("a", "b"), {}))
    inputs = keras.Input((4,))
    layer = keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.5))
    model = TaskModel(inputs, layer(inputs), task)
    x, y = np.ones((3, 4), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 0]]
    outputs = model(x)
    plain = float(model.compute_loss(x, y, outputs, training=False))
    penalised = float(model.compute_loss(x, y, outputs, training=True))
    expected = 0.5 * (np.asarray(layer.kernel) ** 2).sum()
    assert penalised - plain == pytest.approx(expected, rel=1e-5)
    assert plain == pytest.approx(-(y * log_softmax(np.asarray(outputs), axis=1)).sum(1).mean())


def test_the_task_adds_nothing_to_what_is_saved(untouched):
    paths = set(variables.by_path(untouched.assembly.model.variables))
    backbone = set(variables.by_path(untouched.assembly.backbone.model.variables))
    assert paths == backbone | {"logits/kernel", "logits/bias"}
