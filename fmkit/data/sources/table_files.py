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
    root: str, needed: Sequence[str], has_columns: Callable[[Path, Sequence[str]], bool]
) -> tuple[list[TableFile], list[Finding]]:
    """The table at `root`, or those in that folder, and a warning about those that are left out.

    Args:
        needed: columns without which a table of a held-out split is not one that can be measured.
        has_columns: whether a table has columns.

    Raises:
        ConfigError: no root was given.
        DataError: there is no table, or it cannot be told which splits the tables are.
    """
    paths = [Path(path) for path in matching_paths(root)] if root else []
    if len(paths) != 1 or not paths[0].is_dir():
        return [TableFile(existing_path(root, "file"))], []
    folder = paths[0]
    listing = directory.files_at(root, _TABLE, outside_links=False, hint=FOLDERS_HINT)
    names = [name for name in listing.ids if not is_submission(name)] or listing.ids
    if len(names) == 1:
        return [TableFile(folder / names[0])], listing.findings
    splits = table_splits(folder, names)
    unlabelled = [
        name
        for name, split in zip(names, splits, strict=True)
        if split not in ("", "train") and not has_columns(folder / name, needed)
    ]
    remaining = [pair for pair in zip(names, splits, strict=True) if pair[0] not in unlabelled]
    is_one_split = len({split for _, split in remaining}) == 1
    files = [
        TableFile(folder / name, f"{printable(name)}:", "" if is_one_split else split)
        for name, split in remaining
    ]
    findings = list(listing.findings)
    if unlabelled:
        why = (
            f"{join_names(unlabelled, 3)} {'lacks' if len(unlabelled) == 1 else 'lack'} the column "
        )
        why += (
            f"{join_names([repr(name) for name in needed], 3)} and cannot be measured: left out. "
        )
        why += f"To predict: fmkit predict run=last {shell_setting('input', display_path(folder / unlabelled[0]))}"
        findings.append(Finding("unlabelled_table", "", why, count=len(unlabelled)))
    return files, findings


def table_splits(folder: Path, names: Sequence[str]) -> list[str]:
    """The split of each of several tables; empty texts for the parts of one.

    Raises:
        DataError: some or all of them name no split, or none is of training.
    """
    splits = [split_of(name) for name in names]
    if all(splits) and "train" in splits:
        return splits
    are_parts = len({_DIGITS.sub("", name) for name in names}) == 1
    if not any(splits) and are_parts:
        return splits
    shown = f"{display_path(folder)} has {plural(len(names), 'table')}: "
    raise DataError(
        f"{shown}{join_names([printable(name) for name in names], 5)}.",
        "Name one of them, or name each after its split, as train.csv and test.csv.",
    )
