"""Texts with a label in each line, beside the text: refused, with the way to a table."""

import contextlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from fmkit.core.errors import DataError
from fmkit.core.files import display_path

_SEPARATORS = (";", "|", "\t", ",")
_LABEL = re.compile(r"[^\W_][\w :/+-]{0,29}|\d{1,3}")
_TREC = re.compile(r"[A-Z]{2,6}:\w+ \S.*")
_FEWEST = 8  # lines by which it is known that their ends repeat
_EXAMPLES = 4  # of a label on average, at least


def refuse_labelled_lines(path: Path, lines: Sequence[str], example: str) -> None:
    """Refuse a text whose lines have a label each: fastText's, or `text;label`.

    Args:
        lines: the first ones that are not empty.
        example: the command line as it was typed.

    Raises:
        DataError: it is such a text.
    """
    shown = display_path(path)
    refuse_fasttext(path, lines)
    if len(lines) < _FEWEST:
        return
    if all(map(_TREC.fullmatch, (line.rstrip() for line in lines))):
        raise DataError(
            f"{shown} has a label and a question per line, such as {lines[0][:40]!r} (TREC's).",
            "Save it as a table with the columns label and text, such as .csv.",
        )
    if lines[0].startswith("## intent:"):
        raise DataError(
            f"{shown} is training data of Rasa, intents and their examples.",
            "Save it as a table with the columns label and text, such as .csv.",
        )
    for separator in (";", "|"):
        if fields := _fields(lines, separator):
            raise DataError(
                f"{shown} has {fields} fields per line, separated by {separator!r}, such as "
                f"{lines[0].strip()[:40]!r}.",
                "Rename it, and files like it, to end in .csv: these are read as tables. To learn "
                f"from the lines as they stand: {example} data=text_lines",
            )
    for separator in _SEPARATORS:
        if label := _label(lines, separator):
            raise DataError(
                f"{shown} has a text and a label per line, separated by {separator!r}, such as "
                f"{label!r}.",
                "Rename it, and files like it, to end in .csv: these are read as tables. To learn "
                f"from the lines as they stand, labels and all: {example} data=text_lines",
            )


def refuse_fasttext(path: Path, lines: Sequence[str]) -> None:
    """Refuse lines of fastText, whatever the file is called.

    Raises:
        DataError: they are such lines.
    """
    if lines and all(line.startswith("__label__") for line in lines):
        raise DataError(
            f"{display_path(path)} is in fastText's format, a label and a text per line.",
            "Save it as a table with the columns label and text, such as .csv.",
        )


def rename_hint(lines: Sequence[str]) -> str:
    """How a file with an unknown ending is read by another name; empty where it is not a text."""
    if not lines or any(not line.isprintable() for line in lines[0].split("\t")):
        return ""
    with contextlib.suppress(ValueError):
        if isinstance(json.loads(lines[0]), dict):
            return "It seems to be JSON lines: give it a name that ends in .jsonl. "
    return "If it is a text with a line per example, give it a name that ends in .txt or .csv. "


def _fields(lines: Sequence[str], separator: str) -> int:
    """How many fields, three or more, each line has; 0 where their numbers differ."""
    counts = {line.count(separator) for line in lines}
    return counts.pop() + 1 if len(counts) == 1 and min(counts) > 1 else 0


def _label(lines: Sequence[str], separator: str) -> str:
    """The first line's label, where few short ones end all lines after a separator; or empty."""
    parts = [line.rstrip().rpartition(separator) for line in lines]
    labels = [label.strip() for _, _, label in parts]
    if not all(" " in text.strip() for text, _, _ in parts) or not all(
        map(_LABEL.fullmatch, labels)
    ):
        return ""
    return labels[0] if 1 < len({*labels}) <= len(labels) // _EXAMPLES else ""
