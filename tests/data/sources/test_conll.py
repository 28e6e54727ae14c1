"""Files with a word a line, as data sets are distributed, and what is wrong with some of them."""

import numpy as np
import pytest

from fmkit.config.schema.data import ConllData
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.quality import inspect
from fmkit.data.sources.registry import collect

CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
. . O O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER

-DOCSTART- -X- -X- O

BRUSSELS NNP B-NP B-LOC
1996-08-22 CD I-NP O
"""
CONLL_U = """# newdoc id = one
# sent_id = 1
# text = im New York
1-2\tim\t_\t_\t_
1\tin\tin\tADP\t_
2\tdem\tder\tDET\t_
3\tNew York\tNew York\tPROPN\t_
3.1\tleer\t_\t_\t_

# newdoc id = two
1\t#\t#\tSYM\t_
2\t3-4\t3-4\tNUM\t_
"""


def write(folder, text, name="train.txt", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def listed(root, **more):
    return collect(ConllData(root=str(root), **more))


def tags_of(examples):
    found = examples.annotations
    return [[found.names[each] for each in row] for row in found.values]


def faults(examples):
    return {each.where: each.why for each in examples.findings if each.kind == "incomplete_row"}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [" ", "\t", "  "])
def test_words_and_last_columns_of_a_file(tmp_path, newline, separator):
    text = CONLL_2003.replace(" ", separator).replace("\n", newline)
    examples = listed(write(tmp_path, text))
    assert examples.content.words == (
        ("EU", "rejects", "."), ("Peter", "Blackburn"), ("BRUSSELS", "1996-08-22"),
    )  # fmt: skip
    assert tags_of(examples) == [["B-ORG", "O", "O"], ["B-PER", "I-PER"], ["B-LOC", "O"]]
    assert examples.annotations.names == ("O", "B-LOC", "B-ORG", "B-PER", "I-PER")
    assert examples.ids == ("sentence-000001", "sentence-000002", "sentence-000003")
    assert (examples.groups, examples.splits) == (None, None)
    grouped = listed(write(tmp_path, text), group_documents=True).groups
    assert grouped[0] == grouped[1] != grouped[2]


def test_another_column_is_parts_of_speech(tmp_path):
    examples = listed(write(tmp_path, CONLL_2003), tag_column=2)
    assert tags_of(examples)[0] == ["NNP", "VBZ", "."]
    assert examples.annotations.names == (".", "CD", "NNP", "VBZ")
    assert tags_of(listed(write(tmp_path, CONLL_2003), tag_column=-2))[1] == ["B-NP", "I-NP"]


def test_of_conll_u_ranges_empty_nodes_and_comments_are_no_words(tmp_path):
    options = {"word_column": 2, "tag_column": 4, "group_documents": True}
    examples = listed(write(tmp_path, CONLL_U, "a.conllu"), **options)
    assert examples.content.words == (("in", "dem", "New York"), ("#", "3-4"))
    assert tags_of(examples) == [["ADP", "DET", "PROPN"], ["SYM", "NUM"]]
    assert len(set(examples.groups)) == 2


def test_a_word_may_begin_with_a_hash(tmp_path):
    text = "# a comment of a few words\n# O\n#fun O\nMr O\n\n# id 7\n\nBo B-PER\n"
    examples = listed(write(tmp_path, text))
    assert examples.content.words == (("#", "#fun", "Mr"), ("Bo",))
    assert not examples.findings


def test_a_folder_has_its_splits_by_the_names_of_files(tmp_path):
    for name in ("ud-train.conllu", "ud-dev.conllu", "wnut17test.conll", "README.txt"):
        write(tmp_path, "a O\nb B-X\n\nc O\n", name)
    examples = listed(tmp_path)
    assert dict(zip(examples.ids, examples.splits, strict=True)) == {
        "ud-dev.conllu:sentence-000001": "val",
        "ud-dev.conllu:sentence-000002": "val",
        "ud-train.conllu:sentence-000001": "train",
        "ud-train.conllu:sentence-000002": "train",
        "wnut17test.conll:sentence-000001": "test",
        "wnut17test.conll:sentence-000002": "test",
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("eng.train", "eng.testa", "eng.testb"), {"train", "val", "test"}),
        (("train/a.bio", "valid/a.bio"), {"train", "val"}),
        (("TRAIN.IOB2", "Test.iob2"), {"train", "test"}),
        (("one.iob", "two.iob"), None),
    ],
)
def test_names_of_files_as_they_are_distributed(tmp_path, names, expected):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path, "a O\nb B-X\n", name)
    splits = listed(tmp_path).splits
    assert (splits if splits is None else set(splits)) == expected


def test_files_of_no_split_beside_those_of_one_are_left_out_and_told(tmp_path):
    write(tmp_path, "a O\nb B-X\n", "train.txt")
    write(tmp_path, "c O\n", "other.txt")
    (told,) = [each for each in listed(tmp_path).findings if each.kind == "unsupported"]
    assert "other.txt" in told.why


def test_what_is_wrong_is_told_with_file_and_line_and_costs_its_sentence(tmp_path):
    text = "\n".join([
        "fine O", "too few", "", "one", "", "a b O", "", "x\0 O", "", "Jo X-PER", "Al B-PER", "",
        "Bo B-PER", "Cy I-PER", "",
    ])  # fmt: skip
    examples = listed(write(tmp_path, text), val_fraction=0, test_fraction=0)
    told = faults(examples)
    assert told["train.txt:4"] == "1 column, and most lines have 2"
    assert told["train.txt:6"] == "3 columns, and most lines have 2"
    assert "NUL" in told["train.txt:8"]
    assert "unknown tag 'X-PER'" in told["train.txt:10"]
    assert "unknown tag 'few'" in told["train.txt:2"]
    assert len(told) == 5
    config = ConllData(
        root=str(tmp_path / "train.txt"), val_fraction=0, test_fraction=0, on_bad="skip"
    )
    inspected = inspect.inspect(config, 0, None)
    assert inspected.usable.content.words == (("Bo", "Cy"),)
    assert inspected.examples.content.noun == "sentence"
    with pytest.raises(DataError, match=r"train\.txt:6: 3 columns"):
        inspect.accept(inspected, "error")
    with pytest.raises(DataError, match="more than half"):
        inspect.accept(inspected, "skip")


def test_empty_cells_are_no_words_and_no_tags(tmp_path):
    examples = listed(write(tmp_path, "a\tx\tO\n\tx\tO\n\nb\tx\tB-Z\n"))
    assert faults(examples) == {"train.txt:2": "no word"}
    examples = listed(write(tmp_path, "a\tO\tx\nb\t\tx\n\nc\tO\tx\n"), tag_column=2)
    assert faults(examples) == {"train.txt:2": "no tag"}


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig"])
def test_encodings(tmp_path, encoding):
    named = "utf-8" if encoding == "utf-8-sig" else encoding
    path = write(tmp_path, "Jos\u00e9 B-PER\nsagt O\n\nnein O\n", encoding=encoding)
    assert listed(path, encoding=named).content.words == (("Jos\u00e9", "sagt"), ("nein",))
    if encoding == "cp1252":
        (told,) = faults(listed(path)).values()
        assert "perhaps it is cp1252" in told
    elif encoding == "utf-16":
        with pytest.raises(DataError, match="utf-16"):
            listed(path)


def test_a_space_that_is_no_ascii_is_part_of_a_word(tmp_path):
    examples = listed(write(tmp_path, "10\u00a0000 B-N\nEuro\u2028s O\n"))
    assert examples.content.words == (("10\u00a0000", "Euro\u2028s"),)


@pytest.mark.parametrize(
    ("text", "more", "told"),
    [
        ("", {}, "no sentence"),
        ("\n \n# only this\n", {}, "no sentence"),
        ("-DOCSTART- O\n\n", {}, "no sentence"),
        ("one\ntwo\n", {}, "same column"),
        ("a O\n", {"tag_column": 4}, "has 2 columns, and data.tag_column=4"),
        ("a O\n", {"word_column": -3}, "has 2 columns, and data.word_column=-3"),
        ("a O\n", {"tag_column": 1}, "same column"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, text, more, told):
    with pytest.raises(DataError, match=told):
        listed(write(tmp_path, text), **more)


def test_an_empty_folder_and_no_folder(tmp_path):
    with pytest.raises(DataError, match="no CoNLL files"):
        listed(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        listed(tmp_path / "nowhere.txt")
    with pytest.raises(ConfigError, match=r"data\.root is missing"):
        listed("")


def test_ids_stay_when_words_are_mended_and_the_fingerprint_does_not(tmp_path):
    before = listed(write(tmp_path, "a O\nb B-X\n\nc O\n"))
    other = listed(write(tmp_path, "a O\nnew O\nb B-X\n\nc O\n"))
    assert before.ids == other.ids
    assert before.fingerprint != other.fingerprint
    retagged = listed(write(tmp_path, "a O\nb O\n\nc B-X\n"))
    assert retagged.fingerprint != before.fingerprint
    same = listed(write(tmp_path, "a\tO\nb\tB-X\n\n\nc\tO"))
    assert same.fingerprint == before.fingerprint


def test_a_set_is_looked_at_whole(tmp_path):
    rows = ["Bo B-PERSON\nis O\n"] * 12 + ["Al B-PERSOM\n", "Cy I-CITY\n", "Bo O\nis O\n"]
    (tmp_path / "d").mkdir()
    write(tmp_path / "d", "\n".join(rows), "train.txt")
    write(tmp_path / "d", "Bo B-PERSON\n\nIn B-NEW\n", "test.txt")
    config = ConllData(root=str(tmp_path / "d"), val_fraction=0)
    found = inspect.inspect(config, 0, None).findings
    kinds = {}
    for each in found:
        kinds.setdefault(each.kind, []).append(each)
    assert [each.where for each in kinds["tag_unseen"]] == ["'B-NEW'"]
    (typo,) = kinds["label_typo"]
    assert (typo.where, "B-PERSON" in typo.why) == ("'B-PERSOM'", True)
    (otherwise,) = kinds["two_answers"]
    assert otherwise.count == 13
    assert kinds["duplicate"]


def test_one_tag_teaches_nothing(tmp_path):
    config = ConllData(root=str(write(tmp_path, "a O\n\nb O\n\nc O\n")))
    found = inspect.inspect(config, 0, None).findings
    assert [each.kind for each in found if each.is_error] == ["classes"]


def test_a_limit_takes_sentences(tmp_path):
    text = "\n".join(f"w{each} O\nx B-X\n" for each in range(20))
    examples = listed(write(tmp_path, text), limit=5)
    assert len(examples) == len(examples.content.words) == len(examples.annotations.values) == 5
    assert examples.annotations.names == ("O", "B-X")
    np.testing.assert_array_equal(examples.labels, 0)


@pytest.mark.parametrize("columns", [10, 4])
def test_numbers_of_words_are_not_words(columns, tmp_path):
    row = "\t".join(["{}", "word{}", *"A" * (columns - 3), "O"])
    text = "\n\n".join("\n".join(row.format(k, k) for k in range(1, n)) for n in (3, 5, 2))
    path = write(tmp_path, f"{text}\n", "train.conllu")
    with pytest.raises(DataError) as caught:
        listed(path)
    assert "column 1 numbers the words of each sentence" in str(caught.value)
    tag = {10: "4 (parts of speech)", 4: "NUMBER"}[columns]
    assert f"data.word_column=2 data.tag_column={tag}" in str(caught.value)
    assert len(listed(path, word_column=2, tag_column=3)) == 3


def test_words_may_be_numbers(tmp_path):
    assert len(listed(write(tmp_path, "1 O\n2 O\n\n7 O\n8 B-X\n"))) == 2
