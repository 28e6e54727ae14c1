"""Learning-rate schedules with a linear warm-up: functions of the number of updates so far."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config import units
from fmkit.config.schema.keys import key_infos
from fmkit.config.schema.optimizer import OptimizerConfig
from fmkit.core.errors import ConfigError, received
from fmkit.optim.rescaling import Rescaling

KINDS = key_infos(OptimizerConfig)["schedule"].choices


@keras.saving.register_keras_serializable(package="fmkit")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then `cosine`, `linear`, `constant` or `step`.

    Steps are updates of the weights, counted from 0. With W = warmup_steps and T = total_steps,
    update s < W gets peak * (s + 1) / W: the first one is never 0 and the last one of the warm-up
    is the peak. From s = W on, with p = (s - W) / (T - W) clipped to 0..1:

    - `cosine` goes from the peak to peak * final_fraction in half a cosine (Loshchilov and Hutter
      2017, SGDR), which is keras.optimizers.schedules.CosineDecay after its warm-up;
    - `linear` goes there in a straight line;
    - `constant` stays at the peak;
    - `step` is peak * step_factor ** floor(s / step_every), and s starts before the warm-up,
      which is a further factor.

    Update T - 1 is the last one; p = 1 is what a further one would get.

    Args:
        peak: learning rate after the warm-up.
        total_steps: T, at least 1.
        warmup_steps: W, from 0 to T.
        kind: one of KINDS.
        final_fraction: share of the peak at p = 1, 0 to 1; for `cosine` and `linear`.
        step_every: updates between two drops, at least 1; for `step`.
        step_factor: what a drop multiplies the rate by; for `step`.

    Attributes:
        rescaling: of a phase whose length may change under way; it is not saved with the schedule.

    Raises:
        ConfigError: a number is out of its range.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        warmup_steps: int = 0,
        kind: str = "cosine",
        final_fraction: float = 0.0,
        step_every: int = 1,
        step_factor: float = 0.1,
    ) -> None:
        if kind not in KINDS:
            raise ConfigError(received("schedule", kind, KINDS))
        if total_steps < 1:
            raise ConfigError(received("schedule's total_steps", total_steps, "at least 1"))
        if not 0 <= warmup_steps <= total_steps:
            allowed = f"from 0 to the {total_steps} updates of the phase"
            raise ConfigError(received("schedule's warmup_steps", warmup_steps, allowed))
        if step_every < 1:
            raise ConfigError(received("schedule's step_every", step_every, "at least 1"))
        self.peak = float(peak)
        self.total_steps = int(total_steps)
        self.warmup_steps = int(warmup_steps)
        self.kind = kind
        self.final_fraction = float(final_fraction)
        self.step_every = int(step_every)
        self.step_factor = float(step_factor)
        self.rescaling: Rescaling | None = None

    def __call__(self, step: Any) -> Any:
        """The learning rate of update `step`, float32; a tensor for an integer tensor.

        A Python integer is computed with NumPy: twenty calls of the backend, one per operation,
        took 5 ms an epoch, where an epoch on cached features takes 30.
        """
        if isinstance(step, int):
            return self._rate(step, np, np.float32)
        return self._rate(ops.cast(step, "int32"), ops, lambda value: ops.cast(value, "float32"))

    def _rate(self, step: Any, library: Any, to_float: Callable[[Any], Any]) -> Any:
        if self.rescaling is not None:
            step = self.rescaling(step, library, to_float)
        rate = to_float(self.peak) * self._decay(step, library, to_float)
        if not self.warmup_steps:
            return rate
        # Rises linearly to 1 at the last update of the warm-up, and stays there.
        progress = to_float(step + 1) / to_float(self.warmup_steps)
        return rate * library.minimum(progress, to_float(1.0))

    def _decay(self, step: Any, library: Any, to_float: Callable[[Any], Any]) -> Any:
        if self.kind == "constant":
            return to_float(1.0)
        if self.kind == "step":
            return library.power(to_float(self.step_factor), to_float(step // self.step_every))
        done = to_float(step - self.warmup_steps)
        total = to_float(max(self.total_steps - self.warmup_steps, 1))
        progress = library.clip(done / total, to_float(0.0), to_float(1.0))
        left = 1.0 - progress
        if self.kind == "cosine":
            left = 0.5 * (1.0 + library.cos(math.pi * progress))
        # In this order both ends are exact: left = 1 gives 1, left = 0 gives final_fraction.
        return left + self.final_fraction * (1.0 - left)

    def get_config(self) -> dict[str, Any]:
        """The arguments of an equal schedule."""
        return {name: getattr(self, name) for name in inspect.signature(Schedule).parameters}


def from_config(
    config: OptimizerConfig, peak: float, total_steps: int, steps_per_epoch: int
) -> Schedule:
    """The schedule of one phase.

    `500 steps` in the config are batches, as everywhere in it, and `accumulation` of them make one
    update (parts of an update count as a whole one); epochs and shares are of the numbers here.

    Args:
        config: its durations are of this phase.
        peak: the phase's learning rate.
        total_steps: updates in the phase, at least 1.
        steps_per_epoch: updates in an epoch, at least 1.

    Raises:
        ConfigError: the warm-up is longer than the phase, or a step has no length.
    """

    def updates(text: str) -> int:
        length = units.parse_duration(text, units.STEPS)
        if length.unit == units.STEPS:
            return math.ceil(length.amount / config.accumulation)
        return length.steps(steps_per_epoch, total_steps)

    warmup, every = updates(config.warmup), updates(config.step_every)
    if warmup > total_steps:
        allowed = f"at most {total_steps * config.accumulation} steps, the whole phase"
        raise ConfigError(
            received("optimizer.warmup", config.warmup, allowed),
            "Write it as a share of the phase, such as optimizer.warmup=5%, or train for longer.",
        )
    if config.schedule == "step" and every < 1:
        raise ConfigError(received("optimizer.step_every", config.step_every, "a length above 0"))
    return Schedule(
        peak=peak,
        total_steps=total_steps,
        warmup_steps=warmup,
        kind=config.schedule,
        final_fraction=config.final_fraction,
        step_every=max(every, 1),
        step_factor=config.step_factor,
    )
