"""The one training loop of the house: phases in, checkpoints and numbers out."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import keras

from fmkit.config import units
from fmkit.core import signals
from fmkit.core.errors import ConfigError
from fmkit.store.metrics_log import MetricsLog
from fmkit.store.run_dir import Run
from fmkit.train import ema, freeze
from fmkit.train.assemble import Assembly
from fmkit.train.callbacks.checkpointing import CheckpointCallback
from fmkit.train.callbacks.epoch_evaluation import EpochEvaluation
from fmkit.train.callbacks.nonfinite import TerminateOnNonFinite
from fmkit.train.callbacks.progress import TrainingProgress
from fmkit.train.callbacks.recorder import Recorder
from fmkit.train.callbacks.signal_stop import SignalStop
from fmkit.train.checkpoints import checkpoint, resume, variables
from fmkit.train.checkpoints.resume import RestoredArrays
from fmkit.train.checkpoints.state import SavedState
from fmkit.train.ema import EmaEvaluation
from fmkit.train.features import graph_cut
from fmkit.train.freeze_audit import FreezeAudit
from fmkit.train.phase_data import PhaseInputs, build_phase_inputs, compile_for, schedule
from fmkit.train.phases import Phase
from fmkit.train.position import Position
from fmkit.train.run_context import RunContext

_SPACING = 10.0
"""Least seconds between checkpoints where epochs take milliseconds."""


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


def train(assembly: Assembly, run: Run, saved: SavedState | None = None) -> list[PhaseResult]:
    """Run the phases in order and leave the best weights in the model.

    Each phase starts from the best epoch of the one before it.

    Args:
        assembly: everything that the run needs.
        run: its folder.
        saved: the checkpoint to go on from; what is newer is gone from the folder.

    Raises:
        NonFiniteError: the loss left the finite numbers.
        FreezeError: something moved that was to stay frozen.
        ArtifactError: the checkpoint does not fit.
        Interrupted: a signal came; a checkpoint was saved if anything had trained.
    """
    config = assembly.config
    for phase in assembly.phases:
        schedule(assembly, phase)  # what does not fit a later phase must not cost the first
    with (
        SignalStop() as stopper,
        MetricsLog(run.folder) as log,
        TrainingProgress(config.runtime.verbose) as progress,
        assembly.scope(),
    ):
        proof = FreezeAudit(run, config.runtime.verbose)
        session = RunContext(assembly, run, proof, stopper, log, progress)
        if saved is not None:
            session.saved, session.position = saved, saved.place()
            proof.reopen(saved.phase)
            run.update(best=saved.best, phases=saved.results)
        _run_phases(session)
    best = session.position.best
    if best is not None:
        _restore(assembly, run, best["step"], session.position.step)
    if best is None or best["phase"] != assembly.phases[-1].name:
        assembly.features = None  # the backbone may be that of an earlier phase
    return [PhaseResult(**each) for each in session.position.results]


def _run_phases(session: RunContext) -> None:
    assembly, results = session.assembly, session.position.results
    done = {each["name"] for each in results}
    for phase in assembly.phases:
        if phase.name in done:
            continue
        reason = assembly.skipped.get(phase.name)
        if reason:
            result = PhaseResult(phase.name, skipped=reason)
            session.proof.skip(phase, reason)
        else:
            result = _run_phase(session, phase)
        results.append(result.as_dict())
        session.run.update(phases=results)


def _run_phase(session: RunContext, phase: Phase) -> PhaseResult:
    assembly, run, saved = session.assembly, session.run, session.saved
    position, model = session.position, assembly.learner
    session.phase_began = time.monotonic() - (saved.seconds if saved else 0.0)
    if saved is None:
        position.begin()
    freeze.apply(model, assembly.backbone, phase)
    graph_cut.freeze_inference(model)
    run.update(phase=phase.name, epoch=position.epoch, step=position.step)
    with assembly.named_errors():
        arrays = None
        if saved is not None:
            arrays = resume.RestoredArrays(saved)
            arrays.put_weights(model)  # before features are computed: earlier phases moved them
        material = build_phase_inputs(session, phase)
        optimizer = compile_for(assembly, phase, material)
        if not checkpoint.list_checkpoints(run.checkpoints):
            checkpoint.check_disk(run.checkpoints, model, optimizer)
        if arrays is not None:
            arrays.put_optimizer(optimizer)
        run.log(f"phase {phase.name}: {phase} {freeze.describe(model)}")
        session.proof.snapshot(model, assembly.backbone, phase, optimizer)
        try:
            if not resume.is_over(phase, position):
                with session.stopper.careful():
                    if phase.solver == "lbfgs":
                        _solve(session, phase, material)
                    else:
                        _fit(session, phase, material, arrays)
        finally:
            run.update(epoch=position.epoch, step=position.step)
    session.saved = None
    ema.finalize(optimizer)
    best = position.phase_best
    if best is not None and session.stopper.signal_number is None:
        _restore(assembly, run, best["step"], position.step)
    session.proof.check(model, assembly.backbone, phase)
    session.stop_if_asked()
    material.learner.steps_per_execution = 1  # `predict` would make one graph of so many batches
    seconds = round(time.monotonic() - session.phase_began, 3)
    return PhaseResult(phase.name, position.epoch, seconds, best)


def _fit(
    session: RunContext, phase: Phase, material: PhaseInputs, arrays: RestoredArrays | None
) -> None:
    """Train by gradients: the loop of the house.

    Args:
        session: the run.
        phase: the phase.
        material: what it trains, and on what.
        arrays: of the checkpoint to go on from, whose epoch may have been cut.
    """
    keeper, guard = _keeper(session, phase, material), _guard(session, phase, material)
    position = session.position
    callbacks: list[Any] = [
        EmaEvaluation(),
        EpochEvaluation(session.assembly.epoch_evaluator()),
        guard,
        session.stopper,
        _recorder(session, phase),
        keeper,
    ]
    session.stopper.save = keeper.save_now
    with guard.reporting(keeper.save_waiting):
        if arrays is not None and position.phase_step != phase.steps_of(position.epoch):
            _end_epoch(session, phase, material, arrays, callbacks)
        if session.stopper.signal_number is None and not resume.is_over(phase, position):
            _fit_epochs(phase, position, material, callbacks, phase.epochs)


def _fit_epochs(
    phase: Phase, position: Position, material: PhaseInputs, callbacks: list[Any], last: int
) -> None:
    """Train from where the phase stands to the end of epoch `last`; the first one may be begun."""
    left = phase.steps_of(last) - position.phase_step
    of_first = phase.steps_of(position.epoch + 1) - position.phase_step
    material.learner.fit(
        material.batches(position.step, left),
        initial_epoch=position.epoch,
        epochs=last,
        steps_per_epoch=of_first,
        validation_data=material.validation,
        verbose=0,
        shuffle=False,  # the batches come shuffled
        callbacks=callbacks,
    )


def _end_epoch(
    session: RunContext,
    phase: Phase,
    material: PhaseInputs,
    arrays: RestoredArrays,
    callbacks: list[Any],
) -> None:
    """Train what a checkpoint has left of an epoch, or judge it if there is nothing left."""
    position, saved, learner = session.position, session.saved, material.learner
    if position.phase_step != phase.steps_of(position.epoch + 1):
        running = resume.Continue(arrays, resume.metrics_of(learner, material.metrics))
        _fit_epochs(phase, position, material, [*callbacks, running], position.epoch + 1)
        return
    together = keras.callbacks.CallbackList(callbacks, model=learner)
    together.on_train_begin()
    together.on_epoch_begin(position.epoch)
    logs = dict(saved.logs or {}) if saved is not None else {}
    callbacks[-1].take_logs(logs)
    if material.validation is not None:
        judged = learner.evaluate(
            material.validation, verbose=0, callbacks=together, return_dict=True
        )
        logs |= {f"val_{name}": value for name, value in judged.items()}
    together.on_epoch_end(position.epoch, logs)
    together.on_train_end(logs)


def _solve(session: RunContext, phase: Phase, material: PhaseInputs) -> None:
    """Find the head's optimum at once; it counts as one step and one epoch."""
    assembly, learner, found = session.assembly, material.learner, material.features
    if found is None or phase.solver not in assembly.task.solvers:
        raise ConfigError(
            f"stage.{phase.name}.solver=lbfgs: the task {assembly.task.name} has no such solver.",
            "Leave the solver out.",
        )
    if material.validation is None:
        raise ConfigError(
            f"stage.{phase.name}.solver=lbfgs chooses the L2 strength on the validation split, and "
            "the data has none.",
            "Set data.val_fraction above 0.",
        )
    labels, splits = assembly.task.targets(assembly.examples), assembly.splits
    parts = {split: (found.matrix(split), labels[splits[split]]) for split in ("train", "val")}
    weights, record = assembly.task.fit_linear_head(*parts["train"], parts["val"])
    session.run.log(f"phase {phase.name}: lbfgs {record}")
    for name, values in weights.items():
        learner.get_layer(name).set_weights(values)
    keeper, guard = _keeper(session, phase, material), _guard(session, phase, material)
    callbacks = keras.callbacks.CallbackList(
        [guard, _recorder(session, phase), keeper], model=learner
    )
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    session.position.step += 1
    logs = learner.evaluate(found.loader.ordered(splits["train"]), verbose=0, return_dict=True)
    judged = learner.evaluate(material.validation, verbose=0, return_dict=True)
    logs |= {f"val_{name}": value for name, value in judged.items()}
    with signals.defer_signals(), guard.reporting(keeper.save_waiting):
        strength = {f"l2_{key}": each for key, each in record.items() if isinstance(each, float)}
        callbacks.on_epoch_end(0, {**logs, **strength})
        callbacks.on_train_end()


def _guard(session: RunContext, phase: Phase, material: PhaseInputs) -> TerminateOnNonFinite:
    loader = session.assembly.loader if material.features is None else material.features.loader
    return TerminateOnNonFinite(session.assembly, session.run, phase, session.position, loader)


def _recorder(session: RunContext, phase: Phase) -> Recorder:
    return Recorder(
        session.run, session.log, session.progress, phase, session.position,
        examples=session.assembly.examples_per_epoch,
        log_every=session.assembly.config.runtime.log_every,
        stopper=session.stopper,
    )  # fmt: skip


def _keeper(session: RunContext, phase: Phase, material: PhaseInputs) -> CheckpointCallback:
    config = session.assembly.config
    return CheckpointCallback(
        session.run, session.assembly.learner, phase, session.position,
        config.task.monitor, config.runtime.keep, session.stopper,
        metrics=resume.metrics_of(material.learner, material.metrics),
        facts=lambda: session.facts(material.features),
        every=units.parse_interval(config.runtime.save_every),
        spacing=0.0 if material.features is None else _SPACING,
    )  # fmt: skip


def _restore(assembly: Assembly, run: Run, step: int, current: int) -> None:
    """Take the weights of another step, unless they are in the model already."""
    uses_average = assembly.config.optimizer.ema is not None
    if step == current and not uses_average:
        return
    chosen = checkpoint.choose(run.checkpoints, step)
    variables.assign(assembly.learner, checkpoint.read_weights(chosen))
