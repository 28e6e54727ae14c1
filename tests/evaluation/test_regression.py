"""Figures of numbers agree with scikit-learn and scipy."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from fmkit.config.schema.task import RegressionConfig
from fmkit.core.errors import DataError, NonFiniteError
from fmkit.core.types import DataSpec
from fmkit.data.targets import Numbers
from fmkit.evaluation.regression import compute_metrics, evaluate, predictions
from fmkit.tasks.regression import Regression


@pytest.fixture
def pair():
    draw = np.random.default_rng(0)
    truth = np.stack([1e6 + draw.normal(0, 3, 80), draw.exponential(0.01, 80)], axis=1)
    return truth, truth + np.stack([draw.normal(1, 2, 80), draw.normal(0, 0.01, 80)], axis=1)


def test_all_figures_agree_with_the_libraries(pair):
    truth, found = pair
    told = compute_metrics(truth, found, ("large", "small"), bootstrap=0)
    expected = {
        "mse": sk.mean_squared_error, "mae": sk.mean_absolute_error,
        "rmse": sk.root_mean_squared_error, "r2": sk.r2_score,
        "median_absolute_error": sk.median_absolute_error,
    }  # fmt: skip
    for name, function in expected.items():
        assert told[name] == pytest.approx(function(truth, found), rel=1e-7), name
        for k, each in enumerate(("large", "small")):
            own = function(truth[:, k], found[:, k])
            assert told["per_number"][each][name] == pytest.approx(own, rel=1e-7), name
    for k, each in enumerate(told["per_number"].values()):
        assert each["pearson"] == pytest.approx(stats.pearsonr(truth[:, k], found[:, k])[0])
        assert each["spearman"] == pytest.approx(stats.spearmanr(truth[:, k], found[:, k])[0])
    assert told["intervals"]["mae"] is None


def test_intervals_are_those_of_a_bootstrap(pair):
    truth, found = pair
    told = compute_metrics(truth[:, :1], found[:, :1], ("one",), bootstrap=500, seed=3)
    drawn, rng = [], np.random.default_rng(3)
    for _ in range(500):
        chosen = rng.integers(0, 80, 80)
        drawn.append(sk.r2_score(truth[chosen, 0], found[chosen, 0]))
    np.testing.assert_allclose(told["intervals"]["r2"], np.percentile(drawn, (2.5, 97.5)))
    assert told["intervals"]["rmse"][0] < told["rmse"] < told["intervals"]["rmse"][1]


def test_what_is_not_defined_is_none_and_left_out_of_the_means():
    truth = np.stack([np.full(6, 3.0), np.arange(6.0)], axis=1)
    told = compute_metrics(
        truth, np.stack([np.full(6, 4.0), np.arange(6.0)], axis=1), ("same", "each")
    )
    assert told["per_number"]["same"]["r2"] is None
    assert told["per_number"]["same"]["spearman"] is None
    assert told["per_number"]["same"]["mae"] == 1
    assert (told["r2"], told["pearson"], told["mae"]) == (1, pytest.approx(1), 0.5)
    one = compute_metrics(np.array([[2.0]]), np.array([[5.0]]), ("one",), bootstrap=10)
    assert (one["n"], one["mae"], one["r2"]) == (1, 3, None)


def test_what_cannot_be_judged_is_told(pair):
    truth, found = pair
    with pytest.raises(DataError, match="no example"):
        compute_metrics(truth[:0], found[:0], ("a", "b"))
    with pytest.raises(DataError, match="predictions"):
        compute_metrics(truth, found[:, :1], ("a", "b"))
    found[7, 1] = np.nan
    with pytest.raises(NonFiniteError, match="number 7"):
        compute_metrics(truth, found, ("a", "b"))


def test_columns_of_predictions_have_the_names_of_several_numbers():
    def spec(*names):
        return DataSpec("text", (), {}, annotations="numbers", names=names)

    outputs = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert list(predictions(outputs[:, :1], spec("x"))) == ["prediction"]
    both = predictions(outputs, spec("x", "y"))
    assert list(both) == ["prediction_x", "prediction_y"]
    np.testing.assert_array_equal(both["prediction_y"], [2, 4])


def test_numbers_that_the_data_lacks_do_not_count():
    noise = np.random.default_rng(0)
    outputs, labels = noise.normal(5, 3, (40, 3)), noise.normal(5, 3, (40, 2))
    names = ("a", "b", "c")
    spec = DataSpec("image", (), {}, annotations="numbers", names=names,
                    moments={"a": (4.0, 2.0), "b": (0.0, 1.0), "c": (9.0, 0.5)})  # fmt: skip
    examples = SimpleNamespace(annotations=Numbers(("a", "c"), labels))
    task = Regression(RegressionConfig(), spec)
    task._units.build((None, 3))
    inputs = SimpleNamespace(
        examples=examples, indices=np.arange(40), ids=[*range(40)], bootstrap=0, seed=0,
        outputs=np.array([0, 2]), predict=lambda: outputs,
        task=task,
    )  # fmt: skip
    metrics, columns = evaluate(inputs)
    errors = outputs[:, [0, 2]] - labels
    assert metrics["mae"] == pytest.approx(np.abs(errors).mean())
    assert metrics["per_number"].keys() == {"a", "c"}
    assert metrics["loss"] == pytest.approx(((errors / [2.0, 0.5]) ** 2).mean(), rel=1e-5)
    assert [*columns] == ["id", "label_a", "label_c", "prediction_a", "prediction_c"]
    assert columns["prediction_c"].tolist() == outputs[:, 2].tolist()
