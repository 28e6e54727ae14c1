"""CoNLL files: a word per line, its tag beside it, and an empty line between sentences.

This is how CoNLL's shared tasks distribute their data, and most data sets of entities and parts of
speech since. Columns are separated by white space; by tabs where most lines of a file have one, so
that a word may have a space in it. `-DOCSTART-` and comments are not words; in CoNLL-U neither are
the lines of ranges such as `3-4` and of empty nodes. An id is the file's name and the number of the
sentence in it, so that words and tags may be edited and a sentence keeps its split.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fmkit.config.schema.data import ConllData
from fmkit.core.errors import DataError, combine_messages, join_names, plural
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, UnusableInput
from fmkit.data.formats.text_files import GZIP, as_data_error, read_lines
from fmkit.data.sources import directory
from fmkit.data.sources.directory import FileKind
from fmkit.data.sources.tagged_sentences import Sentence, examples
from fmkit.data.split_names import SPLIT_NAMES

ENDINGS = (".txt", ".conll", ".conllu", ".bio", ".iob", ".iob2", ".bioes", ".tsv")
"""How names of files end that a folder is searched for."""
_SPLITS = {**SPLIT_NAMES, "testa": "val", "testb": "test"}  # CoNLL-2003 has eng.testa, eng.testb
SPLIT_ENDINGS = tuple(f".{name}" for name in _SPLITS)
"""How names of files end that are called after their split alone, as CoNLL-2003's are."""
_SPLIT = re.compile(
    rf"(?<![a-z])({'|'.join(sorted(_SPLITS, key=len, reverse=True))})(?![a-z])", re.IGNORECASE
)
CONLL_U = 10
"""Columns of CoNLL-U and CoNLL-X: ID, FORM, LEMMA, UPOS, XPOS, FEATS and four more."""
_DOCUMENT = "-DOCSTART-"
_NEW_DOCUMENT = re.compile(r"#\s*newdoc\b")
_NOT_A_WORD = re.compile(r"\d+[-.]\d+")  # a range or an empty node of CoNLL-U, in its first column


@dataclass(frozen=True)
class ColumnNumbers:
    """Which columns are read.

    Attributes:
        word: number from 1, or from -1 backwards.
        tag: likewise; None where tags are not read.
        prefix: of config keys such as `word_column`, for messages.
    """

    word: int
    tag: int | None
    prefix: str = "data."


class _Row(NamedTuple):
    """A line of a file with its cells; none of an empty line, or of one that cannot be read."""

    number: int
    cells: list[str]
    fault: str = ""

    @property
    def first(self) -> str:
        """The first cell; empty where there is none."""
        return self.cells[0] if self.cells else ""


class _Layout(NamedTuple):
    """Positions of words and tags in a file whose lines have `width` columns, and all its tags."""

    width: int
    word: int
    tag: int | None
    tags: frozenset[str] = frozenset()

    def is_comment(self, row: _Row) -> bool:
        """Whether a line begins with `#`, as words may, too, but does not look like other words."""
        if not row.first.startswith("#"):
            return False
        if len(row.cells) != self.width:
            return True
        return self.tag is not None and row.cells[self.tag] not in self.tags


def list_examples(config: ConllData) -> Examples:
    """The sentences of a file, or of the files of a folder that are named after splits."""
    findings: list[Finding] = []
    sentences: list[Sentence] = []
    numbers = ColumnNumbers(config.word_column, config.tag_column)
    for path, name, split in _files(config, findings):
        try:
            file_sentences = read_sentences(Path(path), name, config.encoding, numbers)
        except DataError as error:
            why = f"{error.message} {error.hint}".strip()
            findings.append(Finding("unusable", "", why))
            continue
        for sentence in file_sentences:
            sentence.split = split
            sentence.group = sentence.group if config.group_documents else ""
            sentences.append(sentence)
    if not sentences:
        errors = [finding.text for finding in findings if finding.is_error]
        raise DataError(combine_messages(errors) if errors else f"{config.root} has no sentence.")
    return examples(sentences, findings)


def _files(config: ConllData, findings: list[Finding]) -> list[tuple[str, str, str]]:
    """Path, name and split of each file; a single one has no name that ids would need."""
    endings = (*ENDINGS, *SPLIT_ENDINGS)
    kind = FileKind("CoNLL file", (*endings, *(ending + GZIP for ending in endings)))
    hint = "Name one file in data.root to read it whatever its name ends in."
    listing = directory.files_at(config.root, kind, config.outside_links, hint)
    if listing.is_file:
        return [(listing.paths[0], "", "")]
    findings += listing.findings
    rows = []
    for path, name in zip(listing.paths, listing.ids, strict=True):
        names = filter(None, map(_SPLIT.findall, reversed(name.split("/"))))
        *_, last = next(names, [""])  # of the file's name, or else of the nearest folder's
        rows.append((path, name, _SPLITS.get(last.lower(), "")))
    others = [name for _, name, split in rows if not split]
    if not others or len(others) == len(rows):
        return rows
    verb = "file names" if len(others) == 1 else "files name"
    why = f"{len(others)} {verb} no split, and others do: {join_names(others, 5)}. Left out."
    findings.append(Finding("unsupported", "", why, count=len(others)))
    return [row for row in rows if row[2]]


def read_sentences(path: Path, name: str, encoding: str, numbers: ColumnNumbers) -> list[Sentence]:
    """The sentences of a file; `name` is a prefix of their ids, or empty where they need none.

    Raises:
        DataError: it cannot be read, has another encoding, or fewer columns in every line.
    """
    try:
        rows = _rows(path, encoding)
    except UnusableInput as error:
        key = f"{numbers.prefix}encoding"
        raise as_data_error(path, error, encoding, encoding_key=key) from None
    layout = _layout(rows, path, numbers)
    shown, prefix = name or path.name, f"{name}:" if name else ""
    sentences: list[Sentence] = []
    pending: list[_Row] = []
    document = 0
    for row in [*rows, _Row(0, [])]:
        is_start = row.first == _DOCUMENT
        if layout.is_comment(row):
            document += _NEW_DOCUMENT.match(" ".join(row.cells)) is not None
        elif (row.cells or row.fault) and not is_start:
            if not (layout.word and _NOT_A_WORD.fullmatch(row.first)):
                pending.append(row)
        elif pending:
            sentence_id = f"{prefix}sentence-{len(sentences) + 1:06d}"
            locations = [f"{shown}:{row.number}" for row in pending]
            sentence = Sentence(sentence_id, locations, group=f"{shown}:{document}")
            _add_words(sentence, pending, layout)
            sentences.append(sentence)
            pending = []
        document += is_start
    if not sentences:
        raise DataError(f"{path} has no sentence.")
    if are_numbers(sentence.words for sentence in sentences):
        keys, which = f"{numbers.prefix}word_column=2", "which column has the words"
        if numbers.tag is not None:
            which += ", and which the tags"
            tag = "4 (parts of speech)" if layout.width == CONLL_U else "NUMBER"
            keys += f" {numbers.prefix}tag_column={tag}"
        raise DataError(
            f"{path}: column {layout.word + 1} numbers the words of each sentence.",
            f"Say {which}: {keys}",
        )
    return sentences


def are_numbers(sentences: Iterable[Sequence[str]]) -> bool:
    """Whether the words of each sentence are their positions, but for the ranges of CoNLL-U."""
    plain = [
        [word for word in words if not _NOT_A_WORD.fullmatch(word)] for words in sentences if words
    ]
    return max(map(len, plain), default=0) > 1 and all(
        words == [str(number + first) for number in range(len(words))]
        for words in plain
        for first in [int(words[:1] == ["1"])]
    )


def _rows(path: Path, encoding: str) -> list[_Row]:
    lines = [line._replace(text=line.text.rstrip()) for line in read_lines(str(path), encoding)]
    texts = [line.text for line in lines if line.text and not line.text.startswith("#")]
    has_tabs = 2 * sum("\t" in text for text in texts) >= max(len(texts), 1)
    rows = []
    for number, text, fault in lines:
        cells = text.split("\t") if has_tabs else re.split("[ \t]+", text.lstrip(" \t"))
        cells = [cell.strip() for cell in cells] if text else []
        rows.append(_Row(number, cells, fault.why if fault else ""))
    return rows


def _layout(rows: Sequence[_Row], path: Path, numbers: ColumnNumbers) -> _Layout:
    """The usual number of columns, and which are read."""
    plain = [row.cells for row in rows if row.cells and not row.first.startswith("#")]
    plain = [cells for cells in plain if cells[0] != _DOCUMENT]
    if not plain:
        return _Layout(0, 0, None)
    width = Counter(map(len, plain)).most_common(1)[0][0]
    word_key, tag_key = f"{numbers.prefix}word_column", f"{numbers.prefix}tag_column"
    positions = []
    for key, column in ((word_key, numbers.word), (tag_key, numbers.tag)):
        position = width if column is None else column - 1 if column > 0 else width + column
        if column is not None and not 0 <= position < width:
            raise DataError(
                f"{path} has {plural(width, 'column')}, and {key}={column}.",
                f"Columns are counted from 1, or from -1 backwards: {key}=NUMBER",
            )
        positions.append(position)
    word, tag = positions
    if word == tag:
        raise DataError(
            f"{path}: words and tags are in the same column; it has {plural(width, 'column')}.",
            f"Say which: {word_key}=NUMBER {tag_key}=NUMBER, counted from 1.",
        )
    if numbers.tag is None:
        return _Layout(width, word, None)
    return _Layout(width, word, tag, frozenset(row[tag] for row in plain if len(row) == width))


def _add_words(sentence: Sentence, rows: Sequence[_Row], layout: _Layout) -> None:
    for location, (_, cells, fault) in zip(sentence.locations, rows, strict=True):
        problem = fault
        if not fault and len(cells) != layout.width:
            problem = f"{plural(len(cells), 'column')}, and most lines have {layout.width}"
        elif not fault and not cells[layout.word]:
            problem = "no word"
        elif not fault and layout.tag is not None and not cells[layout.tag]:
            problem = "no tag"
        if problem:
            sentence.faults.append((location, problem))
            continue
        sentence.words.append(cells[layout.word])
        sentence.tags += [] if layout.tag is None else [cells[layout.tag]]
