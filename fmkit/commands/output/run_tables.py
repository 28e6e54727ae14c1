"""Tables of runs: a list, a ranking, one run in detail, two compared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from fmkit.core import sanitize
from fmkit.core.errors import plural
from fmkit.store import run_content, run_index, run_lineage, run_query, run_table
from fmkit.store.run_query import Selection

NOTHING = "-"
ABSENT = "(absent)"

_MAX_DISAGREEMENTS = 20
_FOLDED = 4  # so many columns are folded on a narrow terminal, and the rest is left out
METRICS = (
    *("n", "loss", "accuracy", "top5", "macro_f1", "balanced_accuracy"),
    *("expected_calibration_error", "brier", "micro_f1", "subset_accuracy"),
    *("mean_average_precision", "mae", "rmse", "r2", "exact_match", "f1"),
    *("words", "precision", "recall", "token_macro_f1"),
)
"""Metrics of a split that tables of runs show."""


@dataclass(frozen=True)
class Rows:
    """A table: rich on a terminal, else a `#` title, a header and tab-separated rows.

    A terminal does not get columns without any value, nor the last ones where it is too narrow.

    Attributes:
        title: what it shows.
        columns: header; the first column is never cut or folded.
        rows: a value per column; None is shown as `-`.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __rich_console__(self, target: Console, options: ConsoleOptions) -> RenderResult:
        if not target.is_terminal:
            lines = ["\t".join(map(_line, row)) for row in [self.columns, *self.rows]]
            yield Segment("\n".join([f"# {_line(self.title)}", *lines]) + "\n")
            return
        cells = [[_cell(value) for value in row] for row in self.rows]
        shown, left_out, room = [], [], options.max_width
        table = Table(title=_cell(self.title), title_justify="left", box=box.SIMPLE, pad_edge=False)
        for number, name in enumerate(self.columns):
            filled = [row[number].cell_len for row in cells if row[number].plain != NOTHING]
            if not filled:
                continue
            room -= max(*filled, len(name)) + 3
            if room < 0 and number >= _FOLDED:
                left_out.append(name)
                continue
            shown.append(number)
            width = None if number else max(row[0].cell_len for row in cells)
            table.add_column(_cell(name), overflow="fold", min_width=width, no_wrap=number == 0)
        for row in cells:
            table.add_row(*(row[number] for number in shown))
        yield table
        if left_out:
            yield Text(f"Too narrow for: {', '.join(left_out)}. A pipe gets them all.\n", "dim")


def _cell(value: Any) -> Text:
    """A value as one line, which no markup changes."""
    return Text(_line(value))


def _line(value: Any) -> str:
    """A value as one line of text without control characters."""
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, dict | list):
        text = json.dumps(value)
    else:
        text = NOTHING if value in (None, "") else str(value)
    return sanitize.escape_invisible(text)


def listing(
    selected: Selection,
    chosen: Sequence[str] = (),
    varied: Sequence[str] = (),
    overrides: Mapping[str, list[str]] | None = None,
) -> Rows:
    """A row per run.

    Args:
        selected: the runs, with the values of the keys that were asked for.
        chosen: the only columns, beside the id; empty: the usual ones, and what was asked for.
        varied: of the jobs of a sweep, the settings that differ.
        overrides: of jobs without such settings, what was typed for them and differs.
    """
    if chosen:
        columns = ["id", *(key for key in chosen if key != "id")]
    else:
        columns = ["id", "state", "test accuracy", *(["overrides"] if overrides else []), *varied]
        columns += ["name", "data", "model", "val accuracy", "stage", "phase", "epoch", "seconds"]
        columns += ["command", "reason"]
        named = {name.replace(" ", ".") for name in columns}
        columns[2:2] = [key for key in selected.values if key not in named]
    rows = _rows(selected.runs, columns, overrides)
    for key, values in selected.values.items():
        for place in (k for k, name in enumerate(columns) if name == key):
            for row, value in zip(rows, values, strict=True):
                is_age = key == run_table.AGE and value is not None
                row[place] = run_query.age_text(value) if is_age else value
    return Rows("runs", columns, rows)


def ranking(
    ranked: Sequence[run_index.RunSummary],
    metric: str,
    overrides: Mapping[str, list[str]] | None = None,
) -> Rows:
    """Runs in the order given, with the metric that ranks them, and overrides as in `listing`."""
    several = len({(run.data, run.data_root) for run in ranked}) > 1
    warning = "; runs on different data do not compare, add data=NAME" if several else ""
    shown = ["overrides"] if overrides else []
    columns = ("id", metric, *shown, "data", "model", "stage", "state", "name")
    return Rows(f"best by {metric}{warning}", columns, _rows(ranked, columns, overrides))


def _rows(
    summaries: Sequence[run_index.RunSummary],
    columns: Sequence[str],
    overrides: Mapping[str, list[str]] | None,
) -> list[list[Any]]:
    rows = []
    for run in summaries:
        stage = run.stage if not isinstance(run.stage, list) else "+".join(map(str, run.stage))
        values = {**run_index.row(run), "stage": stage, "data": run.data_label}
        values["overrides"] = " ".join((overrides or {}).get(run.id, ()))
        rows.append([values.get(name.replace(" ", ".")) for name in columns])
    return rows


def details(run: Mapping[str, Any]) -> list[Rows]:
    """One run, as `runs.details` has it: its status, phases, epochs, metrics and files."""
    apart = ("id", "test", "val", "phases", "epochs", "evaluations", "exports", "files", "resumes")
    shown = {key: run.get(key) for key in ("folder", "state", "reason")}
    shown |= {key: value for key, value in run.items() if key not in (*shown, *apart)}
    pairs = [(key, value) for key, value in run_content.flat(shown).items() if value is not None]
    tables = [Rows("status", ("key", "value"), pairs)]
    phases = run.get("phases")
    if isinstance(phases, list) and phases and all(isinstance(phase, dict) for phase in phases):
        tables.append(_mappings("phases", phases))
    if resumes := run_lineage.resumes(run):
        tables.append(_mappings("resumes", resumes))
    if run["epochs"]:
        tables.append(_mappings("epochs", run["epochs"]))
    rows = []
    for split, metrics in run["evaluations"].items():
        intervals = metrics.get("intervals")
        bounds = intervals.get("accuracy") if isinstance(intervals, dict) else None
        interval = None
        if isinstance(bounds, list) and len(bounds) == 2:
            interval = " to ".join(_cell(bound).plain for bound in bounds)
        rows.append([split, *(metrics.get(name) for name in METRICS), interval])
    if rows:
        tables.append(Rows("figures", ("split", *METRICS, "accuracy 95% interval"), rows))
    if run.get("exports"):
        tables.append(_mappings("exports", run["exports"]))
    return [*tables, _mappings("files", run["files"])]


def _mappings(title: str, mappings: list[dict[str, Any]]) -> Rows:
    columns = list(dict.fromkeys(key for row in mappings for key in row if key != "rss_bytes"))
    return Rows(title, columns, [[row.get(key) for key in columns] for row in mappings])


def comparison(content: Mapping[str, Any]) -> list[Rows]:
    """What differs between two runs, as `runs.comparison` has it."""
    heads = ["/".join(run["folder"].absolute().parts[-2:]) for run in content["runs"]]
    settings, metrics = (
        [(row["key"], row.get("first", absent), row.get("second", absent), row.get("difference"))
         for row in content[part]]
        for part, absent in (("settings", ABSENT), ("metrics", None))
    )  # fmt: skip
    return [
        Rows("settings that differ", ("key", *heads), [row[:3] for row in settings]),
        Rows("figures", ("figure", *heads, "second - first"), metrics),
        *(_paired(content["paired"], heads) if content.get("paired") else ()),
    ]


def _paired(pair: Mapping[str, Any], heads: Sequence[str]) -> list[Rows]:
    """Two runs on the same examples, as `paired_runs.paired` has them."""
    title = f"{pair['split']}, {plural(pair['n'], 'example')} that both runs have"
    rows = []
    for row in pair["metrics"]:
        bounds = row["interval"]
        interval = None if bounds is None else " to ".join(_cell(bound).plain for bound in bounds)
        rows.append([*(row[key] for key in ("key", "first", "second", "difference")), interval])
    columns = ("figure", *heads, "second - first", "95% interval, paired")
    tables = [Rows(title, columns, rows)]
    if test := pair["mcnemar"]:
        keys = ("both_right", "only_first_right", "only_second_right", "both_wrong", "p_value")
        shown = [[test[key] for key in keys]]
        names = [key.replace("_", " ") for key in keys]
        tables.append(Rows("McNemar's exact test", names, shown))
    listed = pair["disagreements"]
    if listed:
        count = (
            f"{_MAX_DISAGREEMENTS} of {len(listed):,}" if len(listed) > _MAX_DISAGREEMENTS else ""
        )
        keys = ("id", "label", "first", "second", "better")
        shown = [[row[key] for key in keys] for row in listed[:_MAX_DISAGREEMENTS]]
        names = ["id", "label", *heads, "better"]
        tables.append(Rows(f"disagreements{f', {count}' if count else ''}", names, shown))
    return tables
