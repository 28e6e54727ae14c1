"""Tables that are broken at random, always the same ones, read by every source that reads rows.

A file must be taken for something and read, or refused as wrong data with a message that is a
sentence: no other error, and no more memory than is free.
"""

import gzip
import io
import json
import random
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from fmkit.config.schema.data import (
    ChatData,
    DataConfig,
    ImageTableData,
    PreferencesData,
    SquadData,
    TextLinesData,
    TextTableData,
    TokenTableData,
)
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.quality import inspect as inspection
from fmkit.data.recognition.recognise import Request, recognise
from hostile.fuzz import broken_file

EACH = 12  # broken files of each source and format
FORMATS = ("csv", "tsv", "csv.gz", "jsonl", "json", "parquet", "xlsx")
MESSAGES = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 1}]
ANSWERS = {"text": ["a"], "answer_start": [0]}
SOURCES: dict[str, tuple[DataConfig, dict[str, object]]] = {
    "classes": (TextTableData(), {"text": "a", "label": "b"}),
    "sets": (TextTableData(labels="sets"), {"text": "a", "label": ["b", "c"]}),
    "numbers": (TextTableData(labels="numbers"), {"text": "a", "label": 0.5}),
    "tokens": (TokenTableData(), {"tokens": ["a", "b"], "ner_tags": ["O", "B-PER"]}),
    "questions": (SquadData(), {"question": "q", "context": "a b", "answers": ANSWERS}),
    "chat": (ChatData(), {"messages": MESSAGES}),
    "preferences": (PreferencesData(), {"prompt": "p", "chosen": "a", "rejected": "b"}),
    "documents": (TextLinesData(), {"text": "a"}),
}


def written(rows: list[dict[str, object]], name: str) -> bytes:
    """A table in a format, as pandas writes it."""
    frame, stream = pd.DataFrame(rows), io.BytesIO()
    if name == "parquet":
        frame.to_parquet(stream)
    elif name == "xlsx":
        frame.astype(str).to_excel(stream, index=False)
    elif name.startswith("json"):
        return frame.to_json(orient="records", lines=name == "jsonl").encode()
    else:
        text = frame.to_csv(index=False, sep="\t" if name == "tsv" else ",").encode()
        return gzip.compress(text) if name.endswith("gz") else text
    return stream.getvalue()


SPAN = {"start": 0, "end": 4, "text": "Anna", "labels": ["PER"]}
RESULTS = [
    {"from_name": "ner", "type": "labels", "value": SPAN},
    {"from_name": "mood", "type": "choices", "value": {"choices": ["good"]}},
]
ANNOTATIONS = [{"was_cancelled": False, "result": RESULTS}]
NUMBERED = TextTableData(text_column="column_2", label_column="column_1")
EXPORTS: dict[str, tuple[DataConfig, object]] = {
    "label studio": (
        TextTableData(label_column="mood"),
        {"id": 1, "data": {"text": "Anna lives"}, "annotations": ANNOTATIONS},
    ),
    "spacy": (TokenTableData(), ["Anna lives", {"entities": [[0, 4, "PER"]], "cats": {"a": 1}}]),
    "spacy 2": (
        TokenTableData(),
        {"paragraphs": [{"sentences": [{"tokens": [{"orth": "Anna", "ner": "U-PER"}]}]}]},
    ),
    "doccano": (TokenTableData(), {"text": "Anna lives", "label": [[0, 4, "PER"]]}),
    "prodigy": (TokenTableData(), {"text": "Anna lives", "spans": [{**SPAN, "label": "PER"}]}),
    "nested": (
        TextTableData(text_column="data.text", label_column="gold.label"),
        {"data": {"text": "a"}, "gold": {"label": "b"}},
    ),
}
"""Records of annotation tools, as JSON and as JSON lines."""


def exports() -> Iterator[tuple[str, DataConfig, str, bytes]]:
    """Source, config, ending and content of whole files of other tools."""
    for source, (config, record) in EXPORTS.items():
        yield source, config, "json", json.dumps([record] * 8).encode()
        yield source, config, "jsonl", "\n".join([json.dumps(record)] * 8).encode()
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "width": 4, "height": 4}],
        "annotations": [{"image_id": 1, "category_id": 2, "bbox": [0, 0, 4, 4]}],
        "categories": [{"id": 2, "name": "cat"}],
    }
    yield "coco", ImageTableData(path_column="file_name"), "json", json.dumps(coco).encode()
    for ending in ("csv", "tsv", "txt", "mails"):
        yield "no header", NUMBERED, ending, b'ham\t"one, two\nspam\tthree\n' * 4
    photos = ImageTableData(path_column="column_1", label_column="column_2", header=False)
    yield "photo list", photos, "txt", b"images/0.png 3\nimages/1.png 1\n" * 4
    unicode = "text\tlabel\r\nein Wort\tgut\r\n".encode("utf-16")
    yield "unicode text", TextTableData(encoding="utf-16"), "txt", unicode
    stream = io.BytesIO()
    with pd.ExcelWriter(stream) as writer:
        for title in ("train", "test"):
            frame = pd.DataFrame({"text": ["a", "b", "#N/A"], "label": ["x", None, None]})
            frame.to_excel(writer, sheet_name=title, index=False)
            writer.sheets[title].merge_cells("B2:B4")
    yield "merged cells", TextTableData(), "xlsx", stream.getvalue()


def bombs() -> Iterator[tuple[str, bytes]]:
    """Names and contents of files that ask for much more than they have."""
    header = b"text,label\n"
    yield "csv.gz", gzip.compress(header + bytes(2**26))
    yield "jsonl", b"[" * 2**20
    yield "jsonl", b'{"text": "a", "label": ' + b"9" * 2**16 + b"}\n"
    yield "json", b'{"a":' * 2**17
    yield "csv", header + b'a,"' + b"[" * 2**18 + b']"\n'
    yield "csv", header + b'a,"[' + b"'x' " * 2**16 + b']"\n'
    yield "csv", header + b'a,"' + b"x,y\n" * 2**20
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(2**26))
    yield "xlsx", stream.getvalue()


Case = tuple[str, DataConfig, str, bytes]
"""Name, config, ending and content of a file."""


def broken(formats: tuple[str, ...] = FORMATS, each: int = EACH) -> Iterator[Case]:
    """Tables of every source and format, with one to four things done to each."""
    for source, (config, row) in SOURCES.items():
        for name in formats:
            whole = written([row] * 8, name)
            for number in range(each):
                draw = random.Random(f"{source} {name} {number}")
                yield f"{source}.{name} {number}", config, name, broken_file(draw, whole)


def broken_exports(each: int = EACH) -> Iterator[Case]:
    """Files of other tools, with one to four things done to each."""
    for source, config, name, whole in exports():
        yield f"{source}.{name}", config, name, whole
        for number in range(each):
            draw = random.Random(f"{source} {name} {number}")
            yield f"{source}.{name} {number}", config, name, broken_file(draw, whole)


def all_cases() -> Iterator[Case]:
    """The broken ones, those of other tools, and the bombs for every source."""
    yield from broken()
    yield from broken_exports()
    for source, (config, _) in SOURCES.items():
        for number, (name, content) in enumerate(bombs()):
            yield f"{source} bomb {number}", config, name, content


def run(cases: Iterable[Case] | None = None) -> tuple[int, int, list[str]]:
    """Read all; how many were read or refused as they should be, of how many, and the others."""
    faults, total = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for label, config, name, content in all_cases() if cases is None else cases:
            total += 1
            path = Path(folder, f"t.{name}")
            path.write_bytes(content)
            keys = {**vars(config), "root": str(path), "on_bad": "skip"}
            for read in (_recognised, _inspected):
                try:
                    read(path, type(config)(**keys))
                except (DataError, ConfigError) as error:
                    if not str(error).replace("\n", "").isprintable():
                        faults.append(f"{label}: {str(error)!r}")
                except Exception as error:  # what is counted here
                    faults.append(f"{label}: {type(error).__name__}: {error}")
    return total - len(faults), total, faults


def _recognised(path: Path, config: DataConfig) -> None:
    recognise(Request(str(path)), path)


def _inspected(path: Path, config: DataConfig) -> None:
    inspection.accept(inspection.inspect(config, 0, None, training=False), "skip")
