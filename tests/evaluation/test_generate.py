"""How the next token is drawn, and how a text goes on."""

from types import SimpleNamespace

import numpy as np
import pytest

from fmkit.config.schema.commands import GenerateConfig
from fmkit.core.errors import ConfigError
from fmkit.evaluation import generate
from fmkit.evaluation.generate import TextGenerator
from fmkit.models.text.small import byte_tokenizer

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
    backbone = SimpleNamespace(tokenizer=tokenizer, max_length=max_length)
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
