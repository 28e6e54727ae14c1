"""`fmkit check`: inspect a dataset, and print its classes, numbers, sizes and problems."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmkit.commands import label_check, launch
from fmkit.commands.output import json_output
from fmkit.commands.output.result_tables import new_table, print_table
from fmkit.commands.training import early_checks
from fmkit.config.schema.commands import CheckConfig
from fmkit.config.units import format_time
from fmkit.core import files
from fmkit.core.console import escape_markup, stdout
from fmkit.core.errors import ConfigError, DataError, plural
from fmkit.core.modalities import modality_entry
from fmkit.store import run_dir

_SEVERITIES = {"error": "[bold red]error[/]", "warning": "[yellow]warning[/]", "note": "note"}
_MAX_CLASSES, _MAX_ITEMS, _BAR_WIDTH = 40, 10, 24
_COUNTED = {"classes": "class", "labels": "label", "entities": "entity", "tags": "tag"}
"""Keys of a report that hold counts per split, and what a row of theirs is."""
_QUANTILES = ("least", "5%", "25%", "median", "75%", "95%", "most")


def check(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Inspect a dataset; the report, as data_report.json has it."""
    return launch.run_command("check", arguments, check_data)


def check_data(config: CheckConfig) -> dict[str, Any]:
    """Inspect a dataset: a report, a sheet of suspect photos, and tables on the screen.

    Raises:
        ConfigError: the folder of the report cannot be made.
        DataError: the dataset has problems that would stop a training run.
    """
    from fmkit.data import load
    from fmkit.data.quality import contact_sheet, inspect, report

    early_checks.require_package(config.data)
    model = label_check.default_model(config) if config.label_errors else None
    folder = _output_folder(config.output)
    path, sheet = folder / run_dir.DATA_REPORT, folder / run_dir.CONTACT_SHEET
    seed = config.runtime.seed if config.data.split_seed is None else config.data.split_seed
    inspected = load.inspect(config.data, config.runtime, seed, path)
    blocking = inspect.blocking_errors(inspected.findings, config.data.on_bad)
    record: dict[str, Any] = {}
    if model is not None and not blocking:
        data = inspect.accept(inspected, config.data.on_bad)
        more, record = label_check.examine(config, model, data, inspected.findings, folder)
        inspected.findings.extend(more)
    content = report.report(config.data, inspected)
    if record:
        content["label_errors"] = record
    files.write_json(path, content)
    has_suspects = contact_sheet.draw(inspected, sheet)
    suspects = sheet if has_suspects else None
    json_output.show(
        "data_report",
        {**content, "report": path, "suspects": suspects},
        lambda: _print_report(content, path, suspects),
    )
    if blocking:
        raise DataError("this dataset cannot be trained on; the errors are listed above.")
    inspect.accept(inspected, config.data.on_bad)
    load.quarantine_findings(config.data, inspected, path)
    return content


def _output_folder(output: str | None) -> Path:
    folder = Path("checks") / run_dir.new_name() if output is None else Path(output).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"output: {folder} cannot be made: {error.strerror}.",
            "Name a folder that you may write: output=DIR",
        ) from error
    return folder


def _print_report(report: dict[str, Any], path: Path, suspects: Path | None) -> None:
    """What a dataset contains, its problems, the first ten of each kind, and the files of both."""
    root = f", {escape_markup(report['root'])}" if report["root"] else ""
    usable = f"{report['usable']:,} of them usable"
    if report["usable"] == report["examples"] > 0:
        usable = "all usable"
    stdout.print(
        f"{escape_markup(report['data'])}{root}: {plural(report['examples'], 'example')}, "
        f"{usable}, {_targets(report)}"
    )
    key = next((key for key in _COUNTED if report.get(key)), None)
    if key is not None:
        _print_counts(report[key], _COUNTED[key])
    if numbers := report.get("numbers"):
        _print_numbers(numbers)
    _print_sizes(report)
    if not report["findings"]:
        stdout.print("no problems found")
    for finding in report["findings"]:
        if finding["kind"] == "label_error":
            continue  # they have a table of their own
        severity, items = _SEVERITIES[finding["severity"]], finding["items"]
        stdout.print(f"\n{severity} {escape_markup(finding['title'])} ({finding['count']:,})")
        for item in items[:_MAX_ITEMS]:
            text = ": ".join(filter(None, (item["where"], item["why"])))
            stdout.print(f"   {escape_markup(text)}")
        if len(items) > _MAX_ITEMS:
            stdout.print(f"   and {len(items) - _MAX_ITEMS:,} more")
        if finding["advice"]:
            stdout.print(f"   [dim]{escape_markup(finding['advice'])}[/]")
    if "label_errors" in report:
        label_check.print_record(report["label_errors"])
    totals = ", ".join(plural(report[f"{severity}s"], severity) for severity in _SEVERITIES)
    stdout.print(f"\n{totals}")
    stdout.print(f"report: {escape_markup(str(path))}")
    if suspects is not None:
        stdout.print(f"suspects: {escape_markup(str(suspects))}")


def _targets(report: dict[str, Any]) -> str:
    """What there is to learn, such as `3 classes`."""
    nouns = {"classes": "class", "labels": "label", "numbers": "number", "tags": "tag"}
    for key, noun in nouns.items():
        if targets := report.get(key):
            entities = report.get("entities") if key == "tags" else None
            types = f", {plural(len(entities), 'entity type')}" if entities else ""
            return f"{plural(len(targets), noun, key)}{types}"
    annotated = report.get("annotations") or {}
    counts = ", ".join(f"{count:,} {name}" for name, count in annotated.get("counts", {}).items())
    return ": ".join(filter(None, [annotated.get("kind"), counts])) or "no labels"


def _print_counts(classes: dict[str, dict[str, int]], noun: str) -> None:
    """A row per class or label: its examples in each split, and a bar."""
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
    print_table(table)


def _print_numbers(numbers: dict[str, Any]) -> None:
    """A row per number and split: its mean, deviation and quantiles."""
    inner = (name for name in _QUANTILES if name not in ("5%", "95%"))
    table = new_table("number", "split", "mean", "deviation", *inner)
    for name, by_split in list(numbers.items())[:_MAX_CLASSES]:
        for split, summary in by_split.items():
            least, _, low, median, high, _, most = summary["quantiles"]
            values = (summary["mean"], summary["deviation"], least, low, median, high, most)
            table.add_row(escape_markup(name), split, *(f"{value:.5g}" for value in values))
    print_table(table)
    if len(numbers) > _MAX_CLASSES:
        stdout.print(f"and {len(numbers) - _MAX_CLASSES} more numbers")


def _print_sizes(report: dict[str, Any]) -> None:
    """Quantiles of the sizes, then formats and modes."""
    sizes = report["sizes"]
    if "width" in sizes and not report["formats"]:  # arrays have one size
        stdout.print(f"all are {sizes['width'][0]} x {sizes['height'][0]} pixels")
    elif sizes:
        table = new_table(modality_entry(report["modality"]).plural, *_QUANTILES)
        for name, values in sizes.items():
            table.add_row(name.replace("_", " "), *(f"{value:,}" for value in values))
        print_table(table)
    for name in ("formats", "modes"):
        if report[name]:
            counts = ", ".join(f"{count:,} {value}" for value, count in report[name].items())
            stdout.print(f"{name}: {escape_markup(counts)}")
    if report["files_read"]:
        rate = report["files_read"] / max(report["seconds"], 1e-3)
        stdout.print(
            f"{plural(report['files_read'], 'file')} read in {format_time(report['seconds'])}, "
            f"{rate:,.0f} per second; results for other files come from the cache"
        )
