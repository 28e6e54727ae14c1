"""The one training loop of the house: phases in, checkpoints and numbers out."""

from __future__ import annotations

import signal
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from fmkit import console
from fmkit.errors import ConfigError, Interrupted, NonFiniteError, ResourceError, received
from fmkit.optim import optimizers, schedules
from fmkit.store.metrics_log import MetricsLog
from fmkit.store.run import Run
from fmkit.train import checkpoint, cut, features, freeze
from fmkit.train.assemble import Assembly
from fmkit.train.average import JudgeAverage
from fmkit.train.callbacks import Guard, Position, Recorder, Stopper
from fmkit.train.features import Features
from fmkit.train.keeper import Keeper
from fmkit.train.learner import Learner
from fmkit.train.phases import Phase
from fmkit.train.progress import TrainingProgress
from fmkit.train.proof import Proof

_SPACING = 10.0
"""Least seconds between checkpoints where epochs take milliseconds."""
_STEPS_OF_VECTORS, _STEPS_OF_MAPS = 1024, 16
"""Most steps in one call, for features that are a vector and for larger ones."""


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


@dataclass
class _Session:
    """What the phases of one run share."""

    assembly: Assembly
    run: Run
    proof: Proof
    stopper: Stopper
    log: MetricsLog
    progress: TrainingProgress
    position: Position = field(default_factory=Position)

    def tick(self, done: int, steps: int) -> None:
        """A pass over the images has come so far; a signal ends it."""
        if self.progress.is_due():
            self.progress.step(1, done, "features")
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """End the run if a signal has come.

        Raises:
            Interrupted: one has.
        """
        number = self.stopper.signal_number
        if number is not None:
            saved = checkpoint.all_in(self.run.checkpoints)
            raise Interrupted(
                f"stopped by {signal.Signals(number).name} at step {self.position.step} "
                f"(phase {self.run.status['phase']}), "
                f"{'checkpoint saved' if saved else 'before there was anything to save'}.",
                f"The run so far: {self.run.folder}",
                number,
            )


@dataclass
class _Material:
    """What a phase trains, and on what: the whole network on images, or its top on features."""

    learner: Learner
    train: Any
    validation: Any
    features: Features | None = None


def train(assembly: Assembly, run: Run) -> list[PhaseResult]:
    """Run the phases in order and leave the best weights in the model.

    Each phase starts from the best epoch of the one before it.

    Raises:
        NonFiniteError: the loss left the finite numbers.
        FreezeError: something moved that was to stay frozen.
        Interrupted: a signal came; a checkpoint was saved if anything had trained.
    """
    config, results = assembly.config, []
    for phase in assembly.phases:
        _schedule(assembly, phase)  # what does not fit a later phase must not cost the first
    with (
        Stopper() as stopper,
        MetricsLog(run.folder) as log,
        TrainingProgress(config.runtime.verbose) as progress,
        assembly.scope(),
    ):
        proof = Proof(run, config.runtime.verbose)
        session = _Session(assembly, run, proof, stopper, log, progress)
        for phase in assembly.phases:
            reason = assembly.skipped.get(phase.name)
            if reason:
                results.append(PhaseResult(phase.name, skipped=reason))
                proof.skip(phase, reason)
                continue
            results.append(_run_phase(session, phase))
            run.update(phases=[each.as_dict() for each in results])
    best = session.position.best
    if best is not None:
        _restore(assembly, run, best["step"], session.position.step)
    if best is None or best["phase"] != assembly.phases[-1].name:
        assembly.features = None  # the backbone may be that of an earlier phase
    return results


def _run_phase(session: _Session, phase: Phase) -> PhaseResult:
    began, assembly, run = time.monotonic(), session.assembly, session.run
    position, model = session.position, assembly.learner
    position.begin()
    freeze.apply(model, assembly.backbone, phase)
    cut.settle(model)
    run.update(phase=phase.name, epoch=0, step=position.step)
    with assembly.named_errors():
        material = _material(session, phase)
        optimizer = _compile(assembly, phase, material)
        run.log(f"phase {phase.name}: {phase} {freeze.describe(model)}")
        session.proof.snapshot(model, assembly.backbone, phase, optimizer)
        try:
            if phase.solver == "lbfgs":
                _solve(session, phase, material)
            else:
                _fit(session, phase, material)
        finally:
            run.update(epoch=position.epoch, step=position.step)
    best = position.phase_best
    if best is not None and session.stopper.signal_number is None:
        _restore(assembly, run, best["step"], position.step)
    session.proof.check(model, assembly.backbone, phase)
    session.stop_if_asked()
    material.learner.steps_per_execution = 1  # `predict` would make one graph of so many batches
    return PhaseResult(phase.name, position.epoch, round(time.monotonic() - began, 3), best)


def _material(session: _Session, phase: Phase) -> _Material:
    """Features where they are the same in every epoch, else images."""
    assembly, position = session.assembly, session.position
    session.progress.begin(phase.name, 1, phase.steps_per_epoch)
    assembly.features = None  # the last phase's go before this one's come
    found = features.prepare(assembly, phase, session.tick)
    assembly.features = None if isinstance(found, str) else found
    if isinstance(found, str):
        _without_features(session, phase, found)
        train = assembly.training_batches(phase, position.step)
        return _Material(assembly.learner, train, assembly.ordered("val"))
    said = f"{phase.name}: features {features.described(found.record)}"
    if session.assembly.config.runtime.verbose:
        console.say(said)
    session.run.log(f"{said} {found.record}")
    known = session.run.status.get("features") or {}
    session.run.update(features={**known, phase.name: found.record})
    seed = assembly.config.runtime.seed
    train = found.loader.train(assembly.splits["train"], seed, phase.steps, position.step)
    validation = assembly.splits.get("val", np.array([], int))
    ordered = found.loader.ordered(validation) if len(validation) else None
    return _Material(found.cut.upper, train, ordered, found)


def _without_features(session: _Session, phase: Phase, reason: str) -> None:
    """Say why a phase that freezes something pays for it in every epoch."""
    if phase.solver == "lbfgs":
        raise ResourceError(
            f"stage.{phase.name}.solver=lbfgs needs features that are kept: {reason}.",
            "Name another folder with runtime.cache_dir=DIR, or add "
            f"stage.{phase.name}.solver=gradient.",
        )
    if phase.train != "all":
        said = f"{phase.name}: the frozen part runs in every epoch: {reason}"
        session.run.log(said)
        if session.assembly.config.runtime.verbose:
            console.say(said)
    if session.assembly.loader.pixels.in_memory:  # else it would only decode for nothing
        session.assembly.loader.prepare()


def _fit(session: _Session, phase: Phase, material: _Material) -> None:
    """Train by gradients: the loop of the house."""
    keeper = _keeper(session, phase, material)
    try:
        material.learner.fit(
            material.train,
            epochs=phase.epochs,
            steps_per_epoch=min(phase.steps, phase.steps_per_epoch),
            validation_data=material.validation,
            verbose=0,
            shuffle=False,  # the batches come shuffled
            callbacks=[
                JudgeAverage(),
                Guard(phase, session.position),
                session.stopper,
                _recorder(session, phase),
                keeper,
            ],
        )
    except NonFiniteError:
        keeper.save_waiting()
        raise


def _solve(session: _Session, phase: Phase, material: _Material) -> None:
    """Find the head's optimum at once; it counts as one step and one epoch."""
    assembly, learner, found = session.assembly, material.learner, material.features
    if found is None or not hasattr(assembly.task, "solve"):
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
    labels, splits = assembly.examples.labels, assembly.splits
    parts = {split: (found.matrix(split), labels[splits[split]]) for split in ("train", "val")}
    weights, record = assembly.task.solve(*parts["train"], parts["val"])
    session.run.log(f"phase {phase.name}: lbfgs {record}")
    for name, values in weights.items():
        learner.get_layer(name).set_weights(values)
    callbacks = keras.callbacks.CallbackList(
        [_recorder(session, phase), _keeper(session, phase, material)], model=learner
    )
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    session.position.step += 1
    logs = learner.evaluate(found.loader.ordered(splits["train"]), verbose=0, return_dict=True)
    judged = learner.evaluate(material.validation, verbose=0, return_dict=True)
    logs |= {f"val_{name}": value for name, value in judged.items()}
    callbacks.on_epoch_end(0, {**logs, "l2_C": record["C"]})
    callbacks.on_train_end()


def _recorder(session: _Session, phase: Phase) -> Recorder:
    return Recorder(
        session.run, session.log, session.progress, phase, session.position,
        examples=len(session.assembly.splits["train"]),
        log_every=session.assembly.config.runtime.log_every,
        stopper=session.stopper,
    )  # fmt: skip


def _keeper(session: _Session, phase: Phase, material: _Material) -> Keeper:
    config = session.assembly.config
    return Keeper(
        session.run, session.assembly.learner, phase, session.position,
        config.task.monitor, config.runtime.keep, session.stopper,
        spacing=0.0 if material.features is None else _SPACING,
    )  # fmt: skip


def _compile(assembly: Assembly, phase: Phase, material: _Material) -> Any:
    """Compile what the phase trains; its optimizer, or None where a solver does without."""
    config, learner = assembly.config, material.learner
    optimizer = None
    if phase.solver == "gradient":
        optimizer = optimizers.build(
            config.optimizer,
            _schedule(assembly, phase),
            learner.trainable_variables,
            freeze.multipliers(
                assembly.learner, assembly.backbone, phase, config.optimizer.layer_decay
            ),
            assembly.pretrained,
        )
    learner.compile(
        optimizer=optimizer,
        metrics=assembly.task.metrics(),
        jit_compile=assembly.devices.jit_compile(),
        steps_per_execution=_steps_per_execution(assembly, phase, material),
    )
    return optimizer


def _steps_per_execution(assembly: Assembly, phase: Phase, material: _Material) -> int:
    """How many steps one call makes: on features an epoch, or the largest part of it that is even.

    Live steps take long enough for a call each, and a signal is heard only between calls. Several
    devices get a call a step, for Keras 3.15 cannot loop over replicas.
    """
    several = len(assembly.devices.names) > 1
    if material.features is None or several or assembly.config.runtime.log_every:
        return 1
    most = _STEPS_OF_VECTORS if material.features.cut.row_values <= 2**14 else _STEPS_OF_MAPS
    steps = min(phase.steps, phase.steps_per_epoch)
    return max(each for each in range(1, min(most, steps) + 1) if steps % each == 0)


def _schedule(assembly: Assembly, phase: Phase) -> schedules.Schedule:
    """A phase's learning rates, by update: a few accumulated batches make one."""
    config = assembly.config.optimizer
    if phase.solver == "gradient" and phase.steps < config.accumulation:
        raise ConfigError(
            received(
                "optimizer.accumulation",
                config.accumulation,
                f"at most {phase.steps}, the batches of phase {phase.name}",
            )
        )
    updates = max(1, phase.steps // config.accumulation)
    per_epoch = max(1, phase.steps_per_epoch // config.accumulation)
    return schedules.from_config(config, phase.learning_rate, updates, per_epoch)


def _restore(assembly: Assembly, run: Run, step: int, current: int) -> None:
    """Take the weights of another step, unless they are in the model already."""
    uses_average = assembly.config.optimizer.ema is not None
    if step == current and not uses_average:
        return
    chosen = checkpoint.choose(run.checkpoints, step)
    checkpoint.assign(assembly.learner, checkpoint.read_weights(chosen))
