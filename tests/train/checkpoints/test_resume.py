"""A run that goes on from a checkpoint ends as one that nobody touched, bit for bit."""

import dataclasses
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import Trained, assembled, folder, settings, train

from fmkit.config.schema.stage import PhaseConfig
from fmkit.core import fault_injection
from fmkit.core.errors import ArtifactError, Interrupted
from fmkit.store import metrics_log
from fmkit.store.run_dir import RunWriter
from fmkit.train import loop
from fmkit.train.callbacks import checkpointing
from fmkit.train.checkpoints import checkpoint, resume

STEPS = 42
TIMES = ("seconds", "examples_per_second", "rss_bytes")


def everything(**changes):
    """42 steps in two phases of 3 epochs of 7 steps, with all that has a memory of its own."""
    stage = {
        "top": PhaseConfig(train="top:1", epochs="3", batchnorm="train", augment="light"),
        "full": PhaseConfig(epochs="3", batchnorm="train", learning_rate=0.003),
    }
    return settings(
        stage, model_dropout=0.3, data_batch_size=7, data_flip="both", data_augment="strong",
        optimizer_ema=0.8, optimizer_accumulation=2, optimizer_weight_decay=0.01,
        optimizer_layer_decay=0.8, task_class_weights="balanced", runtime_log_every=2,
        runtime_save_every="1 steps", runtime_keep=99, **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The run, every step of which has a checkpoint."""
    return train(tmp_path_factory.mktemp("untouched"), everything())


def cut(done, step, parent):
    """A copy of a run as a kill after a step would have left it."""
    run = RunWriter(shutil.copytree(done.run.folder, parent / "cut"), "finetune")
    for each in checkpoint.list_checkpoints(run.checkpoints):
        if each.step > step:
            shutil.rmtree(each.folder)
    return run


def go_on(run, assembly):
    """Resume a run in a network whose every value, seeds included, is another one now."""
    noise = np.random.default_rng(1)
    for variable in assembly.model.variables:
        variable.assign(noise.uniform(0, 9, variable.shape).astype(variable.dtype))
    saved, problems = resume.find_state(run.checkpoints)
    assert not problems
    metrics_log.truncate(run.folder, saved.rows)
    return Trained(assembly, run, loop.train(assembly, run, saved))


def again(done, step, parent):
    """A resume after a step; the input pipeline is used again, since its layers trace for long."""
    return go_on(cut(done, step, parent), done.assembly)


def snapshot(done, last=None):
    """Everything that two equal runs share; `last` is the step of the last whole checkpoint."""
    last = done.status["step"] if last is None else last
    place = done.run.checkpoints / checkpoint.folder_name(last)
    arrays = {f"end {path}": value for path, value in done.weights.items()}
    for name in (checkpoint.WEIGHTS, checkpoint.TRAINING):
        arrays |= {f"{name} {path}": value for path, value in load_file(place / name).items()}
    facts = {key: done.status[key] for key in ("best", "step", "epoch", "phase")}
    facts["phases"] = [{**dataclasses.asdict(each), "seconds": 0} for each in done.phases]
    return arrays, without_times(done.rows), facts


def without_times(rows):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


@pytest.fixture(scope="module")
def expected(untouched):
    return snapshot(untouched)


def assert_same(done, expected, last=None):
    arrays, rows, facts = snapshot(done, last)
    assert rows == expected[1]
    assert facts == expected[2]
    assert arrays.keys() == expected[0].keys()
    for path, value in arrays.items():
        np.testing.assert_array_equal(value, expected[0][path], err_msg=path)


@pytest.mark.parametrize("step", [3, 21, 42])
def test_a_resumed_run_is_equal_bit_for_bit(step, untouched, expected, tmp_path):
    """In the middle of an epoch, between phases, after the last step."""
    assert expected[2]["step"] == STEPS
    assert [row["step"] for row in expected[1] if "val_loss" in row] == [7, 14, 21, 28, 35, 42]
    # Of the first phase; labels of the second are mixed.
    assert set(expected[0][f"{checkpoint.TRAINING} forgetting/seen"].tolist()) == {0, 3}
    assert_same(again(untouched, step, tmp_path), expected)


def test_without_the_states_of_random_generators_it_is_another_run(
    untouched, expected, tmp_path, monkeypatch
):
    def no_seeds(self, model):
        self._weights = {
            path: value * 0 if "seed" in path else value for path, value in self._weights.items()
        }
        restore_weights(self, model)

    restore_weights = resume.RestoredArrays.restore_weights
    monkeypatch.setattr(resume.RestoredArrays, "restore_weights", no_seeds)
    # And without the running metrics, the row of the epoch is another one.
    monkeypatch.setattr(resume.RestoredArrays, "restore_metrics", lambda self, metrics: None)
    arrays, rows, _ = snapshot(again(untouched, 40, tmp_path))
    kernel = f"{checkpoint.TRAINING} raw/logits/kernel"
    assert np.abs(arrays[kernel] - expected[0][kernel]).max() > 0
    assert rows[-1]["loss"] != expected[1][-1]["loss"]
    assert rows[-1]["learning_rate"] == expected[1][-1]["learning_rate"]


def test_a_signal_during_validation_loses_neither_the_epoch_nor_its_numbers(
    untouched, expected, tmp_path, monkeypatch
):
    run = cut(untouched, 34, tmp_path)
    monkeypatch.setattr(fault_injection, "_passed", {})
    monkeypatch.setenv(fault_injection.VARIABLE, "train.step:1:term")  # after the epoch's last step
    with pytest.raises(Interrupted, match=r"at step 35 \(phase full\), checkpoint saved"):
        go_on(run, untouched.assembly)
    monkeypatch.delenv(fault_injection.VARIABLE)
    newest = resume.load_state(checkpoint.list_checkpoints(run.checkpoints)[-1])
    assert (newest.step, newest.position.epoch, sorted(newest.logs)) == (
        35,
        1,
        ["accuracy", "loss"],
    )
    assert_same(go_on(run, untouched.assembly), expected)


@pytest.mark.parametrize("solver", ["lbfgs", "cross_validation"])
def test_features_are_computed_again_and_the_best_that_was_in_memory_comes_back(
    solver, tmp_path, monkeypatch
):
    """The kill comes while the best of the phase waits in memory, and takes the cache along."""
    stage = {
        "solved": PhaseConfig(train="head", solver=solver),
        "head": PhaseConfig(train="head", epochs="6", learning_rate=0.05, patience=3),
    }
    config = settings(stage, runtime_cache_dir=str(tmp_path / "cache"))
    done = train(tmp_path / "whole", config)
    expected = snapshot(done)
    assert done.phases[1].best["step"] < done.status["step"]

    assembly, run = assembled(config), folder(tmp_path / "killed")
    monkeypatch.setattr(checkpointing, "_SECONDS_BETWEEN", 1e9)
    monkeypatch.setattr(fault_injection, "_passed", {})
    monkeypatch.setenv(fault_injection.VARIABLE, f"train.step:{done.phases[1].epochs}:EIO")
    with pytest.raises(OSError, match="Input/output"):
        loop.train(assembly, run)
    monkeypatch.delenv(fault_injection.VARIABLE)
    assert [each.step for each in checkpoint.list_checkpoints(run.checkpoints)] == [1]
    shutil.rmtree(tmp_path / "cache")
    assert_same(go_on(run, assembled(config)), expected)


def test_what_trained_must_be_what_trains(untouched, tmp_path):
    run = cut(untouched, 24, tmp_path)
    wider = dataclasses.replace(untouched.assembly)
    wider.phases = [
        untouched.assembly.phases[0],
        dataclasses.replace(untouched.assembly.phases[1], train="head"),
    ]
    with pytest.raises(
        ArtifactError, match=r"step-00000024 does not fit the optimizer: \S+ is not"
    ):
        go_on(run, wider)


def test_a_frozen_weight_that_was_changed_between_is_found(untouched, tmp_path):
    run = cut(untouched, 3, tmp_path)
    (chosen,) = [each for each in checkpoint.list_checkpoints(run.checkpoints) if each.step == 3]
    weights, training = checkpoint.read_weights(chosen), checkpoint.read_training(chosen)
    path = next(each for each in weights if each.startswith("stem") and each.endswith("kernel"))
    weights[path] = weights[path] + 1e-7
    said = checkpoint.read_state(chosen)
    checkpoint.save(run.checkpoints, 3, weights, training, said)  # whole, and not what it was
    with pytest.raises(ArtifactError, match=r"what phase top froze in stem"):
        go_on(run, untouched.assembly)


@pytest.mark.parametrize(
    ("key", "value"),
    [("rows", -1), ("row_loss", [1]), ("logs", {"loss": "low"}), ("results", [{}]), ("schema", 9)],
)
def test_a_state_that_makes_no_sense_is_refused(key, value, untouched, tmp_path):
    run = cut(untouched, 1, tmp_path)
    (chosen,) = checkpoint.list_checkpoints(run.checkpoints)
    said = checkpoint.read_state(chosen)
    said["resume"][key] = value
    checkpoint.save(run.checkpoints, 1, checkpoint.read_weights(chosen), {}, said)
    with pytest.raises(ArtifactError, match="Another version" if key == "schema" else key):
        resume.find_state(run.checkpoints)


def test_pruning_spares_what_a_kept_checkpoint_may_come_back_to(untouched, tmp_path):
    """Also when a newer best has replaced the one that an older checkpoint names."""
    run = cut(untouched, 15, tmp_path)
    kept = checkpoint.list_checkpoints(run.checkpoints)[-3:]
    named = {checkpoint.read_state(each)["best"]["step"] for each in kept}
    assert resume.best_steps(kept) == named
    checkpoint.prune(run.checkpoints, 3, resume.best_steps(kept))
    assert {each.step for each in checkpoint.list_checkpoints(run.checkpoints)} == {
        13,
        14,
        15,
    } | named
    shutil.rmtree(kept[-1].folder)
    assert resume.find_state(run.checkpoints)[0].step == 14
