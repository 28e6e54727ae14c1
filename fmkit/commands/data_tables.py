"""Tables that `fmkit check` prints: classes, numbers, sizes, and the problems of a dataset."""

from __future__ import annotations

from typing import Any

from fmkit.commands.result_tables import duration, new_table
from fmkit.core.console import escape_markup, stdout
from fmkit.core.errors import plural
from fmkit.core.modalities import modality_entry

_SEVERITIES = {"error": "[bold red]error[/]", "warning": "[yellow]warning[/]", "note": "note"}
_MAX_CLASSES, _MAX_ITEMS, _BAR_WIDTH = 40, 10, 24
_COUNTED = {"classes": "class", "labels": "label", "entities": "entity", "tags": "tag"}
"""Keys of a report that hold counts per split, and what a row of theirs is."""


def dataset(report: dict[str, Any]) -> None:
    """What a dataset contains, then its problems, the first ten of each kind."""
    root = f", {escape_markup(report['root'])}" if report["root"] else ""
    examples = plural(report["examples"], "example")
    stdout.print(
        f"{escape_markup(report['data'])}{root}: {examples}, {report['usable']:,} of them usable, "
        f"{_targets(report)}"
    )
    key = next((key for key in _COUNTED if report.get(key)), "classes")
    _class_table(report.get(key) or {}, _COUNTED[key])
    _number_table(report.get("numbers") or {})
    _size_table(report)
    if not report["findings"]:
        stdout.print("no problems found")
    for finding in report["findings"]:
        _print_finding(finding)
    counts = [(report["errors"], "error"), (report["warnings"], "warning"),
              (report["notes"], "note")]  # fmt: skip
    totals = ", ".join(plural(count, noun) for count, noun in counts)
    stdout.print(f"\n{totals}")


def _print_finding(finding: dict[str, Any]) -> None:
    severity, items = _SEVERITIES[finding["severity"]], finding["items"]
    stdout.print(f"\n{severity} {escape_markup(finding['title'])} ({finding['count']:,})")
    for item in items[:_MAX_ITEMS]:
        text = ": ".join(part for part in (item["where"], item["why"]) if part)
        stdout.print(f"   {escape_markup(text)}")
    if len(items) > _MAX_ITEMS:
        stdout.print(f"   and {len(items) - _MAX_ITEMS:,} more")
    if finding["advice"]:
        stdout.print(f"   [dim]{escape_markup(finding['advice'])}[/]")


def _targets(report: dict[str, Any]) -> str:
    """What there is to learn, such as `3 classes`."""
    nouns = {"classes": "class", "labels": "label", "numbers": "number", "tags": "tag"}
    for key, noun in nouns.items():
        if targets := report.get(key):
            entities = report.get("entities") if key == "tags" else None
            types = f", {len(entities)} types of entity" if entities else ""
            return f"{len(targets)} {key if len(targets) > 1 else noun}{types}"
    annotated = report.get("annotations") or {}
    counts = ", ".join(f"{count:,} {name}" for name, count in annotated.get("counts", {}).items())
    return ": ".join(filter(None, [annotated.get("kind"), counts])) or "no labels"


def _class_table(classes: dict[str, dict[str, int]], noun: str) -> None:
    """A row per class or label: its examples in each split, and a bar."""
    if not classes:
        return
    splits = list(next(iter(classes.values())))
    table = new_table(noun, *splits, "", "all")
    table.columns[-2].justify = "left"
    totals = {name: sum(counts.values()) for name, counts in classes.items()}
    largest = max(1, *totals.values())
    ranked = sorted(classes, key=lambda name: -totals[name])
    for name in ranked if len(ranked) <= _MAX_CLASSES else ranked[: _MAX_CLASSES - 5]:
        length = round(_BAR_WIDTH * totals[name] / largest)
        bar = "█" * max(1 if totals[name] else 0, length)
        counts = [f"{count:,}" for count in classes[name].values()]
        table.add_row(escape_markup(name), *counts, bar, f"{totals[name]:,}")
    if len(ranked) > _MAX_CLASSES:
        rest = ranked[_MAX_CLASSES - 5 :]
        fewest = min(totals[name] for name in rest)
        table.add_row(f"and {len(rest)} more", *[""] * len(splits), f"at least {fewest:,} each", "")
    stdout.print(table)


def _number_table(numbers: dict[str, Any]) -> None:
    """A row per number and split: its mean, deviation and quantiles."""
    if not numbers:
        return
    table = new_table(
        "number", "split", "mean", "deviation", "least", "25%", "median", "75%", "most"
    )
    for name, by_split in list(numbers.items())[:_MAX_CLASSES]:
        for split, summary in by_split.items():
            least, _, low, median, high, _, most = summary["quantiles"]
            shown = (summary["mean"], summary["deviation"], least, low, median, high, most)
            table.add_row(escape_markup(name), split, *(f"{value:.5g}" for value in shown))
    stdout.print(table)
    if len(numbers) > _MAX_CLASSES:
        stdout.print(f"and {len(numbers) - _MAX_CLASSES} more numbers")


def _size_table(report: dict[str, Any]) -> None:
    """Quantiles of the sizes, then formats and modes."""
    sizes = report["sizes"]
    if "width" in sizes and not report["formats"]:  # arrays have one size
        stdout.print(f"all are {sizes['width'][0]} x {sizes['height'][0]} pixels")
    elif sizes:
        table = new_table(
            modality_entry(report["modality"]).plural,
            "least",
            "5%",
            "25%",
            "median",
            "75%",
            "95%",
            "most",
        )
        for name, values in sizes.items():
            table.add_row(name.replace("_", " "), *(f"{value:,}" for value in values))
        stdout.print(table)
    for name in ("formats", "modes"):
        if report[name]:
            counts = ", ".join(f"{count:,} {value}" for value, count in report[name].items())
            stdout.print(f"{name}: {escape_markup(counts)}")
    if report["files_read"]:
        rate = report["files_read"] / max(report["seconds"], 1e-3)
        stdout.print(
            f"{report['files_read']:,} files read in {duration(report['seconds'])}, "
            f"{rate:,.0f} per second; results for other files come from the cache"
        )
