"""Two models on the same examples: differences with intervals, McNemar's test, disagreements.

What varies from example to example is the same for both, so that a paired interval is narrower than
the difference of two separate ones.

N examples that both have.
"""

from typing import Any

import numpy as np
from scipy.special import bdtr

from fmkit.core import registry
from fmkit.core.bootstrap import differences
from fmkit.core.errors import DataError
from fmkit.evaluation.prediction_tables import Columns, class_names
from fmkit.evaluation.scores import Scores

RESAMPLES = 1000
_AGREEMENT = 0.99
"""Share of the shared ids whose labels have to agree: ids such as `row-000012` may coincide."""


def compare(scores: Any, first: Columns, second: Columns, seed: int = 0) -> dict[str, Any]:
    """A comparison of two tables of predictions, second minus first, ready for JSON.

    Args:
        scores: of the task, `columns -> Scores` or its `module:name`.
        first: a table of predictions.
        second: one of the same task.
        seed: of the bootstrap.

    Raises:
        DataError: they have no example in common.
    """
    pair = _scores(registry.load(scores), first, second)
    pair, counts = _shared(*pair)
    left, right = pair
    joined = left.sums.beside(right.sums)
    metrics = differences(left.metrics)
    values = [side.metrics(side.sums.totals()) for side in pair]
    shown = [name for name in left.shown if name in values[0]]
    intervals = joined.intervals(metrics, shown, RESAMPLES, seed, lowest=-1.0)
    rows = []
    for name in shown:
        before, after = (float(np.asarray(side[name])[0]) for side in values)
        row = {"key": name, "first": before, "second": after, "difference": after - before}
        rows.append({**row, "interval": intervals[name]})
    return {
        **counts,
        "metrics": rows,
        "mcnemar": None
        if left.is_right is None or right.is_right is None
        else mcnemar(left.is_right, right.is_right),
        "disagreements": disagreements(left, right),
    }


def _scores(function: Any, first: Columns, second: Columns) -> tuple[Scores, Scores]:
    """The scores of two tables; of classes with the same names in the same order."""
    names = class_names(first)
    if "label" in first and names and not any(key.startswith("label_") for key in first):
        every = tuple(dict.fromkeys([*names, *class_names(second)]))
        return function(first, every), function(second, every)
    return function(first), function(second)


def _shared(first: Scores, second: Scores) -> tuple[tuple[Scores, Scores], dict[str, int]]:
    """The scores of the examples that both have, with the same label, in the order of the first."""
    position = {name: row for row, name in enumerate(second.ids)}
    rows = [(row, position[name]) for row, name in enumerate(first.ids) if name in position]
    same = [(a, b) for a, b in rows if first.labels[a] == second.labels[b]]
    if len(same) < _AGREEMENT * len(rows):
        raise DataError(
            f"{len(rows) - len(same):,} of {len(rows):,} examples with the same id have another "
            "label in the other run: they are not the same examples."
        )
    if not same:
        raise DataError("the runs were evaluated on different examples: no id is in both.")
    left, right = (np.array(side) for side in zip(*same, strict=True))
    counts = {
        "n": len(same),
        "only_first": len(first.ids) - len(same),
        "only_second": len(second.ids) - len(same),
    }
    return (first.take(left), second.take(right)), counts


def mcnemar(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """McNemar's exact test of who is right, (N,) bool each: two-sided, binomial.

    McNemar 1947, Psychometrika 12, 153. Only examples that one of both gets right count.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    count = only_first + only_second
    p_value = min(1.0, 2 * float(bdtr(min(only_first, only_second), count, 0.5))) if count else 1.0
    return {
        "both_right": int((first & second).sum()),
        "only_first_right": only_first,
        "only_second_right": only_second,
        "both_wrong": int((~first & ~second).sum()),
        "p_value": p_value,
    }


def disagreements(first: Scores, second: Scores) -> list[dict[str, Any]]:
    """A row for each example with two predictions, those that the second has got worse at first."""
    worse = second.errors - first.errors
    order = np.argsort(-worse, kind="stable")
    return [
        {
            "id": first.ids[row],
            "label": first.labels[row],
            "first": first.predictions[row],
            "second": second.predictions[row],
            "better": "first" if worse[row] > 0 else "second" if worse[row] < 0 else "neither",
        }
        for row in order
        if first.predictions[row] != second.predictions[row]
    ]
