"""Whatever format a table has, every source that reads rows reads the same examples from it."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet as parquet
import pytest
from pictures import picture

from fmkit.config.schema.data import (
    ChatData,
    ImageTableData,
    PreferencesData,
    SquadData,
    TextLinesData,
    TextTableData,
    TokenTableData,
)
from fmkit.core.errors import DataError
from fmkit.data.formats import text_files
from fmkit.data.formats.cells import parse_cell
from fmkit.data.formats.tables import read, records
from fmkit.data.quality import inspect as inspection
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


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
@pytest.mark.parametrize("indent", [None, 1])
def test_json_as_pandas_writes_it(tmp_path, orient, indent):
    frame = pd.DataFrame(SOURCES["classes"][1])
    path = tmp_path / "t.json"
    (frame.T if orient == "index" else frame).to_json(path, orient=orient, indent=indent)
    assert [record.value["text"] for record in records(path, required=["text"])] == TEXTS


def test_a_workbook_may_have_notes_and_a_title(tmp_path):
    pytest.importorskip("openpyxl")
    frame = pd.DataFrame(SOURCES["classes"][1])
    with pd.ExcelWriter(tmp_path / "t.xlsx") as writer:
        pd.DataFrame({"text": ["read me"]}).to_excel(writer, sheet_name="Notes", index=False)
        frame.to_excel(writer, sheet_name="Data", index=False, startrow=3, startcol=1)
        writer.sheets["Data"]["B2"] = "My data of today"
    rows = list(read(tmp_path / "t.xlsx", ["text", "label"], ""))
    assert [row.cells["text"] for row in rows] == TEXTS
    assert rows[0].place == "row 5 of 'Data'"
    with pytest.raises(DataError, match=r"no column 'body'.*its columns are"):
        list(read(tmp_path / "t.xlsx", ["body"], ""))


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.txt"])
@pytest.mark.parametrize("separator", ",;\t|")
def test_separators_are_found(tmp_path, name, separator):
    pd.DataFrame(SOURCES["classes"][1]).to_csv(tmp_path / name, sep=separator, index=False)
    rows = read(tmp_path / name, ["text", "pair", "label"], "")
    assert [row.cells["text"] for row in rows] == TEXTS


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (gzip.compress(b"text,label\n" * 99)[:-9], "gzip archive is damaged"),
        (gzip.compress(bytes(2**22)), "unpacks to more than 1,000,000 bytes"),
        (b"\x1f\x8bnothing", "gzip archive is damaged"),
    ],
    ids=[
        "cut",
        "bomb",
        "nothing",
    ],  # an archive has its time in it, and workers collect on their own
)
def test_a_damaged_archive_and_a_bomb_are_refused(tmp_path, monkeypatch, content, why):
    monkeypatch.setattr(text_files.machine, "free_memory", lambda: 1_000_000)
    (tmp_path / "t.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match=why):
        list(read(tmp_path / "t.csv.gz", ["text"], ""))


@pytest.mark.parametrize("name", ["t.xlsx", "t.json", "t.csv.gz"])
def test_documents_are_not_the_lines_of_a_table(tmp_path, name):
    (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=r"gunzip|\.jsonl"):
        collect(TextLinesData(root=str(tmp_path / name)))


ENTRIES = ["joy", "it's", 'a "b"', "x, y"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (json.dumps(ENTRIES), ENTRIES),
        (str(ENTRIES), ENTRIES),
        (str(tuple(ENTRIES)), ENTRIES),
        (str(np.array(ENTRIES)), ENTRIES),
        (str(np.array(["a", "b"] * 40)), ["a", "b"] * 40),
        (str(np.arange(3)), [0, 1, 2]),
        (str(np.array([1.5, -2e-7, 3])), [1.5, -2e-07, 3.0]),
        (str({"text": np.array(["a", "b"], object), "answer_start": np.array([3, 4])}),
         {"text": ["a", "b"], "answer_start": [3, 4]}),
        ("[]", []),
        ("[nan, 'a']", [None, "a"]),
        ("[urgent] read this", "[urgent] read this"),
        ("[urgent]", "[urgent]"),
        ("(see below)", "(see below)"),
        ("[__import__('os').getcwd()]", "[__import__('os').getcwd()]"),
        ("[" * 100_000 + "]", "[" * 100_000 + "]"),
        ("plain", "plain"),
        (3, 3),
    ],
)  # fmt: skip
def test_lists_written_as_text_are_lists_again(cell, expected):
    assert parse_cell(cell) == expected


def test_class_names_in_parquet_are_the_classes_of_a_table(tmp_path):
    feature = {"names": ["bad", "good"], "_type": "ClassLabel"}
    metadata = {"info": {"features": {"label": feature, "tags": {"feature": feature}}}}
    table = pyarrow.table(
        {"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[0, 1], [], [1]]},
        metadata={"huggingface": json.dumps(metadata)},
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    examples = collect(TextTableData(root=str(tmp_path / "t.parquet")))
    assert [examples.classes[k] for k in examples.labels] == ["good", "bad"]
    assert [(each.where, each.why) for each in examples.findings] == [("row-000002", "no label")]
    sets = TextTableData(root=str(tmp_path / "t.parquet"), labels="sets", label_column="tags")
    assert collect(sets).annotations.names == ("bad", "good")


def test_a_cell_with_several_labels_is_not_a_class(tmp_path):
    write(tmp_path, "t.csv", [{"text": "a", "label": ["x", "y"]}, {"text": "b", "label": ["x"]}])
    examples = collect(TextTableData(root=str(tmp_path / "t.csv")))
    assert examples.classes == ("x",)
    (finding,) = examples.findings
    assert "2 labels" in finding.why
    assert "task=multi_label" in finding.why


@pytest.mark.parametrize("labels", ["classes", "sets"])
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ({"choices": ["x"]}, ("x",)),  # Label Studio
        (["x"], ("x",)),  # doccano
        ([[0, 5, "PER"]], ()),
        ({"start": 0, "label": "PER"}, ()),
        ([{"value": "x"}], ()),
    ],
)
def test_labels_as_annotation_tools_write_them(tmp_path, labels, cell, expected):
    rows = [{"text": "a", "label": cell}]
    (tmp_path / "t.jsonl").write_text(json.dumps(rows[0]))
    for path in (tmp_path / "t.jsonl", write(tmp_path, "t.csv", rows)):
        examples = collect(TextTableData(root=str(path), labels=labels))
        names = examples.annotations.names if labels == "sets" else examples.classes
        assert names == expected
        whys = [finding.why for finding in examples.findings]
        assert all("neither a name nor a list of names" in why for why in whys)
        assert len(whys) == (not expected)


def test_a_sentence_may_be_a_text_beside_a_list_of_tags(tmp_path):
    rows = [{"tokens": "In Rome now", "ner_tags": ["O", "B-LOC", "O"]}, {**SOURCES["tokens"][1][0]}]
    rows += [
        {"tokens": "too short", "ner_tags": ["O"]},
        {"tokens": [{"text": "a"}], "ner_tags": ["O"]},
    ]
    for name in ("t.jsonl", "t.csv"):
        examples = collect(TokenTableData(root=str(write(tmp_path, name, rows))))
        assert examples.content.words[:2] == (("In", "Rome", "now"), ("Ada's", "x", '"'))
        first, second = examples.findings
        assert "2 words and 1 tag" in first.why
        assert "lists or objects" in second.why


LINES = {
    name: (config, [{**row, **({"id": str(k)} if name == "questions" else {})} for k in range(6)])
    for name, (config, (row, *_)) in SOURCES.items()
    if name not in ("words", "photos")
}


@pytest.mark.parametrize("source", [*LINES, "documents"])
def test_a_null_and_a_cut_line_cost_only_themselves(tmp_path, source):
    config, rows = LINES.get(source, (TextLinesData(), [{"text": text} for text in TEXTS * 2]))
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "t.jsonl").write_text("\n".join([*lines[:2], "null", *lines[2:], lines[0][:-9]]))
    config = type(config)(**{**vars(config), "root": str(tmp_path / "t.jsonl"), "on_bad": "skip"})
    inspected = inspection.inspect(config, 0, None, training=False)
    bad = [finding for finding in inspected.findings if finding.is_error]
    assert [finding.kind for finding in bad] == ["incomplete_row"] * 2
    assert "3" in bad[0].text
    assert "not valid JSON" in bad[1].text
    assert len(inspection.accept(inspected, "skip").examples) == len(rows)
    with pytest.raises(DataError, match=r"data\.on_bad=skip"):
        inspection.accept(inspected, "error")
