"""Hidden tokens: which, how, and the figures, against NumPy alone."""

import keras
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import CausalLmConfig, MaskedLmConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.models.registry import build
from fmkit.tasks.language.causal_lm import CausalLm
from fmkit.tasks.language.masked_lm import MaskedLm, TokenMasking
from fmkit.train.task_model import TaskModel

SPEC = DataSpec("text", (), {})


class Words:
    """20 tokens: 0 to 3 are special, those from 12 on go on a word."""

    size, start, end, mask, special_ids = 20, 1, 2, 3, (0, 1, 2, 3)

    def is_continuation(self):
        return np.arange(20) >= 12


def batch(rows=400, width=40, seed=0):
    """Rows of [CLS] tokens [SEP], the second half of each second one padded."""
    tokens = np.random.default_rng(seed).integers(4, 20, (rows, width)).astype(np.int32)
    tokens[:, 0], tokens[:, -1] = 1, 2
    tokens[1::2, width // 2 :] = -1
    tokens[1::2, width // 2 - 1] = 2
    return tokens


def hidden(tokens, rate=0.15, whole_words=False, seed=0):
    hiding = TokenMasking(Words(), rate, whole_words)
    (shown, places), targets = hiding.mask(tokens, np.random.default_rng(seed))
    chosen = np.zeros(tokens.shape, bool)
    for row, (at, wanted) in enumerate(zip(places, targets, strict=True)):
        chosen[row, at[wanted >= 0]] = True
    return shown, places, targets, chosen


@pytest.mark.parametrize("whole_words", [False, True])
def test_only_tokens_of_texts_are_hidden_and_the_rest_stays(whole_words):
    tokens = batch()
    shown, places, targets, chosen = hidden(tokens, whole_words=whole_words)
    assert tokens[chosen].min() >= 4
    np.testing.assert_array_equal(shown[~chosen], tokens[~chosen])
    used = targets >= 0
    rows = np.nonzero(used)[0]
    np.testing.assert_array_equal(tokens[rows, places[used]], targets[used])
    assert (places[~used] == 0).all()
    assert all(len(set(at)) == len(at) for at in (p[u] for p, u in zip(places, used, strict=True)))


def test_the_share_is_kept_in_every_row_and_80_10_10_over_all():
    tokens = batch(4000)
    shown, _, _, chosen = hidden(tokens)
    candidates = (tokens >= 4).sum(axis=1)
    wanted = np.maximum(1, np.round(0.15 * candidates))
    np.testing.assert_array_equal(chosen.sum(axis=1), wanted)
    count = chosen.sum()
    assert (shown[chosen] == 3).sum() / count == pytest.approx(0.8, abs=0.02)
    same = (shown[chosen] == tokens[chosen]).sum() / count
    assert same == pytest.approx(0.1 + 0.1 / 16, abs=0.02)  # another token may be the same one
    assert (shown[chosen] >= 3).all()


def test_whole_words_are_hidden_whole():
    tokens = batch()
    _, _, _, chosen = hidden(tokens, whole_words=True)
    plain = tokens >= 4
    goes_on = (tokens >= 12) & np.roll(plain, 1, axis=1) & plain
    inside = np.argwhere(goes_on)
    words = [chosen[row, place] == chosen[row, place - 1] for row, place in inside]
    # A word is cut only where all words of a row are longer than its share, which is rare here.
    assert np.mean(words) > 0.98
    share = chosen.sum() / plain.sum()
    assert 0.08 < share <= 0.17


def test_the_same_source_of_chance_hides_the_same():
    one, other = hidden(batch(), seed=5), hidden(batch(), seed=5)
    np.testing.assert_array_equal(one[0], other[0])
    assert (one[0] != hidden(batch(), seed=6)[0]).any()


def test_a_row_without_a_token_of_text_has_no_target():
    tokens = np.full((2, 8), -1, np.int32)
    tokens[0, :2] = 1, 2
    _, _, targets, _ = hidden(tokens)
    assert (targets == -1).all()


def learner(task, name):
    keras.utils.set_random_seed(1)
    config = ModelConfig(name, "none", max_length=16)
    backbone = build(config)
    logits = task.head(backbone, config)
    inputs = [backbone.model.input, *task.extra_inputs]
    return backbone, TaskModel(inputs if task.extra_inputs else inputs[0], logits, task)


def figures(targets, logits):
    """Loss in nats, accuracy and perplexity of the tokens of several batches, by NumPy."""
    losses, right = [], []
    for wanted, scores in zip(targets, logits, strict=True):
        exact = scores.astype(np.float64)
        shifted = exact - exact.max(-1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        rows, at = np.nonzero(wanted >= 0)
        losses += list(-logs[rows, at, wanted[rows, at]])
        right += list(scores[rows, at].argmax(-1) == wanted[rows, at])
    return {
        "loss": np.mean(losses),
        "accuracy": np.mean(right),
        "perplexity": np.exp(np.mean(losses)),
    }


def uneven(seed):
    """Two batches with very different numbers of tokens."""
    random = np.random.default_rng(seed)
    long = random.integers(4, 260, (4, 16)).astype(np.int32)
    short = np.full((4, 16), -1, np.int32)
    short[:, :3] = random.integers(4, 260, (4, 3))
    return [long, short]


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_figures_are_those_of_numpy_over_all_tokens(kind):
    is_masked = kind == "masked"
    task = MaskedLm(MaskedLmConfig(), SPEC) if is_masked else CausalLm(CausalLmConfig(), SPEC)
    _, model = learner(task, "small_bert" if is_masked else "small_gpt")
    prepared = [task.prepare_batch(each, np.random.default_rng(0)) for each in uneven(0)]
    inputs = [each if is_masked else each[0] for each, _ in prepared]
    targets = [each for _, each in prepared]
    logits = [keras.ops.convert_to_numpy(model(list(e) if is_masked else e)) for e in inputs]
    expected = figures(targets, logits)
    model.compile(metrics=task.metrics())
    batches = (((tuple(e) if is_masked else e), t) for e, t in zip(inputs, targets, strict=True))
    found = model.evaluate(batches, steps=2, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-4)
    loss = task.loss(targets[0], logits[0], None, True)
    assert float(loss) == pytest.approx(figures(targets[:1], logits[:1])["loss"], rel=1e-4)


def test_what_a_user_gets_has_logits_everywhere_and_loads_without_fmkit(tmp_path):
    task = MaskedLm(MaskedLmConfig(), SPEC)
    _, model = learner(task, "small_bert")
    (tokens, places), _ = task.prepare_batch(uneven(1)[0], np.random.default_rng(0))
    whole = keras.Model(model.inputs[0], task.inference(model.output))
    whole.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    everywhere = again.predict(tokens, verbose=0)
    assert everywhere.shape == (4, 16, 260)
    there = keras.ops.convert_to_numpy(model([tokens, places]))
    np.testing.assert_allclose(
        np.take_along_axis(everywhere, places[:, :, None], axis=1), there, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("task", "name", "told"),
    [
        (MaskedLm(MaskedLmConfig(), SPEC), "small_gpt", "sees only those before it"),
        (CausalLm(CausalLmConfig(), SPEC), "small_bert", "sees all others"),
        (MaskedLm(MaskedLmConfig(), SPEC), "small_cnn", "needs a text model"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(task, name, told):
    with pytest.raises(ConfigError, match=told):
        learner(task, name)
