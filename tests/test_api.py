"""fmkit from Python: the same runs and figures as the command line's, and errors as exceptions."""

import json
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from whole_runs import QUICK, make_photos

import fmkit
from fmkit.cli import main

WORDS = [*QUICK[:2], "data=digits", "data.limit=200", "data.batch_size=64"]
SETTINGS = {"stage.full.epochs": 1, "optimizer.learning_rate": 1e-3, "name": "an 'odd', name"}
TIMES = ["seconds", "examples_per_second", "rss_bytes"]
OLD_TEXTS = Path(__file__).parent / "data_files" / "runs_0_1" / "texts"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def run(root):
    """A finished run, made from Python."""
    return fmkit.finetune(*WORDS, SETTINGS, runs_dir=root / "runs")


@pytest.fixture(scope="module")
def photos(root):
    """Images as large as the model's."""
    return sorted(make_photos(root / "photos", classes=("red",), count=3).rglob("*.png"))


def test_a_run_is_the_command_lines(run, root, capsys):
    words = [*WORDS, *(f"{key}={value}" for key, value in list(SETTINGS.items())[:2])]
    assert main(["finetune", *words, f"runs_dir={root / 'cli'}"]) == 0
    assert "total time" in capsys.readouterr().out
    (other,) = (root / "cli" / "finetune").iterdir()
    theirs = fmkit.load(str(other))
    assert run.folder.parent.parent == root / "runs"
    assert run.status["state"] == "done"
    assert run.status["name"] == SETTINGS["name"]
    assert run.test == theirs.test == json.loads((other / "status.json").read_text())["test"]
    pd.testing.assert_frame_equal(
        run.metrics.drop(columns=TIMES), theirs.metrics.drop(columns=TIMES)
    )
    assert list(run.metrics["epoch"]) == [1]
    assert run.config["optimizer"]["learning_rate"] == 1e-3
    assert f"test.accuracy={run.test['accuracy']:.4g}" in repr(run)


def test_results_are_returned_and_progress_goes_to_stderr(root, capfd):
    again = fmkit.pretrain(*WORDS, {"stage.full.epochs": 1}, runs_dir=root / "pretrained")
    told = capfd.readouterr()
    assert told.out == ""
    assert "full 1/1" in told.err
    assert again.folder.parent.name == "pretrain"


def test_evaluate_gives_the_figures_of_the_run(run):
    metrics = fmkit.evaluate(run=run)
    assert metrics == json.loads((run.folder / "eval" / "test.json").read_text())
    assert metrics["accuracy"] == run.test["accuracy"]
    assert fmkit.evaluate(f"run={run.folder}", split="val")["n"] == run.status["val"]["n"]


def test_predictions_are_the_command_lines(run, photos, root):
    table = run.predict(photos)
    assert list(table["path"]) == [str(path) for path in photos]
    output = root / "labels.csv"
    written = fmkit.predict(run=run, input=photos[0].parent, output=output)
    for column in table.columns.difference(["path"]):
        assert list(table[column]) == list(written[column])
    assert list(pd.read_csv(output)["path"]) == list(table["path"])
    assert len(run.predict(str(photos[0]))) == len(run.predict([photos[0]])) == 1
    pd.testing.assert_frame_equal(run.predict(photos[0].parent), table)


def test_an_input_that_cannot_be_read_has_a_row_with_its_error(run, photos, root):
    table = run.predict([photos[0], root / "nowhere.png"])
    assert table["prediction"].isna().tolist() == [False, True]
    assert table["error"][1]
    for inputs, part in (([], "empty list"), ([root / "nowhere.png"], "none of 1 image ")):
        with pytest.raises(fmkit.DataError, match=part):
            run.predict(inputs)


def test_the_model_is_the_one_that_predicts(run, photos):
    import keras
    from PIL import Image

    model = run.model()
    assert isinstance(model, keras.Model)
    assert not model.compiled
    image = np.asarray(Image.open(photos[0]), np.float32)[None]
    probabilities = model.predict(image, verbose=0)[0]
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    saved = keras.saving.load_model(run.folder / "model.keras", compile=False)
    np.testing.assert_allclose(probabilities, saved.predict(image, verbose=0)[0], atol=1e-6)


def test_a_model_outlives_the_runs_after_it(run, root, photos):
    model, table = run.model(), run.predict(photos)
    image = np.full((1, 20, 20, 3), 90, np.float32)
    before = model.predict(image, verbose=0)
    fmkit.finetune(*WORDS, {"stage.full.epochs": 1, "runtime.seed": 1}, runs_dir=root / "others")
    np.testing.assert_array_equal(model.predict(image, verbose=0), before)
    pd.testing.assert_frame_equal(run.predict(photos), table)


def test_runs_are_found_and_listed(run, root):
    table = fmkit.runs(root / "runs")
    assert list(table["id"]) == [run.folder.name]
    assert table["test.accuracy"][0] == run.test["accuracy"]
    assert table["model"][0] == "small_cnn"
    for name in ("last", run.folder.name, SETTINGS["name"], str(run.folder)):
        assert fmkit.load(name, runs_dir=root / "runs").folder == run.folder
    assert fmkit.runs(root / "nowhere").empty
    with pytest.raises(fmkit.ArtifactError, match="No run in"):
        fmkit.load("other", runs_dir=root / "runs")


def test_a_run_goes_on(run, root):
    shutil.copytree(root / "runs", root / "longer")
    folder = root / "longer" / "finetune" / run.folder.name
    longer = fmkit.resume(fmkit.load(folder), {"stage.full.epochs": 2})
    assert longer.folder == folder
    assert list(longer.metrics["epoch"]) == [1, 2]
    with pytest.raises(fmkit.ArtifactError, match="stopped before its end"):
        fmkit.resume(runs_dir=root / "longer")


@pytest.mark.slow
def test_another_run_starts_from_it(run, root):
    tuned = fmkit.finetune("stage=unfrozen", {"stage.full.epochs": 1}, init=run,
                           runs_dir=root / "tuned")  # fmt: skip
    assert tuned.config["init"] == str(run.folder)
    assert tuned.config["model"]["name"] == "small_cnn"


@pytest.mark.parametrize(
    ("words", "settings", "error", "part"),
    [
        (["optimizer.learning_rat=1"], {}, fmkit.ConfigError, "learning_rate"),
        (["data=image_folder", "data.root=nowhere"], {}, fmkit.DataError, "nowhere"),
        (["init=nothing"], {}, fmkit.ArtifactError, "nothing"),
        (["-m", "runtime.seed=1,2"], {}, fmkit.ConfigError, "call it once per value"),
        (["--cfg", "job"], {}, fmkit.ConfigError, "'--cfg'"),
        (["runtime.seed=1,2"], {}, fmkit.ConfigError, "several values"),
        ([], {"stage": {"full": 1}}, fmkit.ConfigError, "a key with dots"),
    ],
)
def test_errors_are_raised_with_the_message_of_the_command(
    words, settings, error, part, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=part) as caught:
        fmkit.finetune(*WORDS, *words, **settings)
    assert isinstance(caught.value, fmkit.FmkitError)
    assert capsys.readouterr().err == ""
    if "-m" not in words and "--cfg" not in words and not settings:
        assert main(["finetune", *WORDS, *words]) == error.exit_code
        told = capsys.readouterr().err.replace("\n", " ")
        for line in str(caught.value).splitlines():
            assert line.strip() in told
    assert not list(tmp_path.glob("runs/*/*/metrics.jsonl"))


def test_a_failed_run_is_raised_and_recorded(tmp_path):
    with pytest.raises(fmkit.NonFiniteError, match="at step"):
        fmkit.finetune(*WORDS, "optimizer=sgd", "optimizer.clip_norm=null", "stage.full.epochs=2",
                       "optimizer.learning_rate=1e30", "optimizer.warmup=0%",
                       runs_dir=tmp_path)  # fmt: skip
    assert list(fmkit.runs(tmp_path)["state"]) == ["failed"]


def test_another_thread_trains_too(root):
    results = []

    def work():
        results.append(
            fmkit.finetune(*WORDS, {"stage.full.epochs": 1}, runs_dir=root / "thread").status
        )

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [status["state"] for status in results] == ["done"]


def test_the_program_keeps_its_state(run):
    import keras
    from hydra.core.global_hydra import GlobalHydra

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        random.seed(1)
        np.random.seed(1)
        expected = random.random(), np.random.random()
        random.seed(1)
        np.random.seed(1)
        fmkit.evaluate(run=run)
        assert (random.random(), np.random.random()) == expected
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert not GlobalHydra.instance().is_initialized()
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.fixture
def texts(tmp_path):
    """A copy of a run on texts."""
    shutil.copytree(OLD_TEXTS, tmp_path / "texts")
    (folder,) = (tmp_path / "texts" / "runs" / "finetune").iterdir()
    return fmkit.load(folder)


def test_texts_are_predicted_from_memory(texts, tmp_path):
    lines = pd.read_csv(OLD_TEXTS / "texts.csv")["text"].tolist()[:4]
    table = texts.predict(lines)
    path = tmp_path / "new.csv"
    pd.DataFrame({"text": lines}).to_csv(path, index=False)
    pd.testing.assert_frame_equal(texts.predict(path), table)
    assert texts.predict(lines[0])["prediction"].tolist() == table["prediction"].tolist()[:1]
    assert texts.predict([lines[0], ""])["error"].tolist() == ["", "no text"]
    for inputs, part in (([1], r"inputs\[0\]"), ([("a", "b")], "a text"), ([], "empty list")):
        with pytest.raises(fmkit.DataError, match=part):
            texts.predict(inputs)


def test_the_import_is_light():
    code = (
        "import sys, fmkit\n"
        "assert {'finetune', 'load', 'DataError'} <= set(dir(fmkit))\n"
        "heavy = {'hydra', 'pandas', 'numpy', 'rich', 'keras', 'tensorflow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "fmkit.finetune, fmkit.runs, fmkit.ConfigError\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'finetun'"):
        fmkit.finetun  # noqa: B018
    for name in fmkit.__all__:
        assert getattr(fmkit, name)
