"""Tables that are broken at random, always the same ones, read by every source that reads rows.

A file must be read, or refused as wrong data with a message that is a sentence: no other error, and
no more memory than is free.
"""

import gzip
import io
import random
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from fmkit.config.schema.data import (
    ChatData,
    DataConfig,
    PreferencesData,
    SquadData,
    TextLinesData,
    TextTableData,
    TokenTableData,
)
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.quality import inspect as inspection
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


def all_cases() -> Iterator[Case]:
    """The broken ones, and the bombs for every source."""
    yield from broken()
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
            try:
                inspected = inspection.inspect(type(config)(**keys), 0, None, training=False)
                inspection.accept(inspected, "skip")
            except (DataError, ConfigError) as error:
                if not str(error).replace("\n", "").isprintable():
                    faults.append(f"{label}: {str(error)!r}")
            except Exception as error:  # what is counted here
                faults.append(f"{label}: {type(error).__name__}: {error}")
    return total - len(faults), total, faults
