"""The one bootstrap behind all intervals, against resampling by hand and closed forms."""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import binomtest

from fmkit.core.bootstrap import (
    COUNT,
    ExampleSums,
    differences,
    mean_intervals,
    mean_of_defined,
    ratio,
)


def test_intervals_are_percentiles_of_means_of_resamples():
    values = np.random.default_rng(0).normal(size=(50, 2))
    columns = {"first": values[:, 0], "second": values[:, 1]}
    random, means = np.random.default_rng(7), []
    for _ in range(150):  # more than are computed at once
        means.append(values[random.integers(0, 50, 50)].mean(axis=0))
    intervals = mean_intervals(columns, 150, seed=7)
    for k, name in enumerate(columns):
        expected = np.percentile(np.array(means)[:, k], (2.5, 97.5))
        np.testing.assert_allclose(intervals[name], expected)


def test_sparse_and_dense_parts_have_the_same_sums_and_intervals():
    values = np.random.default_rng(1).integers(0, 3, (40, 5)) * 1.0

    def metrics(sums):
        assert sums["part"].shape[1] == 5
        return {"metric": sums["part"][:, 2] / sums[COUNT][:, 0]}

    dense, light = (ExampleSums({"part": part}) for part in (values, sparse.csr_array(values)))
    np.testing.assert_array_equal(dense.totals()["part"], values.sum(axis=0)[None])
    np.testing.assert_array_equal(light.totals()["part"], values.sum(axis=0)[None])
    found = [each.intervals(metrics, ["metric"], 70, 0) for each in (dense, light)]
    assert found[0] == found[1]


def test_intervals_hold_the_mean_and_shrink_with_more_examples():
    random = np.random.default_rng(0)
    few, many = (random.random(count) < 0.7 for count in (50, 5000))
    wide, narrow = (mean_intervals({"share": each * 1.0}, 500, 0)["share"] for each in (few, many))
    assert wide[0] < few.mean() < wide[1]
    assert narrow[1] - narrow[0] < (wide[1] - wide[0]) / 5
    # Of a share its standard error is known: 1.96 times sqrt(p (1 - p) / n) each way.
    spread = 2 * 1.96 * np.sqrt(many.mean() * (1 - many.mean()) / 5000)
    assert narrow[1] - narrow[0] == pytest.approx(spread, rel=0.15)
    assert mean_intervals({"share": few * 1.0}, 0, 0) == {"share": None}


@pytest.mark.parametrize("count", [1, 7, 12, 3000])
def test_a_share_without_an_error_has_the_exact_binomial_interval(count):
    for value in (0.0, 1.0):
        columns = {"accuracy": np.full(count, value), "loss": np.full(count, value)}
        intervals = mean_intervals(columns, 50, 0)
        exact = binomtest(int(value * count), count).proportion_ci(method="exact")
        np.testing.assert_allclose(intervals["accuracy"], [exact.low, exact.high], atol=1e-12)
        assert intervals["loss"] == [value, value]
    sums = ExampleSums({"accuracy": np.ones((count, 1))})
    both = differences(lambda sums: {"accuracy": sums["accuracy"][:, 0] / sums[COUNT][:, 0]})
    found = sums.beside(sums).intervals(both, ["accuracy"], 50, 0, lowest=-1.0)["accuracy"]
    np.testing.assert_allclose(found, [exact.low - 1, 1 - exact.low], atol=1e-12)


def test_one_error_leaves_the_interval_to_the_bootstrap():
    values = np.array([0.0, *np.ones(11)])
    intervals = mean_intervals({"accuracy": values, "share": values}, 200, 0)
    assert intervals["accuracy"] == intervals["share"]


def test_a_metric_that_a_resample_leaves_undefined_has_no_interval():
    columns = {"fine": np.ones(3), "undefined": np.array([1.0, np.nan, 1.0])}
    assert mean_intervals(columns, 50, 0) == {"fine": [1.0, 1.0], "undefined": None}


def test_ratios_and_means_leave_out_what_is_undefined():
    np.testing.assert_array_equal(ratio([1.0, 1.0], np.array([2, 0])), [0.5, np.nan])
    assert ratio(1, 0, 0.0) == 0.0
    values = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(mean_of_defined(values), [2.0, np.nan])
