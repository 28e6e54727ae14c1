"""NaN and infinity: training ends at the step whose loss is not finite, and says why."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import keras

from fmkit.core import files
from fmkit.core.errors import NonFiniteError
from fmkit.optim import optimizers
from fmkit.store import run_dir
from fmkit.train import phase_data
from fmkit.train.checkpoints import checkpoint
from fmkit.train.phase_data import PhaseInputs
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext


class _NonFinite(NamedTuple):
    """A loss, a metric or `weights`; the validation examples that it came from, or None."""

    name: str
    value: float
    step: int
    validation_ids: list[str] | None = None


class TerminateOnNonFinite(keras.callbacks.Callback):
    """Stops at a loss, a metric or weights that are NaN or infinite, and finds the step.

    On a GPU the loss of a call is read one call later, so that its queue never runs dry. Keras
    reports the mean since the epoch began, which is not finite from the bad step on; which step of
    a call of many it was, the model counts (`TaskModel.first_nonfinite`). The other metrics are
    checked when an epoch ends.
    """

    def __init__(self, context: RunContext, phase: Phase, inputs: PhaseInputs) -> None:
        super().__init__()
        self._assembly, self._run, self._phase = context.assembly, context.run, phase
        self._position = context.position
        features = inputs.features
        self._loader = context.assembly.loader if features is None else features.loader
        self._loss: Any = None
        self._loss_steps = range(0)
        self._validation_losses: list[tuple[int, Any]] = []
        self._nonfinite: _NonFinite | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Forget the last epoch's mean."""
        self._loss, self._validation_losses = None, []
        # In the middle of an epoch, where a run resumes there.
        self._first = self._counted = self._position.step
        self._epoch = self._position.epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the call before, and remember the loss of this one."""
        self.check()
        step = self._position.step
        self._loss, self._loss_steps = (logs or {}).get("loss"), range(self._counted + 1, step + 1)
        self._counted = step
        if self._assembly.devices.kind == "cpu":
            self.check()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check the last call, before validation resets what the model counts."""
        self.check()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the loss for later: to read it now would stop a GPU's queue."""
        self._validation_losses.append((batch, (logs or {}).get("loss", 0.0)))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the last call and all metrics of the epoch."""
        self.check()
        step = self._position.step
        for name, value in (logs or {}).items():
            if not math.isfinite(float(value)):
                ids = self._validation_ids(name) if name.startswith("val_") else None
                self._stop(_NonFinite(name, float(value), step, ids))

    def check(self) -> None:
        """Raise a NonFiniteError if the loss of the last call is NaN or infinite."""
        if self._loss is None:
            return
        value, self._loss = float(self._loss), None
        if math.isfinite(value):
            return
        steps = self._loss_steps
        step = self._first + self.model.first_nonfinite() if len(steps) > 1 else steps[0]
        self._stop(_NonFinite("loss", value, step))

    def _validation_ids(self, metric: str) -> list[str] | None:
        """The examples of the first validation call whose loss is not finite."""
        examples, splits = self._assembly.examples, self._assembly.splits
        losses, loader = self._validation_losses, self._loader
        for objective in self._assembly.objectives:
            if metric.startswith(f"val_{objective.name}_"):
                losses, loader = objective.validation_losses, objective.loader
                examples, splits = objective.data.examples, objective.data.splits
        batch_size, start = loader.ordered_batch_size, 0
        for batch, loss in losses:
            if not math.isfinite(float(loss)):
                positions = splits["val"][start * batch_size : (batch + 1) * batch_size]
                return [examples.ids[position] for position in positions]
            start = batch + 1
        return None

    def _stop(self, nonfinite: _NonFinite) -> NoReturn:
        self._nonfinite = nonfinite
        raise NonFiniteError(f"{nonfinite.name} became {nonfinite.value} at step {nonfinite.step}")

    @contextlib.contextmanager
    def reporting(self, save_waiting: Callable[[], None]) -> Iterator[None]:
        """Raise a NonFiniteError again with all that helps to find where the number came from.

        `nonfinite.json` gets the batch's examples. First, `save_waiting` saves the best weights
        that wait in memory: they are from before.
        """
        try:
            yield
        except NonFiniteError as error:
            with contextlib.suppress(NonFiniteError):
                save_waiting()
            if self._nonfinite is None:  # a save was refused before the last loss was read
                with contextlib.suppress(NonFiniteError):
                    self.check()
            nonfinite = self._nonfinite or _NonFinite("weights", math.nan, self._position.step)
            record = self._record(nonfinite)
            with contextlib.suppress(OSError):  # a full disk must not hide this error
                files.write_json(self._run.folder / run_dir.NONFINITE, record)
            ids = [example_id for batch in record["batches"] for example_id in batch["ids"]]
            step = record["checkpoint"]
            saved = (
                f"the last finite checkpoint is step {step}" if step else "nothing was saved yet"
            )
            hint = "Look at those files, lower optimizer.learning_rate, or set optimizer.clip_norm."
            if self._assembly.devices.precision == "mixed_float16":
                hint += " runtime.precision=float32 has a wider range, too."
            raise NonFiniteError(
                f"{error.message.rstrip('.')} (phase {record['phase']}, epoch {record['epoch']}); "
                f"{run_dir.NONFINITE} lists the examples of its batch, {ids[0]} first; {saved}.",
                hint,
            ) from error

    def _record(self, nonfinite: _NonFinite) -> dict[str, Any]:
        """The content of `nonfinite.json`."""
        saved = checkpoint.list_checkpoints(self._run.checkpoints)
        # The steps that are accumulated into the same update, and those of the update before.
        start = self._position.phase_start + 1
        windows = phase_data.windows(self._assembly.config.optimizer, self._phase)
        first = start + windows.first_batch(nonfinite.step - start)
        before = start + windows.first_batch(max(0, first - 1 - start))
        batches, batches_before = (
            [
                {"step": step, "ids": self._assembly.example_ids(self._phase, step - 1)}
                for step in steps
            ]
            for steps in (range(first, nonfinite.step + 1), range(before, first))
        )
        ids = nonfinite.validation_ids
        if ids is not None:
            batches = [{"step": nonfinite.step, "ids": ids}]
        return {
            "what": nonfinite.name,
            "value": str(nonfinite.value),  # JSON has no NaN
            "phase": self._phase.name,
            "epoch": self._epoch,
            "step": nonfinite.step,
            "split": "train" if ids is None else "val",
            "learning_rate": optimizers.next_learning_rate(self.model.optimizer),
            "checkpoint": saved[-1].step if saved else None,
            "batches": batches,
            "batches_of_the_update_before": batches_before,
        }
