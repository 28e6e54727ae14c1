"""The results as Markdown: means, ranks, paired tests, seconds, own heads, failures."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from quality.comparison import Difference, holm, mean_ranks, over_sets, paired
from quality.datasets import DATASETS
from quality.results import Row

Cells = dict[str, dict[str, dict[int, float]]]
"""By data set with its size, by method, by seed: a figure."""


def markdown(
    rows: Iterable[Row], against: str, noise: float, methods: Sequence[str] | None = None
) -> str:
    """All tables.

    Args:
        rows: of the file of results. Where several versions of the code are among them, methods of
            fmkit are called `NAME@TAG`.
        against: the method that the others are compared with; of several versions `NAME@TAG`.
        noise: smaller mean differences count as none.
        methods: names without tags, in the order of the columns; None: all, as they come.
    """
    rows = [row for row in rows if methods is None or row["method"] in methods]
    if methods is not None:
        rows.sort(key=lambda row: methods.index(row["method"]))
    rows.sort(key=_order)
    labels = _labels(rows)
    good = [row for row in rows if not row["error"]]
    parts = []
    for metric in dict.fromkeys(row["metric"] for row in good):
        of_metric = [row for row in good if row["metric"] == metric]
        values = _cells(of_metric, labels, lambda row: row["value"])
        parts += [f"### {metric}", _means(values), _against(values, against, noise)]
    seconds = _cells(good, labels, lambda row: row["processor_seconds"])
    parts += ["### Processor seconds of a run, without imports", _seconds(seconds)]
    parts += [_own_heads(good, labels), _failures(rows, labels)]
    return "\n\n".join(part for part in parts if part)


def _order(row: Row) -> tuple[int, int]:
    """Data sets and sizes in the order of `DATASETS`."""
    names = list(DATASETS)
    if row["data"] not in names:
        return len(names), 0
    sizes = DATASETS[row["data"]].sizes
    place = sizes.index(row["size"]) if row["size"] in sizes else len(sizes)
    return names.index(row["data"]), place


def _labels(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """By method and tag, the name of a column."""
    several = len({row["tag"] for row in rows if row["tag"]}) > 1
    return {
        (row["method"], row["tag"]): (
            f"{row['method']}@{row['tag']}" if several and row["tag"] else row["method"]
        )
        for row in rows
    }


def _cells(
    rows: Sequence[Row], labels: Mapping[tuple[str, str], str], value: Callable[[Row], float]
) -> Cells:
    cells: Cells = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        label = labels[row["method"], row["tag"]]
        cells[f"{row['data']}@{row['size']}"][label][row["seed"]] = value(row)
    return cells


def _columns(cells: Cells) -> list[str]:
    return list(dict.fromkeys(method for row in cells.values() for method in row))


def _means(cells: Cells) -> str:
    """Means and standard deviations over seeds, the best mean of a row in bold; mean ranks."""
    columns = _columns(cells)
    lines = []
    for place, row in cells.items():
        best = max(statistics.mean(values.values()) for values in row.values())
        counts = {len(values) for values in row.values()}
        seeds = str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        shown = [_mean(row.get(column, {}), best) for column in columns]
        lines.append([place, seeds, *shown])
    ranked = columns
    if not any(row.keys() >= set(columns) for row in cells.values()):
        ranked = [column for column in columns if all(column in row for row in cells.values())]
    ranks, count = mean_ranks(_common_means(cells, ranked), ranked) if ranked else ({}, 0)
    if len(ranks) > 1:
        shown = [f"{ranks[column]:.2f}" if column in ranks else "" for column in columns]
        lines.append([f"mean rank over {count}", "", *shown])
    return _table(["data", "seeds", *columns], lines)


def _mean(values: Mapping[int, float], best: float) -> str:
    if not values:
        return ""
    mean = statistics.mean(values.values())
    text = f"{mean:.3f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values.values()):.3f}"
    return f"**{text}**" if mean == best else text


def _common_means(cells: Cells, methods: Sequence[str]) -> dict[str, dict[str, float]]:
    """Means over the seeds that all methods have, where there are any."""
    means = {}
    for place, row in cells.items():
        seeds = set.intersection(*(set(row.get(method, ())) for method in methods))
        if seeds:
            means[place] = {
                method: statistics.mean(row[method][seed] for seed in seeds) for method in methods
            }
    return means


def _against(cells: Cells, against: str, noise: float) -> str:
    """Every method's differences to one, over all data sets and by data set."""
    differences: dict[str, dict[str, Difference]] = {
        other: {
            place: difference
            for place, row in cells.items()
            if (difference := paired(row.get(other, {}), row.get(against, {}))) is not None
        }
        for other in _columns(cells)
        if other != against
    }
    differences = {other: row for other, row in differences.items() if row}
    if not differences:
        return ""
    return "\n\n".join(
        [
            f"Against `{against}`, over the seeds that both have:",
            _over_sets(differences, noise),
            "By data set, with p of the paired t-test (Holm over the table):",
            _by_set(differences, list(cells), noise),
        ]
    )


def _over_sets(differences: Mapping[str, Mapping[str, Difference]], noise: float) -> str:
    p_values = {
        other: over_sets([difference.mean for difference in row.values()])
        for other, row in differences.items()
    }
    tested = {other: p for other, p in p_values.items() if p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    lines = []
    for other, row in differences.items():
        verdicts = [difference.verdict(noise) for difference in row.values()]
        counts = [str(verdicts.count(name)) for name in ("better", "same", "worse")]
        mean = statistics.mean(difference.mean for difference in row.values())
        p = f"{adjusted[other]:.3f}" if other in adjusted else ""
        lines.append([other, *counts, f"{mean:+.4f}", p])
    head = ["", "better", "same", "worse", "mean difference", "p over data sets"]
    return _table(head, lines)


def _by_set(
    differences: Mapping[str, Mapping[str, Difference]], places: Sequence[str], noise: float
) -> str:
    tests = {
        (other, place): difference.p
        for other, row in differences.items()
        for place, difference in row.items()
        if difference.p is not None
    }
    adjusted = dict(zip(tests, holm(list(tests.values())), strict=True))
    lines = [
        [place]
        + [
            _difference(row.get(place), adjusted.get((other, place)), noise)
            for other, row in differences.items()
        ]
        for place in places
    ]
    return _table(["data", *differences], lines)


def _difference(difference: Difference | None, p: float | None, noise: float) -> str:
    if difference is None:
        return ""
    text = f"{difference.mean:+.3f}"
    if p is not None:
        text += f" ({p:.3f})"
    return text if difference.verdict(noise) == "same" else f"**{text}**"


def _seconds(cells: Cells) -> str:
    columns = _columns(cells)
    lines = [
        [place] + [f"{statistics.median(row[c].values()):.0f}" if c in row else "" for c in columns]
        for place, row in cells.items()
    ]
    return _table(["data", *columns], lines) if lines else ""


def _own_heads(rows: Sequence[Row], labels: Mapping[tuple[str, str], str]) -> str:
    """How often runs ended worse than the head that they started from."""
    by_method: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["own_head"] and "difference" in row["own_head"]:
            by_method[labels[row["method"], row["tag"]]].append(row["own_head"])
    if not by_method:
        return ""
    lines = []
    for method, heads in by_method.items():
        worse = [head for head in heads if head["difference"] < 0]
        clearly = [
            head
            for head in worse
            if head["standard_error"] is not None
            and head["difference"] < -2 * head["standard_error"]
        ]
        mean = statistics.mean(head["difference"] for head in heads)
        worst = min(head["difference"] for head in heads)
        lines.append(
            [method, str(len(heads)), str(len(worse)), str(len(clearly)), f"{mean:+.4f}",
             f"{worst:+.4f}"]
        )  # fmt: skip
    head = ["", "runs", "below their head", "by two standard errors", "mean difference", "worst"]
    return "\n\n".join(["### Runs beside their own head, on the test split", _table(head, lines)])


def _failures(rows: Sequence[Row], labels: Mapping[tuple[str, str], str]) -> str:
    lines = [
        f"- {row['data']}@{row['size']} seed {row['seed']} {labels[row['method'], row['tag']]}: "
        f"{row['error']}"
        for row in rows
        if row["error"]
    ]
    return "\n\n".join(["### Failed", "\n".join(lines)]) if lines else ""


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
