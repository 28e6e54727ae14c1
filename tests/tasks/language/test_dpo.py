"""Preference tuning: losses and gradients against an independent computation, and what is read."""

import keras
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import CausalLmConfig, DpoConfig, JointConfig, ObjectiveConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec, Message
from fmkit.data.content.texts import Pair, Preferences
from fmkit.data.examples import Examples
from fmkit.data.loaders.text_loader import Encoded, TextLoader, TokenRows
from fmkit.models.registry import build
from fmkit.models.text.small import byte_tokenizer
from fmkit.models.tokenizers import chat_template
from fmkit.tasks.joint import Joint
from fmkit.tasks.language import dpo_rows
from fmkit.tasks.language.causal_lm import CausalLm
from fmkit.tasks.language.dpo import Dpo

SPEC = DataSpec("text", (), {})
TARGETS = np.array([[-10, -12, 4, 6], [-3, -8, 2, 5], [-20, -9, 9, 4]], np.float32)
OUTPUTS = np.array([[-8, -13, 0, 0], [-4, -7, 0, 0], [-20, -9, 0, 0]], np.float32)[:, :2]
CONFIGS = {
    "sigmoid": DpoConfig(beta=0.3),
    "smoothed": DpoConfig(beta=0.3, label_smoothing=0.2),
    "ipo": DpoConfig(loss_type="ipo", beta=0.3),
    "hinge": DpoConfig(loss_type="hinge", beta=0.3),
    "with the preferred answer": DpoConfig(beta=0.3, sft_weight=0.5),
}


def slow(name, targets, outputs):
    """The papers' formulas, a pair at a time, in float64."""
    config, found = CONFIGS[name], []
    for (before_w, before_l, long_w, long_l), (now_w, now_l) in zip(
        targets.astype(float), outputs.astype(float), strict=True
    ):
        if name == "ipo":
            gap = (now_w - before_w) / long_w - (now_l - before_l) / long_l
            found.append((gap - 1 / (2 * config.beta)) ** 2)
            continue
        z = config.beta * ((now_w - before_w) - (now_l - before_l))
        sigmoid = 1 / (1 + np.exp(-z))
        loss = -np.log(sigmoid)
        if name == "smoothed":
            loss = -0.8 * np.log(sigmoid) - 0.2 * np.log(1 - sigmoid)
        if name == "hinge":
            loss = max(0.0, 1 - z)
        if name == "with the preferred answer":
            loss += 0.5 * -now_w / long_w
        found.append(loss)
    return np.array(found)


@pytest.mark.parametrize("name", CONFIGS)
def test_losses_are_those_of_the_papers(name):
    found = Dpo(CONFIGS[name], SPEC).per_example_metrics(TARGETS, OUTPUTS)["loss"]
    np.testing.assert_allclose(found, slow(name, TARGETS, OUTPUTS), rtol=1e-5)
    whole = Dpo(CONFIGS[name], SPEC).loss(TARGETS, OUTPUTS, None, True)
    assert float(whole) == pytest.approx(slow(name, TARGETS, OUTPUTS).mean(), rel=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_are_those_of_the_papers_formulas(name):
    """By central differences of the same formulas in float64."""
    import tensorflow as tf  # the backend's own gradients

    outputs = tf.constant(OUTPUTS)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = Dpo(CONFIGS[name], SPEC).loss(TARGETS, outputs, None, True)
    found = tape.gradient(loss, outputs).numpy()
    for place in np.ndindex(OUTPUTS.shape):
        step = np.zeros(OUTPUTS.shape)
        step[place] = 1e-5
        ends = [slow(name, TARGETS, OUTPUTS + each).mean() for each in (step, -step)]
        assert found[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-6)


def test_figures_of_pairs_and_ties():
    task = Dpo(DpoConfig(beta=0.5), SPEC)
    judged = {
        name: np.asarray(values)
        for name, values in task.per_example_metrics(TARGETS, OUTPUTS).items()
    }
    np.testing.assert_allclose(judged["rewards_chosen"], [1, -0.5, 0])
    np.testing.assert_allclose(judged["rewards_rejected"], [-0.5, 0.5, 0])
    np.testing.assert_allclose(judged["margin"], [1.5, -1, 0])
    np.testing.assert_allclose(judged["accuracy"], [1, 0, 0.5])
    assert judged["loss"][2] == pytest.approx(np.log(2))
    for metric in task.metrics():
        metric.update_state(TARGETS[:1], OUTPUTS[:1])
        metric.update_state(TARGETS[1:], OUTPUTS[1:])
        assert float(metric.result()) == pytest.approx(judged[metric.name].mean(), abs=1e-6)
    rounded = OUTPUTS[2:] + np.array([[4e-6, -4e-6]], np.float32)  # no more than float32 loses
    np.testing.assert_allclose(task.per_example_metrics(TARGETS[2:], rounded)["accuracy"], [0.5])


def test_with_ipo_a_hit_is_the_larger_reward_of_a_token():
    """A long answer gains more in sum, and less by the token, which is what IPO rewards."""
    targets = np.array([[-30.0, -300.0, 10.0, 100.0]], np.float32)
    outputs = np.array([[-29.0, -298.0]], np.float32)
    for loss_type, hit in (("sigmoid", 0.0), ("ipo", 1.0)):
        judged = Dpo(DpoConfig(loss_type=loss_type), SPEC).per_example_metrics(targets, outputs)
        assert np.asarray(judged["accuracy"]).tolist() == [hit]
        assert (judged["margin"][0] > 0) == bool(hit)


PAIRS = (
    Pair("Say so:", " yes", " certainly not"),
    Pair(
        (Message("user", "and?"),), (Message("assistant", "then"),),
        (Message("assistant", "nothing"),),
    ),
    Pair("A long prompt that is cut " * 3, " first", " second"),
)  # fmt: skip


def examples():
    return Examples(("a", "b", "c"), np.zeros(3, np.int32), (), Preferences(PAIRS))


def loaded(task, config, backbone, batch_size=3):
    rows, origin, uncut = task.encode_rows(examples(), backbone.tokenizer, backbone.max_length)
    content = Encoded(TokenRows(rows, uncut), origin, examples())
    data = Examples(("a", "b", "c"), np.zeros(3, np.int32), (), content)
    return data, TextLoader(
        data, task.targets(data), tokenizer=backbone.tokenizer, max_length=backbone.max_length,
        prepare_batch=task.prepare_batch, num_inputs=4, target_rank=None, batch_size=batch_size,
    )  # fmt: skip


def encoded(pairs, max_length):
    tokenizer = byte_tokenizer("causal")
    template = chat_template.chat_for_model(ModelConfig("small_gpt"), tokenizer)
    return dpo_rows.encode(Preferences(tuple(pairs)), tokenizer, max_length, lambda: template)


def test_rows_hold_both_answers_behind_one_prompt():
    tokenizer = byte_tokenizer("causal")
    rows, uncut = encoded(PAIRS, 40)
    assert [each.shape[1] for each in rows] == [4, 4, 4]
    begin = len("User: and?\nAssistant:")
    np.testing.assert_array_equal(uncut, [1 + 7 + 14 + 1, 1 + begin + 8 + 1, 1 + 78 + 7 + 1])
    second = rows[1]  # by the template, which begins an answer with a space
    assert tokenizer.decode(second[:, 0]) == "User: and?\nAssistant: then"
    assert tokenizer.decode(second[second[:, 3] == 1, 2]) == " nothing"
    first = rows[0]
    assert tokenizer.decode(first[:, 0]) == "Say so: yes"
    assert tokenizer.decode(first[:, 2]) == "Say so: certainly not"
    assert tokenizer.decode(first[first[:, 1] == 1, 0]) == " yes"
    assert tokenizer.decode(first[first[:, 3] == 1, 2]) == " certainly not"
    assert first[first[:, 1] == 1, 0][-1] == tokenizer.end  # where it ends is learned, too
    assert first[0, 0] == tokenizer.start
    assert first[-1, :2].tolist() == [-1, -1]
    assert len(rows[2]) == 40
    assert tokenizer.decode(rows[2][:, 0]).endswith("prompt that is cut  first")
    for row in rows:  # the same prompt on both sides
        prompt = row[:, 1] == 0
        np.testing.assert_array_equal(row[prompt, 0], row[prompt, 2])


def test_what_is_too_long_on_both_sides_keeps_half_a_prompt():
    pair = Pair("p" * 50, "c" * 50, "r" * 20)
    (row,), _ = encoded([pair], 20)
    assert byte_tokenizer("causal").decode(row[:, 0]) == "p" * 10 + "c" * 10
    assert byte_tokenizer("causal").decode(row[:, 2]) == "p" * 10 + "r" * 10
    with pytest.raises(ConfigError, match="max_length"):
        encoded([pair], 4)


def test_of_several_turns_only_those_behind_the_prompt_are_learned():
    tokenizer = byte_tokenizer("causal")
    before = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    answers = ((Message("assistant", "d"),), (Message("assistant", "e"),))
    longer = (*answers[1], Message("user", "f"), Message("assistant", "g"))
    (row,), _ = encoded([Pair(before, answers[0], longer)], 80)
    assert tokenizer.decode(row[row[:, 1] == 1, 0]) == " d"
    assert tokenizer.decode(row[row[:, 3] == 1, 2]) == " e g"
    assert tokenizer.decode(row[row[:, 3] == 0, 2]).startswith("User: a\nAssistant: b\nUser: c")


def test_pairs_that_are_alike_once_they_are_cut_are_told(capsys):
    pair = Pair("Say so:", " a long answer of one kind", " a long answer of another kind")
    data = Examples(("a",), np.zeros(1, np.int32), (), Preferences((pair,)))
    Dpo(DpoConfig(), SPEC).encode_rows(data, byte_tokenizer("causal"), 20)
    assert "1 of 1 pairs have two equal answers" in capsys.readouterr().err


@pytest.fixture(scope="module")
def built():
    keras.utils.set_random_seed(0)
    config = ModelConfig("small_gpt", "none", max_length=48)
    backbone, task = build(config), Dpo(DpoConfig(beta=0.3), SPEC)
    output = task.head(backbone, config)
    network = keras.Model([backbone.model.input, *task.extra_inputs], output)
    return config, backbone, task, network


def test_log_probabilities_are_those_of_the_answers_tokens(built):
    config, backbone, task, network = built
    for weight in backbone.model.weights:  # as built, its logits are nearly alike
        weight.assign(weight * 3)
    _, loader = loaded(task, config, backbone)
    found = network.predict(loader.ordered(np.arange(3)), verbose=0)
    causal = CausalLm(CausalLmConfig(), SPEC)
    whole = keras.Model(backbone.model.input, causal.head(backbone, config))
    rows, _, _ = task.encode_rows(examples(), backbone.tokenizer, 48)
    for number, row in enumerate(rows):
        for side in (0, 1):
            tokens, flags = row[:, 2 * side], row[:, 2 * side + 1]
            logits = whole.predict(tokens[None], verbose=0)[0].astype(np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            expected = sum(logs[t - 1, tokens[t]] for t in range(1, len(row)) if flags[t] == 1)
            assert found[number, side] == pytest.approx(expected, rel=1e-4)


def test_at_the_start_the_loss_is_log_two_and_the_gradient_that_of_the_paper(built):
    """The gradient is -beta sigmoid(-z) (grad log p(chosen) - grad log p(rejected)), equation 7."""
    import tensorflow as tf  # the backend's own gradients

    config, backbone, task, network = built
    _, loader = loaded(task, config, backbone)
    task.set_reference_outputs(network.predict(loader.ordered(np.arange(3)), verbose=0))
    data, loader = loaded(task, config, backbone)
    (inputs, targets) = next(iter(loader.ordered(np.arange(3))))
    targets = targets.numpy()
    np.testing.assert_array_equal(targets, task.targets(data))
    np.testing.assert_array_equal(targets[:, 2:], [[5, 15], [6, 9], [7, 8]])
    weight = backbone.model.get_layer("layer_norm").gamma
    with tf.GradientTape(persistent=True) as tape:
        outputs = network(inputs)
        loss = task.loss(targets, outputs, None, True)
        chosen, rejected = tf.reduce_mean(outputs[:, 0]), tf.reduce_mean(outputs[:, 1])
    assert float(loss) == pytest.approx(np.log(2), abs=1e-5)
    np.testing.assert_array_equal(
        task.per_example_metrics(targets, outputs.numpy())["accuracy"], [0.5] * 3
    )
    apart = tape.gradient(chosen, weight.value) - tape.gradient(rejected, weight.value)
    found = tape.gradient(loss, weight.value)
    np.testing.assert_allclose(found, -0.3 * 0.5 * apart, rtol=1e-3, atol=1e-5)


def test_dropout_is_off_and_a_model_that_sees_later_tokens_is_refused(built):
    _, backbone, _, _ = built
    layers = backbone.model._flatten_layers(recursive=True)
    assert {e.rate for e in layers if isinstance(e, keras.layers.Dropout)} == {0.0}
    config = ModelConfig("small_bert", "none", max_length=48)
    with pytest.raises(ConfigError, match="only those before it"):
        Dpo(DpoConfig(), SPEC).head(build(config), config)


def test_what_compares_with_the_start_is_no_objective_of_a_joint_run():
    parts = {"one": DpoConfig(), "two": CausalLmConfig()}
    objectives = {name: ObjectiveConfig(task=each, weight=1.0) for name, each in parts.items()}
    with pytest.raises(ConfigError, match=r"objectives\.one compares with a reference model"):
        Joint(JointConfig(objectives=objectives), dict.fromkeys(parts, SPEC))
