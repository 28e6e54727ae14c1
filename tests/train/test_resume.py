"""A run that goes on from a checkpoint ends as one that nobody touched, bit for bit."""

import dataclasses
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import Trained, assembled, settings, train

from fmkit.config.schema import PhaseConfig
from fmkit.store.run import Run
from fmkit.train import checkpoint, loop, state

STEPS = 42
TIMES = ("seconds", "examples_per_second", "rss_bytes")


def everything():
    """42 steps in two phases of 3 epochs of 7 steps, with all that has a memory of its own."""
    stage = {
        "top": PhaseConfig(train="top:1", epochs="3", batchnorm="train", augment="light"),
        "full": PhaseConfig(epochs="3", batchnorm="train", augment="strong", learning_rate=0.003),
    }
    return settings(
        stage, model_dropout=0.3, data_batch_size=7, data_flip="both", data_augment="strong",
        optimizer_ema=0.8, optimizer_accumulation=2, optimizer_weight_decay=0.01,
        optimizer_layer_decay=0.8, optimizer_l2_sp=0.0, task_class_weights="balanced",
        runtime_log_every=2, runtime_save_every="1 steps", runtime_keep=99,
    )  # fmt: skip


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The run, every step of which has a checkpoint."""
    return train(tmp_path_factory.mktemp("untouched"), everything())


def cut(done, step, parent, name="cut"):
    """A copy of a run as a kill after a step would have left it."""
    run = Run(shutil.copytree(done.run.folder, parent / name), "finetune")
    for each in checkpoint.all_in(run.checkpoints):
        if each.step > step:
            shutil.rmtree(each.folder)
    return run


def go_on(run, config):
    """Resume a run in a new assembly, with other weights and seeds than any before."""
    config = dataclasses.replace(config)
    assembly = assembled(config)
    noise = np.random.default_rng(1)
    for variable in assembly.learner.trainable_variables:
        variable.assign(noise.normal(size=variable.shape))
    saved, problems = state.find(run.checkpoints)
    assert not problems
    rows = (run.folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run.folder / "metrics.jsonl").write_text("".join(rows[: saved.rows]))
    return Trained(assembly, run, loop.train(assembly, run, saved))


def assert_same(one, other):
    assert one.rows
    assert without_times(one.rows) == without_times(other.rows)
    assert one.weights.keys() == other.weights.keys()
    for path, value in one.weights.items():
        np.testing.assert_array_equal(value, other.weights[path], err_msg=path)
    last = one.status["step"]
    for name in (checkpoint.WEIGHTS, checkpoint.TRAINING):
        ours, theirs = (
            load_file(each.run.checkpoints / checkpoint.name(last) / name) for each in (one, other)
        )
        assert ours.keys() == theirs.keys()
        for path, value in ours.items():
            np.testing.assert_array_equal(value, theirs[path], err_msg=f"{name} {path}")
    for key in ("best", "step", "epoch", "phase"):
        assert one.status[key] == other.status[key]
    plain = [
        [{**dataclasses.asdict(each), "seconds": 0} for each in done.phases]
        for done in (one, other)
    ]
    assert plain[0] == plain[1]


def without_times(rows):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


@pytest.mark.parametrize("step", [1, 6, 7, 20, 21, 22, 24, 35, 41, 42])
def test_resume_is_exact(step, untouched, tmp_path):
    assert untouched.status["step"] == STEPS
    again = go_on(cut(untouched, step, tmp_path), everything())
    assert_same(again, untouched)
