"""When a question is left without an answer, and what a table says then."""

import numpy as np
import pytest

from fmkit.evaluation import question_answering
from fmkit.tasks.question_answering.span_search import BestAnswers


def found():
    return BestAnswers(
        positions=np.array([4, 7]),
        spans=np.array([[0, 4], [3, 9]]),
        texts=["rome", "in bonn"],
        scores=np.array([3.0, 1.0]),
        no_answer_scores=np.array([1.0, 2.5]),
        confidence=np.array([0.9, 0.2]),
        no_answer_confidence=np.array([0.05, 0.6]),
        losses=np.array([0.1, 0.2]),
    )


def test_an_answer_is_given_unless_its_null_score_is_above_the_threshold():
    columns = question_answering.prediction_columns(found(), 1.0)
    assert columns["prediction"] == ["rome", ""]
    assert columns["begin"].tolist() == [0, -1]
    assert columns["end"].tolist() == [4, -1]
    assert columns["confidence"].tolist() == [0.9, 0.6]
    assert columns["null_score"].tolist() == [-2.0, 1.5]
    assert question_answering.prediction_columns(found(), 1.5)["prediction"] == ["rome", "in bonn"]
    assert question_answering.prediction_columns(found(), None)["prediction"] == ["rome", "in bonn"]
    assert question_answering.prediction_columns(found(), -3.0)["prediction"] == ["", ""]


@pytest.mark.parametrize("value", [None, True, "0.5", float("nan"), float("inf"), [0.5]])
def test_what_is_not_a_threshold_counts_as_none(value):
    assert question_answering.null_threshold({"null_threshold": value}) is None
    assert question_answering.null_threshold({}) is None
    assert question_answering.null_threshold(None) is None


def test_a_threshold_is_read_from_the_figures_of_validation():
    assert question_answering.null_threshold({"null_threshold": -2}) == -2.0


def test_predictions_by_id_are_what_the_official_scripts_read():
    columns = {"id": ["a", "b"], "prediction": ["rome", ""], "f1": [1.0, 0.0]}
    assert question_answering.by_id(columns) == {"a": "rome", "b": ""}
