"""The training loop: phases in, checkpoints and metrics out. Every command trains through it.

What happens, and which file does it:

- A step: `TaskModel.train_step` (task_model.py) hands the batch to the task's update rule
  (optim/update_rule.py). After it, in this order: steps are counted (callbacks/recorder.py), a NaN
  or infinite loss ends the run (callbacks/nonfinite.py), a signal ends the epoch (signal_stop.py),
  a row and the progress bar (callbacks/recorder.py), a checkpoint at intervals or on request
  (callbacks/checkpointing.py).
- An epoch: validation on the `val` split, with the averaged weights under `optimizer.ema` (ema.py)
  and with metrics over all predictions (callbacks/epoch_evaluation.py); the epoch's row; best epoch
  and patience (callbacks/early_stopping.py); which training examples were forgotten
  (forgetting.py); a checkpoint.
- A phase: what trains is set (freeze.py, features/graph_cut.py); the features of what is frozen are
  computed or read (phase_data.py, features/cache.py); optimizers are built (phase_data.py) and, in
  a resumed run, restored (checkpoints/resume.py); the frozen weights are hashed (freeze_audit.py);
  epochs, or a solver for a linear head (head_solver.py); the best epoch's weights are put back, or
  weights between them and those at the start (interpolation.py); the hashes are compared.
- After the last phase, where validation has few examples: the phases up to the best one are
  repeated on training and validation examples together (refit.py).
- A signal during any of it: core/signals.py; the run ends after a checkpoint (run_context.py).
- A time limit: timing/deadline.py; what steps and epochs take is measured, and lengths of phases
  change (callbacks/time_planner.py, timing/time_plan.py, timing/time_limit.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras

from fmkit.core import signals
from fmkit.store.metrics_log import MetricsLog
from fmkit.store.run_dir import RunWriter
from fmkit.train import ema, forgetting, freeze, head_solver, head_temperature, interpolation, refit
from fmkit.train.assemble import Assembly
from fmkit.train.callbacks.checkpointing import CheckpointCallback
from fmkit.train.callbacks.early_stopping import EarlyStopping
from fmkit.train.callbacks.epoch_evaluation import EpochEvaluation
from fmkit.train.callbacks.nonfinite import TerminateOnNonFinite
from fmkit.train.callbacks.recorder import Recorder, StepCounter
from fmkit.train.callbacks.time_planner import TimePlanner
from fmkit.train.checkpoints import checkpoint, resume, variables
from fmkit.train.checkpoints.resume import RestoredArrays, SavedState
from fmkit.train.ema import EmaEvaluation
from fmkit.train.features import graph_cut
from fmkit.train.forgetting import ForgettingCallback
from fmkit.train.freeze_audit import FreezeAudit
from fmkit.train.phase_data import PhaseInputs, build_phase_inputs, compile_for, schedule, windows
from fmkit.train.phases import Phase
from fmkit.train.progress import TrainingProgress
from fmkit.train.run_context import RunContext
from fmkit.train.signal_stop import SignalStop
from fmkit.train.timing.deadline import TimeLimit
from fmkit.train.timing.time_limit import OutOfTime


@dataclass
class PhaseResult:
    """The outcome of one phase.

    Attributes:
        epochs: passes over the data that were finished.
        seconds: validation and checkpoints included.
        best: phase, epoch, step, monitor and value of its best epoch, or None.
        skipped: why it did not run; empty when it did.
    """

    name: str
    epochs: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    skipped: str = ""


def train(
    assembly: Assembly,
    run: RunWriter,
    saved: SavedState | None = None,
    before_refit: Callable[[], None] = lambda: None,
    limit: TimeLimit | None = None,
) -> list[PhaseResult]:
    """Run the phases in order and leave the best weights in the model.

    Each phase starts from the best epoch of the one before it. A run resumes from `saved`; what is
    newer is gone from its folder.

    Args:
        before_refit: called with the best weights in the model, once the validation split is about
            to be trained on, too.
        limit: on the time of the run; None: none, and a run that resumes keeps to its record.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
        FreezeError: a frozen weight moved.
        ArtifactError: the checkpoint does not fit.
        Interrupted: a signal arrived; a checkpoint was saved if anything had trained.
    """
    verbose = assembly.config.runtime.verbose
    for phase in assembly.phases:
        schedule(assembly, phase)  # a later phase that cannot run must not cost the first
    with (
        signals.signal_handlers(),  # unless the command handles them
        MetricsLog(run.folder) as metrics_log,
        TrainingProgress(verbose) as progress,
        assembly.scope(),
    ):
        audit = FreezeAudit(run, verbose)
        first = variables.arrays(assembly.model.variables) if assembly.needs_first_weights else {}
        context = RunContext(
            assembly, run, audit, SignalStop(), metrics_log, progress, saved=saved,
            initial_weights=first, limit=limit,
            forgetting=forgetting.begin(
                assembly, None if saved is None else checkpoint.read_training(saved.checkpoint)
            ),
        )  # fmt: skip
        context.time_plan.restore("" if saved is None else saved.phase)
        if saved is not None:
            audit.reopen(saved.phase)
            run.update(best=context.position.best, phases=context.position.results)
        _run_phases(context, assembly.phases)
        if assembly.refit:
            _refit(context, before_refit)
        forgetting.save(assembly, context.forgetting, run.folder)
    return [PhaseResult(**result) for result in context.position.results]


def _refit(context: RunContext, before_refit: Callable[[], None]) -> None:
    """Run the phases again from the first weights, on training and validation examples."""
    assembly = context.assembly
    examples = sum(len(assembly.splits[name]) for name in refit.SPLITS)
    steps_per_epoch = assembly.loader.steps_per_epoch(examples)
    phases = refit.plan(assembly.phases, context.position, steps_per_epoch)
    context.time_plan.begin_refit(phases, "" if context.saved is None else context.saved.phase)
    reason = context.time_plan.why_not_refit() if phases and context.saved is None else ""
    if reason:
        context.report(f"refit: left out: {reason}")
    elif phases:
        if context.saved is None:
            context.report(refit.describe(phases, examples))
            before_refit()
            variables.assign(assembly.model, context.initial_weights)
            context.audit.weights_were_reset()
        _run_phases(context, phases)


def _run_phases(context: RunContext, phases: Sequence[Phase]) -> None:
    """Run those phases that have not been run, and leave the best weights in the model."""
    assembly, results = context.assembly, context.position.results
    done = {result["name"] for result in results}
    for phase in phases:
        if phase.name not in done:
            results.append(asdict(_run_phase(context, phase)))
            context.run.update(phases=results)
    if phases[-1].refit_of:  # its validation figures are those of the model before
        context.position.best = results[-1]["best"]
        context.run.update(best=context.position.best)
    best = context.position.best
    if best is not None:
        _restore(context, best["step"])
    if best is None or best["phase"] != phases[-1].name:
        assembly.features = None  # the backbone may be that of an earlier phase


def _run_phase(context: RunContext, phase: Phase) -> PhaseResult:
    assembly, run, position = context.assembly, context.run, context.position
    if reason := _why_skipped(context, phase):
        context.audit.skip(phase, reason)
        return PhaseResult(phase.name, skipped=reason)
    model = assembly.model
    context.begin_phase(phase)
    freeze.apply(model, assembly.backbone, phase)
    graph_cut.freeze_inference(model)
    with assembly.explained_errors():
        arrays = None
        if context.saved is not None:
            arrays = RestoredArrays(context.saved.checkpoint)
            arrays.restore_weights(model)  # before features are computed: earlier phases moved them
        try:
            inputs = build_phase_inputs(context, phase)
        except OutOfTime as error:
            return _leave_out(context, phase, error.seconds)
        context.time_plan.begin_phase(phase, inputs.features_seconds)
        if context.saved is None:
            _divide_logits(context, phase)
        counts_answers = forgetting.is_counted(context.forgetting, assembly, phase)
        compile_for(assembly, phase, inputs, counts_answers)
        _report_warm_up(context, phase)
        optimizers = inputs.model.optimizers
        if not checkpoint.list_checkpoints(run.checkpoints):
            checkpoint.require_disk_space(run.checkpoints, model, optimizers)
        if arrays is not None:
            arrays.restore_optimizers(optimizers)
        run.log(f"phase {phase.name}: {phase} {freeze.describe(model)}")
        context.audit.snapshot(model, assembly.backbone, phase, optimizers)
        try:
            if not phase.is_finished(position) and not context.time_plan.left_out:
                with context.signal_stop.deferring():
                    _fit(context, phase, inputs, arrays)
        finally:
            run.update(epoch=position.epoch, step=position.step)
    context.saved = None
    for variable, average in ema.pairs(optimizers):
        variable.assign(average)  # for good
    if position.phase_best is not None and context.signal_stop.signal_number is None:
        _restore(context, position.phase_best["step"])
        if phase.interpolate:
            with assembly.explained_errors():
                interpolation.apply(context, phase, inputs)
    elif position.phase_step == 0 and head_temperature.of(context, phase) != 1:
        variables.assign(model, context.start_weights(phase))  # nothing was trained
    context.audit.check(model, assembly.backbone, phase)
    context.raise_if_stopped()
    context.time_plan.end_phase(phase)
    inputs.model.steps_per_execution = 1  # `predict` would make one graph of so many batches
    inputs.model.is_cut_short = False
    if context.time_plan.left_out:
        return PhaseResult(phase.name, skipped=context.time_plan.left_out)
    return PhaseResult(phase.name, position.epoch, context.phase_seconds, position.phase_best)


def _divide_logits(context: RunContext, phase: Phase) -> None:
    """Let a phase begin from a head that is less sure of what it was fitted to."""
    temperature, model = head_temperature.of(context, phase), context.assembly.model
    if temperature == 1:
        return
    weights = variables.arrays(model.variables)
    variables.assign(model, head_temperature.divided(weights, temperature))
    if not phase.refit_of:
        reason = ": its loss on what it has learned is then that out of fold"
        context.report(
            f"{phase.name}: begins with the head's logits divided by {temperature:.3g}"
            f"{reason if phase.head_temperature == 'auto' else ''}"
        )


def _why_skipped(context: RunContext, phase: Phase) -> str:
    """Why a phase does not run; empty where it does."""
    if reason := context.assembly.skipped.get(phase.name):
        return reason
    if context.saved is not None:  # it is in the middle of it
        return ""
    return context.time_plan.why_not_begin(phase)


def _leave_out(context: RunContext, phase: Phase, seconds: float) -> PhaseResult:
    """Leave a phase out whose features alone take longer than there is time."""
    context.time_plan.leave_out(phase, seconds)
    context.audit.skip(phase, context.time_plan.left_out)
    return PhaseResult(phase.name, skipped=context.time_plan.left_out)


def _report_warm_up(context: RunContext, phase: Phase) -> None:
    """Say where a moving average is longer than its phase."""
    config = context.assembly.config
    updates = windows(config.optimizer, phase).updates
    if not phase.is_solved and (line := ema.describe_warm_up(config.optimizer.ema, updates)):
        context.report(f"{phase.name}: {line}")


def _fit(
    context: RunContext, phase: Phase, inputs: PhaseInputs, arrays: RestoredArrays | None
) -> None:
    """Train to the end of the phase, from wherever it is."""
    assembly, nonfinite = context.assembly, TerminateOnNonFinite(context, phase, inputs)
    counting = []
    if inputs.model.training_answers.is_recorded and context.forgetting is not None:
        counting = [ForgettingCallback(context.forgetting, assembly, phase, context.position)]
    checkpoints = CheckpointCallback(context, phase, inputs, counting)
    callbacks = [  # in the order in which they must run
        EmaEvaluation(),
        StepCounter(context, phase),
        *counting,
        EpochEvaluation(
            assembly.task.epoch_evaluator(
                assembly.model, assembly.loader, assembly.examples, assembly.splits
            )
        ),
        nonfinite,
        context.signal_stop,
        Recorder(context, phase),
        EarlyStopping(context, phase),
        checkpoints,
        TimePlanner(context, phase, inputs, interpolation.passes(phase)),
    ]
    position, signal_stop = context.position, context.signal_stop
    with nonfinite.reporting(checkpoints.save_waiting):
        if phase.is_solved:
            head_solver.solve(context, phase, inputs, callbacks)
            return
        signal_stop.request_save = checkpoints.request
        if arrays is not None and not phase.is_epoch_end(position):
            _finish_epoch(context, phase, inputs, arrays, callbacks)
        if signal_stop.signal_number is None and not phase.is_finished(position):
            _fit_epochs(context, phase, inputs, callbacks, phase.most_epochs)


def _fit_epochs(
    context: RunContext, phase: Phase, inputs: PhaseInputs, callbacks: list[Any], last: int
) -> None:
    """Train from where the phase is to the end of epoch `last`; the first one may be begun."""
    position = context.position
    steps = min(last * phase.steps_per_epoch, phase.whole_length)
    batches = inputs.training_batches(position.step, steps - position.phase_step)
    with context.progress.announce_slow("compiling the network for the first step") as done:
        first_step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: done())
        inputs.model.fit(
            batches,
            initial_epoch=position.epoch,
            epochs=last,
            steps_per_epoch=min(steps, (position.epoch + 1) * phase.steps_per_epoch)
            - position.phase_step,
            validation_data=inputs.validation,
            verbose=0,
            shuffle=False,  # the batches come shuffled
            callbacks=[*callbacks, first_step],
        )


def _finish_epoch(
    context: RunContext, phase: Phase, inputs: PhaseInputs, arrays: RestoredArrays,
    callbacks: list[Any],
) -> None:  # fmt: skip
    """Train what a checkpoint has left of an epoch, or validate it if no step is left."""
    position, saved, model = context.position, context.saved, inputs.model
    if position.phase_step != phase.steps_after(position.epoch + 1):
        metrics = resume.running_metrics(model, inputs.metrics)
        restore = keras.callbacks.LambdaCallback(  # after Keras has reset them
            on_epoch_begin=lambda epoch, logs: arrays.restore_metrics(metrics)
        )
        _fit_epochs(context, phase, inputs, [*callbacks, restore], position.epoch + 1)
        return
    *_, checkpoints, _ = callbacks
    callback_list = keras.callbacks.CallbackList(callbacks, model=model)
    callback_list.on_train_begin()
    callback_list.on_epoch_begin(position.epoch)
    logs = dict(saved.logs or {}) if saved is not None else {}
    checkpoints.training_logs = dict(logs)
    if inputs.validation is not None:
        metrics = model.evaluate(
            inputs.validation, verbose=0, callbacks=callback_list, return_dict=True
        )
        logs |= {f"val_{name}": value for name, value in metrics.items()}
    callback_list.on_epoch_end(position.epoch, logs)
    callback_list.on_train_end(logs)


def _restore(context: RunContext, step: int) -> None:
    """Put the weights of a step into the model, unless they are there already."""
    assembly, run = context.assembly, context.run
    if step == context.position.step and assembly.config.optimizer.ema is None:
        return
    chosen = checkpoint.best_or_newest(run.checkpoints, step)
    variables.assign(assembly.model, checkpoint.read_weights(chosen))
