"""Regression and sets of labels from the command line to the record: check, train, eval, predict,
another run's head, several objectives."""

import csv
import json

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file
from whole_runs import only_run

from fmkit.cli import main
from fmkit.core import safe_io
from fmkit.train.checkpoints import checkpoint

CNN = (
    "model=small_cnn",
    "model.image_size=16",
    "stage=scratch",
    "data.augment=none",
    "runtime.verbose=false",
)
BERT = ("model=small_bert", "stage=scratch", "model.max_length=32", "runtime.verbose=false")


def read(folder, name):
    return json.loads((folder / name).read_text())


def write(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def make_photos(root, count=72, seed=0):
    """Grey squares, some with a white bar on top, some with a black one on the left.

    The table has their brightness in a unit of its own, and a column for each bar.
    """
    noise, rows = np.random.default_rng(seed), []
    (root / "photos").mkdir(parents=True)
    for number in range(count):
        grey = noise.integers(60, 200)
        pixels = np.clip(noise.normal(grey, 4, (16, 16, 3)), 0, 255)
        top, left = number % 2, number // 2 % 2
        if top:
            pixels[:4] = 255
        if left:
            pixels[:, :4] = 0
        name = f"photos/{number:03d}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(root / name)
        kind = "light" if grey > 130 else "dark"
        rows.append([name, f"{1000 + 10 * grey}.5", "yes" if top else "no", left, kind])
    return write(root / "table.csv", ["path", "lux", "top", "left", "kind"], rows)


MARKS = {"alpha": "qqqq", "beta": "zzzz"}


def make_texts(path, count=96, seed=0):
    """Texts whose marks are their labels, and whose number is how many `!` they have."""
    noise, rows = np.random.default_rng(seed), []
    for number in range(count):
        labels = [each for k, each in enumerate(("alpha", "beta")) if number >> k & 1]
        marks = int(noise.integers(0, 8))
        words = [*(MARKS[each] for each in labels), "!" * marks, f"t{number}"]
        rows.append([" ".join(words), "|".join(labels), marks, f"a{number % 12}"])
    return write(path, ["text", "tags", "marks", "author"], rows)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A finished regression of photos: their brightness."""
    root = tmp_path_factory.mktemp("numbers")
    table = make_photos(root)
    code = main([
        "finetune", *CNN, "task=regression", "data=image_table", f"data.root={table}",
        "data.label_column=lux", "data.batch_size=8", "stage.full.epochs=14",
        "optimizer.learning_rate=5e-3", "task.monitor=val_r2", "model.dropout=0",
        f"runs_dir={root / 'runs'}",
    ])  # fmt: skip
    assert code == 0
    return root, only_run(root)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """A finished run of two labels of texts."""
    root = tmp_path_factory.mktemp("labels")
    table = make_texts(root / "texts.csv")
    code = main([
        "finetune", *BERT, "task=multi_label", "data=text_table", f"data.root={table}",
        "data.label_column=tags", "data.batch_size=8", "stage.full.epochs=16",
        "optimizer.learning_rate=3e-3", "task.monitor=val_micro_f1", f"runs_dir={root / 'runs'}",
    ])  # fmt: skip
    assert code == 0
    return root, only_run(root)


def test_a_regression_learns_brightness_in_its_own_unit(numbers):
    _, folder = numbers
    status, environment = read(folder, "status.json"), read(folder, "environment.json")["data"]
    assert status["test"]["r2"] > 0.8
    assert 0 < status["test"]["mae"] < 300
    assert environment["annotations"] == "numbers"
    assert environment["names"] == ["lux"]
    mean, deviation = environment["moments"]["lux"]
    assert (2000 < mean < 2700, 300 < deviation < 600) == (True, True)
    assert status["best"]["monitor"] == "val_r2"
    rows = list(safe_io.read_json_lines(folder / "metrics.jsonl"))
    assert status["best"]["value"] == max(row["val_r2"] for row in rows)
    assert rows[0]["val_rmse"] >= rows[0]["val_mae"]


def test_the_last_epoch_of_a_regression_is_judged_alike_by_the_loop_and_by_eval(numbers, capsys):
    root, folder = numbers
    best = read(folder, "status.json")["best"]
    rows = list(safe_io.read_json_lines(folder / "metrics.jsonl"))
    row = next(each for each in rows if each["step"] == best["step"])
    found = read(folder, "eval/val.json")
    for figure in ("loss", "mae", "rmse", "r2"):
        assert found[figure] == pytest.approx(row[f"val_{figure}"], rel=1e-3), figure
    before = read(folder, "eval/test.json")
    capsys.readouterr()
    assert main(["eval", f"run={folder}", f"runs_dir={root / 'runs'}"]) == 0
    told = capsys.readouterr().out
    for word in ("RMSE", "R2", "Spearman", "lux"):
        assert word in told
    after = read(folder, "eval/test.json")
    assert after["mae"] == pytest.approx(before["mae"], rel=1e-5)
    table = pd.read_parquet(folder / "eval" / "test.parquet")
    assert list(table.columns) == ["id", "label", "prediction"]
    error = (table["label"] - table["prediction"]).abs()
    assert error.mean() == pytest.approx(after["mae"])
    low, high = after["intervals"]["mae"]
    assert low < after["mae"] < high
    row = after["prediction_intervals"][1]
    assert (row["number"], row["level"]) == ("lux", 0.9)
    assert row["coverage"] == pytest.approx((error <= row["half_width"]).mean())
    assert f"{row['half_width']:.5g}" in told
    assert set(pd.read_csv(folder / "eval/test/residuals.csv")["number"]) == {"lux"}


def test_predictions_and_the_model_file_are_in_the_unit(numbers, fmkit, tmp_path):
    root, folder = numbers
    code, out, err = fmkit("predict", f"run={folder}", f"input={root / 'photos'}",
                           "output=found.csv")  # fmt: skip
    assert code == 0, err
    assert "confidence" not in out
    found = pd.read_csv(tmp_path / "found.csv")["prediction"].to_numpy()
    truth = pd.read_csv(root / "table.csv")["lux"].to_numpy()
    assert np.corrcoef(found, truth)[0, 1] > 0.9
    assert abs(found.mean() - truth.mean()) < 200
    model = keras.saving.load_model(folder / "model.keras")
    assert not [each for each in model._flatten_layers() if "fmkit" in type(each).__module__]
    images = [np.asarray(Image.open(root / "photos" / f"{each:03d}.png")) for each in range(4)]
    shown = model.predict(np.stack(images), verbose=0)[:, 0]
    np.testing.assert_allclose(shown, found[:4], rtol=1e-5)


def test_another_run_goes_on_with_the_head_and_its_unit(numbers, fmkit, tmp_path):
    _, folder = numbers
    other = make_photos(tmp_path / "other", count=24, seed=3)
    code, _, err = fmkit("finetune", f"init={folder}", "task=regression", "stage=unfrozen",
                         "stage.full.epochs=1", f"data.root={other}",
                         "optimizer.learning_rate=1e-9", "optimizer.weight_decay=0")  # fmt: skip
    assert code == 0, err
    assert read(only_run(tmp_path), "environment.json")["weights"]["head"] is True
    one, two = weights(folder), weights(only_run(tmp_path))
    for name in ("mean", "scale"):
        np.testing.assert_array_equal(one[f"head_units/{name}"], two[f"head_units/{name}"])
    assert read(only_run(tmp_path), "status.json")["test"]["mae"] < 400


def weights(folder):
    """Those of the best checkpoint."""
    step = read(folder, "status.json")["best"]["step"]
    return load_file(folder / "checkpoints" / checkpoint.folder_name(step) / "model.safetensors")


def test_two_labels_are_learned(labels, capsys):
    root, folder = labels
    status = read(folder, "status.json")
    assert status["test"]["micro_f1"] > 0.9
    assert status["best"]["monitor"] == "val_micro_f1"
    environment = read(folder, "environment.json")["data"]
    assert environment["names"] == ["alpha", "beta"]
    assert environment["class_counts"]["train"]["alpha"] > 20
    found = read(folder, "eval/test.json")
    assert found["per_label"]["beta"]["f1"] > 0.8
    capsys.readouterr()
    assert main(["eval", f"run={folder}", f"runs_dir={root / 'runs'}"]) == 0
    told = capsys.readouterr().out
    assert "micro F1" in told
    assert "ROC AUC" in told
    table = pd.read_parquet(folder / "eval" / "test.parquet")
    assert list(table.columns) == [
        "id", "label", "label_alpha", "label_beta", "prediction",
        "probability_alpha", "probability_beta",
    ]  # fmt: skip
    right = (table["label"] == table["prediction"]).mean()
    assert right == pytest.approx(read(folder, "eval/test.json")["subset_accuracy"])
    assert "thresholds are" not in told  # only where they are asked for
    rows = pd.read_csv(folder / "eval/test/thresholds.csv")
    assert set(rows["label"]) == {"alpha", "beta"}


def test_labels_of_another_table_are_matched_by_name(labels, fmkit, tmp_path):
    _, folder = labels
    rows = [["qqqq t1", 0, 1], ["zzzz t2", "yes", "no"], ["qqqq zzzz t3", 1, 1], ["t4", 0, 0]] * 3
    table = write(tmp_path / "columns.csv", ["text", "beta", "alpha"], rows)
    code, _, err = fmkit("eval", f"run={folder}", f"data.root={table}",
                         "data.label_columns=[beta,alpha]")  # fmt: skip
    assert code == 0, err
    (path,) = folder.glob("eval/all-*.json")
    assert json.loads(path.read_text())["micro_f1"] > 0.8
    table = write(tmp_path / "open.csv", ["text", "tags"], [["qqqq t1", "alpha"], ["t2", ""]])
    code, _, err = fmkit("eval", f"run={folder}", f"data.root={table}")
    assert code == 0, err  # nobody has beta, which is no fault of the table
    rows = [["qqqq t1", 1], ["zzzz t2", "no"], ["t4", 0], ["qqqq zzzz t3", "yes"]]
    table = write(tmp_path / "lacks.csv", ["text", "alpha"], rows)
    code, _, err = fmkit("eval", f"run={folder}", f"data.root={table}",
                         "data.label_columns=[beta,alpha]")  # fmt: skip
    assert code == 0, err
    assert "the data has no 'beta', which the run learned, too: evaluated is 'alpha'" in err
    path = max(folder.glob("eval/all-*.json"), key=lambda path: path.stat().st_mtime_ns)
    assert json.loads(path.read_text())["per_label"].keys() == {"alpha"}
    judged = pd.read_parquet(path.with_suffix(".parquet"))
    assert judged["label_alpha"].tolist() == [True, False, False, True]
    assert (judged["probability_alpha"] > 0.5).tolist() == [True, False, False, True]
    table = write(tmp_path / "new.csv", ["text", "tags"], [["qqqq t1", "gamma"], ["t2", "alpha"]])
    code, _, err = fmkit("eval", f"run={folder}", f"data.root={table}")
    assert (code, "'gamma' was not in the training data" in err) == (3, True)


def test_predicted_labels(labels, fmkit, tmp_path):
    _, folder = labels
    new = write(tmp_path / "new.csv", ["text"], [["qqqq zzzz t1"], ["t2"], ["zzzz t3"]])
    code, out, err = fmkit("predict", f"run={folder}", f"input={new}", "output=found.csv")
    assert code == 0, err
    assert "alpha|beta" in out
    assert "(none)" in out
    found = pd.read_csv(tmp_path / "found.csv", keep_default_na=False)
    assert list(found["prediction"]) == ["alpha|beta", "", "beta"]
    assert found["probability_alpha"][0] > 0.5


@pytest.mark.parametrize(
    ("task", "words", "figure", "least"),
    [
        ("regression", ["data.label_columns=[lux]"], "r2", 0.5),
        ("multi_label", ["data.label_columns=[top,left]"], "micro_f1", 0.8),
    ],
)
def test_a_linear_head_is_solved_on_kept_features(task, words, figure, least, fmkit, tmp_path):
    table = make_photos(tmp_path / "data")
    code, _, err = fmkit("pretrain", "model=small_cnn", f"task={task}", "data=image_table",
                         f"data.root={table}", *words, "stage.head.solver=lbfgs")  # fmt: skip
    assert code == 0, err
    folder = only_run(tmp_path, "pretrain")
    status = read(folder, "status.json")
    assert status["features"]["head"]["computed"] + status["features"]["head"]["read"] == 72
    assert status["test"][figure] > least
    (row,) = safe_io.read_json_lines(folder / "metrics.jsonl")
    assert row["l2_alpha" if task == "regression" else "l2_C"] > 0
    proof = read(folder, "freeze.json")["phases"][0]
    assert proof["proof"] == "held"
    assert not any(each["moved"] for each in proof["blocks"] if each["block"] != "head")


def test_a_joint_run_of_numbers_and_classes_of_one_table(fmkit, tmp_path):
    table = make_photos(tmp_path / "data", count=48)
    place = "task.objectives"
    code, _, err = fmkit(
        "finetune", *CNN, "task=joint", "data=image_table",
        f"data.root={table}", "data.batch_size=8", "stage.full.epochs=2",
        f"{place}.light.task=regression", f"{place}.light.data.label_column=lux",
        f"{place}.marks.task=multi_label", f"{place}.marks.data.label_columns=[top,left]",
        f"{place}.kind.task=classification", f"{place}.kind.data.label_column=kind",
        "task.monitor=val_light_mae",
    )  # fmt: skip
    assert code == 0, err
    folder = only_run(tmp_path)
    rows = list(safe_io.read_json_lines(folder / "metrics.jsonl"))
    wanted = {"val_light_mae", "val_light_r2", "val_marks_micro_f1", "val_kind_accuracy"}
    assert wanted <= set(rows[-1])
    config = yaml.safe_load((folder / "config.yaml").read_text())["task"]["objectives"]
    assert [each["data"]["labels"] for each in config.values()] == ["numbers", "sets", "classes"]
    before = read(folder, "eval/test-light.json")
    assert 0 < before["mae"] < 2000
    (folder / "eval" / "test-light.json").unlink()
    code, _, err = fmkit("eval", f"run={folder}", "objective=light")
    assert code == 0, err
    after = read(folder, "eval/test-light.json")
    assert after["mae"] == pytest.approx(before["mae"], rel=1e-5)
