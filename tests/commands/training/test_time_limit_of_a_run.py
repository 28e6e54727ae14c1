"""The time limit of a command: of a new run, of one that is resumed, and when it is over."""

import signal
import time
from types import SimpleNamespace

import pytest

from fmkit.commands import resume
from fmkit.commands.training import training_run
from fmkit.core import signals
from fmkit.core.errors import ConfigError, Interrupted

RECORD = {"limit": "10 min", "used_before": 0.0, "note": ""}


def limit_of(request=None, seconds=0.0, record=RECORD, text="10 min"):
    config = SimpleNamespace(runtime=SimpleNamespace(time_limit=text))
    run = SimpleNamespace(status={"seconds": seconds, "time_limit": record})
    resumed = SimpleNamespace(request=SimpleNamespace(time_limit=request))
    return training_run._time_limit(config, run, resumed, time.monotonic())


def test_a_new_run_has_that_of_its_config_from_when_its_command_began():
    config = SimpleNamespace(runtime=SimpleNamespace(time_limit="1h 30m"))
    limit = training_run._time_limit(config, None, None, began=100.0)
    assert limit.deadline == 100.0 + 5400
    assert not limit.replans
    config.runtime.time_limit = None
    assert training_run._time_limit(config, None, None, began=100.0) is None


def test_a_resumed_run_has_the_rest_of_its_own_or_a_new_one(capsys):
    rest = limit_of(seconds=480.0)
    assert 119 < rest.deadline - time.monotonic() <= 120
    assert not rest.replans
    new = limit_of("20 min", seconds=480.0)
    assert 1199 < new.deadline - time.monotonic() <= 1200
    assert new.replans
    assert limit_of("none", seconds=480.0) is None
    assert limit_of(record=None, text=None) is None
    assert capsys.readouterr().err == ""
    assert limit_of(seconds=600.0) is None
    assert "10 min is used up: the run goes on without one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "expected"), [("10 min", "10 min"), ("none", "none"), ("null", "none")]
)
def test_resume_takes_a_new_limit(value, expected):
    assert resume.parse(["RUN", f"runtime.time_limit={value}"]).time_limit == expected


def test_resume_refuses_a_time_without_a_unit():
    assert resume.parse(["RUN"]).time_limit is None
    with pytest.raises(ConfigError, match=r"runtime\.time_limit: received '10'.*'10 min'"):
        resume.parse(["RUN", "runtime.time_limit=10"])


@pytest.mark.parametrize("has_saved", [False, True])
def test_a_limit_that_is_over_before_anything_is_saved_is_too_short(
    has_saved, tmp_path, monkeypatch
):
    def train(*arguments):
        signal.raise_signal(signal.SIGALRM)  # as the timer does

    monkeypatch.setattr(training_run, "_train", train)
    if has_saved:
        (tmp_path / "step-000000007").mkdir()
    config = SimpleNamespace(runtime=SimpleNamespace(time_limit="10 min"))
    run = SimpleNamespace(checkpoints=tmp_path, status={"phase": "head"})
    with signals.signal_handlers():
        if has_saved:
            with pytest.raises(signals.SignalReceived):
                training_run.train(config, run)
            return
        with pytest.raises(ConfigError, match="too short: it was over before phase head") as error:
            training_run.train(config, run)
        assert error.value.exit_code == 2
        assert "Try runtime.time_limit=" in error.value.hint
        assert not isinstance(error.value, Interrupted)
