"""Loggers of real runs, by the command line and with stand-ins for the trackers' clients."""

import json
from pathlib import Path

import pytest
from whole_runs import only_run

from fmkit.core import fault_injection, optional_packages, safe_io
from fmkit.store.loggers import follow

FAKES = Path(__file__).parent / "store/fake_trackers"
WORDS = ["finetune", "data=digits", "model=small_cnn", "stage=scratch", "stage.full.epochs=2",
         "runtime.save_every=2 steps", "runtime.report=false", "runtime.log_every=5"]  # fmt: skip


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(optional_packages, "is_installed", lambda module: True)
    monkeypatch.setattr(fault_injection, "_passed", {})
    monkeypatch.syspath_prepend(str(FAKES))
    monkeypatch.setenv("FAKE_TRACKER", str(tmp_path / "store.json"))
    return lambda: json.loads((tmp_path / "store.json").read_text())


def losses(folder):
    return [[row["step"], row["loss"]] for row in safe_io.read_json_lines(folder / "metrics.jsonl")]


@pytest.mark.slow
def test_a_run_that_is_stopped_and_resumed_is_one_record(fmkit, store, tmp_path, monkeypatch):
    monkeypatch.setenv(fault_injection.VARIABLE, "train.step:50:term")
    loggers = ["runtime.loggers=[mlflow]", "runtime.mlflow.tracking_uri=tracked"]
    assert fmkit(*WORDS, *loggers, "runtime.log_model=true")[0] == 143
    monkeypatch.delenv(fault_injection.VARIABLE)
    folder = only_run(tmp_path)
    (run,) = store()["runs"]
    assert run["status"] == "KILLED"
    assert store()["uri"] == str(tmp_path / "tracked")
    code, out, _ = fmkit("resume", "last")
    assert code == 0
    assert "mlflow: MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri" in out
    (run,) = store()["runs"]
    assert run["status"] == "FINISHED"
    sent = [row[1:] for row in run["metrics"] if row[0] == "loss"]
    assert sent == losses(folder)
    assert "model/model.keras" in run["files"]
    assert "checkpoint/step-" in " ".join(run["files"])
    accuracy = json.loads((folder / "eval/test.json").read_text())["accuracy"]
    assert ["test/accuracy", accuracy] in [[row[0], row[2]] for row in run["metrics"]]


@pytest.mark.slow
def test_a_logger_that_hangs_changes_nothing(fmkit, store, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAULT", "hang")
    monkeypatch.setattr(follow, "END_SECONDS", 1.0)
    code, _, err = fmkit(*WORDS, "runs_dir=hangs", "runtime.loggers=[mlflow]")
    assert code == 0
    assert err.count("warning: mlflow does not work") == 1
    assert fmkit(*WORDS, "runs_dir=without")[0] == 0
    (hangs,), (without,) = (
        (tmp_path / name / "finetune").iterdir() for name in ("hangs", "without")
    )
    assert losses(hangs) == losses(without)
    assert "logger mlflow: it was not finished after 1 s" in (hangs / "log.txt").read_text()


@pytest.mark.slow
def test_a_sweep_is_a_group_in_wandb(fmkit, store, tmp_path):
    code, _, _ = fmkit(*WORDS, "-m", "runtime.seed=0,1", "stage.full.epochs=1",
                       "runtime.loggers=[wandb]", "runtime.wandb.mode=offline")  # fmt: skip
    assert code == 0
    lines = [json.loads(line) for line in (tmp_path / "store.json").read_text().splitlines()]
    started = [line["init"] for line in lines if "init" in line]
    (sweep,) = (tmp_path / "runs/sweeps").iterdir()
    assert [row["group"] for row in started] == [sweep.name] * 2
    assert [row["config"]["runtime.seed"] for row in started] == [0, 1]
    assert [line for line in lines if "exit_code" in line] == [{"exit_code": 0}] * 2
