"""From a config to a data set that may be used: inspect it, decide, report, move what is broken."""

from __future__ import annotations

import time
from pathlib import Path

from fmkit.config.schema.data import DataConfig, ImageData
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core import console
from fmkit.core.errors import DataError, received
from fmkit.data import findings
from fmkit.data.dataset import Dataset
from fmkit.data.findings import WARNING, Finding
from fmkit.data.quality import inspect as inspection
from fmkit.data.quality import quarantine
from fmkit.data.quality import report as data_report
from fmkit.data.quality.inspect import Inspection
from fmkit.store.array_cache import default_folder

_PATIENCE, _PAUSE = 3.0, 10.0  # seconds until the scan says how far it is, and between two times


def for_training(
    config: DataConfig, runtime: RuntimeConfig, split_seed: int, report: Path
) -> Dataset:
    """The data set to train on, every file of it looked at.

    Args:
        config: the data set.
        runtime: says where the cache is, and whether to tell what goes on.
        split_seed: of splits that the source does not name.
        report: the file that gets the report, also where the data is refused.

    Raises:
        DataError: the data is wrong; all problems at once.
        ResourceError: files could not be moved into quarantine.
    """
    try:
        inspected = inspect(config, runtime, split_seed, training=True)
    except DataError as error:
        data_report.write(
            report, data_report.failed_report(config, Finding("unusable", "", str(error)))
        )
        raise
    data_report.write(report, data_report.report(config, inspected))
    data = inspection.accept(inspected, config.on_bad)
    _warn(inspected)
    quarantine_findings(config, inspected, report)
    return data


def for_evaluation(
    config: DataConfig, runtime: RuntimeConfig, split_seed: int, split: str
) -> Dataset:
    """The data set to judge a model on: one split of it, or with `all` every example.

    Nothing is moved: `data.on_bad=quarantine` leaves out, as `skip` does.

    Raises:
        DataError: what is wrong with the data, or that it has no such split.
    """
    inspected = inspect(config, runtime, split_seed, training=split != "all")
    data = inspection.accept(inspected, "error" if config.on_bad == "error" else "skip")
    missing = inspection.skipped(inspected.findings)
    if missing:
        console.warning(f"left out: {findings.count(missing)} ({findings.name_some(missing)}).")
    if not len(data.splits.get(split, ())):
        there = [name for name, indices in data.splits.items() if len(indices)]
        raise DataError(received("split", split, [*there, "all"], "The data has no such split."))
    return data


def inspect(
    config: DataConfig, runtime: RuntimeConfig, split_seed: int, *, training: bool
) -> Inspection:
    """Look at a data set, and say how far it is where that takes long.

    Raises:
        DataError: it cannot be listed.
    """
    folder = Path(runtime.cache_dir) if runtime.cache_dir else default_folder()
    next_word = time.monotonic() + _PATIENCE

    def tell(done: int, total: int) -> None:
        nonlocal next_word
        if runtime.verbose and time.monotonic() >= next_word:
            next_word = time.monotonic() + _PAUSE
            word = "photos" if isinstance(config, ImageData) else "pieces of texts"
            console.info(f"data: looked at {done:,} of {total:,} {word}")

    return inspection.inspect(config, split_seed, folder, training=training, progress=tell)


def quarantine_findings(config: DataConfig, inspected: Inspection, report: Path) -> None:
    """Say what is left out, and move its files under `data.on_bad=quarantine`.

    Raises:
        ResourceError: files could not be moved.
    """
    missing = inspection.skipped(inspected.findings)
    if config.on_bad == "error" or not missing:
        return
    console.warning(
        f"left out: {findings.count(missing)} ({findings.name_some(missing)}); all are in {report}."
    )
    if config.on_bad == "quarantine":
        root = quarantine.movable_root(config)
        moved = quarantine.move([each for each in missing if each.about.fault == "file"], root)
        if not moved:  # rows and lines lie in no file of their own
            return
        data_report.write(report, data_report.report(config, inspected, moved))
        place = root.parent / quarantine.NAME
        console.warning(f"{len(moved)} files were moved to {place}; `sh {quarantine.UNDO}` there "
                     "moves them back.")  # fmt: skip


def _warn(inspected: Inspection) -> None:
    """A line a kind of warning."""
    for kind, those in findings.group_by_kind(inspected.findings).items():
        about = findings.FINDING_KINDS[kind]
        if about.severity == WARNING:
            told = findings.name_some(those) if those[0].where else those[0].why
            count = f"{findings.count(those):,}: " if those[0].where else ""
            title = f"{about.title}: " if those[0].where else ""
            console.warning(f"{count}{title}{told}")
