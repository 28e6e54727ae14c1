"""What is learned of words: targets at their tokens, and the loss of their tags."""

import keras
import numpy as np
import pytest
from tagged_sentences import sentences

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import TokenClassificationConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.data import splits
from fmkit.data.sources import tagged_sentences
from fmkit.data.sources.tagged_sentences import Sentence
from fmkit.models import registry as model_registry
from fmkit.tasks.token_classification.task import TokenClassification


def examples(rows):
    made = [
        Sentence(f"s{number}", ["file"], [word for word, _ in each], [tag for _, tag in each])
        for number, each in enumerate(rows)
    ]
    return tagged_sentences.examples(made, ())


def task_of(data, name="small_bert", **more):
    config = ModelConfig(name=name, weights="none", max_length=32, **more)
    spec = splits.describe(data, {"train": np.arange(len(data))})
    task, backbone = (
        TokenClassification(TokenClassificationConfig(), spec),
        model_registry.build(config),
    )
    return task, backbone, keras.Model(backbone.model.input, task.head(backbone, config))


@pytest.mark.parametrize("name", ["small_bert", "small_gpt"])
def test_a_word_has_its_tag_at_one_of_its_tokens(name):
    data = examples([*sentences(10), [("word", "O")], [("\u0007", "O"), ("Bo", "B-PER")]])
    task, backbone, _ = task_of(data, name)
    rows, origin, _ = task.encode_rows(data, backbone.tokenizer, 32)
    for row, at in zip(rows, origin, strict=True):
        (tokens,), targets = task.prepare_batch(row[None], np.random.default_rng(0))
        assert tokens.shape == targets.shape == (1, len(row))
        there = np.flatnonzero(row[:, 1] >= 0)
        np.testing.assert_array_equal(targets[0, there], data.annotations.values[at][row[there, 1]])
        assert (np.delete(targets[0], there) == -1).all()


@pytest.mark.parametrize("name", ["small_bert", "small_gpt"])
def test_the_loss_is_the_mean_over_words_and_begins_at_log_k(name):
    data = examples(sentences(8))
    task, backbone, model = task_of(data, name, hidden=8, dropout=0.5)
    rows, _, _ = task.encode_rows(data, backbone.tokenizer, 32)
    longest = max(map(len, rows))
    batch = np.full((len(rows), longest, 3), -1, np.int32)
    for place, row in enumerate(rows):
        batch[place, : len(row)] = row
    (tokens,), targets = task.prepare_batch(batch, np.random.default_rng(0))
    logits = keras.ops.convert_to_numpy(model(tokens))
    assert logits.shape == (len(rows), longest, len(data.annotations.names))
    assert logits.dtype == np.float32
    loss = float(task.loss(targets, logits, None, True))
    assert loss == pytest.approx(np.log(len(data.annotations.names)), rel=1e-5)
    noise = np.random.default_rng(1).normal(size=logits.shape)
    chances = np.exp(noise) / np.exp(noise).sum(-1, keepdims=True)
    used = targets >= 0
    expected = -np.log(chances[used, targets[used]]).mean()
    assert float(task.loss(targets, noise, None, True)) == pytest.approx(expected, rel=1e-5)
    shown = keras.Model(model.input, task.inference(model.output))(tokens)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(shown).sum(-1), 1, rtol=1e-5)


def test_metrics_have_f1_where_tags_mark_entities():
    assert [e.name for e in task_of(examples(sentences(4)))[0].metrics()] == [
        "loss", "accuracy", "f1",
    ]  # fmt: skip
    speech = examples([[("a", "DET"), ("dog", "NOUN")]])
    assert [e.name for e in task_of(speech)[0].metrics()] == ["loss", "accuracy"]


def test_data_without_tags_and_a_model_of_images_are_refused():
    with pytest.raises(ConfigError, match="needs a tag for each word"):
        TokenClassification(TokenClassificationConfig(), DataSpec("text", ("a", "b"), {}))
    spec = DataSpec("text", (), {}, annotations="tags", names=("O", "B-X"))
    task = TokenClassification(TokenClassificationConfig(), spec)
    config = ModelConfig(name="small_cnn", weights="none")
    with pytest.raises(ConfigError, match="needs a text model"):
        task.head(model_registry.build(config), config)
