"""Numbers that are not finite: the step and its examples are named, the last good state stays."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from small_runs import Trained, assembled, folder, images, settings

from fmkit.config.schema.stage import PhaseConfig
from fmkit.core.errors import NonFiniteError
from fmkit.data.loaders.image_loader import ImageLoader
from fmkit.train import loop
from fmkit.train.checkpoints import checkpoint
from fmkit.train.features import cache
from fmkit.train.signal_stop import SignalStop


def with_broken_target(assembly, example, value=np.nan):
    """The same, but for one example whose target is not a finite number."""
    targets = np.eye(3, dtype=np.float32)[assembly.examples.labels]
    targets[example] = value
    loader = ImageLoader(assembly.examples, targets, image_size=8, batch_size=16)
    return dataclasses.replace(assembly, loader=loader)


def examples_of_step(assembly, step):
    """The training examples that global step `step`, counted from 1, meets, in order."""
    labels = np.arange(len(assembly.examples), dtype=np.float32)[:, None]
    loader = ImageLoader(assembly.examples, labels, image_size=8, batch_size=16)
    batches = loader.train(assembly.splits["train"], seed=assembly.config.runtime.seed, steps=step)
    return list(batches.as_numpy_iterator())[-1][1][:, 0].astype(int).tolist()


def ids_of_step(assembly, step):
    return [assembly.examples.ids[each] for each in examples_of_step(assembly, step)]


def record(run):
    return json.loads((run.folder / "nonfinite.json").read_text())


def stopped(assembly, run):
    """What training says when it stops; nothing that is not finite is on disk."""
    with pytest.raises(NonFiniteError) as error:
        loop.train(assembly, run)
    assert error.value.exit_code == 5
    for each in checkpoint.list_checkpoints(run.checkpoints):
        weights = checkpoint.read_weights(each)
        assert all(np.isfinite(value).all() for value in weights.values())
    return str(error.value)


STAGE = {
    "first": PhaseConfig(epochs="1 steps", batchnorm="train"),
    "second": PhaseConfig(epochs="2", batchnorm="train"),
}
ALL_TRAIN = dataclasses.replace(images(), splits=np.full(60, "train"))


def test_the_step_is_named_and_the_best_before_it_stays(tmp_path):
    assembly = assembled(settings(STAGE, runtime_log_every=1))
    bad = examples_of_step(assembly, 3)[5]
    assembly = with_broken_target(assembly, bad)
    run = folder(tmp_path)
    said = stopped(assembly, run)
    ids = ids_of_step(assembly, 3)
    assert "loss became nan at step 3 (phase second, epoch 1); nonfinite.json" in said
    assert f"{ids[0]} first; the last finite checkpoint is step 1." in said
    found = record(run)
    assert found["batches"] == [{"step": 3, "ids": ids}]
    assert assembly.examples.ids[bad] in ids
    assert [each["step"] for each in found["batches_of_the_update_before"]] == [2]
    assert (found["value"], found["checkpoint"], found["split"]) == ("nan", 1, "train")
    assert found["learning_rate"] == pytest.approx(0.01, rel=0.5)
    done = Trained(assembly, run, [])
    assert done.status["best"]["step"] == 1
    assert np.isfinite(done.status["best"]["value"])
    assert [each.step for each in checkpoint.list_checkpoints(run.checkpoints)] == [1]


def test_with_accumulation_all_batches_of_the_update_are_named(tmp_path):
    assembly = assembled(settings(optimizer_accumulation=2))
    assembly = with_broken_target(assembly, examples_of_step(assembly, 2)[0], np.inf)
    run = folder(tmp_path)
    assert "nothing was saved yet" in stopped(assembly, run)
    found = record(run)
    assert found["step"] == 2
    assert [each["step"] for each in found["batches"]] == [1, 2]
    assert found["batches_of_the_update_before"] == []


def test_one_step_of_many_in_a_call_is_found(tmp_path, monkeypatch):
    stage = {"head": PhaseConfig(train="head", epochs="2")}
    assembly = assembled(settings(stage, runtime_cache_dir=str(tmp_path / "cache")))
    bad, honest = examples_of_step(assembly, 2)[3], cache._reader

    def reader(*known):
        read = honest(*known)

        def poisoned(positions, epoch):
            (rows,) = read(positions, epoch)
            return [np.where((positions == bad)[:, None], np.float32(np.nan), rows)]

        return poisoned

    monkeypatch.setattr(cache, "_reader", reader)
    run = folder(tmp_path)
    assert "loss became nan at step 2 (phase head, epoch 1)" in stopped(assembly, run)
    assert record(run)["batches"] == [{"step": 2, "ids": ids_of_step(assembly, 2)}]
    assert json.loads((run.folder / "status.json").read_text())["step"] == 3  # one call made three


def test_a_validation_loss_that_is_not_finite_is_never_the_best(tmp_path):
    assembly = assembled(settings(task_monitor="val_accuracy"))
    bad = int(assembly.splits["val"][0])
    assembly = with_broken_target(assembly, bad)
    run = folder(tmp_path)
    assert "val_loss became nan at step 3" in stopped(assembly, run)
    found = record(run)
    assert found["split"] == "val"
    assert assembly.examples.ids[bad] in found["batches"][0]["ids"]
    assert Trained(assembly, run, []).status["best"] is None
    assert not run.checkpoints.exists()


def test_a_rate_far_too_high_stops_the_run(tmp_path):
    run = folder(tmp_path)
    stage = {"full": PhaseConfig(epochs="9", batchnorm="train")}
    config = settings(stage, optimizer_learning_rate=1e30, runtime_log_every=1)
    assert "lower optimizer.learning_rate" in stopped(assembled(config), run)
    assert record(run)["batches_of_the_update_before"]


def test_weights_that_are_not_finite_are_not_saved_where_no_loss_shows_it(tmp_path, monkeypatch):
    honest = SignalStop.on_train_batch_end

    def break_weights(self, batch, logs=None):
        honest(self, batch, logs)
        if self.model.optimizer.iterations.numpy() == 8:  # the last step of the second epoch
            self.model.get_layer("logits").bias.assign([np.inf, 0, 0])

    monkeypatch.setattr(SignalStop, "on_train_batch_end", break_weights)
    run = folder(tmp_path)
    config = settings(task_monitor="loss", data_val_fraction=0.0)
    said = stopped(assembled(config, ALL_TRAIN), run)
    assert "weights are NaN or infinite at step 8: logits/bias (phase full, epoch 2)" in said
    assert "the last finite checkpoint is step 4" in said
    assert record(run)["what"] == "weights"


def test_an_overflow_of_half_precision_is_the_loss_scales_business(tmp_path, monkeypatch):
    build, scales = keras.optimizers.LossScaleOptimizer.__init__, []

    def with_large_scale(self, inner, initial_scale=None, **more):
        build(self, inner, initial_scale=2.0**40, **more)
        scales.append(self)

    monkeypatch.setattr(keras.optimizers.LossScaleOptimizer, "__init__", with_large_scale)
    assembly = assembled(settings(runtime_precision="mixed_float16"))
    try:
        loop.train(assembly, folder(tmp_path))
    finally:
        keras.config.set_dtype_policy("float32")
    assert float(scales[0].dynamic_scale) < 2.0**40  # it did overflow
