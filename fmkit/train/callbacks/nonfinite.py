"""The guard on the numbers: training ends at the step whose loss is not finite, and says why."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from fmkit.core import files
from fmkit.core.errors import NonFiniteError
from fmkit.optim import optimizers
from fmkit.store import run_dir
from fmkit.store.run_dir import Run
from fmkit.train.assemble import Assembly
from fmkit.train.checkpoints import checkpoint
from fmkit.train.phases import Phase
from fmkit.train.position import Position


@dataclass(frozen=True)
class _Found:
    """A number that is not finite.

    Attributes:
        what: `loss`, the name of a metric, or `weights`.
        value: the number; NaN for weights.
        step: the step that it came from, counted from 1 over all phases.
        tested: ids of the validation examples that it came from, or None for training.
    """

    what: str
    value: float
    step: int
    tested: list[str] | None = None


class TerminateOnNonFinite(keras.callbacks.Callback):
    """Counts steps, ends a phase at its last step, and stops at a number that is not finite.

    On a GPU the loss of a call is read one call later, so that the queue never runs dry. Keras
    reports the mean since the epoch began, which is not finite from the bad step on; which step of
    a call of many it was, the learner knows. What else an epoch reports is looked at when it ends.

    Args:
        assembly: the run's parts.
        run: gets `nonfinite.json`.
        phase: the phase.
        position: where the run stands; counted up here.
        loader: makes the batches of validation.
    """

    def __init__(
        self, assembly: Assembly, run: Run, phase: Phase, position: Position, loader: Any
    ) -> None:
        super().__init__()
        self._assembly, self._run, self._phase = assembly, run, phase
        self._position, self._loader = position, loader
        self._pending: Any = None
        self._pending_steps = range(0)
        self._tested: list[tuple[int, Any]] = []
        self._found: _Found | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Forget the last epoch's mean."""
        self._pending, self._tested = None, []
        place = self._position
        # In the middle of an epoch, where a run goes on from there.
        self._first, self._epoch = place.step, place.epoch + 1
        self._last = place.phase_start + self._phase.steps_of(self._epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the call before, count the steps of this one."""
        self.check()
        # The last call of an epoch may be a shorter one; Keras numbers it as if it were whole.
        step = min(self._first + batch + 1, self._last)
        self._pending = (logs or {}).get("loss")
        self._pending_steps = range(self._position.step + 1, step + 1)
        self._position.step = step
        if self._position.phase_step >= self._phase.steps:
            self.model.stop_training = True
        if self._assembly.devices.kind == "cpu":
            self.check()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check the last call, before validation resets what the learner knows of it."""
        self.check()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the loss for later: reading it now would stop a GPU's queue."""
        self._tested.append((batch, (logs or {}).get("loss", 0.0)))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the last call and all that the epoch reports."""
        self.check()
        step = self._position.step
        for name, value in (logs or {}).items():
            if not math.isfinite(float(value)):
                tested = self._first_tested(name) if name.startswith("val_") else None
                self._stop(_Found(name, float(value), step, tested))

    def check(self) -> None:
        """Look at the loss of the last call.

        Raises:
            NonFiniteError: it is not finite.
        """
        if self._pending is None:
            return
        value, self._pending = float(self._pending), None
        if math.isfinite(value):
            return
        steps = self._pending_steps
        several = len(steps) > 1
        step = self._first + self.model.first_nonfinite() if several else steps[0]
        self._stop(_Found("loss", value, step))

    def _first_tested(self, figure: str) -> list[str] | None:
        """The examples of the first validation call whose loss is not finite."""
        examples, splits = self._assembly.examples, self._assembly.splits
        tested, loader = self._tested, self._loader
        for part in self._assembly.parts:
            if figure.startswith(f"val_{part.name}_"):
                tested, loader = part.tested, part.loader
                examples, splits = part.examples, part.splits
        width, before = loader.ordered_batch_size, 0
        for batch, loss in tested:
            if not math.isfinite(float(loss)):
                bad = splits["val"][before * width : (batch + 1) * width]
                return [examples.ids[each] for each in bad]
            before = batch + 1
        return None

    def _stop(self, found: _Found) -> None:
        self._found = found
        raise NonFiniteError(f"{found.what} became {found.value} at step {found.step}")

    @contextlib.contextmanager
    def reporting(self, save_waiting: Callable[[], None]) -> Iterator[None]:
        """Tell of a number that is not finite with all that helps to find where it came from.

        Args:
            save_waiting: saves the best weights that wait in memory, which come from before.

        Raises:
            NonFiniteError: a number is not finite; `nonfinite.json` has the batch's examples.
        """
        try:
            yield
        except NonFiniteError as error:
            with contextlib.suppress(NonFiniteError):
                save_waiting()
            if self._found is None:  # a save that was refused: the loss is perhaps not read yet
                with contextlib.suppress(NonFiniteError):
                    self.check()
            found = self._found or _Found("weights", math.nan, self._position.step)
            raise self._told(found, error) from error

    def _told(self, found: _Found, error: NonFiniteError) -> NonFiniteError:
        record = self._record(found)
        with contextlib.suppress(OSError):  # a full disk must not hide this error
            files.write_json(self._run.folder / run_dir.NONFINITE, record)
        ids = [each for batch in record["batches"] for each in batch["ids"]]
        kept = record["checkpoint"]
        saved = f"the last finite checkpoint is step {kept}" if kept else "nothing was saved yet"
        message = error.message.rstrip(".")
        hint = "Look at those files, lower optimizer.learning_rate, or set optimizer.clip_norm."
        if self._assembly.devices.precision == "mixed_float16":
            hint += " runtime.precision=float32 has more room, too."
        return NonFiniteError(
            f"{message} (phase {record['phase']}, epoch {record['epoch']}); {run_dir.NONFINITE} "
            f"lists the examples of its batch, {ids[0]} first; {saved}.",
            hint,
        )

    def _record(self, found: _Found) -> dict[str, Any]:
        """What `nonfinite.json` says."""
        saved = checkpoint.list_checkpoints(self._run.checkpoints)
        first, before = self._updates(found.step)
        rows = [self._batch(step) for step in range(first, found.step + 1)]
        if found.tested is not None:
            rows = [{"step": found.step, "ids": found.tested}]
        return {
            "what": found.what,
            "value": str(found.value),  # JSON has no word for it
            "phase": self._phase.name,
            "epoch": self._epoch,
            "step": found.step,
            "split": "train" if found.tested is None else "val",
            "learning_rate": optimizers.next_learning_rate(self.model.optimizer),
            "checkpoint": saved[-1].step if saved else None,
            "batches": rows,
            "batches_of_the_update_before": [self._batch(step) for step in range(before, first)],
        }

    def _updates(self, step: int) -> tuple[int, int]:
        """The first step that counts into the same update, and that of the update before."""
        start, size = self._position.phase_start + 1, self._assembly.config.optimizer.accumulation
        first = start + (step - start) // size * size
        return first, max(start, first - size)

    def _batch(self, step: int) -> dict[str, Any]:
        return {"step": step, "ids": self._assembly.ids_of(step - 1)}
