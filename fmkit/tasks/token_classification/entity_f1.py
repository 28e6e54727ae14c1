"""Entity F1 of exact spans (`fmkit.data.content.tags`), computed batch by batch in the graph.

So every epoch has it, and a run can monitor it.

B batch, T tokens, K tags.
"""

from typing import Any

import keras
from keras import ops

from fmkit.data.content.tags import BEGIN, END, OUTSIDE, SINGLE, Scheme
from fmkit.tasks.language.token_losses import UNUSED


class EntityF1(keras.metrics.Metric):
    """Micro F1 of the entities of all rows so far; 0 where there are none.

    An entity is right when its first word, its last word and its type are. One that is cut in two,
    because a sentence is longer than a row, counts as two.

    Args:
        scheme: what the tags mean.
    """

    def __init__(self, scheme: Scheme, name: str = "f1") -> None:
        super().__init__(name=name, dtype="float32")
        # Their last element is `O`, for positions where no word begins.
        self._prefixes = scheme.prefixes.astype("int32")
        self._kinds = scheme.kinds.astype("int32")
        self._right = self.add_variable((), "zeros", name="right")
        self._all = self.add_variable((), "zeros", name="all")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, T), -1 where no word begins, and logits (B, T, K)."""
        targets = ops.cast(y_true, "int32")
        predicted = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        outside = len(self._prefixes) - 1
        used = ops.not_equal(targets, UNUSED)
        # Positions of used ones before all others. All keys differ, so that the order does not
        # depend on how a backend sorts equal ones.
        positions = _positions(targets)
        length = ops.max(positions) + 1
        keys = ops.sort(ops.where(used, positions, positions + length), axis=1)
        order = ops.where(keys >= length, keys - length, keys)
        true = self._entities(_gather(ops.where(used, targets, outside), order))
        mine = self._entities(_gather(ops.where(used, predicted, outside), order))
        same = ops.logical_and(true[0], mine[0])
        for left, right in zip(true[1:], mine[1:], strict=True):
            same = ops.logical_and(same, ops.equal(left, right))
        count = [ops.sum(ops.cast(flags, "float32")) for flags in (same, true[0], mine[0])]
        self._right.assign_add(count[0])
        self._all.assign_add(count[1] + count[2])

    def _entities(self, tags: Any) -> tuple[Any, Any, Any]:
        """Whether an entity begins at each word, where it ends, and its type, (B, T) each."""
        prefixes, kinds = ops.take(self._prefixes, tags), ops.take(self._kinds, tags)
        changes = ops.not_equal(kinds, _shift(kinds, 1, -1))
        before, after = _shift(prefixes, 1, OUTSIDE), _shift(prefixes, -1, OUTSIDE)
        in_entity = ops.not_equal(prefixes, OUTSIDE)
        begins = _any(
            _is_in(prefixes, BEGIN, SINGLE), _is_in(before, OUTSIDE, END, SINGLE), changes
        )
        ends = _any(
            _is_in(prefixes, END, SINGLE),
            _is_in(after, OUTSIDE, BEGIN, SINGLE),
            _shift(changes, -1, True),
        )
        begins, ends = ops.logical_and(begins, in_entity), ops.logical_and(ends, in_entity)
        # Entities do not overlap, so the j-th to begin is the j-th to end.
        positions = _positions(tags)
        ascending = ops.sort(ops.where(ends, positions, ops.max(positions) + 1), axis=1)
        number = ops.maximum(ops.cumsum(ops.cast(begins, "int32"), axis=1) - 1, 0)
        return begins, _gather(ascending, number), kinds

    def result(self) -> Any:
        """Twice the right ones, by true and predicted ones together."""
        return 2.0 * self._right / ops.maximum(self._all, 1.0)


def _positions(tags: Any) -> Any:
    """0 to T - 1 in each row, (B, T)."""
    return ops.cumsum(ops.ones_like(tags), axis=1) - 1


def _gather(values: Any, positions: Any) -> Any:
    """Values (B, T) at positions (B, T) of their rows; see `token_losses.gather_features`."""
    length = ops.max(_positions(values)) + 1
    rows = ops.cumsum(ops.ones_like(positions), axis=0) - 1
    return ops.take(ops.reshape(values, (-1,)), rows * length + positions, axis=0)


def _shift(values: Any, by: int, fill: Any) -> Any:
    """Values (B, T) shifted by one position, to the right (1) or to the left (-1)."""
    edge = ops.full_like(values[:, :1], fill)
    if by > 0:
        return ops.concatenate([edge, values[:, :-1]], axis=1)
    return ops.concatenate([values[:, 1:], edge], axis=1)


def _is_in(values: Any, *choices: int) -> Any:
    return _any(*(ops.equal(values, choice) for choice in choices))


def _any(first: Any, *others: Any) -> Any:
    for other in others:
        first = ops.logical_or(first, other)
    return first
