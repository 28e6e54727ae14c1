"""Preference tuning: an answer that was preferred becomes likelier than the other one.

DPO, Rafailov et al. 2023, arXiv:2305.18290; with label smoothing Mitchell 2023, A note on DPO with
noisy preferences; IPO, Azar et al. 2023, arXiv:2310.12036, with mean log-probabilities as in
Hugging Face's TRL; SLiC's hinge, Zhao et al. 2023, arXiv:2305.10425. The term of the preferred
answer alone is that of RPO, Pang et al. 2024, arXiv:2404.19733.

B pairs of a batch, T tokens of the longer row, P places where a token of an answer is to be found,
D features, V tokens of the vocabulary.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import DpoConfig
from fmkit.core import console
from fmkit.core.types import DataSpec
from fmkit.models.backbone import PADDING, Backbone
from fmkit.models.keras_internals import all_layers, run_graph, scale_loss_for_distribution
from fmkit.models.tokenizers import chat_template
from fmkit.tasks.base import Task
from fmkit.tasks.language import token_losses
from fmkit.tasks.language.causal_lm import next_token_model
from fmkit.tasks.language.dpo_rows import rows_of

_NOISE = 4e-6
"""Log-probabilities that differ by less than this part of them are the same: float32 adds them up
with a rounding error of that size."""


class Dpo(Task):
    """Pairs of answers to a prompt, of which the first is preferred.

    A row has both answers side by side, (n, 4): a token of each, with the prompt before it, and
    whether it is of the answer. Inputs are the tokens of both, (B, T) each, and the places before
    tokens of the answer, (B, P) each, -1 where there are fewer. Outputs are the log-probabilities
    of both answers in nats, (B, 2), sums over their tokens. Targets (B, 4) float32 are the same of
    the model as it was at the start, and how many tokens the answers have.

    Args:
        config: the task.
        spec: the data set; nothing of it is read.
    """

    name = "dpo"
    input_format = "rows"
    target_rank = None
    needs_reference = True
    generates_text = True

    def __init__(self, config: DpoConfig, spec: DataSpec) -> None:
        self._config = config
        self._next_token_model: Any = None
        self._everywhere: Any = None
        self._before: np.ndarray | None = None
        self._config_of_model: ModelConfig | None = None

    def encode_rows(
        self, examples: Any, tokenizer: Any, max_length: int
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """A row a pair; see `preference_rows`."""

        def template() -> chat_template.Chat:
            if self.chat_template is None:
                if self._config_of_model is None:
                    raise RuntimeError("the head comes first: it knows the model")
                self.chat_template = chat_template.of(self._config_of_model, tokenizer)
            return self.chat_template

        rows, uncut = rows_of(examples.content, tokenizer, max_length, template)
        alike = sum(np.array_equal(each[:, :2], each[:, 2:]) for each in rows)
        if alike:
            console.warning(
                f"{alike:,} of {len(rows):,} pairs are alike once they are cut to model.max_length="
                f"{max_length}: nothing is learned from them. A larger one would help."
            )
        return rows, np.arange(len(rows)), uncut

    def set_reference_outputs(self, outputs: np.ndarray) -> None:
        """Take the log-probabilities of all pairs, (N, 2), by the model as it is at the start."""
        self._before = np.asarray(outputs, np.float32)

    def targets(self, examples: Any) -> np.ndarray:
        """Log-probabilities at the start, and tokens of the answers, (N, 4) float32.

        Before `set_reference_outputs` the former are 0.
        """
        rows = examples.content.rows.read(np.arange(len(examples)))
        counts = [(each[:, (1, 3)] == 1).sum(axis=0) for each in rows]
        lengths = np.array(counts, np.float32).reshape(len(examples), 2)
        before = np.zeros_like(lengths) if self._before is None else self._before
        return np.concatenate([before, lengths], axis=1)

    def prepare_batch(
        self, tokens: np.ndarray, random: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], None]:
        """Rows (B, T, 4) -> ((chosen, rejected, places of one, of the other), None)."""
        chosen, rejected = tokens[..., 0], tokens[..., 2]
        found = _places(tokens[..., 1]), _places(tokens[..., 3])
        width = max(each.shape[1] for each in found)
        width = min(-(-width // 16) * 16, tokens.shape[1])  # few shapes are traced and compiled
        places = np.full((2, len(tokens), width), PADDING, np.int32)
        for number, each in enumerate(found):
            places[number, :, : each.shape[1]] = each
        return (chosen, rejected, *places), None

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Log-probabilities of both answers; the scores of tokens are those of `causal_lm`.

        Dropout is off: what is compared with was computed without, and noise of it would be larger
        than the differences that are learned at the beginning.

        Raises:
            ConfigError: a token sees those after it.
        """
        token_losses.require_text(self._config, backbone, is_causal=True)
        _without_dropout(backbone)
        self._config_of_model = config
        if config.chat_template != "auto" and backbone.tokenizer is not None:
            self.chat_template = chat_template.of(config, backbone.tokenizer)
        scores = token_losses.scoring(backbone, has_bias=False)
        self._next_token_model = lambda: next_token_model(backbone, scores)
        self._everywhere = lambda: scores(backbone.model.output, "scores")
        rejected = keras.Input((None,), dtype="int32", name="rejected")
        names = ("chosen_places", "rejected_places")
        places = [keras.Input((None,), dtype="int32", name=each) for each in names]
        self.extra_inputs = (rejected, *places)
        both = ops.concatenate([backbone.model.input, rejected], axis=0)  # (2B, T)
        features = run_graph(backbone.model, [both])
        where = ops.concatenate(places, axis=0)  # (2B, P)
        here = ops.maximum(where, 0)
        logits = scores(token_losses.gather_features(features, both, here), "logits")  # (2B, P, V)
        used = ops.cast(ops.greater_equal(where, 0), "float32")
        following = ops.take_along_axis(both, here + 1, axis=1)
        each, _ = token_losses.losses(following, logits)
        found = ops.negative(ops.sum(each * used, axis=1))  # (2B,)
        return ops.transpose(ops.reshape(found, (2, -1)))

    def next_token_model(self) -> keras.Model:
        """The trained network as a model that goes on with texts; see `CausalLm`."""
        model: keras.Model = self._next_token_model()
        return model

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """The mean loss of the pairs of a batch."""
        return scale_loss_for_distribution(ops.mean(losses(self._config, targets, outputs)))

    def metrics(self) -> list[Any]:
        """How often the preferred answer is rewarded more, by how much, and both rewards."""
        names = ("accuracy", "margin", "rewards_chosen", "rewards_rejected")
        return [ExampleMean(self, name) for name in names]

    def per_example_metrics(self, targets: Any, outputs: Any) -> dict[str, Any]:
        """Loss, hit, margin and rewards of each pair, (B,) by name.

        Args:
            targets: (B, 4).
            outputs: (B, 2).
        """
        gains = rewards(self._config, targets, outputs)
        return {
            "loss": losses(self._config, targets, outputs),
            "accuracy": preference_hits(self._config, targets, outputs),
            "margin": gains[:, 0] - gains[:, 1],
            "rewards_chosen": gains[:, 0],
            "rewards_rejected": gains[:, 1],
        }

    def inference(self, outputs: Any) -> Any:
        """Logits (B, T, V), float32, of the next token, as `causal_lm` deploys them."""
        return self._everywhere()


def rewards(config: DpoConfig, targets: Any, outputs: Any) -> Any:
    """Beta times how much likelier both answers are than at the start, (B, 2).

    With `ipo` it is the mean of their tokens that counts, not the sum.

    Args:
        config: the task.
        targets: (B, 4).
        outputs: (B, 2).
    """
    return config.beta * _gained(config, targets, outputs)


def _gained(config: DpoConfig, targets: Any, outputs: Any) -> Any:
    """How much likelier both answers are than at the start, (B, 2)."""
    return _per_answer(config, targets, ops.cast(outputs, "float32") - targets[:, :2])


def _per_answer(config: DpoConfig, targets: Any, sums: Any) -> Any:
    """What counts of an answer of sums over its tokens, (B, 2): with `ipo` their mean."""
    return sums / ops.maximum(targets[:, 2:], 1.0) if config.loss_type == "ipo" else sums


def losses(config: DpoConfig, targets: Any, outputs: Any) -> Any:
    """The loss of each pair, (B,); see `rewards`."""
    gained = rewards(config, targets, outputs)
    margins = gained[:, 0] - gained[:, 1]
    if config.loss_type == "ipo":
        found = ops.square(margins / config.beta - 1.0 / (2.0 * config.beta))
    elif config.loss_type == "hinge":
        found = ops.relu(1.0 - margins)
    else:
        smoothing = config.label_smoothing
        found = (1.0 - smoothing) * ops.softplus(-margins) + smoothing * ops.softplus(margins)
    if config.sft_weight:  # the mean loss of the preferred answer's tokens
        found = found - config.sft_weight * outputs[:, 0] / ops.maximum(targets[:, 2], 1.0)
    return found


def preference_hits(config: DpoConfig, targets: Any, outputs: Any) -> Any:
    """Whether the preferred answer is rewarded more, (B,): 1, or 0, or where they tie 0.5."""
    gained, size = _gained(config, targets, outputs), ops.abs(targets[:, :2])
    margins = gained[:, 0] - gained[:, 1]
    size = ops.max(_per_answer(config, targets, size), axis=1)
    margins = ops.where(ops.abs(margins) <= _NOISE * size, 0.0, margins)
    return (ops.sign(margins) + 1.0) / 2.0


class ExampleMean(keras.metrics.Mean):
    """The mean of one of a task's metrics of each example.

    Args:
        task: has `per_example_metrics`.
        name: of the metric.
    """

    def __init__(self, task: Task, name: str) -> None:
        super().__init__(name=name)
        self._task = task

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets and outputs."""
        super().update_state(self._task.per_example_metrics(y_true, y_pred)[self.name])


def _places(flags: np.ndarray) -> np.ndarray:
    """The place before each token of an answer, (B, P) int32, -1 where a row has fewer.

    Args:
        flags: (B, T), 1 at tokens of the answer.
    """
    before = flags[:, 1:] == 1
    counts = before.sum(axis=1)
    found = np.full((len(flags), max(1, int(counts.max(initial=0)))), PADDING, np.int32)
    for row, (is_before, count) in enumerate(zip(before, counts, strict=True)):
        found[row, :count] = np.flatnonzero(is_before)
    return found


def _without_dropout(backbone: Backbone) -> None:
    for layer in all_layers(backbone.model):
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
