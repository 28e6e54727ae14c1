"""What is known of a run before anything is built, and the lengths that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fmkit.config import durations


@dataclass(frozen=True)
class Facts:
    """What `recipe=auto` goes by.

    Attributes:
        examples: of the training split.
        classes: how many.
        side: typical longer side of the images in pixels, or None when it is not known.
        own_size: side of the input that the backbone was made for in pixels, or None.
        pretrained: whether the backbone's weights come from elsewhere.
        device: `cpu` or `gpu`.
        cores: that this process may use.
        lengths: by phase of the stage, its length as configured (`10 epochs`), until the rule
            chooses another.
        is_solvable: whether a head phase can be solved at once: a linear head, whole labels, no
            augmentation of its own, a validation split, the feature cache in use.
        batch_size: as configured, until the rule chooses another.
        learning_rate: `optimizer.learning_rate` as configured, until the rule chooses another.
        is_text: the examples are texts, so that there is nothing to augment.
        is_classification: the task is to tell classes, so that labels can be smoothed.
    """

    examples: int
    classes: int
    side: int | None
    own_size: int | None
    pretrained: bool
    device: str
    cores: int
    lengths: Mapping[str, str]
    is_solvable: bool
    batch_size: int
    learning_rate: float
    is_text: bool = False
    is_classification: bool = True

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the training split."""
        return math.ceil(self.examples / self.batch_size)

    @property
    def per_class(self) -> float:
        """Mean number of training examples a class."""
        return self.examples / max(self.classes, 1)

    @property
    def is_fast(self) -> bool:
        """A GPU, or a CPU that can be given more to do than two cores."""
        return self.is_gpu or self.cores >= 16

    @property
    def is_gpu(self) -> bool:
        """Whether a GPU trains."""
        return self.device == "gpu"

    @property
    def head_updates(self) -> int:
        """Updates that the head gets, before fine-tuning or alone."""
        if "full" in self.lengths:
            return self._updates(300, 20_000, 4, 60)
        return self._updates(500, 20_000, 10, 100)

    @property
    def full_updates(self) -> int:
        """Updates that the whole network gets."""
        if not self.pretrained:
            return self._updates(2_000, 100_000, 20, 100)
        return self._updates(500, 20_000, 10 if self.is_gpu else 4, 40)

    @property
    def shortest(self) -> int:
        """Updates of the shortest phase, as the lengths stand."""
        phases = [durations.parse(each, "epochs") for each in self.lengths.values()]
        return min((each.steps(self.steps_per_epoch) for each in phases), default=0)

    def _updates(self, least: int, most: int, least_epochs: int, most_epochs: int) -> int:
        """`least`, or as many as the least epochs have; never above the most of either."""
        epoch = self.steps_per_epoch
        return min(max(least, least_epochs * epoch), most_epochs * epoch, most)

    def length(self, updates: int) -> str:
        """Updates as the config writes them: the nearest whole epochs, or a part of one."""
        if updates < self.steps_per_epoch:
            return f"{updates} steps"
        return str(math.floor(updates / self.steps_per_epoch + 0.5))
