"""`fmkit check`: look at a data set, show it, and leave a report."""

from __future__ import annotations

from pathlib import Path

from fmkit.commands import result_tables
from fmkit.config.schema.commands import CheckConfig
from fmkit.core import console
from fmkit.core.errors import ConfigError, DataError
from fmkit.store import run_dir


def check_data(config: CheckConfig) -> None:
    """Look at a data set: a report, a sheet of suspect photos, and tables on the screen.

    Raises:
        DataError: something is wrong that would stop a training run.
    """
    from fmkit.data import load
    from fmkit.data.findings import Finding
    from fmkit.data.quality import contact_sheet, inspect
    from fmkit.data.quality import report as overview

    folder = _check_folder(config)
    report, sheet = folder / run_dir.DATA_REPORT, folder / run_dir.CONTACT_SHEET
    seed = config.runtime.seed if config.data.split_seed is None else config.data.split_seed
    try:
        inspected = load.inspect(config.data, config.runtime, seed, training=True)
    except DataError as error:
        found = Finding("unusable", "", str(error))
        overview.write(report, overview.failed_report(config.data, found))
        raise
    content = overview.report(config.data, inspected)
    overview.write(report, content)
    drawn = contact_sheet.draw(inspected, sheet)
    result_tables.data_set(content)
    console.stdout.print(f"report: {console.escape_markup(str(report))}")
    if drawn:
        console.stdout.print(f"suspects: {console.escape_markup(str(sheet))}")
    stopping = inspect.blocking_errors(inspected.findings, config.data.on_bad)
    if stopping:
        raise DataError("this data set is not fit for training; the errors are above.")
    inspect.accept(inspected, config.data.on_bad)
    load.quarantine_findings(config.data, inspected, report)


def _check_folder(config: CheckConfig) -> Path:
    """A folder for the report.

    Raises:
        ConfigError: it cannot be made.
    """
    folder = Path("checks") / run_dir.new_name()
    if config.output is not None:
        folder = Path(config.output).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"output: {folder} cannot be made: {error.strerror}.",
            "Name a folder that you may write: output=DIR",
        ) from error
    return folder
