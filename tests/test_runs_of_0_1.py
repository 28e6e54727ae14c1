"""Runs that fmkit 0.1 made: every later version lists, judges, uses and goes on with them.

They lie in data_files/runs_0_1, with the data that they were trained on. These tests know of fmkit
its command line and the files of a run, so that they hold whatever becomes of its modules.
"""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

KEPT = Path(__file__).parent / "data_files" / "runs_0_1"
CLASSES = {"images": ["blue", "green", "red"], "texts": ["date", "name", "price"]}
DATA = {"images": "photos", "texts": "texts.csv"}
MODEL = {"images": "small_cnn", "texts": "small_bert"}


def copied(name, folder):
    """A copy of a run and its data; the data is not where it was when the run was made."""
    shutil.copytree(KEPT / name, folder, dirs_exist_ok=True)
    (run,) = (folder / "runs" / "finetune").iterdir()
    return SimpleNamespace(
        name=name, folder=run, data=DATA[name], classes=CLASSES[name], model=MODEL[name]
    )


@pytest.fixture(params=["images", "texts"])
def old(request, tmp_path):
    """A copy of each run in the folder that the `fmkit` fixture calls from."""
    return copied(request.param, tmp_path)


def read(folder, name):
    return json.loads((folder / name).read_text())


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def close(figures):
    return pytest.approx(figures, abs=1e-6)


def contents(folder):
    """Every file of a run, by its name."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_is_listed_and_shown(old, fmkit):
    before = contents(old.folder)
    code, out, err = fmkit("runs")
    assert code == 0, err
    for word in (old.folder.name, old.name, old.model, "done"):
        assert word in out
    code, out, err = fmkit("runs", "show", old.name)
    assert code == 0, err
    figures = [read(old.folder, f"eval/{split}.json") for split in ("val", "test")]
    told = [str(each[key])[:5] for each in figures for key in ("accuracy", "loss")]
    for word in (old.folder.name, old.model, "done", "head", "full", *told):
        assert word in out
    code, out, err = fmkit("runs", "best")
    assert code == 0, err
    assert old.folder.name in out
    assert contents(old.folder) == before


def test_eval_comes_to_the_figures_on_record(old, fmkit):
    known = read(old.folder, "eval/test.json")
    before = pd.read_parquet(old.folder / "eval" / "test.parquet")
    code, out, err = fmkit("eval", "run=last", f"data.root={old.data}", "split=test")
    assert code == 0, err
    assert f"{known['accuracy']:.4f}" in out
    (path,) = (old.folder / "eval").glob("test-*.json")  # the data lies in another place
    found = read(path.parent, path.name)
    for figure in ("loss", "accuracy", "macro_f1", "balanced_accuracy", "brier"):
        assert found[figure] == close(known[figure]), figure
    for fact in ("n", "confusion", "confusion_classes"):
        assert found[fact] == known[fact], fact
    for name, row in known["per_class"].items():  # which later versions add figures to
        assert {figure: found["per_class"][name][figure] for figure in row} == row
    after = pd.read_parquet(path.with_suffix(".parquet"))
    pd.testing.assert_frame_equal(after, before, rtol=0, atol=1e-6)


def test_predict_comes_to_the_probabilities_on_record(old, fmkit, tmp_path):
    code, _, err = fmkit("predict", f"run={old.name}", f"input={old.data}", "output=found.parquet")
    assert code == 0, err
    found = pd.read_parquet(tmp_path / "found.parquet")
    key = found.columns[0]
    found[key] = [each.removeprefix(f"{tmp_path / 'photos'}/") for each in found[key]]
    columns = [f"probability_{each}" for each in old.classes]
    for split in ("val", "test"):
        known = pd.read_parquet(old.folder / "eval" / f"{split}.parquet").set_index("id")
        again = found.set_index(key).loc[known.index]
        assert list(again["prediction"]) == list(known["prediction"])
        assert again[columns].to_numpy() == close(known[columns].to_numpy())


def test_another_run_starts_from_it(old, fmkit, tmp_path):
    words = ["stage.full.epochs=1", "optimizer.learning_rate=1e-9", "runtime.verbose=false"]
    words += ["data.refit=false"]  # its weights are those of validation, too
    code, _, err = fmkit("finetune", f"init={old.name}", f"data.root={old.data}", *words)
    assert code == 0, err
    told = f"init: phase head is skipped, since {old.folder.name} has trained this head."
    assert told in " ".join(err.split())
    (new,) = (
        each for each in (tmp_path / "runs" / "finetune").iterdir() if each.name != old.folder.name
    )
    assert [row["phase"] for row in rows(new)] == ["full"]
    assert read(new, "status.json")["state"] == "done"
    was, now = (read(each, "environment.json")["data"] for each in (old.folder, new))
    for fact in ("classes", "fingerprint", "split_fingerprint"):
        assert now[fact] == was[fact], fact
    for split in ("val", "test"):  # at that rate nothing is learned: it is the weights of the start
        was, now = (read(each, f"eval/{split}.json") for each in (old.folder, new))
        assert now["accuracy"] == was["accuracy"]
        assert now["loss"] == pytest.approx(was["loss"], abs=1e-5)


def test_resume_says_that_it_is_finished(old, fmkit):
    before = contents(old.folder)
    code, _, err = fmkit("resume", old.folder.name)
    assert (code, err.strip()) == (0, f"run {old.folder.name} is finished: nothing to do")
    assert contents(old.folder) == before


def test_it_is_made_longer_where_its_data_is_now(fmkit, tmp_path):
    old = copied("images", tmp_path)  # its optimizer keeps more than the other's
    known, config = rows(old.folder), old.folder / "config.yaml"
    root = yaml.safe_load(config.read_text())["data"]["root"]
    config.write_text(config.read_text().replace(root, str(tmp_path / old.data)))
    code, _, err = fmkit("resume", old.name, "stage.full.epochs=3", "allow_versions=true")
    assert code == 0, err
    assert f"resuming run {old.folder.name} at step {known[-1]['step']} of phase full" in err
    assert rows(old.folder)[:-1] == known
    last = rows(old.folder)[-1]
    assert (last["phase"], last["epoch"]) == ("full", 3)
    assert last["loss"] < known[-1]["loss"]
    assert read(old.folder, "status.json")["state"] == "done"
