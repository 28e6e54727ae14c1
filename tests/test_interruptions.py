"""Runs that a signal ends, wherever they are: they say so, and nothing that was done is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from whole_runs import QUICK, only_run

from fmkit.commands.training import final_evaluation
from fmkit.train.checkpoints import checkpoint
from fmkit.train.features import cache

WORDS = [*QUICK, "data=digits", "stage.full.epochs=5000", "runtime.log_every=1"]


def status(folder: Path) -> dict:
    return json.loads((folder / "status.json").read_text())


def wait_for(done, process):
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


@pytest.fixture
def started(tmp_path):
    """A long run in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fmkit.cli", "finetune", *WORDS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((signal.SIGINT,), 130),
        ((signal.SIGUSR1, signal.SIGHUP), 129),
    ],
    ids=["SIGINT", "SIGUSR1 SIGHUP"],
)
def test_a_signal_in_training_saves_and_says_so(numbers, expected, tmp_path, started):
    wait_for(lambda: list(tmp_path.glob("runs/finetune/*/metrics.jsonl")), started)
    folder = only_run(tmp_path)
    if signal.SIGUSR1 in numbers:
        rows = (folder / "metrics.jsonl").stat().st_size
        started.send_signal(signal.SIGUSR1)
        wait_for(lambda: (folder / "metrics.jsonl").stat().st_size > rows + 1000, started)
    started.send_signal(numbers[-1])
    assert started.wait(60) == expected
    told = started.stderr.read().decode()
    assert ("SIGUSR1: saving this step and going on" in told) == (signal.SIGUSR1 in numbers)
    assert f"stopped by {numbers[-1].name} at step" in told
    assert status(folder)["state"] == "interrupted"
    newest = checkpoint.list_checkpoints(folder / "checkpoints")[-1]
    assert not checkpoint.find_damage(newest)
    assert f"{numbers[-1].name} at step {newest.step} " in status(folder)["reason"]


def test_a_signal_while_tensorflow_is_imported(tmp_path, started):
    wait_for(lambda: list(tmp_path.glob("runs/finetune/*/config.yaml")), started)
    time.sleep(0.3)  # the data is read, and the import takes seconds
    started.send_signal(signal.SIGUSR1)
    started.send_signal(signal.SIGTERM)
    assert started.wait(60) == 143
    assert "stopped by SIGTERM" in started.stderr.read().decode()
    assert status(only_run(tmp_path))["state"] == "interrupted"


def raising(honest, number):
    """The same function, and a signal in the middle of it."""

    def called(*words, **options):
        signal.raise_signal(number)
        return honest(*words, **options)

    return called


def test_a_signal_in_the_last_evaluation_ends_the_sweep_and_keeps_the_run(
    fmkit, tmp_path, monkeypatch
):
    stopped = raising(final_evaluation.evaluate, signal.SIGTERM)
    monkeypatch.setattr(final_evaluation, "evaluate", stopped)
    words = ["data=digits", "data.limit=100", "runtime.seed=1,2", "runtime.verbose=false"]
    code, _, err = fmkit("finetune", "-m", *QUICK, *words)
    assert code == 143
    assert "stopped by SIGTERM at step" in err
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    (job,) = (each for each in sweep.iterdir() if each.is_dir())
    found = status(job)
    assert found["state"] == "interrupted"
    newest = checkpoint.list_checkpoints(job / "checkpoints")[-1]
    assert not checkpoint.find_damage(newest)
    assert newest.step == found["step"]


def test_a_signal_in_a_pass_over_the_photos_comes_at_once(fmkit, tmp_path, monkeypatch):
    monkeypatch.setattr(cache._Extraction, "_run", raising(cache._Extraction._run, signal.SIGINT))
    words = ["data=digits", "data.limit=100", "stage=frozen", f"runtime.cache_dir={tmp_path}/c"]
    code, _, err = fmkit("pretrain", QUICK[0], "model.weights=none", *words)
    assert code == 130
    assert "stopped by SIGINT at step 0 (phase head)" in err
    assert status(only_run(tmp_path, "pretrain"))["state"] == "interrupted"
    assert not list(tmp_path.glob("c/features/.tmp*"))
