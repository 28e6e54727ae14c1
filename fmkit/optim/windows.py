"""Which batches make an update together, under gradient accumulation."""

import math
from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass(frozen=True)
class UpdateWindows:
    """The batches of a phase, cut into windows that make an update each.

    A window ends after `size` batches, with an epoch, and with the phase, as in Hugging Face's
    Trainer: each batch trains in the epoch that reads it. Where an epoch has fewer batches than a
    window, windows go on into the next one.

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
        """Updates of a whole epoch, at least 1."""
        return math.ceil(self.epoch / self.size)

    @property
    def _part(self) -> int:
        """Batches after which a window ends in any case."""
        return self.epoch if self.size <= self.epoch else self.total

    @property
    def updates(self) -> int:
        """Updates of the phase."""
        parts, rest = divmod(self.total, self._part)
        return parts * math.ceil(self._part / self.size) + math.ceil(rest / self.size)

    def updates_after(self, batches: Any) -> Any:
        """Updates that the first `batches` batches make; an integer, or a tensor of one."""
        in_part = batches % self._part
        done = batches // self._part * math.ceil(self._part / self.size) + in_part // self.size
        if isinstance(batches, int):
            return self.updates if batches >= self.total else done
        return ops.where(batches >= self.total, self.updates, done)

    def ends(self, batches: Any) -> Any:
        """Whether a window ends with batch number `batches`, counted from 1; a tensor."""
        in_part = batches % self._part
        is_last = ops.logical_or(ops.equal(in_part, 0), ops.equal(batches, self.total))
        return ops.logical_or(is_last, ops.equal(in_part % self.size, 0))

    def first_batch(self, batch: int) -> int:
        """The first batch of the window that has a batch; both counted from 0."""
        return batch - batch % self._part % self.size
