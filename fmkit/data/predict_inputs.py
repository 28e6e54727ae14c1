"""New photos or texts to predict: one file, a folder, or a table with a column of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.config.schema.commands import PredictConfig
from fmkit.core.errors import DataError, received
from fmkit.data.content.texts import Texts

_TABLES = (".csv", ".tsv", ".parquet", ".pq")
_QUESTIONS = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class TextInputs:
    """Texts to predict.

    Attributes:
        ids: `row-000012` by place from 0, `lines.txt:000012` by line from 1, or a relative path; of
            questions in JSON their own.
        texts: a text an id, or a pair; empty where there is an error.
        errors: why an id has no text that can be read; empty where it has one.
        spans: where the words of each text begin and end, in characters, if its file tells.
    """

    ids: tuple[str, ...]
    texts: Texts
    errors: tuple[str, ...]
    spans: tuple[tuple[tuple[int, int], ...], ...] | None = None


def read_texts(config: PredictConfig, before: Any) -> TextInputs:
    """The texts that a command asks for, read as those that the run learned from."""
    return list_texts(
        Path(config.input),
        config.text_column or str(getattr(before, "text_column", None) or "text"),
        config.pair_column or getattr(before, "pair_column", None),
        config.encoding,
        getattr(before, "quotes", True),
    )


def read_words(config: PredictConfig, before: Any) -> TextInputs:
    """Texts, or sentences with a word a line where the command or a file's name says so."""
    source = Path(config.input)
    if config.by_word or (source.suffix.lower() in _WORD_FILES and source.is_file()):
        known = getattr(before, "word_column", None)
        column = config.word_column or (known if isinstance(known, int) else 1)
        return list_words(source, column, config.encoding)
    return read_texts(config, before)


_WORD_FILES = (".conll", ".conllu", ".bio", ".iob", ".iob2", ".bioes")
"""How names of files end that have a word a line; of `.txt` and `.tsv` a user has to say it."""


def list_photos(source: Path, path_column: str) -> list[str]:
    """Absolute paths of the photos, in a stable order.

    Args:
        source: a photo, a folder (searched to the bottom), or a `.csv`, `.tsv` or `.parquet` table.
        path_column: the table's column of paths; relative ones start from the table's folder.

    Raises:
        DataError: nothing is there, or it holds no photo.
    """
    from fmkit.data.images.decode import EXTENSIONS

    if source.is_dir():
        found = sorted(
            each
            for each in source.rglob("*")
            if each.suffix.lower() in EXTENSIONS
            and not each.name.startswith(".")
            and not each.is_dir()
        )
        if not found:
            raise DataError(f"input: {source} holds no photo ({', '.join(sorted(EXTENSIONS))}).")
        return [str(each.absolute()) for each in found]
    if not source.is_file():
        raise DataError(received("input", str(source), "a photo, a folder or a table that exists"))
    if source.suffix.lower() in _TABLES:
        return _from_table(source, path_column)
    return [str(source.absolute())]


def _from_table(source: Path, path_column: str) -> list[str]:
    from fmkit.data.formats.tables import read_columns

    paths = read_columns(source, [path_column], "Name it: path_column=NAME")[path_column]
    if not paths:
        raise DataError(f"input: {source} has no row.")
    return [str((source.parent / each).absolute()) for each in paths]


def list_texts(
    source: Path,
    text_column: str = "text",
    pair_column: str | None = None,
    encoding: str = "utf-8",
    quotes: bool = True,
) -> TextInputs:
    """Texts in a stable order, those that cannot be read with the reason.

    Args:
        source: a `.csv`, `.tsv` or `.parquet` table; a file with a text a line, of which empty ones
            are left out; or a folder of text files (searched to the bottom), each a text. Pairs
            may also be SQuAD's JSON, or objects in a `.json` or `.jsonl`: see `question_files`.
        text_column: the table's column of texts, or the objects' key.
        pair_column: the same of the second text of each pair.
        encoding: of all but parquet tables.
        quotes: cells of a CSV or TSV table may stand in double quotes.

    Raises:
        DataError: nothing is there, it holds no text, or pairs are wanted of what is no table.
    """
    is_table = source.is_file() and source.suffix.lower() in _TABLES
    if not source.is_dir() and not source.is_file():
        allowed = "a table, a text file or a folder of them that exists"
        raise DataError(received("input", str(source), allowed))
    if pair_column is not None and source.is_file() and source.suffix.lower() in _QUESTIONS:
        return _from_questions(source, text_column, pair_column, encoding)
    if pair_column is not None and not is_table:
        raise DataError(
            f"input: {source} has no pairs of texts, which this model reads.",
            "Give it a .csv, .tsv or .parquet table with a column for each of the two, or a .jsonl "
            "with a key for each.",
        )
    if is_table:
        return _table_texts(source, text_column, pair_column, encoding, quotes)
    found = _folder_texts(source, encoding) if source.is_dir() else _line_texts(source, encoding)
    rows = [(name, text, "", error) for name, text, error in found]
    if not rows:
        raise DataError(f"input: {source} holds no text.", _HOLDS)
    return _inputs(rows, pairs=False)


_HOLDS = "Expected a line a text, a folder of .txt, .text or .md files, or a table."


def from_values(values: Iterable[Any], pairs: bool) -> TextInputs:
    """Texts, or pairs of them, that a Python program holds.

    Raises:
        DataError: there is none, or one is not a text, or not a pair where the model reads pairs.
    """
    from fmkit.data.sources.text_table import identity, text_problems

    rows = []
    for number, value in enumerate(values):
        texts = tuple(value) if pairs and isinstance(value, tuple | list) else (value, "")
        if len(texts) != 2 or not all(isinstance(text, str) for text in texts):
            expected = "a pair of texts" if pairs else "a text"
            raise DataError(received(f"inputs[{number}]", value, expected))
        cells = {"text": texts[0], "pair": texts[1]}
        problem = ", ".join(text_problems(cells, "text", "pair" if pairs else None))
        rows.append((identity(number), *(("", "") if problem else texts), problem))
    if not rows:
        raise DataError("inputs: received an empty list. Expected texts.")
    return _inputs(rows, pairs)


def _inputs(rows: Iterable[tuple[str, str, str, str]], pairs: bool) -> TextInputs:
    """Rows (id, text, second text, error) as columns."""
    ids, texts, seconds, errors = zip(*rows, strict=True)
    return TextInputs(ids, Texts(texts, seconds if pairs else None), errors)


def _table_texts(
    source: Path, text_column: str, pair_column: str | None, encoding: str, quotes: bool
) -> TextInputs:
    from fmkit.data.formats.tables import read
    from fmkit.data.sources.text_table import identity, text_problems

    wanted = [text_column, *([pair_column] if pair_column else [])]
    hint = "Name it: text_column=NAME, and pair_column=NAME where texts are pairs"
    columns = read(source, wanted, hint, encoding, quotes, "")
    rows = {number: ("", "", why) for number, why in columns.faults}
    for number, cells in zip(columns.numbers, columns.rows(), strict=True):
        wrong = ", ".join(text_problems(cells, text_column, pair_column))
        text, second = cells[text_column], cells[pair_column] if pair_column else ""
        rows[number] = ("", "", wrong) if wrong else (text, second, "")
    if not rows:
        raise DataError(f"input: {source} has no row.")
    return _inputs(
        ((identity(each), *rows[each]) for each in sorted(rows)), pair_column is not None
    )


def _from_questions(source: Path, text_column: str, pair_column: str, encoding: str) -> TextInputs:
    from fmkit.data.sources.squad_files import Keys, read, wrong_text

    rows = []
    for entry in read(source, Keys(text_column, pair_column, encoding)):
        wrong = entry.fault
        for name, text in ((text_column, entry.question), (pair_column, entry.context)):
            if not wrong and (why := wrong_text(text)):
                wrong = f"{name!r} {why}"
        texts = ("", "") if wrong else (entry.question, entry.context)
        rows.append((entry.name, *texts, wrong))
    if not rows:
        raise DataError(f"input: {source} holds no question.")
    return _inputs(rows, pairs=True)


def list_words(source: Path, column: int, encoding: str = "utf-8") -> TextInputs:
    """Sentences with a word a line, as `fmkit.data.sources.conll` reads them; tags are ignored.

    The text of a sentence has a space between its words.

    Args:
        source: a file, or a folder of them (searched to the bottom).
        column: of the words, from 1, or backwards from -1.
        encoding: of the files.

    Raises:
        DataError: there is no file or no sentence, or one cannot be read.
    """
    from fmkit.data.sources.conll import ENDINGS, Form, of_file

    form = Form(column, None, ("word_column", ""))
    if source.is_dir():
        found = sorted(
            each
            for each in source.rglob("*")
            if each.suffix.lower() in ENDINGS and each.is_file() and not each.name.startswith(".")
        )
        if not found:
            raise DataError(f"input: {source} holds no file of words ({', '.join(ENDINGS)}).")
        files = [(each, each.relative_to(source).as_posix()) for each in found]
    else:
        if not source.is_file():
            raise DataError(received("input", str(source), "a file or a folder that exists"))
        files = [(source, "")]
    sentences = [each for path, name in files for each in of_file(path, name, encoding, form)]
    words = [() if each.faults else tuple(each.words) for each in sentences]
    errors = tuple(", ".join(f"{at}: {why}" for at, why in each.faults) for each in sentences)
    return TextInputs(
        tuple(each.name for each in sentences),
        Texts(tuple(" ".join(each) for each in words)),
        errors,
        tuple(_spans(each) for each in words),
    )


def _spans(words: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Where words begin and end in the text that they make with a space between."""
    found, begin = [], 0
    for each in words:
        found.append((begin, begin + len(each)))
        begin += len(each) + 1
    return tuple(found)


def _line_texts(source: Path, encoding: str) -> Iterable[tuple[str, str, str]]:
    """Id, text and error of each line that is not empty.

    Raises:
        DataError: the file cannot be read, or is in another encoding.
    """
    from fmkit.data.formats.text_encoding import BadEncoding
    from fmkit.data.formats.text_files import line_id, numbered_lines

    try:
        for number, text, fault in numbered_lines(source.read_bytes(), encoding):
            yield line_id(source.name, number), text, fault[1] if fault else ""
    except OSError as error:
        raise DataError(f"input: {source} cannot be read: {error.strerror or error}.") from None
    except BadEncoding as error:
        hint = f"Say so: encoding={error.likely}" if error.likely else ""
        raise DataError(f"input: {source} is not {encoding}: {error.reason}.", hint) from None


def _folder_texts(source: Path, encoding: str) -> Iterable[tuple[str, str, str]]:
    """Relative path, text and error of each text file of a folder."""
    from fmkit.data.findings import FINDING_KINDS, printable
    from fmkit.data.formats.text_files import read_file
    from fmkit.data.sources.text_folder import ENDINGS

    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and not path.is_dir():
            text, fault = read_file(str(path), encoding)
            error = f"{FINDING_KINDS[fault[0]].title}: {fault[1]}".rstrip(": ") if fault else ""
            yield printable(path.relative_to(source).as_posix()), text, error
