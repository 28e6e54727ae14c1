"""Phases, their lengths and rates, and which weights are left at the end."""

import itertools
import math

import numpy as np
import pytest
from small_runs import settings, train

from fmkit.config.schema.optimizer import SgdConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.core import safe_io


def assert_equal(one, other):
    for path, value in one.items():
        np.testing.assert_array_equal(value, other[path], err_msg=path)


def last_epoch(values, patience):
    """The epoch after which patience is at an end, counted from 1."""
    best, since = math.inf, 0
    for epoch, value in enumerate(values, start=1):
        best, since = (value, 0) if value < best else (best, since + 1)
        if since == patience:
            return epoch
    return None


def test_patience_stops_and_the_next_phase_starts_from_the_best_epoch(tmp_path):
    stage = {
        "full": PhaseConfig(epochs="40", batchnorm="train", patience=2),
        "still": PhaseConfig(epochs="2 steps", learning_rate=1e-12),
    }
    config = settings(stage, optimizer_learning_rate=0.3, runtime_keep=99)
    done = train(tmp_path, config)
    losses = [row["val_loss"] for row in done.rows if row["phase"] == "full"]
    assert len(losses) < 40
    assert last_epoch(losses, 2) == len(losses)
    best = int(np.argmin(losses)) + 1
    assert best == len(losses) - 2
    found = done.phases[0]
    assert (found.epochs, found.best["epoch"], found.best["step"]) == (len(losses), best, best * 3)
    assert found.best["value"] == min(losses)
    last, kept = done.saved(3 * len(losses)), done.saved(3 * best)
    after = done.saved(3 * len(losses) + 2)  # two steps that are too small to see
    for path, value in kept.items():
        np.testing.assert_allclose(after[path], value, atol=1e-6, err_msg=path)
    assert np.abs(last["logits/kernel"] - kept["logits/kernel"]).max() > 1e-4


def test_a_phase_that_made_it_worse_does_not_win(tmp_path):
    stage = {
        "head": PhaseConfig(train="head", epochs="4", learning_rate=0.1),
        "absurd": PhaseConfig(epochs="2", learning_rate=30.0),
    }
    config = settings(stage, optimizer_clip_norm=None)
    config.optimizer = SgdConfig(learning_rate=0.1, warmup="0%", clip_norm=1.0)
    done = train(tmp_path, config)
    head, absurd = done.phases
    assert absurd.best["value"] > head.best["value"]
    assert done.status["best"] == head.best
    assert_equal(done.saved(head.best["step"]), done.weights)
    # Of all checkpoints only the newest and the best of the run and of the phase stay.
    there = {each.name for each in done.run.checkpoints.iterdir()}
    steps = {head.best["step"], absurd.best["step"], done.status["step"]}
    assert there == {f"step-{step:08d}" for step in steps}


def cosine(peak, update, total, warmup):
    """The rate of an update, counted from 0."""
    if update < warmup:
        return peak * (update + 1) / warmup
    share = min(1.0, (update - warmup) / (total - warmup))
    return peak * (1 + math.cos(math.pi * share)) / 2


def test_steps_and_rates_are_those_of_the_config(tmp_path):
    stage = {
        "first": PhaseConfig(epochs="7 steps", learning_rate=0.01, batchnorm="train"),
        "second": PhaseConfig(epochs="4 steps", learning_rate=0.001, batchnorm="train"),
    }
    done = train(tmp_path, settings(stage, optimizer_warmup="2 steps", runtime_log_every=1))
    steps = [row for row in done.rows if "val_loss" not in row]
    assert [row["step"] for row in steps] == list(range(1, 12))
    assert [row["phase"] for row in steps] == ["first"] * 7 + ["second"] * 4
    assert [row["epoch"] for row in steps] == [1, 1, 1, 2, 2, 2, 3, 1, 1, 1, 2]
    # A row says the rate of the update that comes next.
    rates = [cosine(0.01, update, 7, 2) for update in range(1, 8)]
    rates += [cosine(0.001, update, 4, 2) for update in range(1, 5)]
    assert [row["learning_rate"] for row in steps] == pytest.approx(rates, rel=1e-5, abs=1e-9)
    assert steps[6]["learning_rate"] == steps[10]["learning_rate"] == 0.0
    epochs = [row for row in done.rows if "val_loss" in row]
    assert [(row["phase"], row["epoch"], row["step"]) for row in epochs] == [
        ("first", 1, 3), ("first", 2, 6), ("first", 3, 7), ("second", 1, 10), ("second", 2, 11),
    ]  # fmt: skip
    # An epoch's loss is the mean over its steps, which all have 16 examples.
    first = np.mean([row["loss"] for row in steps[:3]])
    assert epochs[0]["loss"] == pytest.approx(first, rel=1e-5)
    assert (done.status["step"], done.status["epoch"]) == (11, 2)
    optimizer = done.assembly.model.optimizer
    assert int(optimizer.iterations) == 4


def test_accumulated_batches_make_one_update(tmp_path):
    stage = {"full": PhaseConfig(epochs="6 steps", batchnorm="frozen")}
    kept = {"data_batch_size": 48, "optimizer_accumulation": 2, "runtime_keep": 9}
    done = train(tmp_path, settings(stage, **kept))
    after = [done.saved(step)["logits/kernel"] for step in range(1, 7)]
    assert not after[0].any()  # the head begins at zero, and half an update is none
    moved = [np.abs(two - one).max() > 0 for one, two in itertools.pairwise(after)]
    assert moved == [True, False, True, False, True]
    rates = [cosine(0.01, step // 2, 3, 0) for step in range(1, 7)]
    assert [row["learning_rate"] for row in done.rows] == pytest.approx(rates, abs=1e-9)


def test_too_much_accumulation_is_told_before_anything_trains(fmkit, tmp_path):
    words = ["model=small_cnn", "model.image_size=8", "data=digits", "data.limit=120",
             "data.batch_size=28", "stage=scratch", "stage.full.epochs=3 steps"]  # fmt: skip
    code, _, err = fmkit("finetune", *words, "optimizer.accumulation=4")
    assert code == 2
    assert "optimizer.accumulation" in err
    assert "at most 3" in err
    assert not list(tmp_path.glob("runs/*/*"))
    words += ["optimizer.warmup=0%", "optimizer.accumulation=3"]
    code, _, err = fmkit("finetune", *words)
    assert code == 0, err
    (second,) = (tmp_path / "runs" / "finetune").iterdir()
    rows = list(safe_io.read_json_lines(second / "metrics.jsonl"))
    assert [row["step"] for row in rows] == [3]
    assert rows[0]["learning_rate"] == 0.0
