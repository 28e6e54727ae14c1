"""Residuals, prediction intervals, and what entities were taken for."""

import numpy as np
import pandas as pd
import pytest

from fmkit.evaluation.diagnostics import entity_confusions, residuals
from fmkit.evaluation.diagnostics.results import Predictions
from fmkit.evaluation.regression import _columns


def table(seed, count, names=("x", "y")):
    rng = np.random.default_rng(seed)
    truth = rng.normal(20, 5, (count, len(names)))
    noise = rng.standard_t(4, (count, len(names)))
    return {**_columns("label", truth, names), **_columns("prediction", truth + noise, names)}


def test_statistics_are_those_of_the_residuals():
    columns = table(0, 200)
    result = residuals.of_numbers(Predictions("test", columns))
    own = columns["prediction_y"] - columns["label_y"]
    row = result.per_name["y"]
    assert row["residual_deviation"] == pytest.approx(own.std())
    assert row["residual_quantiles"]["0.25"] == pytest.approx(pd.Series(own).quantile(0.25))
    expected = np.corrcoef(columns["prediction_y"], np.abs(own))[0, 1]
    assert row["residual_correlation"] == pytest.approx(expected)
    histogram = pd.DataFrame(result.tables["residuals"])
    of_y = histogram[histogram["number"] == "y"]
    assert of_y["count"].sum() == 200
    inside = (own >= of_y["lower"].iloc[7]) & (own < of_y["upper"].iloc[7])
    assert of_y["count"].iloc[7] == inside.sum()
    tenths = pd.DataFrame(result.tables["residuals_by_prediction"])
    of_x = tenths[tenths["number"] == "x"]
    assert of_x["n"].tolist() == [20] * 10
    assert of_x["mean_prediction"].is_monotonic_increasing
    mean = (columns["prediction_x"] - columns["label_x"]).mean()
    assert of_x["mean_residual"].mean() == pytest.approx(mean)
    assert "prediction_intervals" not in result.metrics


def test_intervals_hold_new_examples_as_often_as_they_say():
    # Over many draws the mean coverage of split conformal intervals is at least the level.
    covered = []
    for seed in range(60):
        result = residuals.of_numbers(
            Predictions("test", table(seed, 300, ("x",)), table(1000 + seed, 60, ("x",)),
                        names=("x",))
        )  # fmt: skip
        row = next(r for r in result.metrics["prediction_intervals"] if r["level"] == 0.9)
        assert (row["number"], row["n"], row["fitted_on"]) == ("x", 60, "val")
        covered.append(row["coverage"])
    assert np.mean(covered) == pytest.approx(0.9, abs=0.012)


def test_width_by_rank():
    sizes = np.arange(1.0, 20.0)  # 19 of them
    assert residuals.half_width(sizes, 0.9) == 18  # the 18th of 19: 0.9 * 20
    assert residuals.half_width(sizes, 0.95) == 19
    assert residuals.half_width(sizes, 0.96) == np.inf


def test_what_entities_were_taken_for():
    columns = {
        "place": [0, 1, 2, 3, 0, 1, 2, 3],
        "label": ["B-PER", "I-PER", "O", "B-LOC", "B-ORG", "O", "B-LOC", "O"],
        "prediction": ["B-PER", "I-PER", "O", "B-ORG", "B-ORG", "I-ORG", None, "B-PER"],
    }
    result = entity_confusions.of_tags(Predictions("test", columns))
    rows = result.tables["entity_confusions"]
    assert set(zip(*rows.values(), strict=True)) == {
        ("PER", "PER", 1), ("LOC", "ORG", 1), ("ORG", "(other span)", 1), ("LOC", "(none)", 1),
        ("(none)", "PER", 1),
    }  # fmt: skip


def test_tags_without_entities_have_no_such_table():
    columns = {"place": [0, 1], "label": ["NOUN", "VERB"], "prediction": ["NOUN", "NOUN"]}
    assert entity_confusions.of_tags(Predictions("test", columns)).tables == {}
