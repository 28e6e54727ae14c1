"""A loss that is not finite: the step is named, and the best stays what it was."""

import dataclasses

import numpy as np
import pytest
from small_runs import Trained, assembled, folder, settings

from fmkit.config.schema import PhaseConfig
from fmkit.data.pipeline import ImageLoader
from fmkit.errors import NonFiniteError
from fmkit.train import checkpoint, loop


def with_broken_target(assembly, example):
    """The same, but for one example whose target is not a number."""
    targets = np.eye(3, dtype=np.float32)[assembly.examples.labels]
    targets[example] = np.nan
    loader = ImageLoader(assembly.examples, targets, image_size=8, batch_size=16)
    return dataclasses.replace(assembly, loader=loader)


def example_of_step(assembly, step):
    """A training example that global step `step`, counted from 1, is the first to meet."""
    labels = np.arange(len(assembly.examples), dtype=np.float32)[:, None]
    loader = ImageLoader(assembly.examples, labels, image_size=8, batch_size=16)
    batches = loader.train(assembly.splits["train"], seed=assembly.config.runtime.seed, steps=step)
    return int(list(batches.as_numpy_iterator())[-1][1][0, 0])


STAGE = {
    "first": PhaseConfig(epochs="1 steps", batchnorm="train"),
    "second": PhaseConfig(epochs="2", batchnorm="train"),
}


def test_the_step_is_named_and_the_best_before_it_stays(tmp_path):
    assembly = assembled(settings(STAGE, runtime_log_every=1))
    assembly = with_broken_target(assembly, example_of_step(assembly, 3))
    run = folder(tmp_path)
    with pytest.raises(NonFiniteError) as error:
        loop.train(assembly, run)
    assert error.value.exit_code == 5
    assert "at step 3 (phase second, epoch 1)" in str(error.value)
    assert "The best checkpoint is step 1" in str(error.value)
    done = Trained(assembly, run, [])
    assert done.status["best"]["step"] == 1
    assert np.isfinite(done.status["best"]["value"])
    assert [each.step for each in checkpoint.all_in(run.checkpoints)] == [1]
    assert all(np.isfinite(value).all() for value in done.saved().values())


def test_a_validation_loss_that_is_not_finite_is_never_the_best(tmp_path):
    assembly = assembled(settings(task_monitor="val_accuracy"))
    assembly = with_broken_target(assembly, int(assembly.splits["val"][0]))
    run = folder(tmp_path)
    with pytest.raises(NonFiniteError, match=r"val_loss became nan at step 3"):
        loop.train(assembly, run)
    done = Trained(assembly, run, [])
    assert done.status["best"] is None
    assert not run.checkpoints.exists()


def test_an_accuracy_is_the_better_the_larger_it_is(tmp_path):
    stage = {"full": PhaseConfig(epochs="5", batchnorm="train")}
    assembly = assembled(settings(stage, task_monitor="val_accuracy"))
    run = folder(tmp_path)
    done = Trained(assembly, run, loop.train(assembly, run))
    values = [row["val_accuracy"] for row in done.rows]
    assert max(values) > min(values)
    best = done.status["best"]
    first = values.index(max(values)) + 1
    assert (best["epoch"], best["value"], best["monitor"]) == (first, max(values), "val_accuracy")
