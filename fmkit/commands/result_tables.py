"""The small tables that commands end with, on stdout."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from fmkit.core import files
from fmkit.core.console import escape_markup, stdout
from fmkit.store.run_dir import Run


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, box=box.SIMPLE, title_justify="left", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    return table


def result(folder: Path, status: dict[str, Any]) -> None:
    """A finished run: a row a phase, the figures of the final model, and where it is."""
    table = _table("", "phase", "epochs", "time", "best epoch", "best value")
    for phase in status["phases"]:
        name = escape_markup(phase["name"])
        if phase["skipped"]:
            table.add_row(name, "-", "-", "-", escape_markup(phase["skipped"]))
            continue
        best = phase["best"]
        table.add_row(
            name,
            str(phase["epochs"]),
            duration(phase["seconds"]),
            str(best["epoch"]) if best else "-",
            f"{best['monitor']} {best['value']:.4f}" if best else "-",
        )
    stdout.print(table)
    _figures({split: status[split] for split in ("val", "test") if status.get(split)})
    for name, found in list((status.get("objectives") or {}).items())[1:]:  # that was the first
        _figures({f"{split} of {escape_markup(name)}": found[split] for split in found})
    stdout.print(f"total time {duration(status['total_seconds'])}")
    stdout.print(f"run: {escape_markup(files.display_path(folder))}")


def _figures(by_split: dict[str, Any]) -> None:
    if not by_split:
        return
    chosen = next((each for each in _SHOWN if _has(by_split, each)), None)
    if chosen is None:
        _numbers(by_split)
        return
    (first, title), *others = chosen.items()
    titles = (title, "95% interval", *(each for _, each in others))
    table = _table("", "split", "examples", *titles)
    for split, found in by_split.items():
        table.add_row(
            split, str(found["n"]), _number(found[first], first), _interval(found, first),
            *(_number(found[each], each) for each, _ in others),
        )  # fmt: skip
    stdout.print(table)


_SHOWN = (
    {"f1": "F1", "precision": "precision", "recall": "recall", "accuracy": "accuracy"},
    {"accuracy": "accuracy", "token_macro_f1": "macro F1", "loss": "log loss"},
    {"accuracy": "accuracy", "macro_f1": "macro F1", "loss": "log loss"},
    {"micro_f1": "micro F1", "macro_f1": "macro F1", "subset_accuracy": "all right",
     "loss": "log loss"},
    {"mae": "MAE", "rmse": "RMSE", "r2": "R2", "loss": "loss"},
)  # fmt: skip
"""Figures that a table of splits shows, and how they are called; the first has an interval. It is
the first row of them that all splits have; of what has none of these all numbers are shown."""


def _has(by_split: dict[str, Any], figures: dict[str, str]) -> bool:
    return all(figures.keys() <= found.keys() for found in by_split.values())


def _number(value: float | None, figure: str = "") -> str:
    """A figure; those in a user's units have as many digits as they need."""
    if value is None:
        return "-"
    return f"{value:.5g}" if figure in _IN_UNITS else f"{value:.4f}"


_IN_UNITS = ("mae", "rmse", "median_absolute_error", "mean_error")


def _interval(found: dict[str, Any], figure: str) -> str:
    pair = (found.get("intervals") or {}).get(figure)
    return " to ".join(_number(each, figure) for each in pair) if pair else "-"


def _numbers(by_split: dict[str, Any]) -> None:
    """Whatever numbers there are, a column each."""
    names = [
        name
        for name, value in next(iter(by_split.values())).items()
        if isinstance(value, int | float) and name != "n"
    ]
    table = _table("", "split", "examples", *(name.replace("_", " ") for name in names))
    for split, found in by_split.items():
        cells = (found.get(name) for name in names)
        shown = ("-" if each is None else f"{each:.4f}" for each in cells)
        table.add_row(split, str(found["n"]), *shown)
    stdout.print(table)


def evaluation(figures: dict[str, Any], data: str, split: str, path: Path) -> None:
    """An evaluation: the whole, then a row a class, a label, a number, an entity or a tag."""
    calibration = figures.get("expected_calibration_error")
    told = "" if calibration is None else f": expected calibration error {calibration:.4f}"
    stdout.print(f"{escape_markup(data)}, {split}{told}")
    parts = figures.get("parts") or {}
    _figures({split: figures, **{f"{split}, {name}": each for name, each in parts.items()}})
    found = next((each for each in _ROWS if each in figures), None)
    if found is not None:
        noun, columns = _ROWS[found]
        table = _table("", noun, *columns.values())
        for name, row in list(figures[found].items())[:_MAX_ROWS]:
            cells = [f"{row[key]:,}" if key == "support" else _number(row[key], key)
                     for key in columns]  # fmt: skip
            table.add_row(escape_markup(name), *cells)
        stdout.print(table)
    stdout.print(f"figures: {escape_markup(str(path))}")
    if found is not None or "intervals" in figures:  # of examples one by one
        stdout.print(f"table: {escape_markup(str(path.with_suffix('.parquet')))}")


_MAX_ROWS = 50
_HITS = {"precision": "precision", "recall": "recall", "f1": "F1"}
_ROWS: dict[str, tuple[str, dict[str, str]]] = {
    "per_class": ("class", {"support": "examples", **_HITS}),
    "per_label": (
        "label",
        {
            "support": "examples", **_HITS,
            "average_precision": "average precision", "roc_auc": "ROC AUC",
        },
    ),
    "per_number": (
        "number",
        {
            "mae": "MAE", "rmse": "RMSE", "median_absolute_error": "median error",
            "mean_error": "mean error", "r2": "R2", "pearson": "Pearson", "spearman": "Spearman",
        },
    ),
    "per_entity": ("entity", {"support": "entities", **_HITS}),
    "per_tag": ("tag", {"support": "words", **_HITS}),
}  # fmt: skip
"""By the figures that have a row each: what a row is, and its figures with their titles."""


def predictions(columns: dict[str, Any], errors: int, output: Path) -> None:
    """The first predictions, and where the whole table is; of features only how many they are."""
    noun, key = next((noun, key) for noun, key in _PREDICTED if key in columns)
    unread = f", {errors} of them could not be read" if errors else ""
    several = [each for each in columns if each.startswith("prediction")]
    if not several:
        width = sum(name.startswith("feature_") for name in columns)
        stdout.print(f"{len(columns[key])} {noun}s, {width} features each{unread}")
        stdout.print(f"table: {escape_markup(str(output))}")
        return
    chosen = [each for each in (*several, "confidence") if each in columns][:8]
    table = _table("", noun, *map(escape_markup, chosen))
    for number in range(min(10, len(columns[key]))):
        cells = [_cell(columns[each][number], each) for each in chosen]
        value = columns[key][number]
        shown = (
            "-" if value is None else escape_markup(value if key == "word" else Path(value).name)
        )
        table.add_row(shown, *cells)
    stdout.print(table)
    stdout.print(f"{len(columns[key])} {noun}s{unread}")
    stdout.print(f"table: {escape_markup(str(output))}")


def vocabulary(made: dict[str, Any], longest: list[str]) -> None:
    """A vocabulary: its size, how texts come out in it, and its longest pieces.

    Args:
        made: notes on the tokenizer, as its record has them.
        longest: its longest pieces as text.
    """
    figures, split = made["figures"], made["figures"]["split"]
    seen = "held out" if made["is_held_out"] else "learned from"
    table = _table("", "", f"{split}, {seen}")
    for name in ("words", "tokens"):
        table.add_row(name, f"{figures[name]:,}")
    for name in ("tokens_per_word", "bytes_per_token", "characters_per_token"):
        table.add_row(name.replace("_", " "), f"{figures[name]:.3f}")
    table.add_row("unknown tokens", f"{figures['unknown_share']:.3%}")
    stdout.print(f"{made['pieces']:,} pieces, {made['letters']:,} of them "
              f"{'bytes' if made['kind'] == 'byte_pair' else 'letters'} and marks")  # fmt: skip
    stdout.print(table)
    shown = [ascii(each)[1:-1] if not each.isprintable() else each for each in longest]
    if shown:
        stdout.print(f"longest pieces: {escape_markup(' | '.join(shown))}")


def _cell(value: Any, column: str) -> str:
    """A prediction as text; a dash where there is none, `(none)` where it is that of no label."""
    if value is None or value != value:
        return "-"
    if isinstance(value, str):
        return escape_markup(value) or "(none)"
    return f"{value:.4f}" if column == "confidence" else f"{value:.6g}"


_PREDICTED = (("photo", "path"), ("word", "word"), ("text", "id"))
"""What the rows of a table of predictions are, by the first of these columns that it has."""

_MARKS = {"error": "[bold red]error[/]", "warning": "[yellow]warning[/]", "note": "note"}
_CLASSES, _ITEMS, _BAR = 40, 10, 24


def data_set(report: dict[str, Any]) -> None:
    """What a data set looks like, then what is wrong with it, the first ten of each kind."""
    place = f", {escape_markup(report['root'])}" if report["root"] else ""
    stdout.print(f"{escape_markup(report['data'])}{place}: {report['examples']:,} examples, "
              f"{report['usable']:,} of them usable, {_learned(report)}")  # fmt: skip
    tables = {"classes": "class", "labels": "label", "entities": "entity", "tags": "tag"}
    chosen = next((key for key in tables if report.get(key)), "classes")
    _class_table(report.get(chosen) or {}, tables[chosen])
    _number_table(report.get("numbers") or {})
    _size_table(report)
    if not report["findings"]:
        stdout.print("nothing is wrong with it")
    for each in report["findings"]:
        stdout.print(
            f"\n{_MARKS[each['severity']]} {escape_markup(each['title'])} ({each['count']:,})"
        )
        for item in each["items"][:_ITEMS]:
            told = ": ".join(part for part in (item["where"], item["why"]) if part)
            stdout.print(f"   {escape_markup(told)}")
        if len(each["items"]) > _ITEMS:
            stdout.print(f"   and {len(each['items']) - _ITEMS:,} more")
        if each["advice"]:
            stdout.print(f"   [dim]{escape_markup(each['advice'])}[/]")
    errors, warnings = report["errors"], report["warnings"]
    stdout.print(f"\n{errors:,} errors, {warnings:,} warnings, {report['notes']:,} notes")


def _learned(report: dict[str, Any]) -> str:
    """What there is to be learned, in a few words."""
    one = {"classes": "class", "labels": "label", "numbers": "number", "tags": "tag"}
    for key, word in one.items():
        if found := report.get(key):
            entities = report.get("entities") if key == "tags" else None
            types = f", {len(entities)} types of entity" if entities else ""
            return f"{len(found)} {key if len(found) > 1 else word}{types}"
    annotated = report.get("annotations") or {}
    told = ", ".join(f"{count:,} {name}" for name, count in annotated.get("counts", {}).items())
    return ": ".join(filter(None, [annotated.get("kind"), told])) or "no labels"


def _class_table(classes: dict[str, dict[str, int]], word: str) -> None:
    """A row a class or a label: its examples in each split, and a bar."""
    if not classes:
        return
    splits = list(next(iter(classes.values())))
    table = _table("", word, *splits, "", "all")
    table.columns[-2].justify = "left"
    totals = {name: sum(counts.values()) for name, counts in classes.items()}
    most = max(1, *totals.values())
    ranked = sorted(classes, key=lambda name: -totals[name])
    for name in ranked if len(ranked) <= _CLASSES else ranked[: _CLASSES - 5]:
        bar = "█" * max(1 if totals[name] else 0, round(_BAR * totals[name] / most))
        counts = [f"{count:,}" for count in classes[name].values()]
        table.add_row(escape_markup(name), *counts, bar, f"{totals[name]:,}")
    if len(ranked) > _CLASSES:
        rest = ranked[_CLASSES - 5 :]
        fewest = min(totals[name] for name in rest)
        table.add_row(f"and {len(rest)} more", *[""] * len(splits), f"at least {fewest:,} each", "")
    stdout.print(table)


def _number_table(numbers: dict[str, Any]) -> None:
    """A row a number and split: its mean, deviation and quantiles."""
    if not numbers:
        return
    table = _table(
        "", "number", "split", "mean", "deviation", "least", "25%", "median", "75%", "most"
    )
    for name, by_split in list(numbers.items())[:_CLASSES]:
        for split, each in by_split.items():
            least, _, low, middle, high, _, most = each["quantiles"]
            shown = (each["mean"], each["deviation"], least, low, middle, high, most)
            table.add_row(escape_markup(name), split, *(f"{value:.5g}" for value in shown))
    stdout.print(table)
    if len(numbers) > _CLASSES:
        stdout.print(f"and {len(numbers) - _CLASSES} more numbers")


def _size_table(report: dict[str, Any]) -> None:
    """Quantiles of the sizes, then formats and modes."""
    found, is_text = report["sizes"], report["modality"] == "text"
    if found and not is_text and not report["formats"]:  # arrays have one size
        stdout.print(f"all are {found['width'][0]} x {found['height'][0]} pixels")
    elif found:
        things = "texts" if is_text else "photos"
        table = _table("", things, "least", "5%", "25%", "median", "75%", "95%", "most")
        for name, values in found.items():
            table.add_row(name.replace("_", " "), *(f"{value:,}" for value in values))
        stdout.print(table)
    for name in ("formats", "modes"):
        if report[name]:
            told = ", ".join(f"{count:,} {each}" for each, count in report[name].items())
            stdout.print(f"{name}: {escape_markup(told)}")
    if report["files_read"]:
        rate = report["files_read"] / max(report["seconds"], 1e-3)
        stdout.print(f"{report['files_read']:,} files read in {duration(report['seconds'])}, "
                  f"{rate:,.0f} a second; what is known of others was kept")  # fmt: skip


def sweep(folder: Path, jobs: list[tuple[list[str], Run]]) -> None:
    """A finished sweep: a row a job with what differs between them, then why jobs failed."""
    tests = {run.folder.name: run.status["test"] for _, run in jobs if run.status["test"]}
    shown = next((each for each in _SHOWN if tests and _has(tests, each)), _SHOWN[0])
    figure, title = next(iter(shown.items()))
    table = _table("", "job", "overrides", "state", "best value", f"test {title}")
    shared = set.intersection(*(set(overrides) for overrides, _ in jobs)) if len(jobs) > 1 else ()
    for overrides, run in jobs:
        status = run.status
        best, test = status["best"], status["test"]
        table.add_row(
            escape_markup(run.folder.name),
            escape_markup(" ".join(each for each in overrides if each not in shared)),
            status["state"],
            f"{best['monitor']} {best['value']:.4f}" if best else "-",
            _number(test[figure], figure) if test and figure in test else "-",
        )
    stdout.print(table)
    for _, run in jobs:
        if run.status["reason"]:
            reason = textwrap.shorten(run.status["reason"], 160, placeholder=" ...")
            stdout.print(
                f"job {escape_markup(run.folder.name)} {run.status['state']}: "
                f"{escape_markup(reason)}"
            )
    stdout.print(f"sweep: {escape_markup(files.display_path(folder))}")


def duration(seconds: float) -> str:
    """Seconds as `3.2 s` or `4 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
