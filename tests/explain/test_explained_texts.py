"""Explanations of a trained run of texts: words, neighbours and changes against plain loops."""

import itertools

import numpy as np
import pytest
from kept_runs import kept_run
from scipy.special import softmax
from sklearn.neighbors import NearestNeighbors

from fmkit.config.schema.commands import ExplainConfig
from fmkit.config.schema.data import TextTableData
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core import registry
from fmkit.core.errors import DataError
from fmkit.data.predict_inputs import texts_from_values
from fmkit.evaluation import load_run, write
from fmkit.evaluation.features import FeatureExtractor
from fmkit.explain import methods, nearest
from fmkit.explain.text_network import TextNetwork
from fmkit.explain.text_words import find_words
from fmkit.store.run_reader import RunReader

pytestmark = pytest.mark.slow

TEXTS = ["I paid 25 euros on 3 May 2019", "Ada <b>Cole</b>", "Emil Dahl"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = kept_run("texts", tmp_path_factory.mktemp("texts"))
    return load_run.load(RunReader(run), RuntimeConfig(verbose=False))


def explained(trained, method, folder, target=None, values=TEXTS, **settings):
    config = ExplainConfig("last", runtime=RuntimeConfig(verbose=False), **settings)
    inputs = texts_from_values(values, TextTableData())
    request = methods.Request(trained, inputs, inputs.ids, (), target, config, method, folder)
    return registry.load(request.entry.explain)(request)


def outputs(trained, texts):
    return TextNetwork.of_run(trained).outputs([(text,) for text in texts]).astype(np.float64)


@pytest.mark.parametrize("target", [None, 1], ids=["predicted", "named"])
def test_scores_of_words_add_up_and_are_at_their_places(trained, tmp_path, target):
    result = explained(trained, "integrated_gradients", tmp_path, target)
    logits = outputs(trained, TEXTS)
    for number, row in enumerate(result.rows):
        position = int(logits[number].argmax()) if target is None else target
        assert row["target"] == trained.spec.classes[position]
        assert row["prediction"] == trained.spec.classes[logits[number].argmax()]
        assert row["value"] == pytest.approx(softmax(logits[number])[position], abs=1e-5)
        scores = [word["score"] for word in row["words"]]
        size = max(np.abs(scores).sum(), abs(row["score_change"]))
        assert abs(sum(scores) - row["score_change"]) <= 0.02 * size
        for word in row["words"]:
            assert TEXTS[number][word["begin"] : word["end"]] == word["word"]
    page = (tmp_path / "explanations.html").read_text(encoding="utf-8")
    assert "&lt;" in page
    assert "<b>" not in page
    assert "://" not in page


def test_occlusion_of_a_trained_run_is_what_a_loop_gives(trained, tmp_path):
    (row,) = explained(trained, "occlusion", None, 0, ["Ada met Emil"]).rows
    whole, *others = outputs(trained, ["Ada met Emil", "met Emil", "Ada Emil", "Ada met"])[:, 0]
    found = [word["score"] for word in row["words"]]
    np.testing.assert_allclose(found, whole - np.array(others), atol=1e-5)


def test_the_nearest_training_examples_are_scikit_learns(trained):
    rows = explained(trained, "nearest", None).rows
    extractor = FeatureExtractor(trained)
    training = extractor.of_split("train", RuntimeConfig(verbose=False))
    inputs = texts_from_values(TEXTS, TextTableData())
    search = NearestNeighbors(metric="cosine").fit(training.values)
    distances, _ = search.kneighbors(extractor.of_inputs(inputs), 5)
    tested = write.recorded_ids(trained.run.folder, "test")
    for row, expected in zip(rows, distances, strict=True):
        own = [neighbour["distance"] for neighbour in row["nearest"]]
        np.testing.assert_allclose(own, expected, atol=1e-5)
        assert not tested & {one["id"] for one in [*row["nearest"], *row["other_answers"]]}
        assert row["prediction"] not in {one["label"] for one in row["other_answers"]}
        labels = training.examples.classes
        for one in row["nearest"]:
            place = training.examples.ids.index(one["id"])
            assert one["label"] == labels[training.examples.labels[place]]
            assert one["text"] == training.examples.content.texts[place]


def test_of_a_named_class_are_the_nearest_others(trained):
    for target, name in enumerate(trained.spec.classes):
        for row in explained(trained, "nearest", None, target).rows:
            assert {one["label"] for one in row["other_answers"]} == {name}


def test_data_that_is_gone_is_named(tmp_path):
    run = kept_run("texts", tmp_path)
    (tmp_path / "texts.csv").unlink()
    gone = load_run.load(RunReader(run), RuntimeConfig(verbose=False))
    with pytest.raises(DataError, match=r"method=nearest needs the data .*texts\.csv") as caught:
        nearest.training_examples(gone, FeatureExtractor(gone), RuntimeConfig(verbose=False))
    assert caught.value.hint


def test_words_that_turn_the_answer_are_as_few_as_any(trained):
    rows = explained(trained, "counterfactual", None, replace_words=False).rows
    logits = outputs(trained, TEXTS)
    turned = [row for row in rows if row["turned"]]
    assert turned
    for number, row in enumerate(rows):
        words = find_words([TEXTS[number]])
        answer = logits[number].argmax()
        fewer = len(row["removed"]) - 1 if row["turned"] else 2
        for size in range(1, fewer + 1):
            sets = itertools.combinations(range(len(words)), size)
            changed = [words.without(chosen)[0] for chosen in sets]
            assert size > 2 or (outputs(trained, changed).argmax(axis=1) == answer).all()
        if row["turned"]:
            (text,) = row["changed_texts"]
            after = outputs(trained, [text])[0]
            assert row["becomes"] == trained.spec.classes[after.argmax()] != row["prediction"]
            assert row["value_after"] == pytest.approx(softmax(after)[answer], abs=1e-5)


def test_with_other_words_an_answer_turns_by_no_more_edits(trained):
    rows = explained(trained, "counterfactual", None).rows
    removals = explained(trained, "counterfactual", None, replace_words=False).rows
    for row, removal in zip(rows, removals, strict=True):
        assert row["turned"] >= removal["turned"]
        assert not removal["turned"] or len(row["edits"]) <= len(removal["edits"])
        if row["turned"]:
            after = outputs(trained, row["changed_texts"])[0]
            assert row["becomes"] == trained.spec.classes[after.argmax()] != row["prediction"]
            for edit in row["edits"]:
                assert (edit["replacement"] or edit["word"]) in row["change"]
                assert not edit["replacement"] or edit["replacement"] in row["changed_texts"][0]


def test_a_named_class_is_what_the_answer_turns_into(trained):
    for target, name in enumerate(trained.spec.classes):
        for row in explained(trained, "counterfactual", None, target).rows:
            assert not row["turned"] or row["becomes"] == name or row["prediction"] == name
