"""Excel workbooks as people make them: cover sheets, titles, a sheet for each part."""

import pytest

from fmkit.core.errors import ConfigError
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


def test_the_header_below_a_title_is_named_where_it_lacks_the_columns(tmp_path):
    path = workbook(tmp_path / "a.xlsx", north=[["A title"], *TABLE])
    assert sheet_rows(path, ["body"])[0] == list(TABLE[0])


@pytest.mark.parametrize("columns", [[], ["text", "label"]])
def test_sheets_with_the_same_columns_are_refused(tmp_path, columns):
    path = workbook(tmp_path / "a.xlsx", north=TABLE, south=TABLE)
    with pytest.raises(UnusableInput) as raised:
        sheet_rows(path, columns)
    assert "the sheets north, south have the same columns" in raised.value.why
    assert "put the rows of all into one" in raised.value.why
    assert "name each sheet train, val or test" in raised.value.why
    assert "data.sheet=north (for fmkit predict: sheet=north)" in raised.value.why


def test_a_sheet_is_chosen_by_its_name_or_number(tmp_path):
    other = [("text", "label"), ("third", "c")]
    path = workbook(tmp_path / "a.xlsx", north=TABLE, south=other, **{"1": [("text",), ("x",)]})
    for wanted, first in (("south", "third"), ("2", "third"), ("1", "x"), ("north", TABLE[1][0])):
        _, rows = sheet_rows(path, ["text"], wanted)
        assert next(iter(rows)).value["text"] == first
    for wrong in ("4", "0", "nort"):
        with pytest.raises(ConfigError, match="Allowed: north, south, 1"):
            sheet_rows(path, ["text"], wrong)


def test_which_of_several_filled_sheets_is_read_is_said_once(tmp_path, capsys):
    path = workbook(tmp_path / "b.xlsx", Old=[("a",), (1,)], Notes=[("read me",)], Data=TABLE)
    for _ in range(2):
        sheet_rows(path, ["text"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("b.xlsx: read is sheet 'Data', not Old; another one: data.sheet=NAME")
    sheet_rows(path, ["text"], "Data")
    assert not capsys.readouterr().err


@pytest.mark.parametrize("columns", [[], ["text", "label"]])
def test_sheets_named_after_splits_are_splits(tmp_path, columns):
    path = workbook(tmp_path / "a.xlsx", Notes=COVER, Train=TABLE, Test=[[], *TABLE[:2]])
    header, rows = sheet_rows(path, columns)
    assert header == ["text", "label"]
    assert [(row.value["label"], row.split, row.place) for row in rows] == [
        ("a", "train", "row 2 of 'Train'"),
        ("b", "train", "row 3 of 'Train'"),
        ("a", "test", "row 3 of 'Test'"),
    ]


def test_a_value_of_merged_cells_belongs_to_each_of_their_rows(tmp_path):
    rows = [["Survey", None, None], ["label", "text", "by"]]
    rows += [["good", "one", "A"], [None, "two", None], [None, None, None], [None, "four", None]]
    rows += [["bad", "five", "B"], [None, "six", None]]
    workbook(tmp_path / "a.xlsx", Data=rows)
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    for cells in ("A1:C1", "A3:A6", "C3:C4", "A7:B8"):  # the last one over two columns
        book["Data"].merge_cells(cells)
    book.save(tmp_path / "a.xlsx")
    header, records = sheet_rows(tmp_path / "a.xlsx", ["text", "label"])
    assert header == ["label", "text", "by"]
    assert [tuple(row.value.values()) for row in records] == [
        ("good", "one", "A"),
        ("good", "two", "A"),
        ("good", "four", None),  # row 5 is empty but for what it shares
        ("bad", None, "B"),  # merging has deleted the other values
    ]


@pytest.mark.parametrize("columns", [[], ["message"], ["Row Labels"]])
def test_a_pivot_table_before_the_rows_is_not_read(tmp_path, columns):
    head = ["Row Labels", "billing", "shipping", "technical", "Grand Total"]
    pivot = [
        ["Count of Ticket", "Column Labels"],
        head,
        *([m, 3, 4, 5, 12] for m in ("Aug", "Sep", "Oct", "Nov")),
    ]
    export = [["Ticket", "Message", "Team"], *([f"T-{k}", f"one two {k}", "a"] for k in range(4))]
    path = workbook(tmp_path / "a.xlsx", Pivot=pivot, Export=export)
    assert sheet_rows(path, columns)[0] == (head if columns == ["Row Labels"] else export[0])
