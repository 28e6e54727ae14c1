"""What `eval`, `predict` and `init` refuse before a model is built, each with what to do.

The runs here have no weights at all, so nothing that is told can come from loading them.
"""

import json
import os

import pytest
import yaml
from whole_runs import make_photos

from fmkit.commands import launch
from fmkit.commands.output import result_tables
from fmkit.core import console
from fmkit.store.run_dir import RunWriter


@pytest.fixture
def run(tmp_path, photos):
    """The record of a run over `photos` whose only checkpoint is empty."""
    folder = tmp_path / "runs" / "finetune" / "2026-01-01_000000-abcdef"
    (folder / "checkpoints" / "step-00000001").mkdir(parents=True)
    config = {
        "model": {"name": "small_cnn", "weights": "none"},
        "data": {"name": "image_folder", "root": str(photos), "split_seed": 1},
        "task": {"name": "classification"},
        "plugins": None,
    }
    data = {"classes": ["blue", "green", "red"], "fingerprint": "x"}
    (folder / "status.json").write_text(json.dumps({"state": "done"}))
    (folder / "environment.json").write_text(json.dumps({"data": data}))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_classes_that_do_not_match(run, fmkit, tmp_path):
    other = make_photos(tmp_path / "other", classes=("blue", "green", "rot"), count=3)
    code, _, err = fmkit("eval", f"run={run}", f"data.root={other}")
    assert code == 3
    assert "'red'" in err
    assert "'rot'" in err


@pytest.mark.parametrize(
    "command", ["eval run=last", "predict run={} input=photos", "finetune init={}"]
)
def test_a_run_without_a_checkpoint_says_why_it_has_none(command, run, fmkit):
    (run / "checkpoints" / "step-00000001").rmdir()
    (run / "environment.json").unlink()
    command = command.replace("last", "{}")
    reason = "data.root: 'nope': no such folder."
    (run / "status.json").write_text(json.dumps({"state": "failed", "reason": reason}))
    code, _, err = fmkit(*command.format(run.name).split())
    assert code == 4
    key = "init" if "init" in command else "run"
    assert f"{key}: {run.name} has no checkpoint; its state is failed: {reason}" in err
    assert list(run.parent.iterdir()) == [run]  # no new run


def test_a_damaged_record_is_told_before_the_photos(run, fmkit):
    (run / "environment.json").write_text("{")
    code, _, err = fmkit("predict", "run=last", "input=nowhere")
    assert (code, "environment.json" in err) == (4, True)


def test_the_key_that_was_typed_is_the_one_told(run, fmkit):
    code, _, err = fmkit("finetune", "init=nope")
    assert code == 4
    assert "init: received 'nope'" in err
    code, _, err = fmkit("eval", "run=nope", "runs_dir=runs/../none")
    assert code == 4
    assert "run: received 'nope'" in err
    assert ".." not in err


@pytest.mark.parametrize("group", ["model", "data", "task"])
def test_a_run_made_with_a_plugin_names_the_plugin_file(group, run, fmkit, tmp_path):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config[group]["name"], config["plugins"] = "stripes", str(tmp_path / "own.py")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    code, _, err = fmkit("eval", "run=last")
    assert code == 2
    assert f"{group}=stripes" in err
    assert "Add plugins=own.py." in err


def test_a_plugin_file_may_import_what_talks(tmp_path, capfd):
    path = tmp_path / "own.py"
    path.write_text("import os\nos.write(2, b'cuda')\nDATA = {'talking': None}\n")
    assert "talking" in launch.allowed_names(path)["data.name"]
    console.info("after")
    assert capfd.readouterr().err == "after\n"


def test_an_output_that_cannot_be_written(run, fmkit, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    for output in ("file/found.csv", "folder.csv", "folder.csv/../file/deep/found.csv"):
        code, _, err = fmkit("predict", "run=last", "input=photos", f"output={output}")
        assert code == 2
        assert f"output: {output} cannot be written" in err
    if os.path.isdir("/proc"):  # noqa: PTH112 - where even root cannot write
        code, _, err = fmkit("predict", "run=last", "input=photos", "output=/proc/x/found.csv")
        assert code == 2
        assert "/proc/x/found.csv" in err


def test_a_column_that_a_table_of_photos_lacks(run, fmkit, tmp_path):
    (tmp_path / "photos.csv").write_text("file\nphotos/red/00.png\n")
    code, _, err = fmkit("predict", "run=last", "input=photos.csv", "path_column=nope")
    assert code == 3
    assert "path_column=NAME" in err
    assert "data.path_column" not in err


def test_a_sweeps_table_shows_what_differs_and_why_a_job_failed(tmp_path, capsys):
    jobs = []
    for number, rate in enumerate(("0.1", "0.2")):
        job = RunWriter(tmp_path / str(number), "finetune")
        job.status["state"] = "done"
        jobs.append((["data=digits", f"optimizer.learning_rate={rate}"], job))
    jobs[1][1].status.update(state="failed", reason="loss became nan at step 3.\nLower it.")
    result_tables.sweep(tmp_path, jobs)
    shown = capsys.readouterr().out
    assert "optimizer.learning_rate=0.2" in shown
    assert "data=digits" not in shown
    assert "job 1 failed: loss became nan at step 3. Lower it." in shown
