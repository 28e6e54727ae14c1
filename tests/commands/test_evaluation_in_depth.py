"""`fmkit eval` beyond its first table: curves, calibration, slices, corruptions."""

import json

import numpy as np
import pandas as pd
import pytest
from kept_runs import kept_run
from scipy.special import softmax

from fmkit import load


@pytest.fixture
def images(tmp_path):
    return kept_run("images", tmp_path)


def read(path):
    return json.loads(path.read_text())


def test_all_of_it_for_photos(images, fmkit, tmp_path):
    ids = pd.read_parquet(images / "eval/test.parquet")["id"]
    meta = pd.DataFrame({"file": ids, "site": ["north", "south", "north"] * (len(ids) // 3)})
    meta.to_csv(tmp_path / "meta.csv", index=False)
    code, out, err = fmkit(
        "eval", "run=last", "bootstrap=20", "min_recall=0.8", "slices_file=meta.csv",
        "corruptions=[noise]",
    )  # fmt: skip
    assert code == 0, err
    metrics = read(images / "eval/test.json")
    table = pd.read_parquet(images / "eval/test.parquet")
    folder = images / "eval/test"
    assert {path.name for path in folder.iterdir()} == {
        "roc.csv", "precision_recall.csv", "thresholds.csv", "reliability.csv",
        "risk_coverage.csv", "confusions.csv", "slices.csv", "fairness.csv", "corruptions.csv",
    }  # fmt: skip
    # A run of 0.1 has no temperature on record: it is that of its table of validation.
    scaling = metrics["temperature_scaling"]
    assert scaling["n"] == read(images / "eval/val.json")["n"]
    assert metrics["per_class"]["blue"]["roc_auc"] <= 1
    assert "ROC AUC" in out
    assert f"with temperature {scaling['temperature']:.3g} (fitted on val)" in out
    assert "threshold for recall 0.8" in out
    slices = pd.read_csv(folder / "slices.csv")
    assert slices["value"].tolist() == ["north", "south"]
    south = table[table["id"].isin(meta[meta["site"] == "south"]["file"])]
    assert slices["accuracy"][1] == (south["label"] == south["prediction"]).mean()
    assert "site=south" in out
    assert "no slice is worse than the rest (0 slices tested)" in out
    robust = pd.read_csv(folder / "corruptions.csv", keep_default_na=False)
    assert robust["severity"].tolist() == [0, 1, 2, 3, 4, 5]
    assert robust["accuracy"][0] == metrics["accuracy"]
    mean = robust["accuracy"][1:].mean()
    assert metrics["corruptions"]["noise"] == pytest.approx(mean)
    assert f"{mean:.4f}" in out


def test_calibrated_probabilities(images, fmkit):
    own = read(images / "eval/test.json")
    code, out, err = fmkit("eval", "run=last", "bootstrap=0", "calibrated=true", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["file"].endswith("eval/test-calibrated.json")
    assert result["curves"]["roc"].endswith("eval/test-calibrated/roc.csv")
    temperature = result["metrics"]["temperature_scaling"]["temperature"]
    plain = pd.read_parquet(images / "eval/test.parquet")
    scaled = pd.read_parquet(images / "eval/test-calibrated.parquet").set_index("id")
    names = [name for name in plain if name.startswith("probability_")]
    expected = softmax(np.log(plain[names]) / temperature, axis=1)
    np.testing.assert_allclose(scaled.loc[plain["id"], names], expected, atol=2e-5)
    assert read(images / "eval/test.json") == own
    photos = ["photos/red/00.png", "photos/blue/00.png"]
    code, _, err = fmkit("predict", "run=last", *photos, "output=own.csv", "calibrated=true")
    assert code == 0, err
    run = load(images)
    plain, scaled = run.predict(photos)[names], pd.read_csv("own.csv")[names]
    np.testing.assert_allclose(scaled, softmax(np.log(plain) / temperature, axis=1), atol=2e-5)
    pd.testing.assert_frame_equal(run.predict(photos, calibrated=True)[names], scaled, atol=1e-6)
    photo = np.full((1, 20, 20, 3), 90, np.uint8)
    plain, scaled = (run.model(calibrated=flag)(photo).numpy() for flag in (False, True))
    again = run.model().predict(photo, verbose=0)  # a call is no training step
    np.testing.assert_allclose(again, plain, atol=1e-6)
    np.testing.assert_allclose(scaled, softmax(np.log(plain) / temperature, axis=1), atol=2e-5)


def test_without_validation_there_is_no_temperature(images, fmkit):
    for path in (images / "eval").glob("val.*"):
        path.unlink()
    code, _, err = fmkit("eval", "run=last", "calibrated=true")
    assert code == 2
    assert "has no validation examples (data.val_fraction)" in " ".join(err.split())


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("slices=[site]", "slices_file=FILE"),
        ("slices_file=none.csv", "is not a file"),
        ("corruptions=[casing]", "casing"),
        ("min_recall=1.5", "above 0 and at most 1"),
    ],
)
def test_what_cannot_be_is_refused_before_the_model_is_loaded(images, fmkit, word, part):
    code, _, err = fmkit("eval", "run=last", word)
    assert code in (2, 3)
    assert part in " ".join(err.split())
    assert "building" not in err


def test_texts_by_their_own_columns_and_corrupted(tmp_path, fmkit):
    run = kept_run("texts", tmp_path)
    words = ["slices=[words]", "corruptions=[dropped_words]"]
    code, out, err = fmkit("eval", "run=last", "bootstrap=0", *words)
    assert code == 0, err
    robust = pd.read_csv(run / "eval/test/corruptions.csv", keep_default_na=False)
    assert robust["corruption"].tolist() == ["", *["dropped_words"] * 5]
    slices = pd.read_csv(run / "eval/test/slices.csv")
    assert set(slices["column"]) == {"words"}
    assert slices["n"].sum() == read(run / "eval/test.json")["n"]
    assert "dropped words" in out
