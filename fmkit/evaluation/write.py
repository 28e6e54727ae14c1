"""Write evaluations as JSON, and tables of predictions as parquet or CSV."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from fmkit.core import files
from fmkit.store import run_dir


def write_evaluation(
    folder: Path,
    name: str,
    metrics: dict[str, Any],
    columns: dict[str, Any],
    extra: Mapping[str, Any] | None = None,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write `eval/<name>.json` and `.parquet` in a run folder; returns the JSON's path.

    Args:
        folder: the run's.
        name: of the evaluation.
        metrics: for the JSON.
        columns: for the table.
        extra: content of `eval/<name>.<end>.json`, by that end.
        tables: columns of `eval/<name>/<table>.csv`, by the table's name.
    """
    target = folder / run_dir.EVALUATION
    target.mkdir(exist_ok=True)
    write_table(target / f"{name}.parquet", columns)
    for end, content in (extra or {}).items():
        files.write_json(target / f"{name}.{end}.json", content)
    for table, cells in (tables or {}).items():
        write_table(target / name / f"{table}.csv", dict(cells))
    files.write_json(target / f"{name}.json", metrics)
    return target / f"{name}.json"


def recorded_ids(folder: Path, name: str) -> set[str] | None:
    """The ids of the examples that an evaluation of a run was made of; None: they are unknown."""
    from fmkit.data.findings import UnusableInput
    from fmkit.data.formats.tables import ParquetTable

    path = folder / run_dir.EVALUATION / f"{name}.parquet"
    if not path.exists():
        return None
    try:
        table = ParquetTable(str(path))
        return {str(row["id"]) for row in table.rows(["id"])} if "id" in table.names else None
    except UnusableInput:
        return None


def recorded_columns(folder: Path, name: str) -> dict[str, Any] | None:
    """The table of an evaluation of a run by column; None: there is none, or it is damaged."""
    import pandas as pd

    path = folder / run_dir.EVALUATION / f"{name}.parquet"
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError, TypeError, NotImplementedError):  # pyarrow has errors of each kind
        return None
    return {str(column): frame[column].to_numpy() for column in frame}


def write_table(path: Path, columns: dict[str, Any]) -> None:
    """Write columns as `.parquet`, or as CSV for any other suffix; whole or not at all.

    In CSV a text that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@` or
    a tab) gets an apostrophe before it, as OWASP advises against CSV injection. Numbers and parquet
    stay as they are.
    """
    import pandas as pd

    if path.suffix != ".parquet":
        columns = {
            escape_formula(name): list(map(escape_formula, values))
            for name, values in columns.items()
        }
    frame = pd.DataFrame(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        if path.suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
            return
        # The csv module of Python before 3.13 leaves a `\r` outside quotes, where it ends a row.
        texts = (cell for column in columns.values() for cell in column if isinstance(cell, str))
        has_returns = any("\r" in text for text in texts)
        quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL
        frame.to_csv(temporary, index=False, errors="backslashreplace", quoting=quoting)


def escape_formula(cell: Any) -> Any:
    """A cell of a CSV that no spreadsheet takes for a formula."""
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if is_formula else cell
