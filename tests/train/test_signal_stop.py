"""A signal in training: the step ends, and with it the epoch."""

import signal

import pytest
from small_runs import Trained, assembled, folder, settings

from fmkit.config.schema.stage import PhaseConfig
from fmkit.core import signals
from fmkit.core.errors import Interrupted
from fmkit.train import loop
from fmkit.train.callbacks.nonfinite import TerminateOnNonFinite
from fmkit.train.checkpoints import checkpoint
from fmkit.train.task_model import TaskModel


def raising_at(step, number):
    """The guard's end of a step, and a signal at one of them."""
    honest = TerminateOnNonFinite.on_train_batch_end

    def called(self, batch, logs=None):
        honest(self, batch, logs)
        if self._position.step == step:
            signal.raise_signal(number)

    return called


def test_the_step_is_saved_and_no_validation_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(TerminateOnNonFinite, "on_train_batch_end", raising_at(5, signal.SIGTERM))
    judged, honest = [], TaskModel.evaluate

    def evaluate(self, *arguments, **options):
        judged.append(honest(self, *arguments, **options))
        return judged[-1]

    monkeypatch.setattr(TaskModel, "evaluate", evaluate)
    stage = {"full": PhaseConfig(epochs="9", batchnorm="train")}
    assembly, run = assembled(settings(stage)), folder(tmp_path)
    with pytest.raises(Interrupted, match=r"SIGTERM at step 5 \(phase full\)") as error:
        loop.train(assembly, run)
    assert error.value.exit_code == 143
    assert [bool(each) for each in judged] == [True, False]  # the first epoch's alone
    assert [each.step for each in checkpoint.list_checkpoints(run.checkpoints)][-1] == 5
    assert [row["step"] for row in Trained(assembly, run, []).rows] == [3]


def test_before_the_first_step_ends_a_signal_comes_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(
        TerminateOnNonFinite,
        "on_train_batch_begin",
        lambda *_, **__: signal.raise_signal(signal.SIGINT),
        raising=False,
    )
    run = folder(tmp_path)
    with pytest.raises(signals.SignalReceived):
        loop.train(assembled(settings()), run)
    assert not run.checkpoints.exists()


def test_a_save_that_is_asked_for_ends_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(TerminateOnNonFinite, "on_train_batch_end", raising_at(2, signal.SIGUSR1))
    assembly, run = assembled(settings(runtime_keep=9)), folder(tmp_path)
    done = Trained(assembly, run, loop.train(assembly, run))
    assert [each.step for each in checkpoint.list_checkpoints(run.checkpoints)] == [2, 3, 6]
    assert [row["step"] for row in done.rows] == [3, 6]
