"""Records out of JSON lines, lists, objects and parquet; a bad one costs only itself."""

import json

import pandas
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from fmkit.data.findings import UnusableInput
from fmkit.data.formats.tables import records

ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": "ü"}]
LINES = "\n".join(json.dumps(row) for row in ROWS)


def read(path, **options):
    return [(record.number, record.value) for record in records(path, **options)]


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.jsonl", LINES, {}),
        ("a.json", LINES, {}),
        ("a.json", json.dumps(ROWS, indent=1), {}),
        ("a.json", json.dumps({"version": 1, "data": ROWS}), {"list_key": "data"}),
    ],
)
def test_every_layout_has_the_same_records(tmp_path, name, content, options):
    (tmp_path / name).write_text(content)
    assert read(tmp_path / name, **options) == [(1, ROWS[0]), (2, ROWS[1])]


def test_parquet_columns_may_be_chosen(tmp_path):
    parquet.write_table(arrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [(1, ROWS[0]), (2, ROWS[1])]
    assert read(tmp_path / "a.parquet", columns=("b", "c")) == [(1, {"b": "x"}), (2, {"b": "ü"})]


def test_one_object_is_one_record_if_its_key_says_so(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(ROWS[0], indent=1))
    assert read(tmp_path / "a.json", record_key="a") == [(1, ROWS[0])]
    with pytest.raises(UnusableInput, match=r"object with the keys a, b.*under 'data'"):
        read(tmp_path / "a.json", list_key="data", record_key="c")


def test_bad_lines_keep_their_numbers(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n\n{"a"\n"\xff"\n3\n')
    found = list(records(tmp_path / "a.jsonl"))
    assert [(each.number, each.value) for each in found] == [(1, {"a": 1}), (3, None), (4, None),
                                                            (5, 3)]  # fmt: skip
    assert found[1].fault.why.startswith("not valid JSON: ")
    assert [each.fault.kind for each in found[1:3]] == ["incomplete_row", "bad_encoding"]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.jsonl", b" \n", "empty_file"),
        ("a.json", b"[]", "empty_file"),
        ("a.json", b"[1, ", "not_text"),
        ("a.json", b"[" * 100_000, "not_text"),
        ("a.json", b"3", "not_text"),
        ("a.json", "[]".encode("utf-16"), "bad_encoding"),
        ("a.parquet", b"PAR1", "not_text"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_whole(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableInput) as error:
        read(tmp_path / name)
    assert error.value.kind == kind


TICKETS = [{"id": n, "text": f"some text {n}", "label": "ab"[n % 2]} for n in range(4)]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "value",
    [
        {"tickets": TICKETS, "next_page": None, "count": 4},
        {"took": 3, "hits": {"total": {"value": 4}, "hits": TICKETS}},
        {f"k{row['id']}": row for row in TICKETS},
        {str(row["id"]): row for row in TICKETS},
        {name: {f"k{row['id']}": row[name] for row in TICKETS} for name in TICKETS[0]},
        {name: {row["id"]: row[name] for row in TICKETS} for name in TICKETS[0]},
    ],
    ids=["api", "search", "by id", "by number", "columns", "numbered columns"],
)
def test_answers_of_apis_and_tables_of_pandas(tmp_path, value, indent):
    (tmp_path / "a.json").write_text(json.dumps(value, indent=indent))
    assert [row for _, row in read(tmp_path / "a.json")] == TICKETS


@pytest.mark.parametrize("orient", ["records", "split", "index", "columns"])
def test_every_orient_of_pandas(tmp_path, orient):
    frame = pandas.DataFrame(TICKETS)
    frame.to_json(tmp_path / "a.json", orient=orient)
    assert [row for _, row in read(tmp_path / "a.json")] == TICKETS


@pytest.mark.parametrize(
    "value",
    [
        {"billing": ["a text", "b text"], "shipping": ["c text", "d text"]},
        {"text": ["a text", "b text"], "label": ["a", "b"]},
        {"tickets": TICKETS, "users": TICKETS},
    ],
)
def test_other_objects_are_refused_with_what_is_expected(tmp_path, value):
    (tmp_path / "a.json").write_text(json.dumps(value, indent=1))
    with pytest.raises(UnusableInput, match="expected a list of objects"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize(
    "value",
    [{"messages": [{"role": "user", "content": "a"}]}, {"tokens": ["a"], "ner_tags": ["O"]}],
)
def test_a_record_alone_in_a_line_stays_one(tmp_path, value):
    (tmp_path / "a.json").write_text(json.dumps(value))
    assert read(tmp_path / "a.json") == [(1, value)]
