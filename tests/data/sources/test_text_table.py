"""A table of texts: cells stay as they are written, and errors name rows and lines."""

import csv
import random

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from fmkit.config.schema.data import TextTableData
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.sources.registry import collect, list_examples

AWKWARD = (
    'He said "so", and left; twice', "line one\nline two", "tab\there", "comma, semicolon; 'quote'",
    "a\u2028b\x0bc\x85d", "e\u0301 and \U0001f600", "x" * 200_000, '"', "NA", "007",
)  # fmt: skip
"""Texts that a careless reader cuts, joins or changes."""


def write(folder, text, name="t.csv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def listed(table, **more):
    return list_examples(TextTableData(root=str(table), **more))


def kinds(examples):
    return {(each.kind, each.where): each.why for each in examples.findings}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_texts_come_back_as_python_wrote_them(tmp_path, separator, newline):
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as stream:
        how = {"delimiter": separator, "lineterminator": newline, "quoting": csv.QUOTE_ALL}
        writer = csv.writer(stream, **how)
        writer.writerow(["label", "text"])
        writer.writerows((f"c{index % 2}", text) for index, text in enumerate(AWKWARD))
    examples = listed(tmp_path / "t.csv", val_fraction=0, test_fraction=0)
    assert examples.content.texts == AWKWARD
    assert examples.ids[:2] == ("row-000000", "row-000001")
    assert examples.classes == ("c0", "c1")
    assert examples.labels.tolist() == [0, 1] * 5


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252", "shift_jis"])
def test_encodings(tmp_path, encoding):
    word = "カフェ" if encoding == "shift_jis" else "café"
    rows = "".join(f"{word} {index},{'ab'[index % 2]}\n" for index in range(8))
    table = write(tmp_path, f"text,label\n{rows}", encoding=encoding)
    named = "utf-8" if encoding == "utf-8-sig" else encoding
    examples = listed(table, encoding=named)
    assert examples.content.texts[0] == f"{word} 0"
    plain = listed(write(tmp_path, f"text,label\n{rows}", "plain.csv"))
    assert examples.fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("written", "named", "told"),
    [
        ("cp1252", "utf-8", r"byte 14 \(0xe9\)(.|\n)*Perhaps it is cp1252: data\.encoding=cp1252"),
        ("utf-16", "utf-8", r"mark of UTF-16(.|\n)*data\.encoding=utf-16"),
        ("utf-16-be", "utf-8", r"Perhaps it is utf-16-be"),
        ("utf-16-le", "cp1252", r"Perhaps it is utf-16-le"),
        ("utf-8", "ascii", r"is not ascii(.|\n)*Perhaps it is utf-8"),
        ("utf-8", "utf-16", r"is not utf-16(.|\n)*data\.encoding=utf-8"),
        ("cp1252", "utf-16-le", r"is not utf-16-le"),
    ],
)
def test_another_encoding_is_told_with_its_place(tmp_path, written, named, told):
    table = write(tmp_path, "text,label\ncafé,a\ncafé two,b\n" * 20, encoding=written)
    with pytest.raises(DataError, match=told):
        listed(table, encoding=named)


def test_pairs_splits_and_groups(tmp_path):
    lines = ["question,answer,right,part,author"]
    parts = ["train", "Training", "VAL", "test"]
    lines += [f"q{i},a{i},{'ny'[i % 2]},{parts[i // 2 % 4]},p{i // 2}" for i in range(16)]
    examples = listed(
        write(tmp_path, "\n".join(lines)),
        text_column="question", pair_column="answer", label_column="right",
        split_column="part", group_column="author",
    )  # fmt: skip
    assert examples.content.pairs[:2] == ("a0", "a1")
    assert (examples.splits == "train").sum() == 8
    assert examples.groups[:4].tolist() == ["p0", "p0", "p1", "p1"]
    alone = listed(tmp_path / "t.csv", text_column="question", label_column="right")
    assert alone.content.pairs is None
    assert alone.fingerprint != examples.fingerprint


def test_everything_wrong_with_rows_is_told_by_place_and_line(tmp_path):
    lines = ["", ",,", "text,label,split", '"two', 'lines",a,train', "", ",a,train", "x,,train",
             "x,a,trian", "x,a,", "nul\0,b,train", "one,too,many,cells", "fine,b,test",
             "  ,,"]  # fmt: skip
    examples = collect(
        TextTableData(root=str(write(tmp_path, "\n".join(lines))), split_column="split")
    )
    assert kinds(examples) == {
        ("incomplete_row", "row-000001"): "no text (line 7)",
        ("incomplete_row", "row-000002"): "no label (line 8)",
        ("incomplete_row", "row-000003"): "unknown split 'trian' (expected train, val or test)"
        " (line 9)",
        ("incomplete_row", "row-000004"): "no split in column 'split' (line 10)",
        (
            "incomplete_row",
            "row-000005",
        ): "'text' is not text: it has a NUL character, the first at character 3 (line 11)",
        ("incomplete_row", "row-000006"): "line 12 has 4 cells, the header has 3",
    }
    assert examples.ids == ("row-000000", "row-000007")
    assert examples.content.texts == ("two\nlines", "fine")


def test_tables_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"no column 'text' .did you mean txt"):
        listed(write(tmp_path, "txt,label\na,b"))
    with pytest.raises(DataError, match="two columns 'label'"):
        listed(write(tmp_path, "text,label,label\na,b,c"))
    for empty in ("", "\n \n"):
        with pytest.raises(DataError, match="is empty"):
            listed(write(tmp_path, empty))
    with pytest.raises(DataError, match="has no rows"):
        listed(write(tmp_path, "text,label\n\n"))
    with pytest.raises(DataError, match=r"row from line 3 to 4: a double quote is never closed"):
        listed(write(tmp_path, 'text,label\na,b\n"c,d\ne,f\n'))
    with pytest.raises(DataError, match=r"a quote never closed"):
        listed(write(tmp_path, 'text,label\na,b\n"' + "x,y\n" * 2**23))
    with pytest.raises(ConfigError, match="file extension"):
        listed(write(tmp_path, "x", "t.docx"))
    assert csv.field_size_limit() == 131_072


def test_quotes_that_mean_nothing(tmp_path):
    rows = "".join(f'"Good" film {i}\t{"ab"[i % 2]}\n' for i in range(8))
    table = write(tmp_path, f"text\tlabel\n{rows}", "t.tsv")
    with pytest.raises(DataError, match=r"line 2(.|\n)*data\.quotes=false"):
        listed(table)
    assert listed(table, quotes=False).content.texts[0] == '"Good" film 0'


def test_parquet_is_what_the_csv_is(tmp_path):
    frame = pandas.DataFrame({"text": AWKWARD, "label": ["a", "b"] * 5})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    first, second = (
        listed(tmp_path / name, val_fraction=0, test_fraction=0) for name in ("t.csv", "t.parquet")
    )
    assert first.fingerprint == second.fingerprint
    assert first.content.texts == second.content.texts == AWKWARD


def test_parquet_with_other_types(tmp_path):
    def stored(texts, labels=("a", "b", None)):
        pyarrow.parquet.write_table(
            pyarrow.table({"text": texts, "label": list(labels)}), tmp_path / "t.parquet"
        )
        return collect(TextTableData(root=str(tmp_path / "t.parquet")))

    examples = stored([b"caf\xc3\xa9", b"caf\xe9", b"x"])
    assert examples.content.texts == ("café",)
    assert [each.where for each in examples.findings] == ["row-000001", "row-000002"]
    assert stored(["a", "b", "c"], [1, 20, 3]).classes == ("1", "20", "3")
    with pytest.raises(DataError, match=r"column 'text' is list"):
        stored([["a"], ["b"], ["c"]])
    broken = pyarrow.array([b"caf\xe9"] * 3).view(pyarrow.string())
    with pytest.raises(DataError, match="not a readable parquet"):
        stored(broken)


def test_a_limit_keeps_every_class_and_its_choice(tmp_path):
    rows = "".join(f"text {i},{'abc'[i % 3]}\n" for i in range(300))
    table = write(tmp_path, f"text,label\n{rows}")
    few, more = listed(table, limit=30), listed(table, limit=60)
    assert np.bincount(few.labels).tolist() == [10, 10, 10]
    assert set(few.ids) <= set(more.ids)


def test_random_bytes_are_told_or_read(tmp_path):
    """Whatever is done to a table: examples, or one clean message."""
    chance, told = random.Random(0), 0
    with (tmp_path / "whole.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["text", "label"], *((t[:99], "a") for t in AWKWARD)])
    whole = {"csv": (tmp_path / "whole.csv").read_bytes()}
    pandas.DataFrame({"text": [t[:99] for t in AWKWARD], "label": ["a"] * 10}).to_parquet(
        tmp_path / "whole.parquet"
    )
    whole["parquet"] = (tmp_path / "whole.parquet").read_bytes()
    odd = [b'"', b"\0", b"\r", b"\n", b",", b"\xff\xfe", b"\xe9", b"\xef\xbb\xbf", b"", b"x" * 999]
    for number in range(400):
        ending = "csv" if number % 2 else "parquet"
        content = bytearray(whole[ending])
        for _ in range(chance.randint(1, 4)):
            start = chance.randrange(len(content) + 1)
            end = start + chance.choice((0, 1, 8))
            content[start:end] = chance.choice([*odd, chance.randbytes(3)])
        (tmp_path / f"t.{ending}").write_bytes(content)
        encoding = chance.choice(("utf-8", "utf-16", "cp1252", "utf-16-le"))
        try:
            collect(TextTableData(root=str(tmp_path / f"t.{ending}"), encoding=encoding))
        except DataError:
            told += 1
    assert 100 < told < 400


def test_a_column_of_splits_has_any_usual_name(tmp_path):
    names = ["train", "Training Set", "holdout", "eval", "dev", "test_set"]
    table = tmp_path / "t.csv"
    table.write_text(
        "\n".join(["text,label,part", *(f"t{n},{n % 2},{s}" for n, s in enumerate(names))])
    )
    examples = collect(TextTableData(root=str(table), split_column="part"))
    assert examples.splits.tolist() == ["train", "train", "test", "val", "val", "test"]


@pytest.mark.parametrize(
    ("cell", "is_told"),
    [("['I', 'am']", True), ('{"body": "I am"}', True), ("[sic] I am", False), ("(I am)", False)],
)
def test_texts_that_are_lists_are_told(tmp_path, cell, is_told):
    rows = [{"text": cell, "label": "ab"[number % 2]} for number in range(8)]
    pandas.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    findings = listed(tmp_path / "t.csv").findings
    assert [finding.kind for finding in findings] == ["list_texts"] * is_told


def test_missing_columns_say_how_a_table_without_a_header_is_read(tmp_path):
    table = write(tmp_path, "good,it is\nbad,it is not\n" * 3)
    with pytest.raises(DataError, match="without a header they are column_1, column_2"):
        listed(table)
    examples = listed(table, text_column="column_2", label_column="column_1")
    assert examples.content.texts == ("it is", "it is not") * 3
