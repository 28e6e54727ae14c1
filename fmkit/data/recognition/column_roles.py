"""What the columns of a table are for, from their names and the values of its first rows.

Each rule looks for one layout. A role that the user has named by its key, such as
`data.label_column=price`, is theirs.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fmkit.config.saved_config import shell_setting
from fmkit.core.errors import ConfigError, join_names
from fmkit.data.formats.amounts import amount_format, are_amounts, unread_numbers
from fmkit.data.formats.annotation_exports import ANSWERS, STATUS
from fmkit.data.formats.cells import EXCEL_ERRORS, parse_cell
from fmkit.data.formats.json_records import has_messages
from fmkit.data.formats.parquet_table import SAVE_PHOTOS, photo_bytes
from fmkit.data.images.image_file import is_photo_name
from fmkit.data.sources.table_rows import MARKS, joined_names
from fmkit.data.split_names import split_of_name

Columns = Mapping[str, Sequence[Any]]
"""By column, the values of the first rows."""

_TEXT = ("text", "sentence", "review", "content", "message", "body", "tweet", "description",
         "document", "abstract", "utterance")  # fmt: skip
_SHORT_TEXT = ("comment", "comments", "title", "subject", "summary", "question", "note", "notes")
"""Texts that often stand beside a longer one, which they are about."""
_LABEL = ("label", "labels", "class", "category", "categories", "target", "sentiment", "emotion",
          "emotions", "topic", "topics", "intent", "tags", "genre", "genres", "diagnosis",
          "species", "y", "rating", "stars", "score", "price", "value")  # fmt: skip
_DIALOGUES = (("prompt", "completion"), ("prompt", "response"), ("instruction", "output"),
              ("instruction", "response"))  # fmt: skip
_SPLIT = ("split", "set", "subset", "partition", "fold", "usage", "data_set")
_PAIRS = (("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"),
          ("text_a", "text_b"), ("text1", "text2"))  # fmt: skip
_WORD, _TAG = ("word", "token", "words", "tokens"), ("tag", "ner", "ner_tag", "label", "pos")
_SENTENCE = ("sentence", "sentence #", "sentence_id", "sentence_idx", "sent_id")
_ID = re.compile(
    r"(unnamed: ?\d+|index|.*\bid|.*_id|idx|id_.*|_.*|.*hash|timestamp|.*_at)?", re.IGNORECASE
)
"""Columns that tell rows apart or say how they came to be; tools begin their names with `_`."""
_STATE = re.compile(
    r"status|state|answer|annotators?|user(name)?|lead_time|completed_by|.*_time|project|source|lang(uage)?",
    re.IGNORECASE,
)
"""Columns about the work on a row, which are hardly the label where another one may be."""
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}([T ].*)?")
_SPANS = ("spans", "entities", "ner", "label", "labels")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_GROUP = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+(\.\d{3})*,\d+")
_NO = ("0", "0.0", "false")
_SEPARATORS = ("|", ";")
_FEW = 3  # whole numbers that may rise by chance
_NEARLY = 0.8
_FEW_AMOUNTS = 5  # different numbers with a unit that may be classes
_MANY = 20  # different whole numbers that are more likely measured than named


@dataclass
class Roles:
    """What a table is.

    Attributes:
        source: the data source that reads it.
        keys: settings of `data` for its columns, without the prefix.
        task: where it is not classification.
        has_labels: whether there is something to learn from beside the content.
        others: columns that may have labels, too, and are not read.
        other_texts: likewise, columns that may be the text.
    """

    source: str
    keys: dict[str, Any] = field(default_factory=dict)
    task: str = ""
    has_labels: bool = True
    others: list[str] = field(default_factory=list)
    other_texts: list[str] = field(default_factory=list)


def roles(columns: Columns, chosen: Mapping[str, Any], example: str) -> Roles:
    """What the columns are for.

    Args:
        columns: of the table.
        chosen: keys of `data` that the user has set, without the prefix.
        example: the command line as it was typed.

    Raises:
        ConfigError: several columns may be the label, or there is neither a text nor a photo.
    """
    names = {name.strip().lower(): name for name in columns}
    for find in (_records, _token_lists, _words):
        if table := find(columns, names):
            return table
    for name in (names[name] for name in _SPANS if name in names):
        if any(map(_are_spans, map(parse_cell, _filled(columns[name])))):
            raise ConfigError(
                f"column {name} marks parts of texts by their positions.",
                "Export it as JSON and save it as .jsonl, where fmkit reads them, or as CoNLL.",
            )
    return _content_and_labels(columns, names, chosen, example)


def _records(columns: Columns, names: Mapping[str, str]) -> Roles | None:
    """Conversations, preferences, questions with answers."""
    if {"chosen", "rejected"} <= names.keys():
        return Roles("preferences", task="dpo")
    if "paragraphs" in names or (
        {"question", "context"} <= names.keys() and {"answers", "answer"} & names.keys()
    ):
        return Roles("squad", task="question_answering")
    if any(names.keys() >= {*pair} for pair in _DIALOGUES):
        return Roles("chat", task="instruction")
    for name in ("messages", "conversations"):
        values = list(map(parse_cell, _filled(columns.get(names.get(name, ""), ()))))
        if any(map(has_messages, values)):
            return Roles("chat", task="instruction")
    return None


def _token_lists(columns: Columns, names: Mapping[str, str]) -> Roles | None:
    """A row for each sentence, with lists of words and of tags."""
    lists = {
        name: [cell for cell in map(parse_cell, _filled(values)) if isinstance(cell, list)]
        for name, values in columns.items()
    }
    words = [name for name in lists if name.lower() in _WORD and lists[name]]
    for name, values in lists.items():
        if words and name not in words and len(values) == len(lists[words[0]]):
            pairs = zip(values, lists[words[0]], strict=True)
            if "tag" in name.lower() and all(len(tags) == len(text) for tags, text in pairs):
                keys = {"word_column": words[0], "tag_column": name}
                return Roles("token_table", keys, task="token_classification")
    return None


def _words(columns: Columns, names: Mapping[str, str]) -> Roles | None:
    """A row for each word, with its sentence."""
    word, tag, sentence = (
        next((names[name] for name in usual if name in names), None)
        for usual in (_WORD[:2], _TAG, _SENTENCE)
    )
    if word is None or tag is None or sentence is None:
        return None
    keys = {"word_column": word, "tag_column": tag, "sentence_column": sentence}
    return Roles("token_table", keys, task="token_classification")


def text_column(columns: Columns) -> str | None:
    """The column of texts, where nearly all of them are different; names of classes repeat."""
    name = _text_column(columns, {name.strip().lower(): name for name in columns})
    texts = _filled(columns[name]) if name is not None else ()
    return name if len({*map(str, texts)}) > _NEARLY * len(texts) else None


def _content_and_labels(
    columns: Columns, names: Mapping[str, str], chosen: Mapping[str, Any], example: str
) -> Roles:
    """Photos or texts, with or without labels."""
    photo = _own(columns, chosen, "path_column") or _photo_column(columns)
    text = _own(columns, chosen, "text_column") or _text_column(columns, names)
    if photo is None and text is None:
        _refuse_photo_bytes(columns)
        raise ConfigError(
            f"no column has photos or texts in it; the table has {join_names(list(columns))}.",
            f"Name one: {example} data.text_column=COLUMN, or data.path_column=COLUMN for photos",
        )
    result = Roles("image_table", {"path_column": photo}) if photo else Roles("text_table")
    used = {photo}
    if photo is None and text is not None:
        result.keys["text_column"], used = text, {text}
        for first, second in _PAIRS:
            if names.get(first) == text and second in names:
                result.keys["pair_column"] = names[second]
                used.add(names[second])
    split = next((names[name] for name in _SPLIT if name in names), None)
    if split is not None and all(split_of_name(str(v)) for v in _filled(columns[split])):
        result.keys["split_column"] = split
        used.add(split)
    rest = [name for name in columns if name not in used and not _are_objects(columns[name])]
    _add_labels(result, columns, rest, chosen, example)
    if photo is None and "text_column" not in chosen:
        unread = [name for name in rest if name != result.keys.get("label_column")]
        result.other_texts = _other_texts(columns, unread)
    return result


def _add_labels(
    result: Roles,
    columns: Columns,
    rest: Sequence[str],
    chosen: Mapping[str, Any],
    example: str,
) -> None:
    """Add the columns of labels, out of the rest of the columns, to what a table is."""
    flags = _flags(columns, rest)
    label = _own(columns, chosen, "label_column") or _responses(columns)
    label = label or _label_column(columns, rest, example)
    _refuse_decimal_commas(columns, rest if label is None else [label])
    is_unlabelled_photo = "path_column" in result.keys and label is None and len(flags) < 2
    for name in rest if is_unlabelled_photo else filter(None, [label]):
        _refuse_other_units(name, _filled(columns[name]))
    if not (_own(columns, chosen, "label_column") or "label_columns" in chosen):
        result.others = _other_labels(columns, [name for name in rest if name != label])
    if label is None and len(flags) > 1:
        result.keys["label_columns"], result.task = flags, "multi_label"
        result.others = [name for name in result.others if name not in flags]
    elif label is None:
        result.has_labels = False
    else:
        result.keys["label_column"] = label
        result.task, separator = _label_task(label, _filled(columns[label]))
        lists = [cell for cell in columns[label] if isinstance(cell, list)]
        if label == _responses(columns) and all(len(answers) == 1 for answers in lists):
            result.task = ""  # of one annotator each
        result.keys |= {"label_separator": separator} if separator else {}


def _refuse_photo_bytes(columns: Columns) -> None:
    """Refuse photos inside a table.

    Raises:
        ConfigError: a column has them.
    """
    for name, values in columns.items():
        if any(isinstance(value, dict) and "bytes" in value for value in values):
            raise ConfigError(f"{photo_bytes(name)}.", SAVE_PHOTOS)


def _are_spans(value: Any) -> bool:
    """Whether a cell is a list of parts of a text, as annotation tools write it.

    A part is `[start, end, label]`, or an object with `start` and `end`.
    """
    if not isinstance(value, list) or not value:
        return False
    return all(
        {"start", "end"} <= part.keys()
        if isinstance(part, dict)
        else isinstance(part, list)
        and len(part) == 3
        and all(isinstance(bound, int) for bound in part[:2])
        for part in value
    )


def _own(columns: Columns, chosen: Mapping[str, Any], key: str) -> str | None:
    name = chosen.get(key)
    return name if isinstance(name, str) and name in columns else None


def _photo_column(columns: Columns) -> str | None:
    """The column whose values are mostly names of image files."""
    for name, values in columns.items():
        texts = [value for value in _filled(values) if isinstance(value, str)]
        photos = sum(map(is_photo_name, texts))
        if texts and photos >= 0.9 * len(texts):
            return name
    return None


def _text_column(columns: Columns, names: Mapping[str, str]) -> str | None:
    """The column with the longest texts of several words; one with a usual name wins."""
    lengths = _text_lengths(columns)
    first_of_pair = next((names[a] for a, b in _PAIRS if a in names and b in names), None)
    usual = next((names[name] for name in _TEXT if names.get(name) in lengths), None)
    usual = usual or next((names[name] for name in _TEXT[:1] if name in names), None)
    return first_of_pair or usual or max(lengths, key=lengths.__getitem__, default=None)


def _text_lengths(columns: Columns) -> dict[str, tuple[bool, float]]:
    """By column of texts of several words: whether they differ, and their mean length."""
    lengths = {}
    for name, values in columns.items():
        texts = [value for value in _filled(values) if isinstance(value, str)]
        spaces = sum(value.strip().count(" ") for value in texts)
        if texts and spaces >= len(texts) and not _is_id(name):
            lengths[name] = len({*texts}) > 1, sum(map(len, texts)) / len(texts)
    return lengths


def _other_texts(columns: Columns, names: Sequence[str]) -> list[str]:
    """The columns out of those named that may be the text by their name and their values."""
    usual, lengths = {*_TEXT, *_SHORT_TEXT}, _text_lengths(columns)
    return [
        name
        for name in names
        if lengths.get(name, (False,))[0]
        and usual & {*re.split(r"[\W_]+", name.strip().lower())}
        and not _may_be_label(name, columns[name])
    ]


def _label_column(columns: Columns, rest: Sequence[str], example: str) -> str | None:
    """The column of labels: one with a usual name, else the only one that can be it.

    None where several columns are of 0 and 1, a label each, or no column has labels.
    """
    usual = [name for word in _LABEL for name in rest if name.strip().lower() == word]
    if usual or len(_flags(columns, rest)) > 1:
        return usual[0] if usual else None
    possible = [name for name in rest if _may_be_label(name, columns[name])]
    if len(possible) > 1:
        others = [n for n in possible if not (_STATE.fullmatch(n) or _are_rising(columns[n]))]
        possible = others or possible
    if len(possible) > 1:
        raise ConfigError(
            f"which column has the labels? It may be {' or '.join(possible[:5])}.",
            f"Say which: {example} {shell_setting('data.label_column', possible[0])}",
        )
    return possible[0] if len(possible) == 1 else None


def _refuse_decimal_commas(columns: Columns, names: Sequence[str]) -> None:
    """Refuse numbers such as `1.000,50`, which would be neither labels nor numbers.

    Raises:
        ConfigError: a column consists of them.
    """
    for name in names:
        values = [str(value).strip() for value in _filled(columns[name])]
        if values and all(_DECIMAL_COMMA.fullmatch(value) for value in values):
            some = next((value for value in values if not _GROUP.fullmatch(value)), None)
            kind = "a decimal comma" if some else "a comma, before decimals or after thousands"
            raise ConfigError(
                f"column {name} has numbers with {kind}, such as {some or values[0]}.",
                "Write them with a point and without separators of thousands, as 1000.50.",
            )


def _refuse_other_units(name: str, values: Sequence[Any]) -> None:
    """Refuse different numbers with a unit that is not read, which would each be a class.

    Raises:
        ConfigError: the column consists of them.
    """
    if content := _measured(values):
        raise ConfigError(
            f"column {name} has {content}.",
            "Write them as plain numbers, such as 1000.50, and the unit into the column's name.",
        )


def _measured(values: Sequence[Any]) -> str:
    """What kind of numbers a column has that are not read, and too many to be classes; or empty."""
    texts = [str(value).strip() for value in values]
    return unread_numbers(texts) if len({*texts}) > len(texts) // 2 > _FEW else ""


def _may_be_label(name: str, values: Sequence[Any]) -> bool:
    """Whether values repeat, or are numbers, in a column that is not one of ids."""
    filled = [str(value) for value in _filled(values)]
    if not filled or _is_id(name) or all(map(_DATE.fullmatch, filled)):
        return False
    if all(_NUMBER.fullmatch(value) for value in filled) or are_amounts(filled):
        return len(set(filled)) > 1
    return 1 < len(set(filled)) <= max(2, len(filled) // 2)


def _other_labels(columns: Columns, names: Sequence[str]) -> list[str]:
    """The columns out of those named that may have labels, and are neither ids nor states."""
    return [
        name
        for name in names
        if (_may_be_label(name, columns[name]) or _measured(_filled(columns[name])))
        and not _is_id(name)
        and not (_STATE.fullmatch(name) or _are_rising(columns[name]))
    ]


def _are_objects(values: Sequence[Any]) -> bool:
    """Whether all values are objects, whose cells are columns such as `data.text` as well."""
    filled = _filled(values)
    return bool(filled) and all(isinstance(value, dict) for value in filled)


def _is_id(name: str) -> bool:
    """Whether a column, or a cell of an object (`_source.text`), is an id by its name."""
    name = name.strip()
    inner = name.rpartition(".")[2]
    return _ID.fullmatch(name if " " in name or not inner else inner) is not None


def _responses(columns: Columns) -> str | None:
    """The annotators' answers as Argilla exports them; its suggestions where there are none."""
    for name in columns:
        if name.endswith(ANSWERS) and f"{name}{STATUS}" in columns:
            suggestion = name.removesuffix(ANSWERS) + ".suggestion"
            return name if _filled(columns[name]) or suggestion not in columns else suggestion
    return None


def _are_rising(values: Sequence[Any]) -> bool:
    """Whether values are whole numbers, each larger than the one before, as ids are."""
    texts = [str(value) for value in _filled(values)]
    if len(texts) < _FEW or not all(text.isdecimal() for text in texts):
        return False
    return all(int(first) < int(second) for first, second in itertools.pairwise(texts))


def lacks_header(columns: Columns) -> bool:
    """Whether the names of columns are the values of a first row, like those below them.

    One is the name of a photo, a number above numbers, or a value that occurs again and again.
    """
    if {name.strip().lower() for name in columns} & {*_TEXT, *_SHORT_TEXT, *_LABEL, *_SPLIT}:
        return False
    for name, values in columns.items():
        texts = [str(value) for value in _filled(values)]
        if is_photo_name(name):
            return True
        if _NUMBER.fullmatch(name) and texts and all(map(_NUMBER.fullmatch, texts)):
            return True
        if name in texts and 2 * len(set(texts)) <= len(texts):
            return True
    return False


def _flags(columns: Columns, names: Sequence[str]) -> list[str]:
    """The columns out of those named that are labels of yes or no, at least one with a yes.

    A rare label may well have none in the first rows, where others have some.
    """
    flags = [name for name in names if _are_flags(columns[name])]
    some = any(
        str(value).strip().lower() not in _NO for name in flags for value in _filled(columns[name])
    )
    return flags if some else []


def _are_flags(values: Sequence[Any]) -> bool:
    filled = {str(value).strip().lower() for value in _filled(values)}
    if filled and filled <= {*MARKS}:
        return len(_filled(values)) < len(values)
    return bool(filled) and filled <= {*_NO, "1", "1.0", "true"}


def _label_task(name: str, values: Sequence[Any]) -> tuple[str, str]:
    """The task that learns labels of this kind, empty for classification; and their separator.

    Raises:
        ConfigError: they are numbers with several units, or it cannot be told which ones.
    """
    if any(isinstance(parse_cell(value), list) for value in values):
        return "multi_label", ""
    texts = [str(value).strip() for value in values]
    if texts and all(_NUMBER.fullmatch(text) for text in texts):
        numbers = [float(text) for text in texts]
        is_measured = any(not number.is_integer() for number in numbers)
        many = len(set(numbers)) > max(_MANY, len(numbers) // 2)
        return ("regression", "") if is_measured or many else ("", "")
    if are_amounts(texts) and len({*texts}) > _FEW_AMOUNTS:
        try:
            amount_format(texts)
        except ValueError as error:
            raise ConfigError(f"column {name} {error}") from None
        return "regression", ""
    for separator in (",", "#"):  # "#" is doccano's
        if _are_joined(texts, separator):
            return "multi_label", separator
    for separator in _SEPARATORS:
        parts = Counter(part for text in texts for part in text.split(separator))
        if sum(separator in text for text in texts) > 0.1 * len(texts) > 0 and (
            len(parts) < len(texts)
        ):
            return "multi_label", "" if separator == "|" else separator
    return "", ""


def _are_joined(texts: Sequence[str], separator: str) -> bool:
    """Whether nearly all cells with a separator join labels that other cells have alone."""
    joined = {*joined_names({*texts}, separator)}
    with_separator = [text for text in texts if separator in text]
    return sum(text in joined for text in with_separator) >= _NEARLY * len(with_separator) > 0


def _filled(values: Sequence[Any]) -> Sequence[Any]:
    empty = (None, "", *EXCEL_ERRORS)
    return [value for value in values if value == value and value not in empty]


def as_columns(rows: Iterable[Mapping[str, Any]]) -> Columns:
    """Columns out of rows that may lack some."""
    listed = list(rows)
    names = dict.fromkeys(name for row in listed for name in row)
    return {str(name): [row.get(name) for row in listed] for name in names}
