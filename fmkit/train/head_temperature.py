"""A head's logits are divided before the whole network trains, so that there is something to learn.

A head that is solved on a few examples gets all of them right, by far: its loss on them is near 0,
and the gradients that reach the network are those of noise. On new examples it is not so sure, as
its loss out of fold says. Divided by the temperature at which both losses are equal, logits give
every example the weight of a new one, and classes keep their order.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import brentq

from fmkit.core.modalities import modality_entry
from fmkit.models import heads
from fmkit.train.assemble import Assembly
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext

HIGHEST = 1000.0
"""A loss out of fold that is above that of logits near 0 would want an infinite temperature."""


def is_wanted(assembly: Assembly, head: Phase) -> bool:
    """Whether a phase after a solved head divides its logits by what the data says (`auto`)."""
    entry = modality_entry(assembly.backbone.modality)
    if not (entry.has_head_temperature and assembly.task.has_logits):
        return False
    following = assembly.phases[assembly.phases.index(head) + 1 :]
    return any(phase.head_temperature == "auto" for phase in following)


def solve(loss: Callable[[np.ndarray], float], logits: np.ndarray, goal: float) -> float:
    """The temperature, from 1 to `HIGHEST`, at which logits have a loss; 1 where it is above that.

    Args:
        loss: the mean loss of logits, in nats.
        logits: of the examples that the head was fitted to, (N, K).
        goal: the loss out of fold.
    """

    def excess(log_temperature: float) -> float:
        return loss(logits * math.exp(-log_temperature)) - goal

    highest = math.log(HIGHEST)
    if excess(0.0) >= 0:
        return 1.0
    return HIGHEST if excess(highest) <= 0 else math.exp(brentq(excess, 0.0, highest))


def of(context: RunContext, phase: Phase) -> float:
    """What a phase divides the head's logits by; 1 for `auto` where no head before it was solved.

    Its record is in the run's status, so that a resumed run and a refit have the same.
    """
    if phase.head_temperature != "auto":
        return float(phase.head_temperature or 1.0)
    records = (context.run.status.get("solvers") or {}).values()
    return next((record["temperature"] for record in records if "temperature" in record), 1.0)


def divided(weights: Mapping[str, np.ndarray], temperature: float) -> dict[str, Any]:
    """Weights of a network by path, with those of the head's last layer divided."""
    if temperature == 1:
        return dict(weights)
    prefix = f"{heads.LOGITS}/"
    return {
        path: (value / temperature).astype(value.dtype) if path.startswith(prefix) else value
        for path, value in weights.items()
    }
