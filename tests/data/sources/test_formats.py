"""Whatever format a table has, every source that reads rows reads the same examples from it."""

import json

import pandas as pd
import pytest
from pictures import picture

from fmkit.config.schema.data import (
    ChatData,
    ImageTableData,
    PreferencesData,
    SquadData,
    TextTableData,
    TokenTableData,
)
from fmkit.data.sources.registry import collect

FORMATS = ("csv", "tsv", "csv.gz", "jsonl", "ndjson", "jsonl.gz", "json", "parquet", "xlsx")


def write(folder, name, rows):
    """The rows as pandas writes them, lists in cells of a CSV included."""
    path, frame = folder / name, pd.DataFrame(rows)
    ending = name.removesuffix(".gz").rpartition(".")[2]
    if ending in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    elif ending == "json":
        frame.to_json(path, orient="records", indent=2)
    elif ending in ("jsonl", "ndjson"):
        frame.to_json(path, orient="records", lines=True)
    elif ending == "parquet":
        frame.to_parquet(path)
    else:
        pytest.importorskip("openpyxl")
        lists = [name for name in frame if isinstance(frame[name][0], list | dict)]
        frame[lists] = frame[lists].astype(str)
        frame.to_excel(path, index=False)
    return path


TEXTS = ["one", "two, too", 'three "3"', "four"]
CHAT = [{"role": "user", "content": "It's?"}, {"role": "assistant", "content": 'A "b"'}]
ANSWER = {"text": ["Ada"], "answer_start": [3]}
SOURCES = {
    "sets": (
        TextTableData(labels="sets"),
        [{"text": text, "label": TEXTS[:number]} for number, text in enumerate(TEXTS)],
    ),
    "classes": (
        TextTableData(pair_column="pair"),
        [{"text": text, "pair": "é", "label": "ab"[k % 2]} for k, text in enumerate(TEXTS)],
    ),
    "numbers": (
        TextTableData(labels="numbers"),
        [{"text": text, "label": k + 0.5} for k, text in enumerate(TEXTS)],
    ),
    "photos": (
        ImageTableData(labels="sets"),
        [{"path": f"{k}.png", "label": ["a", "b"][: k + 1]} for k in range(2)],
    ),
    "tokens": (
        TokenTableData(),
        [{"tokens": ["Ada's", "x", '"'], "ner_tags": ["B-PER", "O", "O"]}] * 2,
    ),
    "words": (
        TokenTableData(word_column="word", tag_column="tag", sentence_column="id"),
        [{"id": k // 2, "word": "[1]", "tag": "O"} for k in range(4)],
    ),
    "questions": (
        SquadData(),
        [{"id": "q", "question": "Who?", "context": "By Ada.", "answers": ANSWER}],
    ),
    "chat": (ChatData(), [{"messages": CHAT}]),
    "pairs": (ChatData(), [{"prompt": "Q", "completion": "[1, 2]"}]),
    "preferences": (
        PreferencesData(),
        [{"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": [{**CHAT[1], "content": "no"}]}],
    ),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_source_reads_the_same_from_every_format(tmp_path, source, name):
    config, rows = SOURCES[source]
    for number in range(2):
        picture(number).save(tmp_path / f"{number}.png")
    (tmp_path / "plain.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    plain, other = (
        collect(type(config)(**{**vars(config), "root": str(path)}))
        for path in (tmp_path / "plain.jsonl", write(tmp_path, f"t.{name}", rows))
    )
    assert other.findings == ()
    assert len(other) == len(plain) > 0
    assert other.content.digest() == plain.content.digest()
    assert other.classes == plain.classes
    assert other.labels.tolist() == plain.labels.tolist()
    if plain.annotations is not None:
        assert other.annotations.names == plain.annotations.names
        for index in range(len(plain)):
            assert other.annotations.identity(index) == plain.annotations.identity(index)
