"""From photos without labels to a network, its features, and a classifier on top of them."""

import contextlib
import io
import json
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from whole_runs import make_photos, only_run

from fmkit.cli import main
from fmkit.core import safe_io

MODEL = ["model=small_cnn", "model.image_size=16", "data.batch_size=16"]


def fmkit(root, *words, status=0):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(root), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(each) for each in words])
    assert code == status, err.getvalue()
    return SimpleNamespace(stdout=out.getvalue(), stderr=err.getvalue())


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A run over photos in folders that nobody calls classes."""
    root = tmp_path_factory.mktemp("pretrained")
    photos = make_photos(root / "photos")
    done = fmkit(root, "pretrain", "task=simclr", "data=photos", f"data.root={photos}", *MODEL,
                 "task.projection=16", "stage=self_supervised", "stage.views.epochs=4")  # fmt: skip
    return root, only_run(root, "pretrain"), done


def test_a_run_without_labels_ends_in_losses_and_a_model_of_features(pretrained):
    root, folder, done = pretrained
    assert "data: photos, 34 train, 7 val, 7 test" in done.stderr
    assert "views 4/4" in done.stderr
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["task"], status["stage"]) == ("done", "simclr", "views")
    assert set(status["test"]) == {"n", "loss"}
    data = json.loads((folder / "environment.json").read_text())["data"]
    assert (data["classes"], data["class_counts"]) == ([], {})
    assert not any("knn" in key for row in safe_io.read_json_lines(folder / "metrics.jsonl")
                   for key in row)  # fmt: skip
    model = keras.models.load_model(folder / "model.keras")
    assert model.predict(np.zeros((2, 24, 30, 3)), verbose=0).shape == (2, 96)
    shown = fmkit(root, "eval", f"run={folder}").stdout
    assert f"{status['test']['loss']:.4f}" in shown
    assert "best" in fmkit(root, "runs", "show", folder).stdout


def test_predict_writes_the_features_of_the_deployed_model(pretrained):
    root, folder, _ = pretrained
    (root / "mixed").mkdir()
    good = root / "photos" / "red" / "00.png"
    (root / "mixed" / "good.png").write_bytes(good.read_bytes())
    (root / "mixed" / "broken.png").write_bytes(b"no photo")
    done = fmkit(root, "predict", f"run={folder}", "input=mixed", "output=features.csv")
    assert "2 images, 96 features each, 1 of them could not be read" in done.stdout
    table = pd.read_csv(root / "features.csv")
    assert table["path"].str.endswith("broken.png").tolist() == [True, False]
    features = table[[f"feature_{each}" for each in range(96)]].to_numpy()
    assert np.isnan(features[0]).all()
    assert table["error"].notna().tolist() == [True, False]
    model = keras.models.load_model(folder / "model.keras")
    pixels = keras.utils.img_to_array(keras.utils.load_img(good))
    expected = model.predict(pixels[None], verbose=0)[0]
    assert np.corrcoef(features[1], expected)[0, 1] > 0.99  # another filter makes photos smaller


def test_a_classifier_goes_on_from_it_and_resume_has_nothing_to_do(pretrained):
    root, folder, _ = pretrained
    done = fmkit(root, "finetune", f"init={folder}", "data=image_folder", "data.root=photos",
                 "stage=frozen", "stage.head.solver=lbfgs", "runtime.cache_dir=cache")  # fmt: skip
    assert "model as in run" in done.stderr
    status = json.loads((only_run(root) / "status.json").read_text())
    assert status["test"]["accuracy"] > 0.9
    assert "nothing to do" in fmkit(root, "resume", folder).stderr
    # Nothing of a class can be judged where the data has none; the losses can, of any photos.
    refused = fmkit(root, "eval", f"run={only_run(root)}", "data=photos", "data.root=photos",
                    status=3)  # fmt: skip
    assert "classes do not match" in refused.stderr
    fmkit(root, "eval", f"run={folder}", "data=image_folder", "data.root=photos")


def test_labels_are_for_tasks_that_need_them(pretrained):
    root, _, _ = pretrained
    words = ["data=photos", "data.root=photos", *MODEL]
    told = fmkit(root, "finetune", *words, status=2).stderr
    assert "task.name=classification learns class labels, but data=photos has no labels" in told
    told = fmkit(root, "pretrain", "task=masked_image", "task.monitor=val_knn_accuracy", *words,
                 "stage=masked_image", status=2).stderr  # fmt: skip
    assert "the data has no labels" in told
