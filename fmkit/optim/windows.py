"""Which batches make an update together, under gradient accumulation."""

import math
from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass(frozen=True)
class UpdateWindows:
    """The batches of a phase, cut into windows that make an update each.

    A window ends after `size` batches, with an epoch, and with the phase, as in Hugging Face's
    Trainer: each batch trains in the epoch that reads it.

    Args:
        size: batches of a whole window.
        epoch: batches of an epoch.
        total: batches of the phase; the last epoch may be cut short.
    """

    size: int
    epoch: int
    total: int

    @property
    def per_epoch(self) -> int:
        """Updates of a whole epoch."""
        return math.ceil(self.epoch / self.size)

    @property
    def updates(self) -> int:
        """Updates of the phase."""
        epochs, rest = divmod(self.total, self.epoch)
        return epochs * self.per_epoch + math.ceil(rest / self.size)

    def updates_after(self, batches: Any) -> Any:
        """Updates that the first `batches` batches make; an integer, or a tensor of one."""
        done = batches // self.epoch * self.per_epoch + batches % self.epoch // self.size
        if isinstance(batches, int):
            return self.updates if batches >= self.total else done
        return ops.where(batches >= self.total, self.updates, done)

    def ends(self, batches: Any) -> Any:
        """Whether a window ends with batch number `batches`, counted from 1; a tensor."""
        in_epoch = batches % self.epoch
        is_last = ops.logical_or(ops.equal(in_epoch, 0), ops.equal(batches, self.total))
        return ops.logical_or(is_last, ops.equal(in_epoch % self.size, 0))

    def first_batch(self, batch: int) -> int:
        """The first batch of the window that has a batch; both counted from 0."""
        in_epoch = batch % self.epoch
        return batch - in_epoch % self.size
