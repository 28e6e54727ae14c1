"""`fmkit runs`: list, show, compare and rank runs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from fmkit.commands import launch
from fmkit.config.registry import larger_is_better
from fmkit.core import console, errors, files, safe_io
from fmkit.core.errors import ArtifactError, ConfigError, received
from fmkit.store import metrics_log, run_dir, run_index
from fmkit.store.run_reader import RunReader

NOTHING = "-"
ABSENT = "(absent)"

OPTIONS = {
    "runs_dir": ("runs", "Folder of runs; for every verb."),
    "metric": ("test.accuracy", "What `best` ranks by: `test.` or `val.` and the metric's name."),
    "data": ("", "`best` ranks only runs on this data, by its name: only those compare."),
}
"""Keys of `fmkit runs`, each with its default and its meaning."""

_RUNS_PER_VERB = {"list": 0, "show": 1, "compare": 2, "best": 0}
_FOLDED = 4  # so many columns are folded on a narrow terminal, and the rest is left out
_MAX_KEYS = 10_000  # a config has some hundred; a file with more than this is not one
_METRICS = (
    *("n", "loss", "accuracy", "top5", "macro_f1", "balanced_accuracy"),
    *("expected_calibration_error", "brier", "micro_f1", "subset_accuracy"),
    *("mean_average_precision", "mae", "rmse", "r2", "exact_match", "f1"),
    *("words", "precision", "recall", "token_macro_f1"),
)


def runs(arguments: Sequence[str]) -> None:
    """Run `fmkit runs [list|show RUN|compare RUN RUN|best] [KEY=VALUE ...]`.

    Raises:
        ConfigError: no such verb or key, or too few or too many runs.
        ArtifactError: a run was not found or cannot be read.
    """
    words, options = launch.parse_words("fmkit runs", arguments, OPTIONS)
    verb = words.pop(0) if words else "list"
    if verb not in _RUNS_PER_VERB:
        raise ConfigError(received("fmkit runs", verb, list(_RUNS_PER_VERB)))
    if len(words) != _RUNS_PER_VERB[verb]:
        expected = ("no run", "one run", "two runs")[_RUNS_PER_VERB[verb]]
        raise ConfigError(received(f"fmkit runs {verb}", " ".join(words), expected))
    runs_dir = Path(options.get("runs_dir", "runs"))
    folders = [run_index.resolve(word, runs_dir) for word in words]
    if verb == "show":
        tables = details(*folders)
    elif verb == "compare":
        tables = comparison(*folders)
    elif verb == "best":
        metric = options.get("metric", "test.accuracy")
        runs = run_index.best(runs_dir, metric, options.get("data"), larger_is_better(metric))
        tables = [ranking(runs, metric)]
    else:
        tables = [listing(run_index.runs(runs_dir))]
        if not tables[0].rows:
            console.info(f"There is no run in {files.absolute_path(runs_dir)} yet.")
            return
    for number, table in enumerate(tables):
        if number and not console.stdout.is_terminal:
            console.stdout.print()
        console.stdout.print(table)


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
        cells = [[_cell(value) for value in row] for row in self.rows]
        if not target.is_terminal:
            header = [_cell(name) for name in self.columns]
            lines = ["\t".join(cell.plain for cell in row) for row in [header, *cells]]
            yield Segment("\n".join([f"# {_cell(self.title).plain}", *lines]) + "\n")
            return
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
    """A value as one line of text without control characters."""
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, dict | list):
        text = json.dumps(value)
    else:
        text = NOTHING if value in (None, "") else str(value)
    return Text.from_markup(console.escape_markup(text), emoji=False)


def listing(summaries: Sequence[run_index.RunSummary]) -> Rows:
    """A row per run."""
    columns = (
        *("id", "state", "test accuracy", "name", "data", "model", "val accuracy", "stage"),
        *("phase", "epoch", "seconds", "command", "reason"),
    )
    return Rows("runs", columns, _rows(summaries, columns))


def ranking(ranked: Sequence[run_index.RunSummary], metric: str) -> Rows:
    """Runs in the order given, with the metric that ranks them."""
    several = len({run.data for run in ranked}) > 1
    warning = "; runs on different data do not compare, add data=NAME" if several else ""
    columns = ("id", metric, "data", "model", "stage", "state", "name")
    return Rows(f"best by {metric}{warning}", columns, _rows(ranked, columns))


def _rows(summaries: Sequence[run_index.RunSummary], columns: Sequence[str]) -> list[list[Any]]:
    rows = []
    for run in summaries:
        stage = run.stage if not isinstance(run.stage, list) else "+".join(map(str, run.stage))
        values = {**run_index.metrics(run), **vars(run), "stage": stage}
        rows.append([values.get(name.replace(" ", ".")) for name in columns])
    return rows


def details(folder: Path) -> list[Rows]:
    """One run: its status, phases, epochs, metrics and files, as far as it has them."""
    run, status = run_index.read(folder), _json(folder / run_dir.STATUS)
    shown = {"folder": str(folder), "state": run.state, "reason": run.reason}
    shown |= {key: value for key, value in status.items() if key not in (*shown, "test", "val")}
    phases, epochs = shown.pop("phases", None), _epochs(folder / metrics_log.METRICS)
    pairs = [(key, value) for key, value in flat(shown).items() if value is not None]
    tables = [Rows("status", ("key", "value"), pairs)]
    if isinstance(phases, list) and phases and all(isinstance(phase, dict) for phase in phases):
        tables.append(_mappings("phases", phases))
    if epochs:
        tables.append(_mappings("epochs", epochs))
    rows = []
    for split, metrics in _evaluations(folder, run).items():
        intervals = metrics.get("intervals")
        bounds = intervals.get("accuracy") if isinstance(intervals, dict) else None
        interval = None
        if isinstance(bounds, list) and len(bounds) == 2:
            interval = " to ".join(_cell(bound).plain for bound in bounds)
        rows.append([split, *(metrics.get(name) for name in _METRICS), interval])
    if rows:
        tables.append(Rows("figures", ("split", *_METRICS, "accuracy 95% interval"), rows))
    return [*tables, Rows("files", ("name", "files", "bytes"), list(_files(folder)))]


def _mappings(title: str, mappings: list[dict[str, Any]]) -> Rows:
    columns = list(dict.fromkeys(key for row in mappings for key in row if key != "rss_bytes"))
    return Rows(title, columns, [[row.get(key) for key in columns] for row in mappings])


def _epochs(path: Path) -> list[dict[str, Any]]:
    """The last row of each epoch."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        for row in safe_io.read_json_lines(path):
            if isinstance(row, dict):
                last[str(row.get("phase")), str(row.get("epoch"))] = row
    except (OSError, ValueError) as error:
        if not isinstance(error, FileNotFoundError):
            console.warning(f"{path} is damaged; the epochs before the damage are shown.")
    return list(last.values())


def _evaluations(folder: Path, run: run_index.RunSummary) -> dict[str, dict[str, Any]]:
    """Metrics by split: those of eval/, and the status' where eval/ has none."""
    by_split = {"val": run.val or {}, "test": run.test or {}}
    for path in sorted((folder / run_dir.EVALUATION).glob("*.json")):
        by_split[path.stem] = _json(path)
    return {split: metrics for split, metrics in by_split.items() if metrics}


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file is missing or broken."""
    try:
        return safe_io.read_json_object(path, safe_io.MAX_EVALUATION_JSON)
    except (OSError, ValueError):
        return {}


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Name, count of files and bytes of everything in a run folder."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            sizes = [inner.lstat().st_size for inner in path.rglob("*") if not inner.is_dir()]
            yield f"{path.name}/", len(sizes), sum(sizes)
        else:
            yield path.name, 1, path.lstat().st_size


def comparison(first: Path, second: Path) -> list[Rows]:
    """What differs between two runs: their settings, their data, and their metrics side by side.

    Raises:
        ArtifactError: a config.yaml cannot be read.
    """
    runs: list[dict[str, Any]] = []
    metrics: list[dict[str, float]] = []  # by `split.metric`
    for folder in (first, second):
        summary, data = run_index.read(folder), _json(folder / run_dir.ENVIRONMENT).get("data")
        prints = {} if not isinstance(data, dict) else {
            f"(data {key})": data[key] for key in ("fingerprint", "split_fingerprint")
            if isinstance(data.get(key), str)
        }  # fmt: skip
        runs.append({**flat(RunReader(folder).config()), **prints, "(state)": summary.state})
        metrics.append({})
        for split, values in _evaluations(folder, summary).items():
            shown = {name: values.get(name) for name in _METRICS}
            metrics[-1] |= run_index.flat_numbers(split, shown)
    settings = [(key, *(run.get(key, ABSENT) for run in runs)) for key in {**runs[0], **runs[1]}]
    rows = []
    for key in {**metrics[0], **metrics[1]}:
        left, right = (values.get(key) for values in metrics)
        change = None if left is None or right is None else float(right - left)
        rows.append((key, left, right, change))
    heads = tuple("/".join(folder.absolute().parts[-2:]) for folder in (first, second))
    different = [row for row in settings if row[1] != row[2]]
    return [
        Rows("settings that differ", ("key", *heads), different),
        Rows("figures", ("figure", *heads, "second - first"), rows),
    ]


def flat(tree: Any) -> dict[str, Any]:
    """The leaves of nested mappings and lists by dotted key.

    Raises:
        ArtifactError: there are too many, or they contain themselves (both by YAML aliases).
    """
    leaves: dict[str, Any] = {}
    stack: list[tuple[str, Any, int]] = [("", tree, 0)]
    visited = 0
    while stack:
        key, value, depth = stack.pop()
        visited += 1
        if visited > _MAX_KEYS or depth > 50:
            raise ArtifactError(f"{errors.join_names(list(leaves), 3)}: too large to be a config.")
        if isinstance(value, dict | list) and value:
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            inner = [
                (f"{key}.{name}" if key else str(name), child, depth + 1) for name, child in pairs
            ]
            stack.extend(reversed(inner))
        else:
            leaves[key] = value
    return leaves
