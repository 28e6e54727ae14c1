"""`fmkit check`: inspect a dataset and report problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmkit.commands import data_tables, launch, plugins
from fmkit.config import command_line
from fmkit.config.schema.commands import CheckConfig
from fmkit.core import console, files
from fmkit.core.errors import ConfigError, DataError
from fmkit.store import run_dir


def check(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Inspect a dataset; the report, as data_report.json has it."""
    line = command_line.parse("check", arguments)
    return launch.run_command(line, plugins.names(line.value("plugins")), check_data)


def check_data(config: CheckConfig) -> dict[str, Any]:
    """Inspect a dataset: a report, a sheet of suspect photos, and tables on the screen.

    Raises:
        DataError: it has problems that would stop a training run.
    """
    from fmkit.data import load
    from fmkit.data.quality import contact_sheet, inspect, report

    folder = _output_folder(config)
    path, sheet = folder / run_dir.DATA_REPORT, folder / run_dir.CONTACT_SHEET
    seed = config.runtime.seed if config.data.split_seed is None else config.data.split_seed
    inspected = load.inspect(config.data, config.runtime, seed, path)
    content = report.report(config.data, inspected)
    files.write_json(path, content)
    has_suspects = contact_sheet.draw(inspected, sheet)
    data_tables.dataset(content)
    console.stdout.print(f"report: {console.escape_markup(str(path))}")
    if has_suspects:
        console.stdout.print(f"suspects: {console.escape_markup(str(sheet))}")
    if inspect.blocking_errors(inspected.findings, config.data.on_bad):
        raise DataError("this dataset cannot be trained on; the errors are listed above.")
    inspect.accept(inspected, config.data.on_bad)
    load.quarantine_findings(config.data, inspected, path)
    return content


def _output_folder(config: CheckConfig) -> Path:
    """The folder for the report, made if it does not exist.

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
