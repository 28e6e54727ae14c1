"""`fmkit runs`: list, show, compare and rank runs, and remove them."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.commands import run_removal
from fmkit.commands.options import parse_words
from fmkit.commands.output import json_output, run_tables
from fmkit.commands.output.run_tables import Rows
from fmkit.core import console, files
from fmkit.core.errors import ConfigError, received
from fmkit.evaluation.write import escape_formula
from fmkit.store import run_content, run_index
from fmkit.store.run_index import RunSummary

OPTIONS = {
    "runs_dir": ("runs", "Folder of runs, or of a sweep; for every verb."),
    "metric": ("test.accuracy", "What `best` ranks by: `test.` or `val.` and the metric's name."),
    "data": ("", "`best` ranks only runs on this data, by its name: only those compare."),
    "split": ("", "`compare`: compares the predictions of this split one by one; or of `test`."),
    "--csv": ("", "`list` and `best`: a CSV table with all columns."),
    "--yes": ("", "`rm` and `clean`: remove without asking."),
}
"""Keys and flags of `fmkit runs`, each with its default and its meaning."""

_RUNS_PER_VERB = {"list": 0, "show": 1, "compare": 2, "best": 0, "rm": None, "clean": 0}
"""None: one or more."""
_EXPECTED = {0: "no run", 1: "one run", 2: "two runs", None: "one or more runs"}
_FLAGS = ("--csv", "--yes")


def runs(arguments: Sequence[str]) -> None:
    """Run `fmkit runs [list|show RUN|compare RUN RUN|best|rm RUN ...|clean] [KEY=VALUE ...]`.

    Raises:
        ConfigError: no such verb or key, or too few or too many runs.
        ArtifactError: a run was not found, cannot be read, or is in use.
    """
    as_csv, is_confirmed = (flag in arguments for flag in _FLAGS)
    arguments = [word for word in arguments if word not in _FLAGS]
    words, options = parse_words("fmkit runs", arguments, OPTIONS)
    verb = words.pop(0) if words else "list"
    if verb not in _RUNS_PER_VERB:
        raise ConfigError(received("fmkit runs", verb, list(_RUNS_PER_VERB)))
    count = _RUNS_PER_VERB[verb]
    if len(words) != count and (count is not None or not words):
        expected = _EXPECTED[count]
        if not words:
            raise ConfigError(
                f"fmkit runs {verb} needs {expected}.",
                "`fmkit runs` lists them.",
            )
        raise ConfigError(received(f"fmkit runs {verb}", " ".join(words), expected))
    if as_csv and verb not in ("list", "best"):
        raise ConfigError(
            f"fmkit runs {verb} does not take --csv.",
            f"The tables of `list` and `best` are CSV. One object with all: fmkit runs {verb} "
            "--json",
        )
    runs_dir = run_index.find_root(options.get("runs_dir", "runs"))
    if verb == "list":
        _show_list(runs_dir, as_csv)
    elif verb == "best":
        metric = options.get("metric", "test.accuracy")
        _show_ranking(runs_dir, metric, options.get("data"), as_csv)
    elif verb == "rm":
        run_removal.remove(words, runs_dir, is_confirmed)
    elif verb == "clean":
        run_removal.clean(runs_dir, is_confirmed)
    else:
        folders = [run_index.resolve(word, runs_dir) for word in words]
        if verb == "show":
            run = details(folders[0])
            json_output.show("run", run, lambda: _print(run_tables.details(run)))
        else:
            from fmkit.evaluation import paired_runs  # which loads the schema of all keys

            first, second = folders
            pair = paired_runs.paired(first, second, options.get("split", ""))
            compared = {**comparison(first, second), "paired": pair}
            tables = run_tables.comparison(compared)
            json_output.show("comparison", compared, lambda: _print(tables))


def _show_list(runs_dir: Path, as_csv: bool) -> None:
    summaries = run_index.runs(runs_dir)
    folder, overrides = files.absolute_path(runs_dir), run_content.overrides_of_jobs(summaries)

    def view() -> None:
        if as_csv:
            _print_csv(summaries)
        elif summaries:
            _print([run_tables.listing(summaries, overrides)])
        else:
            console.info(f"There is no run in {folder} yet.")

    content = {"folder": folder, "runs": _objects(summaries, overrides)}
    json_output.show("runs", content, view)


def _show_ranking(runs_dir: Path, metric: str, data: str | None, as_csv: bool) -> None:
    from fmkit.config.registry import larger_is_better  # which loads the schema of all keys

    is_larger_better = larger_is_better(metric)
    ranked = run_index.best(runs_dir, metric, data, is_larger_better)
    overrides = run_content.overrides_of_jobs(ranked)

    def view() -> None:
        _print_csv(ranked) if as_csv else _print([run_tables.ranking(ranked, metric, overrides)])

    rows = _objects(ranked, overrides)
    content = {"metric": metric, "larger_is_better": is_larger_better, "runs": rows}
    json_output.show("ranking", content, view)


def _objects(
    summaries: Sequence[RunSummary], overrides: Mapping[str, list[str]]
) -> list[dict[str, Any]]:
    rows = [{**vars(run), "folder": run.folder.absolute()} for run in summaries]
    return [row | {"overrides": overrides[row["id"]]} for row in rows] if overrides else rows


def _print(tables: Iterable[Rows]) -> None:
    for number, table in enumerate(tables):
        if number and not console.stdout.is_terminal:
            console.stdout.print()
        console.stdout.print(table)


def _print_csv(summaries: Sequence[RunSummary]) -> None:
    """A row per run: all that it says, and every metric that one of them has."""
    rows = [run_index.row(run) for run in summaries]
    columns = list(dict.fromkeys(key for row in rows for key in row)) or ["folder", "id", "state"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: escape_formula(value) for key, value in row.items()})
    console.write_stdout(text.getvalue())


def details(folder: Path) -> dict[str, Any]:
    """One run: its status, the last row of each epoch, its metrics by split, and its files."""
    run = run_index.read(folder)
    return {
        **run_index.record(folder),
        "epochs": run_content.epochs(folder),
        "evaluations": run_content.evaluations(folder, run),
        "files": list(_files(folder)),
    }


def _files(folder: Path) -> Iterator[dict[str, Any]]:
    """Name, count of files and bytes of everything in a run folder."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            sizes = [inner.lstat().st_size for inner in path.rglob("*") if not inner.is_dir()]
            yield {"name": f"{path.name}/", "files": len(sizes), "bytes": sum(sizes)}
        else:
            yield {"name": path.name, "files": 1, "bytes": path.lstat().st_size}


def comparison(first: Path, second: Path) -> dict[str, Any]:
    """What differs between two runs: their settings, their data, and their metrics side by side.

    A row lacks `first` or `second` where that run does not have the key.

    Raises:
        ArtifactError: a config.yaml cannot be read.
    """
    metrics: list[dict[str, float]] = []  # by `split.metric`
    for folder in (first, second):
        metrics.append({})
        for split, values in run_content.evaluations(folder, run_index.read(folder)).items():
            shown = {name: values.get(name) for name in run_tables.METRICS}
            metrics[-1] |= run_index.flat_numbers(split, shown)
    rows = run_content.side_by_side(*metrics)
    for row in rows:
        if len(row) == 3:
            row["difference"] = float(row["second"] - row["first"])
    return {
        "runs": [{"id": folder.name, "folder": folder} for folder in (first, second)],
        "settings": run_content.differing(*map(run_content.settings, (first, second))),
        "metrics": rows,
    }
