"""Preference tuning: DPO, IPO and the hinge loss on pairs of answers.

A preferred answer becomes more likely than the rejected one, compared with the reference model: the
network as it was at the start.

DPO, Rafailov et al. 2023, arXiv:2305.18290; with label smoothing Mitchell 2023, A note on DPO with
noisy preferences; IPO, Azar et al. 2023, arXiv:2310.12036, with mean log-probabilities as in
Hugging Face's TRL; SLiC's hinge, Zhao et al. 2023, arXiv:2305.10425. The term of the preferred
answer alone is from RPO, Pang et al. 2024, arXiv:2404.19733.

B pairs of a batch, T tokens of the longer row, P positions before a token of an answer, D features,
V tokens of the vocabulary.
"""

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.core import console
from fmkit.models.backbone import PADDING, Backbone
from fmkit.models.keras_internals import all_layers, run_graph, scale_loss_for_distribution
from fmkit.models.tokenizers import chat_template
from fmkit.tasks.base import Batch, Rows, Task
from fmkit.tasks.language import dpo_rows, token_losses
from fmkit.tasks.language.causal_lm import next_token_model

_ROUNDING = 4e-6
"""Log-probabilities that differ by less than this share of them are equal: float32 adds them up
with a rounding error of that size."""


class Dpo(Task):
    """Pairs of answers to a prompt, of which the first is preferred.

    A row has both answers side by side, (n, 4): for each a token, with the prompt before it, and
    whether it belongs to the answer. Inputs are the tokens of both, (B, T) each, and the positions
    before tokens of the answers, (B, P) each, -1 where there are fewer. Outputs are the
    log-probabilities of both answers in nats, (B, 2), sums over their tokens. Targets (B, 4)
    float32 are those of the reference model, and the answers' numbers of tokens.
    """

    name = "dpo"
    input_format = "rows"
    target_rank = None
    needs_reference = True
    _reference: np.ndarray | None = None
    _model_config: ModelConfig | None = None

    def encode_rows(self, examples: Any, tokenizer: Any, max_length: int) -> Rows:
        """A row per pair; see `dpo_rows`."""

        def template() -> chat_template.Chat:
            if self.chat_template is None:
                if self._model_config is None:
                    raise RuntimeError("call `head` first: it knows the model")
                self.chat_template = chat_template.chat_for_model(self._model_config, tokenizer)
            return self.chat_template

        rows, uncut = dpo_rows.encode(examples.content, tokenizer, max_length, template)
        equal = sum(np.array_equal(row[:, :2], row[:, 2:]) for row in rows)
        if equal:
            console.warning(
                f"{equal:,} of {len(rows):,} pairs have two equal answers once they are cut to "
                f"model.max_length={max_length}: nothing is learned from them. A larger "
                "model.max_length would help."
            )
        return rows, np.arange(len(rows)), uncut

    def set_reference_outputs(self, outputs: np.ndarray) -> None:
        """Receive the reference model's log-probabilities of all pairs, (N, 2)."""
        self._reference = np.asarray(outputs, np.float32)

    def targets(self, examples: Any) -> np.ndarray:
        """Reference log-probabilities, and tokens of the answers, (N, 4) float32.

        The former are 0 before `set_reference_outputs`.
        """
        rows = examples.content.rows.read(np.arange(len(examples)))
        counts = [(row[:, (1, 3)] == 1).sum(axis=0) for row in rows]
        lengths = np.array(counts, np.float32).reshape(len(examples), 2)
        reference = np.zeros_like(lengths) if self._reference is None else self._reference
        return np.concatenate([reference, lengths], axis=1)

    def prepare_batch(self, tokens: np.ndarray, random: np.random.Generator) -> Batch:
        """Rows (B, T, 4) -> ((chosen, rejected, positions of chosen, of rejected), None)."""
        count, length, _ = tokens.shape
        is_before = np.zeros((2, count, length), bool)  # of an answer's tokens, the one before each
        is_before[..., :-1] = np.moveaxis(tokens[:, 1:, [1, 3]], 2, 0) == 1
        longest = max(1, int(is_before.sum(axis=2).max(initial=0)))
        # A multiple of 16, since each shape is traced and compiled.
        width = min(-(-longest // 16) * 16, length)
        positions = np.argsort(~is_before, axis=2, kind="stable")[..., :width]
        positions[~np.take_along_axis(is_before, positions, axis=2)] = PADDING
        return (tokens[..., 0], tokens[..., 2], *positions.astype(np.int32)), None

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Log-probabilities of both answers, by the same head as `causal_lm`.

        Dropout is off: the reference outputs were computed without, and its noise would be larger
        than the differences that are learned at the beginning.

        Raises:
            ConfigError: the backbone is not causal.
        """
        token_losses.require_text(self.config.name, backbone, is_causal=True)
        for layer in all_layers(backbone.model):
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        self._model_config = config
        if config.chat_template != "auto" and backbone.tokenizer is not None:
            self.chat_template = chat_template.chat_for_model(config, backbone.tokenizer)
        to_logits = token_losses.output_layer(backbone, has_bias=False)
        self.next_token_model = partial(next_token_model, backbone, to_logits)
        self._all_logits = lambda: to_logits(backbone.model.output, "scores")
        rejected = keras.Input((None,), dtype="int32", name="rejected")
        names = ("chosen_places", "rejected_places")
        answer_positions = [keras.Input((None,), dtype="int32", name=name) for name in names]
        self.extra_inputs = (rejected, *answer_positions)
        tokens = ops.concatenate([backbone.model.input, rejected], axis=0)  # (2B, T)
        features = run_graph(backbone.model, [tokens])
        padded = ops.concatenate(answer_positions, axis=0)  # (2B, P)
        positions = ops.maximum(padded, 0)
        features = token_losses.gather_features(features, tokens, positions)
        logits = to_logits(features, "logits")  # (2B, P, V)
        used = ops.cast(ops.greater_equal(padded, 0), "float32")
        next_tokens = ops.take_along_axis(tokens, positions + 1, axis=1)
        token_loss, _ = token_losses.losses(next_tokens, logits)
        log_probabilities = ops.negative(ops.sum(token_loss * used, axis=1))  # (2B,)
        return ops.transpose(ops.reshape(log_probabilities, (2, -1)))

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """The mean loss of the pairs of a batch."""
        losses = self.per_example_metrics(targets, outputs)["loss"]
        return scale_loss_for_distribution(ops.mean(losses))

    def metrics(self) -> list[Any]:
        """How often the preferred answer is rewarded more, by how much, and both rewards."""
        names = ("accuracy", "margin", "rewards_chosen", "rewards_rejected")
        return [ExampleMean(self, name) for name in names]

    def per_example_metrics(self, targets: Any, outputs: Any) -> dict[str, Any]:
        """Loss, accuracy, margin and rewards of each pair, (B,) by name.

        A reward is beta times how much more likely an answer is than by the reference model; with
        `ipo` the mean over its tokens counts, not the sum. Accuracy is 1 where the preferred answer
        has the larger one, else 0, and 0.5 for a tie.

        Args:
            targets: (B, 4).
            outputs: (B, 2).
        """
        config, lengths = self.config, ops.maximum(targets[:, 2:], 1.0)
        divisor = lengths if config.loss_type == "ipo" else 1.0
        ratios = (ops.cast(outputs, "float32") - targets[:, :2]) / divisor
        rewards = config.beta * ratios
        margins = rewards[:, 0] - rewards[:, 1]
        if config.loss_type == "ipo":
            losses = ops.square(margins / config.beta - 1.0 / (2.0 * config.beta))
        elif config.loss_type == "hinge":
            losses = ops.relu(1.0 - margins)
        else:
            smoothing = config.label_smoothing
            losses = (1.0 - smoothing) * ops.softplus(-margins) + smoothing * ops.softplus(margins)
        if config.sft_weight:  # the mean loss of the preferred answer's tokens
            losses = losses - config.sft_weight * outputs[:, 0] / lengths[:, 0]
        difference = ratios[:, 0] - ratios[:, 1]
        scale = ops.max(ops.abs(targets[:, :2]) / divisor, axis=1)
        is_tie = ops.abs(difference) <= _ROUNDING * scale
        return {
            "loss": losses,
            "accuracy": (ops.sign(ops.where(is_tie, 0.0, difference)) + 1.0) / 2.0,
            "margin": margins,
            "rewards_chosen": rewards[:, 0],
            "rewards_rejected": rewards[:, 1],
        }

    def inference(self, outputs: Any) -> Any:
        """Logits of the next token at every position, (B, T, V) float32, as of `causal_lm`."""
        return self._all_logits()


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
