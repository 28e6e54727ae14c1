"""Runs on questions hold what other runs hold: resume, other kinds of backbone, joint training."""

import json

import numpy as np
import pytest
from question_sets import articles, write, write_tokenizer
from small_runs import assembled, settings, train
from test_resume import assert_same, cut, go_on, snapshot

from fmkit.config.schema.data import SquadData
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import QuestionAnsweringConfig
from fmkit.data.sources import squad


def question_settings(stage=None, name="small_bert", tokenizer=None, **changes):
    config = settings(stage or {"full": PhaseConfig(epochs="2")}, **changes)
    config.data = SquadData(root="unread", batch_size=16)
    config.model = ModelConfig(name, "none", dropout=0.1, max_length=24, tokenizer=tokenizer)
    config.task = QuestionAnsweringConfig(stride=8, monitor="val_f1", watch_examples=6)
    return config


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Questions, half of whose texts take two windows or more, and a tokenizer of their words."""
    root = tmp_path_factory.mktemp("questions")
    path = write(root / "a.json", articles(40, unanswerable=True, filler=20), "v2.0")
    return squad.list_examples(SquadData(root=str(path))), str(write_tokenizer(root / "words"))


@pytest.mark.slow
def test_a_resumed_run_is_equal_bit_for_bit(made, tmp_path):
    examples, words = made
    options = {
        "tokenizer": words, "runtime_save_every": "1 steps", "runtime_keep": 99,
        "optimizer_ema": 0.8,
    }  # fmt: skip
    done = train(tmp_path / "whole", question_settings(**options), examples)
    expected = snapshot(done)
    last = done.status["step"]
    assert len(done.assembly.examples) > len(examples)
    assert {"val_exact_match", "val_f1"} <= done.rows[-1].keys()
    for step in (last // 2 - 1, last // 2):
        resumed = go_on(cut(done, step, tmp_path / str(step)), done.assembly)
        assert_same(resumed, expected)


def test_the_best_epoch_is_that_of_the_highest_f1(made, tmp_path):
    examples, words = made
    done = train(tmp_path, question_settings({"full": PhaseConfig(epochs="4")}, tokenizer=words),
                 examples)  # fmt: skip
    found = [row["val_f1"] for row in done.rows]
    assert done.status["best"]["value"] == max(found)
    assert min(found) < max(found)


def test_a_head_alone_and_a_causal_backbone_train(made, tmp_path):
    examples, _ = made
    stage = {"head": PhaseConfig(train="head", epochs="1")}
    done = train(tmp_path, question_settings(stage, name="small_gpt"), examples)
    assert np.isfinite(done.rows[-1]["val_loss"])
    record = json.loads((done.run.folder / "freeze.json").read_text())
    trained = {row["block"]: row["trainable_parameters"] for row in record["phases"][0]["blocks"]}
    assert trained.pop("head") > 0
    assert not any(trained.values())


def test_rows_are_in_the_split_of_their_question(made):
    examples, words = made
    assembly = assembled(question_settings(tokenizer=words), examples)
    content = assembly.examples.content
    split_of = {name: set(content.origin[rows].tolist()) for name, rows in assembly.splits.items()}
    assert not split_of["train"] & split_of["val"]
    assert len(split_of["train"] | split_of["val"]) == len(examples)
