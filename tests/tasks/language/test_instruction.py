"""What instruction tuning learns of a conversation: its answers, and nothing else."""

import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import InstructionConfig
from fmkit.core.errors import ConfigError, DataError
from fmkit.core.types import DataSpec, Message
from fmkit.data.content.texts import Conversations, Texts
from fmkit.data.examples import Examples
from fmkit.models.registry import build
from fmkit.tasks.language.instruction import Instruction


def made(name="small_gpt", **changes):
    task = Instruction(InstructionConfig(), DataSpec("text", (), {}))
    config = ModelConfig(name, "none", **changes)
    backbone = build(config)
    task.head(backbone, config)
    return task, backbone.tokenizer


def examples(*talks):
    ids = tuple(str(each) for each in range(len(talks)))
    content = Conversations(
        tuple((Message("user", ask), Message("assistant", told)) for ask, told in talks)
    )
    return Examples(ids, np.zeros(len(talks), np.int32), (), content)


def test_targets_are_the_tokens_of_answers_and_their_mark():
    task, tokenizer = made()
    rows, origin, uncut = task.encode_rows(examples(("Hi", "Ho"), ("a", "b")), tokenizer, 64)
    assert origin.tolist() == [0, 1]
    assert uncut.tolist() == [len(rows[0]), len(rows[1])]
    batch = np.full((2, len(rows[0]) + 3, 2), -1, np.int32)
    for place, row in enumerate(rows):
        batch[place, : len(row)] = row
    (shown,), targets = task.prepare_batch(batch, np.random.default_rng(0))
    np.testing.assert_array_equal(shown, batch[..., 0])
    assert tokenizer.decode(shown[0]) == "User: Hi\nAssistant: Ho\n"
    places = np.flatnonzero(targets[0] >= 0)
    np.testing.assert_array_equal(targets[0, places], shown[0, places + 1])
    assert tokenizer.decode(targets[0, places]) == " Ho"
    assert targets[0, places[-1]] == tokenizer.end
    assert (targets[1] >= 0).sum() == len(" b") + 1


def test_long_conversations_are_cut_and_left_out_where_no_answer_is_left(capsys):
    task, tokenizer = made()
    data = examples(("Hi", "Ho" * 40), ("x" * 90, "never seen"), ("a", "b"))
    rows, origin, uncut = task.encode_rows(data, tokenizer, 32)
    assert origin.tolist() == [0, 2]
    assert len(rows[0]) == 32 < uncut[0]
    assert "1 of 3 conversations have no answer in their first 32 tokens" in capsys.readouterr().err
    with pytest.raises(DataError, match="1 of 1 conversations have no answer"):
        task.encode_rows(examples(("x" * 90, "never seen")), tokenizer, 32)


def test_what_has_no_conversations_or_reads_both_ways_is_refused():
    task, tokenizer = made()
    texts = Examples(("0",), np.zeros(1, np.int32), (), Texts(("a",)))
    with pytest.raises(DataError, match="learns from conversations"):
        task.encode_rows(texts, tokenizer, 32)
    with pytest.raises(ConfigError, match="sees all others"):
        made("small_bert")
    with pytest.raises(ConfigError, match="lacks"):
        made(chat_template="chatml")
