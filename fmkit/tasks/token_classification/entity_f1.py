"""Entity-level F1 of exact spans (`fmkit.data.content.tags`), batch by batch.

It is computed in the graph, so that every epoch has it and a run can go by it.

B batch, T tokens, K tags.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from fmkit.data.content.tags import BEGIN, END, OUTSIDE, SINGLE, Scheme
from fmkit.tasks.language.token_losses import UNUSED


class EntityF1(keras.metrics.Metric):
    """Micro F1 of the entities of all rows so far; 0 where there is none.

    An entity is right when its first word, its last word and its type are. One that is cut in two,
    as a sentence is longer than a row, counts as two.

    Args:
        scheme: what the tags mean.
    """

    def __init__(self, scheme: Scheme, name: str = "f1") -> None:
        super().__init__(name=name, dtype="float32")
        # `O` once more at the end, for places that no word begins at.
        self._prefixes = scheme.prefixes.astype("int32")
        self._kinds = scheme.kinds.astype("int32")
        self._right = self.add_variable((), "zeros", name="right")
        self._all = self.add_variable((), "zeros", name="all")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, T), -1 where no word begins, and logits (B, T, K)."""
        targets = ops.cast(y_true, "int32")
        found = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        outside = len(self._prefixes) - 1
        used = ops.not_equal(targets, UNUSED)
        order = _words_first(used)
        truth = self._spans(_taken(ops.where(used, targets, outside), order))
        guess = self._spans(_taken(ops.where(used, found, outside), order))
        same = ops.logical_and(truth[0], guess[0])
        for mine, theirs in zip(truth[1:], guess[1:], strict=True):
            same = ops.logical_and(same, ops.equal(mine, theirs))
        self._right.assign_add(_sum(same))
        self._all.assign_add(_sum(truth[0]) + _sum(guess[0]))

    def _spans(self, tags: Any) -> tuple[Any, Any, Any]:
        """Whether an entity begins at each word, where it ends, and its type, (B, T) each."""
        prefixes, kinds = ops.take(self._prefixes, tags), ops.take(self._kinds, tags)
        changes = ops.not_equal(kinds, _moved(kinds, 1, -1))
        begins = _either(
            *(ops.equal(prefixes, each) for each in (BEGIN, SINGLE)),
            *(ops.equal(_moved(prefixes, 1, OUTSIDE), each) for each in (OUTSIDE, END, SINGLE)),
            changes,
        )
        ends = _either(
            *(ops.equal(prefixes, each) for each in (END, SINGLE)),
            *(ops.equal(_moved(prefixes, -1, OUTSIDE), each) for each in (OUTSIDE, BEGIN, SINGLE)),
            _moved(changes, -1, True),
        )
        inside = ops.not_equal(prefixes, OUTSIDE)
        begins, ends = ops.logical_and(begins, inside), ops.logical_and(ends, inside)
        # Entities do not overlap, so that the one which begins as the j-th is the j-th to end.
        places = _places(tags)
        rising = ops.sort(ops.where(ends, places, ops.max(places) + 1), axis=1)
        number = ops.maximum(ops.cumsum(ops.cast(begins, "int32"), axis=1) - 1, 0)
        return begins, _taken(rising, number), kinds

    def result(self) -> Any:
        """Twice the right ones, by those that are there and those that were found."""
        return 2.0 * self._right / ops.maximum(self._all, 1.0)


def _places(tags: Any) -> Any:
    """0 to T - 1 in each row, (B, T)."""
    return ops.cumsum(ops.ones_like(tags), axis=1) - 1


def _words_first(used: Any) -> Any:
    """Places of a row in an order in which those that are used come first, (B, T)."""
    places = _places(ops.cast(used, "int32"))
    length = ops.max(places) + 1
    # Each key is there once, so that the order does not hang on how a sort treats equal ones.
    keys = ops.sort(ops.where(used, places, places + length), axis=1)
    return ops.where(keys >= length, keys - length, keys)


def _taken(values: Any, places: Any) -> Any:
    """Values (B, T) at places (B, T) of their rows; see `tokens.gathered`."""
    length = ops.max(_places(values)) + 1
    rows = ops.cumsum(ops.ones_like(places), axis=0) - 1
    return ops.take(ops.reshape(values, (-1,)), rows * length + places, axis=0)


def _moved(values: Any, by: int, filling: Any) -> Any:
    """Values (B, T) one place to the right (1) or to the left (-1)."""
    edge = ops.full_like(values[:, :1], filling)
    if by > 0:
        return ops.concatenate([edge, values[:, :-1]], axis=1)
    return ops.concatenate([values[:, 1:], edge], axis=1)


def _either(*conditions: Any) -> Any:
    found = conditions[0]
    for each in conditions[1:]:
        found = ops.logical_or(found, each)
    return found


def _sum(conditions: Any) -> Any:
    return ops.sum(ops.cast(conditions, "float32"))
