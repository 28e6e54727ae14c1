"""Rows of tables as documents: the same texts as a table that is held gives, read as a stream."""

import csv
import io
import random
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from fmkit.config.schema.data import TextFilesData, TextLinesData
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import DataError
from fmkit.data import dataset, load
from fmkit.data.content import documents
from fmkit.data.formats import tables
from fmkit.data.quality import document_checks
from fmkit.data.sources import text_corpus
from fmkit.data.sources.registry import collect

CELLS = [
    "plain", "with, comma", 'says "hello"', "two\nlines", "ü and 不", "semi;colon", "tab\tinside",
    "'single'", "012", "True", "x" * 300,
]  # fmt: skip
RANDOM = random.Random(0)
TEXTS = [f"{RANDOM.choice(CELLS)} {each}" for each in range(600)]


def lines(path, **changes):
    return text_corpus.by_line(TextLinesData(root=str(path), **changes))


def texts(examples):
    return [each.text for each in examples.content.text_parts()]


def faults(examples):
    return [
        (e.kind, e.where, e.why)
        for e in document_checks.document_findings(examples.ids, examples.content, None)
    ]


def write_csv(path, rows=TEXTS, separator=",", end="\r\n", encoding="utf-8"):
    written = io.StringIO()
    writer = csv.writer(written, delimiter=separator, lineterminator=end)
    writer.writerow(["id", " body ", "n"])
    writer.writerows([each, text, 0] for each, text in enumerate(rows))
    path.write_text(written.getvalue(), encoding=encoding, newline="")
    return path


def write_parquet(path, rows=TEXTS, **options):
    pd.DataFrame({"id": range(len(rows)), "body": rows}).to_parquet(path, **options)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_rows_are_those_of_the_table_that_is_held(tmp_path, monkeypatch, separator, encoding):
    monkeypatch.setattr(documents, "CHUNK", 500)
    path = write_csv(tmp_path / "a.csv", separator=separator, encoding=encoding)
    found = lines(path, text_column="body", encoding=encoding)
    held = list(tables.read(path, ["body"], "", encoding))
    assert texts(found) == [row.cells["body"] for row in held] == TEXTS
    assert found.ids == tuple(f"a.csv:{line:06d}" for line in (row.line for row in held))
    assert faults(found) == []
    assert texts(found.take(np.array([3, 7, 500]))) == [TEXTS[3], TEXTS[7], TEXTS[500]]


def test_a_tsv_may_have_quotes_that_mean_nothing(tmp_path):
    (tmp_path / "a.tsv").write_text('id\ttext\n1\t"begins\n2\tan "inner" one\n')
    found = lines(tmp_path / "a.tsv", quotes=False)
    assert texts(found) == ['"begins', 'an "inner" one']
    ((kind, _, why),) = faults(lines(tmp_path / "a.tsv"))
    assert (kind, "data.quotes=false" in why) == ("not_text", True)


@pytest.mark.parametrize("kind", ["text", "large", "bytes", "dictionary", "groups"])
def test_rows_of_parquet_are_texts(tmp_path, kind):
    column = {
        "text": arrow.array(TEXTS),
        "large": arrow.array(TEXTS, arrow.large_string()),
        "bytes": arrow.array([each.encode("latin-1", "replace") for each in TEXTS]),
        "dictionary": arrow.array(TEXTS).dictionary_encode(),
        "groups": arrow.array(TEXTS),
    }[kind]
    table = arrow.table({"id": range(len(TEXTS)), "body": column})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=77)
    encoding = "latin-1" if kind == "bytes" else "utf-8"
    found = lines(tmp_path / "a.parquet", text_column="body", encoding=encoding)
    expected = [each.encode("latin-1", "replace").decode("latin-1") for each in TEXTS]
    assert texts(found) == (expected if kind == "bytes" else TEXTS)
    assert found.ids[:2] == ("a.parquet:000001", "a.parquet:000002")
    assert faults(found) == []


def test_a_large_table_is_cut_into_pieces_and_the_limit_takes_the_first_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(text_corpus, "_SMALL", 1000)
    monkeypatch.setattr(text_corpus, "BLOCK", 1024)
    monkeypatch.setattr(documents, "CHUNK", 300)
    for path in (write_csv(tmp_path / "a.csv"), write_parquet(tmp_path / "a.parquet")):
        found = lines(path, text_column="body")
        assert 5 < len(found) < 100
        assert texts(found) == TEXTS
        some = found.take(np.array([2, 4]))
        assert set(texts(some)) < set(TEXTS)
        assert {each.index for each in some.content.text_parts()} == {0, 1}
        for limit in (1, 2, 100, 599, 600, 700):
            assert texts(lines(path, text_column="body", limit=limit)) == TEXTS[:limit]
    monkeypatch.setattr(text_corpus, "_SMALL", 10**9)
    for name in ("a.csv", "a.parquet"):
        limited = lines(tmp_path / name, text_column="body", limit=100)
        assert (len(limited), texts(limited)) == (100, TEXTS[:100])


def test_a_folder_may_hold_tables_and_lines(tmp_path):
    write_csv(tmp_path / "a.csv", TEXTS[:3])
    (tmp_path / "b.jsonl").write_text('{"body": "from json"}\n')
    write_parquet(tmp_path / "c.parquet", TEXTS[3:5])
    (tmp_path / "d.txt").write_text("a line\n")
    found = lines(tmp_path, text_column="body")
    assert texts(found) == [*TEXTS[:3], "from json", *TEXTS[3:5], "a line"]
    assert found.findings == ()


def test_rows_that_cannot_be_used_are_told_one_by_one_and_left_out(tmp_path):
    rows = [f"{each},text {each},0" for each in range(20)]
    rows[4], rows[9], rows[11] = "4,too,many,cells", "9,  ,0", "11"
    (tmp_path / "a.csv").write_text("\n".join(["id,body,n", *rows]))
    bad = ["a.csv:000006", "a.csv:000011", "a.csv:000013"]
    found = lines(tmp_path / "a.csv", text_column="body")
    told = faults(found)
    assert [each[:2] for each in told] == [("incomplete_row", each) for each in bad]
    assert [each[2] for each in told] == [
        "line 6 has 4 cells, the header has 3", "no text (line 11)",
        "line 13 has 1 cell, the header has 3",
    ]  # fmt: skip
    assert len(texts(found)) == len(found) == 17
    column = arrow.array([*TEXTS[:20], None, "", b"nul \0".decode(), *TEXTS[20:40]])
    parquet.write_table(arrow.table({"body": column}), tmp_path / "a.parquet")
    found = lines(tmp_path / "a.parquet", text_column="body")
    assert [each[1:2] for each in faults(found)] == [
        (f"a.parquet:0000{each}",) for each in (21, 22, 23)
    ]
    assert texts(found) == TEXTS[:40]


@pytest.mark.parametrize("small", [10**9, 100])
def test_skipping_leaves_rows_out_and_no_piece(tmp_path, monkeypatch, small):
    monkeypatch.setattr(text_corpus, "_SMALL", small)
    monkeypatch.setattr(text_corpus, "BLOCK", 256)
    rows = [f"{each},text {each}" if each % 3 else f"{each}," for each in range(300)]
    (tmp_path / "a.csv").write_text("\n".join(["id,text", *rows]))
    runtime = RuntimeConfig(cache_dir=str(tmp_path / "cache"), verbose=False)
    config = TextLinesData(root=str(tmp_path / "a.csv"))
    with pytest.raises(DataError, match=r"rows that cannot be used \(100\)"):
        load.for_training(config, runtime, 0, tmp_path / "report.json")
    config.on_bad = "skip"
    data = load.for_training(config, runtime, 0, tmp_path / "report.json")
    assert sorted(texts(data.examples)) == sorted(f"text {each}" for each in range(300) if each % 3)


def test_of_very_many_bad_rows_the_first_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(document_checks, "_MAX_ROWS", 3)
    rows = [f"{each},text" if each % 5 else f"{each}," for each in range(100)]
    (tmp_path / "a.csv").write_text("\n".join(["id,text", *rows]))
    examples = lines(tmp_path / "a.csv")
    found = document_checks.document_findings(examples.ids, examples.content, None)
    assert [each.count for each in found] == [1, 1, 1, 17]
    assert found[-1].text == "a.csv: 17 more"


BROKEN = {
    "a.csv": (b"id,other\n1,x\n", "it has no column 'text'; its columns are id, other"),
    "header.csv": (b"\n \n", "no header"),
    "mostly.csv": (b"id,text\n1,x\n2,\n3,\n", "2 of 3 rows cannot be used; the first: no text"),
    "none.csv": (b"id,text\n1,\n", "no row has a text that can be used"),
    "open.csv": (b'id,text\n1,"x\n2,y\n', "the row from line 2 to 3: a double quote is never"),
    "latin.csv": ("id,text\n1,grün\n".encode("latin-1"), "0xfc"),
    "only.csv": (b"id,text\n", "no row has a text"),
    "a.parquet": (b"PAR1 is not one", "not a readable parquet file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_table_is_told(tmp_path, name):
    content, told = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    ((_, where, why),) = faults(lines(tmp_path / name))
    assert (where, told in why) == (name, True), why


def test_parquet_without_texts_and_cut_parquet_are_told(tmp_path):
    table = arrow.table({"text": [["a"], ["b"]]})
    parquet.write_table(table, tmp_path / "nested.parquet")
    ((kind, _, why),) = faults(lines(tmp_path / "nested.parquet"))
    assert (kind, "list<" in why, "data.text_column" in why) == ("not_text", True, True)
    whole = write_parquet(tmp_path / "b.parquet", [str(each) for each in range(9000)])
    content = bytearray(whole.read_bytes())
    place = len(content) // 2
    content[place : place + 1800] = bytes(1800)
    whole.write_bytes(content)
    ((kind, where, why),) = faults(lines(whole, text_column="body"))
    assert (kind, where, "parquet" in why) == ("not_text", "b.parquet", True)


def test_reading_a_table_takes_no_more_memory_when_it_is_larger(tmp_path):
    """Of Python's memory; what Arrow holds is bounded by its buffer and a batch of rows."""

    def peak(path):
        found = lines(path, text_column="body")
        tracemalloc.start()
        try:
            total = sum(len(each.text) for each in found.content.text_parts())
            return tracemalloc.get_traced_memory()[1], total
        finally:
            tracemalloc.stop()

    for make, name in ((write_csv, "a.csv"), (write_parquet, "a.parquet")):
        measured = []
        for count in (6, 24):
            rows = [f"{each} " * 2000 for each in TEXTS[: count * 25]]
            measured.append(peak(make(tmp_path / name, rows)))
        (small, one), (large, other) = measured
        assert other > 3 * one
        assert large < 1.5 * small, (name, measured)


def test_splits_go_by_rows(tmp_path):
    write_csv(tmp_path / "a.csv")
    config = TextLinesData(root=str(tmp_path / "a.csv"), text_column="body", val_fraction=0.2)
    found = dataset.read(config, 0)
    assert found.spec.counts == {"train": 390, "val": 120, "test": 90}


def test_the_largest_cell_of_other_readers_is_left_as_it_was(tmp_path):
    before = csv.field_size_limit()
    long = "x" * (before + 1)
    found = lines(
        write_csv(tmp_path / "a.csv", [*TEXTS[:3], long, *TEXTS[3:6]]), text_column="body"
    )
    read = []
    for part in found.content.text_parts():
        assert csv.field_size_limit() == before
        read.append(len(part.text))
    assert len(long) in read
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    "train", ["train.txt", "wiki.train.txt", "train/a.txt", "my_training_set.txt"]
)
def test_files_of_lines_with_names_of_splits_are_kept_apart(train, tmp_path):
    counts = {train: 40, train.replace("train", "dev").replace("deving", "dev"): 4, "test1.md": 6}
    for name, count in counts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("".join(f"{name} {index}\n" for index in range(count)))
    config = TextLinesData(root=str(tmp_path))
    data = dataset.read(config, 0)
    assert data.spec.counts == {"train": 40, "val": 4, "test": 6}
    assert {data.examples.ids[index].split(":")[0] for index in data.splits["train"]} == {train}
    limited = dataset.read(TextLinesData(root=str(tmp_path), limit=42), 0)
    assert limited.spec.counts == {"train": 40, "val": 2}
    (tmp_path / "other.txt").write_text("other\n")
    examples = collect(config)
    assert examples.splits is None
    assert ["other.txt does not" in finding.why for finding in examples.findings] == [True]


def test_documents_are_apart_by_their_folders_and_not_by_their_names(tmp_path):
    for name in ("training.md", "testing.md", "a.md", "b.md"):
        for folder in ("plain", "set/train", "set/test"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_text(f"{folder} {name}")
    plain = collect(TextFilesData(root=str(tmp_path / "plain")))
    assert (plain.splits, plain.findings) == (None, ())
    examples = collect(TextFilesData(root=str(tmp_path / "set")))
    folders = [name.partition("/")[0] for name in examples.ids]
    assert set(folders) == {"test", "train"}
    assert examples.splits.tolist() == folders


@pytest.mark.parametrize("header", [False, None])
def test_documents_of_a_table_without_a_header(tmp_path, header):
    (tmp_path / "a.tsv").write_text("1\tone, here\n2\ttwo\n")
    (tmp_path / "b.csv").write_text('3,"three, here"\n')
    found = lines(tmp_path, text_column="column_2", header=header)
    assert texts(found) == ["one, here", "two", "three, here"]
    assert found.ids == ("a.tsv:000001", "a.tsv:000002", "b.csv:000001")


@pytest.fixture
def mixed(tmp_path):
    """Documents with letters in UTF-8, cp1252 and UTF-16."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name, encoding in (("a", "utf-8"), ("b", "utf-8"), ("c", "cp1252"), ("d", "utf-16"),
                           ("e", "utf-8")):  # fmt: skip
        text = f"Ein kürzeres Stück über „Käse“ in {name}.\n" * 3
        (folder / f"{name}.txt").write_bytes(text.encode(encoding))
    return folder


def test_documents_are_read_by_their_own_encodings(mixed):
    examples = text_corpus.by_file(TextFilesData(root=str(mixed)))
    assert "".join(texts(examples)) == "".join(
        f"Ein kürzeres Stück über „Käse“ in {name}.\n" * 3 for name in "abcde"
    )
    assert not faults(examples)
    (finding,) = [row for row in examples.findings if row.kind == "other_encoding"]
    assert finding.count == 2
    assert "2 texts of 5 are not utf-8" in finding.why
    plain = text_corpus.by_file(TextFilesData(root=str(mixed), encoding="latin-1"))
    assert plain.content.digest() != examples.content.digest()


def test_a_key_that_none_of_the_documents_fits_is_told(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.txt").write_bytes("Käse über „Stück“\n".encode("cp1252"))
    examples = text_corpus.by_file(TextFilesData(root=str(tmp_path)))
    assert [kind for kind, _, _ in faults(examples)] == ["bad_encoding"] * 3
    assert not [row for row in examples.findings if row.kind == "other_encoding"]
