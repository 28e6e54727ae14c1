"""`fmkit resume RUN`: what it does, what it says, what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from fmkit.cli import main
from fmkit.core import fault_injection, safe_io
from fmkit.core.version import VERSION
from fmkit.store import forgetting
from fmkit.store.run_dir import RunWriter
from fmkit.train.checkpoints import checkpoint

WORDS = ["finetune", "data=digits", "data.limit=80", "data.batch_size=16", "model=small_cnn",
         "model.weights=none", "model.image_size=8", "stage=scratch", "stage.full.epochs=2",
         "runtime.verbose=false", "optimizer.ema=0.5", "runtime.keep=2"]  # fmt: skip
TIMES = ("seconds", "examples_per_second", "rss_bytes")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that nobody touched, and the same one stopped by a signal in its second epoch."""
    root, monkeypatch = tmp_path_factory.mktemp("runs"), pytest.MonkeyPatch()
    monkeypatch.setattr(fault_injection, "_passed", {})
    assert main([*WORDS, f"runs_dir={root / 'whole'}"]) == 0
    monkeypatch.setenv(fault_injection.VARIABLE, "train.step:6:term")  # it is heard after step 7
    assert main([*WORDS, f"runs_dir={root / 'stopped'}"]) == 143
    monkeypatch.undo()
    return only(root / "whole"), only(root / "stopped")


@pytest.fixture
def stopped(runs, tmp_path):
    """A copy of the one that was stopped."""
    return Path(shutil.copytree(runs[1], tmp_path / "runs" / "finetune" / runs[1].name))


def only(root):
    (folder,) = (root / "finetune").iterdir()
    return folder


def read(folder, name):
    return json.loads((folder / name).read_text())


def rows(folder):
    found = safe_io.read_json_lines(folder / "metrics.jsonl")
    return [{key: each[key] for key in each if key not in TIMES} for each in found]


def test_a_stopped_run_goes_on_to_the_end_it_would_have_had(fmkit, runs, stopped):
    whole = runs[0]
    assert read(stopped, "status.json")["state"] == "interrupted"
    code, out, err = fmkit("resume", "last")
    assert code == 0
    assert f"resuming run {stopped.name} at step 7 of phase full (epoch 2 of 2)" in err
    assert "total time" in out
    assert rows(stopped) == rows(whole)
    for name in ("eval/val.json", "eval/test.json"):
        assert read(stopped, name) == read(whole, name)
    ours, theirs = (
        {
            path.relative_to(folder): load_file(path)
            for path in sorted(
                folder.glob(f"checkpoints/{checkpoint.folder_name(8)}/*.safetensors")
            )
        }
        for folder in (stopped, whole)
    )
    assert ours.keys() == theirs.keys()
    for path, arrays in ours.items():
        for name, value in arrays.items():
            assert value.tobytes() == theirs[path][name].tobytes(), (path, name)
    counts = [forgetting.read(folder)[1] for folder in (stopped, whole)]
    assert counts[0]["seen"].tolist() == [2] * len(counts[0]["seen"])
    for name, values in counts[0].items():
        np.testing.assert_array_equal(values, counts[1][name])
    assert (stopped / "forgetting.csv").read_bytes() == (whole / "forgetting.csv").read_bytes()
    status = read(stopped, "status.json")
    assert status["state"] == "done"
    (resume,) = status["resumes"]
    assert [resume[key] for key in ("phase", "epoch", "step", "fmkit")] == ["full", 1, 7, VERSION]
    code, _, err = fmkit("resume", stopped.name)
    assert (code, err.strip()) == (0, f"run {stopped.name} is finished: nothing to do")


def test_a_finished_run_is_made_longer_from_its_last_checkpoint(fmkit, runs, tmp_path):
    run = Path(shutil.copytree(runs[0], tmp_path / "runs" / "finetune" / runs[0].name))
    before, kept = (run / "config.yaml").read_text(), rows(run)
    code, _, err = fmkit("resume", str(run), "stage.full.epochs=3")
    assert code == 0
    assert "gets 12 steps, not 8; the learning rate at step 8 of it was 0, and is" in err
    assert (run / "config-1.yaml").read_text() == before
    assert yaml.safe_load((run / "config.yaml").read_text())["stage"]["full"]["epochs"] == "3"
    assert rows(run)[:2] == kept
    assert [each["epoch"] for each in rows(run)] == [1, 2, 3]
    for words, told in (
        (["stage.full.epochs=2"], "it can only be made longer"),
        (["stage.head.epochs=9"], "only the last phase"),
        (["optimizer.learning_rate=1"], "stage.PHASE.epochs"),
    ):
        code, _, err = fmkit("resume", str(run), *words)
        assert code == 2
        assert told in err
    assert read(run, "status.json")["state"] == "done"


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_would_be_another_run_is_refused_and_changes_nothing(fmkit, stopped):
    status = (stopped / "status.json").read_bytes()
    environment, config = stopped / "environment.json", stopped / "config.yaml"
    before, written = environment.read_text(), config.read_text()

    edit(environment, lambda each: each["versions"].update(keras="3.0.0"))
    code, _, err = fmkit("resume", str(stopped))
    assert code == 4
    assert "keras 3.0.0, now " in err
    assert "allow_versions=true" in err

    environment.write_text(before)
    config.write_text(written.replace("label_smoothing: 0.0", "label_smoothing: 0.1"))
    code, _, err = fmkit("resume", str(stopped))
    assert code == 4
    assert "task.label_smoothing was 0.0, is 0.1" in err

    config.write_text(written)
    edit(environment, lambda each: each["data"].update(fingerprint="0" * 64))
    code, _, err = fmkit("resume", str(stopped))
    assert code == 3
    assert "the data of run" in err
    environment.write_text(before)

    other = RunWriter.reopen(stopped)
    code, _, err = fmkit("resume", str(stopped))
    other.release_lock()
    assert code == 4
    assert "in use by pid" in err
    assert (stopped / "status.json").read_bytes() == status


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(fmkit, runs, stopped):
    newest = checkpoint.list_checkpoints(stopped / "checkpoints")[-1]
    content = bytearray((newest.folder / checkpoint.TRAINING).read_bytes())
    content[-1] ^= 1
    (newest.folder / checkpoint.TRAINING).write_bytes(content)
    code, _, err = fmkit("resume", stopped.name[-6:])
    assert code == 0
    assert f"{checkpoint.folder_name(7)} failed its checksum" in err
    assert f"resuming run {stopped.name} at step 4 of phase full" in err
    assert rows(stopped) == rows(runs[0])


def test_a_run_that_has_saved_nothing_starts_again_in_its_folder(fmkit, runs, stopped):
    shutil.rmtree(stopped / "checkpoints")
    code, _, err = fmkit("resume", str(stopped))
    assert code == 0
    assert "no checkpoint yet: it starts again from the beginning" in err
    assert rows(stopped) == rows(runs[0])


def test_what_is_no_run_is_told(fmkit, tmp_path):
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    (tmp_path / "sweep" / "0" / "status.json").write_text("{}")
    for words, code, told in (
        ([], 2, "its folder, its id, or `last`"),
        (["one", "two"], 2, "one two"),
        (["last"], 4, "was stopped before its end"),
        (["sweep"], 4, "fmkit resume sweep/0"),
        (["sweep/1"], 4, "no run"),
        (["run=sweep"], 4, "fmkit resume sweep/0"),
        (["one", "run=two"], 2, "one two"),
    ):
        found, _, err = fmkit("resume", *words)
        assert found == code
        assert told.lower() in err.lower()
