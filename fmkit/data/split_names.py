"""Names of splits in folders, files, sheets and tables."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_HELD_OUT = re.compile(r"h[eo]ld[ _-]?out", re.IGNORECASE)
_PART = re.compile(
    r"(.*[^a-z])?(part|batch|chunk|shard|fold|archive|volume|disk)s?[ _-]?\d+"
    r"|(19|20)\d\d([ ._-]?(0[1-9]|1[0-2])){1,2}.*"  # 2026-01, 2026_01_31, 20260131
    r"|1\d\d(apple|canon|nikon|nd\d+|msdcf|_pana|olymp|_fuji|gopro|media)",
    re.IGNORECASE,
)
"""Names of parts of a data set: numbered, by date, or as cameras name their folders."""
_GENERIC = (
    "set", "data", "dataset", "split", "part", "folder", "dir", "images", "imgs", "photos",
    "pictures", "texts", "files",
)  # fmt: skip
"""Words that may follow the name of a split."""

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "holdout", "heldout"), "test"),
}
"""Names of splits in folders and tables, in lower case."""


def split_of_name(name: str) -> str:
    """The split that a name is, begins or ends with, as `Train Set`, `seg_test` and `val2017`.

    Empty where it names none, or two.
    """
    words = [word.lower() for word in _WORD.findall(_HELD_OUT.sub("holdout", name))]
    while len(words) > 1 and (words[-1] in _GENERIC or len(words[-1]) == 1):
        del words[-1]
    ends = {SPLIT_NAMES.get(word.removesuffix("set"), "") for word in (*words[:1], *words[-1:])}
    splits = ends - {""}
    return splits.pop() if len(splits) == 1 else ""


def splits_in(name: str) -> set[str]:
    """The splits that any word of a file's name is, as in `LOC_val_solution.csv`."""
    return {SPLIT_NAMES[word] for word in re.findall("[a-z]+", name.lower()) if word in SPLIT_NAMES}


def split_of(name: str) -> str:
    """The split in a file's name, or else in that of a folder above it; empty where there is none.

    The end of a name may be the split itself, as in `eng.train`.
    """
    *folders, file = name.split("/")
    parts = (Path(file).suffix, Path(file.removesuffix(".gz")).stem, *reversed(folders))
    return next(filter(None, map(split_of_name, parts)), "")


def numbered_splits(counts: Mapping[str, int]) -> dict[str, str]:
    """The splits that 0, 1 and 2 are in a column, as in CelebA's `partition`; else nothing.

    They are where the column has these alone, and more than half of the rows are 0, of training;
    folds of cross-validation are of about one size.

    Args:
        counts: number of rows by cell.
    """
    if counts.keys() != {"0", "1", "2"} or 2 * counts["0"] <= sum(counts.values()):
        return {}
    return {"0": "train", "1": "val", "2": "test"}


def named_splits(names: Sequence[str]) -> list[str]:
    """The split of each name (see `split_of_name`) where all have one, of two and one of training.

    Otherwise nothing: one folder may well be called `test`.
    """
    splits = [split_of_name(name) for name in names]
    return splits if all(splits) and "train" in splits and len(set(splits)) > 1 else []


def are_parts(names: Sequence[str]) -> bool:
    """Whether folders are parts that photos were sorted into by number or date, by their names."""
    return len(names) > 1 and all(map(_PART.fullmatch, names))
