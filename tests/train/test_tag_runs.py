"""Runs on tags hold what other runs hold: a stop changes nothing, and words are found again."""

import numpy as np
import pytest
from small_runs import settings, train
from tagged_sentences import sentences
from test_resume import assert_same, cut, go_on, snapshot

from fmkit.config.schema.data import ConllData
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import TokenClassificationConfig
from fmkit.data.sources import tagged_sentences
from fmkit.data.sources.tagged_sentences import Sentence
from fmkit.evaluation import evaluator
from fmkit.models.tokenizers.subword import WordPieceModel
from fmkit.models.tokenizers.tokenizer import TextTokenizer


def examples(count=40):
    """Short sentences, every fifth in val, and one of many rows that has words without tokens."""
    rows = sentences(count)
    rows[3] = [*rows[3], ("\u0007", "O"), *(pair for each in rows[:8] for pair in each)]
    made = [
        Sentence(f"s{at:02d}", ["file"], [word for word, _ in each], [tag for _, tag in each],
                 split="val" if at % 5 == 3 else "train")
        for at, each in enumerate(rows)
    ]  # fmt: skip
    return tagged_sentences.examples(made, ())


def word_pieces(folder):
    """A tokenizer that has no token for a control character, as BERT's have none."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = WordPieceModel(
        ("[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{each}" for each in letters))
    )
    folder.mkdir(parents=True)
    TextTokenizer(pieces, "bert", 1, 2, special_ids=(0,)).save(folder)
    return folder


def run_tags(parent, name="small_bert", stage=None, tokenizer=None, **changes):
    config = settings(stage or {"full": PhaseConfig(epochs="2")}, **changes)
    config.task = TokenClassificationConfig(monitor="val_f1")
    config.data = ConllData(root="unread", batch_size=16)
    config.model = ModelConfig(name, "none", dropout=0.1, max_length=32, tokenizer=tokenizer)
    return train(parent, config, examples())


@pytest.mark.slow
def test_a_resumed_run_is_equal_bit_for_bit(tmp_path):
    options = {"runtime_save_every": "1 steps", "runtime_keep": 99}
    done = run_tags(tmp_path / "whole", **options)
    expected = snapshot(done)
    for step in (1, 3):  # within an epoch, and at its end
        assert_same(go_on(cut(done, step, tmp_path / str(step)), done.assembly), expected)


@pytest.mark.parametrize("name", ["small_bert", "small_gpt", "word_pieces"])
def test_words_are_judged_as_the_network_tags_them_one_by_one(name, tmp_path):
    has_pieces = name == "word_pieces"
    folder = str(word_pieces(tmp_path / "pieces")) if has_pieces else None
    done = run_tags(tmp_path / "run", "small_bert" if has_pieces else name, tokenizer=folder)
    part = done.assembly.evaluated()[0]
    question = evaluator.EvaluationInputs(
        part.model, part.loader, part.data.splits["val"], part.data.examples,
        part.data.examples.labels, (), part.task, 0, 0,
    )  # fmt: skip
    figures, columns = evaluator.evaluate(question)
    source = part.data.examples.content.source
    chosen = [at for at in range(len(source)) if at % 5 == 3]
    assert columns["word"] == [word for at in chosen for word in source.content.words[at]]
    assert columns["id"][:2] == ["s03", "s03"]
    names, expected = source.annotations.names, {}
    for index in part.data.splits["val"]:
        (row,) = part.data.examples.content.rows.read([index])
        scores = np.asarray(part.model(row[None, :, 0]))[0]
        for place, word in enumerate(row[:, 1]):
            if word >= 0:
                key = source.ids[part.data.examples.content.origin[index]], int(word)
                assert key not in expected
                expected[key] = names[scores[place].argmax()]
    there = zip(columns["id"], columns["place"], columns["prediction"], strict=True)
    for identity, place, prediction in there:
        assert prediction == expected.pop((identity, place), "O")
    assert not expected
    empty = columns["word"].index("\u0007")
    assert np.isnan(columns["confidence"][empty]) == has_pieces
    assert figures["words"] == len(columns["word"])


def test_a_frozen_backbone_stays_as_it_was(tmp_path):
    done = run_tags(tmp_path, stage={"head": PhaseConfig(train="head", epochs="1")})
    assert done.assembly.features is None
    assert done.rows[-1]["val_f1"] >= 0
