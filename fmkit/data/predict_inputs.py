"""Inputs of `fmkit predict`: photos or texts out of one file, a folder, or a table column."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.config.schema.commands import PredictConfig
from fmkit.core.errors import DataError, received
from fmkit.data.content.texts import Texts
from fmkit.data.findings import FINDING_KINDS, UnusableInput, printable
from fmkit.data.formats.tables import read, read_complete
from fmkit.data.formats.text_files import (
    as_data_error,
    line_id,
    nonempty_lines,
    read_document,
    text_problem,
)
from fmkit.data.images.image_file import EXTENSIONS
from fmkit.data.sources import conll, text_folder
from fmkit.data.sources.squad import Keys, read_entries
from fmkit.data.sources.table_rows import row_id
from fmkit.data.sources.text_table import text_problems

_TABLES = (".csv", ".tsv", ".parquet", ".pq")
_RECORDS = (".json", ".jsonl", ".ndjson")
_WORD_FILES = (".conll", ".conllu", ".bio", ".iob", ".iob2", ".bioes")
"""Endings of files with a word per line; for `.txt` and `.tsv` the user has to say so."""


@dataclass(frozen=True)
class TextInputs:
    """Texts to predict."""

    # `row-000012` by position from 0, `lines.txt:000012` by line from 1, or a relative path;
    # questions in JSON have their own.
    ids: tuple[str, ...]
    texts: Texts  # a text per id, or a pair; empty where there is an error
    errors: tuple[str, ...]  # why an id has no text that can be read; empty where it has one
    # Begin and end of the words of each text, in characters, if its file has words.
    spans: tuple[tuple[tuple[int, int], ...], ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)


def read_photos(config: PredictConfig, trained_on: Any) -> list[str]:
    """Absolute paths of the photos that a command names, in a stable order."""
    return list_photos(Path(config.input), config.path_column)


def photos_from_values(values: Any, trained_on: Any) -> list[str]:
    """Absolute paths of photos, or of what one path holds; see `list_photos`."""
    if isinstance(values, str):
        return list_photos(Path(values), PredictConfig.path_column)
    if not values:
        raise DataError("inputs: received an empty list. Expected paths of photos.")
    return [str(Path(path).absolute()) for path in values]


def read_texts(config: PredictConfig, learned: Any) -> TextInputs:
    """The input of a command, read as the run's data was."""
    return list_texts(
        Path(config.input),
        config.text_column or str(getattr(learned, "text_column", None) or "text"),
        config.pair_column or getattr(learned, "pair_column", None),
        config.encoding,
        getattr(learned, "quotes", True),
    )


def read_words(config: PredictConfig, learned: Any) -> TextInputs:
    """Texts, or sentences with a word per line where the command or a file's name says so."""
    source = Path(config.input)
    if config.by_word or (source.suffix.lower() in _WORD_FILES and source.is_file()):
        learned_column = getattr(learned, "word_column", None)
        column = config.word_column or (learned_column if isinstance(learned_column, int) else 1)
        return list_words(source, column, config.encoding)
    return read_texts(config, learned)


def _search(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The files below a folder whose names end so, sorted, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in endings and not path.name.startswith(".") and not path.is_dir()
    )


def list_photos(source: Path, path_column: str) -> list[str]:
    """Absolute paths of the photos, in a stable order.

    Args:
        source: a photo, a folder (searched recursively), or a `.csv`, `.tsv` or `.parquet` table.
        path_column: the table's column of paths; relative ones start from the table's folder.

    Raises:
        DataError: the source does not exist, or has no photo.
    """
    if source.is_dir():
        paths = _search(source, EXTENSIONS)
        if not paths:
            raise DataError(f"input: {source} has no photo ({', '.join(sorted(EXTENSIONS))}).")
        return [str(path.absolute()) for path in paths]
    if not source.is_file():
        raise DataError(received("input", str(source), "a photo, a folder or a table that exists"))
    if source.suffix.lower() not in _TABLES:
        return [str(source.absolute())]
    rows = read_complete(source, [path_column], "Name it: path_column=NAME")
    if not rows:
        raise DataError(f"input: {source} has no row.")
    return [str((source.parent / row[path_column]).absolute()) for row in rows]


def list_texts(
    source: Path,
    text_column: str = "text",
    pair_column: str | None = None,
    encoding: str = "utf-8",
    quotes: bool = True,
) -> TextInputs:
    """Texts in a stable order; those that cannot be read have the reason.

    Args:
        source: a `.csv`, `.tsv` or `.parquet` table; a file with a text per line, of which empty
            ones are left out; or a folder of text files (searched recursively), each a text. Pairs
            may also be SQuAD's JSON, or objects in a `.json` or `.jsonl` (see `squad.py`).
        text_column: the table's column of texts, or the objects' key.
        pair_column: the same of the second text of each pair.
        encoding: of all but parquet tables.

    Raises:
        DataError: the source does not exist, has no text, or has no pairs where these are needed.
    """
    suffix, is_file = source.suffix.lower(), source.is_file()
    if not source.is_dir() and not is_file:
        expected = "a table, a text file or a folder of them that exists"
        raise DataError(received("input", str(source), expected))
    if is_file and suffix in _TABLES:
        rows = _table_texts(source, text_column, pair_column, encoding, quotes)
    elif pair_column is None:
        rows = _folder_texts(source, encoding) if source.is_dir() else _line_texts(source, encoding)
    elif is_file and suffix in _RECORDS:
        rows = _questions(source, text_column, pair_column, encoding)
    else:
        raise DataError(
            f"input: {source} has no pairs of texts, which this model reads.",
            "Give it a .csv, .tsv or .parquet table with a column for each of the two, or a .jsonl "
            "with a key for each.",
        )
    if not (rows := list(rows)):
        expected = "Expected a text per line, a folder of .txt, .text or .md files, or a table."
        raise DataError(f"input: {source} has no text.", expected)
    return _inputs(rows, pair_column is not None)


Rows = Iterable[tuple[str, str, str, str]]
"""Id, text, second text and error of each input."""


def _inputs(rows: Rows, pairs: bool) -> TextInputs:
    ids, texts, seconds, errors = zip(*rows, strict=True)
    return TextInputs(ids, Texts(texts, seconds if pairs else None), errors)


def texts_from_values(values: Any, trained_on: Any) -> TextInputs:
    """A text, several of them, or pairs where the run learned from pairs.

    Raises:
        DataError: there is none, or one is not a text, or not a pair where the model reads pairs.
    """
    pairs = getattr(trained_on, "pair_column", None) is not None
    rows = []
    for index, value in enumerate([values] if isinstance(values, str) else values):
        texts = tuple(value) if pairs and isinstance(value, tuple | list) else (value, "")
        if len(texts) != 2 or not all(isinstance(text, str) for text in texts):
            expected = "a pair of texts" if pairs else "a text"
            raise DataError(received(f"inputs[{index}]", value, expected))
        cells = {"text": texts[0], "pair": texts[1]}
        problem = ", ".join(text_problems(cells, "text", "pair" if pairs else None))
        rows.append((row_id(index), *(("", "") if problem else texts), problem))
    if not rows:
        raise DataError("inputs: received an empty list. Expected texts.")
    return _inputs(rows, pairs)


def _table_texts(
    source: Path, text_column: str, pair_column: str | None, encoding: str, quotes: bool
) -> Rows:
    names = [text_column, *([pair_column] if pair_column else [])]
    hint = "Name it: text_column=NAME, and pair_column=NAME where texts are pairs"
    is_empty = True
    for row in read(source, names, hint, encoding, quotes, ""):
        is_empty = False
        error = row.fault or ", ".join(text_problems(row.cells, text_column, pair_column))
        cells = {} if error else row.cells
        yield row_id(row.index), cells.get(text_column, ""), cells.get(pair_column or "", ""), error
    if is_empty:
        raise DataError(f"input: {source} has no row.")


def _questions(source: Path, text_column: str, pair_column: str, encoding: str) -> Rows:
    for entry in read_entries(source, Keys(text_column, pair_column, encoding, "encoding")):
        error = entry.fault
        for key, text in ((text_column, entry.question), (pair_column, entry.context)):
            if not error and (problem := text_problem(text)):
                error = f"{key!r} {problem}"
        texts = ("", "") if error else (entry.question, entry.context)
        yield entry.name, *texts, error


def _line_texts(source: Path, encoding: str) -> Rows:
    try:
        for number, text, fault in nonempty_lines(str(source), encoding):
            yield line_id(source.name, number), text, "", fault.why if fault else ""
    except UnusableInput as error:
        raise as_data_error(source, error, encoding, encoding_key="encoding") from None


def _folder_texts(source: Path, encoding: str) -> Rows:
    for path in _search(source, text_folder.ENDINGS):
        text = reason = ""
        try:
            text = read_document(str(path), encoding)
        except UnusableInput as error:
            reason = f"{FINDING_KINDS[error.kind].title}: {error.why}".rstrip(": ")
        yield printable(path.relative_to(source).as_posix()), text, "", reason


def list_words(source: Path, column: int, encoding: str = "utf-8") -> TextInputs:
    """Sentences of a file, or of a folder's files, with a word per line, joined by spaces.

    Args:
        column: of the words, from 1, or backwards from -1.

    Raises:
        DataError: there is no file or no sentence, or one cannot be read.
    """
    if not source.exists():
        raise DataError(received("input", str(source), "a file or a folder that exists"))
    is_folder = source.is_dir()
    paths = [p for p in _search(source, conll.ENDINGS) if p.is_file()] if is_folder else [source]
    if not paths:
        raise DataError(f"input: {source} has no file of words ({', '.join(conll.ENDINGS)}).")
    numbers = conll.ColumnNumbers(column, None, prefix="")
    ids, texts, errors, spans = [], [], [], []
    for path in paths:
        name = path.relative_to(source).as_posix() if is_folder else ""
        for sentence in conll.read_sentences(path, name, encoding, numbers):
            words = [] if sentence.faults else sentence.words
            ends = itertools.accumulate((1 + len(word) for word in words), initial=-1)
            ids.append(sentence.name)
            texts.append(" ".join(words))
            errors.append(", ".join(f"{where}: {why}" for where, why in sentence.faults))
            spans.append(tuple((end + 1, after) for end, after in itertools.pairwise(ends)))
    return TextInputs(tuple(ids), Texts(tuple(texts)), tuple(errors), tuple(spans))
