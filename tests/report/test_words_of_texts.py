"""Words of the galleries' texts, marked by what they add to the answer."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from kept_runs import kept_run

from fmkit.commands.report import read_examples
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.evaluation import load_run
from fmkit.explain import gallery_words
from fmkit.explain.marked_words import strengths
from fmkit.report import gallery, run_page, samples
from fmkit.report.samples import Sample
from fmkit.store.run_reader import RunReader

SAMPLE = Sample("<a>", "good", "bad", "80%")
TEXT = "a <b>fine</b> & dull film"
FINE, DULL = TEXT.index("fine"), TEXT.index("dull")
WORDS = {"<a>": {"text": [[FINE, FINE + 4, -0.2], [DULL, DULL + 4, 0.8], [0, 1, 0.01]]}}


def page(words):
    return str(gallery.galleries({"mistakes": [SAMPLE]}, {"<a>": {"text": TEXT}}, words))


def test_words_are_marked_by_sign_and_strength_and_the_text_is_escaped():
    shown = page(WORDS)
    assert '<mark class="against1" title="-0.2">fine</mark>' in shown
    assert '<mark class="for3" title="+0.8">dull</mark>' in shown
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert shown.count("<mark") == 2
    assert "A solid line below a word" in shown


@pytest.mark.parametrize(
    "words",
    [{}, {"<a>": None}, {"<a>": {"text": [["x", 1, 0.5]]}}, {"<a>": {"text": [[0, 999, 0.5]]}},
     {"<a>": {"text": [[0, 1, math.nan]]}}, {"<a>": {"text": 3}}, {"<a>": {"pair": []}}],
    ids=["none", "null", "text", "beyond", "nan", "number", "pair"],
)  # fmt: skip
def test_a_damaged_record_shows_the_text_as_it_is(words):
    shown = page(words)
    assert "<mark" not in shown
    assert "a &lt;b&gt;fine&lt;/b&gt; &amp; dull film" in shown


def test_levels_go_by_the_share_of_the_largest_score():
    scores = [1.0, -0.7, 0.4, -0.2, 0.05, 0.0]
    assert strengths(scores).tolist() == [3, -3, 2, -1, 0, 0]
    assert strengths([0.0, 0.0]).tolist() == [0, 0]
    assert strengths([]).tolist() == []


class Network:
    """Takes two seconds for a pass."""

    model = None

    def __init__(self, clock):
        self.clock = clock

    def outputs(self, texts):
        self.clock[0] += 2.0
        return np.zeros((1, 2))


@pytest.mark.parametrize(("seconds", "count"), [(20.0, 0), (40.0, 1), (70.0, 2), (1e9, 4)])
def test_no_more_texts_than_there_is_time_for(monkeypatch, seconds, count):
    clock = [0.0]
    monkeypatch.setattr(gallery_words.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(gallery_words.word_attributions, "embedding_problem", lambda model: "")

    def marks(network, texts, target):
        clock[0] += 24.0
        return {}

    monkeypatch.setattr(gallery_words, "_marks", marks)
    texts = {str(number): ("text",) for number in range(4)}
    made = gallery_words.marks(Network(clock), texts, False, seconds)
    assert list(made) == [str(number) for number in range(count)]
    assert clock[0] <= max(seconds, 4.0)


@pytest.mark.slow
def test_the_page_of_a_trained_run_has_its_words_marked(tmp_path):
    folder = kept_run("texts", tmp_path)
    run = RunReader(folder)
    trained = load_run.load(run, RuntimeConfig(verbose=False))
    assembly = SimpleNamespace(
        model=trained.model, backbone=trained.backbone, spec=trained.spec, task=trained.task,
        objectives=(), devices=SimpleNamespace(names=["cpu"]),
    )  # fmt: skip
    problems = []
    mark = gallery_words.marker(assembly, 1e6, problems.append)
    examples = read_examples(run)
    samples.keep(folder, examples, {}, mark)
    kept = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
    assert not problems
    assert set(kept["words"]) == set(kept["examples"])
    texts = dict(zip(examples.ids, examples.content.texts, strict=True))
    for name, words in kept["words"].items():
        for begin, end, score in words["text"]:
            assert texts[name][begin:end].strip() == texts[name][begin:end] != ""
            assert score
    page = run_page.write(folder).path.read_text(encoding="utf-8")
    assert '<mark class="for3"' in page or '<mark class="against3"' in page
