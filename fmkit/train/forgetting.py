"""Forgetting events: how often each training example went from right to wrong.

Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network Learning", ICLR
2019. An example is forgotten where its answer was right in one of its epochs and is wrong in the
next one. The answers are those of the training steps themselves, before their update, with the
dropout and the augmentation of training: nothing is computed besides.

N examples, B batch, C classes.
"""

from typing import Any

import keras
import numpy as np

from fmkit.store import forgetting as store
from fmkit.store.forgetting import COUNTS
from fmkit.train.assemble import Assembly
from fmkit.train.phases import Phase, Position
from fmkit.train.task_model import TaskModel

PREFIX = "forgetting/"
"""Below which the counts are in `training.safetensors` of a checkpoint."""


class ForgettingEvents:
    """Counts of a run, over all its phases that train by gradients.

    Args:
        count: examples of the data set, N.

    Attributes:
        counts: by name, (N,): `seen`, how often an answer was counted; `learned`, in which of those
            times it was right for the first time, 0 where it never was; `forgotten`; and `right`,
            whether the last one was, 0 or 1. All int32.
    """

    def __init__(self, count: int) -> None:
        self.counts = {name: np.zeros(count, np.int32) for name in COUNTS}

    def record(self, positions: np.ndarray, answers: np.ndarray) -> None:
        """Count answers.

        Args:
            positions: of examples in the data set, none of them twice.
            answers: whether each is right, 0 or 1.
        """
        right = answers == 1
        seen, learned = self.counts["seen"], self.counts["learned"]
        was_right = self.counts["right"][positions] == 1
        seen[positions] += 1
        self.counts["forgotten"][positions] += was_right & ~right
        first = positions[right & (learned[positions] == 0)]
        learned[first] = seen[first]
        self.counts["right"][positions] = right

    def arrays(self) -> dict[str, np.ndarray]:
        """The counts, for a checkpoint."""
        return {f"{PREFIX}{name}": values.copy() for name, values in self.counts.items()}


def begin(
    assembly: Assembly, training: dict[str, np.ndarray] | None = None
) -> ForgettingEvents | None:
    """The counts of a run; None where they are not wanted, or answers are not right or wrong.

    Args:
        training: what a checkpoint has that the run resumes from, with its counts.
    """
    outputs = assembly.model.output_shape
    applies = (
        assembly.config.runtime.forgetting
        and not assembly.objectives
        and not assembly.loader.has_random_inputs
        and len(assembly.devices.names) <= 1
        and assembly.task.num_classes is not None
        and outputs == (None, assembly.task.num_classes)
    )
    if not applies:
        return None
    events = ForgettingEvents(len(assembly.examples))
    if training is None:
        return events
    for name in COUNTS:
        values = training.get(f"{PREFIX}{name}")
        if values is None or values.shape != events.counts[name].shape:
            return None  # an earlier version began the run, and counts from here on mislead
        events.counts[name] = values.astype(np.int32)
    return events


def is_counted(events: ForgettingEvents | None, assembly: Assembly, phase: Phase) -> bool:
    """Whether a phase adds to the counts of a run.

    A solver has no epochs, a refit learns from validation examples, too, and where labels are mixed
    no answer is right.
    """
    if events is None or phase.is_solved or phase.refit_of:
        return False
    augmentation = assembly.loader.augmentation(phase.augment)
    return augmentation is None or not augmentation.mixes_targets


class ForgettingCallback(keras.callbacks.Callback):
    """Hands the answers of the steps to the counts.

    Must come after `StepCounter`, and before `CheckpointCallback`, which saves the counts.
    """

    def __init__(
        self, events: ForgettingEvents, assembly: Assembly, phase: Phase, position: Position
    ) -> None:
        super().__init__()
        self._events, self._position = events, position
        self._order = assembly.loader.order(
            assembly.examples_of(phase), assembly.config.runtime.seed
        )
        self._first = self._done = position.step

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """The model's answers begin anew."""
        self._first = self._done = self._position.step

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Count before Keras resets the answers for the validation."""
        self.collect()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Count where nothing was validated."""
        self.collect()

    def collect(self) -> None:
        """Count the answers of all steps since the last time."""
        step, last = self._done, self._position.step
        if step >= last:
            return
        model: TaskModel = self.model
        rows, per_epoch = model.training_answers.read(), self._order.steps_per_epoch
        while step < last:  # by epochs of the order: an example comes once in each
            steps = min(last - step, per_epoch - step % per_epoch)
            positions = self._order.indices(step, steps)
            # Only the last step of an epoch of the order has a shorter row.
            answers = rows[step - self._first : step - self._first + steps].reshape(-1)
            self._events.record(positions, answers[: len(positions)])
            step += steps
        self._done = last


def save(assembly: Assembly, events: ForgettingEvents | None, folder: Any) -> None:
    """Write the counts of the examples that were seen into a run's folder, if there are any."""
    if events is None or not events.counts["seen"].any():
        return
    positions = np.flatnonzero(events.counts["seen"])
    counts = {name: values[positions] for name, values in events.counts.items()}
    store.save(folder, positions, counts)
