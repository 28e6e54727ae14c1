"""Words and tags in tables: by word and by sentence, as they are exported."""

import csv
import json

import pyarrow
import pyarrow.parquet
import pytest

from fmkit.config.schema.data import TokenTableData
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.sources.registry import collect

NAMES = ["O", "B-PER", "I-PER"]
SENTENCES = [(["Mr", '"', "Bo,"], [0, 0, 1]), (["NA"], [2])]
TAGS = [["O", "O", "B-PER"], ["I-PER"]]


def listed(table, **more):
    return collect(TokenTableData(root=str(table), **more))


def tags_of(examples):
    found = examples.annotations
    return [[found.names[each] for each in row] for row in found.values]


def faults(examples):
    return {each.where: each.why for each in examples.findings if each.kind == "incomplete_row"}


def parquet(folder, columns, metadata=None):
    table = pyarrow.table(columns)
    if metadata:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    pyarrow.parquet.write_table(table, folder / "t.parquet")
    return folder / "t.parquet"


def exported(folder, metadata=None):
    words, tags = zip(*SENTENCES, strict=True)
    return parquet(folder, {"tokens": list(words), "ner_tags": list(tags)}, metadata)


def json_lines(folder, rows):
    (folder / "t.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    return folder / "t.jsonl"


LABEL = {"names": NAMES, "_type": "ClassLabel"}


@pytest.mark.parametrize(
    "feature",
    [
        {"feature": LABEL, "_type": "Sequence"},
        {"feature": LABEL, "_type": "List"},
        [LABEL],
    ],
)
def test_an_export_brings_the_names_of_its_tags(tmp_path, feature):
    examples = listed(exported(tmp_path, {"info": {"features": {"ner_tags": feature}}}))
    assert examples.content.words == tuple(tuple(words) for words, _ in SENTENCES)
    assert tags_of(examples) == TAGS
    assert examples.ids == ("row-000000", "row-000001")


def test_names_come_from_a_key_too_and_without_any_numbers_stay(tmp_path):
    assert tags_of(listed(exported(tmp_path), tag_names=NAMES)) == TAGS
    bare = listed(exported(tmp_path))
    assert tags_of(bare) == [["0", "0", "1"], ["2"]]
    assert [each.kind for each in bare.findings] == ["unnamed_tags"]
    damaged = listed(exported(tmp_path, {"info": {"features": {"ner_tags": {"feature": 7}}}}))
    assert tags_of(damaged) == tags_of(bare)


def test_json_lines_and_strings(tmp_path):
    rows = [
        {"id": each, "words": words, "pos": tags}
        for each, ((words, _), tags) in enumerate(zip(SENTENCES, TAGS, strict=True))
    ]
    table = json_lines(tmp_path, rows)
    assert tags_of(listed(table, word_column="words", tag_column="pos")) == TAGS


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_row_per_word(tmp_path, ending):
    rows = [
        (f"s{number}", word, tag, "train" if number else "test", f"d{number}")
        for number, ((words, _), tags) in enumerate(zip(SENTENCES, TAGS, strict=True))
        for word, tag in zip(words, tags, strict=True)
    ]
    with (tmp_path / f"t.{ending}").open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter="," if ending == "csv" else "\t")
        writer.writerows([("id", "word", "tag", "part", "document"), *rows])
    keys = {"word_column": "word", "tag_column": "tag", "sentence_column": "id"}
    examples = listed(
        tmp_path / f"t.{ending}", **keys, split_column="part", group_column="document"
    )
    assert examples.content.words == tuple(tuple(words) for words, _ in SENTENCES)
    assert tags_of(examples) == TAGS
    assert examples.splits.tolist() == ["test", "train"]
    assert examples.groups.tolist() == ["d0", "d1"]


def test_an_empty_sentence_cell_goes_on_with_the_one_before(tmp_path):
    text = "Sentence #,Word,POS,Tag\nSentence: 1,In,IN,O\n,Rome,NNP,B-geo\nSentence: 2,No,UH,O\n"
    (tmp_path / "t.csv").write_text(text)
    keys = {"word_column": "Word", "sentence_column": "Sentence #"}
    examples = listed(tmp_path / "t.csv", tag_column="Tag", **keys)
    assert examples.content.words == (("In", "Rome"), ("No",))
    assert tags_of(listed(tmp_path / "t.csv", tag_column="POS", **keys)) == [["IN", "NNP"], ["UH"]]


def test_what_is_wrong_with_rows_is_told_by_row_and_line(tmp_path):
    rows = [
        {"tokens": ["a", "b"], "ner_tags": ["O"]},
        {"tokens": [], "ner_tags": []},
        {"tokens": ["a", " "], "ner_tags": ["O", "B-PER"]},
        {"tokens": ["a"], "ner_tags": [None]},
        {"tokens": None, "ner_tags": ["O"]},
        {"tokens": ["a"]},
        {"tokens": ["a"], "ner_tags": [5]},
        {"tokens": ["a"], "ner_tags": ["PER"]},
        {"tokens": ["a"], "ner_tags": [2]},
    ]
    table = json_lines(tmp_path, rows)
    table.write_text(table.read_text() + "{broken\n[1]\n")
    told = faults(listed(table, tag_names=NAMES))
    assert told == {
        "row-000000 (line 1)": "2 words and 1 tag",
        "row-000001 (line 2)": "no words",
        "row-000002 (line 3)": "no word (word 2)",
        "row-000003 (line 4)": "no tag (word 1)",
        "row-000004 (line 5)": "'tokens' is empty",
        "row-000005 (line 6)": "no key 'ner_tags'",
        "row-000006 (line 7)": "tag 5, and there are names for 0 to 2 (word 1)",
        "row-000007 (line 8)": "tag 'PER' is not one of the names (word 1)",
        "row-000009 (line 10)": told["row-000009 (line 10)"],
        "row-000010 (line 11)": "it is not an object with keys",
    }
    assert "not valid JSON" in told["row-000009 (line 10)"]


def test_what_is_wrong_with_words_is_told_by_row_and_line(tmp_path):
    lines = ["id,word,tag,part", ",x,O,train", "1,a,O,train", "1,,O,", "2,b,O,often", "3,c,O,dev",
             "3,d,O,test", "1,e,O,train", "4,f,O,train", "4,short", "5,g,B-X,val"]  # fmt: skip
    (tmp_path / "t.csv").write_text("\n".join(lines))
    keys = {"word_column": "word", "tag_column": "tag", "sentence_column": "id"}
    examples = listed(tmp_path / "t.csv", **keys, split_column="part")
    told = faults(examples)
    assert told["row-000000 (line 2)"] == "no sentence in 'id'"
    assert told["row-000002 (line 4)"] == "no word"
    assert "unknown split 'often'" in told["row-000003 (line 5)"]
    assert told["row-000005 (line 7)"] == "another split or group than the words before it"
    assert "sentence '1' continues after another one" in told["row-000006 (line 8)"]
    assert "line 10 has 2 cells" in told["row-000008"]
    assert [each for each in examples.content.words if each] == [("g",)]


@pytest.mark.parametrize(
    ("name", "text", "more", "told", "kind"),
    [
        ("t.csv", "tokens,ner_tags\na,O\n", {}, "data.sentence_column=NAME", DataError),
        ("t.csv", "word,tag\na,O\n", {"sentence_column": "id"}, "no column 'tokens'", DataError),
        ("t.docx", "x", {"sentence_column": "id"}, "file extension", ConfigError),
        ("t.parquet", "x", {}, "not a readable parquet", DataError),
        ("t.jsonl", "", {}, "is empty", DataError),
        ("t.jsonl", '{"words": []}\n', {}, "no column 'tokens'", DataError),
        ("t.jsonl", '{"tokens": "a b", "ner_tags": "O O"}\n', {}, "has str", DataError),
        ("t.jsonl", '{"tokens": ["a"], "ner_tags": ["O"], "id": 1}\n', {"sentence_column": "id"},
         "Leave it out", DataError),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_says_why(tmp_path, name, text, more, told, kind):
    (tmp_path / name).write_text(text)
    with pytest.raises(kind) as caught:
        listed(tmp_path / name, **more)
    assert told in f"{caught.value.message} {caught.value.hint}"
