"""The record of what trained, and the failure of a run whose frozen weights moved."""

import json
import signal

import numpy as np
import pytest
from small_runs import assembled, folder, settings, train

from fmkit.config.schema.stage import PhaseConfig
from fmkit.core.errors import FreezeError, Interrupted
from fmkit.train import freeze, loop
from fmkit.train.signal_stop import SignalStop

STAGE = {
    "head": PhaseConfig(train="head", epochs="1"),
    "top": PhaseConfig(train="top:2", epochs="1", batchnorm="train", rates={"head": 2.0}),
}
BLOCKS = ["stem", "block1", "block2", "block3", "head"]


def record(run):
    return json.loads((run.folder / "freeze.json").read_text())["phases"]


def column(phase, name):
    return [block[name] for block in phase["blocks"]]


def test_the_record_says_what_trained_and_what_moved(tmp_path, capsys):
    config = settings(STAGE, optimizer_layer_decay=0.5, optimizer_weight_decay=0.1)
    config.runtime.verbose = True
    done = train(tmp_path, config)
    head, top = record(done.run)
    assert [(each["phase"], each["train"], each["proof"]) for each in (head, top)] == [
        ("head", "head", "held"), ("top", "top:2", "held"),
    ]  # fmt: skip
    assert column(head, "block") == column(top, "block") == BLOCKS
    assert column(head, "trainable") == column(head, "moved") == [False] * 4 + [True]
    assert column(top, "trainable") == column(top, "moved") == [False] * 2 + [True] * 3
    assert column(head, "batchnorm") == ["frozen"] * 4 + ["none"]
    assert column(top, "batchnorm") == ["frozen"] * 2 + ["train"] * 2 + ["none"]
    assert column(top, "multiplier") == [0.0, 0.0, 0.25, 0.5, 2.0]
    assert column(top, "weight_decay") == [0.0, 0.0, 0.1, 0.1, 0.1]
    assert column(head, "sha256_after") == column(top, "sha256_before")
    for phase in head, top:
        same = np.equal(column(phase, "sha256_before"), column(phase, "sha256_after"))
        assert column(phase, "moved") == (~same).tolist()
    assert sum(column(top, "parameters")) == done.assembly.model.count_params()
    statistics = 2 * (64 + 96)
    assert (
        sum(column(top, "trainable_parameters")) == sum(column(top, "parameters")[2:]) - statistics
    )
    told = capsys.readouterr().err
    row = next(each for each in told.splitlines() if each.split()[:1] == ["block2"] and "x" in each)
    assert row.split("  ")[-1].strip() == "0.1"
    assert "x 0.25" in row
    assert row in (done.run.folder / "log.txt").read_text()


def thawed(monkeypatch, name):
    """Somebody thaws one layer by hand, after fmkit has frozen what is to be frozen."""
    honest = freeze.apply

    def apply(model, backbone, phase):
        honest(model, backbone, phase)
        model.get_layer(name).trainable = True

    monkeypatch.setattr(freeze, "apply", apply)


@pytest.mark.parametrize(
    ("layer", "stage", "moved"),
    [
        ("block1_bn", STAGE["head"], ["block1_bn/moving_mean", "block1_bn/moving_variance"]),
        ("stem_conv", STAGE["top"], ["stem_conv/kernel"]),
    ],
)
def test_a_layer_that_is_thawed_slow_fails_the_run(tmp_path, monkeypatch, layer, stage, moved):
    thawed(monkeypatch, layer)
    assembly, run = assembled(settings({"one": stage, "next": stage})), folder(tmp_path)
    with pytest.raises(FreezeError) as caught:
        loop.train(assembly, run)
    assert caught.value.exit_code == 1
    (phase,) = record(run)
    assert phase["proof"] == "broken"
    block = layer.split("_")[0]
    assert f"{block} (" in caught.value.message
    for path in moved:
        assert path in caught.value.message
        assert path in phase["broken"]
    assert all(path.startswith(layer) for path in phase["broken"])
    assert phase["blocks"][BLOCKS.index(block)]["moved"]


def test_statistics_that_move_without_any_gradient_are_found(tmp_path, monkeypatch):
    def apply(model, backbone, phase):
        freeze_apply(model, backbone, phase)
        layer = model.get_layer("block2_bn")
        layer.trainable = True
        layer.gamma.trainable = layer.beta.trainable = False

    freeze_apply = freeze.apply
    monkeypatch.setattr(freeze, "apply", apply)
    run = folder(tmp_path)
    with pytest.raises(FreezeError):
        loop.train(assembled(settings(STAGE)), run)
    assert record(run)[0]["broken"] == ["block2_bn/moving_mean", "block2_bn/moving_variance"]


def test_phases_that_are_skipped_or_cut_short_are_in_the_record(tmp_path, monkeypatch):
    assembly, run = assembled(settings(STAGE)), folder(tmp_path)
    assembly.skipped["head"] = "trained before"
    honest = SignalStop.on_train_batch_end

    def stop(self, batch, logs=None):
        honest(self, batch, logs)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(SignalStop, "on_train_batch_end", stop)
    with pytest.raises(Interrupted):
        loop.train(assembly, run)
    skipped, cut = record(run)
    assert (skipped["proof"], skipped["skipped"], skipped["blocks"]) == (
        "skipped", "trained before", [],
    )  # fmt: skip
    assert cut["proof"] == "held"
    assert column(cut, "moved")[:2] == [False, False]


def test_a_crash_leaves_the_hashes_from_before(tmp_path, monkeypatch):
    def crash(self, epoch, logs=None):
        raise RuntimeError("crash")

    monkeypatch.setattr(SignalStop, "on_epoch_begin", crash)
    run = folder(tmp_path)
    with pytest.raises(RuntimeError):
        loop.train(assembled(settings(STAGE)), run)
    (phase,) = record(run)
    assert phase["proof"] == "pending"
    assert column(phase, "moved") == [None] * 5
    assert all(len(each) == 64 for each in column(phase, "sha256_before"))
