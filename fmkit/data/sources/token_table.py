"""Words and tags in a table: a row per word, or a row per sentence with lists of both.

A row per sentence is how Hugging Face's `datasets` exports them, as parquet, JSON lines or CSV,
with tags as names or as numbers, whose names parquet files bring along. A row per word has a column
that tells sentences apart, in which an empty cell means the sentence of the row before. An id is
the position of the sentence in the file, so that words and tags may be edited and it keeps its
split.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fmkit.config.schema.data import TokenTableData
from fmkit.core.errors import DataError, join_names, plural
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, UnusableInput
from fmkit.data.formats import tables
from fmkit.data.formats.cells import cell_text, parse_cell
from fmkit.data.formats.delimited import ColumnError, CsvError
from fmkit.data.formats.tables import class_names, records
from fmkit.data.formats.text_files import as_data_error
from fmkit.data.sources.table_files import tables_at
from fmkit.data.sources.table_rows import row_id, split_and_group, split_columns
from fmkit.data.sources.tagged_sentences import Sentence, examples

_HINT = (
    "Name the columns with data.word_column, tag_column, sentence_column, split_column and "
    "group_column. "
    "In a CSV or TSV without a header they are column_1, column_2 and so on."
)
_MAX_PROBLEMS = 5  # of one sentence that its finding lists


class _Row(NamedTuple):
    """Cells by column, position for findings, what is wrong with the whole row, and its sheet's
    split."""

    cells: Mapping[str, Any]
    where: str
    fault: str = ""
    split: str = ""


def list_examples(config: TokenTableData) -> Examples:
    """The sentences of the tables at `config.root`, in the order of their rows."""

    def has_columns(path: Path, columns: Sequence[str]) -> bool:
        layout = (config.encoding, config.quotes, config.header, config.sheet)
        return tables.has_columns(path, columns, *layout)

    files, findings = tables_at(config.root, [config.tag_column], has_columns, [config.word_column])
    tag_names, sentences = None, []
    for file in files:
        names, of_file = _sentences(file.path, config, _HINT, "data.")
        tag_names = tag_names or names
        for sentence in of_file:
            sentence.name = file.prefix + sentence.name
            sentence.split = sentence.split or file.split
        sentences += of_file
    different = {tag for sentence in sentences for tag in sentence.tags}
    if not tag_names and different and all(tag.isdecimal() for tag in different):
        findings.append(Finding("unnamed_tags", join_names(sorted(different, key=int), 10)))
    return examples(sentences, findings)


def read_words(path: Path, config: TokenTableData, hint: str = "") -> list[Sentence]:
    """The sentences of a table by the columns of a config, without tags, splits and groups.

    Args:
        hint: what to do where a column is missing.

    Raises:
        DataError: it cannot be read, lacks the columns, or has no rows.
    """
    words_only = dataclasses.replace(
        config, root=str(path), tag_column="", split_column=None, group_column=None
    )
    _, sentences = _sentences(path, words_only, hint, "")
    return sentences


def _sentences(
    path: Path, config: TokenTableData, hint: str, prefix: str
) -> tuple[list[str] | None, list[Sentence]]:
    """The names of numbered tags, where there are any, and all sentences.

    Args:
        config: an empty `tag_column` reads no tags.
        hint: what to do where a column is missing.
        prefix: of the keys `encoding` and `quotes`.
    """
    names = (config.word_column, config.tag_column, config.sentence_column or "")
    columns = list(dict.fromkeys(filter(None, [*names, *split_columns(config)])))
    tag_names = config.tag_names
    try:
        if config.tag_column:
            tag_names = tag_names or class_names(path, config.tag_column) or None
        rows = _rows(path, columns, config)
        reader = _SentenceReader(config, tag_names)
        sentences = (reader.by_word if config.sentence_column else reader.by_sentence)(rows)
    except UnusableInput as error:
        encoding = config.encoding
        if isinstance(error, CsvError) and config.quotes:
            meaning = "If double quotes mean nothing in this file, as in many a .tsv"
            hint = f"{meaning}: {prefix}quotes=false"
        elif not isinstance(error, ColumnError):
            hint = ""
        raise as_data_error(path, error, encoding, hint, f"{prefix}encoding") from None
    if not sentences:
        raise DataError(f"{path} has no rows.")
    return tag_names, sentences


def _rows(path: Path, columns: Sequence[str], config: TokenTableData) -> Iterator[_Row]:
    values = records(
        path,
        config.encoding,
        quotes=config.quotes,
        columns=columns,
        required=columns,
        class_names=False,
        header=config.header,
        sheet=config.sheet,
    )
    for index, record in enumerate(values):
        cells: dict[str, Any] = {}
        fault = record.fault.why if record.fault else ""
        if not fault and not isinstance(record.value, dict):
            fault = "it is not an object with keys"
        elif not fault:
            cells = record.value
            if missing := [repr(name) for name in columns if name not in cells]:
                fault = f"no key {join_names(missing)}"
        is_located = not record.place or record.place in fault
        where = row_id(index) + ("" if is_located else f" ({record.place})")
        yield _Row(cells, where, fault, record.split)


class _SentenceReader:
    """Makes sentences of the rows of a table."""

    def __init__(self, config: TokenTableData, tag_names: Sequence[str] | None) -> None:
        self._config, self._tag_names = config, tag_names
        self._has_lists = False  # in a row so far

    def by_sentence(self, rows: Iterable[_Row]) -> list[Sentence]:
        """A sentence per row."""
        sentences = []
        for index, row in enumerate(rows):
            sentence = Sentence(row_id(index), [row.where])
            if problems := [row.fault] if row.fault else self._add_lists(sentence, row):
                sentence.faults.append((row.where, ", ".join(problems)))
            sentences.append(sentence)
        return sentences

    def _add_lists(self, sentence: Sentence, row: _Row) -> list[str]:
        """Add the words and tags of a row that has lists of them; what is wrong with it."""
        names = tuple(filter(None, (self._config.word_column, self._config.tag_column)))
        words, *others = (parse_cell(row.cells[name]) for name in names)
        if words and isinstance(words, str) and isinstance(others[0] if others else [], list):
            words = words.split()  # the sentence as a text
        cells = [words, *others]
        split_problems = self._set_split_and_group(sentence, row)
        for column, cell in zip(names, cells, strict=True):
            if cell is None or cell == "":
                return [f"{column!r} is empty", *split_problems]
            if isinstance(cell, list) and any(isinstance(entry, list | dict) for entry in cell):
                return [f"{column!r} has lists or objects in its list", *split_problems]
            if not isinstance(cell, list | tuple):
                if self._has_lists:
                    return [f"{column!r} is not a list", *split_problems]
                kind = f"{self._config.root}: column {column!r} has {type(cell).__name__}"
                raise DataError(
                    f"{kind}; expected a list with an entry for each word of a sentence.",
                    "In a table with a row per word: data.sentence_column=NAME tells sentences "
                    "apart.",
                )
        self._has_lists = True
        tags = others[0] if others else [None] * len(words)
        if len(words) != len(tags):
            counts = f"{plural(len(words), 'word')} and {plural(len(tags), 'tag')}"
            return [counts, *split_problems]
        problems = [] if words else ["no words"]
        for number, (word, tag) in enumerate(zip(words, tags, strict=True), start=1):
            problems += [f"{why} (word {number})" for why in self._add_word(sentence, word, tag)]
        return [*problems[:_MAX_PROBLEMS], *split_problems]

    def by_word(self, rows: Iterable[_Row]) -> list[Sentence]:
        """A sentence is the consecutive rows that have the same cell in the sentence column."""
        sentences: list[Sentence] = []
        current, seen = "", set()
        column = self._config.sentence_column or ""
        for row in rows:
            name = "" if row.fault else _text(row.cells[column])
            is_first = not sentences or bool(name and name != current)
            if is_first:
                sentences.append(Sentence(f"sentence-{len(sentences):06d}", []))
                current = name or current
            sentence = sentences[-1]
            if is_first and not name and not row.fault:
                sentence.faults.append((row.where, f"no sentence in {column!r}"))
            if is_first and name in seen:
                why = f"sentence {name!r} continues after another one, or two have the same name"
                sentence.faults.append((row.where, why))
            seen.add(name)
            sentence.locations.append(row.where)
            if problems := [row.fault] if row.fault else self._add_row(sentence, row):
                sentence.faults.append((row.where, ", ".join(problems)))
        return sentences

    def _add_row(self, sentence: Sentence, row: _Row) -> list[str]:
        """Add a row's word to its sentence, whose first row names split and group; its problems."""
        word, tag = row.cells[self._config.word_column], row.cells.get(self._config.tag_column)
        if isinstance(word, list | tuple) or isinstance(tag, list | tuple):
            key = f"data.sentence_column={self._config.sentence_column}"
            raise DataError(
                f"{self._config.root} has lists, and {key} is for tables with a row per word.",
                "Leave it out.",
            )
        is_first = not sentence.words
        problems = self._add_word(sentence, word, tag)
        before = sentence.split, sentence.group
        if is_first or any(_text(row.cells[name]) for name in split_columns(self._config)):
            problems += self._set_split_and_group(sentence, row)
            if not is_first and before != (sentence.split, sentence.group) and not problems:
                problems.append("another split or group than the words before it")
        return problems

    def _add_word(self, sentence: Sentence, word: Any, tag: Any) -> list[str]:
        """Add a word and its tag; what is wrong with them."""
        text, name, tag_names = _text(word), _text(tag), self._tag_names
        problems = []
        if not text or "\0" in text:
            problems.append("a NUL character" if text else "no word")
        if not self._config.tag_column:
            pass
        elif not name:
            problems.append("no tag")
        elif tag_names is not None and name not in tag_names:
            number = int(name) if name.isdecimal() and len(name) < 10 else len(tag_names)
            if number < len(tag_names):
                name = tag_names[number]
            elif name.isdecimal():
                problems.append(f"tag {name}, and there are names for 0 to {len(tag_names) - 1}")
            else:
                problems.append(f"tag {name!r} is not one of the names")
        sentence.words.append(text)
        sentence.tags.append(name)
        return problems

    def _set_split_and_group(self, sentence: Sentence, row: _Row) -> list[str]:
        """Set a sentence's split and group; what is wrong with them."""
        cells = {name: _text(row.cells[name]) for name in split_columns(self._config)}
        sentence.split, sentence.group, problems = split_and_group(cells, self._config, row.split)
        return problems


def _text(cell: Any) -> str:
    decoded = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell
    return cell_text(decoded, "")
