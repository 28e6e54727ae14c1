"""The tables that commands end with, on stdout: phases, metrics, predictions, jobs of a sweep."""

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from fmkit.commands.output import history
from fmkit.config.registry import evaluators
from fmkit.config.saved_config import shell_setting
from fmkit.config.units import format_time
from fmkit.core import files
from fmkit.core.console import escape_markup, stdout
from fmkit.core.errors import join_names, plural
from fmkit.store import run_content, run_dir
from fmkit.store.run_dir import RunWriter

_MAX_ROWS, _MAX_WORST, _MAX_CONFUSIONS = 50, 10, 5
_MAX_PREDICTIONS, _MAX_TEXT = 10, 40


def new_table(*columns: str) -> Table:
    """A table whose first column is aligned left, and whose others hold numbers."""
    table = Table(box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table; one too wide for the terminal with its columns as rows, if that fits."""
    if not _fits(table):
        titles, *columns = table.columns
        transposed = new_table(str(titles.header), *map(str, titles.cells))
        for column in columns:
            transposed.add_row(column.header, *column.cells)
        table = transposed if _fits(transposed) else table
    stdout.print(table)


def _fits(table: Table) -> bool:
    unlimited = stdout.options.update(width=100_000)
    return stdout.measure(table, options=unlimited).maximum <= stdout.width


def result(
    folder: Path,
    status: dict[str, Any],
    metrics: Mapping[str, Any],
    commands: Sequence[str],
    report: Path | None = None,
    loggers: Sequence[Mapping[str, Any]] = (),
) -> None:
    """A finished run: a row per phase, the metrics of the final model, its worst classes, paths.

    Args:
        metrics: of the split in the status that was evaluated last; empty where there is none.
        commands: what to do next.
        report: the page about it, if it was written.
        loggers: its records in experiment trackers, as `Followers.close` returns them.
    """
    table = new_table("phase", "epochs", "time", "best epoch", "best value")
    for phase in status["phases"]:
        name = escape_markup(phase["name"])
        if phase["skipped"]:
            table.add_row(name, "-", "-", "-", escape_markup(phase["skipped"]))
            continue
        is_refit = phase["name"].startswith(run_dir.REFIT)
        best = None if is_refit else phase["best"]  # its own epochs are not validated
        epoch = str(best["epoch"]) if best else "-"
        table.add_row(
            name, str(phase["epochs"]), format_time(phase["seconds"]), epoch, _best_value(best)
        )
    print_table(table)
    _metrics_table({split: status[split] for split in ("val", "test") if status.get(split)})
    if run_dir.is_refitted(status):
        stdout.print("val: of the model before it was trained on validation examples, too")
    elif (status.get("val") or {}).get("out_of_fold"):
        stdout.print("val: out of fold, of all training and validation examples")
    others = list((status.get("objectives") or {}).items())[1:]  # the first is the primary one
    for name, splits in others:
        _metrics_table({f"{split} of {escape_markup(name)}": splits[split] for split in splits})
    _breakdown(metrics, _MAX_WORST)
    _confused_classes(metrics)
    _areas_and_calibration(metrics)
    monitor = str((status.get("best") or {}).get("monitor", ""))
    for line in history.lines(run_content.epochs(folder), monitor):
        stdout.print(escape_markup(line))
    stdout.print(f"total time {format_time(status['total_seconds'])}")
    stdout.print(f"run: {escape_markup(files.display_path(folder))}")
    stdout.print(f"model: {escape_markup(files.display_path(folder / run_dir.MODEL))}")
    if report is not None:
        stdout.print(f"report: {escape_markup(files.display_path(report))}")
    for row in loggers:
        if row["complete"]:
            stdout.print(f"{row['name']}: {escape_markup(record_place(row))}")
    for number, command in enumerate(commands):
        stdout.print(f"{'next:' if number == 0 else '     '} {escape_markup(command)}")


def record_place(row: Mapping[str, Any]) -> str:
    """Where the record of a run in an experiment tracker can be looked at, or how.

    Args:
        row: name, url and place of it.
    """
    place = shlex.quote(row["place"] or "")
    if row["url"] or not row["place"]:
        return str(row["url"] or "done")
    if row["name"] == "wandb":
        return f"offline, to be sent by: wandb sync {place}"
    # MLflow refuses folders from 3.7 on, unless it is told.
    allow = "" if ":" in place else "MLFLOW_ALLOW_FILE_STORE=true "
    return f"{allow}mlflow ui --backend-store-uri {place}"


def _best_value(best: Mapping[str, Any] | None) -> str:
    return f"{best['monitor']} {best['value']:.4f}" if best else "-"


def _metrics_table(by_split: Mapping[str, Mapping[str, Any]]) -> None:
    if not by_split:
        return
    columns = _summary_metrics(by_split.values())
    if columns is None:  # all numbers
        row = next(iter(by_split.values()))
        names = [key for key in row if isinstance(row[key], int | float) and key != "n"]
        table = new_table("split", "examples", *(name.replace("_", " ") for name in names))
        for split, metrics in by_split.items():
            table.add_row(split, str(metrics["n"]), *(_number(metrics.get(name)) for name in names))
        print_table(table)
        return
    (first, title), *others = columns.items()
    table = new_table("split", "examples", title, "95% interval", *(text for _, text in others))
    for split, metrics in by_split.items():
        bounds = (metrics.get("intervals") or {}).get(first)
        interval = " to ".join(_number(bound, first) for bound in bounds) if bounds else "-"
        numbers = [_number(metrics[name], name) for name, _ in others]
        table.add_row(split, str(metrics["n"]), _number(metrics[first], first), interval, *numbers)
    print_table(table)


def _summary_metrics(rows: Any) -> Mapping[str, str] | None:
    """The columns that fit all rows of metrics; None where none do.

    The tasks' tables from last to first, since other tasks have all metrics of classification, too.
    """
    shared = set.intersection(*map(set, rows)) if rows else set()
    tables = (table for evaluator in reversed(evaluators()) for table in evaluator.tables)
    return next((table for table in tables if table.keys() <= shared), None)


def _number(value: float | None, metric: str = "") -> str:
    """A number; one in the user's units has as many digits as it needs."""
    if value is None:
        return "-"
    has_units = any(metric in evaluator.in_target_units for evaluator in evaluators())
    return f"{value:.5g}" if has_units else f"{value:.4f}"


def evaluation(
    metrics: dict[str, Any],
    data: str,
    split: str,
    path: Path,
    tables: Mapping[str, Mapping[str, Any]],
    goals: Mapping[str, float | None],
) -> None:
    """An evaluation: all examples together, a row per class, label, number or tag, and more.

    Args:
        metrics: as the JSON has them.
        data: a name for it.
        split: what was evaluated of it.
        path: of the JSON.
        tables: columns of the CSV files beside it, by name.
        goals: the precision and the recall that thresholds were asked for.
    """
    stdout.print(f"{escape_markup(data)}, {split}")
    parts = metrics.get("parts") or {}
    _metrics_table({split: metrics, **{f"{split}, {name}": part for name, part in parts.items()}})
    has_rows = _breakdown(metrics, _MAX_ROWS)
    _areas_and_calibration(metrics)
    _prediction_intervals(metrics.get("prediction_intervals") or ())
    _confusions(tables.get("confusions"))
    _documents(metrics.get("documents"), tables.get("documents"))
    _slices(metrics, tables.get("slices"))
    _slices({"slices": metrics.get("clusters")}, tables.get("clusters"))
    _corruptions(metrics.get("corruptions"), tables.get("corruptions"))
    for goal, value in goals.items():
        if value is not None and "thresholds" in tables:
            _thresholds(tables["thresholds"], goal, value)
    stdout.print(f"metrics: {escape_markup(str(path))}")
    if tables:
        stdout.print(f"curves: {escape_markup(str(path.with_suffix('')))}")
    if has_rows or "intervals" in metrics:  # then there is a table with a row per example
        stdout.print(f"table: {escape_markup(str(path.with_suffix('.parquet')))}")


def _areas_and_calibration(metrics: Mapping[str, Any]) -> None:
    """Areas under curves, and the calibration error before and after temperature scaling."""
    if metrics.get("macro_roc_auc") is not None:
        stdout.print(
            f"one against the rest, means over all: ROC AUC {metrics['macro_roc_auc']:.4f}, "
            f"average precision {_number(metrics.get('macro_average_precision'))}"
        )
    error = metrics.get("expected_calibration_error")
    if error is None:
        return
    line = f"expected calibration error {error:.4f}"
    if scaling := metrics.get("temperature_scaling"):
        line += (
            f", with temperature {scaling['temperature']:.3g} (fitted on {scaling['fitted_on']}) "
            f"{scaling['expected_calibration_error']:.4f}"
        )
    stdout.print(line)


def _prediction_intervals(rows: Sequence[Mapping[str, Any]]) -> None:
    """The width of prediction intervals of each number, and the share of examples they hold."""
    if not rows:
        return
    table = new_table("number", "interval", "plus or minus", "holds")
    for row in rows:
        width = row["half_width"]
        cells = ("-", "-") if width is None else (f"{width:.5g}", f"{row['coverage']:.1%}")
        table.add_row(escape_markup(row["number"]), f"{row['level']:.0%}", *cells)
    print_table(table)


def _confusions(columns: Mapping[str, Any] | None) -> None:
    """The most frequent pairs of a class and what it was taken for."""
    if not columns or not len(columns["count"]):
        return
    table = new_table("class", "taken for", "examples", "of the class")
    for row in list(zip(*columns.values(), strict=True))[:_MAX_CONFUSIONS]:
        label, prediction, count, share = row
        table.add_row(escape_markup(label), escape_markup(prediction), f"{count:,}", f"{share:.1%}")
    print_table(table)


def _confused_classes(metrics: Mapping[str, Any]) -> None:
    """The most frequent confusions; of two classes the table by class says it all."""
    counts, names = metrics.get("confusion"), metrics.get("confusion_classes")
    if counts and names and len(names) > 2:
        import numpy as np

        from fmkit.evaluation.diagnostics.probabilities import confused_pairs

        _confusions(confused_pairs(np.asarray(counts), names, _MAX_CONFUSIONS))


def _documents(figures: Mapping[str, Any] | None, columns: Mapping[str, Any] | None) -> None:
    """The perplexity of documents read one by one, and those with the highest."""
    if figures is None or columns is None:
        return
    bounds = figures["interval"]
    interval = f" ({bounds[0]:.4g} to {bounds[1]:.4g})" if bounds else ""
    stdout.print(
        f"{plural(figures['n'], 'document')} one by one: perplexity {figures['perplexity']:.4g}"
        f"{interval}, median {figures['median_perplexity']:.4g}"
    )
    table = new_table("document", "tokens", "perplexity")
    rows = zip(*(columns[name] for name in ("id", "tokens", "perplexity")), strict=True)
    for name, tokens, perplexity in list(rows)[:_MAX_WORST]:
        table.add_row(escape_markup(name), f"{tokens:,}", f"{perplexity:.4g}")
    print_table(table)


def _slices(metrics: Mapping[str, Any], columns: Mapping[str, Any] | None) -> None:
    """A row per slice with its first metric, then what stands out, in sentences."""
    if not columns:
        return
    metric = [*columns][3]  # after column, value and n
    table = new_table("slice", "examples", metric.replace("_", " "), "95% interval")
    names = ("column", "value", "n", metric, f"{metric}_low", f"{metric}_high")
    for column, value, count, *numbers in zip(*(columns[name] for name in names), strict=True):
        middle, low, high = (_number(number, metric) for number in numbers)
        interval = "-" if low == "-" else f"{low} to {high}"
        table.add_row(escape_markup(f"{column}={value}"), f"{count:,}", middle, interval)
    print_table(table)
    worse, tested = metrics["slices"]["worse"], metrics["slices"]["tested"]
    if not worse:
        stdout.print(f"no slice is worse than the rest ({plural(tested, 'slice')} tested)")
    gaps = (metrics.get("fairness") or {}).values()
    sentences = [row["sentence"] for row in worse[:_MAX_WORST]]
    for sentence in [*sentences, *(text for column in gaps for text in column["sentences"])]:
        stdout.print(escape_markup(sentence))
    if len(worse) > _MAX_WORST:
        stdout.print(f"the {_MAX_WORST} worst slices of {len(worse):,}; the metrics have all")


def _corruptions(summary: Mapping[str, Any] | None, columns: Mapping[str, Any] | None) -> None:
    """A row per corruption with the first metric at each severity."""
    if summary is None or columns is None:
        return
    metric = summary["metric"]
    table = new_table(f"{metric.replace('_', ' ')} after", *"12345", "mean")
    rows: dict[str, list[Any]] = {}
    for name, value in zip(columns["corruption"], columns[metric], strict=True):
        rows.setdefault(name, []).append(value)
    (clean,) = rows.pop("")
    for name, values in rows.items():
        cells = [_number(value, metric) for value in (*values, summary[name])]
        table.add_row(name.replace("_", " "), *cells)
    print_table(table)
    mean = _number(summary["mean"], metric)
    stdout.print(f"without corruption {_number(clean, metric)}, mean of all {mean}")


def _thresholds(columns: Mapping[str, Any], goal: str, value: float) -> None:
    """The threshold of each class or label for a precision or a recall, and what it comes to."""
    noun, *_ = columns
    table = new_table(noun, f"threshold for {goal} {value:g}", "precision", "recall", "selected")
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    shown = [row for row in rows if (row["goal"], row["value"]) == (goal, value)]
    for row in shown[:_MAX_ROWS]:
        numbers = [row[name] for name in ("threshold", "precision", "recall")]
        texts = ["-" if number != number else f"{number:.4f}" for number in numbers]
        selected = "-" if row["selected"] != row["selected"] else f"{row['selected']:.1%}"
        table.add_row(escape_markup(row[noun]), *texts, selected)
    print_table(table)
    stdout.print(f"thresholds are chosen on {shown[0]['chosen_on']}; precision and recall are here")


def _breakdown(metrics: Mapping[str, Any], most: int) -> bool:
    """A row per class, label, number, entity or tag, the worst first; whether there is any."""
    breakdowns = {key: row for entry in evaluators() for key, row in entry.breakdowns.items()}
    key = next((key for key in breakdowns if key in metrics), None)
    if key is None:
        return False
    noun, columns = breakdowns[key]
    rows = list(metrics[key].items())
    if all(row.get("f1") is not None for _, row in rows):
        rows.sort(key=lambda item: item[1]["f1"])
    table = new_table(noun, *columns.values())
    for name, row in rows[:most]:
        cells = [
            f"{row[column]:,}" if column == "support" else _number(row[column], column)
            for column in columns
        ]
        table.add_row(escape_markup(name), *cells)
    print_table(table)
    if len(rows) > most:
        stdout.print(f"the {most} worst of {len(rows):,}")
    missing = [name for name, row in rows if row.get("predicted") == 0 and row["support"]]
    if missing:
        stdout.print(f"never predicted: {escape_markup(join_names(missing))}")
    return True


def predictions(columns: dict[str, Any], noun: str, errors: int, output: Path) -> None:
    """The first predictions and the path of the table; of features only how many there are.

    Args:
        columns: by name, what names the inputs first, then a text where there is one.
        noun: one input.
        errors: inputs that could not be read.
        output: the table.
    """
    key, second, *_ = (*columns, "")
    if {"word", "begin", "end"} <= columns.keys():
        noun = second = "word"
    is_shown = key == "id" and not second.startswith("prediction")
    names = columns[second] if is_shown and second in columns else columns[key]
    count = len(columns[key])
    counted = plural(count, noun)
    unread = f", {errors} of them could not be read" if errors else ""
    predicted = [name for name in columns if name.startswith("prediction")]
    if predicted:
        shown = [name for name in (*predicted, "confidence") if name in columns][:8]
        table = new_table(noun, *map(escape_markup, shown))
        for number in range(min(_MAX_PREDICTIONS, count)):
            text = str(columns[key][number] if names[number] in (None, "") else names[number])
            text = Path(text).name if key == "path" else " ".join(text.split())
            text = text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."
            cells = [_prediction_cell(columns[name][number], name) for name in shown]
            table.add_row(escape_markup(text or "-"), *cells)
        print_table(table)
        more = count - _MAX_PREDICTIONS
        rest = f"; {_MAX_PREDICTIONS} are shown, the table has all {count:,}" if more > 0 else ""
        stdout.print(f"{counted}{unread}{rest}")
    else:
        width = sum(name.startswith("feature_") for name in columns)
        stdout.print(f"{counted}, {width} features each{unread}")
    stdout.print(f"table: {escape_markup(str(output))}")


def explanations(result: Any, noun: str, plural_noun: str, folder: Path) -> None:
    """The first explanations, what was found about them, and where all are.

    Args:
        result: `fmkit.explain.methods.Result`.
        noun: one input.
        plural_noun: several.
        folder: of the results.
    """
    rows = [row for row in result.rows if "error" not in row]
    for block in result.blocks[:_MAX_PREDICTIONS]:
        stdout.print(block)
        stdout.print()
    if not result.blocks:
        table = new_table(*result.columns.values())
        for row in rows[:_MAX_PREDICTIONS]:
            table.add_row(*(_explained_cell(row.get(key)) for key in result.columns))
        print_table(table)
    unread = len(result.rows) - len(rows)
    counted = plural(len(rows), noun, plural_noun)
    failed = f", {unread} could not be read" if unread else ""
    more = f"; {_MAX_PREDICTIONS} are shown" if len(rows) > _MAX_PREDICTIONS else ""
    stdout.print(f"{counted} explained{failed}{more}")
    for note in result.notes:
        stdout.print(escape_markup(note))
    stdout.print(f"explanations: {escape_markup(files.display_path(folder))}")


def exports(results: Mapping[str, Mapping[str, Any]], parent: Path) -> None:
    """What each export was compared by, and where they are."""
    rows = {name: row for name, row in results.items() if "error" not in row}
    if not rows:
        return
    sizes = list(dict.fromkeys(size for row in rows.values() for size in row["latency_seconds"]))
    times = [f"ms, batch {size}" for size in sizes]
    table = new_table("format", "difference", "same answers", *times, "MB", "memory, MB")
    for name, row in rows.items():
        agreement = row["agreement"]
        table.add_row(
            name, f"{row['max_abs']:.1e}", "-" if agreement is None else f"{agreement:.2%}",
            *(f"{row['latency_seconds'][size] * 1000:.2f}" for size in sizes),
            f"{row['model_bytes'] / 1e6:.1f}", f"{row['rss_bytes'] / 1e6:,.0f}",
        )  # fmt: skip
    print_table(table)
    first = next(iter(rows.values()))
    counted = plural(first["examples"], "example")
    stdout.print(f"compared with the run on {counted}, {escape_markup(first['split'])}")
    stdout.print(f"exports: {escape_markup(files.display_path(parent))}")


def _explained_cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = " ".join(str("-" if value is None else value).split())
    return escape_markup(text if len(text) <= _MAX_TEXT else f"...{text[3 - _MAX_TEXT :]}")


def _prediction_cell(value: Any, column: str) -> str:
    """A prediction as text: `-` where there is none, `(none)` for an empty set of labels."""
    if value is None or value != value:  # NaN differs from itself
        return "-"
    if isinstance(value, str):
        return escape_markup(value) or "(none)"
    return f"{value:.4f}" if column == "confidence" else f"{value:.6g}"


def vocabulary(notes: dict[str, Any], longest: Sequence[str], folder: Path) -> None:
    """A tokenizer by its record: its size, figures of texts as tokens, its longest, its folder."""
    figures, split = notes["figures"], notes["figures"]["split"]
    seen = "held out" if notes["is_held_out"] else "learned from"
    table = new_table("", f"{split}, {seen}")
    for name in ("words", "tokens"):
        table.add_row(name, f"{figures[name]:,}")
    for name in ("tokens_per_word", "bytes_per_token", "characters_per_token"):
        table.add_row(name.replace("_", " "), f"{figures[name]:.3f}")
    table.add_row("unknown tokens", f"{figures['unknown_share']:.3%}")
    alphabet = "bytes" if notes["kind"] == "byte_pair" else "letters"
    stdout.print(
        f"{notes['pieces']:,} pieces, {notes['letters']:,} of them {alphabet} and special tokens"
    )
    print_table(table)
    shown = [text if text.isprintable() else ascii(text)[1:-1] for text in longest]
    if shown:
        stdout.print(f"longest pieces: {escape_markup(' | '.join(shown))}")
    path = files.display_path(folder)
    line = f"tokenizer: {path}, for model=small_bert or small_gpt: "
    stdout.print(escape_markup(f"{line}{shell_setting('model.tokenizer', path)}"))


def sweep(folder: Path, jobs: Sequence[tuple[list[str], RunWriter]]) -> None:
    """A finished sweep: a row per job with what differs between them, then why jobs failed."""
    tests = [run.status["test"] for _, run in jobs if run.status["test"]]
    columns = _summary_metrics(tests) or {"accuracy": "accuracy"}
    metric, title = next(iter(columns.items()))
    table = new_table("job", "overrides", "state", "best value", f"test {title}")
    shared = set.intersection(*(set(overrides) for overrides, _ in jobs)) if len(jobs) > 1 else ()
    for overrides, run in jobs:
        status, test = run.status, run.status["test"] or {}
        table.add_row(
            escape_markup(run.folder.name),
            escape_markup(" ".join(word for word in overrides if word not in shared)),
            status["state"],
            _best_value(status["best"]),
            _number(test.get(metric), metric),
        )
    print_table(table)
    for _, run in jobs:
        if run.status["reason"]:
            reason = textwrap.shorten(run.status["reason"], 160, placeholder=" ...")
            name = escape_markup(run.folder.name)
            stdout.print(f"job {name} {run.status['state']}: {escape_markup(reason)}")
    stdout.print(f"sweep: {escape_markup(files.display_path(folder))}")
