"""Excel workbooks as people make them: cover sheets, titles, a sheet for each part."""

import pytest

from fmkit.data.findings import UnusableInput
from fmkit.data.formats.spreadsheet import sheet_rows

openpyxl = pytest.importorskip("openpyxl")


def workbook(path, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


TABLE = [["text", "label"], ["one two", "a"], ["three four", "b"]]
COVER = [["Feedback 2024"], ["made by us"]]


@pytest.mark.parametrize("columns", [[], ["text"], ["text", "label"]])
def test_the_header_is_found_below_a_title_and_behind_a_cover(tmp_path, columns):
    path = workbook(tmp_path / "a.xlsx", Cover=COVER, Data=[["Survey"], [], *TABLE])
    header, rows = sheet_rows(path, columns)
    assert header == ["text", "label"]
    assert [row.value for row in rows] == [
        {"text": "one two", "label": "a"}, {"text": "three four", "label": "b"}
    ]  # fmt: skip


def test_a_row_of_groups_above_the_header_is_not_the_header(tmp_path):
    groups = ["Customer", None, "Result", None]
    table = [groups, ["id", "comment", "sentiment", "by"], [1, "a b", "good", "me"]]
    header, rows = sheet_rows(workbook(tmp_path / "a.xlsx", Data=table), [])
    assert header == ["id", "comment", "sentiment", "by"]
    assert next(rows).value["sentiment"] == "good"


@pytest.mark.parametrize("columns", [[], ["text", "label"]])
def test_sheets_with_the_same_columns_are_refused(tmp_path, columns):
    path = workbook(tmp_path / "a.xlsx", train=TABLE, test=TABLE)
    with pytest.raises(UnusableInput) as raised:
        sheet_rows(path, columns)
    assert "the sheets train, test have the same columns" in raised.value.why
