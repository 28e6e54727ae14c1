"""The tables of a data set: a file, or those in a folder, one or more for each split.

`train.csv` and `test.csv`, `data/train-00000-of-00002.parquet`, `test/labels.csv`: names of files,
or of the folders that they are in, say which split each is.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fmkit.config.saved_config import shell_setting
from fmkit.core.errors import DataError, join_names, plural
from fmkit.core.files import display_path, matching_paths
from fmkit.data.findings import Finding, printable
from fmkit.data.formats.benchmark_lists import benchmark_list
from fmkit.data.formats.tables import ENDINGS
from fmkit.data.sources import directory
from fmkit.data.sources.directory import FileKind
from fmkit.data.sources.paths import FOLDERS_HINT, existing_path
from fmkit.data.split_names import split_of

_TABLE = FileKind("table", ENDINGS)
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class TableFile:
    """A table of a data set.

    Attributes:
        prefix: of its rows' ids; empty for the only table.
        split: empty where the rows or the fractions decide.
    """

    path: Path
    prefix: str = ""
    split: str = ""


def is_submission(name: str) -> bool:
    """Whether a file shows how answers are handed in to a competition, by its name."""
    return "submission" in name.lower()


def tables_at(
    root: str,
    targets: Sequence[str],
    has_columns: Callable[[Path, Sequence[str]], bool],
    content: Sequence[str] = (),
) -> tuple[list[TableFile], list[Finding]]:
    """The table at `root`, or those in that folder, and warnings about those that are left out.

    Args:
        targets: columns without which a table of a held-out split cannot be measured.
        has_columns: whether a table has columns.
        content: columns with what an example shows; a table beside others without them is not
            one of the data, as a competition's `test_labels.csv`.

    Raises:
        ConfigError: no root was given.
        DataError: there is no table, or it cannot be told which splits the tables are.
    """
    paths = [Path(path) for path in matching_paths(root)] if root else []
    if len(paths) != 1 or not paths[0].is_dir():
        return [TableFile(existing_path(root, "file"))], []
    folder = paths[0]
    if lists := benchmark_list(folder):
        return [TableFile(lists)], []
    listing = directory.files_at(root, _TABLE, outside_links=False, hint=FOLDERS_HINT)
    names = [name for name in listing.ids if not is_submission(name)] or listing.ids
    complete = names
    if not _are_parts(names):
        complete = [name for name in names if has_columns(folder / name, content)] or names
    others = [name for name in names if name not in complete]
    findings = list(listing.findings)
    if others:
        findings.append(_left_out(others, content))
    if len(complete) == 1:
        return [TableFile(folder / complete[0])], findings
    named = [name for name in complete if split_of(name)]
    if "train" in map(split_of, named) and len({*map(split_of, named)}) > 1:
        findings += _nameless([name for name in complete if name not in named])
        complete = named
    splits = dict(zip(complete, table_splits(folder, complete), strict=True))
    unlabelled = [
        name
        for name, split in splits.items()
        if split not in ("", "train") and not has_columns(folder / name, targets)
    ]
    if unlabelled:
        path = shell_setting("input", display_path(folder / unlabelled[0]))
        hint = f" To predict: fmkit predict run=last {path}"
        findings.append(_left_out(unlabelled, targets, " and cannot be measured", hint))
    splits = {name: split for name, split in splits.items() if name not in unlabelled}
    is_one_split = len({*splits.values()}) == 1
    files = [
        TableFile(folder / name, f"{printable(name)}:", "" if is_one_split else split)
        for name, split in splits.items()
    ]
    return files, findings


def _left_out(
    names: Sequence[str], columns: Sequence[str], why: str = "", hint: str = ""
) -> Finding:
    """That tables lack columns, and are not read."""
    verb = "lacks" if len(names) == 1 else "lack"
    noun = "column" if len(columns) == 1 else "columns"
    text = f"{join_names(names, 3)} {verb} the {noun} {join_names([*map(repr, columns)], 3)}{why}"
    return Finding("unlabelled_table", "", f"{text}: left out.{hint}", count=len(names))


def _nameless(names: Sequence[str]) -> list[Finding]:
    """That tables have no name of a split, as those beside them have, and are not read."""
    if not names:
        return []
    verb = "has" if len(names) == 1 else "have"
    why = f"{join_names(names, 3)} {verb} no name of a split, as the others have: left out."
    return [Finding("unlabelled_table", "", why, count=len(names))]


def _are_parts(names: Sequence[str]) -> bool:
    """Whether names differ in their digits only."""
    return len({_DIGITS.sub("", name) for name in names}) == 1


def table_splits(folder: Path, names: Sequence[str]) -> list[str]:
    """The split of each of several tables; empty texts for the parts of one.

    Raises:
        DataError: some or all of them name no split, or none is of training.
    """
    splits = [split_of(name) for name in names]
    if all(splits) and "train" in splits:
        return splits
    if not any(splits) and _are_parts(names):
        return splits
    shown = f"{display_path(folder)} has {plural(len(names), 'table')}: "
    raise DataError(
        f"{shown}{join_names([printable(name) for name in names], 5)}.",
        "Name one of them, or name each after its split, as train.csv and test.csv.",
    )
