"""Optimizers from the config: Keras' own, with decoupled weight decay, L2-SP and multipliers.

Where these differ from Keras 3.15:

- With gradient accumulation Keras averages the gradients of batches, whatever they are means of,
  and leaves the last, partial window out. Here the update is that of one large batch: a batch
  counts by its examples or tokens (`keras_internals.batch_weight`), also on several devices, and a
  window ends with its epoch and its phase (`UpdateWindows`).
- Keras passes the count of batches to a schedule, and moves the average of the weights (EMA) with
  every batch. Here both count updates. Weight decay, clipping (of the averaged gradient) and Adam's
  bias correction count updates in Keras already.
- The average of the weights starts at the weights, not at 0, so that it can be evaluated any time.
  BatchNorm's statistics are averaged with the weights, as in TensorFlow's EfficientNet and timm.
- An average whose horizon is longer than a third of the phase warms up: its decay at update t is
  min(decay, (1 + t) / (10 + t)), as with `num_updates` in tf.train.ExponentialMovingAverage.
- Clipping is by the norm over all variables and, with several replicas of one tf.distribute
  strategy, of the gradient summed over replicas; Keras clips each replica's own part.
- Weight decay is decoupled (Loshchilov and Hutter 2019): before an update, a weight that
  `is_decayed` loses learning_rate * weight_decay of itself.
- Each variable may have a multiplier of the schedule's learning rate, which weight decay uses, too.
  Clipping comes before, by the norm of the plain gradient.
- With L2-SP (Li, Grandvalet and Davoine 2018; decoupled here, as weight decay is) a pretrained
  variable w decays towards its pretrained value w0: before an update it loses
  learning_rate * l2_sp * (w - w0). Weight decay towards 0 is then only for the others.

Multipliers and pretrained values belong to a run: neither makes a slot, and neither is saved with
an optimizer in a `.keras` file.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from fmkit.config.schema.optimizer import OptimizerConfig
from fmkit.core.errors import ConfigError, received
from fmkit.models.keras_internals import (
    RunOptimizer,
    learning_rate_or_schedule,
    moving_averages,
)
from fmkit.optim.windows import UpdateWindows

HEAD = "logits"
"""Name of the layer that Muon leaves to AdamW."""

_VECTORS = ("bias", "gamma", "beta", "scale")
_POSITIONS_AND_TOKENS = r"position|pos_embed|(class|cls|mask|register|dist\w*)_token"


def is_decayed(variable: keras.Variable) -> bool:
    """Whether weight decay applies: to kernels and embeddings.

    It does not apply to scalars and vectors, to biases and the scales and offsets of norms of any
    rank (the biases of Keras' attention are matrices), and to position embeddings and class tokens,
    which nothing is multiplied with (as in ViT recipes of DeiT and timm).

    LoRA's two matrices are decayed, as in Hugging Face's Trainer: their product shrinks, so that
    their layer returns to its pretrained kernel and not to zero.
    """
    if len(variable.shape) < 2 or variable.name in _VECTORS:
        return False
    return re.search(_POSITIONS_AND_TOKENS, variable.path) is None


@dataclass(frozen=True)
class VariableUpdate:
    """What happens to a variable besides the optimizer's own update.

    Attributes:
        multiplier: of the learning rate; 0 means that the variable does not train.
        weight_decay: towards 0.
        l2_sp: decay towards the pretrained value.
    """

    multiplier: float = 0.0
    weight_decay: float = 0.0
    l2_sp: float = 0.0


MOST_OF_START = 0.05
"""An average that would keep more than this share of the weights of the start warms up."""


def ema_warms_up(decay: float, updates: int) -> bool:
    """Whether a plain average over so many updates would still be of the start, too."""
    return bool(decay**updates > MOST_OF_START)


@dataclass(frozen=True)
class _RunSettings:
    """What a run sets besides the config; variables by their id.

    In an object of our own, since Keras would track variables in a dictionary as slots.
    """

    multipliers: Mapping[int, float] = field(default_factory=dict)
    pretrained: Mapping[int, keras.Variable] = field(default_factory=dict)
    l2_sp: float = 0.0
    windows: UpdateWindows | None = None
    statistics: Sequence[keras.Variable] = ()


class _UpdateMixin(RunOptimizer):
    """What every optimizer here adds to Keras' own; see the top of this file."""

    run_settings = _RunSettings()

    def build(self: Any, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        # By position: inside TensorFlow's update the variables are other objects.
        self.ids = tuple(id(variable) for variable in variables)
        self.variable_updates = tuple(self._variable_update(variable) for variable in variables)
        super().build(variables)
        if self.use_ema:
            for variable, average in moving_averages(self):
                average.assign(ops.copy(variable))  # JAX would share the buffer

    def averaged_statistics(self) -> Sequence[keras.Variable]:
        """Those that the run names."""
        return self.run_settings.statistics

    def updates_after(self, batches: Any) -> Any:
        """Updates that so many batches of the phase make."""
        windows = self.run_settings.windows
        return super().updates_after(batches) if windows is None else windows.updates_after(batches)

    def ends_window(self, batches: Any) -> Any:
        """Whether an update follows batch number `batches` of the phase, counted from 1."""
        windows = self.run_settings.windows
        return super().ends_window(batches) if windows is None else windows.ends(batches)

    def ema_decay(self: Any, update: Any) -> Any:
        """The config's; at an update t of a warm-up (1 + t) / (10 + t) while that is less."""
        windows = self.run_settings.windows
        if windows is None or not ema_warms_up(self.ema_momentum, windows.updates):
            return self.ema_momentum
        t = ops.cast(update, "float32")
        return ops.minimum(self.ema_momentum, (1.0 + t) / (10.0 + t))

    def _variable_update(self: Any, variable: keras.Variable) -> VariableUpdate:
        multiplier = self.run_settings.multipliers.get(id(variable), 1.0)
        if not is_decayed(variable):
            return VariableUpdate(multiplier)
        if id(variable) in self.run_settings.pretrained:
            return VariableUpdate(multiplier, l2_sp=self.run_settings.l2_sp)
        return VariableUpdate(multiplier, weight_decay=self.weight_decay or 0.0)

    def finalize_variable_values(self: Any, var_list: Any) -> None:
        """Nothing: a phase may take several calls of `fit`, and the raw weights go on training.

        The loop puts the average in their place when the phase has ended.
        """

    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self.variable_index(variable)
        extra, dtype = self.variable_updates[index], variable.dtype
        if extra.multiplier != 1.0:
            learning_rate = learning_rate * extra.multiplier
        rate = ops.cast(learning_rate, dtype)
        if extra.weight_decay:
            decay = variable * ops.cast(extra.weight_decay, dtype) * rate
            self.assign_sub(variable, decay)
        if extra.l2_sp:
            start = self.run_settings.pretrained[self.ids[index]]
            decay = (variable - ops.cast(start, dtype)) * ops.cast(extra.l2_sp, dtype) * rate
            self.assign_sub(variable, decay)
        super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]


def next_learning_rate(optimizer: Any) -> float:
    """The learning rate of the next update, before any multiplier; NaN without an optimizer."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # mixed_float16 wraps it
    if optimizer is None:
        return math.nan
    schedule = learning_rate_or_schedule(optimizer)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return float(schedule(int(ops.convert_to_numpy(optimizer.iterations))))
    return float(ops.convert_to_numpy(schedule))


@keras.saving.register_keras_serializable(package="fmkit")
class Adam(_UpdateMixin, keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015), and with a weight decay AdamW (Loshchilov and Hutter 2019)."""


@keras.saving.register_keras_serializable(package="fmkit")
class SGD(_UpdateMixin, keras.optimizers.SGD):
    """Stochastic gradient descent with momentum, Nesterov's form or the plain one."""


@keras.saving.register_keras_serializable(package="fmkit")
class Lion(_UpdateMixin, keras.optimizers.Lion):
    """Lion (Chen et al. 2023): the sign of a mix of gradient and momentum."""


@keras.saving.register_keras_serializable(package="fmkit")
class Muon(_UpdateMixin, keras.optimizers.Muon):
    """Muon (Jordan 2024) with the step size of Moonlight (Liu et al. 2025), as Keras has it.

    Only matrices get the orthogonalised update. Everything else gets AdamW's at the same rate:
    the layer named HEAD, embeddings, position embeddings, vectors, and (Keras offers no choice)
    kernels of 3 and more dimensions, so convolutions and the projections of
    keras.layers.MultiHeadAttention. On a convolutional network Muon is hence AdamW, nearly.
    """


_OPTIMIZERS: dict[str, tuple[type, tuple[str, ...]]] = {
    "adamw": (Adam, ("beta_1", "beta_2", "epsilon")),
    "adam": (Adam, ("beta_1", "beta_2", "epsilon")),
    "sgd": (SGD, ("momentum", "nesterov")),
    "lion": (Lion, ("beta_1", "beta_2")),
    "muon": (Muon, ("momentum", "adam_beta_1", "adam_beta_2")),
}


def build(
    config: OptimizerConfig,
    schedule: keras.optimizers.schedules.LearningRateSchedule | float,
    variables: Sequence[keras.Variable],
    multipliers: Mapping[int, float] | None = None,
    pretrained: Mapping[int, keras.Variable] | None = None,
    windows: UpdateWindows | None = None,
    statistics: Sequence[keras.Variable] = (),
) -> keras.optimizers.Optimizer:
    """An optimizer with its slots for these variables.

    Args:
        config: of the dataclass for its name (config/schema/optimizer.py).
        schedule: learning rate by update; from `schedules.from_config`.
        variables: those that it trains, in the model's order.
        multipliers: factors on the learning rate by the id of a variable; 1 for all others.
        pretrained: by the id of a variable, the value that `l2_sp` pulls it to. These variables
            have no weight decay towards 0.
        windows: of the phase; None: windows of `accumulation` batches, without an end.
        statistics: variables that do not train and that are averaged with those that do.

    Raises:
        ConfigError: there is no optimizer of that name, or Lion's beta_1 is 0.
    """
    if config.name not in _OPTIMIZERS:
        raise ConfigError(received("optimizer.name", config.name, _OPTIMIZERS))
    kind, keys = _OPTIMIZERS[config.name]
    settings: dict[str, Any] = {name: getattr(config, name) for name in keys}
    if config.name == "lion" and settings["beta_1"] == 0:
        raise ConfigError(received("optimizer.beta_1", 0, "a number above 0 for lion"))
    decay = config.weight_decay or None
    if config.name == "muon":
        settings["adam_weight_decay"] = decay
        settings["exclude_layers"] = [rf"(^|/){HEAD}/", _POSITIONS_AND_TOKENS]
    optimizer = kind(
        learning_rate=schedule,
        weight_decay=decay,
        global_clipnorm=config.clip_norm,
        gradient_accumulation_steps=config.accumulation if config.accumulation > 1 else None,
        use_ema=config.ema is not None,
        ema_momentum=0.99 if config.ema is None else config.ema,
        # Not Keras' counted name: slots keep their paths whichever phase of a process this is.
        name=config.name,
        **settings,
    )
    optimizer.run_settings = _RunSettings(
        multipliers or {}, pretrained or {}, config.l2_sp, windows, statistics
    )
    optimizer.build(list(variables))
    return optimizer


def variable_update(
    optimizer: keras.optimizers.Optimizer | None, variable: keras.Variable
) -> VariableUpdate:
    """What an optimizer of `build`, as `compile` may have wrapped it, does to a variable."""
    # Under mixed_float16 Keras wraps the optimizer.
    inner: Any = getattr(optimizer, "inner_optimizer", optimizer)
    updates = dict(
        zip(getattr(inner, "ids", ()), getattr(inner, "variable_updates", ()), strict=True)
    )
    return updates.get(id(variable), VariableUpdate())
