"""Tables are read row by row, whatever their separator, and a bad row costs only itself."""

import csv

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hostile import tables as hostile_tables

from fmkit.core.errors import ConfigError, DataError
from fmkit.data.findings import UnusableInput
from fmkit.data.formats import delimited, parquet_table
from fmkit.data.formats.delimited import ColumnError, CsvError, csv_rows
from fmkit.data.formats.parquet_table import ParquetTable
from fmkit.data.formats.tables import read


def stream(text):
    """A function that opens the lines of a text, with their offsets in bytes."""

    def lines():
        offset = 0
        for number, line in enumerate(text.splitlines(keepends=True), start=1):
            yield number, offset, line
            offset += len(line.encode())

    return lines


def rows(text, columns=("text",), suffix=".csv", quotes=True):
    return list(csv_rows(stream(text), suffix, columns, quotes))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_know_their_index_line_and_offset(separator):
    text = 'id,text\n1,"two\nlines"\n\n , \n2, ü \n3\n'.replace(",", separator)
    found = rows(text, ("text", "id"))
    assert [tuple(row.cells.values()) for row in found] == [("two\nlines", "1"), ("ü", "2"), ()]
    assert [(row.index, row.line) for row in found] == [(0, 2), (1, 6), (2, 7)]
    assert [text.encode()[row.offset : row.offset + 1] for row in found] == [b"1", b"2", b"3"]
    assert found[2].fault == "line 7 has 1 cell, the header has 2"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line", ["sep={}", '"sep={}"', "sep={}\r"])
def test_a_line_for_excel_is_not_the_header(separator, line):
    text = f"{line.format(separator)}\nid,text\n1,a\n".replace("id,text", f"id{separator}text")
    found = rows(text.replace("1,a", f"1{separator}a"), ("text", "id"))
    assert [row.cells for row in found] == [{"text": "a", "id": "1"}]
    assert found[0].line == 3


def test_quotes_may_mean_nothing():
    found = rows('text\n"a\nb"\n', quotes=False)
    assert [row.cells for row in found] == [{"text": '"a'}, {"text": 'b"'}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('text\na\n"b\nc\n', "the row from line 3 to 4: a double quote is never closed"),
        ('text\n"a"b\n', "line 2: .* a double quote inside a quoted cell has to be doubled"),
        ("text\n" + "x" * 50 + "\n", "line 2: a cell of more than 20 characters"),
    ],
)
def test_a_row_that_cannot_be_read_is_located(text, why, monkeypatch):
    monkeypatch.setattr(delimited, "MAX_CHARACTERS", 20)
    before = csv.field_size_limit()
    with pytest.raises(CsvError, match=why):
        rows(text)
    assert csv.field_size_limit() == before


def test_missing_and_duplicate_columns_are_all_named():
    with pytest.raises(ColumnError) as error:
        rows("a,b,b\n1,2,3\n", ("b", "c"))
    assert "it has no column 'c'" in error.value.why
    assert "its columns are a, b, b" in error.value.why
    assert error.value.missing == ["c"]
    assert "it has two columns 'b'" in error.value.why
    with pytest.raises(UnusableInput, match="no header"):
        rows("\n \n")


def test_a_csv_and_a_parquet_file_give_the_same_columns(tmp_path):
    (tmp_path / "a.csv").write_text("label;text\n1;one \n;two\n")
    cells = {"label": [1, None], "text": ["one ", "two"], "unread": [[1], [2]]}
    parquet.write_table(arrow.table(cells), tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        found = list(read(tmp_path / name, ["text", "label"], "hint"))
        assert [row.cells for row in found] == [
            {"text": "one", "label": "1"}, {"text": "two", "label": ""},
        ]  # fmt: skip
        assert [row.index for row in found] == [0, 1]
    with pytest.raises(DataError, match=r"(?s)'unread' is list<.*expected texts.*hint"):
        list(read(tmp_path / "a.parquet", ["unread"], "hint"))
    with pytest.raises(ConfigError, match="file extension"):
        list(read(tmp_path / "a.docx", ["text"], "hint"))
    with pytest.raises(DataError, match="cannot be read: No such file"):
        list(read(tmp_path / "gone.csv", ["text"], "hint"))


def test_parquet_rows_come_in_batches_of_bounded_size(tmp_path, monkeypatch):
    texts = [f"text {index}" * 10 for index in range(500)]
    parquet.write_table(arrow.table({"text": texts, "n": list(range(500))}), tmp_path / "a.parquet")
    table = ParquetTable(str(tmp_path / "a.parquet"))
    assert (table.names, table.row_count) == (["text", "n"], 500)
    assert 60 < table.bytes_per_row("text") < 150
    monkeypatch.setattr(parquet_table, "_BATCH_BYTES", 1000)
    assert [row["text"] for row in table.rows(["text"], table.bytes_per_row("text"))] == texts


def test_a_folder_or_a_fifo_is_not_a_table(tmp_path):
    (tmp_path / "a.parquet").mkdir()
    with pytest.raises(UnusableInput, match="a folder") as error:
        ParquetTable(str(tmp_path / "a.parquet"))
    assert error.value.kind == "special_file"


def test_broken_tables_are_read_or_refused_in_a_sentence():
    broken = hostile_tables.broken(("csv", "jsonl", "parquet"), each=2)
    passed, total, faults = hostile_tables.run(broken)
    assert (passed, faults) == (total, [])


def test_hostile_exports_are_read_or_refused():
    pytest.importorskip("openpyxl")
    passed, total, faults = hostile_tables.run(hostile_tables.broken_exports(each=1))
    assert not faults
    assert passed == total > 30
