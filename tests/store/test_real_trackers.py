"""The same with the clients themselves, where they are installed: what they read is what was sent.

`pip install mlflow-skinny sqlalchemy alembic wandb`, in an environment of its own.
"""

import importlib.util
import json
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from logged_runs import ROWS, make_run, write_rows, write_status

from fmkit.store.loggers.follow import Follower
from fmkit.store.loggers.session import records


def needs(module):
    reason = f"{module} is not installed"
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=reason)


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID",
                 "WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


def send(folder, name, **settings):
    log = []
    follower = Follower(folder, name, settings, with_model=True, log=log.append)
    follower.close(120)
    assert follower.is_done, log


@pytest.mark.slow
@needs("mlflow")
@pytest.mark.parametrize("uri", ["sqlite:///{}/a.db", "{}/folder"], ids=["sqlite", "folder"])
def test_mlflow_reads_what_was_sent(uri, tmp_path):
    from mlflow import MlflowClient

    uri = uri.format(tmp_path)
    folder = make_run(tmp_path / "runs/sweeps/S/0")
    write_rows(folder, ROWS[:2])
    write_status(folder, "interrupted")
    send(folder, "mlflow", tracking_uri=uri, experiment="an experiment")
    client = MlflowClient(tracking_uri=uri)
    identity = records(folder)["mlflow"]["id"]
    assert client.get_run(identity).info.status == "KILLED"
    write_rows(folder, ROWS)
    write_status(folder)
    (folder / "config.yaml").write_text(
        (folder / "config.yaml").read_text().replace('epochs: "2"', 'epochs: "3"')
    )
    send(folder, "mlflow", tracking_uri=uri, experiment="an experiment")
    experiment = client.get_experiment_by_name("an experiment")
    runs = client.search_runs([experiment.experiment_id])
    (run,) = [run for run in runs if run.info.run_id == identity]
    (group,) = [run for run in runs if run.info.run_id != identity]
    assert run.data.tags["mlflow.parentRunId"] == group.info.run_id
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(identity, "loss")
    assert [(point.step, point.value) for point in history] == [(10, 2), (20, 1), (30, 0.5)]
    assert run.data.metrics["test/accuracy"] == 0.5
    assert run.data.metrics["phase"] == 2
    assert run.data.params["stage.full.epochs"] == "2"
    assert run.data.tags["now.stage.full.epochs"] == "3"
    assert run.data.params["data.root"] == "${oc.env:PHOTOS}"
    names = {item.path for item in client.list_artifacts(identity)}
    assert names >= {"report.html", "README.md", "plots", "eval", "model", "checkpoint"}


@pytest.mark.slow
@needs("wandb")
def test_the_file_of_wandb_has_what_was_sent(tmp_path):
    folder = make_run(tmp_path / "runs/finetune/one")
    send(folder, "wandb", mode="offline", project="a-project")
    place = Path(records(folder)["wandb"]["place"])
    assert place.is_relative_to(folder / "loggers")
    (path,) = place.glob("*.wandb")
    found = list(wandb_records(path.read_bytes()))
    (run,) = [record.run for record in found if record.HasField("run")]
    assert (run.run_id, run.project, run.job_type) == ("one", "a-project", "finetune")
    assert not run.git.ByteSize()
    rows = [items(record.history.item) for record in found if record.HasField("history")]
    assert [(row["step"], row["epoch"], row["phase"], row["loss"]) for row in rows] == [
        (row["step"], row["epoch"], row["phase"], row["loss"]) for row in ROWS
    ]
    summary = {}
    for record in found:
        if record.HasField("summary"):
            summary |= items(record.summary.update)
    assert summary["test/accuracy"] == 0.5
    files = {item.path for record in found for item in record.files.files}
    assert files >= {"report.html", "README.md", "eval/test.json", "plots/roc.png"}
    assert [record.exit.exit_code for record in found if record.HasField("exit")] == [0]


def items(rows):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in rows}


def wandb_records(content):
    """The records of a .wandb file: LevelDB's log format, blocks of 32 KiB after 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    position, part = 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        part = (part if kind in (3, 4) else b"") + content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # the whole of a record, or its end
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            yield record
