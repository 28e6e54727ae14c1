"""Inputs of `fmkit predict`: texts out of files, folders, tables, or the command line.

`predict_photos.py` has photos. Inputs are read as the run's data was, by the same readers, and each
gets a row, also one that cannot be read.
"""

import contextlib
import itertools
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config.schema.commands import PredictConfig
from fmkit.config.schema.data import TokenTableData
from fmkit.core import console, files
from fmkit.core.errors import DataError, closest_names, received
from fmkit.core.files import absolute_path, display_path, matching_paths
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.findings import FINDING_KINDS, UnusableInput, printable
from fmkit.data.formats import file_type, tables
from fmkit.data.formats.delimited import Row
from fmkit.data.formats.spreadsheet import EXCEL, sheet_titles
from fmkit.data.formats.text_files import (
    as_data_error,
    file_ending,
    line_id,
    nonempty_lines,
    read_likely,
    text_problem,
)
from fmkit.data.images.image_file import EXTENSIONS
from fmkit.data.sources import conll, directory, text_folder, token_table
from fmkit.data.sources.directory import FileKind, is_documentation
from fmkit.data.sources.paths import ADDRESS, DOWNLOAD, is_address
from fmkit.data.sources.squad import Keys, read_entries
from fmkit.data.sources.table_files import is_submission
from fmkit.data.sources.table_rows import row_id
from fmkit.data.sources.tagged_sentences import Sentence
from fmkit.data.sources.text_table import text_problems

STDIN = "-"
"""The input that is what the process reads from stdin."""

ANY_FILE = FileKind("file", ("",))
_TABLES = FileKind("table", tables.ENDINGS)
_OTHER_TABLES = (".txt", "")
"""Endings of tables that have to be named; in prediction, where the run's table has such a name."""
_QUESTION_FILES = (".json", ".jsonl", ".ndjson")
_WORD_FILES = (".conll", ".conllu", ".bio", ".iob", ".iob2", ".bioes", ".testa", ".testb")
"""Endings of files with a word per line; for `.txt` and `.tsv` the user has to say so."""
_FILE_ENDINGS = (*tables.ENDINGS, *text_folder.ENDINGS, *conll.ENDINGS, *EXTENSIONS, ".npz")
_WITHOUT_SPACES = 0x0E00  # Thai, and after it the scripts of China, Japan and their neighbours
_NAME_COLUMNS = "Name it: text_column=NAME, and pair_column=NAME where texts are pairs"
_PATH_BEGINNINGS = ("/", "./", "../", "~", "file:")


@dataclass(frozen=True)
class TableFormat:
    """How tables are read: as the command says, or as in training.

    Attributes:
        encoding: of all but parquet and Excel.
        quotes: a cell of a CSV or TSV may be in double quotes.
        header: of a CSV or TSV, see `csv_rows`.
        other_ending: of files that are tables, too; None: there is no other.
        sheet: of a workbook, as the command says.
        learned_sheet: that of the table of training.
    """

    encoding: str = "utf-8"
    quotes: bool = True
    header: bool | None = None
    other_ending: str | None = None
    sheet: str | None = None
    learned_sheet: str | None = None

    @classmethod
    def of(cls, config: PredictConfig, learned: Any) -> "TableFormat":
        """By the command's config, and that of the run's data."""
        root = str(getattr(learned, "root", ""))
        is_other = hasattr(learned, "label_column") and file_ending(root) in _OTHER_TABLES
        return cls(
            config.encoding or str(getattr(learned, "encoding", "utf-8")),
            bool(getattr(learned, "quotes", True)) if config.quotes is None else config.quotes,
            getattr(learned, "header", None) if config.header is None else config.header,
            file_ending(root) if is_other and not Path(root).is_dir() else None,
            getattr(config, "sheet", None),
            getattr(learned, "sheet", None),
        )

    def sheet_of(self, path: Path) -> str | None:
        """The sheet of a workbook: the command's, or that of training where it has such a one."""
        if self.sheet or not self.learned_sheet or not path.name.lower().endswith(EXCEL):
            return self.sheet
        with contextlib.suppress(UnusableInput):  # reported where it is read
            titles = sheet_titles(path)
            if self.learned_sheet in [*titles, *map(str, range(1, len(titles) + 1))]:
                return self.learned_sheet
        return None

    def matches(self, path: Path) -> bool:
        """Whether a file is a table, by its name."""
        is_other = file_ending(path.name) == self.other_ending
        return path.is_file() and (is_other or path.name.lower().endswith(tables.ENDINGS))


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
    columns: Mapping[str, Sequence[Any]] = field(
        default_factory=dict
    )  # the input's, the text first

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def readable(self) -> np.ndarray:
        """Positions of the texts that can be read."""
        return np.flatnonzero([not error for error in self.errors])


def sources_of(config: PredictConfig) -> list[str]:
    """What the command names: paths, texts, or `-`.

    Raises:
        DataError: one is the address of a file on another machine.
    """
    values = config.input if isinstance(config.input, list) else [config.input]
    for value in map(str, values):
        if is_address(value) and len(value.split()) == 1:
            raise DataError(f"input: {value!r} {ADDRESS}.", DOWNLOAD)
    return [str(value) for value in values]


@contextlib.contextmanager
def stdin_file() -> Iterator[Path]:
    """What stdin has as a file: `stdin.jsonl` or `stdin.json` by its first character, or `.txt`."""
    if sys.stdin.isatty():
        console.info("reading stdin: a line per input; Ctrl-D ends it")
    content = sys.stdin.buffer.read()
    ending = {b"{": ".jsonl", b"[": ".json"}.get(content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1], ".txt")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"stdin{ending}"
        files.write_bytes(path, content)
        yield path


def columns_of(
    rows: Sequence[Mapping[str, Any]], first: Iterable[str] = ()
) -> dict[str, list[Any]]:
    """Cells of rows by column, those of `first` before the others; None where a row has none."""
    present = {name for row in rows for name in row}
    names = dict.fromkeys(name for name in first if name in present)
    names |= dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def table_rows(
    table: Path, columns: Sequence[str], hint: str, format: TableFormat
) -> Iterator[Row]:
    """The rows of a table with all of their columns; an error where there are none."""
    is_empty = True
    rows = tables.read(
        table,
        columns,
        hint,
        format.encoding,
        format.quotes,
        prefix="",
        all_columns=True,
        header=format.header,
        sheet=format.sheet_of(table),
    )
    for row in rows:
        is_empty = False
        yield row
    if is_empty:
        raise DataError(f"input: {table} has no row.")


def columns_hint(config: PredictConfig, learned: Any, keys: Sequence[str]) -> str:
    """What to do where a table lacks a column: the keys that name this table's, and those that the
    run read in training."""
    names = [
        f"{str(getattr(learned, key))!r} ({key})"
        for key in keys
        if getattr(config, key) is None and getattr(learned, key, None)
    ]
    read = f"The run was trained on a table with {' and '.join(names)}. " if names else ""
    noun = "column" if len(keys) == 1 else "columns"
    return f"{read}Name this table's {noun}: {' '.join(f'{key}=NAME' for key in keys)}"


Text = tuple[str, str, str, str, Mapping[str, Any]]
"""Id, text, second text, error, and the cells of its row, of each input."""


def read_texts(config: PredictConfig, learned: Any) -> TextInputs:
    """The texts that a command names, read as the run's data was.

    Raises:
        DataError: a path does not exist, or has no text, or no pairs where the model reads pairs.
    """
    text_column = config.text_column or str(getattr(learned, "text_column", None) or "text")
    pair_column = config.pair_column or getattr(learned, "pair_column", None)
    format = TableFormat.of(config, learned)
    keys = ["text_column", *(["pair_column"] if pair_column else [])]
    hint = columns_hint(config, learned, keys)
    rows: list[Text] = []
    for path, text in _texts_or_files(config):
        if path is None:
            rows.append(_typed_text(text, len(rows), pair_column))
            continue
        rows += _texts_of(path, text_column, pair_column, format, hint)
    return _text_inputs(rows, text_column, pair_column)


def _texts_or_files(config: PredictConfig) -> Iterator[tuple[Path | None, str]]:
    """Each input as the path of a file or folder, or as a text.

    Raises:
        DataError: a word is neither a file nor a text beyond doubt.
    """
    for source in sources_of(config):
        if source == STDIN:
            with stdin_file() as path:
                yield path, ""
            continue
        paths = [path for path in map(Path, matching_paths(source)) if path.exists()]
        yield from ((path, "") for path in paths)
        if not paths and looks_like_words(source):
            yield None, source.strip()
        elif not paths:
            expected = "a file or a folder that exists, or a text of words"
            raise DataError(received("input", source, expected), _hint(source))


def _hint(word: str) -> str:
    """What to do about a word that is not a file and may not be a text: the nearest name."""
    folder = Path(absolute_path(word)).parent
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if close := closest_names(Path(word).name, names):
        return f"Did you mean {' or '.join(close)}?"
    if word.lower().endswith(_FILE_ENDINGS) or word.lower().startswith(_PATH_BEGINNINGS):
        return ""
    return f"A single word goes in by stdin: echo {word} | fmkit predict run=RUN -"


def looks_like_words(word: str) -> bool:
    """Whether a word of the command line that is not a file is a text: one with spaces, or in a
    script without them, that does not look like a path."""
    if word.lower().endswith(_FILE_ENDINGS) or word.lower().startswith(_PATH_BEGINNINGS):
        return False
    return any(letter.isspace() or ord(letter) >= _WITHOUT_SPACES for letter in word.strip())


def _typed_text(text: str, index: int, pair_column: str | None) -> Text:
    if pair_column is not None:
        raise DataError(
            f"the run reads pairs of texts, and {text[:40]!r} is one.",
            "Give it a table or JSON with both: input=FILE",
        )
    return row_id(index), text, "", "", {"text": text}


def list_texts(
    source: Path,
    text_column: str = "text",
    pair_column: str | None = None,
    encoding: str = "utf-8",
    quotes: bool = True,
) -> TextInputs:
    """Texts in a stable order; those that cannot be read have the reason.

    Args:
        source: a table or a file of records; another file with a text per line, of which empty ones
            are left out; or a folder of text files (searched recursively), each a text. Pairs may
            also be SQuAD's JSON (see `squad.py`).
        text_column: the table's column of texts, or the objects' key.
        pair_column: the same of the second text of each pair.
        encoding: of all but parquet and Excel.
        quotes: a cell of a CSV or TSV may be in double quotes.

    Raises:
        DataError: the source does not exist, has no text, or has no pairs where these are needed.
    """
    if not source.exists():
        expected = "a table, a text file or a folder of them that exists"
        raise DataError(received("input", str(source), expected))
    rows = _texts_of(source, text_column, pair_column, TableFormat(encoding, quotes))
    return _text_inputs(rows, text_column, pair_column)


def _texts_of(
    source: Path,
    text_column: str,
    pair_column: str | None,
    format: TableFormat,
    hint: str = _NAME_COLUMNS,
) -> list[Text]:
    ending, encoding = file_ending(source.name), format.encoding
    rows: Iterable[Text]
    if source.is_dir() and (below := tables_below(source, bool(pair_column))):
        rows = (
            (f"{printable(name)}:{row[0]}", *row[1:])
            for name, path in below
            for row in _texts_of(path, text_column, pair_column, format, hint)
        )
    elif source.is_file() and pair_column is not None and ending in _QUESTION_FILES:
        rows = _questions(source, text_column, pair_column, encoding)
    elif format.matches(source):
        rows = _table_texts(source, text_column, pair_column, format, hint)
    elif pair_column is None:
        rows = _folder_texts(source, encoding) if source.is_dir() else line_texts(source, encoding)
    else:
        raise DataError(
            f"input: {source} has no pairs of texts, which this model reads.",
            f"Give it a table ({tables.SHOWN_ENDINGS}) with a column for each of the two.",
        )
    if not (texts := list(rows)):
        expected = "Expected a text per line, a folder of .txt, .text or .md files, or a table."
        raise DataError(f"input: {source} has no text.", expected)
    return texts


def tables_below(folder: Path, reads_tables: bool) -> list[tuple[str, Path]]:
    """The tables in a folder by their relative paths; none where it has text files as well.

    Args:
        reads_tables: text files are not read anyway.
    """
    listing = directory.all_files(folder, _TABLES, outside_links=True)
    if not reads_tables:
        texts = directory.all_files(folder, FileKind("text", text_folder.ENDINGS), True)
        if not all(is_documentation(Path(path)) for path in texts.paths):
            return []
    pairs = zip(listing.ids, map(Path, listing.paths), strict=True)
    return sorted(pair for pair in pairs if not is_submission(pair[0]))


def _text_inputs(rows: Sequence[Text], text_column: str, pair_column: str | None) -> TextInputs:
    ids, texts, seconds, errors, cells = zip(*rows, strict=True)
    first = [name for name in (text_column, pair_column, "text") if name]
    pairs = None if pair_column is None else seconds
    if len(set(ids)) < len(ids):  # of several files
        ids = tuple(f"{number}:{name}" for number, name in enumerate(ids))
    return TextInputs(ids, Texts(texts, pairs), errors, columns=columns_of(cells, first))


def texts_from_values(values: Any, learned: Any) -> TextInputs:
    """A text, several of them, or pairs where the run learned from pairs.

    Raises:
        DataError: there is none, or one is not a text, or not a pair where the model reads pairs.
    """
    pairs = getattr(learned, "pair_column", None) is not None
    rows: list[Text] = []
    for index, value in enumerate([values] if isinstance(values, str) else values):
        texts = tuple(value) if pairs and isinstance(value, tuple | list) else (value, "")
        if len(texts) != 2 or not all(isinstance(text, str) for text in texts):
            expected = "a pair of texts" if pairs else "a text"
            raise DataError(received(f"inputs[{index}]", value, expected))
        cells = {"text": texts[0], **({"pair": texts[1]} if pairs else {})}
        problem = ", ".join(text_problems(cells, "text", "pair" if pairs else None))
        rows.append((row_id(index), *(("", "") if problem else texts), problem, cells))
    if not rows:
        raise DataError("inputs: received an empty list. Expected texts.")
    return _text_inputs(rows, "text", "pair" if pairs else None)


def texts_of_examples(examples: Examples) -> TextInputs:
    """The texts of a data set, in its order.

    Raises:
        DataError: its examples are not texts or pairs of texts.
    """
    if not isinstance(examples.content, Texts):
        raise DataError(f"the data has no single texts, but {type(examples.content).__name__}.")
    ids = tuple(examples.ids)
    return TextInputs(ids, examples.content, ("",) * len(ids))


def _table_texts(
    source: Path, text_column: str, pair_column: str | None, format: TableFormat, hint: str
) -> Iterator[Text]:
    names = [text_column, *([pair_column] if pair_column else [])]
    for row in table_rows(source, names, hint, format):
        error = row.fault or ", ".join(text_problems(row.cells, text_column, pair_column))
        cells = {} if error else row.cells
        texts = cells.get(text_column, ""), cells.get(pair_column or "", "")
        yield row_id(row.index), *texts, error, row.cells


def _questions(source: Path, text_column: str, pair_column: str, encoding: str) -> Iterator[Text]:
    for entry in read_entries(source, Keys(text_column, pair_column, encoding, "encoding")):
        error = entry.fault
        for key, text in ((text_column, entry.question), (pair_column, entry.context)):
            if not error and (problem := text_problem(text)):
                error = f"{key!r} {problem}"
        texts = ("", "") if error else (entry.question, entry.context)
        yield entry.name, *texts, error, entry.cells


def line_texts(source: Path, encoding: str) -> Iterator[Text]:
    """A text per line of a file that is not empty."""
    _refuse_other_content(source)
    try:
        for number, text, fault in nonempty_lines(str(source), encoding):
            error = fault.why if fault else ""
            yield line_id(source.name, number), text, "", error, {"text": text}
    except UnusableInput as error:
        raise as_data_error(source, error, encoding, encoding_key="encoding") from None


def _refuse_other_content(source: Path) -> None:
    """Refuse a photo, an archive and the like where a file of texts is expected.

    Raises:
        DataError: the file begins as one does.
    """
    with contextlib.suppress(OSError):  # reported where it is read
        with source.open("rb") as file:
            head = file.read(file_type.HEAD)
        content = file_type.binary_content(head)
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<stata_dta>")):
            content = "a Stata file" if b"<stata_dta>" in head else "an XML document"
        if content:
            raise DataError(
                f"input: {display_path(source)} is {content}, and the model reads texts.",
                f"Give it texts: a file with one per line, or a table ({tables.SHOWN_ENDINGS}).",
            )


def _folder_texts(source: Path, encoding: str) -> Iterator[Text]:
    listing = directory.all_files(source, ANY_FILE, outside_links=True)
    endings: tuple[str, ...] = text_folder.ENDINGS
    if not any(path.lower().endswith(endings) for path in listing.paths):
        if not text_folder.are_texts(listing.paths):
            return
        endings = ("",)
    for name, path in sorted(zip(listing.ids, listing.paths, strict=True), key=_by_parts):
        text = error = ""
        try:
            if path.lower().endswith(endings):
                text, other = read_likely(path, encoding)
                if other is not None:
                    console.info(f"{printable(name)}: read as {other.likely}, not {encoding}")
            else:
                error = "its name does not end in .txt, .text or .md"
        except UnusableInput as problem:
            about = FINDING_KINDS[problem.kind]
            error = f"{about.title}: {problem.why}".removesuffix(": ")
        yield printable(name), text, "", error, {"text": text, "path": path}
    for finding in listing.findings:
        if finding.is_error:
            yield printable(finding.where), "", "", finding.text, {"path": finding.path}


def _by_parts(row: tuple[str, str]) -> Path:
    return Path(row[1])


# Words


def read_words(config: PredictConfig, learned: Any) -> TextInputs:
    """Texts, or sentences of words where the command, a file's name or the run's data says so."""
    sources = sources_of(config)
    is_table = isinstance(learned, TokenTableData) and config.text_column is None
    if len(sources) != 1 or not (is_table or config.by_word or _is_word_file(sources[0])):
        return read_texts(config, learned)
    format = TableFormat.of(config, learned)
    with contextlib.ExitStack() as stack:
        is_stdin = sources[0] == STDIN
        source = (
            stack.enter_context(stdin_file()) if is_stdin else Path(matching_paths(sources[0])[0])
        )
        if config.by_word or _is_word_file(str(source)):
            learned_column = getattr(learned, "word_column", None)
            column = learned_column if isinstance(learned_column, int) else 1
            return list_words(source, config.word_column or column, format.encoding)
        below = [("", source)] if format.matches(source) else []
        if source.is_dir():
            below = tables_below(source, reads_tables=True)
        if below:
            return _word_inputs(
                [sentence for name, path in below
                 for sentence in _words_of_table(path, name, learned, format)]
            )  # fmt: skip
    return read_texts(config, learned)


def _words_of_table(path: Path, name: str, learned: Any, format: TableFormat) -> list[Sentence]:
    """The sentences of a table by the columns of training; `name` is that of one of several."""
    settings = replace(
        learned, encoding=format.encoding, quotes=format.quotes, header=format.header,
        sheet=format.sheet_of(path),
    )  # fmt: skip
    hint = (
        f"The run was trained on a table with {learned.word_column!r}. For a table of sentences, "
        "name its column: text_column=NAME"
    )
    sentences = token_table.read_words(path, settings, hint)
    for sentence in sentences:
        sentence.name = f"{printable(name)}:{sentence.name}" if name else sentence.name
    return sentences


def _is_word_file(source: str) -> bool:
    return source.lower().endswith(_WORD_FILES) and Path(absolute_path(source)).is_file()


def list_words(source: Path, column: int, encoding: str = "utf-8") -> TextInputs:
    """Sentences of a file, or of a folder's files, with a word per line, joined by spaces.

    Args:
        column: of the words, from 1, or backwards from -1.

    Raises:
        DataError: there is no file or no sentence, or one cannot be read.
    """
    kind = FileKind("file of words", conll.ENDINGS)
    listing = directory.files_at(str(source), kind, outside_links=True, key="input")
    numbers = conll.ColumnNumbers(column, None, prefix="")
    sentences: list[Sentence] = []
    for path, name in zip(listing.paths, listing.ids, strict=True):
        prefix = "" if listing.is_file else name
        sentences += conll.read_sentences(Path(path), prefix, encoding, numbers)
    return _word_inputs(sentences)


def _word_inputs(sentences: Sequence[Sentence]) -> TextInputs:
    """Sentences as texts whose words are known, those with a fault without any."""
    ids, texts, errors, spans = [], [], [], []
    for sentence in sentences:
        words = [] if sentence.faults else sentence.words
        ends = itertools.accumulate((1 + len(word) for word in words), initial=-1)
        ids.append(sentence.name)
        texts.append(" ".join(words))
        errors.append(", ".join(f"{where}: {why}" for where, why in sentence.faults))
        spans.append(tuple((end + 1, after) for end, after in itertools.pairwise(ends)))
    return TextInputs(tuple(ids), Texts(tuple(texts)), tuple(errors), tuple(spans))
