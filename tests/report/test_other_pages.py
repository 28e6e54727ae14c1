"""Pages of two runs and of sweeps, and what other tasks than classification show."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from html_content import tables, text_of
from kept_runs import kept_run
from scipy.stats import binomtest

import fmkit
from fmkit.cli import main
from fmkit.evaluation import scores
from fmkit.evaluation.slices import clusters
from fmkit.report import evaluation_files, results, run_page, samples
from fmkit.report.record import RunRecord


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """A run, and a copy of it with another learning rate and other predictions of three photos."""
    root = tmp_path_factory.mktemp("two")
    first = kept_run("images", root)
    second = first.with_name("2026-11-30_050000-secnd2")
    shutil.copytree(first, second)
    config = second / "config.yaml"
    config.write_text(config.read_text().replace("learning_rate: 0.02", "learning_rate: 0.03"))
    status = json.loads((second / "status.json").read_text())
    (second / "status.json").write_text(json.dumps({**status, "name": "other <b>"}))
    metrics = json.loads((second / "eval" / "test.json").read_text())
    (second / "eval" / "test.json").write_text(
        json.dumps({**metrics, "loss": metrics["loss"] - 0.5})
    )
    table = pd.read_parquet(second / "eval" / "test.parquet")
    table.loc[:2, "prediction"] = ["red", "green", "blue"]
    for row, name in enumerate(table.loc[:2, "prediction"]):
        table.loc[row, [f"probability_{colour}" for colour in ("blue", "green", "red")]] = 0.1
        table.loc[row, f"probability_{name}"] = 0.8
    table.to_parquet(second / "eval" / "test.parquet")
    return root, first, second


def test_two_runs_side_by_side(two_runs, monkeypatch, capsys):
    root, first, second = two_runs
    monkeypatch.chdir(root)
    assert main(["report", str(first), str(second)]) == 0, capsys.readouterr().err
    page = (second / f"compared-with-{first.name}.html").read_text()
    shown = tables(page)
    loss = next(row for row in shown["Figures of test, with 95% intervals"] if row[0] == "loss")
    assert loss[-1] == "-0.5000"
    (settings,) = [
        rows for rows in shown.values() if ["optimizer.learning_rate", "0.02", "0.03"] in rows
    ]
    assert len(settings) == 1
    assert "other <b>" in text_of(page)
    left, right = (pd.read_parquet(run / "eval" / "test.parquet") for run in (first, second))
    differing = set(left.id[left.prediction != right.prediction])
    (rows,) = [rows for caption, rows in shown.items() if "disagreement" in caption]
    assert {row[0] for row in rows} == differing
    assert page.count("data:image/jpeg") == len(differing)  # the photos are looked up
    assert page.count("<script") == 1


def test_who_is_right(two_runs):
    _, first, second = two_runs
    left, right = (pd.read_parquet(run / "eval" / "test.parquet") for run in (first, second))
    only_first = only_second = 0
    for one, other in zip(left.itertuples(), right.itertuples(), strict=True):
        only_first += one.prediction == one.label != other.prediction
        only_second += other.prediction == other.label != one.prediction
    page = fmkit.load(second).report(fmkit.load(first)).read_text()
    told = " ".join(text_of(page).split())
    assert f"only first right {only_first} only second right {only_second}" in told
    p_value = binomtest(only_first, only_first + only_second).pvalue
    assert f"McNemar's exact test p = {p_value:.3g}" in told


def test_a_sweep(two_runs, tmp_path, monkeypatch, capsys):
    _, first, second = two_runs
    folder = tmp_path / "runs" / "sweeps" / "2026-11-30_060000-sweep2"
    for number, run in enumerate((first, second)):
        shutil.copytree(run, folder / str(number))
    overrides = folder / "1" / ".hydra" / "overrides.yaml"
    text = overrides.read_text().replace("learning_rate=0.02", "learning_rate=0.03")
    overrides.write_text(text)
    (folder / "0" / "report.html").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["report", folder.name]) == 0, capsys.readouterr().err
    page = (folder / "report.html").read_text()
    rows = tables(page)["Jobs by test.accuracy, the best first"]
    assert {(row[0], row[1]) for row in rows} == {("0", "0.02"), ("1", "0.03")}
    assert '<a href="0/report.html">' in page
    assert (folder / "plot_by_optimizer_learning_rate.png").stat().st_size > 5000
    assert main(["runs", f"runs_dir={folder}"]) == 0
    assert "broken" not in capsys.readouterr().out  # the plots are no jobs


NUMBERS = pd.DataFrame({"id": list("abcd"), "label": [1.0, 2.0, 3.0, 4.0],
                        "prediction": [1.1, 2.0, 7.0, 3.5]})  # fmt: skip
SETS = pd.DataFrame({
    "id": list("abc"), "label": ["x", "x, y", ""], "label_x": [1, 1, 0], "label_y": [0, 1, 0],
    "prediction": ["x", "x", "x"], "probability_x": [0.9, 0.8, 0.99],
    "probability_y": [0.1, 0.4, 0.1],
})  # fmt: skip
WORDS = pd.DataFrame({
    "id": ["s"] * 3 + ["t"] * 2, "place": [0, 1, 2, 0, 1], "word": ["Anna", "is", "<i>", "a", "b"],
    "label": ["B-PER", "O", "O", "O", "O"], "prediction": ["O", "O", "B-PER", "O", "O"],
    "confidence": [0.5] * 5,
})  # fmt: skip
ANSWERS = pd.DataFrame({
    "id": ["p", "q"], "question": ["Who?", "Where?"], "answers": [["Anna", "Ann"], []],
    "prediction": ["Anna", "Bonn"], "confidence": [0.9, 0.8], "f1": [1.0, 0.0],
})  # fmt: skip


@pytest.mark.parametrize(
    ("table", "mistakes", "typical"),
    [
        (NUMBERS, ["c", "d", "a", "b"], []),
        (SETS, ["c", "b"], ["a"]),
        (WORDS, ["s"], ["t"]),
        (ANSWERS, ["q"], ["p"]),
        (pd.DataFrame({"id": ["a"], "margin": [0.5]}), [], []),
        (pd.DataFrame(), [], []),
    ],
    ids=["numbers", "sets", "tags", "answers", "preferences", "empty"],
)
def test_the_worst_of_each_task(table, mistakes, typical):
    chosen = samples.choose(table)
    assert [sample.id for sample in chosen.get("mistakes", ())] == mistakes
    assert [sample.id for sample in chosen.get("typical", ())] == typical


def with_predictions(folder, table, task, metrics):
    (folder / "metrics.jsonl").unlink()  # curves take time
    table.to_parquet(folder / "eval" / "test.parquet")
    (folder / "eval" / "test.json").write_text(json.dumps({"n": len(table), **metrics}))
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**status, "task": task, "test": None}))
    return folder


@pytest.mark.parametrize(
    ("table", "task", "metrics", "charts"),
    [
        (NUMBERS, "regression",
         {"mae": 1.15, "rmse": 2.0, "r2": 0.1, "loss": 1.0, "per_number": {"price": {"mae": 1.15}}},
         {"predicted_test_price", "residuals_test_price"}),
        (WORDS, "token_classification",
         {"f1": 0.0, "precision": 0.0, "recall": 0.0, "accuracy": 0.6},
         {"confusion_test"}),
    ],
    ids=["regression", "tags"],
)  # fmt: skip
def test_charts_of_other_tasks(table, task, metrics, charts, tmp_path):
    folder = with_predictions(kept_run("images", tmp_path), table, task, metrics)
    report = run_page.write(folder)
    assert report.problems == []
    assert {path.stem for path in report.plots} >= charts
    page = report.path.read_text()
    if task == "regression":
        assert "1.15" in tables(page)["Figures of each number, test."][0]
    else:
        assert "<mark>&lt;i&gt;</mark>" in page
        counts, names = results.confusion_of(RunRecord(folder), table)
        expected = pd.crosstab(table.label, table.prediction).reindex(
            names, columns=names, fill_value=0
        )
        assert np.array_equal(counts, expected)


def test_curves_that_an_evaluation_left(tmp_path):
    folder = kept_run("images", tmp_path)
    (folder / "eval" / "test").mkdir()
    curve = pd.DataFrame({
        "class": ["<b>", "<b>", "x", "x", "x"], "threshold": [np.nan, 0.1, np.nan, 0.5, 0.1],
        "false_positive_rate": [0.0, 1.0, 0.0, 0.0, 1.0],
        "true_positive_rate": [0.0, 1.0, 0.0, 1.0, 1.0],
    })  # fmt: skip
    curve.to_csv(folder / "eval" / "test" / "roc.csv", index=False)
    (folder / "eval" / "test" / "risk_coverage.csv").write_text("coverage,risk\n.5,0\n1,.25\n")
    (folder / "eval" / "test" / "precision_recall.csv").write_text("\0")
    roc, risk = evaluation_files.draw(RunRecord(folder))
    assert "<b> 0.500; x 1.000" in roc.description
    assert "25.0% of all answers are wrong, 0.0% of the surest half" in risk.description


def test_slices_and_thresholds_that_an_evaluation_left(tmp_path):
    folder = kept_run("images", tmp_path)
    (folder / "eval" / "test").mkdir()
    table = pd.DataFrame({"column": ["site", "site"], "value": ["<a>", None], "n": [5, 4],
                          "accuracy": [0.25, np.nan]})  # fmt: skip
    table.to_csv(folder / "eval" / "test" / "slices.csv", index=False)
    path = folder / "eval" / "test.json"
    sentence = "Where site is '<a>' (5 examples) the error is 75.0%."
    found = {"tested": 2, "worse": [{"sentence": sentence}]}
    scaling = {
        "temperature": 1.5,
        "fitted_on": "val",
        "loss": 0.9,
        "expected_calibration_error": 0.1,
    }
    more = {"slices": found, "temperature_scaling": scaling, "prediction_intervals": [
        {"number": "price", "level": 0.9, "half_width": 12.5, "coverage": 0.875}]}  # fmt: skip
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    page = str(evaluation_files.tables(RunRecord(folder)))
    assert sentence in text_of(page)
    assert "would be 0.1000 instead of 0.2834" in text_of(page)
    intervals = tables(page)["Prediction intervals from the residuals of validation"]
    assert intervals == [["price", "90%", "12.5", "87.5%"]]
    assert tables(page)["Each value of a column"] == [
        ["site", "<a>", "5", "0.25"], ["site", "–", "4", "–"],
    ]  # fmt: skip


def test_clusters_that_an_evaluation_left_are_few_columns_wide(tmp_path):
    folder = kept_run("images", tmp_path)
    (folder / "eval" / "test").mkdir()
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    features = 4 * np.eye(8)[labels] + random.normal(size=(400, 8))
    probabilities = np.eye(2)[np.where((labels == 1) & (random.random(400) < 0.5), 0, labels)]
    columns = {f"probability_{name}": probabilities[:, k] for k, name in enumerate("ab")}
    ids = [f"photo-{number}" for number in range(400)]
    scored = scores.of_classes({"id": ids, "label": np.array([*"ab"])[labels], **columns})
    result = clusters.diagnostics(scored, features, None, 20, 0)
    table = pd.DataFrame(result.tables["clusters"])
    table.to_csv(folder / "eval" / "test" / "clusters.csv", index=False)
    path = folder / "eval" / "test.json"
    unlike = {"out_of_distribution": {"n": 400, "above": 30, "share": 0.075, "expected": 0.05}}
    path.write_text(json.dumps(json.loads(path.read_text()) | result.metrics | unlike))
    page = str(evaluation_files.tables(RunRecord(folder)))
    (worst,) = result.metrics["clusters"]["worse"]
    mistakes = ", ".join(worst["typical_mistakes"].split("; ")[:3])
    assert worst["sentence"].endswith(f" Look at {mistakes}.")
    assert worst["sentence"] in text_of(page)
    assert "30 of 400 examples of test (7.5%) look unlike the training data" in text_of(page)
    shown = tables(page)["Each cluster, on the half that it was not found on"]
    assert [row[:2] for row in shown] == [
        [row["value"], str(row["n"])] for _, row in table.iterrows()
    ]
    assert {len(row) for row in shown} == {7}  # with accuracy, its interval, error and p-value
