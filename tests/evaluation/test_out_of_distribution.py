"""Distances of features from those of held-out examples, by plain loops and scikit-learn."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from kept_runs import DATA, kept_run
from scipy.stats import betabinom
from sklearn.covariance import LedoitWolf

from fmkit.commands import predict
from fmkit.commands.training import final_evaluation
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.evaluation import feature_distribution, load_run
from fmkit.evaluation import out_of_distribution as ood
from fmkit.store import run_dir
from fmkit.store.run_reader import RunReader


def classes_of_features(seed, count=300, width=20, classes=3):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    centres = 3 * np.random.default_rng(99).normal(size=(classes, width))
    return centres[labels] + random.normal(size=(count, width)), labels


def test_scores_are_distances_from_the_nearest_class_with_one_covariance():
    features, labels = classes_of_features(0)
    new = np.random.default_rng(1).normal(size=(7, features.shape[1]))
    distribution = feature_distribution.fit(features, labels)
    units = np.array([row / np.sqrt(sum(row**2)) for row in features])
    means = [units[labels == k].mean(axis=0) for k in range(3)]
    centred = np.array([unit - means[k] for unit, k in zip(units, labels, strict=True)])
    precision = LedoitWolf(assume_centered=True).fit(centred).precision_
    for row, score in zip(new, distribution.scores(new), strict=True):
        unit = row / np.sqrt(sum(row**2))
        distances = [np.sqrt((unit - mean) @ precision @ (unit - mean)) for mean in means]
        assert score * distribution.threshold == pytest.approx(min(distances), rel=1e-6)


def test_many_features_are_kept_by_their_largest_axes():
    features, _ = classes_of_features(0, width=100)
    distribution = feature_distribution.fit(features)
    covariance = LedoitWolf(assume_centered=True).fit(
        (units := features / np.linalg.norm(features, axis=1)[:, None]) - units.mean(axis=0)
    )
    variances, axes = np.linalg.eigh(covariance.covariance_)
    variances[: 100 - distribution.axes.shape[1]] = variances[: 100 - 64].mean()
    along = (units - units.mean(axis=0)) @ axes
    expected = np.sqrt((along**2 / variances).sum(axis=1)) / distribution.threshold
    np.testing.assert_allclose(distribution.scores(features), expected, rtol=1e-6)


def test_one_of_twenty_like_the_training_data_is_above_the_threshold_and_others_are():
    shares = []
    for seed in range(20):
        features, labels = classes_of_features(seed, count=200)
        distribution = feature_distribution.fit(features, labels)
        new, _ = classes_of_features(1000 + seed, count=1000)
        shares.append((distribution.scores(new) > 1).mean())
        unlike = np.random.default_rng(seed).normal(size=(100, features.shape[1]))
        assert (distribution.scores(unlike) > 1).mean() > 0.95
    assert 0.03 < np.mean(shares) < 0.06


def test_too_few_examples_have_no_distribution_and_rare_classes_share_a_mean():
    features, labels = classes_of_features(0)
    assert feature_distribution.fit(features[: feature_distribution.MIN_EXAMPLES - 1]) is None
    labels[:2] = 7
    distribution = feature_distribution.fit(features, labels)
    assert len(distribution.means) == 4
    unit = features / np.linalg.norm(features, axis=1)[:, None]
    np.testing.assert_allclose(distribution.means[-1], unit.mean(axis=0))
    assert np.isnan(distribution.scores(np.full((1, 20), np.nan))).all()


def test_the_chance_of_a_share_counts_that_the_threshold_is_an_estimate():
    assert feature_distribution.threshold_rank(99) == 95
    assert feature_distribution.chance_of_share(0, 10, 99) == pytest.approx(1)
    assert feature_distribution.chance_of_share(1, 1, 99) == pytest.approx(0.05)
    random = np.random.default_rng(0)
    ranks = np.sort(random.random((20_000, 60)), axis=1)[
        :, feature_distribution.threshold_rank(60) - 1
    ]
    above = (random.random((20_000, 12)) > ranks[:, None]).sum(axis=1)
    assert feature_distribution.chance_of_share(3, 12, 60) == pytest.approx(
        (above >= 3).mean(), abs=0.005
    )
    assert betabinom(12, 3, 58).sf(2) == pytest.approx(
        feature_distribution.chance_of_share(3, 12, 60)
    )


def test_features_that_are_all_alike_have_an_axis_less_but_finite_scores():
    features = np.ones((60, 5))
    features[:, 0] += np.arange(60) % 2
    for values in (features, np.ones((60, 5)), np.zeros((60, 5))):
        distribution = feature_distribution.fit(values)
        assert (distribution.scores(values) <= 1 + 1e-6).all()
        assert (distribution.scores(np.eye(5)) > 1).all()


def test_a_run_whose_distribution_cannot_be_kept_is_done_and_says_so(tmp_path, capsys):
    lines = []
    run = SimpleNamespace(folder=tmp_path / "removed", log=lines.append)
    examples = SimpleNamespace(classes=[], labels=None)
    data = SimpleNamespace(splits={"val": np.arange(60)}, examples=examples)
    features, _ = classes_of_features(0, count=60)
    part = SimpleNamespace(data=data)
    for broken in (features, np.full((60, 4), np.nan)):
        final_evaluation._keep_distribution(None, run, None, part, None, broken)
        assert "what ood_score needs could not be kept" in capsys.readouterr().err
    assert "FileNotFoundError" in lines[0]
    assert len(lines) == 2


def test_what_a_run_keeps_is_read_back_and_damage_is_an_error(tmp_path):
    features, labels = classes_of_features(0, width=100)
    kept = feature_distribution.fit(features, labels)
    assert ood.read(tmp_path, 100) is None
    ood.save(tmp_path, kept)
    back = ood.read(tmp_path, 100)
    np.testing.assert_allclose(back.scores(features), kept.scores(features), rtol=1e-4)
    path = tmp_path / run_dir.DISTRIBUTION
    with pytest.raises(ArtifactError, match="does not fit"):
        ood.read(tmp_path, 99)
    whole = path.read_bytes()
    for damaged in (whole[:100], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="cannot be read"):
            ood.read(tmp_path, 100)
    np.savez(path.with_suffix(""), means=np.zeros((1, 100)))
    with pytest.raises(ArtifactError):
        ood.read(tmp_path, 100)


def test_scores_are_made_on_request_kept_and_then_given_unasked(tmp_path, monkeypatch):
    run = RunReader(kept_run("images", tmp_path))
    runtime = RuntimeConfig(verbose=False)
    trained = load_run.load(run, runtime)
    assert ood.with_scores(trained, "auto", runtime) is trained
    with pytest.raises(ConfigError, match="and needs 50 to know what is unusual"):
        ood.with_scores(trained, "true", runtime)
    monkeypatch.setattr(feature_distribution, "MIN_EXAMPLES", 5)
    made = ood.with_scores(trained, "true", runtime).distribution
    kept = ood.with_scores(trained, "auto", runtime)
    np.testing.assert_allclose(kept.distribution.means, made.means, rtol=1e-6)
    many = ood.MOST_VALUES
    assert ood.with_scores(trained, "auto", runtime, many) is trained
    columns = predict.predict_values(run, kept, str(tmp_path / DATA["images"]), 8)
    assert np.isfinite(columns["ood_score"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["images", "texts"])
def test_an_older_run_has_scores_on_request_and_keeps_what_they_need(
    kind, fmkit, tmp_path, monkeypatch
):
    run = kept_run(kind, tmp_path)
    words = ("predict", "run=last", f"input={tmp_path / DATA[kind]}", "overwrite=true", "--json")
    code, out, err = fmkit(*words, "output=a.csv", "ood=true")
    assert (code, "and needs 50 to know what is unusual" in out + err) == (2, True), out + err
    monkeypatch.setattr(feature_distribution, "MIN_EXAMPLES", 5)
    code, out, err = fmkit(*words, "output=a.csv", "ood=true")
    assert code == 0, err
    table, facts = pd.read_csv(tmp_path / "a.csv"), json.loads(out)["out_of_distribution"]
    assert facts["above"] == (table["ood_score"] > 1).sum()
    assert (facts["n"], facts["expected"]) == (len(table), 0.05)
    assert (run / run_dir.DISTRIBUTION).exists()
    plain = table.drop(columns="ood_score")
    code, out, err = fmkit("eval", "run=last", "bootstrap=0", "--json")  # auto: it is kept
    assert code == 0, err
    recorded = pd.read_parquet(run / "eval" / "test.parquet")
    assert json.loads(out)["metrics"]["out_of_distribution"]["n"] == len(recorded)
    assert np.isfinite(recorded["ood_score"]).all()
    assert fmkit(*words, "output=b.csv", "ood=false")[0] == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "b.csv"), plain)


@pytest.mark.slow
def test_a_finished_run_keeps_its_distribution_and_warns_of_noise(fmkit, tmp_path):
    code, _, err = fmkit(
        "finetune", "data=digits", "model=small_cnn", "stage=scratch", "stage.full.epochs=4",
        "runtime.report=false",
    )  # fmt: skip
    assert code == 0, err
    noise = np.random.default_rng(0).integers(0, 255, (100, 8, 8), np.uint8)
    np.savez(tmp_path / "noise.npz", images=noise)
    code, _, err = fmkit("predict", "run=last", "noise.npz")
    assert (code, "look unlike the training data" in " ".join(err.split())) == (0, True)
    code, _, err = fmkit("eval", "run=last")
    assert (code, "unlike the training data" in err) == (0, False)
