"""Weights between the start and the end of a phase: as much of its change as validation supports.

WiSE-FT (Wortsman et al. 2022, arxiv.org/abs/2109.01903). With few examples to validate on, the best
of many epochs is often the luckiest one, and a fine-tuned model can be worse than the head that it
started from. The validation loss is smooth along the line between the two, and both are on it.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fmkit.train.callbacks.epoch_evaluation import EpochEvaluation
from fmkit.train.checkpoints import checkpoint, variables
from fmkit.train.phase_data import PhaseInputs
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Shares of a phase's change that are tried."""


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


def apply(context: RunContext, phase: Phase, inputs: PhaseInputs) -> None:
    """Keep a share of what a phase changed: the one with the lowest validation loss, or its own.

    The model has the weights of the phase's best epoch, and gets those that are kept; they are
    saved as a step of their own, without what training needs: a run that is stopped later finds
    them again. Of shares with the same loss the smallest is kept.
    """
    model, position = context.assembly.model, context.position
    start, end = context.start_weights(phase), variables.arrays(model.variables)
    best, share = dict(position.phase_best or {}), phase.share
    if share is None:
        losses = {}
        for tried in SHARES:
            variables.assign(model, blend(start, end, tried))
            losses[tried] = _loss(context, inputs)
            context.raise_if_stopped()
        share = min(losses, key=losses.__getitem__)
        variables.assign(model, blend(start, end, share))
        metrics = _validate(context, inputs)
        value = metrics.get(best["monitor"], best["value"])  # it may be of training
        best |= {"value": value, "loss_by_share": [[tried, losses[tried]] for tried in SHARES]}
        _report(context, phase, share, losses)
    variables.assign(model, blend(start, end, share))
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


def _loss(context: RunContext, inputs: PhaseInputs) -> float:
    """The validation loss that shares are compared by; infinity where it is not a number."""
    assembly, examples = context.assembly, context.assembly.splits["val"]
    if assembly.task.has_logits:
        outputs = inputs.model.predict(inputs.validation, verbose=0)
        targets = assembly.task.targets(assembly.examples)[examples]
        loss = assembly.task.calibrated_loss(targets, outputs)
    else:
        loss = inputs.model.evaluate(inputs.validation, verbose=0, return_dict=True)["loss"]
    return float(loss) if math.isfinite(loss) else math.inf


def _report(context: RunContext, phase: Phase, share: float, losses: Mapping[float, float]) -> None:
    """Say what is kept, and why."""
    amount = {0.0: "nothing", 1.0: "all"}.get(share, f"{share:.0%}")
    others = ", ".join(f"{tried:.0%}: {loss:.4f}" for tried, loss in losses.items())
    context.report(
        f"{phase.name}: keeps {amount} of what the phase changed, by validation loss ({others})"
    )


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
