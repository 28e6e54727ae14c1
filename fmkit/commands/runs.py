"""`fmkit runs`: list, show, compare and rank runs, show where they come from, and remove them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fmkit.commands import run_listing, run_removal, run_server, run_tree
from fmkit.commands.options import parse_words
from fmkit.commands.output import json_output, run_tables
from fmkit.commands.output.run_tables import Rows
from fmkit.core import console
from fmkit.core.errors import ConfigError, received
from fmkit.store import run_content, run_index, run_query

OPTIONS = {
    "runs_dir": ("runs", "Folder of runs, or of a sweep; for every verb."),
    "KEY>VALUE": (
        "", "`list`, `where`: a condition on a key of the config or the status, or on a figure; "
        "also =, !=, <, >=, <=, ~ (a pattern). In quotes: the shell takes > for a file.",
    ),
    "sort": ("", "`list`, `where`: keys to sort by, with commas; `-` before one: falling."),
    "columns": ("", "`list`, `where`: keys to show, with commas."),
    "limit": ("", "`list`, `where`: at most so many rows."),
    "metric": ("test.accuracy", "What `best` ranks by: `test.` or `val.` and the metric's name."),
    "data": ("", "`best` ranks only runs on this data, by its name: only those compare."),
    "split": ("", "`compare`: compares the predictions of this split one by one; or of `test`."),
    "loggers": ("", "`sync`: where to send a run, `mlflow,wandb`; by default where it was logged."),
    "port": ("", "`serve`: a port; without it 8400, or a free one where that is taken."),
    "--csv": ("", "`list`, `where` and `best`: a CSV table with all columns."),
    "--yes": ("", "`rm` and `clean`: remove without asking."),
}  # fmt: skip
"""Keys and flags of `fmkit runs`, each with its default and its meaning."""

_MANY = 1_000_000
VERBS = {
    "list": (0, 0), "where": (0, 0), "show": (1, 1), "compare": (2, 2), "best": (0, 0),
    "tree": (0, 1), "serve": (0, 0), "rm": (1, _MANY), "clean": (0, 0), "sync": (1, _MANY),
}  # fmt: skip
"""At least and at most how many runs each takes."""
_OF_OTHERS = {"delete": "rm", "remove": "rm", "del": "rm", "diff": "compare", "prune": "clean"}
"""What other tools call our verbs."""
_EXPECTED = {
    (0, 0): "no run", (0, 1): "no run, or one", (1, 1): "one run", (2, 2): "two runs",
    (1, _MANY): "one or more runs",
}  # fmt: skip
_FLAGS = ("--csv", "--yes")
_LISTS = ("list", "where")


def runs(arguments: Sequence[str]) -> None:
    """Run `fmkit runs [VERB] [RUN ...] [CONDITION ...] [KEY=VALUE ...]`.

    Raises:
        ConfigError: no such verb or key, or too few or too many runs.
        ArtifactError: a run was not found, cannot be read, or is in use.
    """
    as_csv = "--csv" in arguments
    is_confirmed = "--yes" in arguments
    words = [word for word in arguments if word not in _FLAGS]
    verb = words.pop(0) if words and not run_query.is_condition(words[0]) else "list"
    if verb not in VERBS:
        verb_meant = _OF_OTHERS.get(verb, "")
        hint = f"Did you mean {verb_meant}?" if verb_meant else ""
        raise ConfigError(received("fmkit runs", verb, list(VERBS)), hint)
    if as_csv and verb not in (*_LISTS, "best"):
        raise ConfigError(
            f"fmkit runs {verb} does not take --csv.",
            f"The tables of `list`, `where` and `best` are CSV. One object with all: fmkit runs "
            f"{verb} --json",
        )
    if verb in _LISTS:
        options = dict(word.split("=", 1) for word in words if word.partition("=")[0] in _OF_LISTS)
        conditions = [word for word in words if word.partition("=")[0] not in _OF_LISTS]
        run_listing.show(conditions, options, as_csv, verb == "where")
        return
    own = [key for key in OPTIONS if key not in ("KEY>VALUE", *run_listing.KEYS)]
    words, options = parse_words("fmkit runs", words, own)
    _require_runs(verb, words)
    runs_dir = run_index.find_root(options.get("runs_dir", "runs"))
    if verb == "best":
        metric = options.get("metric", "test.accuracy")
        _show_ranking(runs_dir, metric, options.get("data"), as_csv)
    elif verb == "tree":
        run_tree.show(words[0] if words else None, runs_dir)
    elif verb == "serve":
        run_server.serve(runs_dir, options)
    elif verb == "rm":
        run_removal.remove(words, runs_dir, is_confirmed)
    elif verb == "sync":
        from fmkit.commands import run_sync  # which loads the schema of all keys

        run_sync.sync(words, runs_dir, options.get("loggers", ""))
    elif verb == "clean":
        run_removal.clean(runs_dir, is_confirmed)
    elif verb == "compare":
        from fmkit.evaluation import paired_runs  # which loads the schema of all keys

        first, second = (run_index.resolve(word, runs_dir) for word in words)
        pair = paired_runs.paired(first, second, options.get("split", ""))
        compared = {**comparison(first, second), "paired": pair}
        tables = run_tables.comparison(compared)
        json_output.show("comparison", compared, lambda: _print(tables))
    elif sweep := run_index.find_sweep(words[0], runs_dir):
        run_listing.show([], {"runs_dir": str(sweep)}, as_csv=False, is_where=False)
    else:
        run = details(run_index.resolve(words[0], runs_dir))
        json_output.show("run", run, lambda: _print(run_tables.details(run)))


_OF_LISTS = ("runs_dir", *run_listing.KEYS)


def _require_runs(verb: str, words: Sequence[str]) -> None:
    """Refuse too few or too many runs for a verb."""
    least, most = VERBS[verb]
    if least <= len(words) <= most:
        return
    expected = _EXPECTED[least, most]
    if not words:
        raise ConfigError(f"fmkit runs {verb} needs {expected}.", "`fmkit runs` lists them.")
    raise ConfigError(received(f"fmkit runs {verb}", " ".join(words), expected))


def _show_ranking(runs_dir: Path, metric: str, data: str | None, as_csv: bool) -> None:
    from fmkit.config.registry import larger_is_better  # which loads the schema of all keys

    is_larger_better = larger_is_better(metric)
    ranked = run_index.best(runs_dir, metric, data, is_larger_better)
    overrides = run_content.overrides_of_jobs(ranked)

    def view() -> None:
        if as_csv:
            run_listing.write_csv(list(map(run_index.row, ranked)), ["folder", "id", "state"])
        else:
            _print([run_tables.ranking(ranked, metric, overrides)])

    rows = run_listing.objects(ranked, overrides)
    content = {"metric": metric, "larger_is_better": is_larger_better, "runs": rows}
    json_output.show("ranking", content, view)


def _print(tables: Iterable[Rows]) -> None:
    for number, table in enumerate(tables):
        if number and not console.stdout.is_terminal:
            console.stdout.print()
        console.stdout.print(table)


def details(folder: Path) -> dict[str, Any]:
    """One run: its status, the last row of each epoch, its metrics by split, and its files."""
    run = run_index.read(folder)
    return {
        **run_index.record(folder),
        "epochs": run_content.epochs(folder),
        "evaluations": run_content.evaluations(folder, run),
        "exports": run_content.exports(folder),
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
