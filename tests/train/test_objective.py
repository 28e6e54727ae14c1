"""Several objectives on one backbone: their loss, their gradients, their order, and going on."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax
from small_runs import Trained, folder, images, settings

from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import ClassificationConfig, JointConfig, ObjectiveConfig
from fmkit.core.errors import NonFiniteError
from fmkit.data import splits
from fmkit.data.dataset import Dataset
from fmkit.data.loaders.joint_loader import derive_seed
from fmkit.models.keras_internals import graph_nodes
from fmkit.store import metrics_log
from fmkit.store.run_dir import RunWriter
from fmkit.train import assemble, devices, freeze, loop
from fmkit.train.checkpoints import checkpoint, resume, variables
from fmkit.train.features import graph_cut

TIMES = ("seconds", "examples_per_second", "rss_bytes")
SHADES, PAIRS = ("dark", "light", "middle"), ("dim", "lit")


def shaded(count=60, seed=0):
    return images(count, seed)


def paired(count=80, seed=5):
    """The same squares told apart in another way: dark or not."""
    examples = images(count, seed)
    labels = np.minimum(examples.labels, 1).astype(np.int32)
    ids = tuple(f"pair-{each:04d}" for each in range(count))
    return dataclasses.replace(examples, ids=ids, labels=labels, classes=PAIRS)


def dataset(examples):
    found = splits.make_splits(examples, 0.2, 0.0, 0)
    return Dataset(examples, found, splits.describe(examples, found))


def joint(weighting="fixed", weights=(0.3, 0.7), stage=None, smoothing=0.0, **changes):
    """Pairs, 8 at a time, and shades, 16 at a time, which are the primary objective."""
    config = settings(stage, **changes)
    pairs = ObjectiveConfig(
        task=ClassificationConfig(name="classification", class_weights="balanced"),
        data=dataclasses.replace(config.data, batch_size=8),
        weight=weights[0],
    )
    shades = ObjectiveConfig(
        task=ClassificationConfig(name="classification", label_smoothing=smoothing),
        data=config.data,
        weight=weights[1],
    )
    config.task = JointConfig(
        name="joint", weighting=weighting, objectives={"pairs": pairs, "shades": shades}
    )
    return config


def assembled(config, primary=None):
    others = {"pairs": dataset(paired())}
    return assemble.assemble(
        config, dataset(primary or shaded()), devices.prepare(config.runtime), None, others
    )


def train(parent, config, primary=None):
    assembly, run = assembled(config, primary), folder(parent)
    return Trained(assembly, run, loop.train(assembly, run))


def first_batch(assembly):
    (batch,) = assembly.training_batches(assembly.phases[0], 0, 1).as_numpy_iterator()
    return batch


def with_learned_heads(assembly):
    """Random heads: they begin at zero, where no gradient reaches the backbone."""
    noise = np.random.default_rng(3)
    for each in assembly.model.trainable_variables:
        if each.path.endswith("kernel") and "logits" in each.path:
            each.assign(noise.normal(0, 1, each.shape))
    return assembly


def cross_entropy(logits, targets, smoothing=0.0, weights=None):
    smooth = targets * (1 - smoothing) + smoothing / targets.shape[1]
    each = -(smooth * log_softmax(np.asarray(logits, np.float64), axis=1)).sum(axis=1)
    return float((each * (1 if weights is None else weights)).mean())


def slow(assembly, batch, smoothing):
    (shades, pairs), targets, weights = batch
    first, second = (each.model for each in assembly.objectives)
    return {
        "shades": cross_entropy(first(shades, training=False), targets["shades"], smoothing),
        "pairs": cross_entropy(
            second(pairs, training=False), targets["pairs"], weights=weights["pairs"]
        ),
    }


def loss_of(assembly, batch):
    inputs, targets, weights = batch
    model = assembly.model
    outputs = model(list(inputs), training=False)
    return float(model.compute_loss(inputs, targets, outputs, weights, training=True))


def test_the_loss_of_a_mixed_batch_is_the_weighted_sum():
    assembly = with_learned_heads(assembled(joint(smoothing=0.2)))
    batch = first_batch(assembly)
    found = slow(assembly, batch, 0.2)
    assert (len(batch[0][0]), len(batch[0][1])) == (16, 8)
    wanted = 0.3 * found["pairs"] + 0.7 * found["shades"]
    assert loss_of(assembly, batch) == pytest.approx(wanted, rel=1e-5)


def test_uncertainty_weighs_by_learned_variances():
    assembly = with_learned_heads(assembled(joint("uncertainty", (1.0, 1.0))))
    (values,) = (each for each in assembly.model.variables if "log_variances" in each.path)
    values.assign([0.5, -1.0])  # shades, pairs
    found = slow(assembly, batch := first_batch(assembly), 0.0)
    wanted = np.exp(-0.5) * found["shades"] + 0.25 + np.exp(1.0) * found["pairs"] - 0.5
    assert loss_of(assembly, batch) == pytest.approx(wanted, rel=1e-5)


def test_variances_are_learned_logged_and_saved(tmp_path):
    stage = {"full": PhaseConfig(epochs="2", batchnorm="train")}
    done = train(tmp_path, joint("uncertainty", (1.0, 1.0), stage))
    last = done.rows[-1]
    (path,) = (each for each in done.saved() if "log_variances" in each)
    kept = done.saved()[path]
    assert np.all(kept != 0)
    assert [last["shades_log_variance"], last["pairs_log_variance"]] == pytest.approx(kept)


@pytest.mark.parametrize("silent", ["shades", "pairs"])
def test_each_objective_moves_the_shared_backbone(silent):
    """The gradient of the sum is the sum of the gradients, and neither is zero."""
    weights = {"pairs": 0.3, "shades": 0.7} | {silent: 0.0}
    gradients = []
    for pair in [
        (0.3, 0.7),
        (weights["pairs"], weights["shades"]),
        (0.3 - weights["pairs"], 0.7 - weights["shades"]),
    ]:
        keras.utils.set_random_seed(1)
        assembly = with_learned_heads(assembled(joint(weights=pair)))
        freeze.apply(assembly.model, assembly.backbone, assembly.phases[0])
        inputs, targets, weighed = first_batch(assembly)
        stem = assembly.backbone.blocks[0].layers[0].kernel
        with tf.GradientTape() as tape:
            outputs = assembly.model(list(inputs), training=True)
            loss = assembly.model.compute_loss(inputs, targets, outputs, weighed, True)
        gradients.append(np.asarray(tape.gradient(loss, stem.value)))
    whole, one, other = gradients
    assert np.abs(one).max() > 1e-4
    assert np.abs(other).max() > 1e-4
    np.testing.assert_allclose(whole, one + other, atol=1e-5)


def test_images_of_both_are_normalised_as_one_batch():
    assembly = with_learned_heads(assembled(joint()))
    inputs, _, _ = first_batch(assembly)
    found = assembly.model(list(inputs), training=True)
    for part, rows in zip(assembly.objectives, (slice(0, 16), slice(16, 24)), strict=True):
        whole = part.model(np.concatenate(inputs), training=True)
        np.testing.assert_allclose(found[part.name], whole[rows], atol=1e-5)


def test_backbone_is_one_and_heads_are_told_apart():
    assembly = assembled(joint())
    paths = [each.path for each in assembly.model.variables]
    assert len(paths) == len(set(paths))
    heads = {each for each in paths if each.endswith("logits/kernel")}
    assert heads == {"logits/kernel", "head_pairs/logits/kernel"}
    alone = len(assembly.objectives[0].model.variables)
    assert len(paths) == alone + 2  # a kernel and a bias


def test_a_frozen_backbone_stays_and_both_heads_learn(tmp_path):
    stage = {"head": PhaseConfig(train="head", epochs="1")}
    before = variables.arrays(assembled(joint(stage=stage)).model.variables)
    done = train(tmp_path, joint(stage=stage))
    moved = {path for path, value in done.weights.items() if np.any(value != before[path])}
    heads = ("logits/kernel", "logits/bias", "head_pairs/logits/kernel", "head_pairs/logits/bias")
    assert moved == set(heads)
    assert "objectives share" in cut_reason(done)


def cut_reason(done):
    return (done.run.folder / "log.txt").read_text()


def test_a_frozen_block_is_settled_for_every_objective():
    assembly = assembled(joint(stage={"top": PhaseConfig(train="top:1", epochs="1")}))
    freeze.apply(assembly.model, assembly.backbone, assembly.phases[0])
    graph_cut.freeze_inference(assembly.model)
    settled = {
        each.name
        for each in cut_operations(assembly)
        if id(each) in assembly.model.inference_operations
    }
    assert {"stem_bn", "block2_bn"} <= settled
    assert not {"block3_bn", "logits"} & settled


def cut_operations(assembly):
    return {node.operation for node in graph_nodes(assembly.model)}


def test_rows_have_the_figures_of_each(tmp_path):
    done = train(tmp_path, joint())
    for row in done.rows:
        for name in ("shades", "pairs"):
            assert {f"{name}_loss", f"{name}_accuracy", f"val_{name}_loss"} <= set(row)
        wanted = 0.7 * row["val_shades_loss"] + 0.3 * row["val_pairs_loss"]
        assert row["val_loss"] == pytest.approx(wanted, rel=1e-6)
    last = done.assembly.objectives[1]
    found = last.model.evaluate(last.ordered("val"), verbose=0, return_dict=True)
    assert done.rows[-1]["val_pairs_accuracy"] == pytest.approx(found["accuracy"])


def test_the_other_objective_goes_through_all_of_its_examples():
    assembly = assembled(joint())
    seen = []
    for step in range(8):  # 64 examples in batches of 8
        seen += list(assembly.loader.positions(None, 0, step)["pairs"])
    assert sorted(seen) == assembly.objectives[1].data.splits["train"].tolist()
    assert derive_seed("pairs", 0) != derive_seed("others", 0) != 0


def test_a_step_is_the_same_wherever_the_stream_begins():
    config = joint(data_augment="light", data_flip="both")
    assembly = assembled(config)
    phase = assembly.phases[0]
    whole = list(assembly.training_batches(phase, 0, 6).as_numpy_iterator())
    (later,) = assembly.training_batches(phase, 5, 1).as_numpy_iterator()
    for one, other in zip(keras.tree.flatten(whole[5]), keras.tree.flatten(later), strict=True):
        np.testing.assert_array_equal(one, other)


def everything():
    stage = {
        "top": PhaseConfig(train="top:1", epochs="2", batchnorm="train"),
        "full": PhaseConfig(epochs="2", batchnorm="train", learning_rate=0.003),
    }
    return joint(
        "uncertainty", (1.0, 1.0), stage, model_dropout=0.3, data_augment="light",
        optimizer_ema=0.8, runtime_log_every=2, runtime_save_every="1 steps", runtime_keep=99,
    )  # fmt: skip


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return train(tmp_path_factory.mktemp("untouched"), everything())


def snapshot(done):
    rows = [{key: each[key] for key in each if key not in TIMES} for each in done.rows]
    last = checkpoint.list_checkpoints(done.run.checkpoints)[-1]
    return done.weights, rows, checkpoint.read_training(last)


@pytest.mark.parametrize("step", [1, 5, 10])
def test_it_goes_on_bit_for_bit(untouched, step, tmp_path):
    expected = snapshot(untouched)
    run = RunWriter(shutil.copytree(untouched.run.folder, tmp_path / "cut"), "finetune")
    for each in checkpoint.list_checkpoints(run.checkpoints):
        if each.step > step:
            shutil.rmtree(each.folder)
    assembly = untouched.assembly
    noise = np.random.default_rng(1)
    for variable in assembly.model.variables:
        variable.assign(noise.uniform(0, 9, variable.shape).astype(variable.dtype))
    saved, problems = resume.find_state(run.checkpoints)
    assert not problems
    metrics_log.truncate(run.folder, saved.rows)
    found = snapshot(Trained(assembly, run, loop.train(assembly, run, saved)))
    assert found[1] == expected[1]
    for one, other in ((found[0], expected[0]), (found[2], expected[2])):
        assert one.keys() == other.keys()
        for path, value in one.items():
            np.testing.assert_array_equal(value, other[path], err_msg=path)


def test_a_loss_that_is_not_finite_names_the_examples_of_all(tmp_path):
    config = joint(optimizer_learning_rate=1e30, optimizer_clip_norm=None)
    with pytest.raises(NonFiniteError) as error:
        train(tmp_path, config)
    assert "step" in error.value.message
    record = json.loads((tmp_path / "run" / "nonfinite.json").read_text())
    ids = [each for batch in record["batches"] for each in batch["ids"]]
    assert {each[:3] for each in ids} == {"row", "pai"}


SEVERAL = """
import json, sys
from pathlib import Path

import tensorflow as tf

pieces = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], pieces)

from fmkit.config.schema.stage import PhaseConfig
from test_objective import joint, train

stage = {"full": PhaseConfig(epochs="2")}
config = joint("uncertainty", (1.0, 1.0), stage, runtime_devices="all")
json.dump(train(Path(sys.argv[1]), config).rows, sys.stdout)
"""


@pytest.mark.slow
def test_two_devices_learn_as_one_does(tmp_path):
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL, str(tmp_path)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stage = {"full": PhaseConfig(epochs="2")}
    one = train(tmp_path / "one", joint("uncertainty", (1.0, 1.0), stage))
    for first, second in zip(one.rows, json.loads(done.stdout), strict=True):
        for name, value in first.items():
            if name not in (*TIMES, "phase"):
                assert second[name] == pytest.approx(value, rel=1e-3, abs=1e-6), name
