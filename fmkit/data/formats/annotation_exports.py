"""Exports of annotation tools as rows with plain columns.

    Label Studio's JSON   {"data": {"text": ...}, "annotations": [{"result": [...]}]}
    spaCy's               ["...", {"entities": [[0, 4, "PER"]]}], or with {"cats": {"good": 1}}
                          {"text": "...", "cats": {"good": 1, "bad": 0}}
                          {"paragraphs": [{"sentences": [{"tokens": [{"orth": ..., "ner": ...}]}]}]}
    Argilla's             {"fields": {"text": ...}, "responses": {"mood": [{"value": "good"}]}}
    doccano, Prodigy      {"text": ..., "label": [[0, 4, "PER"]]}, also `entities` or `spans`
    Prodigy, yes or no    {"text": ..., "label": "SPAM", "answer": "reject", "_task_hash": ...}
    COCO's                {"images": [...], "annotations": [...], "categories": [...]}
    others                {"id": 1, "data": {"text": ...}, "annotation": {"label": ...}}

What was rejected as `SPAM` gets the label `not SPAM`. Parts of a text become the columns `tokens`
and `ner_tags`, labels a column of their name; cells of nested objects columns such as `data.text`.
The rows keep their other columns.
"""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fmkit.data.findings import UnusableInput
from fmkit.data.formats.cells import parse_cell
from fmkit.data.formats.json_records import Record

WORDS, TAGS = "tokens", "ner_tags"
"""Columns of the words of a text and of their tags, as Hugging Face calls them."""

ANSWERS = ".responses"
"""How the columns of annotators' answers end, as Argilla calls them."""

STATUS = ".status"
"""What the name of such a column has after it where the states of the answers are."""

_Row = dict[str, Any]
_SPANS = ("spans", "entities", "ner", "label", "labels")
_PROBED = 100  # records by which the tool is known
_WORD = re.compile(r"\w+|[^\w\s]")
_REGION = re.compile(r".*(rectangle|polygon|brush|keypoint|ellipse|video).*", re.IGNORECASE)
_ATTRIBUTES = ("file_attributes", "region_attributes")
_ARGILLA = ("fields", "metadata", "responses", "suggestions")
_BOUNDS = (("start", "end"), ("start_offset", "end_offset"))


def as_rows(records: Iterator[Record]) -> Iterator[Record]:
    """The records of a file, as rows where they are an export of an annotation tool."""
    first = list(itertools.islice(records, _PROBED))
    values = [record.value for record in first if record.fault is None]
    together = itertools.chain(first, records)
    row_of = _reader(values)
    return together if row_of is None else _converted(together, row_of)


def _converted(
    records: Iterator[Record], row_of: Callable[[Any], _Row | list[_Row]]
) -> Iterator[Record]:
    for record in records:
        if record.fault is not None:
            yield record
            continue
        try:
            rows = row_of(record.value)
            for row in rows if isinstance(rows, list) else [rows]:
                yield record._replace(value=row)
        except UnusableInput as error:
            yield record._replace(value=None, fault=error)


def _reader(values: Sequence[Any]) -> Callable[[Any], _Row | list[_Row]] | None:
    """What makes a row of a value, by the tool; None where the values are rows already."""
    if values and all(map(_is_task, values)):
        is_tagged = any(_bounds(result) for value in values for result in _results(value))
        return lambda value: _task_row(value, is_tagged)
    if values and all(map(_is_spacy, values)):
        return _spacy_row
    if values and all(map(_spacy_sentences, values)):
        return _spacy_sentences
    if values and all(map(_is_argilla, values)):
        return _argilla_row
    objects = [value for value in values if isinstance(value, dict)]
    if any(map(_is_flat_argilla, objects)):
        return submitted
    if any(map(_has_categories, objects)) and all("cats" in value for value in objects):
        return _categories_row
    if (label := _binary_label(objects)) is not None:
        return lambda value: _binary_row(value, label)
    key = next((name for name in _SPANS if any(_has_spans(row, name) for row in objects)), None)
    if key is not None:
        return lambda value: _span_row(value, key)
    return flat if any(map(_is_nested, objects)) else None


# Label Studio: labelstud.io/guide/export, "Label Studio JSON format"


def _is_task(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("data"), dict):
        return False
    return isinstance(value.get("annotations", value.get("completions")), list)


def _results(value: Any) -> list[Mapping[str, Any]]:
    """What the first annotator said who did not cancel; none where nobody has."""
    if not _is_task(value):
        raise UnusableInput("incomplete_row", "it is not a task of Label Studio, as others are")
    annotations = value.get("annotations", value.get("completions"))
    for annotation in annotations:
        if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
            results = annotation.get("result")
            results = results if isinstance(results, list) else []
            return [result for result in results if isinstance(result, dict)]
    return []


def _task_row(value: Any, is_tagged: bool) -> _Row:
    """A task's own data, and a column for each question, called as in the labelling interface."""
    results = _results(value)
    row = {"id": value.get("id"), **value["data"]}
    spans = []
    for result in results:
        content = result.get("value")
        content = content if isinstance(content, dict) else {}
        kind = str(result.get("type", ""))
        if _REGION.fullmatch(kind):
            raise UnusableInput(
                "incomplete_row",
                f"it marks parts of photos ({kind}), and fmkit learns classes of whole photos",
            )
        if _bounds(result):
            spans.append({**content, "label": content.get("labels", content.get("label"))})
        elif kind in content:
            answers = content[kind]
            is_one = isinstance(answers, list) and len(answers) == 1
            row[str(result.get("from_name", kind))] = answers[0] if is_one else answers
    if is_tagged:
        if not value.get("annotations", value.get("completions")):
            raise UnusableInput("incomplete_row", "it is not annotated")
        texts = [cell for cell in value["data"].values() if isinstance(cell, str)]
        text = value["data"].get("text", max(texts, key=len, default=""))
        row |= _tagged(text if isinstance(text, str) else "", spans)
    return row


# Argilla: docs.argilla.io, "Export your dataset's records", as rg.Dataset.records.to_json has them


def _is_argilla(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("fields"), dict):
        return False
    responses, suggestions = value.get("responses"), value.get("suggestions")
    if not (isinstance(responses, dict) or isinstance(suggestions, dict)):
        return False
    answers = [*(responses or {}).values()]
    if not all(isinstance(answer, list | None) for answer in answers):
        return False
    guesses = [*(suggestions or {}).values(), *itertools.chain(*filter(None, answers))]
    return all(isinstance(guess, dict) and "value" in guess for guess in guesses)


def _argilla_row(value: Any) -> _Row:
    """A record as Argilla flattens it: `NAME.responses`, see `submitted`, and `NAME.suggestion`."""
    if not _is_argilla(value):
        raise UnusableInput("incomplete_row", "it is not a record of Argilla, as others are")
    row: _Row = {key: cell for key, cell in value.items() if key not in (*_ARGILLA, "vectors")}
    for key in ("metadata", "fields"):
        row |= inner if isinstance(inner := value.get(key), dict) else {}
    responses, suggestions = value.get("responses") or {}, value.get("suggestions") or {}
    for question in dict.fromkeys([*responses, *suggestions]):
        answers = responses.get(question) or []
        column = f"{question}{ANSWERS}"
        row[column] = [answer["value"] for answer in answers]
        row[f"{column}{STATUS}"] = [answer.get("status") for answer in answers]
        if question in suggestions:
            row[f"{question}.suggestion"] = suggestions[question]["value"]
    return submitted(row)


def submitted(row: Any) -> Any:
    """A row of Argilla's flat form with the first submitted answer to each question alone.

    It is a list of its labels; the cell of a question without a submitted answer is None. Answers
    and their states may be lists written as texts, as in a CSV.
    """
    if not isinstance(row, dict):
        return row
    result = dict(row)
    for column, answers in row.items():
        statuses = parse_cell(row.get(f"{column}{STATUS}"))
        if statuses is not None:
            answers = parse_cell(answers)
        if str(column).endswith(ANSWERS) and isinstance(answers, list):
            statuses = statuses if isinstance(statuses, list) else [None] * len(answers)
            given = [
                answer
                for answer, status in zip(answers, statuses, strict=False)
                if answer is not None and status in (None, "submitted")
            ]
            first = given[0] if given else None
            result[column] = first if isinstance(first, list | None) else [first]
            result[f"{column}{STATUS}"] = ["submitted"] if given else None
    return result


def _is_flat_argilla(value: Mapping[str, Any]) -> bool:
    return any(str(key).endswith(ANSWERS) and f"{key}{STATUS}" in value for key in value)


def of_table(records: Iterator[Record]) -> Iterator[Record]:
    """The rows of a table of texts: Argilla's with submitted answers, VIA's with plain values."""
    for record in records:
        row = record.value
        if isinstance(row, dict) and _is_flat_argilla(row):
            row = submitted(row)
        elif isinstance(row, dict) and not row.keys().isdisjoint(_ATTRIBUTES):
            plain = {name: _attribute(row[name]) for name in _ATTRIBUTES if name in row}
            row = {**row, **plain}
        yield record if row is record.value else record._replace(value=row)


# VIA, the VGG Image Annotator: a column has `{"kind": "cat"}`, or `{"kind": {"cat": true}}`


def _attribute(cell: Any) -> Any:
    """The value of the one attribute in a cell; of one with several choices their list.

    A cell with several attributes stays as it is, and one without any is empty.
    """
    values = parse_cell(cell)
    if not isinstance(values, dict) or len(values) > 1:
        return cell
    value = next(iter(values.values()), "")
    if isinstance(value, dict):
        return [str(name) for name, is_chosen in value.items() if is_chosen is True]
    return value


def with_statuses(columns: Sequence[str] | None) -> list[str] | None:
    """Columns to read, and beside those of answers the columns of their states."""
    if columns is None:
        return None
    return [*columns, *(f"{name}{STATUS}" for name in columns if name.endswith(ANSWERS))]


# spaCy: spacy.io/api/data-formats, and the training data of its version 2


def _is_spacy(value: Any) -> bool:
    is_pair = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)
    return is_pair and isinstance(value[1], dict) and bool({"entities", "cats"} & value[1].keys())


def _spacy_row(value: Any) -> _Row:
    if not _is_spacy(value):
        raise UnusableInput(
            "incomplete_row", "it is not a text with its annotations, as others are"
        )
    text, annotations = value
    row: _Row = {"text": text}
    if isinstance(cats := annotations.get("cats"), dict) and cats:
        row["label"] = _categories(cats)
    if isinstance(spans := annotations.get("entities"), list) and (spans or not cats):
        row |= _tagged(text, spans)
    return row


def _categories(cats: Mapping[str, Any]) -> str | list[str]:
    """The category that a text is in, or the list of them where it is not exactly one."""
    names = [str(n) for n, share in cats.items() if isinstance(share, int | float) and share >= 0.5]
    return names[0] if len(names) == 1 else names


def _has_categories(value: Mapping[str, Any]) -> bool:
    """Whether a row has a share for each category beside its text, as spaCy's `textcat` has."""
    cats = value.get("cats")
    if not isinstance(value.get("text"), str) or not isinstance(cats, dict) or not cats:
        return False
    return all(isinstance(share, int | float) and 0 <= share <= 1 for share in cats.values())


def _categories_row(value: Any) -> Any:
    """A row with its categories as `label`, which it lacks where it has no categories."""
    if not isinstance(value, dict):
        return value
    cats = value.get("cats")
    rest = flat({key: cell for key, cell in value.items() if key != "cats"})
    return {**rest, "label": _categories(cats)} if isinstance(cats, dict) and cats else rest


def _spacy_sentences(value: Any) -> list[_Row]:
    """The sentences of a document in the JSON of spaCy's version 2; none of another object."""
    rows = []
    with contextlib.suppress(KeyError, TypeError, AttributeError):
        for paragraph in value["paragraphs"]:
            for sentence in paragraph["sentences"]:
                words = [(token["orth"], token["ner"]) for token in sentence["tokens"]]
                rows.append({WORDS: [w for w, _ in words], TAGS: [tag for _, tag in words]})
    return rows


# Texts with positions


def _has_spans(value: Mapping[str, Any], key: str) -> bool:
    if not isinstance(value.get("text"), str) or isinstance(value.get(TAGS), list):
        return False
    spans = value.get(key)
    if not isinstance(spans, list) or not spans:
        return False
    bounds, length = list(map(_bounds, spans)), len(value["text"])
    return all(pair is not None and 0 <= pair[0] < pair[1] <= length for pair in bounds)


def _span_row(value: Any, key: str) -> _Row:
    spans = value.get(key, []) if isinstance(value, dict) else None
    if not isinstance(spans, list | None) or not isinstance(value.get("text"), str):
        raise UnusableInput("incomplete_row", f"it has no text with {key!r}")
    return {**value, **_tagged(value["text"], spans or [])}


def _bounds(span: Any) -> tuple[int, int] | None:
    """Where a part of a text begins and ends; None where it is not one."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(span, list) and len(span) == 3:
        pairs = [(span[0], span[1])]
    elif isinstance(span, dict):
        inner = span.get("value", span) if "from_name" in span else span
        inner = inner if isinstance(inner, dict) else {}
        pairs = [(inner.get(first), inner.get(last)) for first, last in _BOUNDS]
    for first, last in pairs:
        if type(first) is int and type(last) is int:
            return first, last
    return None


def _tagged(text: str, spans: Sequence[Any]) -> dict[str, list[str]]:
    """The words of a text and their tags; a word that an entity ends in is divided there.

    Raises:
        UnusableInput: entities overlap, are not in the text, or have no label.
    """
    entities = []
    for span in spans:
        bounds = _bounds(span)
        label = span[2] if isinstance(span, list) else span.get("label")
        if isinstance(label, list) and len(label) == 1:
            (label,) = label
        if bounds is None or not isinstance(label, str) or not label.strip():
            raise UnusableInput("incomplete_row", "an entity has no position or no label")
        first, last = bounds
        if not 0 <= first < last <= len(text):
            why = f"the entity from {first} to {last} is not in the text of {len(text)} characters"
            raise UnusableInput("incomplete_row", why)
        expected = span.get("text") if isinstance(span, dict) else None
        if isinstance(expected, str) and expected != text[first:last]:
            why = f"the text from {first} to {last} is {text[first:last]!r}, not {expected!r}"
            raise UnusableInput("incomplete_row", why)
        entities.append((first, last, label.strip()))
    entities.sort()
    for before, after in itertools.pairwise(entities):
        if after[0] < before[1]:
            why = f"entities overlap, at character {after[0]}, and a word has one tag"
            raise UnusableInput("incomplete_row", why)
    cuts = sorted({bound for first, last, _ in entities for bound in (first, last)})
    words, tags, position, previous = [], [], 0, -1
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        while position < len(entities) and entities[position][1] <= start:
            position += 1
        is_inside = position < len(entities) and entities[position][0] <= start
        for match in _WORD.finditer(text[start:end]):
            words.append(match.group())
            prefix = "I" if position == previous else "B"
            tags.append(f"{prefix}-{entities[position][2]}" if is_inside else "O")
            previous = position if is_inside else previous
    return {WORDS: words, TAGS: tags}


# Prodigy's binary questions, "is this text LABEL?": prodi.gy/docs/text-classification#binary


def _binary_label(values: Sequence[Mapping[str, Any]]) -> str | None:
    """The only label of examples that an annotator accepted or rejected; None for others."""
    labels = {value["label"] for value in values if isinstance(value.get("label"), str)}
    answers = {str(value.get("answer")) for value in values}
    is_binary = {"accept", "reject"} <= answers <= {"accept", "reject", "ignore"}
    is_alike = all("_task_hash" in value and "label" in value for value in values)
    return labels.pop() if is_binary and is_alike and len(labels) == 1 else None


def _binary_row(value: Any, label: str) -> _Row:
    """An example of the label, or of what is not the label."""
    own = value.get("label") if isinstance(value, dict) else None
    if own != label:
        raise UnusableInput("incomplete_row", f"its label is {own!r}, and that of others {label!r}")
    names = {"accept": label, "reject": f"not {label}"}
    if value.get("answer") not in names:
        raise UnusableInput("incomplete_row", "the annotator neither accepted nor rejected it")
    row = {key: cell for key, cell in value.items() if key != "answer"}
    return {**row, "label": names[value["answer"]]}


# Nested objects


_LARGEST, _DEEPEST = 100, 5  # keys of an object that is opened, and objects in objects


def _is_nested(value: Mapping[str, Any]) -> bool:
    return any(map(_is_opened, value.values()))


def _is_opened(cell: Any) -> bool:
    """Whether a cell is an object with cells of its own, and not a message of a conversation."""
    if not isinstance(cell, dict) or not 0 < len(cell) <= _LARGEST:
        return False
    if all(isinstance(inner, list) for inner in cell.values()):
        return False  # choices of Label Studio, answers of SQuAD
    return not ({"role", "content"} <= cell.keys() or {"from", "value"} <= cell.keys())


def flat(value: Any) -> Any:
    """An object with the cells of objects in it, too, under names such as `data.text`."""
    return {**_inner_cells(value, _DEEPEST), **value} if isinstance(value, dict) else value


def _inner_cells(value: Mapping[str, Any], depth: int) -> _Row:
    cells: _Row = {}
    for name, cell in value.items():
        if depth and _is_opened(cell):
            cells |= {f"{name}.{key}": inner for key, inner in cell.items()}
            cells |= {
                f"{name}.{key}": inner for key, inner in _inner_cells(cell, depth - 1).items()
            }
    return cells
