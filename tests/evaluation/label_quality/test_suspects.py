"""What outputs out of fold say of classes, sets of labels and numbers."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from fmkit.data.content.texts import Texts
from fmkit.data.examples import from_names, without_classes
from fmkit.data.formats import tables as readers
from fmkit.data.targets import LabelSets, Numbers
from fmkit.evaluation.label_quality import suspects, tables


def texts(count):
    return [f"t{k}" for k in range(count)], Texts(tuple(f"=text, {k}" for k in range(count)))


def test_a_class_that_all_heads_contradict_comes_first(tmp_path):
    draw = np.random.default_rng(0)
    truth = np.arange(60) % 3
    logits = np.eye(3)[truth] * 4 + draw.normal(size=(60, 3)) * 0.3
    logits[[7, 30]] += np.eye(3)[truth[[7, 30]]]  # they reach the mean of their true class
    given = truth.copy()
    given[[7, 30]] = (given[[7, 30]] + 1) % 3
    ids, content = texts(60)
    examples = from_names(ids, [f"c{k}" for k in given], content)
    judged = suspects.find(examples, logits)
    assert set(judged.likely().tolist()) == {7, 30}
    assert set(judged.ranked()[:2].tolist()) == {7, 30}
    assert judged.suggested[7] == f"c{truth[7]}"
    assert judged.suggested[8] == judged.given[8]
    assert judged.summary["likely_wrong"] == 2
    assert not {7, 30} & set(judged.hardest(10).tolist())
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert judged.losses.mean() == pytest.approx(log_loss(given, probabilities))
    errors, scores = tables.write(tmp_path, judged, examples, ["train"] * 60)
    rows = [record.value for record in readers.records(errors)]
    assert [row["example"] for row in rows] == [ids[k] for k in judged.likely()]
    assert rows[0]["text"].startswith("'=text")  # no spreadsheet computes it
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert len(list(readers.records(scores))) == 60


def test_each_label_of_a_set_is_a_question_of_its_own():
    draw = np.random.default_rng(1)
    truth = draw.random((80, 3)) < 0.4
    outputs = np.where(truth, 4.0, -4.0) + draw.normal(size=truth.shape) * 0.3
    given = truth.copy()
    given[5, 1] ^= True
    ids, content = texts(80)
    examples = without_classes(ids, content, LabelSets(("a", "b", "c"), given))
    judged = suspects.find(examples, outputs)
    assert judged.likely().tolist() == [5]
    names = [name for name, has in zip("abc", truth[5], strict=True) if has]
    assert judged.suggested[5] == "|".join(names)
    assert judged.ranked()[0] == 5


def test_a_number_far_from_its_prediction_is_an_outlier():
    draw = np.random.default_rng(2)
    values = draw.normal(size=(100, 1))
    outputs = values + draw.normal(size=(100, 1)) * 0.1
    values[9] += 5
    ids, content = texts(100)
    judged = suspects.find(without_classes(ids, content, Numbers(("x",), values)), outputs)
    assert judged.likely().tolist() == [9]
    errors = values - outputs
    deviation = np.median(np.abs(errors - np.median(errors))) / 0.6745
    assert judged.scores[9] == pytest.approx(
        abs(errors[9, 0] - np.median(errors)) / deviation, rel=1e-3
    )
    assert float(judged.suggested[9]) == pytest.approx(outputs[9, 0], rel=1e-5)
