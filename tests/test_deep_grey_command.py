"""A run on photos of 16 bits keeps the range of their values, and evaluates and predicts by it."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from whole_runs import QUICK

import fmkit
from fmkit.commands.training.resumed_run import ResumedRun
from fmkit.config.schema.data import ImageFolderData
from fmkit.core.errors import DataError
from fmkit.data.quality import inspect

DARK, BRIGHT = 300, 1700


def make_photos(root, names, brighter=0):
    """Photos whose values take up little of 16 bits; the classes differ in which half is bright."""
    noise = np.random.default_rng(0)
    for label, name in enumerate(("left", "right")):
        (root / name).mkdir(parents=True)
        for number in names:
            values = noise.integers(DARK, DARK + 200, (16, 16))
            values[:, 8 * label : 8 * label + 8] += 1200 + brighter
            values.flat[:2] = DARK, BRIGHT + brighter
            ending = "tif" if number % 2 else "png"
            Image.fromarray(values.astype(np.uint16)).save(root / name / f"{number}.{ending}")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("deep")
    make_photos(root / "photos", range(20))
    return root


@pytest.fixture(scope="module")
def run(root):
    words = [*QUICK[:2], "data=image_folder", f"data.root={root / 'photos'}", "stage.full.epochs=1"]
    return fmkit.finetune(*words, "model.image_size=16", runs_dir=root / "runs")


def test_the_run_says_and_stores_its_range(run):
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["data"]["grey_range"] == [DARK, BRIGHT]
    assert "values from 300 to 1,700 become 0 to 255" in (run.folder / "log.txt").read_text()


def test_a_run_goes_on_only_with_the_range_that_it_began_with(run, root):
    environment = json.loads((run.folder / "environment.json").read_text())
    found = inspect.inspect(ImageFolderData(root=str(root / "photos")), 0, None)
    data = inspect.accept(found, "error")
    writer = SimpleNamespace(folder=run.folder)
    resumed = ResumedRun(writer, None, {}, set(), environment, None)
    resumed.require_same_data({"": data})
    environment["data"]["grey_range"] = [0, 4095]
    with pytest.raises(DataError, match=r"grey values .* was \[0, 4095\], and it is \[300"):
        resumed.require_same_data({"": data})


def test_eval_and_predict_scale_by_it_whatever_other_data_are_like(run, root):
    other = make_photos(root / "other", range(50, 58), brighter=2000)
    shutil.copytree(root / "photos", other, dirs_exist_ok=True)
    paths = sorted(path for path in other.rglob("*.*"))
    predicted = run.predict(paths)["probability_left"].to_numpy()
    fmkit.evaluate(f"run={run.folder}", "bootstrap=0", f"data.root={other}")
    (table,) = (run.folder / "eval").glob("all-*.parquet")
    evaluated = pd.read_parquet(table).set_index("id")["probability_left"]
    names = [path.relative_to(other).as_posix() for path in paths]
    assert np.allclose(evaluated.loc[names], predicted, atol=1e-6)
    model = run.model()
    values = np.asarray(Image.open(paths[0])).astype(float)
    pixels = np.clip(np.round((values - DARK) / (BRIGHT - DARK) * 255), 0, 255)
    outputs = model.predict(np.repeat(pixels[None, ..., None], 3, -1), verbose=0)
    assert outputs[0, 0] == pytest.approx(predicted[0], abs=1e-5)


def test_a_run_of_before_reads_as_it_learned(run, root, tmp_path):
    """Without a record, 16 bits are read whole, as by 0.1 and 0.2."""
    old = tmp_path / "old"
    shutil.copytree(run.folder, old)
    environment = json.loads((old / "environment.json").read_text())
    del environment["data"]["grey_range"]
    (old / "environment.json").write_text(json.dumps(environment))
    paths = sorted((root / "photos").rglob("*.*"))
    before = fmkit.load(str(old)).predict(paths)["probability_left"]
    assert not np.allclose(before, run.predict(paths)["probability_left"], atol=1e-6)
    environment["data"]["grey_range"] = [1, "x"]
    (old / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(fmkit.FmkitError, match="grey_range is not two numbers"):
        fmkit.load(str(old)).predict(paths)
