"""Reads a split of the data that a run was trained on, or of other data, as the run would."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmkit.config import compatibility, saved_config
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core import console
from fmkit.core.errors import ConfigError, DataError, causes, plural
from fmkit.evaluation import write
from fmkit.store.run_reader import RunReader

if TYPE_CHECKING:
    from fmkit.config.schema.data import DataConfig
    from fmkit.data.dataset import Dataset

_SPLITTING = {"val_fraction", "test_fraction", "split_seed", "limit", "shots"}
"""Keys of data that decide which examples are in a split."""
_NUMBERED = re.compile(r"(.*:)?(row-)?\d{6,}")
"""Ids of rows and lines by their numbers in a file."""
_ROWS = 200  # of a table, that are looked at for its columns
_UNUSED = {"batch_size", "augment", "augment_views", "flip", "refit"}
"""Keys of data that do not change what an evaluation comes to."""


@dataclass(frozen=True)
class SplitData:
    """A split of a data set.

    Attributes:
        data: has the split among its own.
        split: its name.
        suffix: end of the name that figures of it get; empty where it is the run's own, unchanged.
    """

    data: Dataset
    split: str
    suffix: str = ""


def read_split(
    run: RunReader,
    data_config: DataConfig,
    runtime: RuntimeConfig,
    split: str | None,
    task: str,
    objective: str | None = None,
) -> SplitData:
    """Read a split of the data that a config names, which may be the run's own.

    The split of a run is the one on record, by the ids of its examples: a split that is made anew
    after a photo came or went may have examples that the run was trained on.

    Args:
        run: the run.
        data_config: of the data.
        runtime: says where the cache is, and whether progress is shown.
        split: its name, or `all`; None: `test`, or `all` of data new to the run.
        task: name of what the run learned.
        objective: of a joint run, if it is not the primary one.

    Raises:
        DataError: what is wrong with the data, or that it has no such split.
    """
    from fmkit.data import load

    recorded_config = saved_config.for_objective(run.config(), objective)
    trained_on = saved_config.section(recorded_config, "data")
    compatibility.resolve_labels(trained_on, task)
    seed = trained_on.split_seed if data_config.split_seed is None else data_config.split_seed
    differing = [
        field.name
        for field in dataclasses.fields(data_config)
        if getattr(data_config, field.name) != getattr(trained_on, field.name, None)
    ]
    is_new = not {"name", "root"}.isdisjoint(differing)
    split = split or ("all" if is_new else "test")
    recorded = None
    if not is_new and split != "all" and _SPLITTING.isdisjoint(differing):
        recorded = write.recorded_ids(run.folder, "-".join(filter(None, [split, objective])))
    read_config = _without_absent_columns(data_config)
    try:
        data = load.for_evaluation(
            read_config, runtime, seed or 0, split if recorded is None else "all"
        )
    except DataError as error:
        raise _with_trained_columns(error, data_config, trained_on) from None
    fingerprint = data.spec.fingerprint
    if is_new:
        return SplitData(data, split, fingerprint[:8])
    learned = run.data(objective)
    has_changed = fingerprint != learned.get("fingerprint")
    if has_changed and split != "all" and _is_relabelled_alone(data_config, trained_on, learned):
        chosen = data if recorded is None else _recorded_split(data, split, recorded, False)
        return SplitData(chosen, split, fingerprint[:8])
    if has_changed and split != "all":
        recorded = _own_split(data, split, recorded, learned)
    if recorded is not None:
        data = _recorded_split(data, split, recorded, has_changed)
    elif has_changed and split != "all":
        console.warning(
            "the data has changed since the run was trained, and its splits may have changed, too."
        )
    if has_changed:
        return SplitData(data, split, fingerprint[:8])
    settings = {name: getattr(data_config, name) for name in differing if name not in _UNUSED}
    suffix = hashlib.sha256(repr(settings).encode()).hexdigest()[:8] if settings else ""
    return SplitData(data, split, suffix)


def read_own_split(
    run: RunReader, runtime: RuntimeConfig, split: str, objective: str | None = None
) -> SplitData:
    """A split of the data that a run was trained on, or `all` of it, as it is now.

    Raises:
        DataError: what is wrong with the data, or that it has no such split.
    """
    task, objective = saved_config.task_of(saved_config.section(run.config(), "task"), objective)
    data = saved_config.section(saved_config.for_objective(run.config(), objective), "data")
    compatibility.resolve_labels(data, task.name)
    return read_split(run, data, runtime, split, task.name, objective)


def _with_trained_columns(error: DataError, data: DataConfig, trained_on: DataConfig) -> DataError:
    """The error with a hint for each column that a table lacks and the run was trained on."""
    from fmkit.data.formats.delimited import ColumnError

    lacks = [cause.missing for cause in causes(error) if isinstance(cause, ColumnError)]
    missing = {name for names in lacks for name in names}
    keys = {
        key: value
        for key, value in vars(data).items()
        if key.endswith("_column") and value in missing and value == getattr(trained_on, key, None)
    }
    if not keys:
        return error
    names = " and ".join(f"{str(value)!r} (data.{key})" for key, value in keys.items())
    settings = " ".join(f"data.{key}=NAME" for key in keys)
    noun = "column" if len(keys) == 1 else "columns"
    return DataError(
        error.message,
        f"The run was trained on a table with {names}. Name this table's {noun}: {settings}",
    )


def _without_absent_columns(data: DataConfig) -> DataConfig:
    """The same config without those of `data.label_columns` that a table lacks, unless it lacks
    all: what it has can be judged."""
    from fmkit.data.findings import UnusableInput
    from fmkit.data.formats import tables

    columns, path = getattr(data, "label_columns", None), Path(str(getattr(data, "root", "")))
    if not columns or not path.is_file():
        return data
    options = {
        name: getattr(data, name) for name in ("encoding", "quotes", "sheet") if hasattr(data, name)
    }
    try:
        rows = itertools.islice(tables.records(path, **options, list_key="data"), _ROWS)
        present = {name for row in rows if isinstance(row.value, dict) for name in row.value}
    except (UnusableInput, ConfigError):  # reported where it is read
        return data
    columns_there = [name for name in columns if name in present]
    changes: dict[str, Any] = {"label_columns": columns_there or columns}
    return dataclasses.replace(data, **changes)


def _is_relabelled_alone(data: DataConfig, trained_on: DataConfig, learned: dict[str, Any]) -> bool:
    """Whether data differs from what a run learned by `data.relabel` and nothing else."""
    from fmkit.data.sources import registry

    if data.relabel == trained_on.relabel:
        return False
    before = registry.collect(dataclasses.replace(data, relabel=trained_on.relabel))
    return before.fingerprint == learned.get("fingerprint")


def _own_split(
    data: Dataset, split: str, recorded: set[str] | None, learned: dict[str, Any]
) -> set[str] | None:
    """The ids of a split on record in data that has changed.

    Rows and lines are known by their numbers. Where they may have moved, the data's own splits
    count, if it names some.

    Args:
        learned: what the run recorded of its data.

    Raises:
        DataError: it cannot be known which rows are of the split.
    """
    ids = data.examples.ids
    if not any(map(_NUMBERED.fullmatch, ids if recorded is None else recorded)):
        return recorded
    count = sum(learned.get("counts", {}).values())
    first = data.examples.take(np.arange(min(count, len(ids))))
    if first.fingerprint == learned.get("fingerprint"):  # rows were added at the end
        return recorded
    if data.examples.splits is not None and (data.examples.splits == split).any():
        return {name for name, own in zip(ids, data.examples.splits, strict=True) if own == split}
    raise DataError(
        f"the data has changed since the run was trained, and its rows are known by their numbers: "
        f"some may have moved, so that those of {split} cannot be told from those of training.",
        "Restore it as it was (rows at its end may be new), or evaluate all of it, what the run "
        "was trained on included: split=all",
    )


def _recorded_split(data: Dataset, split: str, recorded: set[str], has_changed: bool) -> Dataset:
    """The data with one split: the examples on record that it still has.

    Raises:
        DataError: it has none of them.
    """
    ids = data.examples.ids
    indices = np.array([index for index, name in enumerate(ids) if name in recorded], np.int64)
    if not len(indices):
        raise DataError(
            f"none of the {plural(len(recorded), 'example')} of {split} on record is still there.",
            "split=all evaluates what the data has now.",
        )
    if has_changed:
        gone = len(recorded) - len(indices)
        lost = f", of which {gone} {'is' if gone == 1 else 'are'} gone" if gone else ""
        console.warning(
            "the data has changed since the run was trained: evaluated are the "
            f"{plural(len(recorded), 'example')} of {split} on record{lost}."
        )
    return dataclasses.replace(data, splits={split: indices})
