"""Classes in the names of files: `cat.0.jpg`, `billing_12.txt`, or a table for each class."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fmkit.core.errors import ConfigError, join_names
from fmkit.core.files import display_path
from fmkit.data.formats.text_files import GZIP
from fmkit.data.recognition.result import Request
from fmkit.data.split_names import splits_in

_NAME = re.compile(r"(.*[^\W\d_])[\W_]*\d+")
_NEARLY = 0.9
_CLASS = re.compile(r"[^\d]{2,}")
_MOST_CLASSES = 30
_MOST_HEADER = 10_000  # characters


def _classes(files: Sequence[Path]) -> list[str]:
    """What names of files begin with, before a number; none where these are not classes."""
    matches = [match for path in files if (match := _NAME.fullmatch(path.stem))]
    counts = Counter(match[1] for match in matches)
    if len(matches) < _NEARLY * len(files) or len(counts) < 2 or min(counts.values()) < 2:
        return []
    return sorted(counts)


def table_hint(folder: Path, files: Sequence[Path], are_texts: bool = False) -> str:
    """How a table is made of the classes that names of files begin with; empty without classes.

    Args:
        files: photos directly in the folder, or texts.
        are_texts: the table has the texts themselves, and is beside the folder.
    """
    classes = _classes(files)
    if not classes:
        return ""
    shown = display_path(folder)
    ending = Counter(path.suffix for path in files).most_common(1)[0][0]
    table = f"{shown}_labels.csv" if are_texts else f"{shown}/labels.csv"
    content = "p.read_text('utf-8')" if are_texts else "p.name"
    column = "text" if are_texts else "path"
    code = (
        f"import csv, pathlib, re; files = sorted(pathlib.Path({shown!r}).glob('*{ending}')); "
        f"csv.writer(open({table!r}, 'w', encoding='utf-8', newline='')).writerows("
        rf"[({column!r}, 'label')] + [({content}, re.sub(r'[\W_]*\d+\Z', '', p.stem)) "
        "for p in files])"
    )
    return (
        f"Their names begin with {join_names(classes, 5)}. If these are the classes, write "
        f'a table of them, {table}, with\n  python -c "{code}"\n'
        f"and name {table if are_texts else shown} {'' if are_texts else 'again'}".rstrip()
        + ". Otherwise:\n"
    )


def refuse_table_per_class(request: Request, folder: Path, files: Sequence[Path]) -> None:
    """Refuse tables of texts without labels whose names may be those of the classes.

    Raises:
        ConfigError: they are, with the line that makes one table of them.
    """
    ending = files[0].suffix.lower()
    names = [path.stem for path in files if path.suffix.lower() == ending]
    readers = {".csv": f"read_csv(p, dtype=str{_separator(files[0])})",
               ".tsv": r"read_csv(p, dtype=str, sep='\t')",
               ".parquet": "read_parquet(p)"}  # fmt: skip
    reader = readers.get(ending, "read_json(p, lines=True)")
    are_classes = all(map(_CLASS.fullmatch, names)) and not any(map(splits_in, names))
    if not (1 < len(names) == len(files) <= _MOST_CLASSES and are_classes) or ending == GZIP:
        return
    shown = display_path(folder)
    table = f"{shown}_labels.csv"
    code = (
        f"import pandas, pathlib; files = sorted(pathlib.Path({shown!r}).glob('*{ending}')); "
        f"pandas.concat([pandas.{reader}.assign(label=p.stem) for p in files])"
        f".to_csv({table!r}, index=False)"
    )
    raise ConfigError(
        f"{shown} has {len(files)} tables of texts without labels, {join_names(names, 5)}: each "
        "may be a class.",
        f'If they are, make one table of them:\n  python -c "{code}"\n'
        f"and name it: {request.with_path(Path(table))}\n"
        f"Without labels: fmkit pretrain {shown}",
    )


def _separator(path: Path) -> str:
    """The argument of pandas for a table whose header has semicolons or tabs and no comma."""
    with path.open(encoding="utf-8", errors="replace") as file:
        header = file.readline(_MOST_HEADER)
    separators = (separator for separator in (";", "\t") if separator in header)
    separator = "" if "," in header else next(separators, "")
    return f", sep={separator!r}" if separator else ""
