"""Several objectives from the command line to the record, alone where one is left, and again."""

import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file
from whole_runs import make_photos, only_run

from fmkit.cli import main
from fmkit.core import safe_io

TIMES = ("seconds", "examples_per_second", "rss_bytes")
QUICK = ("model=small_cnn", "stage=scratch", "stage.full.epochs=2", "runtime.verbose=false")


def run_in(root, *words):
    """A run in a folder of its own."""
    root.mkdir(parents=True, exist_ok=True)
    code = main(["finetune", *QUICK, f"runs_dir={root / 'runs'}", *words])
    return code, only_run(root)


def weights(folder):
    found = sorted((folder / "checkpoints").glob("step-*"))
    return load_file(found[-1] / "model.safetensors")


def rows(folder):
    every = safe_io.read_json_lines(folder / "metrics.jsonl")
    return [{key: each[key] for key in each if key not in TIMES} for each in every]


def read(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Squares of three colours, and others of two."""
    root = tmp_path_factory.mktemp("data")
    make_photos(root / "three", count=12)
    make_photos(root / "two", classes=("green", "red"), count=14)
    return root


def objectives(data, *more):
    place = "task.objectives"
    return [
        "task=joint", "data=image_folder", f"data.root={data / 'three'}", "data.batch_size=8",
        "data.flip=none", f"{place}.two.data.name=image_folder",
        f"{place}.two.data.root={data / 'two'}", f"{place}.two.task.label_smoothing=0.1",
        f"{place}.two.batch_size=5", f"{place}.three.task.class_weights=balanced", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    root = tmp_path_factory.mktemp("joint")
    code, folder = run_in(root, *objectives(data, "task.alpha=0.4"))
    assert code == 0
    return root, folder


@pytest.mark.parametrize(
    ("alpha", "single"),
    [
        (0, ["data.batch_size=8", "data.flip=none", "task.class_weights=balanced"]),
        (1, ["data.batch_size=5", "task.label_smoothing=0.1"]),
    ],
)
@pytest.mark.slow
def test_one_objective_alone_is_the_single_run(data, tmp_path, alpha, single, capsys):
    root = data / ("two" if alpha else "three")
    _, joint = run_in(tmp_path / "joint", *objectives(data, f"task.alpha={alpha}"))
    told = capsys.readouterr().err
    _, alone = run_in(tmp_path / "alone", "data=image_folder", f"data.root={root}", *single)
    assert ("two alone" if alpha else "three alone") in told
    one, other = weights(joint), weights(alone)
    assert one.keys() == other.keys()
    for path, value in one.items():
        np.testing.assert_array_equal(value, other[path], err_msg=path)
    assert rows(joint) == rows(alone)
    assert read(joint, "eval/test.json") == read(alone, "eval/test.json")
    assert load(joint) == load(alone)


def load(folder):
    """The recorded config, but for where runs lie."""
    found = yaml.safe_load((folder / "config.yaml").read_text())
    return {key: value for key, value in found.items() if key != "runs_dir"}


def test_every_objective_is_judged_by_itself(finished):
    _, folder = finished
    assert set(read(folder, "eval/test.json")["per_class"]) == {"blue", "green", "red"}
    assert set(read(folder, "eval/test-two.json")["per_class"]) == {"green", "red"}
    status = read(folder, "status.json")
    assert status["task"] == "joint"
    assert list(status["objectives"]) == ["three", "two"]
    assert status["objectives"]["two"]["test"]["n"] == read(folder, "eval/test-two.json")["n"]
    assert status["test"] == status["objectives"]["three"]["test"]
    assert {"val_two_loss", "val_three_accuracy", "two_accuracy"} <= set(rows(folder)[-1])
    environment = read(folder, "environment.json")
    assert environment["objectives"]["two"]["classes"] == ["green", "red"]


@pytest.mark.parametrize("objective", ["three", "two"])
def test_eval_repeats_the_figures_of_an_objective(finished, objective):
    root, folder = finished
    name = "eval/test.json" if objective == "three" else "eval/test-two.json"
    before = read(folder, name)
    (folder / name).unlink()
    code = main(["eval", f"run={folder}", f"objective={objective}", f"runs_dir={root / 'runs'}"])
    assert code == 0
    after = read(folder, name)
    assert after["confusion"] == before["confusion"]
    assert after["loss"] == pytest.approx(before["loss"], rel=1e-5)


def test_eval_of_no_such_objective(finished, capsys):
    root, folder = finished
    assert main(["eval", f"run={folder}", "objective=tow", f"runs_dir={root / 'runs'}"]) == 2
    assert "Did you mean two" in capsys.readouterr().err


def test_predict_and_the_model_file_are_the_primary_objective(finished, data, tmp_path):
    _, folder = finished
    output = tmp_path / "found.csv"
    photos = data / "three" / "blue"
    assert main(["predict", f"run={folder}", f"input={photos}", f"output={output}"]) == 0
    assert {"probability_blue", "probability_green"} <= set(pd.read_csv(output))
    model = keras.models.load_model(folder / "model.keras")
    assert model(np.zeros((1, 20, 20, 3), np.float32)).shape == (1, 3)


@pytest.mark.parametrize("name", [pytest.param("three", marks=pytest.mark.slow), "two"])
def test_init_takes_the_head_of_the_objective(finished, data, tmp_path, name):
    _, folder = finished
    code, found = run_in(
        tmp_path, f"init={folder}", "data=image_folder", f"data.root={data / name}",
        "task=classification", "optimizer.learning_rate=1e-20",
    )  # fmt: skip
    assert code == 0
    assert read(found, "environment.json")["weights"]["head"] is True
    before, after = weights(folder), weights(found)
    prefix = "" if name == "three" else "head_two/"
    np.testing.assert_allclose(after["logits/kernel"], before[f"{prefix}logits/kernel"], rtol=1e-5)


@pytest.mark.slow
def test_a_joint_run_starts_from_a_single_one(data, tmp_path, capsys):
    _, single = run_in(tmp_path / "one", "data=image_folder", f"data.root={data / 'two'}")
    capsys.readouterr()
    code, found = run_in(
        tmp_path / "two", *objectives(data, "task.alpha=0.4", f"init={single}"),
        "optimizer.learning_rate=1e-20",
    )  # fmt: skip
    assert code == 0
    assert "two fits" in capsys.readouterr().err
    before, after = weights(single), weights(found)
    np.testing.assert_allclose(after["head_two/logits/kernel"], before["logits/kernel"], rtol=1e-5)


@pytest.mark.slow
def test_resume_of_a_finished_run_for_longer(data, tmp_path):
    code, longer = run_in(
        tmp_path, *objectives(data, "task.alpha=0.4", "optimizer.schedule=constant")
    )
    assert code == 0
    assert (
        main(["resume", str(longer), "stage.full.epochs=3", f"runs_dir={tmp_path / 'runs'}"]) == 0
    )
    assert [row["epoch"] for row in rows(longer)] == [1, 2, 3]


def test_resume_refuses_other_data_of_an_objective(data, tmp_path, capsys):
    shutil.copytree(data, tmp_path / "data")
    code, folder = run_in(tmp_path, *objectives(tmp_path / "data", "task.alpha=0.4"))
    assert code == 0
    shutil.rmtree(tmp_path / "data" / "two" / "red")
    make_photos(tmp_path / "data" / "two", classes=("red",), count=13)
    assert (
        main(["resume", str(folder), "stage.full.epochs=3", f"runs_dir={tmp_path / 'runs'}"]) == 3
    )
    assert "of objective two" in capsys.readouterr().err
