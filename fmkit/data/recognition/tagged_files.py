"""Which columns of a file with a word a line have the words and the tags."""

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fmkit.core.errors import ConfigError, plural
from fmkit.core.files import display_path
from fmkit.data.recognition.result import Recognised, Request, recognised
from fmkit.data.sources.conll import CONLL_U, are_numbers

_KEYS = ("word_column", "tag_column")
_EMPTY = {"_", "-"}
_SHOWN = 20  # characters of a cell in a message


def recognise_tagged(request: Request, path: Path, lines: Sequence[str]) -> Recognised:
    """Sentences with a tag for each word: the first and the last column, where none has numbers.

    Args:
        path: the file, or the folder of files.
        lines: the first ones of a file, empty ones included.

    Raises:
        ConfigError: the words are numbered, or the last column is empty, and several others may
            have the tags.
    """
    reason = "sentences with a tag for each word"
    sentences = _sentences(lines)
    rows = [cells for sentence in sentences for cells in sentence]
    if not rows or all(key in request.chosen for key in _KEYS):
        return recognised("conll", path, reason)
    width = len(rows[0])
    is_numbered = width > 2 and are_numbers([cells[0] for cells in rows] for rows in sentences)
    if width == CONLL_U and is_numbered:
        tag = 3 if {cells[3] for cells in rows} - _EMPTY else 4
        if {cells[tag] for cells in rows} - _EMPTY:
            kind = "parts of speech" if tag == 3 else "parts of speech of the language"
            reason += f" (CoNLL-U: words are column 2, {kind} column {tag + 1})"
            return recognised("conll", path, reason, word_column=2, tag_column=tag + 1)
    if is_numbered and width == 3:
        reason += " (column 1 numbers the words, which are column 2)"
        return recognised("conll", path, reason, word_column=2)
    if is_numbered or (width > 2 and {cells[-1] for cells in rows} <= _EMPTY):
        raise _question(request, path, rows, is_numbered)
    return recognised("conll", path, reason)


def _sentences(lines: Sequence[str]) -> list[list[list[str]]]:
    """The cells of each line of each sentence, of lines with the usual number of them."""
    has_tabs = 2 * sum("\t" in line for line in lines) >= sum(map(bool, map(str.strip, lines)))
    sentences = []
    for is_filled, group in itertools.groupby(lines, key=lambda line: bool(line.strip())):
        plain = [line.rstrip() for line in group if is_filled and not line.startswith("#")]
        rows = [line.split("\t") if has_tabs else line.split() for line in plain]
        sentences.append([[cell.strip() for cell in cells] for cells in rows])
    widths = Counter(len(cells) for rows in sentences for cells in rows)
    width = max(widths, key=widths.__getitem__, default=0)
    return [[cells for cells in rows if len(cells) == width] for rows in sentences]


def _question(
    request: Request, path: Path, rows: Sequence[Sequence[str]], is_numbered: bool
) -> ConfigError:
    """That the user has to say which columns are read, with examples of what is in each."""
    examples = []
    for number, cells in enumerate(zip(*rows, strict=True), start=1):
        values = list(dict.fromkeys(cell[:_SHOWN] for cell in cells if cell not in _EMPTY))
        examples.append(f"{number}: {', '.join(values[:3]) or 'empty'}")
    first = "numbers the words" if is_numbered else "has the words"
    word, width = 2 if is_numbered else 1, len(rows[0])
    columns = {"word_column": word, "tag_column": word + 1}
    keys = [f"data.{key}={column}" for key, column in columns.items() if key not in request.chosen]
    last = "" if is_numbered else f", and column {width} is empty"
    return ConfigError(
        f"{display_path(path)} has {plural(width, 'column')}; column 1 {first}{last}. Which has "
        f"the {'words, and which the ' if is_numbered else ''}tags? {'; '.join(examples)}",
        f"Say which, counted from 1: {request.line} {' '.join(keys)}",
    )
