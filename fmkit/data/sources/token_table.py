"""Words and tags in a table: a row per word, or a row per sentence with lists of both.

A row per sentence is how Hugging Face's `datasets` exports them, as parquet or as JSON lines, with
tags as names or as numbers, whose names parquet files bring along. A row per word has a column that
tells sentences apart, in which an empty cell means the sentence of the row before. An id is the
place of the sentence in the file, so that words and tags may be mended and it keeps its split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.config.schema.data import TokenTableData
from fmkit.core.errors import DataError, combine_messages, join_names, received
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.formats import tables
from fmkit.data.formats.text_encoding import BadEncoding, read_lines
from fmkit.data.formats.text_files import read_bytes
from fmkit.data.sources.listing import SPLIT_NAMES
from fmkit.data.sources.paths import existing_path
from fmkit.data.sources.tagged_sentences import Sentence, examples

_PARQUET = (".parquet", ".pq")
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_HINT = (
    "Name the columns with data.word_column, tag_column, sentence_column, split_column and "
    "group_column."
)
_MAX_NAMES = 100_000  # tags


@dataclass
class _Cells:
    """A row of a table: its values by column, where it is, and what is wrong with it as a whole."""

    values: Mapping[str, Any]
    place: str
    why: str = ""


@dataclass
class _Table:
    """A table on its way to sentences, with the names that it tells of its tags."""

    rows: Iterator[_Cells]
    names: Sequence[str] | None = None


def list_examples(config: TokenTableData) -> Examples:
    """The sentences of the table `config.root`, in the order of its rows.

    What is wrong is in the examples' findings; a sentence that an error names has no words.

    Raises:
        ConfigError: the file's name ends in nothing that is known.
        DataError: the table cannot be read, columns are missing, or it has no row.
    """
    path = existing_path(config.root, "file")
    table = _opened(path, config)
    names = config.tag_names or table.names
    make = _by_word if config.sentence_column else _by_sentence
    sentences = list(make(table.rows, config, names))
    if not sentences:
        raise DataError(f"{path} has no rows.")
    found = [] if names else _unnamed(sentences)
    return examples(sentences, found, config.limit)


def _unnamed(sentences: Sequence[Sentence]) -> list[Finding]:
    """A finding where all tags are numbers that nobody has named."""
    different = {tag for each in sentences for tag in each.tags}
    if not different or not all(each.isdecimal() for each in different):
        return []
    return [Finding("unnamed_tags", join_names(sorted(different, key=int), 10))]


def _wanted(config: TokenTableData) -> list[str]:
    columns = (config.sentence_column, config.split_column, config.group_column)
    return list(
        dict.fromkeys([config.word_column, config.tag_column, *(each for each in columns if each)])
    )


def _opened(path: Path, config: TokenTableData) -> _Table:
    suffix = path.suffix.lower()
    if suffix in _PARQUET:
        return _parquet(path, config)
    if suffix in _JSON_LINES:
        return _Table(_json_lines(path, config))
    return _Table(_csv(path, config))


def _csv(path: Path, config: TokenTableData) -> Iterator[_Cells]:
    if not config.sentence_column:
        raise DataError(
            f"{path} has a row per word, and no column tells sentences apart.",
            "Name it: data.sentence_column=NAME",
        )
    columns = tables.read(path, _wanted(config), _HINT, config.encoding, config.quotes, "data.")
    found = {
        number: _Cells(cells, f"{_row(number)} (line {line})")
        for number, line, cells in zip(columns.numbers, columns.lines, columns.rows(), strict=True)
    }
    found |= {number: _Cells({}, _row(number), why) for number, why in columns.faults}
    return (found[number] for number in sorted(found))


def _row(number: int) -> str:
    return f"row-{number:06d}"


def _parquet(path: Path, config: TokenTableData) -> _Table:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    wanted = _wanted(config)
    try:
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
        if error := tables.missing(path, wanted, list(schema.names), _HINT):
            raise error
        content = file.read(columns=wanted)
        columns = {each: content.column(each).to_pylist() for each in wanted}
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no readable parquet file: {error}") from None
    rows = zip(*columns.values(), strict=True)
    cells = (
        _Cells(dict(zip(wanted, row, strict=True)), _row(number)) for number, row in enumerate(rows)
    )
    return _Table(cells, _names_of(schema.metadata, config.tag_column))


def _names_of(metadata: Mapping[bytes, bytes] | None, column: str) -> list[str] | None:
    """The names of a column's numbers, as `datasets` writes them into a parquet file."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        feature = features[column]
        for key in ("feature", "names"):  # a list of labels, or a label
            if isinstance(feature, list):
                (feature,) = feature
            feature = feature.get(key, feature)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    is_list = isinstance(feature, list) and 0 < len(feature) <= _MAX_NAMES
    return feature if is_list and all(isinstance(each, str) for each in feature) else None


def _json_lines(path: Path, config: TokenTableData) -> Iterator[_Cells]:
    content, fault = read_bytes(str(path))
    if fault is not None:
        raise DataError(f"{path} cannot be read: {fault[1] or fault[0]}.")
    wanted, seen = _wanted(config), 0
    try:
        for number, text, wrong in read_lines(content, config.encoding):
            if not text.strip() and wrong is None:
                continue
            place = f"{_row(seen)} (line {number})"
            seen += 1
            if wrong is not None:
                yield _Cells({}, place, wrong[1])
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                yield _Cells({}, place, f"it is no JSON: {error}")
                continue
            if not isinstance(row, dict):
                yield _Cells({}, place, "it is no JSON object")
                continue
            absent = [repr(each) for each in wanted if each not in row]
            if absent and seen == 1:
                told = [received(f"Key of {path.name}", each, list(row)) for each in wanted
                        if each not in row]  # fmt: skip
                raise DataError(combine_messages(told), _HINT)
            yield _Cells(row, place, f"no key {join_names(absent)}" if absent else "")
    except BadEncoding as error:
        hint = f"Perhaps it is {error.likely}: data.encoding={error.likely}" if error.likely else ""
        raise DataError(f"{path} is not {config.encoding}: {error.reason}.", hint) from None


Names = Sequence[str] | None


def _by_sentence(
    rows: Iterator[_Cells], config: TokenTableData, names: Names
) -> Iterator[Sentence]:
    """A sentence a row."""
    for number, row in enumerate(rows):
        made = Sentence(_row(number), _always(row.place))
        wrong = [row.why] if row.why else _of_lists(made, row.values, config, names)
        wrong += [] if row.why else _split_and_group(made, row.values, config)
        made.faults = [(row.place, ", ".join(wrong))] if wrong else []
        yield made


def _always(place: str) -> Callable[[int], str]:
    return lambda _: place


def _of_lists(
    made: Sentence, values: Mapping[str, Any], config: TokenTableData, names: Names
) -> list[str]:
    """Take over the words and tags of a row that has lists of them; what is wrong with it."""
    words, tags = values[config.word_column], values[config.tag_column]
    for key, found in (("word_column", words), ("tag_column", tags)):
        if not isinstance(found, list | tuple):
            column = getattr(config, key)
            if found is None:
                return [f"{column!r} is empty"]
            raise DataError(
                f"{config.root}: column {column!r} has {type(found).__name__}, where a list of a "
                "sentence's was expected.",
                "In a table with a row per word: data.sentence_column=NAME tells sentences apart.",
            )
    if len(words) != len(tags):
        return [f"{len(words)} words and {len(tags)} tags"]
    if not words:
        return ["no words"]
    problems: list[str] = []
    for place, (word, tag) in enumerate(zip(words, tags, strict=True), start=1):
        problems += [f"{wrong} (word {place})" for wrong in _take(made, word, tag, names)]
    return problems[:5]


def _take(made: Sentence, word: Any, tag: Any, names: Names) -> list[str]:
    """Take over a word and its tag; what is wrong with them."""
    problems = []
    text = _text(word)
    if not text:
        problems.append("no word")
    elif "\0" in text:
        problems.append("a NUL character")
    name, wrong = _named(tag, names)
    if wrong:
        problems.append(wrong)
    made.words.append(text)
    made.tags.append(name)
    return problems


def _text(cell: Any) -> str:
    """A cell as text; null and NaN are empty."""
    if cell is None or cell != cell:
        return ""
    return (cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)).strip()


def _named(tag: Any, names: Names) -> tuple[str, str]:
    """A tag's name, and what is wrong with it."""
    text = _text(tag)
    if not text:
        return "", "no tag"
    if names is None or text in names:
        return text, ""
    if not text.isdecimal():
        return text, f"tag {text!r} is none of the names"
    number = int(text) if len(text) < 10 else len(names)
    if number >= len(names):
        return text, f"tag {text}, and there are names for 0 to {len(names) - 1}"
    return names[number], ""


def _split_and_group(
    made: Sentence, values: Mapping[str, Any], config: TokenTableData
) -> list[str]:
    """Take over a row's split and group; what is wrong with them."""
    problems = []
    if config.split_column:
        split = _text(values[config.split_column])
        if not split:
            problems.append(f"no split in column {config.split_column!r}")
        elif split.lower() not in SPLIT_NAMES:
            problems.append(f"unknown split {split!r} (expected train, val or test)")
        else:
            made.split = SPLIT_NAMES[split.lower()]
    if config.group_column:
        made.group = _text(values[config.group_column])
        if not made.group:
            problems.append(f"no group in column {config.group_column!r}")
    return problems


def _by_word(rows: Iterator[_Cells], config: TokenTableData, names: Names) -> Iterator[Sentence]:
    """A sentence is the rows one behind the other that have the same cell."""
    open_one: Sentence | None = None
    places: list[str] = []
    key, seen, count = "", set(), 0
    for row in rows:
        here = "" if row.why else _text(row.values[config.sentence_column or ""])
        if open_one is None or (here and here != key):
            if open_one is not None:
                yield open_one
            places = []
            open_one = Sentence(f"sentence-{count:06d}", places.__getitem__)
            count += 1
            key = here or key
            if not here and not row.why:
                open_one.faults.append((row.place, f"no sentence in {config.sentence_column!r}"))
            if here in seen:
                why = f"sentence {here!r} goes on after another one, or two have the same name"
                open_one.faults.append((row.place, why))
            seen.add(here)
        places.append(row.place)
        _add_word(open_one, row, config, names)
    if open_one is not None:
        yield open_one


def _add_word(made: Sentence, row: _Cells, config: TokenTableData, names: Names) -> None:
    """Add a row's word to its sentence, whose first row tells split and group."""
    if row.why:
        made.faults.append((row.place, row.why))
        return
    values = row.values
    is_first = not made.words
    word, tag = values[config.word_column], values[config.tag_column]
    if isinstance(word, list | tuple) or isinstance(tag, list | tuple):
        raise DataError(
            f"{config.root} has lists, and data.sentence_column={config.sentence_column} is for "
            "tables with a row per word.",
            "Leave it out.",
        )
    wrong = _take(made, word, tag, names)
    before = made.split, made.group
    keeps = not is_first and not any(
        _text(values[each]) for each in (config.split_column, config.group_column) if each
    )
    if not keeps:
        wrong += _split_and_group(made, values, config)
        if not is_first and before != (made.split, made.group) and not wrong:
            wrong.append("another split or group than the words before it")
    if wrong:
        made.faults.append((row.place, ", ".join(wrong)))
