"""The runs under a folder with every value that they have, by key: what they are selected by.

A key is one of the status (`state`, `name`, `best.value`), a figure of an evaluation as its file
has it (`test.accuracy`, `val.per_class.cat.f1`), or a config's full key (`model.name`).
"""

import datetime
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fmkit.store import lock, run_content, run_dir, run_index
from fmkit.store.run_files import RunFiles
from fmkit.store.run_index import RunSummary

AGE = "age"
_OTHERS = "others"
_FIELDS = tuple(key for key in RunSummary.__annotations__ if key not in ("best", "test", "val"))
_ENDED = (run_dir.DONE, run_dir.FAILED, run_dir.INTERRUPTED)
_SPLITS = ("test", "val")


class RunTable:
    """All runs under a folder, newest first, as they are now.

    Attributes:
        runs: their summaries.
    """

    def __init__(self, root: Path) -> None:
        self._files = RunFiles(root)
        folders = run_index.folders(root)
        paths = [folder / run_dir.STATUS for folder, _ in folders]
        rows = self._files.read("the status", paths, _summary, lambda row: row["state"] in _ENDED)
        others = {
            folder: row.pop(_OTHERS, {}) for (folder, _), row in zip(folders, rows, strict=True)
        }
        self.runs = run_index.newest_first(
            RunSummary(folder, name, **row) if row else run_index.read(folder, name)
            for (folder, name), row in zip(folders, rows, strict=True)
        )
        self._others = [others[run.folder] for run in self.runs]
        self._columns: dict[str, list[Any]] = {}

    def column(self, key: str) -> list[Any] | None:
        """A value per run, None for a run that has none; None where no run has such a key."""
        return self.columns([key])[key]

    def columns(self, keys: Iterable[str]) -> dict[str, list[Any] | None]:
        """Several at once, for which each file is read once."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._columns]
        for read in (self._summaries, self._status, self._config, self._evaluations):
            left = [key for key in missing if key not in self._columns]
            if left and self.runs:
                read(left)
        return {key: self._columns.get(key) for key in keys}

    def keys(self) -> list[str]:
        """Every key that a run has."""
        rows = [
            *(run_index.row(run) | _best(run) for run in self.runs),
            *self._others,
            *self._read("the config", run_dir.CONFIG, _config_of),
        ]
        names = dict.fromkeys([*_FIELDS, AGE])
        for row in rows:
            names.update(dict.fromkeys(row))
        return list(names)

    def _read(self, kind: str, name: str, parse: Callable[[Path], Any]) -> list[dict[str, Any]]:
        return self._files.read(kind, [run.folder / name for run in self.runs], parse)

    def _summaries(self, keys: Sequence[str]) -> None:
        """What summaries have: fields, and the figures of the own splits."""
        now = datetime.datetime.now(datetime.UTC).timestamp()
        own = [key for key in keys if key in (*_FIELDS, AGE) or key.startswith("best.")]
        figures = [key for key in keys if key.partition(".")[0] in _SPLITS]
        for key in own:
            if key == AGE:
                started = [lock.timestamp(run.started) for run in self.runs]
                self._columns[key] = [None if at is None else now - at for at in started]
            elif key == "data":
                self._columns[key] = [run.data_label for run in self.runs]
            elif key in _FIELDS:
                self._columns[key] = [_as_text(getattr(run, key)) for run in self.runs]
            else:
                self._set([key], [_best(run) for run in self.runs])
        if figures:
            rows = [run_index.metrics(run) for run in self.runs]
            in_status = [key for key in figures if any(key in row for row in rows)]
            self._add_evaluations(in_status, rows)
            self._set(in_status, rows)

    def _add_evaluations(self, keys: Sequence[str], rows: list[dict[str, Any]]) -> None:
        """Fill rows with figures of runs that were evaluated later, such as stopped ones."""
        for split in {key.partition(".")[0] for key in keys}:
            own = [key for key in keys if key.startswith(f"{split}.")]
            left = [k for k, row in enumerate(rows) if not any(key in row for key in own)]
            paths = [self.runs[k].folder / run_dir.EVALUATION / f"{split}.json" for k in left]
            kind = f"the figures of {split}"
            for k, values in zip(
                left, self._files.read(kind, paths, _figures, is_all=False), strict=True
            ):
                rows[k] |= {f"{split}.{key}": value for key, value in values.items()}

    def _config(self, keys: Sequence[str]) -> None:
        self._set(keys, self._read("the config", run_dir.CONFIG, _config_of))

    def _status(self, keys: Sequence[str]) -> None:
        self._set(keys, self._others)

    def _evaluations(self, keys: Sequence[str]) -> None:
        """Figures of the files in eval/, which begin with the name of a split."""
        by_split: dict[str, list[str]] = {}
        for key in keys:
            split, dot, _ = key.partition(".")
            if dot and split not in ("", "..") and os.sep not in split:
                by_split.setdefault(split, []).append(key)
        for split, own in by_split.items():
            name = f"{run_dir.EVALUATION}/{split}.json"
            rows = self._read(f"the figures of {split}", name, _figures)
            prefixed = [{f"{split}.{key}": value for key, value in row.items()} for row in rows]
            self._set(own, prefixed)

    def _set(self, keys: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
        for key in keys:
            if any(key in row for row in rows):
                self._columns[key] = [_as_text(row.get(key)) for row in rows]


def _as_text(value: Any) -> Any:
    """A value that a table shows: a list of stages is `head+full`, a path its text."""
    if isinstance(value, list):
        return "+".join(map(str, value))
    return str(value) if isinstance(value, Path) else value


def _best(run: RunSummary) -> dict[str, Any]:
    return {f"best.{key}": value for key, value in (run.best or {}).items()}


def _summary(path: Path) -> dict[str, Any]:
    """A run's summary, and what else its status says that is not nested."""
    values = dict(vars(run_index.read(path.parent)))
    del values["folder"], values["id"]
    status = run_content.json_or_empty(path)
    simple = {key: value for key, value in status.items() if not isinstance(value, dict | list)}
    return values | {_OTHERS: {key: value for key, value in simple.items() if key not in values}}


def _config_of(path: Path) -> dict[str, Any]:
    return run_content.settings_or_empty(path.parent)


def _figures(path: Path) -> dict[str, Any]:
    """The numbers of an evaluation, those by class and such among them; no list has one."""
    numbers: dict[str, Any] = {}
    pending: list[tuple[str, Any]] = [("", run_content.json_or_empty(path))]
    while pending:
        prefix, tree = pending.pop()
        for name, value in tree.items():
            if isinstance(value, dict):
                pending.append((f"{prefix}{name}.", value))
            elif isinstance(value, int | float) and not isinstance(value, bool):
                numbers[f"{prefix}{name}"] = value
    return numbers
