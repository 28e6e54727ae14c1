"""The one training loop of the house: phases in, checkpoints and numbers out."""

from __future__ import annotations

import signal
import time
from dataclasses import asdict, dataclass
from typing import Any

from fmkit.errors import ConfigError, Interrupted, received
from fmkit.optim import optimizers, schedules
from fmkit.store.metrics_log import MetricsLog
from fmkit.store.run import Run
from fmkit.train import checkpoint, freeze
from fmkit.train.assemble import Assembly
from fmkit.train.average import JudgeAverage
from fmkit.train.callbacks import Guard, Keeper, Position, Recorder, Stopper
from fmkit.train.phases import Phase
from fmkit.train.progress import TrainingProgress


@dataclass
class PhaseResult:
    """What came of one phase.

    Attributes:
        name: the phase.
        epochs: passes over the data that were finished.
        seconds: time it took, validation and checkpoints included.
        best: phase, epoch, step, monitor and value of its best epoch, or None.
        skipped: why it did not run; empty when it did.
    """

    name: str
    epochs: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    skipped: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON wants it."""
        return asdict(self)


def train(assembly: Assembly, run: Run) -> list[PhaseResult]:
    """Run the phases in order and leave the best weights in the model.

    Each phase starts from the best epoch of the one before it.

    Raises:
        NonFiniteError: the loss left the finite numbers.
        Interrupted: a signal came; a checkpoint was saved.
    """
    config, position, results = assembly.config, Position(), []
    for phase in assembly.phases:
        _schedule(assembly, phase)  # what does not fit a later phase must not cost the first
    with (
        Stopper() as stopper,
        MetricsLog(run.folder) as log,
        TrainingProgress(config.runtime.verbose) as progress,
        assembly.scope(),
    ):
        for phase in assembly.phases:
            reason = assembly.skipped.get(phase.name)
            if reason:
                results.append(PhaseResult(phase.name, skipped=reason))
                continue
            results.append(_run_phase(assembly, run, phase, position, stopper, log, progress))
            run.update(phases=[each.as_dict() for each in results])
    if position.best is not None:
        _restore(assembly, run, position.best["step"], position.step)
    return results


def _run_phase(
    assembly: Assembly,
    run: Run,
    phase: Phase,
    position: Position,
    stopper: Stopper,
    log: MetricsLog,
    progress: TrainingProgress,
) -> PhaseResult:
    began = time.monotonic()
    position.phase_start, position.epoch = position.step, 0
    position.phase_best, position.stale = None, 0
    config, model = assembly.config, assembly.learner
    freeze.apply(model, assembly.backbone, phase)
    _compile(assembly, phase)
    run.log(f"phase {phase.name}: {phase} {freeze.describe(model)}")
    validation = assembly.ordered("val")
    with assembly.named_errors():
        model.fit(
            assembly.training_batches(phase, position.step),
            epochs=phase.epochs,
            steps_per_epoch=min(phase.steps, phase.steps_per_epoch),
            validation_data=validation,
            verbose=0,
            shuffle=False,  # the batches come shuffled
            callbacks=[
                JudgeAverage(),
                Guard(phase, position),
                stopper,
                Recorder(
                    run, log, progress, phase, position,
                    examples=len(assembly.splits["train"]),
                    log_every=config.runtime.log_every,
                    stopper=stopper,
                ),
                Keeper(run, phase, position, config.task.monitor, config.runtime.keep, stopper),
            ],
        )  # fmt: skip
    best = position.phase_best
    if best is not None and stopper.signal_number is None:
        _restore(assembly, run, best["step"], position.step)
    if stopper.signal_number is not None:
        raise Interrupted(
            f"stopped by {signal.Signals(stopper.signal_number).name} at step {position.step} "
            f"(phase {phase.name}), checkpoint saved.",
            f"The run so far: {run.folder}",
            stopper.signal_number,
        )
    return PhaseResult(phase.name, position.epoch, round(time.monotonic() - began, 3), best)


def _compile(assembly: Assembly, phase: Phase) -> None:
    config, model = assembly.config, assembly.learner
    optimizer = optimizers.build(
        config.optimizer, _schedule(assembly, phase), model.trainable_variables
    )
    model.compile(
        optimizer=optimizer,
        metrics=assembly.task.metrics(),
        jit_compile=assembly.devices.jit_compile(),
    )


def _schedule(assembly: Assembly, phase: Phase) -> schedules.Schedule:
    """A phase's learning rates, by update: a few accumulated batches make one."""
    config = assembly.config.optimizer
    if phase.steps < config.accumulation:
        raise ConfigError(
            received(
                "optimizer.accumulation",
                config.accumulation,
                f"at most {phase.steps}, the batches of phase {phase.name}",
            )
        )
    updates = phase.steps // config.accumulation
    per_epoch = max(1, phase.steps_per_epoch // config.accumulation)
    return schedules.from_config(config, phase.learning_rate, updates, per_epoch)


def _restore(assembly: Assembly, run: Run, step: int, current: int) -> None:
    """Take the weights of another step, unless they are in the model already."""
    uses_average = assembly.config.optimizer.ema is not None
    if step == current and not uses_average:
        return
    chosen = checkpoint.choose(run.checkpoints, step)
    checkpoint.assign(assembly.learner, checkpoint.read_weights(chosen))
