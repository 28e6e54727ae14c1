"""Runs in experiment trackers, our side: what is sent, what goes on, what a failure costs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from logged_runs import ROWS, make_run, write_rows, write_status

from fmkit.cli import main
from fmkit.store.loggers import process
from fmkit.store.loggers.follow import Follower, Followers
from fmkit.store.loggers.session import Session, records

FAKES = Path(__file__).parent / "fake_trackers"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """The trackers' packages are ours; returns what MLflow's has in store."""
    monkeypatch.syspath_prepend(str(FAKES))
    monkeypatch.setenv("FAKE_TRACKER", str(tmp_path / "store.json"))
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith(("MLFLOW_", "WANDB_")):
            monkeypatch.delenv(name)
    modules = {name: module for name, module in sys.modules.items() if is_tracker(name)}
    for name in modules:
        del sys.modules[name]
    yield lambda: json.loads((tmp_path / "store.json").read_text())
    for name in [name for name in sys.modules if is_tracker(name)]:
        del sys.modules[name]
    sys.modules.update(modules)


def is_tracker(name):
    return name.partition(".")[0] in ("mlflow", "wandb")


def send(folder, name="mlflow", with_model=False, finish=True, **settings):
    """What the process of a logger does, in this one."""
    tracker = process.tracker(name, settings, folder, os.getpid())
    session = Session(folder, name, tracker, with_model)
    session.finish() if finish else session.send()


def events(tmp_path):
    return [json.loads(line) for line in (tmp_path / "store.json").read_text().splitlines()]


def test_what_mlflow_gets_of_a_run(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("PHOTOS", "/secret/place")
    send(make_run(tmp_path / "runs/finetune/one"))
    (run,) = fake()["runs"]
    assert fake()["experiments"] == {"fmkit": "1"}
    assert fake()["uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert fake()["location"] == f"file://{tmp_path}/mlruns/fmkit"
    assert run["name"] == "one"
    assert run["status"] == "FINISHED"
    assert run["end"] - run["start"] == 60_000
    assert run["params"] == {
        "model.name": "small_cnn", "model.image_size": "32", "data.name": "digits",
        "data.root": "${oc.env:PHOTOS}", "data.api_key": "<redacted>", "stage.head.epochs": "1",
        "stage.full.epochs": "2", "runtime.seed": "0", "runtime.loggers.0": "mlflow",
    }  # fmt: skip
    assert run["tags"]["command"] == "fmkit finetune data=digits 'name='\"'\"'a b'\"'\"''"
    expected = {"run": "one", "parent": "before", "mlflow.source.git.commit": "abc123",
                "git_commit": "abc123", "phases": "head, full", "data": "digits"}  # fmt: skip
    assert expected.items() <= run["tags"].items()
    assert "sweep" not in run["tags"]
    metrics = {(key, step): value for key, step, value in run["metrics"]}
    assert len(metrics) == len(run["metrics"])
    for row in ROWS:
        for key in ("loss", "val_loss", "seconds", "epoch"):
            assert metrics.pop((key, row["step"]), None) == row.get(key)
        assert metrics.pop(("phase", row["step"])) == (1 if row["phase"] == "head" else 2)
    assert metrics == {("test/n", 30): 9, ("test/accuracy", 30): 0.5, ("best/epoch", 30): 2,
                       ("best/step", 30): 30, ("best/val_loss", 30): 0.25}  # fmt: skip
    assert sorted(run["files"]) == ["README.md", "config.yaml", "environment.json",
                                    "eval/test.json", "plots/roc.png", "report.html"]  # fmt: skip


def test_the_model_is_sent_where_it_was_asked_for(fake, tmp_path):
    folder = make_run(tmp_path / "runs/finetune/one")
    send(folder, with_model=True)
    models = ["checkpoint/step-00000030/model.safetensors", "model/model.keras",
              "model/tokenizer/vocabulary.txt"]  # fmt: skip
    assert [name for name in fake()["runs"][0]["files"] if "model" in name] == sorted(
        models, key=lambda name: not name.startswith("model/")
    )
    (tmp_path / "store.json").unlink()
    send(folder, "wandb", True)
    (artifact,) = [event["artifact"] for event in events(tmp_path) if "artifact" in event]
    assert sorted(artifact) == models


def test_a_resumed_run_goes_on_in_the_same_record(fake, tmp_path):
    folder = make_run(tmp_path / "runs/finetune/one")
    write_status(folder, "running")
    send(folder, finish=False)
    assert fake()["runs"][0]["status"] == "RUNNING"
    assert records(folder)["mlflow"]["rows"] == 3
    write_rows(folder, ROWS[:2])  # back to the checkpoint, and
    send(folder, finish=False)
    write_rows(folder, [*ROWS, {"phase": "full", "epoch": 3, "step": 40, "loss": 0.125}])
    (folder / "config.yaml").write_text(
        (folder / "config.yaml").read_text().replace('epochs: "2"', 'epochs: "3"')
    )
    write_status(folder)
    send(folder)
    (run,) = fake()["runs"]
    losses = [row for row in run["metrics"] if row[0] == "loss"]
    assert losses == [["loss", 10, 2.0], ["loss", 20, 1.0], ["loss", 30, 0.5], ["loss", 40, 0.125]]
    assert [row for row in run["metrics"] if row[0] == "phase"][-1] == ["phase", 40, 2]
    assert run["params"]["stage.full.epochs"] == "2"
    assert run["tags"]["now.stage.full.epochs"] == "3"
    assert run["status"] == "FINISHED"


def test_a_record_that_is_gone_is_made_again_and_one_without_an_id_is_taken(fake, tmp_path):
    folder = make_run(tmp_path / "runs/finetune/one")
    send(folder)
    (tmp_path / "store.json").unlink()
    send(folder)
    assert len([row for row in fake()["runs"][0]["metrics"] if row[0] == "loss"]) == 3
    count = len(fake()["runs"][0]["metrics"])
    send(folder)
    assert len(fake()["runs"][0]["metrics"]) == count
    (folder / "loggers/mlflow.json").unlink()
    send(folder)
    assert len(fake()["runs"]) == 1


def test_the_jobs_of_a_sweep_are_grouped(fake, tmp_path):
    for job in ("0", "1"):
        send(make_run(tmp_path / f"runs/sweeps/S/{job}"))
    group, *jobs = fake()["runs"]
    assert group["name"] == "S"
    assert group["status"] == "FINISHED"
    assert [job["tags"]["mlflow.parentRunId"] for job in jobs] == [group["id"]] * 2
    assert [job["name"] for job in jobs] == ["S-0", "S-1"]


@pytest.mark.parametrize(
    ("settings", "variables", "uri", "experiment"),
    [
        ({}, {"MLFLOW_TRACKING_URI": "http://h:5", "MLFLOW_EXPERIMENT_NAME": "e"},
         "http://h:5", "e"),
        ({"tracking_uri": "http://a", "experiment": "x"},
         {"MLFLOW_TRACKING_URI": "http://h:5", "MLFLOW_EXPERIMENT_NAME": "e"}, "http://a", "x"),
        ({"tracking_uri": "http://u:<redacted>@a"}, {"MLFLOW_TRACKING_URI": "http://h"},
         "http://h", "fmkit"),
        ({"tracking_uri": "/a/folder"}, {}, "/a/folder", "fmkit"),
    ],
    ids=["variables", "keys", "redacted", "folder"],
)  # fmt: skip
def test_where_mlflow_writes(settings, variables, uri, experiment, fake, tmp_path, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    folder = make_run(tmp_path / "runs/finetune/one")
    send(folder, **settings)
    assert fake()["uri"] == uri
    assert [*fake()["experiments"]] == [experiment]
    for name in variables:
        monkeypatch.delenv(name)
    send(folder, **(settings if "redacted" not in str(settings) else {}))  # it is remembered
    assert fake()["uri"] == uri
    record = records(folder)["mlflow"]
    is_server = uri.startswith("http")
    assert record["url"] == (f"{uri}/#/experiments/1/runs/{record['id']}" if is_server else None)


def test_a_password_in_the_uri_is_not_recorded(fake, tmp_path):
    folder = make_run(tmp_path / "runs/finetune/one")
    send(folder, tracking_uri="postgresql://me:geheim@h/db")
    assert "geheim" not in (folder / "loggers/mlflow.json").read_text()


def test_what_wandb_gets_of_a_run(fake, tmp_path):
    folder = make_run(tmp_path / "runs/sweeps/S/0")
    send(folder, "wandb", mode="offline", project="p")
    first, *rest = events(tmp_path)
    init = first["init"]
    assert init["id"] == "S-0"
    assert init["resume"] == "allow"
    assert (init["project"], init["group"], init["mode"]) == ("p", "S", "offline")
    assert init["config"]["stage.full.epochs"] == "2"
    assert init["config"]["fmkit.git_commit"] == "abc123"
    assert Path(init["dir"]) == folder / "loggers"
    off = {"disable_code": True, "save_code": False, "disable_git": True}
    assert off.items() <= first["settings"].items()
    rows = [(event["step"], event["row"]) for event in rest if "row" in event]
    assert rows[0] == (0, ROWS[0])
    assert [step for step, _ in rows] == [0, 1, 2]
    assert "val_loss" not in rows[1][1]
    (summary,) = [event["summary"] for event in rest if "summary" in event]
    assert summary == {"test/n": 9, "test/accuracy": 0.5, "best/epoch": 2, "best/step": 30,
                       "best/val_loss": 0.25}  # fmt: skip
    files = [event["file"] for event in rest if "file" in event]
    assert "eval/test.json" in files
    assert "config.yaml" not in files  # wandb has one of its own
    assert not [name for name in files if "parquet" in name or "samples" in name]
    assert rest[-1] == {"exit_code": 0}
    record = records(folder)["wandb"]
    assert (record["id"], record["rows"], record["state"]) == ("S-0", 3, "done")


def test_rows_that_wandb_has_not_confirmed_are_sent_again(fake, tmp_path):
    folder = make_run(tmp_path / "runs/finetune/one")
    send(folder, "wandb", finish=False)
    assert records(folder)["wandb"]["rows"] == 0
    write_status(folder, "failed")
    send(folder, "wandb")
    lines = events(tmp_path)
    assert [event["step"] for event in lines if "row" in event] == [0, 1, 2, 0, 1, 2]
    assert lines[-1] == {"exit_code": 1}
    assert {event["init"]["id"] for event in lines if "init" in event} == {"one"}


FAULTS = {
    "gone": "ConnectionError: HTTPConnectionPool(host='127.0.0.1', port=1): refused",
    "secret": "PermissionError: 401: wrong password <redacted>",
    "exit": "SystemExit: 7",
    "crash": "its process ended unexpectedly",
    "hang": "it was not finished after 1 s",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_logger_that_fails_costs_a_line_and_a_warning(fault, fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_FAULT", fault)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "geheim")
    monkeypatch.setattr(process, "SECONDS", 0.1)
    folder, log = make_run(tmp_path / "runs/finetune/one"), []
    began = time.monotonic()
    followers = Followers([Follower(folder, "mlflow", {}, log=log.append)])
    (row,) = followers.close(1.0 if fault == "hang" else None)
    assert time.monotonic() - began < 30  # by far less than a client's own tries
    assert not row["complete"]
    assert row["reason"].startswith(FAULTS[fault])
    err = capsys.readouterr().err
    assert err.count("warning:") == 1
    assert f"mlflow does not work: {FAULTS[fault]}" in " ".join(err.split())
    assert f"fmkit runs sync {Path('runs/finetune/one')}" in " ".join(err.split())
    assert len([line for line in log if FAULTS[fault] in line]) == 1
    assert "geheim" not in f"{err}{log}"
    assert followers.close() == []


def test_sync_sends_what_a_logger_missed(fake, tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path / "runs/finetune/one")
    monkeypatch.setattr("fmkit.core.optional_packages.is_installed", lambda module: True)
    monkeypatch.setenv("FAKE_FAULT", "gone")
    monkeypatch.setenv("PHOTOS", "x")
    assert main(["runs", "sync", "one"]) == 4
    assert "mlflow: ConnectionError" in capsys.readouterr().err
    monkeypatch.delenv("FAKE_FAULT")
    assert main(["runs", "sync", "one", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["records"]
    assert record["complete"]
    assert records(folder)["mlflow"]["rows"] == len(ROWS)
    assert main(["runs", "sync", "one", "loggers=tensorboard"]) == 2
    assert "Allowed: mlflow, wandb" in capsys.readouterr().err


def test_a_killed_run_ends_its_record(fake, tmp_path):
    """As after SIGKILL, which no code of the run survives."""
    folder = make_run(tmp_path / "runs/finetune/one")
    write_status(folder, "running")
    code = (
        "import sys, time; from pathlib import Path\n"
        "from fmkit.store.loggers.follow import Follower\n"
        f"follower = Follower(Path({str(folder)!r}), 'mlflow', {{}}, log=lambda line: print('open',"
        " flush=True)); time.sleep(60)"
    )
    path = os.pathsep.join([str(FAKES), *filter(None, sys.path)])
    trainer = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    trainer.stdout.readline()
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    trainer.stdout.close()
    end = time.monotonic() + 30
    while fake()["runs"][0]["status"] != "KILLED" and time.monotonic() < end:
        time.sleep(0.05)
    assert fake()["runs"][0]["status"] == "KILLED"
