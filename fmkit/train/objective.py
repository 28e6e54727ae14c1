"""The objectives of a joint run: what each of them trains, and how each is judged by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import keras
import numpy as np

from fmkit.config.schema.data import DataConfig
from fmkit.core.types import DataSpec
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.tasks.joint import Joint
from fmkit.train.task_model import TaskModel


@dataclass
class Objective:
    """One objective of a run; a run of one task is its only part.

    Attributes:
        name: of the objective; empty where the run has no other.
        learner: the network from its inputs to its output.
        tested: number and loss of each batch of its last validation.
    """

    name: str
    config: DataConfig
    task: Any
    learner: TaskModel
    loader: Any
    data: Dataset
    tested: list[tuple[int, float]] = field(default_factory=list)

    @property
    def examples(self) -> Examples:
        """Its data set."""
        return self.data.examples

    @property
    def splits(self) -> dict[str, np.ndarray]:
        """Positions in its data set."""
        return self.data.splits

    @property
    def spec(self) -> DataSpec:
        """What its data set looks like."""
        return self.data.spec

    def ordered(self, split: str) -> Any:
        """A split's batches in order, or None when it has no example."""
        indices = self.splits.get(split)
        return None if indices is None or not len(indices) else self.loader.ordered(indices)


class JointTaskModel(TaskModel):
    """A network with an output for each objective, of which each is validated by itself.

    Args:
        inputs: symbolic inputs of all of them, the primary one's first.
        outputs: symbolic outputs by name.
        task: the joint task.
        parts: the objectives; they share all layers with this network.
    """

    def __init__(
        self,
        inputs: Sequence[Any],
        outputs: Mapping[str, Any],
        task: Joint,
        parts: Sequence[Objective],
    ) -> None:
        super().__init__(list(inputs), dict(outputs), cast(Any, task))
        self._parts = tuple(parts)

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Keras' own, and the networks that judge each objective."""
        super().compile(*arguments, **options)
        for each in self._parts:
            each.learner.compile(
                metrics=each.task.metrics(), jit_compile=options.get("jit_compile", "auto")
            )

    def evaluate(self, *arguments: Any, callbacks: Any = None, **options: Any) -> Any:
        """Every objective's figures on all of its own validation split, and the whole loss.

        What Keras would hand over is not looked at: the splits are of different lengths. There is
        no whole loss where an objective has no such split.
        """
        if self.is_cut_short:
            return {}
        if callbacks is not None:
            callbacks.on_test_begin()
        logs: dict[str, float] = {}
        for each in self._parts:
            each.tested.clear()
            if (batches := each.ordered("val")) is None:
                continue
            watch = keras.callbacks.LambdaCallback(on_test_batch_end=_kept_in(each))
            found = each.learner.evaluate(batches, verbose=0, callbacks=[watch], return_dict=True)
            logs |= {f"{each.name}_{figure}": float(value) for figure, value in found.items()}
        losses = {each.name: logs.get(f"{each.name}_loss") for each in self._parts}
        if None not in losses.values():
            logs = {"loss": self.task.combined(losses), **logs}  # type: ignore[attr-defined]
        if callbacks is not None:
            callbacks.on_test_end(logs)
        return logs


def _kept_in(part: Objective) -> Any:
    def keep(batch: int, logs: dict[str, Any] | None) -> None:
        part.tested.append((batch, float((logs or {}).get("loss", 0.0))))

    return keep
