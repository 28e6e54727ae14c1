"""Slices: metrics of the examples with a value in a column, and which are worse than the rest.

Every value of a column, and every pair of values of two columns, is tested against all other
examples, one-sided: by Fisher's exact test where a prediction is right or wrong, by that of Mann
and Whitney for other errors. A pair has to be worse than the rest of each of its two values, too,
so that it says more than they do. P-values are corrected for the number of tests by Holm's method
(Holm 1979), which makes no assumption about how slices overlap.

N examples, V values of all columns, P slices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import ndtr

from fmkit.core.errors import DataError, join_names
from fmkit.evaluation.diagnostics.results import Diagnostics
from fmkit.evaluation.prediction_tables import Columns
from fmkit.evaluation.scores import Scores
from fmkit.evaluation.slices import fairness
from fmkit.evaluation.slices.groups import MIN_EXAMPLES, SIGNIFICANCE, groups_of


@dataclass(frozen=True)
class Slices:
    """The slices of an evaluation.

    Attributes:
        table: a row for each value of each column.
        worst: those that are worse than the rest, the worst first, ready for JSON.
        tested: slices that were tested, pairs included.
    """

    table: Columns
    worst: list[dict[str, Any]]
    tested: int


def diagnostics(
    scores: Scores,
    ids: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    bootstrap: int,
    seed: int,
) -> Diagnostics:
    """Slices and, of classes, gaps between groups: figures and tables.

    Args:
        scores: of the examples, in any order.
        ids: of the examples that the columns are of, (N,).
        columns: by name, a text for each example, (N,), empty where there is none.
        bootstrap: resamples behind the intervals.
        seed: of the resamples.

    Raises:
        DataError: the columns have no value for any example.
    """
    rows = {name: row for row, name in enumerate(ids)}
    order = [rows[name] for name in scores.ids]
    groups = {
        name: groups_of([values[row] for row in order])
        for name, values in columns.items()
        if any(values)
    }
    if not groups:
        raise DataError("slices: no example has a value in these columns.")
    slices = judge(scores, groups, bootstrap, seed)
    result = Diagnostics(
        {"slices": {"tested": slices.tested, "worse": slices.worst}},
        tables={"slices": slices.table},
    )
    if scores.classes:
        result.metrics["fairness"], result.tables["fairness"] = fairness.gaps(scores, groups)
    return result


def judge(
    scores: Scores, columns: Mapping[str, Sequence[str]], bootstrap: int, seed: int
) -> Slices:
    """Metrics by value of each column with 95% intervals, and slices that are worse than the rest.

    Args:
        scores: of the examples.
        columns: by name, the group of each example, (N,), as `groups_of` makes them.
        bootstrap: resamples behind the intervals.
        seed: of the resamples.
    """
    values = [
        (column, value, np.array([own == value for own in groups]))
        for column, groups in columns.items()
        for value in sorted({*groups})
    ]
    rows = []
    for column, value, members in values:
        part = scores.take(members)
        totals = part.metrics(part.sums.totals())
        intervals = part.sums.intervals(part.metrics, part.shown, bootstrap, seed)
        row: dict[str, Any] = {"column": column, "value": value, "n": len(part.ids)}
        for name in part.shown:
            low, high = intervals[name] or (None, None)
            row |= {name: float(totals[name][0]), f"{name}_low": low, f"{name}_high": high}
        rows.append(row | {"error": float(part.errors.mean())})
    slices, p_values = test_values(scores.errors, values)
    corrected = dict(zip(slices, holm(p_values), strict=True))
    for index, row in enumerate(rows):
        row["p_value"] = corrected.get((index,))
    table = {key: [row[key] for row in rows] for key in rows[0]} if rows else {"column": []}
    worst = [
        _report(scores, [values[index] for index in members], p_value, len(slices))
        for members, p_value in corrected.items()
        if p_value <= SIGNIFICANCE
    ]
    worst.sort(key=lambda row: row["error_elsewhere"] - row["error"])
    return Slices(table, worst, len(slices))


Values = Sequence[tuple[str, str, np.ndarray]]
"""Column, value, and which examples have it, (N,) bool."""


def test_values(errors: np.ndarray, values: Values) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Slices that are large enough, as positions in `values`, and their p-values (P,)."""
    count = len(errors)
    if not values:
        return [], np.zeros(0)
    members = sparse.csr_array(np.stack([rows for *_, rows in values], axis=1).astype(np.float64))
    sizes = np.asarray((members.T @ members).todense())  # (V, V); singles on the diagonal
    is_large = (sizes >= MIN_EXAMPLES) & (count - sizes >= MIN_EXAMPLES)
    columns = np.array([column for column, *_ in values])
    is_large &= (columns[:, None] != columns) | np.eye(len(values), dtype=bool)
    first, second = np.nonzero(np.triu(is_large))
    ranks = _ranks(errors)
    sums = np.asarray((members.T @ (members * ranks[:, None])).todense())
    p_values = _p_values(sums[first, second], sizes[first, second], errors, ranks)
    slices: list[tuple[int, ...]] = []
    for number, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        slices.append((a,) if a == b else (a, b))
        if a == b or p_values[number] > SIGNIFICANCE:
            continue
        both = values[a][2] & values[b][2]
        for parent in (values[a][2], values[b][2]):
            # Alone, it has to stand out within each of its values: the largest p-value counts.
            own = _p_value_within(errors[parent], both[parent])
            p_values[number] = max(p_values[number], own)
    return slices, p_values


def _p_value_within(errors: np.ndarray, members: np.ndarray) -> float:
    """The p-value of a slice against the other examples of one of its values."""
    size = int(members.sum())
    if len(errors) - size < MIN_EXAMPLES:  # nearly the same as the value itself
        return 1.0
    ranks = _ranks(errors)
    total = ranks[members].sum()
    return float(_p_values(np.array([total]), np.array([float(size)]), errors, ranks)[0])


def _ranks(errors: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal errors with their mean; errors of 0 and 1 as they are."""
    from scipy.stats import rankdata

    return errors if _are_binary(errors) else np.asarray(rankdata(errors))


def _are_binary(errors: np.ndarray) -> bool:
    return bool(np.isin(errors, (0.0, 1.0)).all())


def _p_values(
    sums: np.ndarray, sizes: np.ndarray, errors: np.ndarray, ranks: np.ndarray
) -> np.ndarray:
    """One-sided p-values (P,) that slices have larger errors than the other examples.

    Args:
        sums: of the ranks in each slice, (P,).
        sizes: examples of each, (P,).
        errors: of all examples, (N,).
        ranks: of all, as `_ranks` gives them, (N,).
    """
    from scipy.stats import hypergeom

    count = len(errors)
    if _are_binary(errors):
        wrong = int(errors.sum())
        return np.asarray(hypergeom.sf(np.round(sums) - 1, count, wrong, sizes))
    others = count - sizes
    _, ties = np.unique(ranks, return_counts=True)
    correction = (ties**3 - ties).sum() / (count * (count - 1))
    variance = sizes * others / 12 * (count + 1 - correction)
    excess = sums - sizes * (sizes + 1) / 2 - sizes * others / 2 - 0.5  # with continuity
    return np.asarray(ndtr(-excess / np.sqrt(np.maximum(variance, 1e-12))))


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values corrected for their number by Holm's method, (P,)."""
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    raised = np.maximum.accumulate(p_values[order] * (count - np.arange(count)))
    corrected = np.empty(count)
    corrected[order] = np.minimum(raised, 1.0)
    return corrected


def _report(scores: Scores, values: Values, p_value: float, tested: int) -> dict[str, Any]:
    """A slice that is worse than the rest, with a sentence."""
    members = np.logical_and.reduce([rows for *_, rows in values])
    error, elsewhere = (float(scores.errors[rows].mean()) for rows in (members, ~members))
    where = join_names([f"{column} is {value!r}" for column, value, _ in values], 2)
    format_spec = ".1%" if _are_binary(scores.errors) else ".3g"
    sentence = (
        f"Where {where} ({int(members.sum()):,} examples) the {scores.error} is "
        f"{error:{format_spec}}, elsewhere {elsewhere:{format_spec}} "
        f"(p = {p_value:.2g}, corrected for {tested:,} slices)."
    )
    return {
        "columns": [column for column, *_ in values],
        "values": [value for _, value, _ in values],
        "n": int(members.sum()),
        "error": error,
        "error_elsewhere": elsewhere,
        "p_value": p_value,
        "sentence": sentence,
    }
