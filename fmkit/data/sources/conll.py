"""Files with a word a line, its tag beside it, and an empty line between sentences.

So CoNLL's shared tasks distribute theirs, and most data sets of entities and parts of speech since.
Columns are separated by white space; by tabs where most lines of a file have one, so that a word
may have a space in it. `-DOCSTART-` and comments are no words; of CoNLL-U neither are the lines of
ranges such as `3-4` and of empty nodes. An id is the file's name and the number of the sentence in
it, so that words and tags may be mended and a sentence keeps its split.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fmkit.config.schema.data import ConllData
from fmkit.core.errors import DataError, combine_messages, join_names
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.formats.text_encoding import BadEncoding, read_lines
from fmkit.data.formats.text_files import read_bytes
from fmkit.data.sources import directory
from fmkit.data.sources.listing import SPLIT_NAMES, FileKind
from fmkit.data.sources.paths import existing_path
from fmkit.data.sources.tagged_sentences import Sentence, examples

ENDINGS = (".txt", ".conll", ".conllu", ".bio", ".iob", ".iob2", ".bioes", ".tsv")
"""How names of files end that a folder is searched for."""
_SPLITS = {**SPLIT_NAMES, "testa": "val", "testb": "test"}  # CoNLL-2003 has eng.testa, eng.testb
_SPLIT = re.compile(
    rf"(?<![a-z])({'|'.join(sorted(_SPLITS, key=len, reverse=True))})(?![a-z])", re.IGNORECASE
)
_DOCUMENT = "-DOCSTART-"
_NEW_DOCUMENT = re.compile(r"#\s*newdoc\b")
_NO_WORD = re.compile(r"\d+[-.]\d+")  # a range or an empty node of CoNLL-U, in its first column


@dataclass(frozen=True)
class Form:
    """Which columns are read.

    Attributes:
        word: number from 1, or from -1 backwards.
        tag: likewise; None where tags are not read.
        names: what the keys are called, for messages.
    """

    word: int
    tag: int | None
    names: tuple[str, str] = ("data.word_column", "data.tag_column")


@dataclass
class _Row:
    """A line of a file with its columns; none of an empty line, or of one that cannot be read."""

    number: int
    cells: list[str]
    why: str = ""
    is_comment: bool = False


def list_examples(config: ConllData) -> Examples:
    """The sentences of a file, or of the files of a folder that are named after splits.

    What is wrong is in the examples' findings; a sentence that an error names has no words.

    Raises:
        DataError: there is no file or no sentence.
    """
    found: list[Finding] = []
    sentences: list[Sentence] = []
    form = Form(config.word_column, config.tag_column)
    for path, name, split in _files(config, found):
        try:
            read = of_file(Path(path), name, config.encoding, form)
        except DataError as error:
            found.append(Finding("unusable", "", f"{error.message} {error.hint}".strip()))
            continue
        for each in read:
            each.split = split
            each.group = each.group if config.group_documents else ""
            sentences.append(each)
    if not sentences:
        told = [each.text for each in found if each.is_error]
        raise DataError(combine_messages(told) if told else f"{config.root} has no sentence.")
    return examples(sentences, found, config.limit)


def _files(config: ConllData, found: list[Finding]) -> list[tuple[str, str, str]]:
    """Path, name and split of each file; a single one has no name that ids would need."""
    if not config.root or not Path(config.root).expanduser().is_dir():
        return [(str(existing_path(config.root, "file")), "", "")]
    root = existing_path(config.root, "folder")
    things = FileKind("files of words", ENDINGS, "loose_texts")
    # CoNLL-2003 calls its files eng.train, eng.testa and eng.testb.
    things = FileKind(things.word, (*ENDINGS, *(f".{each}" for each in _SPLITS)), things.loose)
    listing = directory.everything(root, things, config.outside_links)
    found += [each for each in listing.findings if each.kind != "empty_class"]
    rows = [
        (path, name, _split_of(name)) for path, name in zip(listing.paths, listing.ids, strict=True)
    ]
    if not rows:
        raise DataError(
            f"{root} has no files of words ({', '.join(ENDINGS)}).",
            "Name one file in data.root to read it whatever its name ends in.",
        )
    if any(split for *_, split in rows):
        others = [name for _, name, split in rows if not split]
        if others:
            why = f"{len(others)} files name no split, and others do: {join_names(others, 5)}."
            found.append(Finding("unsupported", "", why, count=len(others)))
        rows = [row for row in rows if row[2]]
    return rows


def _split_of(name: str) -> str:
    """The split that a file's name tells, or else the name of a folder that it is in."""
    for part in reversed(name.split("/")):
        if told := _SPLIT.findall(part):
            return _SPLITS[told[-1].lower()]
    return ""


def of_file(path: Path, name: str, encoding: str, form: Form) -> list[Sentence]:
    """The sentences of a file.

    Args:
        path: the file.
        name: what ids and places begin with; empty: ids need none.
        encoding: of the file.
        form: which columns are read.

    Raises:
        DataError: it cannot be read, has another encoding, or fewer columns in every line.
    """
    content, fault = read_bytes(str(path))
    if fault is not None:
        raise DataError(f"{path} cannot be read: {fault[1] or fault[0]}.")
    try:
        rows = list(_rows(content, encoding))
    except BadEncoding as error:
        hint = f"Perhaps it is {error.likely}." if error.likely else ""
        raise DataError(f"{path} is not {encoding}: {error.reason}.", hint) from None
    return list(_sentences(rows, path, name, form))


def _rows(content: bytes, encoding: str) -> Iterator[_Row]:
    lines = [
        (number, text.rstrip(), fault) for number, text, fault in read_lines(content, encoding)
    ]
    texts = [text for _, text, _ in lines if text and not text.startswith("#")]
    has_tabs = 2 * sum("\t" in each for each in texts) >= max(len(texts), 1)
    for number, text, fault in lines:
        cells = text.split("\t") if has_tabs else re.split("[ \t]+", text.lstrip(" \t"))
        cells = [each.strip() for each in cells] if text else []
        yield _Row(number, cells, fault[1] if fault else "")


@dataclass
class _Columns:
    """Where words and tags are in a file whose lines have so many columns."""

    width: int
    word: int
    tag: int | None


def _columns(rows: Sequence[_Row], path: Path, form: Form) -> _Columns:
    """The usual number of columns, and which are read; comments are told from words, too."""
    plain = [each for each in rows if each.cells and not _has_hash(each)]
    plain = [each for each in plain if each.cells[0] != _DOCUMENT]
    columns = _Columns(0, 0, None)
    if plain:
        width = Counter(len(each.cells) for each in plain).most_common(1)[0][0]
        columns = _places(width, path, form)
    # A word may begin with `#`: it is one where its line looks as those of other words do.
    usual = [each for each in plain if len(each.cells) == columns.width]
    known = set() if columns.tag is None else {each.cells[columns.tag] for each in usual}
    for each in filter(_has_hash, rows):
        is_word = len(each.cells) == columns.width
        is_word = is_word and (columns.tag is None or each.cells[columns.tag] in known)
        each.is_comment = not is_word
    return columns


def _has_hash(row: _Row) -> bool:
    return bool(row.cells) and row.cells[0].startswith("#")


def _places(width: int, path: Path, form: Form) -> _Columns:
    """Which of so many columns are read.

    Raises:
        DataError: there are fewer, or both are the same.
    """
    places = []
    for key, column in zip(form.names, (form.word, form.tag), strict=True):
        place = width if column is None else column - 1 if column > 0 else width + column
        if column is not None and not 0 <= place < width:
            raise DataError(
                f"{path} has {_number(width)}, and {key}={column}.",
                f"Columns are counted from 1, or from -1 backwards: {key}=NUMBER",
            )
        places.append(place)
    if places[0] == places[1]:
        raise DataError(
            f"{path}: words and tags are in the same column; it has {_number(width)}.",
            f"Say which: {form.names[0]}=NUMBER {form.names[1]}=NUMBER, counted from 1.",
        )
    return _Columns(width, places[0], None if form.tag is None else places[1])


def _number(columns: int) -> str:
    return f"{columns} column" if columns == 1 else f"{columns} columns"


def _sentences(rows: Sequence[_Row], path: Path, name: str, form: Form) -> Iterator[Sentence]:
    columns = _columns(rows, path, form)
    shown, prefix = name or path.name, f"{name}:" if name else ""
    kept: list[_Row] = []
    document = count = 0
    for row in [*rows, _Row(0, [])]:
        is_document = bool(row.cells) and row.cells[0] == _DOCUMENT
        if row.is_comment:
            document += _NEW_DOCUMENT.match(" ".join(row.cells)) is not None
        elif (row.cells or row.why) and not is_document:
            if not (columns.word and _NO_WORD.fullmatch(row.cells[0] if row.cells else "")):
                kept.append(row)
        elif kept:
            count += 1
            yield _sentence(kept, columns, shown, f"{prefix}sentence-{count:06d}", document)
            kept = []
        document += is_document
    if not count:
        raise DataError(f"{path} has no sentence.")


def _sentence(
    rows: Sequence[_Row], columns: _Columns, shown: str, name: str, document: int
) -> Sentence:
    lines = [each.number for each in rows]
    made = Sentence(name, lambda word: f"{shown}:{lines[word]}", group=f"{shown}:{document}")
    for place, row in enumerate(rows):
        if wrong := row.why or _problem(row.cells, columns):
            made.faults.append((made.place(place), wrong))
            continue
        made.words.append(row.cells[columns.word])
        if columns.tag is not None:
            made.tags.append(row.cells[columns.tag])
    return made


def _problem(cells: Sequence[str], columns: _Columns) -> str:
    """What is wrong with the columns of a line; empty when nothing is."""
    if len(cells) != columns.width:
        return f"{_number(len(cells))}, and most lines have {columns.width}"
    if not cells[columns.word]:
        return "no word"
    if columns.tag is not None and not cells[columns.tag]:
        return "no tag"
    return ""
