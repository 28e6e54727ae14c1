"""The small tables that commands end with, on stdout."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

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
    out.print(f"total time {duration(status['total_seconds'])}")
    out.print(f"run: {clean(str(folder))}")


def _figures(by_split: dict[str, Any]) -> None:
    if not by_split:
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


def evaluation(figures: dict[str, Any], data: str, split: str, path: Path) -> None:
    """An evaluation: the whole, then a row a class."""
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
    """The first predictions, and where the whole table is."""
    table = _table("", "photo", "prediction", "confidence")
    rows = zip(columns["path"], columns["prediction"], columns["confidence"], strict=True)
    for number, (path, name, confidence) in enumerate(rows):
        if number == 10:
            break
        shown = "-" if name is None else clean(name)
        table.add_row(clean(Path(path).name), shown, "-" if name is None else f"{confidence:.4f}")
    out.print(table)
    unread = f", {errors} of them could not be read" if errors else ""
    out.print(f"{len(columns['path'])} photos{unread}")
    out.print(f"table: {clean(str(output))}")


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
            f"{test['accuracy']:.4f}" if test else "-",
        )
    out.print(table)
    for _, run in jobs:
        if run.status["reason"]:
            reason = textwrap.shorten(run.status["reason"], 160, placeholder=" ...")
            out.print(f"job {clean(run.folder.name)} {run.status['state']}: {clean(reason)}")
    out.print(f"sweep: {clean(str(folder))}")


def duration(seconds: float) -> str:
    """Seconds as `3.2 s` or `4 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
