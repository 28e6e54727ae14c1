"""The comparison of an export with its model: differences, answers, and what makes it fail."""

import numpy as np
import pytest

from fmkit.config.registry import TASKS, Export
from fmkit.core.errors import ArtifactError
from fmkit.export import parity
from fmkit.export.inputs import Sample

CLASSES = TASKS["classification"].export
IMAGES = Sample([np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 4, 4, 3), np.uint8)])


def test_differences_and_answers_of_classes():
    theirs = [np.array([[0.6, 0.4], [0.5, 0.5 - 1e-6]]), np.array([[0.1, 0.9]])]
    ours = [np.array([[0.59, 0.41], [0.5 - 1e-6, 0.5]]), np.array([[0.1, 0.9]])]
    figures = parity.compare(IMAGES, ours, theirs, CLASSES)
    assert figures["max_abs"] == pytest.approx(0.01)
    assert figures["max_rel"] == pytest.approx(0.01 / 0.9)
    assert figures["agreement"] == pytest.approx(2 / 3)
    assert figures["allowed"] == 1e-4


def test_large_numbers_may_differ_by_a_share():
    theirs = [np.array([[2000.0], [5.0]]), np.array([[-4000.0]])]
    figures = parity.compare(IMAGES, theirs, theirs, TASKS["regression"].export)
    assert figures["allowed"] == pytest.approx(0.4)
    assert figures["agreement"] is None


def test_labels_agree_where_all_of_them_do():
    theirs = [np.array([[0.6, 0.4], [0.5, 0.2]]), np.array([[0.1, 0.9]])]
    ours = [np.array([[0.6, 0.6], [0.5, 0.2]]), np.array([[0.1, 0.5]])]
    figures = parity.compare(IMAGES, ours, theirs, TASKS["multi_label"].export)
    assert figures["agreement"] == pytest.approx(2 / 3)


def test_what_is_computed_of_padding_does_not_count():
    tokens = Sample([np.array([[5, 6, -1], [5, 6, 7]], np.int32)])
    theirs = np.random.default_rng(0).random((2, 3, 4))
    ours = theirs.copy()
    ours[0, 2] = np.nan
    figures = parity.compare(tokens, [ours], [theirs], TASKS["causal_lm"].export)
    assert figures["max_abs"] == 0
    assert figures["agreement"] == 1


def test_a_difference_that_is_nan_is_nan():
    theirs = [np.ones((2, 2)), np.ones((1, 2))]
    ours = [np.ones((2, 2)), np.full((1, 2), np.nan)]
    assert np.isnan(parity.compare(IMAGES, ours, theirs, CLASSES)["max_abs"])


def test_results_of_another_shape_are_refused():
    theirs = [np.ones((2, 3)), np.ones((1, 3))]
    with pytest.raises(ArtifactError, match=r"of shape \(2, 2\); those of the model of \(2, 3\)"):
        parity.compare(IMAGES, [part[:, :2] for part in theirs], theirs, CLASSES)


LOADER = """\
import numpy as np

def read(texts):
    return np.array([[len(text), {second}] for text in texts], np.int32)

def load():
    return lambda tokens: {{"outputs": tokens[:, :1] / {divisor}}}
"""


def export(folder, second="-1", divisor="2"):
    (folder / "load.py").write_text(LOADER.format(second=second, divisor=divisor))
    return folder


TEXTS = Sample(
    [np.array([[3, -1], [2, -1]], np.int32), np.array([[4, -1]], np.int32)],
    [["abc", "de"], ["fghi"]],
)


def test_a_process_of_its_own_runs_the_loader(tmp_path):
    results, report = parity.run(export(tmp_path), TEXTS, "outputs", [1, 3])
    assert np.concatenate(results).tolist() == [[1.5], [1.0], [2.0]]
    assert set(report["latency_seconds"]) == {"1", "3"}
    assert report["latency_seconds"]["1"] > 0
    assert report["rss_bytes"] > 2**20
    assert Export().answers == ""


def test_a_result_of_another_name_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="its result is called outputs, not logits"):
        parity.run(export(tmp_path), TEXTS, "logits", [1])


@pytest.mark.parametrize(
    ("loader", "told"),
    [
        ({"second": "0"}, "reads the examples otherwise than fmkit"),
        ({"divisor": "none"}, "it does not run: NameError: name 'none' is not defined"),
    ],
    ids=["other tokens", "fails"],
)
def test_a_loader_that_is_wrong(loader, told, tmp_path):
    with pytest.raises(ArtifactError, match=told):
        parity.run(export(tmp_path, **loader), TEXTS, "outputs", [1])


def test_a_fixed_batch_is_whole():
    rows = Sample([np.arange(2), np.arange(2, 3)], [["a", "b"], ["c"]])
    assert [part.tolist() for part in rows.of_whole_batches(2).batches] == [[0, 1]]
    few = Sample([np.arange(2)], [["a", "b"]]).of_whole_batches(3)
    assert few.batches[0].tolist() == [0, 1, 0]
    assert few.raw == [["a", "b", "a"]]
    assert rows.of_whole_batches(1) is rows
