"""How the next token is drawn, and how a text goes on."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from fmkit.config.schema.commands import GenerateConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import CausalLmConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.evaluation import generate
from fmkit.evaluation.generate import TextGenerator
from fmkit.models import lora
from fmkit.models.text import cached_decoder
from fmkit.models.text.small import byte_tokenizer
from fmkit.train import build_model

LOGITS = np.log(np.array([0.5, 0.05, 0.3, 0.15]))


def shares(sampling, count=4000):
    random = np.random.default_rng(0)
    found = [generate.sample_token(LOGITS, sampling, random) for _ in range(count)]
    return np.bincount(found, minlength=4) / count


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": 0.0}, [1, 0, 0, 0]),
        ({"temperature": 1.0}, [0.5, 0.05, 0.3, 0.15]),
        ({"temperature": 0.5}, np.array([0.25, 0.0025, 0.09, 0.0225]) / 0.365),
        ({"temperature": 1.0, "top_k": 2}, [0.625, 0, 0.375, 0]),
        ({"temperature": 1.0, "top_p": 0.7}, [0.625, 0, 0.375, 0]),
        ({"temperature": 1.0, "top_p": 0.9}, [0.5 / 0.95, 0, 0.3 / 0.95, 0.15 / 0.95]),
        ({"temperature": 1.0, "top_k": 3, "top_p": 0.5}, [1, 0, 0, 0]),
        ({"temperature": 1.0, "top_k": 9, "top_p": 1.0}, [0.5, 0.05, 0.3, 0.15]),
    ],
)
def test_tokens_are_drawn_by_their_shares(options, expected):
    found = shares(GenerateConfig(**{"top_p": None, **options}))
    np.testing.assert_allclose(found, expected, atol=0.03)


class Parrot:
    """A model that says a text by heart, whatever came before."""

    def __init__(self, tokenizer, said):
        self.tokens = [*tokenizer.tokens([said])[0].tolist(), tokenizer.end]
        self.size, self.count, self.longest = tokenizer.size, 0, 0

    def predict_on_batch(self, inputs):
        tokens, places = inputs
        self.longest = max(self.longest, int((tokens >= 0).sum()))
        assert places[0, 0] == (tokens >= 0).sum() - 1
        logits = np.zeros((1, self.size + 3), np.float32)
        logits[0, self.tokens[self.count]] = 10
        logits[0, [0, 1, 3, self.size + 1]] = 20  # marks, and rows that no token has
        self.count += 1
        return logits


def trained(said, max_length=64):
    tokenizer = byte_tokenizer("causal")
    parrot = Parrot(tokenizer, said)
    task = SimpleNamespace(name="causal_lm", next_token_model=lambda: parrot)
    backbone = SimpleNamespace(tokenizer=tokenizer, max_length=max_length, cache_shape=None)
    return TextGenerator("run a", task, backbone), parrot


GREEDY = GenerateConfig(temperature=0.0)


def test_a_text_ends_where_the_model_ends_it():
    model, parrot = trained(" upon a time")
    assert "".join(generate.generate_text(model, "Once", GREEDY)) == "Once upon a time"
    assert parrot.count == 13


def test_characters_of_several_bytes_come_whole():
    model, _ = trained("ü € 😀.")
    pieces = list(generate.generate_text(model, "", GREEDY))
    assert "".join(pieces) == "ü € 😀."
    assert not any("\ufffd" in each for each in pieces)


def test_at_most_so_many_tokens_are_added_and_the_end_of_a_long_text_is_read():
    model, parrot = trained("x" * 99, max_length=16)
    found = "".join(
        generate.generate_text(model, "p" * 40, GenerateConfig(temperature=0.0, max_tokens=5))
    )
    assert found == "p" * 40 + "x" * 5
    assert parrot.longest == 16


def test_a_run_of_another_task_writes_no_text():
    model, _ = trained("x")
    model = TextGenerator(
        "run a", SimpleNamespace(name="masked_lm", next_token_model=None), model.backbone
    )
    with pytest.raises(ConfigError, match="masked_lm, which does not generate text"):
        next(generate.generate_text(model, "", GREEDY))


@pytest.fixture(scope="module")
def small():
    """A small GPT with an adapter, and positions for 40 tokens."""
    config = ModelConfig("small_gpt", "none", max_length=40, lora_rank=2)
    keras.utils.set_random_seed(0)
    backbone, task, _ = build_model.build_model(config, CausalLmConfig(), DataSpec("text", (), {}))
    random = np.random.default_rng(0)
    for weight in backbone.model.weights:
        weight.assign(weight + random.normal(size=weight.shape) * 0.3)
    return TextGenerator("run a", task, backbone)


def uncached(generator):
    return replace(generator, backbone=replace(generator.backbone, cache_shape=None))


def test_a_cache_changes_no_token(small, monkeypatch):
    monkeypatch.setattr(cached_decoder, "_STEP", 8)
    endless = GenerateConfig(temperature=0.0, max_tokens=20)
    whole = uncached(small)
    for is_merged in (False, True):
        if is_merged:
            lora.merge_adapters(small.backbone.model)
        # The last text ends beyond what the model reads at once: its beginning is left out then.
        for prompt in (
            "",
            "a",
            "Once upon",
            "Once upon a time",
            "Once upon a time, there was one ",
        ):
            expected = list(generate.generate_text(whole, prompt, endless))
            assert list(generate.generate_text(small, prompt, endless)) == expected


def test_texts_that_are_continued_together_are_those_of_each_alone(small):
    prompts = ["Once", "Once upon a time, there was a", "", "a"]
    for settings in ({"temperature": 0.0}, {"temperature": 2.0, "seed": 3, "top_k": 50}):
        sampling = GenerateConfig(max_tokens=20, **settings)
        together = generate.generate_texts(small, prompts, sampling)
        for number, prompt in enumerate(prompts):
            alone = replace(sampling, seed=sampling.seed + number)
            assert together[number] == "".join(generate.generate_text(small, prompt, alone))


def test_a_model_without_a_cache_says_so_once(small, capfd):
    whole = uncached(small)
    for _ in range(2):
        list(generate.generate_text(whole, "a", replace(GREEDY, max_tokens=2)))
    assert capfd.readouterr().err.count("keeps no keys and values") == 1


@pytest.mark.parametrize("text", ["naïve 😀 café", "a two  spaces ", "a ü", "a\n\n"])
def test_pieces_add_up_to_the_text(text):
    tokenizer = byte_tokenizer("causal")
    first, *others = tokenizer.tokens([text])[0]
    sampling = replace(GREEDY, max_tokens=len(others))
    written = generate.Continuation(np.array([first]), tokenizer, (), sampling)
    pieces = [written.add(np.eye(tokenizer.size)[token]) for token in others]
    assert text[0] + "".join(pieces) == text
    assert written.is_done
