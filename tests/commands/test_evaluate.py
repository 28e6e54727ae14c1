"""`fmkit eval` judges what a run recorded or what new data has, and keeps the run's own figures."""

import dataclasses
import json
import shutil

import pandas as pd
import pytest
from kept_runs import kept_run
from whole_runs import make_photos

from fmkit.config.schema.data import TextTableData
from fmkit.core.errors import DataError
from fmkit.data.sources import text_table
from fmkit.evaluation import run_data
from fmkit.evaluation.progress import Progress

FAST = "bootstrap=0"


def read(path):
    return json.loads(path.read_text())


def own_figures(run):
    return {path.name: path.read_bytes() for path in (run / "eval").iterdir() if path.is_file()}


@pytest.fixture
def run(tmp_path):
    return kept_run("images", tmp_path)


def evaluated(fmkit, *words):
    code, out, err = fmkit("eval", "run=last", FAST, *words)
    assert code == 0, err
    return out, " ".join(err.split())


def test_accuracy_comes_first(run, fmkit):
    out, err = evaluated(fmkit)
    assert out.index("accuracy") < out.index("calibration")
    assert "changed" not in err
    assert len(own_figures(run)) == 4  # the split of the run has one place


def test_what_is_done_is_said_at_once_and_counted(run, fmkit, monkeypatch):
    counts = []
    monkeypatch.setattr(Progress, "advance", lambda self, count: counts.append(count))
    _, err = evaluated(fmkit)
    examples = read(run / "eval" / "test.json")["n"]
    assert f"eval: test, {examples} images, with run {run.name}" in err
    assert examples <= sum(counts) < examples + 6  # batches of six
    _, err = evaluated(fmkit, "runtime.verbose=false")
    assert "eval:" not in err


def test_the_recorded_split_is_judged_after_photos_came_and_went(run, fmkit, tmp_path):
    recorded = pd.read_parquet(run / "eval" / "test.parquet")
    before = own_figures(run)
    gone = recorded["id"][0]
    (tmp_path / "photos" / gone).unlink()
    trained = next(
        path
        for path in sorted((tmp_path / "photos" / "red").iterdir())
        if f"red/{path.name}" not in set(recorded["id"])
    )
    for number in range(5):
        shutil.copy(trained, tmp_path / "photos" / "red" / f"000_{number}.png")
    _, err = evaluated(fmkit)
    assert f"the {len(recorded)} examples of test on record, of which 1 is gone" in err
    assert {name: own_figures(run)[name] for name in before} == before
    (beside,) = (run / "eval").glob("test-*.parquet")
    judged = pd.read_parquet(beside)
    assert sorted(judged["id"]) == sorted({*recorded["id"]} - {gone})
    figures = read(beside.with_suffix(".json"))
    rest = recorded[recorded["id"] != gone]
    assert figures["n"] == len(rest)
    assert figures["accuracy"] == (rest["label"] == rest["prediction"]).mean()


def test_a_class_that_came_later_is_not_in_the_recorded_split(run, fmkit, tmp_path):
    make_photos(tmp_path / "photos", ["rose"], 4)
    before = own_figures(run)
    evaluated(fmkit)
    assert {name: own_figures(run)[name] for name in before} == before
    code, _, err = fmkit("eval", "run=last", FAST, "split=all")
    assert code == 3
    assert "'rose' was not in the training data" in err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test", ["data.resize=crop"]),  # read otherwise
        ("test", ["data.split_seed=9"]),  # split otherwise
        ("val", ["data.val_fraction=0.4"]),
    ],
)
def test_other_settings_are_written_beside(run, fmkit, name, words):
    before = own_figures(run)
    evaluated(fmkit, f"split={name}", *words)
    assert {file: own_figures(run)[file] for file in before} == before
    assert len(list((run / "eval").glob(f"{name}-????????.json"))) == 1


def test_settings_that_change_nothing_have_the_same_place(run, fmkit):
    evaluated(fmkit, "data.batch_size=7", "data.augment=strong", "data.flip=both")
    assert len(own_figures(run)) == 4


def test_without_a_record_the_split_is_made_anew_and_written_beside(run, fmkit, tmp_path):
    (run / "eval" / "test.parquet").unlink()
    shutil.copy(tmp_path / "photos/red/00.png", tmp_path / "photos/red/new.png")
    before = own_figures(run)
    _, err = evaluated(fmkit)
    assert "its splits may have changed, too" in err
    assert {name: own_figures(run)[name] for name in before} == before


def test_nothing_on_record_is_left(run, fmkit, tmp_path):
    for name in pd.read_parquet(run / "eval" / "test.parquet")["id"]:
        (tmp_path / "photos" / name).unlink()
    code, _, err = fmkit("eval", "run=last", FAST)
    assert code == 3
    assert "split=all" in err


def test_new_photos_without_a_class_are_judged(run, fmkit, tmp_path):
    new = tmp_path / "new"
    shutil.copytree(tmp_path / "photos" / "red", new / "red")
    _, err = evaluated(fmkit, "data.root=new")
    assert "all has no example of 'blue', 'green'" in err
    (path,) = (run / "eval").glob("all-*.json")
    figures = read(path)
    assert figures["per_class"]["red"]["support"] == figures["n"] == 12
    assert figures["per_class"]["blue"]["support"] == 0


def test_new_texts_without_a_class_are_judged(fmkit, tmp_path):
    run = kept_run("texts", tmp_path)
    table = pd.read_csv(tmp_path / "texts.csv")
    (tmp_path / "new.csv").write_text(table[table["label"] != "date"].to_csv(index=False))
    _, err = evaluated(fmkit, "data.root=new.csv")
    assert "all has no example of 'date'" in err
    (path,) = (run / "eval").glob("all-*.json")
    assert read(path)["n"] == (table["label"] != "date").sum()
    (tmp_path / "new.csv").write_text(table.replace({"label": {"date": "Date"}}).to_csv())
    code, _, err = fmkit("eval", "run=last", FAST, "data.root=new.csv")
    assert code == 3
    assert "'date' is not 'Date'" in err


def test_rows_that_may_have_moved_are_not_taken_for_the_recorded_ones(fmkit, tmp_path):
    run = kept_run("texts", tmp_path)
    recorded = read(run / "eval" / "test.json")
    table = pd.read_csv(tmp_path / "texts.csv")
    added = pd.DataFrame({column: table[column][:1] for column in table})
    added["text"] = "a text that was not there before"

    pd.concat([table, added]).to_csv(tmp_path / "texts.csv", index=False)
    _, err = evaluated(fmkit)  # rows at the end move none
    assert "the data has changed" in err
    (path,) = (run / "eval").glob("test-*.json")
    assert read(path)["n"] == recorded["n"]
    assert read(path)["accuracy"] == recorded["accuracy"]

    before = own_figures(run)
    pd.concat([added, table]).to_csv(tmp_path / "texts.csv", index=False)
    for words in ((), ("split=val",)):
        code, out, err = fmkit("eval", "run=last", FAST, *words)
        assert (code, out) == (3, "")
        assert "its rows are known by their numbers" in err
        assert "Type: fmkit eval run=last bootstrap=0 split=all" in " ".join(err.split())
    assert own_figures(run) == before
    evaluated(fmkit, "split=all")


def test_a_table_without_the_columns_of_the_run_says_how_to_name_them(tmp_path):
    (tmp_path / "new.csv").write_text("id,Message,Kind\n1,one two,a\n")
    trained_on = TextTableData(text_column="Letter", label_column="Topic", split_seed=0)
    config = dataclasses.replace(trained_on, root=str(tmp_path / "new.csv"), label_column="kind")
    with pytest.raises(DataError) as caught:
        text_table.list_examples(config)
    error = run_data._with_trained_columns(caught.value, config, trained_on)
    assert "no column 'kind' (did you mean Kind" in error.message
    assert "'Letter' (data.text_column)" in error.hint
    assert error.hint.endswith("column: data.text_column=NAME")
    assert run_data._with_trained_columns(DataError("other"), config, trained_on).hint == ""
