"""Load a data set: inspect it, write the report, refuse, leave out or quarantine what is broken."""

from pathlib import Path

from fmkit.config import registry
from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core import console, files
from fmkit.core.errors import DataError, plural, received
from fmkit.core.modalities import modality_entry
from fmkit.core.throttle import Throttle
from fmkit.data import findings
from fmkit.data.dataset import Dataset
from fmkit.data.findings import Finding
from fmkit.data.quality import inspect as inspection
from fmkit.data.quality import quarantine
from fmkit.data.quality import report as data_report
from fmkit.data.quality.inspect import Inspection
from fmkit.store import array_cache

_FIRST_MESSAGE_SECONDS, _MESSAGE_SECONDS = 3.0, 10.0  # of progress


def for_training(
    config: DataConfig, runtime: RuntimeConfig, split_seed: int, report: Path
) -> Dataset:
    """The data set to train on, with every file inspected.

    Args:
        split_seed: of splits that the source does not name.
        report: the file that gets the report, even if the data is refused.

    Raises:
        DataError: the data is wrong; all problems at once.
        ResourceError: files could not be moved into quarantine.
    """
    inspected = inspect(config, runtime, split_seed, report)
    files.write_json(report, data_report.report(config, inspected))
    data = inspection.accept(inspected, config.on_bad)
    for kind, members in findings.group_by_kind(inspected.findings).items():
        about = findings.FINDING_KINDS[kind]
        if about.severity != findings.WARNING:
            continue
        if members[0].where:
            names = findings.name_some(members)
            console.warning(f"{findings.count(members):,}: {about.title}: {names}")
        else:
            for finding in members[: findings.SHOWN]:
                console.warning(finding.why)
    quarantine_findings(config, inspected, report)
    return data


def for_evaluation(
    config: DataConfig, runtime: RuntimeConfig, split_seed: int, split: str
) -> Dataset:
    """The data set to evaluate a model on: one split of it, or with `all` every example.

    No file is moved: `data.on_bad=quarantine` leaves out, as `skip` does.

    Raises:
        DataError: what is wrong with the data, or that it has no such split.
    """
    inspected = inspect(config, runtime, split_seed, training=split != "all")
    data = inspection.accept(inspected, "error" if config.on_bad == "error" else "skip")
    skipped = inspection.skipped(inspected.findings)
    if skipped:
        console.warning(f"left out: {findings.count(skipped)} ({findings.name_some(skipped)}).")
    if not len(data.splits.get(split, ())):
        names = [name for name, indices in data.splits.items() if len(indices)]
        raise DataError(received("split", split, [*names, "all"], "The data has no such split."))
    return data


def inspect(
    config: DataConfig,
    runtime: RuntimeConfig,
    split_seed: int,
    report: Path | None = None,
    training: bool = True,
) -> Inspection:
    """Inspect a data set, and print progress where that takes long.

    Raises:
        DataError: it cannot be listed; `report` says so, too, for pipelines that read it.
    """
    folder = array_cache.cache_folder(runtime.cache_dir)
    modality = registry.source_entry(config.name).modality  # a plugin's may be unknown
    noun = modality_entry(modality).plural if modality else "examples"
    throttle = Throttle(_MESSAGE_SECONDS, delay=_FIRST_MESSAGE_SECONDS)

    def progress(done: int, total: int) -> None:
        if runtime.verbose and throttle.is_due():
            console.info(f"data: inspected {done:,} of {total:,} {noun}")

    try:
        return inspection.inspect(config, split_seed, folder, training=training, progress=progress)
    except DataError as error:
        if report is not None:
            unusable = Finding("unusable", "", str(error))
            files.write_json(report, data_report.failed_report(config, unusable))
        raise


def quarantine_findings(config: DataConfig, inspected: Inspection, report: Path) -> None:
    """Print what is left out, and move its files under `data.on_bad=quarantine`.

    Raises:
        ResourceError: files could not be moved.
    """
    skipped = inspection.skipped(inspected.findings)
    if config.on_bad == "error" or not skipped:
        return
    count, names = findings.count(skipped), findings.name_some(skipped)
    console.warning(f"left out: {count} ({names}); all are in {report}.")
    if config.on_bad != "quarantine":
        return
    root = quarantine.movable_root(config)
    moved = quarantine.move([f for f in skipped if f.about.fault == findings.FILE], root)
    if not moved:  # rows and lines have no file of their own
        return
    files.write_json(report, data_report.report(config, inspected, moved))
    subject = plural(len(moved), "file was", "files were")
    console.warning(
        f"{subject} moved to {root.parent / quarantine.NAME}; `sh {quarantine.UNDO}` there moves "
        f"{'it' if len(moved) == 1 else 'them'} back."
    )
