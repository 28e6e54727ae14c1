"""Runs without labels through the real loop: they learn, go on bit for bit, and hand over."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
from small_runs import Trained, assembled, images, settings, train

from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import (
    ClassificationConfig,
    MaskedImageConfig,
    SimclrConfig,
    VicregConfig,
)
from fmkit.core.errors import ConfigError
from fmkit.evaluation import evaluator
from fmkit.store import metrics_log
from fmkit.store.run_dir import RunWriter
from fmkit.train import build_model, loop
from fmkit.train.checkpoints import checkpoint, resume

TASKS = {
    "simclr": SimclrConfig(projection=16, projection_hidden=32),
    "vicreg": VicregConfig(projection=16, projection_hidden=32, projection_layers=2),
    "masked_image": MaskedImageConfig(mask_block=2),
    "mae": MaskedImageConfig(mask_ratio=0.5, decoder_depth=1),
}
VECTOR = {"mae": (64, "block0_dense1/kernel")}
"""By task, the width of a feature and a kernel of the backbone; of all others the CNN's."""
TIMES = ("seconds", "examples_per_second", "rss_bytes")


def config(name, augment=None, epochs="3", **changes):
    """3 epochs of 48 images in batches of 16, or with `data_batch_size=47` one that has 1 image."""
    if name == "mae":
        changes = {"model_name": "small_vit", "optimizer_learning_rate": 0.003, **changes}
    augment = augment or ("light" if name in ("masked_image", "mae") else "views")
    stage = {"views": PhaseConfig(epochs=epochs, batchnorm="train", augment=augment)}
    found = settings(stage, runtime_save_every="1 steps", runtime_keep=99, **changes)
    found.task = dataclasses.replace(TASKS[name])
    return found


def unlabelled(examples):
    return dataclasses.replace(examples, labels=np.zeros(len(examples), np.int32), classes=())


@pytest.fixture(scope="module", params=list(TASKS))
def done(request, tmp_path_factory):
    return request.param, train(tmp_path_factory.mktemp(request.param), config(request.param))


def without_times(rows):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def test_an_epoch_has_losses_and_the_accuracy_of_neighbours(done):
    _, found = done
    rows = found.rows
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert np.isfinite([row["loss"], row["val_loss"]]).all()
        assert 0 <= row["val_knn_accuracy"] <= 1
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["val_knn_accuracy"] > 0.6  # of three classes, by features


@pytest.mark.parametrize("step", [4, 6])
def test_a_resumed_run_is_equal_bit_for_bit(done, step, tmp_path):
    """In the middle of an epoch, and between two."""
    _, found = done
    expected, rows = found.saved(9), without_times(found.rows)
    run = RunWriter(shutil.copytree(found.run.folder, tmp_path / "cut"), "pretrain")
    for each in checkpoint.list_checkpoints(run.checkpoints):
        if each.step > step:
            shutil.rmtree(each.folder)
    noise = np.random.default_rng(1)
    for variable in found.assembly.model.variables:
        variable.assign(noise.uniform(0, 9, variable.shape).astype(variable.dtype))
    saved, _ = resume.find_state(run.checkpoints)
    metrics_log.truncate(run.folder, saved.rows)
    again = Trained(found.assembly, run, loop.train(found.assembly, run, saved))
    assert without_times(again.rows) == rows
    for path, value in again.saved(9).items():
        np.testing.assert_array_equal(value, expected[path], err_msg=path)


def test_a_head_learns_on_what_was_learned_without_labels(done, tmp_path):
    name, found = done
    found.run.write_config(found.assembly.config)
    found.run.write_environment(data={"name": "synthetic", **found.assembly.spec.as_dict()})
    found.run.update(state="done", best=found.status["best"])
    stage = {"head": PhaseConfig(train="head", solver="lbfgs", augment="none")}
    model = found.assembly.config.model.name
    changes = {"model_name": model, "data_refit": "false"}
    probe = settings(stage, runtime_cache_dir=str(tmp_path / "cache"), **changes)
    probe.task, probe.init = ClassificationConfig(), str(found.run.folder)
    probed = train(tmp_path, probe)
    assert probed.assembly.started_from == {"init": str(found.run.folder), "head": False}
    before = found.saved(found.status["best"]["step"])
    after = probed.weights
    kernel = VECTOR.get(name, (96, "stem_conv/kernel"))[1]
    assert np.array_equal(after[kernel], before[kernel])
    assert probed.rows[-1]["val_accuracy"] > 0.6


def test_the_deployed_model_gives_pooled_features(done, tmp_path):
    name, found = done
    assembly = found.assembly
    model = build_model.inference_model(
        assembly.model, assembly.task, assembly.config.data, "image"
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    photos = assembly.examples.content.pixels[:5].astype(np.float32)
    features = loaded.predict(photos, verbose=0)
    assert features.shape == (5, VECTOR.get(name, (96, ""))[0])
    embedder = keras.Model(assembly.model.inputs[0], assembly.task.features)
    np.testing.assert_allclose(features, embedder.predict(photos, verbose=0), atol=1e-5)
    assert not any("head_" in each.path for each in loaded.weights)


def test_a_finished_run_is_judged_by_its_loss(done):
    _, found = done
    assembly = found.assembly
    question = evaluator.EvaluationInputs(
        assembly.model, assembly.loader, assembly.splits["val"], assembly.examples,
        assembly.examples.labels, assembly.spec.classes, assembly.task, 0, 0,
    )  # fmt: skip
    figures, columns = evaluator.evaluate(question)
    assert figures["n"] == 12
    assert evaluator.evaluate(question)[0] == figures
    assert np.isfinite(figures["loss"])
    assert columns == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TASKS))
def test_labels_change_nothing_that_is_learned(name, tmp_path):
    """And a last batch of one image breaks nothing."""
    settled = config(name, epochs="1", data_batch_size=47, data_augment="light")
    found = [
        train(tmp_path / word, settled, examples)
        for word, examples in (("with", images()), ("without", unlabelled(images())))
    ]
    for path, value in found[0].weights.items():
        np.testing.assert_array_equal(value, found[1].weights[path], err_msg=path)
        assert np.isfinite(value).all(), path
    with_labels, without = (each.rows[0] for each in found)
    assert with_labels["val_loss"] == without["val_loss"]
    assert "val_knn_accuracy" in with_labels
    assert "val_knn_accuracy" not in without


def test_the_best_epoch_can_be_the_one_whose_neighbours_agree(tmp_path):
    settled = config("simclr")
    settled.task.monitor = "val_knn_accuracy"
    found = train(tmp_path, settled)
    best = max(found.rows, key=lambda row: row["val_knn_accuracy"])
    assert found.status["best"]["value"] == best["val_knn_accuracy"]
    assert found.status["best"]["step"] == best["step"]


def test_with_an_average_the_neighbours_are_those_of_its_features(tmp_path):
    """Its decay is so slow that the average is still near the start, and so are its features."""
    settled = config("simclr", optimizer_ema=0.999)
    found = train(tmp_path, settled)
    # The best weights, averages, are in the network now.
    run = found.assembly
    evaluate = run.task.epoch_evaluator(run.model, run.loader, run.examples, run.splits)
    metrics = evaluate(run.model.jit_compile)
    row = next(row for row in found.rows if row["step"] == found.status["best"]["step"])
    assert metrics["knn_accuracy"] == row["val_knn_accuracy"]


def test_what_cannot_be_is_refused_before_anything_trains():
    with pytest.raises(ConfigError, match="two views of a photo"):
        assembled(config("simclr", augment="none"))
    with pytest.raises(ConfigError, match="mixes labels"):
        assembled(config("vicreg", augment="strong"))
    plain = settings()
    with pytest.raises(ConfigError, match="needs labels, and the data has none"):
        assembled(plain, unlabelled(images()))
