"""What is to be predicted keeps its order and identity, and one bad text costs itself alone."""

import json
from dataclasses import replace

import pandas
import pytest

from fmkit.config.schema.commands import PredictConfig
from fmkit.config.schema.data import ConllData, ImageTableData, TextTableData, TokenTableData
from fmkit.core.errors import DataError
from fmkit.data.predict_inputs import list_texts, read_texts, read_words, sources_of
from fmkit.data.predict_photos import read_photos


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


@pytest.mark.parametrize(
    ("read", "learned", "column", "setting"),
    [
        (read_texts, TextTableData(text_column="Letter"), "Letter", "text_column=NAME"),
        (read_words, TokenTableData(word_column="words"), "words", "text_column=NAME"),
        (read_photos, ImageTableData(path_column="Photo"), "Photo", "path_column=NAME"),
    ],
)
def test_a_table_without_the_column_of_the_run(read, learned, column, setting, tmp_path):
    (tmp_path / "new.csv").write_text("id,Message\n1,one two\n")
    config = PredictConfig(run="r", input=str(tmp_path / "new.csv"))
    with pytest.raises(DataError) as caught:
        read(config, learned)
    assert f"no column '{column}'; its columns are id, Message" in caught.value.message
    assert f"The run was trained on a table with '{column}'" in caught.value.hint
    assert setting in caught.value.hint
    if setting.startswith("text"):
        return
    with pytest.raises(DataError, match=r"no column .Mesage. .did you mean Message") as caught:
        read(replace(config, path_column="Mesage"), learned)
    assert caught.value.hint == "Name this table's column: path_column=NAME"


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


def predict_config(*inputs, **settings):
    config = PredictConfig(run="last", input=inputs[0], **settings)
    config.input = [str(each) for each in inputs]
    return config


SENTENCES = [["Ada", "Berg"], ["in", "Bonn"]]


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet", "csv"])
def test_a_run_on_a_table_of_words_reads_lists_of_them(tmp_path, ending):
    frame = pandas.DataFrame({"words": SENTENCES, "other": [1, 2]})
    path = tmp_path / f"t.{ending}"
    write = {
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "json": lambda: frame.to_json(path, orient="records", indent=2),
        "parquet": lambda: frame.to_parquet(path),
        "csv": lambda: frame.to_csv(path, index=False),
    }
    write[ending]()
    inputs = read_words(predict_config(path), TokenTableData(root="old", word_column="words"))
    assert inputs.texts.texts == ("Ada Berg", "in Bonn")
    assert inputs.spans == (((0, 3), (4, 8)), ((0, 2), (3, 7)))
    assert inputs.errors == ("", "")


def test_a_run_on_a_table_of_words_reads_a_row_per_word(tmp_path):
    rows = "s,word\n1,Ada\n1,Berg\n2,\n3,in\n,Bonn\n"
    (tmp_path / "t.csv").write_text(rows)
    learned = TokenTableData(root="old", word_column="word", sentence_column="s")
    inputs = read_words(predict_config(tmp_path / "t.csv"), learned)
    assert inputs.texts.texts == ("Ada Berg", "", "in Bonn")
    assert [bool(error) for error in inputs.errors] == [False, True, False]
    (tmp_path / "u.csv").write_text("s,text\n1,Ada Berg\n")
    inputs = read_words(predict_config(tmp_path / "u.csv", text_column="text"), learned)
    assert inputs.texts.texts == ("Ada Berg",)
    with pytest.raises(DataError, match="text_column=NAME"):
        read_words(predict_config(tmp_path / "u.csv"), learned)


def test_words_in_the_columns_of_the_run(tmp_path):
    (tmp_path / "t.conll").write_text("1\tAda\n2\tBerg\n\n1\tin\n2\tBonn\n")
    inputs = read_words(predict_config(tmp_path / "t.conll"), ConllData(root="x", word_column=2))
    assert inputs.texts.texts == ("Ada Berg", "in Bonn")


def test_a_run_on_a_table_with_the_ending_of_a_text(tmp_path):
    (tmp_path / "t.txt").write_text("review\tlabel\nfine\ta\n")
    learned = TextTableData(root="old.txt", text_column="review")
    assert read_texts(predict_config(tmp_path / "t.txt"), learned).texts.texts == ("fine",)
    learned = TextTableData(root="old.csv", text_column="review")
    assert len(read_texts(predict_config(tmp_path / "t.txt"), learned)) == 2


def test_several_inputs_and_patterns(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"text,{name}\nof {name},1\n")
    inputs = read_texts(predict_config(tmp_path / "*.csv", "a text"), TextTableData(root="x"))
    assert inputs.texts.texts == ("of a", "of b", "a text")
    assert len(set(inputs.ids)) == 3
    assert inputs.columns == {
        "text": ["of a", "of b", "a text"], "a": ["1", None, None], "b": [None, "1", None],
    }  # fmt: skip


def test_pairs_keep_their_columns(tmp_path):
    rows = [{"id": 7, "one": "x", "two": "y", "more": 1}]
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]))
    pandas.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    learned = TextTableData(root="x", text_column="one", pair_column="two")
    for name in ("a.jsonl", "a.csv"):
        inputs = read_texts(predict_config(tmp_path / name), learned)
        assert (inputs.texts.texts, inputs.texts.pairs) == (("x",), ("y",))
        assert list(inputs.columns) == ["one", "two", "id", "more"]
    with pytest.raises(DataError, match="reads pairs of texts"):
        read_texts(predict_config("I loved it"), learned)


@pytest.mark.parametrize(
    ("word", "is_text"),
    [("I loved it", True), ("我喜欢", True), ("ชอบ", True), ("good", False), ("a b.csv", False),
     ("./a b", False), ("file:a b", False)],
)  # fmt: skip
def test_what_counts_as_a_text(word, is_text):
    learned = TextTableData(root="x")
    if is_text:
        assert read_texts(predict_config(word), learned).texts.texts == (word,)
    else:
        with pytest.raises(DataError, match="a file or a folder that exists"):
            read_texts(predict_config(word), learned)


def test_paths_of_a_table_in_every_spelling(tmp_path):
    (tmp_path / "photos" / "in").mkdir(parents=True)
    photo = tmp_path / "photos" / "in" / "a b.png"
    photo.write_bytes(b"")
    spellings = [
        "in/a b.png",
        "in\\a b.png",
        str(photo),
        f"file://{str(photo).replace(' ', '%20')}",
    ]
    frame = pandas.DataFrame({"path": spellings, "n": range(4)})
    for name in ("t.csv", "t.jsonl", "t.parquet"):
        path = tmp_path / name
        if name == "t.csv":
            frame.to_csv(path, index=False)
        elif name == "t.jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_parquet(path)
        learned = ImageTableData(root="x", image_root=str(tmp_path / "photos"))
        inputs = read_photos(predict_config(path), learned)
        assert inputs.names == (str(photo),) * 4
        assert inputs.errors == ("",) * 4
        assert inputs.columns["n"] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("photo.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 200, "a JPEG image"),
        ("a.txt", b"PK\3\4\0\0" + b"x\n" * 100, "a ZIP archive or an Office document"),
        ("a.pdf", b"%PDF-1.7\n\0", "a PDF"),
        ("t.feather", b"ARROW1\0\0\xff\xff", "a Feather or Arrow file"),
        ("t.orc", b"ORC\n\x06\x12\0", "an ORC file"),
        ("t.db", b"SQLite format 3\0", "an SQLite database"),
        ("t.xml", b'<?xml version="1.0"?>\n<posts>\n', "an XML document"),
        ("t.dta", b"<stata_dta><header>\n", "a Stata file"),
    ],
)
def test_what_is_not_a_text_is_not_read_as_lines(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{said}, and the model reads texts"):
        list_texts(tmp_path / name)


def test_a_text_that_begins_like_a_program_is_one(tmp_path):
    (tmp_path / "a.txt").write_text("MZ is a text\n")
    assert list_texts(tmp_path / "a.txt").texts.texts == ("MZ is a text",)


HEADERLESS = "3,first text\n1,second text\n"


@pytest.mark.parametrize(("trained", "typed"), [(False, None), (None, False), (None, None)])
@pytest.mark.parametrize("task", ["texts", "words", "photos"])
def test_a_table_without_a_header_is_read_as_in_training(tmp_path, task, trained, typed):
    (tmp_path / "new.csv").write_text(HEADERLESS)
    config = PredictConfig(run="last", input=str(tmp_path / "new.csv"), header=typed)
    if task == "photos":
        found = read_photos(config, ImageTableData(path_column="column_2", header=trained))
        assert [name.rpartition("/")[2] for name in found.names] == ["first text", "second text"]
        return
    if task == "words":
        learned = TokenTableData(
            word_column="column_2", sentence_column="column_1", tag_column="column_3"
        )
        found = read_words(config, replace(learned, header=trained))
    else:
        found = read_texts(config, TextTableData(text_column="column_2", header=trained))
    assert found.texts.texts == ("first text", "second text")
    with pytest.raises(DataError, match="column_2"):
        read_texts(replace(config, header=True), TextTableData(text_column="column_2"))


def test_a_table_whose_name_ends_as_that_of_the_run(tmp_path):
    for name in ("new", "new.txt"):
        (tmp_path / name).write_text("ham\tone\nspam\ttwo\n")
    for root, name in (("SMSSpamCollection", "new"), ("sms.txt", "new.txt")):
        config = PredictConfig(run="last", input=str(tmp_path / name))
        learned = TextTableData(root=root, text_column="column_2")
        assert read_texts(config, learned).texts.texts == ("one", "two")


def test_a_folder_of_tables_is_read_table_by_table(tmp_path):
    for name, text in (("b.csv", "text,note\nfour,x\n"), ("a.jsonl", '{"text": "one"}\n'),
                       ("sub/c.csv", "text\nseven\n"), ("sample_submission.csv", "id\n1\n"),
                       ("README.md", "about them\n")):  # fmt: skip
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(text)
    config = PredictConfig(run="r", input=str(tmp_path / "in"))
    found = read_texts(config, TextTableData())
    assert found.ids == (
        "a.jsonl:row-000000", "b.csv:row-000000", "sub/c.csv:row-000000"
    )  # fmt: skip
    assert found.texts.texts == ("one", "four", "seven")
    assert found.columns["note"] == [None, "x", None]
    (tmp_path / "in" / "d.txt").write_text("a text")  # then the texts are what is meant, as before
    read = rows(read_texts(config, TextTableData()))
    assert read["d.txt"] == ("a text", "")


def test_a_folder_of_tables_of_pairs_of_words_and_of_photos(tmp_path):
    from PIL import Image

    for kind, text in (("pairs", "text,other\na,b\n"), ("words", 'tokens\n"[""x"", ""y""]"\n'),
                       ("photos", "path\np.png\n")):  # fmt: skip
        for name in ("one.csv", "two.csv"):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / name).write_text(text)
    config = PredictConfig(run="r", input=str(tmp_path / "pairs"))
    assert read_texts(config, TextTableData(pair_column="other")).texts.pairs == ("b", "b")
    found = read_words(replace(config, input=str(tmp_path / "words")), TokenTableData())
    assert found.ids == ("one.csv:row-000000", "two.csv:row-000000")
    assert found.texts.texts == ("x y", "x y")
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "pictures" / "p.png")
    config = replace(
        config, input=str(tmp_path / "photos"), image_root=str(tmp_path / "pictures")
    )  # fmt: skip
    photos = read_photos(config, ImageTableData())
    assert photos.names == (str(tmp_path / "pictures" / "p.png"),) * 2
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"has no photo .* and no table of photos"):
        read_photos(replace(config, input=str(tmp_path / "none")), ImageTableData())


@pytest.mark.parametrize("address", ["https://example.com/a.jpg", "hf://a/b", "s3://bucket/c.csv"])
def test_an_address_is_refused_and_a_text_that_begins_with_one_is_not(address):
    with pytest.raises(DataError, match="reads files of this machine alone"):
        sources_of(PredictConfig("run", address))
    text = f"{address} is a nice page"
    assert sources_of(PredictConfig("run", text)) == [text]
