"""`fmkit runs`: tables of runs for a terminal, and tab-separated lines for everything else."""

from __future__ import annotations

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

from fmkit.core import console, errors, files, safe_io
from fmkit.core.errors import ArtifactError, ConfigError, received
from fmkit.store import run_dir, run_index
from fmkit.store.run_reader import RunReader

NOTHING = "-"
ABSENT = "(absent)"

_VERBS = {"list": 0, "show": 1, "compare": 2, "best": 0}
OPTIONS = {
    "runs_dir": ("runs", "Folder of runs; with any of these."),
    "metric": ("test.accuracy", "What `best` ranks by: `test.` or `val.` and a figure."),
    "data": ("", "`best` ranks only runs on this data, by its name: figures compare there only."),
}
"""Keys of `fmkit runs`, each with its default and its meaning."""

_FOLDED = 4  # so many columns are folded on a narrow terminal, and the rest is left out
_MAX_KEYS = 10_000  # a config has some hundred; a file that grows beyond this is no config
_FIGURES = (
    *("n", "loss", "accuracy", "top5", "macro_f1", "balanced_accuracy"),
    *("expected_calibration_error", "brier", "micro_f1", "subset_accuracy"),
    *("mean_average_precision", "mae", "rmse", "r2", "exact_match", "f1"),
    *("words", "precision", "recall", "token_macro_f1"),
)


@dataclass(frozen=True)
class Rows:
    """A table: rich on a terminal, else a `#` title, a header and a line a row, tabs between.

    A terminal does not get columns without any value, nor the last ones where it is too narrow.

    Attributes:
        title: what it shows.
        columns: header; the first column is never cut or folded.
        rows: a cell a column; None is shown as `-`.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __rich_console__(self, target: Console, options: ConsoleOptions) -> RenderResult:
        cells = [[_cell(each) for each in row] for row in self.rows]
        if not target.is_terminal:
            header = [_cell(each) for each in self.columns]
            lines = ["\t".join(cell.plain for cell in row) for row in [header, *cells]]
            yield Segment("\n".join([f"# {_cell(self.title).plain}", *lines]) + "\n")
            return
        shown, left_out = self._that_fit(cells, options.max_width)
        table = Table(title=_cell(self.title), title_justify="left", box=box.SIMPLE, pad_edge=False)
        for number in shown:
            width = max((row[number].cell_len for row in cells), default=0)
            table.add_column(
                _cell(self.columns[number]),
                overflow="fold",
                min_width=None if number else width,
                no_wrap=number == 0,
            )
        for row in cells:
            table.add_row(*(row[number] for number in shown))
        yield table
        if left_out:
            yield Text(f"Too narrow for: {', '.join(left_out)}. A pipe gets them all.\n", "dim")

    def _that_fit(self, cells: list[list[Text]], width: int) -> tuple[list[int], list[str]]:
        """The columns to show, the first ones first, and the names of those that go."""
        shown, left_out = [], []
        for number, name in enumerate(self.columns):
            filled = [row[number].cell_len for row in cells if row[number].plain != NOTHING]
            if not filled:
                continue
            width -= max(*filled, len(name)) + 3
            if width < 0 and number >= _FOLDED:
                left_out.append(name)
            else:
                shown.append(number)
        return shown, left_out


def _cell(value: Any) -> Text:
    """A value as one line of text without control characters."""
    if value is None or value == "":
        text = NOTHING
    elif isinstance(value, float):
        text = f"{value:.6g}"
    else:
        text = str(value) if not isinstance(value, dict | list) else json.dumps(value)
    return Text.from_markup(console.escape_markup(text), emoji=False)


def command(arguments: list[str]) -> int:
    """Run `fmkit runs [list|show RUN|compare RUN RUN|best] [KEY=VALUE ...]`.

    Keys are `runs_dir` (the folder), and for `best` also `metric` (`test.accuracy`) and `data`
    (only runs on that data).

    Raises:
        ConfigError: no such verb or key, or too few or too many runs.
        ArtifactError: a run was not found or cannot be read.
    """
    words = [each for each in arguments if not _is_option(each)]
    options = dict(each.split("=", 1) for each in arguments if _is_option(each))
    verb = words.pop(0) if words else "list"
    if verb not in _VERBS:
        raise ConfigError(received("fmkit runs", verb, list(_VERBS)))
    if len(words) != _VERBS[verb]:
        expected = ("no run", "one run", "two runs")[_VERBS[verb]]
        raise ConfigError(received(f"fmkit runs {verb}", " ".join(words), expected))
    root = Path(options.get("runs_dir", "runs"))
    if verb in ("show", "compare"):
        folders = [run_index.resolve(word, root) for word in words]
        tables = details(*folders) if verb == "show" else comparison(*folders)
    elif verb == "best":
        metric = options.get("metric", "test.accuracy")
        tables = [ranking(run_index.best(root, metric, options.get("data")), metric)]
    else:
        tables = [listing(run_index.runs(root))]
        if not tables[0].rows:
            console.info(f"There is no run in {files.absolute_path(root)} yet.")
            return 0
    for number, table in enumerate(tables):
        if number and not console.stdout.is_terminal:
            console.stdout.print()
        console.stdout.print(table)
    return 0


def _is_option(word: str) -> bool:
    return any(word.startswith(f"{each}=") for each in OPTIONS)


def listing(known: Sequence[run_index.RunSummary]) -> Rows:
    """A row a run."""
    columns = (
        *("id", "state", "test accuracy", "name", "data", "model", "val accuracy", "stage"),
        *("phase", "epoch", "seconds", "command", "reason"),
    )
    return Rows("runs", columns, [_row(run) for run in known])


def _row(run: run_index.RunSummary) -> list[Any]:
    figures = run_index.metrics(run)
    return [
        *(run.id, run.state, figures.get("test.accuracy"), run.name, run.data, run.model),
        *(figures.get("val.accuracy"), _stage(run), run.phase, run.epoch, run.seconds),
        *(run.command, run.reason),
    ]


def _stage(run: run_index.RunSummary) -> str | None:
    return run.stage if not isinstance(run.stage, list) else "+".join(map(str, run.stage))


def ranking(ranked: Sequence[run_index.RunSummary], metric: str) -> Rows:
    """Runs in their order, with the figure that ranks them."""
    rows = [
        [
            run.id,
            run_index.metric_value(run, metric),
            run.data,
            run.model,
            _stage(run),
            run.state,
            run.name,
        ]
        for run in ranked
    ]
    on = {run.data for run in ranked}
    warning = "; different data do not compare, add data=NAME" if len(on) > 1 else ""
    return Rows(
        f"best by {metric}{warning}",
        ("id", metric, "data", "model", "stage", "state", "name"),
        rows,
    )


def details(folder: Path) -> list[Rows]:
    """One run: its status, phases, epochs, figures and files; what is not there is left out."""
    run, status = run_index.read(folder), _json(folder / run_dir.STATUS)
    shown = {"folder": str(folder), "state": run.state, "reason": run.reason}
    shown |= {key: each for key, each in status.items() if key not in (*shown, "test", "val")}
    phases = shown.pop("phases", None)
    pairs = [(key, value) for key, value in flat(shown).items() if value is not None]
    tables = [Rows("status", ("key", "value"), pairs)]
    if isinstance(phases, list) and phases and all(isinstance(each, dict) for each in phases):
        tables.append(_mappings("phases", phases))
    epochs = _epochs(folder / run_dir.METRICS)
    if epochs:
        tables.append(_mappings("epochs", epochs))
    figures = _evaluations(folder, run)
    if figures:
        rows = [
            [split, *(found.get(each) for each in _FIGURES), _interval(found)]
            for split, found in figures.items()
        ]
        tables.append(Rows("figures", ("split", *_FIGURES, "accuracy 95% interval"), rows))
    return [*tables, Rows("files", ("name", "files", "bytes"), list(_files(folder)))]


def _mappings(title: str, mappings: list[dict[str, Any]]) -> Rows:
    columns = list(dict.fromkeys(key for each in mappings for key in each if key != "rss_bytes"))
    return Rows(title, columns, [[each.get(key) for key in columns] for each in mappings])


def _epochs(path: Path) -> list[dict[str, Any]]:
    """The last row of each epoch."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        for row in safe_io.json_lines(path):
            if isinstance(row, dict):
                last[str(row.get("phase")), str(row.get("epoch"))] = row
    except (OSError, ValueError) as error:
        if not isinstance(error, FileNotFoundError):
            console.warning(f"{path} is damaged; the epochs before the damage are shown.")
    return list(last.values())


def _evaluations(folder: Path, run: run_index.RunSummary) -> dict[str, dict[str, Any]]:
    """Figures by split: those of eval/, and the status' where eval/ has none."""
    found = {"val": run.val or {}, "test": run.test or {}}
    for path in sorted((folder / run_dir.EVALUATION).glob("*.json")):
        found[path.stem] = _json(path)
    return {split: each for split, each in found.items() if each}


def _interval(found: dict[str, Any]) -> str | None:
    intervals = found.get("intervals")
    pair = intervals.get("accuracy") if isinstance(intervals, dict) else None
    if not isinstance(pair, list) or len(pair) != 2:
        return None
    return " to ".join(_cell(each).plain for each in pair)


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file is missing or broken."""
    try:
        loaded = safe_io.read_json(path, safe_io.MAX_FIGURES)
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    for each in sorted(folder.iterdir()):
        if each.is_dir():
            sizes = [path.lstat().st_size for path in each.rglob("*") if not path.is_dir()]
            yield f"{each.name}/", len(sizes), sum(sizes)
        else:
            yield each.name, 1, each.lstat().st_size


def comparison(first: Path, second: Path) -> list[Rows]:
    """What differs between two runs: their settings, their data, and their figures side by side.

    Raises:
        ArtifactError: a config.yaml cannot be read.
    """
    sides = [
        {
            **flat(RunReader(each).config()),
            **_fingerprints(each),
            "(state)": run_index.read(each).state,
        }
        for each in (first, second)
    ]
    keys = list(dict.fromkeys([*sides[0], *sides[1]]))
    settings = [(key, *(side.get(key, ABSENT) for side in sides)) for key in keys]
    known = [_scores(each) for each in (first, second)]
    figures = []
    for key in dict.fromkeys([*known[0], *known[1]]):
        one, other = (each.get(key) for each in known)
        change = None if one is None or other is None else float(other - one)
        figures.append((key, one, other, change))
    heads = tuple("/".join(each.absolute().parts[-2:]) for each in (first, second))
    return [
        Rows(
            "settings that differ", ("key", *heads), [row for row in settings if row[1] != row[2]]
        ),
        Rows("figures", ("figure", *heads, "second - first"), figures),
    ]


def _scores(folder: Path) -> dict[str, float]:
    found = _evaluations(folder, run_index.read(folder))
    return {
        key: value
        for split, figures in found.items()
        for key, value in run_index.flat_numbers(
            split, {each: figures.get(each) for each in _FIGURES}
        ).items()
    }


def _fingerprints(folder: Path) -> dict[str, Any]:
    data = _json(folder / run_dir.ENVIRONMENT).get("data")
    if not isinstance(data, dict):
        return {}
    keys = ("fingerprint", "split_fingerprint")
    return {f"(data {key})": data[key] for key in keys if isinstance(data.get(key), str)}


def flat(tree: Any) -> dict[str, Any]:
    """The leaves of nested mappings and lists by dotted key.

    Raises:
        ArtifactError: there are too many, or they contain themselves (both by YAML aliases).
    """
    leaves: dict[str, Any] = {}
    waiting: list[tuple[str, Any, int]] = [("", tree, 0)]
    seen = 0
    while waiting:
        key, value, depth = waiting.pop()
        seen += 1
        if seen > _MAX_KEYS or depth > 50:
            raise ArtifactError(f"{errors.join_names(list(leaves), 3)}: too large to be a config.")
        if isinstance(value, dict | list) and value:
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            inner = [
                (f"{key}.{name}" if key else str(name), each, depth + 1) for name, each in pairs
            ]
            waiting.extend(reversed(inner))
        else:
            leaves[key] = value
    return leaves
