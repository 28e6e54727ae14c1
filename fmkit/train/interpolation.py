"""Weights between the start and the end of a phase: as much of its change as validation supports.

WiSE-FT (Wortsman et al. 2022, arxiv.org/abs/2109.01903). With few examples to validate on, the best
of many epochs is often the luckiest one, and a fine-tuned model can be worse than the head that it
started from. The validation loss is smooth along the line between the two, and both are on it.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fmkit.core.errors import plural
from fmkit.core.modalities import modality_entry
from fmkit.train import head_temperature
from fmkit.train.callbacks.epoch_evaluation import EpochEvaluation
from fmkit.train.checkpoints import checkpoint, variables
from fmkit.train.phase_data import PhaseInputs
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Shares of a phase's change that are tried."""

_RESAMPLES = 100


def passes(phase: Phase) -> int:
    """Passes over the validation split that `apply` makes at the end of a phase."""
    return len(SHARES) + 1 if phase.interpolate and phase.share is None else 0


def blend(
    start: Mapping[str, np.ndarray], end: Mapping[str, np.ndarray], share: float
) -> dict[str, np.ndarray]:
    """The weights at a share of the way from `start` (0) to `end` (1), by path.

    Whole numbers, such as the states of random generators, are those of the end.
    """
    if share == 1:
        return dict(end)
    return {
        path: start[path] + share * (value - start[path])
        if np.issubdtype(value.dtype, np.floating)
        else value
        for path, value in end.items()
    }


def choose(losses: Mapping[float, float], errors: Mapping[float, float], tolerance: int) -> float:
    """The largest share whose loss is at most `tolerance` standard errors above the lowest.

    Breiman et al. 1984 take the simplest model that is within one of the best. Here it is the one
    that has learned most: 8 to 15 examples cannot tell shares apart, and most photos gain by
    fine-tuning. Texts do not, so that theirs is the lowest (the guide's page `quality`).

    Args:
        losses: by share; infinity where they are not a number.
        errors: by share, the standard error of its loss less the lowest one.
        tolerance: `share_errors` of the modality.
    """
    lowest = min(losses.values())
    if not math.isfinite(lowest):
        return 0.0
    return max(
        share for share, loss in losses.items() if loss - lowest <= tolerance * errors[share]
    )


def apply(context: RunContext, phase: Phase, inputs: PhaseInputs) -> None:
    """Keep a share of what a phase changed: the one that `choose` names, or the phase's own.

    The model has the weights of the phase's end, and gets those that are kept; they are saved as a
    step of their own, without what training needs: a run that is stopped later finds them again.

    The phase begins with the head's logits divided; none of its change is the head as it was.
    """
    model, position = context.assembly.model, context.position
    start, end = context.start_weights(phase), variables.arrays(model.variables)
    divided = head_temperature.divided(start, head_temperature.of(context, phase))

    def at(share: float) -> dict[str, np.ndarray]:
        return blend(divided if share else start, end, share)

    best, share = dict(position.phase_best or {}), phase.share
    if share is None:
        trials = {}
        for tried in SHARES:
            variables.assign(model, at(tried))
            trials[tried] = _validation_loss(context, inputs)
            context.raise_if_stopped()
        losses = {tried: loss() for tried, loss in trials.items()}
        errors = _standard_errors(context, losses, trials)
        tolerance = modality_entry(context.assembly.backbone.modality).share_errors
        share = choose(losses, errors, tolerance)
        variables.assign(model, at(share))
        metrics = _validate(context, inputs)
        value = metrics.get(best["monitor"], best["value"])  # it may be of training
        best |= {"value": value, "loss_by_share": [[tried, losses[tried]] for tried in SHARES]}
        best["standard_error_by_share"] = [[tried, errors[tried]] for tried in SHARES]
        is_scaled = context.assembly.task.has_logits
        context.report(f"{phase.name}: {describe(share, losses, errors, tolerance, is_scaled)}")
    variables.assign(model, at(share))
    position.phase_best = {**best, "share": share}
    if share < 1:
        position.step += 1
        position.phase_best["step"] = position.step
    if phase.share is None:
        position.best = position.phase_best
        context.run.update(best=position.best)
    if share < 1:
        _save(context, phase)


def _validate(context: RunContext, inputs: PhaseInputs) -> dict[str, float]:
    """The metrics of the validation split, `val_NAME`, with the weights as they are."""
    assembly = context.assembly
    epoch_evaluation = EpochEvaluation(
        assembly.task.epoch_evaluator(
            assembly.model, assembly.loader, assembly.examples, assembly.splits
        )
    )
    epoch_evaluation.set_model(inputs.model)
    values = inputs.model.evaluate(
        inputs.validation, verbose=0, return_dict=True, callbacks=[epoch_evaluation]
    )
    logs = {f"val_{name}": float(value) for name, value in values.items()}
    epoch_evaluation.on_epoch_end(0, logs)
    return logs


def _validation_loss(context: RunContext, inputs: PhaseInputs) -> Callable[..., float]:
    """The loss that shares are compared by, with the weights as they are; never NaN.

    Returns:
        A function without an argument, or of positions in the validation split, (n,). A task
        without logits has the mean of all of it alone.
    """
    assembly, examples = context.assembly, context.assembly.splits["val"]
    if not assembly.task.has_logits:
        loss = inputs.model.evaluate(inputs.validation, verbose=0, return_dict=True)["loss"]
        return lambda rows=None: _or_infinity(loss)
    outputs = inputs.model.predict(inputs.validation, verbose=0)
    targets = assembly.task.targets(assembly.examples)[examples]

    def of(rows: Any = slice(None)) -> float:
        return _or_infinity(assembly.task.calibrated_loss(targets[rows], outputs[rows]))

    return of


def _or_infinity(loss: float) -> float:
    return float(loss) if math.isfinite(loss) else math.inf


def _standard_errors(
    context: RunContext, losses: Mapping[float, float], trials: Mapping[float, Callable[..., float]]
) -> dict[float, float]:
    """By share, of its loss less the lowest one: over examples drawn anew (bootstrap)."""
    assembly, best = context.assembly, min(losses, key=losses.__getitem__)
    errors = dict.fromkeys(losses, 0.0)
    if not assembly.task.has_logits:
        return errors
    random, count = np.random.default_rng(assembly.config.runtime.seed), len(assembly.splits["val"])
    draws = random.integers(count, size=(_RESAMPLES, count))
    lowest = np.array([trials[best](rows) for rows in draws])
    for share in losses.keys() - {best}:
        if math.isfinite(losses[share]):
            differences = np.array([trials[share](rows) for rows in draws]) - lowest
            errors[share] = float(differences.std(ddof=1))
    return errors


def describe(
    share: float, losses: Mapping[float, float], errors: Mapping[float, float], tolerance: int,
    is_scaled: bool,
) -> str:  # fmt: skip
    """What is kept, and why, as a line for people.

    Args:
        tolerance: that the share was chosen with.
        is_scaled: the losses are those after temperature scaling, unlike the `val_loss` of epochs.
    """
    amount = {0.0: "nothing", 1.0: "all"}.get(share, f"{share:.0%}")
    measure = f"validation loss{' after temperature scaling' if is_scaled else ''}"
    shown = []
    for text, group in itertools.groupby(losses, lambda tried: f"{losses[tried]:z.4f}"):
        first, *others = group
        shown.append(f"{first:.0%}{f' to {others[-1]:.0%}' if others else ''}: {text}")
    if len(shown) == 1:
        reason = "the most, where all shares are equally good"
    elif losses[share] > min(losses.values()):
        near = plural(tolerance, "standard error")
        reason = f"the most that is within {near} (of {errors[share]:.4f}) of the lowest"
    elif tolerance == 0 or share == 1:
        reason = "the lowest"
    else:
        more, near = "more" if share else "all else", plural(tolerance, "standard error")
        reason = f"{more} is not within {near} of it"
    return f"keeps {amount} of what the phase changed, by {measure}: {reason} ({', '.join(shown)})"


def _save(context: RunContext, phase: Phase) -> None:
    """Save the weights of the model at the position's step."""
    position, checkpoints = context.position, context.run.checkpoints
    state: dict[str, Any] = {
        "phase": phase.name,
        "epoch": position.epoch,
        "phase_step": position.phase_step,
        "best": position.best,
        "phase_best": position.phase_best,
        "stale": position.stale,
    }
    weights = variables.arrays(context.assembly.model.variables)
    checkpoint.save(checkpoints, position.step, weights, None, state)
    context.run.update(step=position.step)
