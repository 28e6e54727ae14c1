"""Runs under a time limit, by a clock that steps, validations and pauses move on."""

import json
import re
import shutil
from itertools import pairwise

import numpy as np
import pytest
from small_runs import Trained, assembled, folder, settings
from test_resume import assert_same, snapshot

from fmkit.config.schema.stage import PhaseConfig
from fmkit.core.errors import ConfigError
from fmkit.optim.schedules import Schedule
from fmkit.store import metrics_log
from fmkit.store.run_dir import RunWriter
from fmkit.train import loop
from fmkit.train.callbacks.recorder import StepCounter
from fmkit.train.checkpoints import checkpoint, resume
from fmkit.train.task_model import TaskModel
from fmkit.train.timing.deadline import TimeLimit
from fmkit.train.timing.time_plan import TimePlan

EPOCH, EPOCHS, RATE = 3, 40, 0.003
FULL = {"full": PhaseConfig(epochs=str(EPOCHS), batchnorm="train", learning_rate=RATE)}


def quiet():
    return 1.0


TWO = {"top": PhaseConfig(train="top:1", epochs="1", batchnorm="train"), **FULL}


class Clock:
    """Seconds that a step, a validation and the first step of a phase take."""

    def __init__(self, step=1.0, validation=2.0, first=5.0):
        self.now, self.step, self.validation, self.first = 1000.0, step, validation, first

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def moving(patch):
    """A clock that the loop moves on."""
    clock = Clock()
    begin, count = StepCounter.on_train_begin, StepCounter.on_train_batch_end
    validate = TaskModel.evaluate

    def begun(self, logs=None):
        clock.now += clock.first
        begin(self, logs)

    def counted(self, batch, logs=None):
        before = self._position.step
        count(self, batch, logs)
        clock.now += clock.step * (self._position.step - before)

    def evaluate(self, *arguments, **options):
        if options.get("callbacks") is not None and not self.is_cut_short:
            clock.now += clock.validation
        return validate(self, *arguments, **options)

    patch.setattr(StepCounter, "on_train_begin", begun)
    patch.setattr(StepCounter, "on_train_batch_end", counted)
    patch.setattr(TaskModel, "evaluate", evaluate)
    return clock


@pytest.fixture
def clock(moving):
    """The same clock, set back."""
    moving.__init__()
    return moving


def limited(parent, clock, seconds, stage=None, **changes):
    """A run with so many seconds."""
    config = settings(
        stage or FULL, runtime_keep=99, runtime_save_every="1 steps", runtime_time_limit="1 h",
        runtime_report="false", **changes,
    )  # fmt: skip
    assembly, run = assembled(config), folder(parent)
    limit = TimeLimit(f"{seconds} s", clock() + seconds, clock=clock, contention=quiet)
    run.update(time_limit=limit.to_record(0.0))
    return Trained(assembly, run, loop.train(assembly, run, limit=limit))


@pytest.fixture(scope="module")
def shortened(moving, tmp_path_factory):
    moving.__init__()
    trained = limited(tmp_path_factory.mktemp("limited"), moving, 50)
    return trained, moving.now - 1000.0


def changes(trained):
    return trained.status["time_limit"].get("changes", [])


def reopened(run, limit=None, assembly=None, config=None):
    """Resume a run in a process that knows nothing but its folder."""
    run = RunWriter(run.folder, "finetune")
    run.status |= json.loads((run.folder / "status.json").read_text())
    assembly = assembly or assembled(config)
    saved, problems = resume.find_state(run.checkpoints)
    assert not problems
    metrics_log.truncate(run.folder, saved.rows)
    return Trained(assembly, run, loop.train(assembly, run, saved, limit=limit))


def resumed(done, step, parent, limit=None):
    """A copy as a kill after a step would have left it, resumed."""
    run = RunWriter(shutil.copytree(done.run.folder, parent / "cut"), "finetune")
    for saved in checkpoint.list_checkpoints(run.checkpoints):
        if saved.step > step:
            shutil.rmtree(saved.folder)
    return reopened(run, limit, config=done.assembly.config)


def rate_of(trained, update):
    """The learning rate that an update of the phase should have, from the changes on record."""
    position, length = 0.0, EPOCHS * EPOCH
    steps = [change["step"] for change in changes(trained)]
    ends = [*(min(step, update) for step in steps), update]
    lengths = [length, *(change["after"] for change in changes(trained))]
    for (begin, end), after in zip(pairwise([0, *ends]), lengths, strict=True):
        if end > begin:
            position += (length - position) * (end - begin) / (after - begin)
    low, plain = int(position), Schedule(RATE, length)
    return np.interp(position, [low, low + 1], [float(plain(low)), float(plain(low + 1))])


def test_what_fits_is_left_alone_bit_for_bit(tmp_path, clock):
    stage = {"full": PhaseConfig(epochs="2", batchnorm="train")}
    run, assembly = folder(tmp_path, "plain"), assembled(settings(stage, runtime_keep=99))
    plain = snapshot(Trained(assembly, run, loop.train(assembly, run)))
    clock.step = 10.0
    with_limit = limited(tmp_path, clock, 1000, stage)
    assert not changes(with_limit)
    assert with_limit.status["time_limit"]["phases"]["full"]["step"] == 10.0
    # Said after the second step: 4 steps, and two validations of which none was seen yet.
    assert re.search(
        r"full: about 4\d\.\d s for 2 epochs, 10 s a step",
        (with_limit.run.folder / "log.txt").read_text(),
    )
    assert_same(with_limit, plain)


def test_a_phase_is_shortened_and_its_learning_rate_decays_to_the_end(shortened):
    trained, used = shortened
    assert 40 < used <= 50
    (full,) = trained.phases
    assert 4 <= full.epochs < EPOCHS
    first = changes(trained)[0]
    assert (first["phase"], first["before"]) == ("full", EPOCHS * EPOCH)
    assert first["measured"]["step"] == 1.0
    line = "time limit 50 s: full shortened from 40 to 12 epochs, 1 s a step"
    assert line in (trained.run.folder / "log.txt").read_text()
    for row in trained.rows:
        assert row["learning_rate"] == pytest.approx(rate_of(trained, row["step"]), abs=2e-6)
    assert trained.rows[-1]["step"] == changes(trained)[-1]["after"]
    assert trained.rows[-1]["learning_rate"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("step", [pytest.param(2, marks=pytest.mark.slow), 10])
def test_a_resumed_run_follows_the_record_bit_for_bit(step, shortened, clock, tmp_path):
    """Before the plan is made, and after it."""
    clock.step = 50.0  # what a step takes now does not matter
    assert_same(resumed(shortened[0], step, tmp_path), snapshot(shortened[0]))


@pytest.mark.slow
def test_a_new_limit_plans_anew(shortened, clock, tmp_path):
    limit = TimeLimit("1 h", clock() + 3600, True, clock, quiet)
    longer = resumed(shortened[0], 6, tmp_path, limit)
    assert longer.phases[0].epochs == EPOCHS
    assert longer.rows[-1]["learning_rate"] == pytest.approx(0.0, abs=1e-9)


def test_a_machine_that_becomes_slow_is_seen(tmp_path, clock, monkeypatch):
    begin = StepCounter.on_epoch_begin

    def slower(self, epoch, logs=None):
        clock.step = 2.5 if self._position.epoch >= 3 else 1.0
        begin(self, epoch, logs)

    monkeypatch.setattr(StepCounter, "on_epoch_begin", slower)
    trained = limited(tmp_path, clock, 80)
    assert 60 < clock() - 1000.0 <= 82
    first, *others = changes(trained)
    assert others[-1]["after"] < first["after"]
    rates = [row["learning_rate"] for row in trained.rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_kill_in_the_middle_of_planning(is_recorded, tmp_path, clock, monkeypatch):
    record = TimePlan.record_change

    def killed(self, *arguments):
        if is_recorded:
            record(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TimePlan, "record_change", killed)
        with pytest.raises(KeyboardInterrupt):
            limited(tmp_path, clock, 50)
    run = RunWriter(tmp_path / "run", "finetune")
    before = json.loads((run.folder / "status.json").read_text())["time_limit"].get("changes", [])
    assert len(before) == is_recorded
    config = settings(FULL, runtime_keep=99, runtime_save_every="1 steps", runtime_time_limit="1 h")
    done = reopened(run, TimeLimit("50 s", 1050.0, clock=clock, contention=quiet), config=config)
    assert 35 < clock() - 1000.0 <= 50
    assert changes(done)[: len(before)] == before
    assert changes(done)
    for row in done.rows:
        assert row["learning_rate"] == pytest.approx(rate_of(done, row["step"]), abs=2e-6)


def test_too_little_time_for_the_first_phase(tmp_path, clock):
    with pytest.raises(ConfigError, match=r"too short: \d+ s went by until phase full") as error:
        limited(tmp_path, clock, 8)
    assert "Try runtime.time_limit=" in error.value.hint


@pytest.mark.slow
def test_a_phase_without_time_is_left_out(tmp_path, clock):
    """The model is that of the phase before; a resumed run leaves it out, too."""
    clock.first = 12.0
    trained = limited(tmp_path, clock, 33, TWO)
    top, full = trained.phases
    assert full.skipped.startswith("time limit 33 s")
    assert full.best is None
    assert clock() - 1000.0 <= 33
    assert trained.status["best"]["phase"] == "top"
    for path, value in trained.saved(top.best["step"]).items():
        np.testing.assert_array_equal(trained.weights[path], value, err_msg=path)
    again = resumed(trained, 3, tmp_path)
    assert again.phases[1].skipped
    assert again.status["step"] == trained.status["step"]
    for path, value in again.weights.items():
        np.testing.assert_array_equal(trained.weights[path], value, err_msg=path)


def test_a_refit_has_its_time(tmp_path, clock):
    """It repeats what was trained in the updates of the best epoch, within the limit."""
    trained = limited(tmp_path, clock, 80, data_refit="true")
    full, refit = trained.phases
    assert refit.name == "refit_full"
    last = max(row["step"] for row in trained.rows if row["phase"] == "full")
    assert trained.rows[-1]["step"] - last == full.best["epoch"] * EPOCH
    assert 40 < clock() - 1000.0 <= 80
    assert trained.rows[-1]["learning_rate"] == pytest.approx(
        rate_of(trained, full.best["epoch"] * EPOCH), abs=2e-6
    )


@pytest.mark.slow
def test_a_refit_without_time_is_left_out(tmp_path, clock, monkeypatch):
    end = TimePlan.end_phase

    def pause(self, phase):
        end(self, phase)
        clock.now += 40.0

    monkeypatch.setattr(TimePlan, "end_phase", pause)
    trained = limited(tmp_path, clock, 80, data_refit="true")
    assert [phase.name for phase in trained.phases] == ["full"]
    last = changes(trained)[-1]
    assert (last["phase"], last["after"]) == ("refit", 0)
    again = resumed(trained, trained.status["step"], tmp_path)
    assert [phase.name for phase in again.phases] == ["full"]
