"""Gaps between groups: demographic parity and equalised odds of a classifier.

Demographic parity compares how often a class is predicted in each group, equalised odds how often
among examples of the class and among the others (Hardt et al. 2016, arXiv:1610.02413).

N examples, G groups.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fmkit.evaluation.prediction_tables import Columns
from fmkit.evaluation.scores import Scores
from fmkit.evaluation.slices.groups import MIN_EXAMPLES, MISSING, OTHERS, SIGNIFICANCE

_RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")


def gaps(
    scores: Scores, columns: Mapping[str, Sequence[str]]
) -> tuple[dict[str, dict[str, Any]], Columns]:
    """The widest gaps of each column, ready for JSON, and a table of the rates of each group.

    With two classes the second one counts, since the first's rates are the other side of the same.
    A rate of fewer than `groups.MIN_EXAMPLES` examples is not compared.

    Args:
        scores: of a classifier.
        columns: by name, the group of each example, (N,).
    """
    classes = scores.classes if len(scores.classes) > 2 else scores.classes[1:]
    labels, predicted = np.array(scores.labels), np.array(scores.predictions)
    rows: list[dict[str, Any]] = []
    widest = {}
    for column, groups in columns.items():
        names = [name for name in sorted({*groups}) if name not in (OTHERS, MISSING)]
        own = np.array(groups)
        of_column = [
            {"column": column, "value": name, "class": kind, **_rates(
                labels[own == name] == kind, predicted[own == name] == kind
            )}
            for kind in classes
            for name in names
        ]  # fmt: skip
        rows += of_column
        widest[column] = _widest(column, classes, of_column)
    keys = ("column", "value", "class", "n", "positives", *_RATES)
    return widest, {key: [row[key] for row in rows] for key in keys}


def _rates(is_class: np.ndarray, is_predicted: np.ndarray) -> dict[str, Any]:
    """Rates of one group and class, NaN of too few examples, and the counts that they are of."""
    parts = {
        "selection_rate": np.ones(len(is_class), bool),
        "true_positive_rate": is_class,
        "false_positive_rate": ~is_class,
    }
    rates = {
        name: float(is_predicted[part].mean()) if part.sum() >= MIN_EXAMPLES else float("nan")
        for name, part in parts.items()
    }
    counts = {
        f"{name}_counts": (int(is_predicted[part].sum()), int((~is_predicted[part]).sum()))
        for name, part in parts.items()
    }
    return {"n": len(is_class), "positives": int(is_class.sum()), **rates, **counts}


def _widest(
    column: str, classes: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The widest gaps over the classes, and a sentence about each."""
    parity: dict[str, Any] = {"gap": None}
    odds: dict[str, Any] = {"gap": None}
    for kind in classes:
        of_class = [row for row in rows if row["class"] == kind]
        for rate in _RATES:
            known = [row for row in of_class if np.isfinite(row[rate])]
            if len(known) < 2:
                continue
            low, high = (choose(known, key=lambda row: row[rate]) for choose in (min, max))
            gap = {
                "gap": high[rate] - low[rate], "class": kind, "rate": rate,
                "highest": high["value"], "highest_rate": high[rate],
                "lowest": low["value"], "lowest_rate": low[rate],
                "p_value": _p_value([row[f"{rate}_counts"] for row in known], len(classes)),
            }  # fmt: skip
            target = parity if rate == "selection_rate" else odds
            if target["gap"] is None or gap["gap"] > target["gap"]:
                target.update(gap)
    return {
        "demographic_parity": parity,
        "equalised_odds": odds,
        "sentences": [_sentence(column, gap) for gap in (parity, odds) if gap["gap"] is not None],
    }


def _p_value(counts: Sequence[tuple[int, int]], classes: int) -> float:
    """Of a chi-squared test that groups have one rate, times the number of such tests of a column.

    Args:
        counts: of each group, how often the class was predicted and how often another was.
        classes: that are compared.
    """
    from scipy.stats import chi2_contingency

    table = np.array(counts)
    if not table.sum(axis=0).all():  # never or always predicted
        return 1.0
    return min(1.0, float(chi2_contingency(table, correction=False).pvalue) * classes * len(_RATES))


_PHRASES = {
    "selection_rate": "{kind!r} is predicted for {high} of the examples",
    "true_positive_rate": "of the examples of {kind!r}, {high} are predicted as such",
    "false_positive_rate": "of the examples of other classes, {high} are predicted as {kind!r}",
}


def _sentence(column: str, gap: Mapping[str, Any]) -> str:
    phrase = _PHRASES[gap["rate"]].format(kind=gap["class"], high=f"{gap['highest_rate']:.1%}")
    name = "demographic parity" if gap["rate"] == "selection_rate" else "equalised odds"
    chance = ", which may well be chance" if gap["p_value"] > SIGNIFICANCE else ""
    return (
        f"Where {column} is {gap['highest']!r}, {phrase}; where it is {gap['lowest']!r}, "
        f"{gap['lowest_rate']:.1%}: a gap in {name} of {gap['gap']:.3f} "
        f"(p = {gap['p_value']:.2g}, corrected for all classes){chance}."
    )
