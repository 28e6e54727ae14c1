"""What eval/<split>/ holds, from tables of predictions alone."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn import metrics as sk

from fmkit.core.errors import DataError
from fmkit.evaluation import calibration, classification, multi_label
from fmkit.evaluation.diagnostics import probabilities as diagnostics
from fmkit.evaluation.diagnostics.results import Predictions
from fmkit.tasks import temperature

NAMES = ["ant", "bee", "=cow"]


def class_table(count, seed, sharpness=1.0):
    """Labels and the table of a classifier that is as sure as `sharpness` says, and its logits."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, count, p=[0.6, 0.3, 0.1])
    logits = rng.normal(size=(count, 3))
    logits[np.arange(count), labels] += 1.5
    logits *= sharpness
    columns = classification.prediction_columns(softmax(logits, axis=1), NAMES)
    return labels, logits, {"label": [NAMES[label] for label in labels], **columns}


def label_table(count, seed, sharpness=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.random((count, 2)) < [0.5, 0.1]
    logits = sharpness * (rng.normal(size=(count, 2)) + 3.0 * labels - 1.5)
    names = ["round", "red"]
    columns = multi_label.prediction_columns(expit(logits), names)
    own = {f"label_{name}": labels[:, k] for k, name in enumerate(names)}
    return labels, logits, own | columns


def test_areas_are_those_of_scikit_learn():
    labels, logits, columns = class_table(400, 0)
    scores = softmax(logits, axis=1)
    metrics = diagnostics.of_classes(Predictions("test", columns)).metrics
    for average in ("macro", "weighted"):
        area = sk.roc_auc_score(labels, scores, multi_class="ovr", average=average)
        assert metrics[f"{average}_roc_auc"] == pytest.approx(area)
        precision = sk.average_precision_score(np.eye(3)[labels], scores, average=average)
        assert metrics[f"{average}_average_precision"] == pytest.approx(precision)


def test_a_class_without_examples_is_left_out_of_the_means():
    labels, _, columns = class_table(60, 1)
    rows = labels != 2
    columns = {name: np.asarray(values)[rows] for name, values in columns.items()}
    result = diagnostics.of_classes(Predictions("test", columns))
    assert np.isnan(result.per_name["=cow"]["roc_auc"])
    areas = [result.per_name[name]["roc_auc"] for name in NAMES[:2]]
    assert result.metrics["macro_roc_auc"] == pytest.approx(np.mean(areas))
    assert set(result.tables["roc"]["class"]) == {"ant", "bee"}
    rows = pd.DataFrame(result.tables["thresholds"])
    assert rows[rows["class"] == "=cow"]["threshold"].isna().all()


def test_the_temperature_is_that_of_validation_and_lowers_the_error_of_test():
    labels, logits, validation = class_table(2000, 2, sharpness=4)
    _, _, test = class_table(2000, 3, sharpness=4)
    result = diagnostics.of_classes(Predictions("test", test, validation))
    scaling = result.metrics["temperature_scaling"]

    def loss(temperature):  # on the logits, which the table does not have
        losses = -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels]
        return losses.sum() + abs(np.log(temperature)) / 0.2  # a Laplace prior

    expected = minimize_scalar(loss, bounds=(0.1, 20), method="bounded").x
    assert scaling["temperature"] == pytest.approx(expected, rel=1e-3)
    assert scaling["fitted_on"] == "val"
    assert scaling["n"] == 2000
    bins = pd.DataFrame(result.tables["reliability"]).groupby("probabilities")
    errors = {
        name: np.nansum(rows["count"] * (rows["confidence"] - rows["accuracy"]).abs()) / 2000
        for name, rows in bins
    }
    assert scaling["expected_calibration_error"] == pytest.approx(errors["calibrated"])
    assert errors["calibrated"] < 0.5 * errors["model"]


def test_a_temperature_of_few_examples_is_close_to_1_and_1_where_they_do_not_tell_it_from_1():
    rng, temperatures, lowest = np.random.default_rng(12), [], []
    for _ in range(40):
        probabilities = softmax(rng.normal(size=(60, 3)), axis=1)
        labels = (rng.random(60)[:, None] > probabilities.cumsum(axis=1)).sum(axis=1)
        temperatures.append(calibration.fit_classes(labels, probabilities))
        logits, rows = np.log(probabilities), np.arange(60)
        loss = [-log_softmax(logits * k, axis=1)[rows, labels].mean() for k in (0.99, 1.01)]
        slope = 60 * (loss[1] - loss[0]) / 0.02
        assert (temperatures[-1] == 1) == (abs(slope) < 5) or abs(abs(slope) - 5) < 0.2
        lowest.append(temperature.fit(lambda values, labels=labels, rows=rows: -log_softmax(
            values, axis=1)[rows, labels].mean(), logits)[0])  # fmt: skip
    assert np.std(np.log(temperatures)) < 0.5 * np.std(np.log(lowest))


@pytest.mark.parametrize("labels", [[0, 1, 2] * 20, [1, 2, 0] * 20], ids=["right", "wrong"])
def test_a_temperature_is_moderate_where_all_are_right_or_wrong(labels):
    probabilities = np.tile(0.7 * np.eye(3) + 0.1, (20, 1))
    fitted = calibration.fit_classes(np.array(labels), probabilities)
    assert 0.1 < fitted < 10
    assert (fitted < 0.7) == (labels[0] == 0)


def test_the_temperature_of_labels():
    labels, logits, validation = label_table(2000, 2, sharpness=8)
    own, _, test = label_table(1000, 3, sharpness=8)
    result = diagnostics.of_labels(Predictions("test", test, validation))

    def loss(temperature):
        losses = np.logaddexp(0, np.where(labels, -1, 1) * logits / temperature)
        return losses.sum() + abs(np.log(temperature)) / 0.2

    expected = minimize_scalar(loss, bounds=(0.1, 20), method="bounded").x
    scaling = result.metrics["temperature_scaling"]
    assert scaling["temperature"] == pytest.approx(expected, rel=1e-3)
    before = result.metrics["expected_calibration_error"]
    assert scaling["expected_calibration_error"] < before
    for k, name in enumerate(("round", "red")):
        scores = test[f"probability_{name}"]
        bins = np.ceil(scores * 15).clip(1, 15)
        gaps = [
            abs(scores[bins == b].sum() - own[bins == b, k].sum()) / len(scores) for b in set(bins)
        ]
        assert result.per_name[name]["expected_calibration_error"] == pytest.approx(sum(gaps))
        area = sk.roc_auc_score(own[:, k], scores)
        assert result.per_name[name]["roc_auc"] == pytest.approx(area)


def test_scaled_probabilities_are_those_of_scaled_logits():
    labels, logits, validation = class_table(300, 4, sharpness=4)
    first = diagnostics.of_classes(Predictions("val", validation)).metrics["temperature_scaling"]
    scaled = softmax(logits / first["temperature"], axis=1)
    columns = {**validation, **classification.prediction_columns(scaled, NAMES)}
    again = diagnostics.of_classes(
        Predictions("test", columns, validation, first["temperature"])
    ).metrics["temperature_scaling"]
    assert again["temperature"] == pytest.approx(first["temperature"], rel=1e-3)
    loss = sk.log_loss(labels, scaled)
    assert first["loss"] == pytest.approx(loss)
    assert again["loss"] == pytest.approx(loss, rel=1e-4)


def test_without_validation_there_is_no_temperature_and_thresholds_say_so():
    _, _, columns = class_table(100, 5)
    result = diagnostics.of_classes(Predictions("test", columns))
    assert "temperature_scaling" not in result.metrics
    assert set(result.tables["thresholds"]["chosen_on"]) == {"test"}


def test_thresholds_are_chosen_on_validation_and_reported_on_the_split():
    _, _, validation = class_table(500, 6)
    labels, _, test = class_table(500, 7)
    result = diagnostics.of_classes(Predictions("test", test, validation, goals={"recall": 0.8}))
    rows = pd.DataFrame(result.tables["thresholds"])
    assert len(rows) == 3 * 7
    assert set(rows["chosen_on"]) == {"val"}
    for row in rows.dropna(subset=["threshold"]).itertuples():
        name = getattr(row, "_1", None) or row[1]
        own = np.asarray(validation[f"probability_{name}"]) >= row.threshold
        is_name = np.array(validation["label"]) == name
        achieved = {"precision": is_name[own].mean(), "recall": own[is_name].mean()}
        assert achieved[row.goal] >= row.value
        selected = np.asarray(test[f"probability_{name}"]) >= row.threshold
        is_name = labels == NAMES.index(name)
        assert row.selected == pytest.approx(selected.mean())
        assert row.recall == pytest.approx(selected[is_name].mean())
        if selected.any():
            assert row.precision == pytest.approx(is_name[selected].mean())


def test_confusions_are_those_of_scikit_learn():
    labels, _, columns = class_table(200, 8)
    table = diagnostics.of_classes(Predictions("test", columns)).tables["confusions"]
    matrix = sk.confusion_matrix(columns["label"], columns["prediction"], labels=NAMES)
    assert list(table["count"]) == sorted(table["count"], reverse=True)
    assert sum(table["count"]) == matrix.sum() - np.trace(matrix)
    for label, predicted, count, share in zip(*table.values(), strict=True):
        assert label != predicted
        assert count == matrix[NAMES.index(label), NAMES.index(predicted)]
        assert share == pytest.approx(count / (labels == NAMES.index(label)).sum())


def test_a_table_that_was_changed_is_refused():
    _, _, columns = class_table(20, 11)
    columns["label"][3] = "dog"
    with pytest.raises(DataError, match="the label 'dog' and no probability of it"):
        diagnostics.of_classes(Predictions("test", columns))


def test_labels_that_new_data_lacks_do_no_harm():
    _, _, validation = label_table(200, 9)
    _, _, test = label_table(200, 10)
    test = {name: values for name, values in test.items() if not name.endswith("_red")}
    result = diagnostics.of_labels(Predictions("all", test, validation))
    assert set(result.per_name) == {"round"}
    assert set(result.tables["thresholds"]["chosen_on"]) == {"val"}
