"""What is to be predicted keeps its order and identity, and one bad text costs itself alone."""

import json

import pandas
import pytest

from fmkit.core.errors import DataError
from fmkit.data.predict_inputs import list_texts


def rows(found):
    return dict(zip(found.ids, zip(found.texts.texts, found.errors, strict=True), strict=True))


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_table(tmp_path, ending):
    frame = pandas.DataFrame({"body": ["one", "", "th\nree"], "title": ["a", "b", "c"]})
    table = tmp_path / f"t.{ending}"
    if ending == "parquet":
        frame.to_parquet(table)
    else:
        frame.to_csv(table, sep={"csv": ",", "tsv": "\t"}[ending], index=False)
    found = list_texts(table, "title", "body")
    assert found.ids == ("row-000000", "row-000001", "row-000002")
    assert found.texts.texts == ("a", "", "c")
    assert found.texts.pairs == ("one", "", "th\nree")
    assert found.errors == ("", "no text in 'body'", "")
    assert list_texts(table, "title").texts.pairs is None
    with pytest.raises(DataError, match="text_column=NAME"):
        list_texts(table)


def test_rows_with_other_cells_keep_their_place(tmp_path):
    (tmp_path / "t.csv").write_text("text,id\none,1\ntwo\nthree,3\n")
    found = rows(list_texts(tmp_path / "t.csv"))
    assert found == {
        "row-000000": ("one", ""),
        "row-000001": ("", "line 3 has 1 cell, the header has 2"),
        "row-000002": ("three", ""),
    }


def test_a_file_of_lines(tmp_path):
    (tmp_path / "new.txt").write_bytes(b"one\n\ncaf\xe9\r\nnul\0\nlast")
    found = rows(list_texts(tmp_path / "new.txt"))
    assert found["new.txt:000001"] == ("one", "")
    assert found["new.txt:000003"] == ("", "byte 8 (0xe9) is not utf-8; perhaps it is cp1252")
    assert "NUL" in found["new.txt:000004"][1]
    assert found["new.txt:000005"] == ("last", "")
    assert "caf\xe9" in list_texts(tmp_path / "new.txt", encoding="cp1252").texts.texts


def test_a_folder(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "b.txt").write_text("two\nlines\n")
    (tmp_path / "in" / "deep" / "a.md").write_text("one")
    (tmp_path / "in" / "c.txt").write_text(" ")
    (tmp_path / "in" / ".hidden.txt").write_text("hidden")
    (tmp_path / "in" / "x.csv").write_text("text\n")
    assert rows(list_texts(tmp_path / "in")) == {
        "b.txt": ("two\nlines", ""),
        "c.txt": ("", "the file is empty: white space only"),
        "deep/a.md": ("one", ""),
        "x.csv": ("", "its name does not end in .txt, .text or .md"),
    }


def test_what_holds_no_text(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        list_texts(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no text"):
        list_texts(tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="has no text"):
        list_texts(tmp_path / "empty.txt")
    with pytest.raises(DataError, match="no pairs of texts"):
        list_texts(tmp_path / "empty.txt", pair_column="b")
    (tmp_path / "wide.txt").write_bytes("wide".encode("utf-16"))
    with pytest.raises(DataError, match="encoding=utf-16"):
        list_texts(tmp_path / "wide.txt")
    (tmp_path / "t.csv").write_text("text\n")
    with pytest.raises(DataError, match="has no row"):
        list_texts(tmp_path / "t.csv")


def test_pairs_in_json(tmp_path):
    questions = [
        {"id": "a", "question": "Who?", "answers": []},
        {"id": "b", "question": " "},
        {"id": "c"},
    ]
    squad = {"data": [{"paragraphs": [{"context": " Ada did. ", "qas": questions}]}]}
    (tmp_path / "a.json").write_text(json.dumps(squad))
    found = list_texts(tmp_path / "a.json", "question", "context")
    assert found.ids == ("a", "b", "c")
    assert found.texts.texts == ("Who?", "", "")
    assert found.texts.pairs == (" Ada did. ", "", "")  # offsets count in it, so it stays as it is
    assert found.errors == ("", "'question' is empty", "it has no text under 'question'")
    (tmp_path / "b.jsonl").write_text('{"one": "x", "two": "y"}\n{"one": "x"}\nno\n')
    found = list_texts(tmp_path / "b.jsonl", "one", "two")
    assert found.ids == ("row-000000", "row-000001", "line 3")
    assert found.texts.pairs == ("y", "", "")
    assert found.errors[1] == "it has no text under 'two'; its keys are one"
    assert found.errors[2].startswith("not valid JSON: Expecting value")
