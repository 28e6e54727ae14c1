"""Vision transformers that learn from a few patches of each photo, from the command line on."""

import json
import zipfile

import keras
import keras_hub
import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file
from whole_runs import make_photos, only_run

from fmkit.cli import main
from fmkit.core import safe_io

MODEL = ("model=small_vit", "model.image_size=16", "data.batch_size=16", "runtime.verbose=false")
LEARNS = ("task=masked_image", "stage=masked_image", "stage.painting.epochs=3")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    root = tmp_path_factory.mktemp("mae")
    words = [*LEARNS, *MODEL, "data=photos", f"data.root={data}", "task.decoder_depth=1"]
    assert main(["pretrain", *words, f"runs_dir={root / 'runs'}"]) == 0
    return root, only_run(root, "pretrain")


def weights(folder):
    found = sorted((folder / "checkpoints").glob("step-*"))
    return load_file(found[-1] / "model.safetensors")


def test_it_learns_and_the_record_says_how(finished):
    _, folder = finished
    rows = list(safe_io.read_json_lines(folder / "metrics.jsonl"))
    assert rows[-1]["loss"] < rows[0]["loss"]
    task = yaml.safe_load((folder / "config.yaml").read_text())["task"]
    assert (task["method"], task["mask_ratio"], task["decoder_width"]) == ("mae", 0.75, 32)
    proof = json.loads((folder / "freeze.json").read_text())
    assert "block2" in json.dumps(proof)
    assert any(path.startswith("head_block0/") for path in weights(folder))


def test_the_deployed_model_is_the_backbone_on_whole_photos_in_keras_own_layers(finished):
    _, folder = finished
    with zipfile.ZipFile(folder / "model.keras") as archive:
        config = archive.read("config.json").decode()
    assert "keras_hub" not in config
    assert "head_block" not in config
    assert "patch_order" not in config
    model = keras.models.load_model(folder / "model.keras")
    assert model.predict(np.zeros((2, 24, 30, 3)), verbose=0).shape == (2, 64)
    kept = {each.path.rpartition("network/")[2]: each.numpy() for each in model.weights}
    trained = weights(folder)
    assert any(path.endswith("block1_dense1/kernel") for path in kept)
    for path, value in kept.items():
        np.testing.assert_array_equal(value, trained[path], err_msg=path)


def test_eval_repeats_the_loss_and_predict_writes_features(finished, data, tmp_path):
    root, folder = finished
    before = json.loads((folder / "eval" / "test.json").read_text())
    (folder / "eval" / "test.json").unlink()
    assert main(["eval", f"run={folder}", f"runs_dir={root / 'runs'}"]) == 0
    after = json.loads((folder / "eval" / "test.json").read_text())
    assert after["loss"] == pytest.approx(before["loss"], rel=1e-5)
    output = tmp_path / "features.parquet"
    assert main(["predict", f"run={folder}", f"input={data / 'red'}", f"output={output}"]) == 0
    features = pd.read_parquet(output).filter(like="feature_")
    assert features.shape == (16, 64)
    assert np.isfinite(features.to_numpy()).all()


def test_a_classifier_goes_on_from_it_and_there_is_nothing_to_resume(finished, data, tmp_path):
    _, folder = finished
    words = ["data=image_folder", f"data.root={data}", "stage=frozen", "stage.head.solver=lbfgs"]
    words += [f"runtime.cache_dir={tmp_path / 'cache'}", f"runs_dir={tmp_path / 'runs'}"]
    assert main(["finetune", f"init={folder}", *words, "runtime.verbose=false"]) == 0
    found = only_run(tmp_path)
    assert json.loads((found / "status.json").read_text())["test"]["accuracy"] > 0.5
    path = "block1_dense1/kernel"
    np.testing.assert_array_equal(weights(found)[path], weights(folder)[path])
    assert main(["resume", str(folder)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("painted", ["two", "one"])
def test_with_a_second_objective_the_backbone_learns_of_both(data, tmp_path, painted):
    """Whichever is the primary one, which is the last: the painter sees patches, the other all."""
    place = "task.objectives"
    other = {"two": "one", "one": "two"}[painted]
    words = [
        "task=joint", f"{place}.one.data.name=image_folder", f"{place}.one.batch_size=8",
        f"{place}.two.batch_size=8", f"{place}.{painted}.task=masked_image",
        f"{place}.{other}.task=classification", "task.primary=two", "data=image_folder",
        f"data.root={data}", f"{place}.one.data.root={data}", "stage=scratch",
        "stage.full.epochs=2", f"runs_dir={tmp_path / 'runs'}",
    ]  # fmt: skip
    assert main(["finetune", *MODEL, *words]) == 0
    found = only_run(tmp_path)
    rows = list(safe_io.read_json_lines(found / "metrics.jsonl"))
    assert rows[-1][f"{painted}_loss"] < rows[0][f"{painted}_loss"]
    assert np.isfinite(rows[-1][f"val_{other}_loss"])
    task = yaml.safe_load((found / "config.yaml").read_text())["task"]
    assert task["objectives"][painted]["task"]["method"] == "mae"
    name = "test" if painted == "two" else "test-one"
    before = json.loads((found / "eval" / f"{name}.json").read_text())
    again = ["eval", f"run={found}", f"objective={painted}", f"runs_dir={tmp_path / 'runs'}"]
    assert main(again) == 0
    after = json.loads((found / "eval" / f"{name}.json").read_text())
    assert after["loss"] == pytest.approx(before["loss"], rel=1e-5)
    assert keras.models.load_model(found / "model.keras")


@pytest.mark.slow
def test_a_preset_of_keras_hub_learns_and_hands_over(data, tmp_path):
    inner = keras_hub.models.DeiTBackbone((16, 16, 3), 4, 2, 2, 16, 32)
    inner.save_to_preset(tmp_path / "preset")
    runs = f"runs_dir={tmp_path / 'runs'}"
    words = ["model=hub", f"model.preset={tmp_path / 'preset'}", "model.image_size=16", *MODEL[2:]]
    words += ["model.weights=none", "data=image_folder", f"data.root={data}"]
    assert main(["pretrain", *LEARNS, *words, runs]) == 0
    folder = only_run(tmp_path, "pretrain")
    rows = list(safe_io.read_json_lines(folder / "metrics.jsonl"))
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert 0 <= rows[-1]["val_knn_accuracy"] <= 1
    assert main(["finetune", f"init={folder}", "stage=scratch", "stage.full.epochs=1", runs]) == 0
    assert json.loads((only_run(tmp_path) / "status.json").read_text())["state"] == "done"


def test_a_network_of_convolutions_cannot_leave_patches_out(data, tmp_path, capsys):
    words = ["task=masked_image", "task.method=mae", "model=small_cnn", "model.image_size=16"]
    words += ["data=photos", f"data.root={data}", f"runs_dir={tmp_path / 'runs'}"]
    assert main(["pretrain", "stage=masked_image", *words]) == 2
    assert "Take task.method=simmim" in capsys.readouterr().err
