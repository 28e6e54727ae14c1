"""`fmkit runs [list]` and `fmkit runs where`: runs by any key or figure; table, CSV or JSON."""

import csv
import io
import os
import re
import shlex
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.commands.output import json_output, run_tables
from fmkit.core import console, files
from fmkit.core.errors import ConfigError, closest_names, received, short_repr
from fmkit.evaluation.write import escape_formula
from fmkit.store import run_content, run_index, run_query
from fmkit.store.run_index import RunSummary
from fmkit.store.run_query import Query
from fmkit.store.run_table import RunTable

KEYS = ("sort", "columns", "limit")
"""Options of a list; other words with an operator are conditions."""


def show(words: Sequence[str], options: Mapping[str, str], as_csv: bool, is_where: bool) -> None:
    """List the runs below `runs_dir` that conditions hold for.

    Args:
        words: conditions.
        options: `runs_dir`, `sort`, `columns`, `limit`.
        as_csv: whether as CSV.
        is_where: whether there must be a condition.

    Raises:
        ConfigError: a condition, key or option is wrong.
    """
    _require_operators(words)
    if is_where and not words:
        raise ConfigError("fmkit runs where needs a condition.", f"Such as: {run_query.EXAMPLES}")
    limit = run_query.parse_count("limit", options["limit"]) if "limit" in options else None
    sort = run_query.parse_keys(options.get("sort", ""))
    query = Query(run_query.parse_words(words), sort, limit)
    chosen = run_query.parse_keys(options.get("columns", ""))
    runs_dir = run_index.find_root(options.get("runs_dir", run_index.DEFAULT_ROOT))
    table = RunTable(runs_dir)
    _require_options(query, table)
    varied = [] if chosen else run_content.varied_settings(table.runs)
    selection = run_query.select(table, query, [*chosen, *varied])
    overrides = run_content.overrides_of_jobs(selection.runs)
    folder = files.absolute_path(runs_dir)

    def view() -> None:
        if as_csv:
            columns = ["id", *chosen] if chosen else ["folder", "id", "state"]
            write_csv(run_query.rows(selection, chosen), columns)
        elif selection.runs:
            shown = run_tables.listing(selection, chosen, varied, {} if varied else overrides)
            console.stdout.print(shown)
        elif not table.runs:
            console.info(f"There is no run in {folder} yet.")
        else:
            console.info(f"None of the {len(table.runs):,} runs in {folder} matches.")
        for remark in selection.remarks:
            console.info(f"{remark}.")

    content = {
        "folder": folder,
        "runs": objects(selection.runs, overrides, selection.values),
        "matching": selection.matching,
        "without_value": selection.without_value,
    }
    json_output.show("runs", content, view)


def _require_options(query: Query, table: RunTable) -> None:
    """Refuse an option that is misspelled: it would be a condition on a key that no run has."""
    options = ("runs_dir", *KEYS)
    for row in query.conditions:
        if (
            row.operator == "="
            and closest_names(row.key, options)
            and table.column(row.key) is None
        ):
            raise ConfigError(received("fmkit runs", f"{row.key}={row.value}", options))


def objects(
    summaries: Sequence[RunSummary],
    overrides: Mapping[str, list[str]],
    values: Mapping[str, Sequence[Any]] | None = None,
) -> list[dict[str, Any]]:
    """Runs for JSON: what their summaries say, overrides of jobs, values that were asked for."""
    rows = [{**vars(run), "folder": run.folder.absolute()} for run in summaries]
    if overrides:
        rows = [row | {"overrides": overrides[row["id"]]} for row in rows]
    if values:
        rows = [
            row | {"values": {key: column[number] for key, column in values.items()}}
            for number, row in enumerate(rows)
        ]
    return rows


def write_csv(rows: Sequence[Mapping[str, Any]], without_rows: Sequence[str]) -> None:
    """Print rows as CSV with every column that one of them has."""
    columns = list(dict.fromkeys(key for row in rows for key in row)) or list(without_rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: escape_formula(value) for key, value in row.items()})
    console.write_stdout(text.getvalue())


def _require_operators(words: Sequence[str]) -> None:
    """Refuse a condition that the shell took `>` or `<` from, with the line to type instead."""
    for word in words:
        if run_query.is_condition(word) or word.lower() == "and" or " " in word:
            continue
        for descriptor, operator in ((1, ">"), (0, "<")):
            path = _redirected(descriptor)
            if path is None:
                continue
            value = path.name
            made = " It has made an empty file of that name." if descriptor == 1 else ""
            condition = f"{word}{operator}{value}"
            raise ConfigError(
                f"the condition {short_repr(word)} has no value: the shell took {operator}{value} "
                f"for a file.{made}",
                f"Put it in quotes: fmkit runs where {shlex.quote(condition)}",
            )


def _redirected(descriptor: int) -> Path | None:
    """The file that a stream goes to or comes from, if it has the name of a number."""
    try:
        status = os.fstat(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115 - any text
    except OSError:
        return None
    is_empty = stat.S_ISREG(status.st_mode) and (status.st_size == 0 or descriptor == 0)
    return path if is_empty and re.fullmatch(r"=?[-+]?[\d.]+[a-z%]*", path.name) else None
