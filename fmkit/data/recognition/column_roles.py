"""What the columns of a table are for, from their names and the values of its first rows.

Each rule looks for one layout. A role that the user has named by its key, such as
`data.label_column=price`, is theirs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fmkit.config.saved_config import shell_setting
from fmkit.core.errors import ConfigError, join_names
from fmkit.data.formats.annotation_exports import ANSWERS, STATUS
from fmkit.data.formats.cells import parse_cell
from fmkit.data.formats.delimited import NUMBERED
from fmkit.data.formats.json_records import has_messages
from fmkit.data.formats.unread_numbers import UnreadNumbers
from fmkit.data.images.image_file import is_photo_name
from fmkit.data.recognition.column_values import (
    Columns,
    are_flags,
    are_objects,
    are_plain_numbers,
    are_rising,
    are_spans,
    are_words,
    filled,
    have_yes,
    label_task,
    may_be_labels,
    measured_numbers,
    photos_inside,
    refuse_decimal_commas,
    refuse_other_units,
)
from fmkit.data.split_names import split_of_name

_TEXT = ("text", "sentence", "review", "content", "message", "body", "tweet", "description",
         "document", "abstract", "utterance")  # fmt: skip
_SHORT_TEXT = ("comment", "comments", "title", "subject", "summary", "question", "note", "notes")
"""Texts that often stand beside a longer one, which they are about."""
_LABEL = ("label", "labels", "class", "category", "categories", "target", "sentiment", "emotion",
          "emotions", "topic", "topics", "intent", "tags", "genre", "genres", "diagnosis",
          "species", "y", "rating", "stars", "score", "price", "value", "class_name", "classname",
          "label_name", "class_id", "classid", "label_id")  # fmt: skip
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
_SENDER = re.compile(
    r"from|from_name|sender|sent_by|nick(name)?|(author|user|sender|from)\.(\w*name|id)",
    re.IGNORECASE,
)
"""Columns that name the writer of a message, as exports of chats have."""
_TIME = re.compile(r"date|time|timestamp|sent(_at)?", re.IGNORECASE)
_REPEATED = 0.1  # of the texts of a column, different ones that are answers by rote, not the text
_FEW_FLAGS = 3  # columns of true and false that may be states of a row rather than labels
_SPANS = ("spans", "entities", "ner", "label", "labels")
_NEARLY = 0.8


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
        unread: by column beside texts without labels, the numbers in it that cannot be read.
    """

    source: str
    keys: dict[str, Any] = field(default_factory=dict)
    task: str = ""
    has_labels: bool = True
    others: list[str] = field(default_factory=list)
    other_texts: list[str] = field(default_factory=list)
    unread: dict[str, UnreadNumbers] = field(default_factory=dict)


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
        if any(map(are_spans, map(parse_cell, filled(columns[name])))):
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
        values = list(map(parse_cell, filled(columns.get(names.get(name, ""), ()))))
        if any(map(has_messages, values)):
            return Roles("chat", task="instruction")
    return None


def _token_lists(columns: Columns, names: Mapping[str, str]) -> Roles | None:
    """A row for each sentence, with lists of words and of tags."""
    lists = {
        name: [cell for cell in map(parse_cell, filled(values)) if isinstance(cell, list)]
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
    texts = filled(columns[name]) if name is not None else ()
    return name if len({*map(str, texts)}) > _NEARLY * len(texts) else None


def _content_and_labels(
    columns: Columns, names: Mapping[str, str], chosen: Mapping[str, Any], example: str
) -> Roles:
    """Photos or texts, with or without labels."""
    is_pair = any(first in names and second in names for first, second in _PAIRS)
    photo = _own(columns, chosen, "path_column") or (None if is_pair else photo_column(columns))
    text = _own(columns, chosen, "text_column") or _text_column(columns, names)
    if photo is None and text is None:
        photo = photos_inside(columns)
    if photo is None and text is None:
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
    if split is not None and all(split_of_name(str(v)) for v in filled(columns[split])):
        result.keys["split_column"] = split
        used.add(split)
    used.update(name for name in columns if numbers_splits(name, columns[name]))
    rest = [name for name in columns if name not in used and not are_objects(columns[name])]
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
    if label is None and "label_columns" not in chosen:
        _refuse_few_flags(columns, rest, flags, example)
    label = label or _label_column(columns, rest, example)
    refuse_decimal_commas(columns, rest if label is None else [label])
    is_unlabelled_photo = "path_column" in result.keys and label is None and len(flags) < 2
    for name in rest if is_unlabelled_photo else filter(None, [label]):
        refuse_other_units(name, columns[name])
    if not (_own(columns, chosen, "label_column") or "label_columns" in chosen):
        result.others = _other_labels(columns, [name for name in rest if name != label])
    if label is None and len(flags) > 1:
        result.keys["label_columns"], result.task = flags, "multi_label"
        result.others = [name for name in result.others if name not in flags]
    elif label is None:
        result.has_labels = False
        unread = {name: measured_numbers(columns[name]) for name in rest}
        result.unread = {name: numbers for name, numbers in unread.items() if numbers}
    else:
        result.keys["label_column"] = label
        result.task, separator = label_task(label, filled(columns[label]))
        lists = [cell for cell in columns[label] if isinstance(cell, list)]
        if label == _responses(columns) and all(len(answers) == 1 for answers in lists):
            result.task = ""  # of one annotator each
        result.keys |= {"label_separator": separator} if separator else {}


def numbers_splits(name: str, values: Sequence[Any]) -> bool:
    """Whether a column has a split or a fold by its number, as CelebA's `partition` has."""
    numbers = {str(value) for value in filled(values)}
    return name.strip().lower() in _SPLIT and all(map(str.isdecimal, numbers))


def _own(columns: Columns, chosen: Mapping[str, Any], key: str) -> str | None:
    name = chosen.get(key)
    return name if isinstance(name, str) and name in columns else None


def photo_column(columns: Columns) -> str | None:
    """The column whose values are mostly names of image files."""
    for name, values in columns.items():
        texts = [value for value in filled(values) if isinstance(value, str)]
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
    """By column of texts of several words: whether many differ, and their mean length."""
    lengths = {}
    for name, values in columns.items():
        texts = [value for value in filled(values) if isinstance(value, str)]
        spaces = sum(value.strip().count(" ") for value in texts)
        if texts and spaces >= len(texts) and not _is_id(name):
            many_differ = len({*texts}) > max(1, _REPEATED * len(texts))
            lengths[name] = many_differ, sum(map(len, texts)) / len(texts)
    return lengths


def _other_texts(columns: Columns, names: Sequence[str]) -> list[str]:
    """The columns out of those named that may be the text by their values and by any name."""
    usual, lengths = {*_TEXT, *_SHORT_TEXT}, _text_lengths(columns)
    return [
        name
        for name in names
        if lengths.get(name, (False,))[0]
        and (usual & {*re.split(r"[\W_]+", name.strip().lower())} or NUMBERED.fullmatch(name))
        and not _may_be_label(name, columns[name])
    ]


def _refuse_few_flags(
    columns: Columns, rest: Sequence[str], flags: Sequence[str], example: str
) -> None:
    """Ask which of a few columns of true and false has the labels: others may be a row's state.

    Raises:
        ConfigError: it cannot be told.
    """
    are_named = any(name.strip().lower() in _LABEL for name in rest)
    if are_named or not 1 < len(flags) <= _FEW_FLAGS or not are_words(columns, flags):
        return
    others = _other_labels(columns, [name for name in rest if name not in flags])
    raise ConfigError(
        f"which column has the labels? It may be {' or '.join([*flags, *others][:5])}.",
        f"Say which: {example} {shell_setting('data.label_column', flags[0])} (or a label for each "
        f"of yes and no: task=multi_label {shell_setting('data.label_columns', [*flags])})",
    )


def _label_column(columns: Columns, rest: Sequence[str], example: str) -> str | None:
    """The column of labels: one with a usual name, else the only one that can be it.

    None where several columns are of 0 and 1, a label each, or no column has labels.
    """
    usual = [name for word in _LABEL for name in rest if name.strip().lower() == word]
    if usual or len(_flags(columns, rest)) > 1:
        return usual[0] if usual else None
    possible = [
        name
        for name in rest
        if _may_be_label(name, columns[name]) and not are_rising(columns[name])
    ]
    if len(possible) > 1:
        possible = [n for n in possible if not _STATE.fullmatch(n)] or possible
    if len(possible) > 1:
        raise ConfigError(
            f"which column has the labels? It may be {' or '.join(possible[:5])}.",
            f"Say which: {example} {shell_setting('data.label_column', possible[0])}",
        )
    label = possible[0] if len(possible) == 1 else None
    if label is not None and _names_writers(label, columns):
        raise ConfigError(
            f"which column has the labels? {label} may be who wrote each message, and no other "
            "column seems to have labels.",
            "To learn who wrote a message, or from another column: "
            f"{example} {shell_setting('data.label_column', label)}",
        )
    return label


def _names_writers(name: str, columns: Columns) -> bool:
    """Whether a column says who wrote each message of a chat."""
    is_author = name.strip().lower() == "author" and any(map(_TIME.fullmatch, columns))
    return is_author or _SENDER.fullmatch(name.strip()) is not None


def _may_be_label(name: str, values: Sequence[Any]) -> bool:
    """Whether a column that is not one of ids may have labels."""
    return not _is_id(name) and may_be_labels(values)


def _other_labels(columns: Columns, names: Sequence[str]) -> list[str]:
    """The columns out of those named that may have labels, and are neither ids nor states."""
    return [
        name
        for name in names
        if (_may_be_label(name, columns[name]) or measured_numbers(columns[name]))
        and not _is_id(name)
        and not (_STATE.fullmatch(name) or are_rising(columns[name]))
    ]


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
            return name if filled(columns[name]) or suggestion not in columns else suggestion
    return None


def lacks_header(columns: Columns) -> bool:
    """Whether the names of columns are the values of a first row, like those below them.

    One is the name of a photo, a number above numbers, or a value that occurs again and again.
    """
    if {name.strip().lower() for name in columns} & {*_TEXT, *_SHORT_TEXT, *_LABEL, *_SPLIT}:
        return False
    for name, values in columns.items():
        texts = [str(value) for value in filled(values)]
        if is_photo_name(name):
            return True
        if are_plain_numbers([name]) and are_plain_numbers(texts):
            return True
        if name in texts and 2 * len(set(texts)) <= len(texts):
            return True
    return False


def _flags(columns: Columns, names: Sequence[str]) -> list[str]:
    """The columns out of those named that are labels of yes or no, at least one with a yes.

    A rare label may well have none in the first rows, where others have some.
    """
    flags = [name for name in names if are_flags(columns[name])]
    return flags if any(have_yes(columns[name]) for name in flags) else []
