"""The small tables that commands end with, on stdout."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from fmkit import files
from fmkit.console import clean, out
from fmkit.store.run import Run


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, box=box.SIMPLE, title_justify="left", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    return table


def result(folder: Path, status: dict[str, Any]) -> None:
    """A finished run: a row a phase, the figures of the final model, and where it is."""
    table = _table("", "phase", "epochs", "time", "best epoch", "best value")
    for phase in status["phases"]:
        name = clean(phase["name"])
        if phase["skipped"]:
            table.add_row(name, "-", "-", "-", clean(phase["skipped"]))
            continue
        best = phase["best"]
        table.add_row(
            name,
            str(phase["epochs"]),
            duration(phase["seconds"]),
            str(best["epoch"]) if best else "-",
            f"{best['monitor']} {best['value']:.4f}" if best else "-",
        )
    out.print(table)
    _figures({split: status[split] for split in ("val", "test") if status.get(split)})
    for name, found in list((status.get("objectives") or {}).items())[1:]:  # that was the first
        _figures({f"{split} of {clean(name)}": found[split] for split in found})
    out.print(f"total time {duration(status['total_seconds'])}")
    out.print(f"run: {clean(files.short(folder))}")


def _figures(by_split: dict[str, Any]) -> None:
    if not by_split:
        return
    if any("macro_f1" not in found for found in by_split.values()):
        _numbers(by_split)
        return
    table = _table("", "split", "examples", "accuracy", "95% interval", "macro F1", "log loss")
    for split, found in by_split.items():
        low, high = (found.get("intervals") or {}).get("accuracy") or (None, None)
        interval = f"{low:.4f} to {high:.4f}" if low is not None and high is not None else "-"
        table.add_row(
            split,
            str(found["n"]),
            f"{found['accuracy']:.4f}",
            interval,
            f"{found['macro_f1']:.4f}",
            f"{found['loss']:.4f}",
        )
    out.print(table)


def _numbers(by_split: dict[str, Any]) -> None:
    """Whatever numbers there are, a column each."""
    names = [
        name
        for name, value in next(iter(by_split.values())).items()
        if isinstance(value, int | float) and name != "n"
    ]
    table = _table("", "split", "examples", *(name.replace("_", " ") for name in names))
    for split, found in by_split.items():
        table.add_row(split, str(found["n"]), *(f"{found[name]:.4f}" for name in names))
    out.print(table)


def evaluation(figures: dict[str, Any], data: str, split: str, path: Path) -> None:
    """An evaluation: the whole, then a row a class."""
    if "per_class" not in figures:
        out.print(f"{clean(data)}, {split}")
        _figures({split: figures})
        out.print(f"figures: {clean(str(path))}")
        if "intervals" in figures:  # of examples one by one
            out.print(f"table: {clean(str(path.with_suffix('.parquet')))}")
        return
    out.print(f"{clean(data)}, {split}: expected calibration error "
              f"{figures['expected_calibration_error']:.4f}")  # fmt: skip
    _figures({split: figures})
    table = _table("", "class", "examples", "precision", "recall", "F1")
    for name, row in list(figures["per_class"].items())[:50]:
        table.add_row(
            clean(name),
            str(row["support"]),
            f"{row['precision']:.4f}",
            f"{row['recall']:.4f}",
            f"{row['f1']:.4f}",
        )
    out.print(table)
    out.print(f"figures: {clean(str(path))}")
    out.print(f"table: {clean(str(path.with_suffix('.parquet')))}")


def predictions(columns: dict[str, Any], errors: int, output: Path) -> None:
    """The first predictions, and where the whole table is; of features only how many they are."""
    noun, key = ("photo", "path") if "path" in columns else ("text", "id")
    unread = f", {errors} of them could not be read" if errors else ""
    if "prediction" not in columns:
        width = sum(name.startswith("feature_") for name in columns)
        out.print(f"{len(columns[key])} {noun}s, {width} features each{unread}")
        out.print(f"table: {clean(str(output))}")
        return
    table = _table("", noun, "prediction", "confidence")
    rows = zip(columns[key], columns["prediction"], columns["confidence"], strict=True)
    for number, (path, name, confidence) in enumerate(rows):
        if number == 10:
            break
        shown = "-" if name is None else clean(name)
        table.add_row(clean(Path(path).name), shown, "-" if name is None else f"{confidence:.4f}")
    out.print(table)
    out.print(f"{len(columns[key])} {noun}s{unread}")
    out.print(f"table: {clean(str(output))}")


_MARKS = {"error": "[bold red]error[/]", "warning": "[yellow]warning[/]", "note": "note"}
_CLASSES, _ITEMS, _BAR = 40, 10, 24


def data_set(report: dict[str, Any]) -> None:
    """What a data set looks like, then what is wrong with it, the first ten of each kind."""
    place = f", {clean(report['root'])}" if report["root"] else ""
    classes = f"{len(report['classes'])} classes" if report["classes"] else "no labels"
    out.print(f"{clean(report['data'])}{place}: {report['examples']:,} examples, "
              f"{report['usable']:,} of them usable, {classes}")  # fmt: skip
    _class_table(report["classes"])
    _size_table(report)
    if not report["findings"]:
        out.print("nothing is wrong with it")
    for each in report["findings"]:
        out.print(f"\n{_MARKS[each['severity']]} {clean(each['title'])} ({each['count']:,})")
        for item in each["items"][:_ITEMS]:
            told = ": ".join(part for part in (item["where"], item["why"]) if part)
            out.print(f"   {clean(told)}")
        if len(each["items"]) > _ITEMS:
            out.print(f"   and {len(each['items']) - _ITEMS:,} more")
        if each["advice"]:
            out.print(f"   [dim]{clean(each['advice'])}[/]")
    errors, warnings = report["errors"], report["warnings"]
    out.print(f"\n{errors:,} errors, {warnings:,} warnings, {report['notes']:,} notes")


def _class_table(classes: dict[str, dict[str, int]]) -> None:
    """A row a class: its examples in each split, and a bar."""
    if not classes:
        return
    splits = list(next(iter(classes.values())))
    table = _table("", "class", *splits, "", "all")
    table.columns[-2].justify = "left"
    totals = {name: sum(counts.values()) for name, counts in classes.items()}
    most = max(1, *totals.values())
    ranked = sorted(classes, key=lambda name: -totals[name])
    for name in ranked if len(ranked) <= _CLASSES else ranked[: _CLASSES - 5]:
        bar = "█" * max(1 if totals[name] else 0, round(_BAR * totals[name] / most))
        counts = [f"{count:,}" for count in classes[name].values()]
        table.add_row(clean(name), *counts, bar, f"{totals[name]:,}")
    if len(ranked) > _CLASSES:
        rest = ranked[_CLASSES - 5 :]
        fewest = min(totals[name] for name in rest)
        table.add_row(f"and {len(rest)} more", *[""] * len(splits), f"at least {fewest:,} each", "")
    out.print(table)


def _size_table(report: dict[str, Any]) -> None:
    """Quantiles of the sizes, then formats and modes."""
    found, is_text = report["sizes"], report["modality"] == "text"
    if found and not is_text and not report["formats"]:  # arrays have one size
        out.print(f"all are {found['width'][0]} x {found['height'][0]} pixels")
    elif found:
        things = "texts" if is_text else "photos"
        table = _table("", things, "least", "5%", "25%", "median", "75%", "95%", "most")
        for name, values in found.items():
            table.add_row(name.replace("_", " "), *(f"{value:,}" for value in values))
        out.print(table)
    for name in ("formats", "modes"):
        if report[name]:
            told = ", ".join(f"{count:,} {each}" for each, count in report[name].items())
            out.print(f"{name}: {clean(told)}")
    if report["files_read"]:
        rate = report["files_read"] / max(report["seconds"], 1e-3)
        out.print(f"{report['files_read']:,} files read in {duration(report['seconds'])}, "
                  f"{rate:,.0f} a second; what is known of others was kept")  # fmt: skip


def sweep(folder: Path, jobs: list[tuple[list[str], Run]]) -> None:
    """A finished sweep: a row a job with what differs between them, then why jobs failed."""
    table = _table("", "job", "overrides", "state", "best value", "test accuracy")
    shared = set.intersection(*(set(overrides) for overrides, _ in jobs)) if len(jobs) > 1 else ()
    for overrides, run in jobs:
        status = run.status
        best, test = status["best"], status["test"]
        table.add_row(
            clean(run.folder.name),
            clean(" ".join(each for each in overrides if each not in shared)),
            status["state"],
            f"{best['monitor']} {best['value']:.4f}" if best else "-",
            f"{test['accuracy']:.4f}" if test and "accuracy" in test else "-",
        )
    out.print(table)
    for _, run in jobs:
        if run.status["reason"]:
            reason = textwrap.shorten(run.status["reason"], 160, placeholder=" ...")
            out.print(f"job {clean(run.folder.name)} {run.status['state']}: {clean(reason)}")
    out.print(f"sweep: {clean(files.short(folder))}")


def duration(seconds: float) -> str:
    """Seconds as `3.2 s` or `4 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
