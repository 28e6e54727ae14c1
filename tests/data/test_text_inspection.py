"""A data set of texts, looked at: copies, leaks, labels with typing errors, lengths, samples."""

import json

import pytest

from fmkit.config.schema.data import TextTableData
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import DataError
from fmkit.data import load
from fmkit.data.class_checks import edit_distance, probable_typos
from fmkit.data.content.texts import Texts
from fmkit.data.examples import from_names
from fmkit.data.quality import inspect as inspection
from fmkit.data.quality import report as data_report
from fmkit.data.quality.report import one_line
from fmkit.data.splits import make_splits

DISTANCES = (
    ("positive", "positive", 0), ("positive", "postive", 1), ("positive", "positvie", 1),
    ("positive", "positiv", 1), ("positive", "xositive", 1), ("kitten", "sitting", 3),
    ("ca", "abc", 3), ("", "abc", 3),
)  # fmt: skip
"""Restricted Damerau distances; `ca` to `abc` is 3 there, and 2 where a pair is edited again."""


def inspect(tmp_path, rows, header="text,label", **more):
    (tmp_path / "t.csv").write_text("\n".join([header, *rows]) + "\n", "utf-8")
    config = TextTableData(root=str(tmp_path / "t.csv"), **more)
    return config, load.inspect(config, RuntimeConfig(verbose=False), 0, training=True)


def rows_of(count, classes="ab"):
    return [f"text number {i},{classes[i % len(classes)]}" for i in range(count)]


def told(inspected):
    return {(each.kind, each.where): each.why for each in inspected.findings}


def test_copies_are_told_whatever_divides_their_words(tmp_path):
    header = "text,label,split"
    parts = ["train"] * 12 + ["test"] * 12
    rows = [f"text number {i},{'ab'[i % 2]},{part}" for i, part in enumerate(parts)]
    rows += ['"text  number\n0",a,train', "text number 1,b,test", " text number 3 ,a,train"]
    _, found = inspect(tmp_path, rows, header, split_column="split", val_fraction=0)
    assert told(found) == {
        ("duplicate", "row-000000"): "the same as row-000024",
        ("duplicate", "row-000003"): "the same as row-000026",
        ("leak", "row-000001 (train)"): "the same as row-000025 (test)",
        ("equal_two_classes", "row-000003"): "the same as row-000026 (a)",
    }
    assert not [each for each in found.findings if each.is_error]


def test_pairs_are_copies_only_where_both_are(tmp_path):
    rows = [f"same question,answer {i},{'ab'[i % 2]}" for i in range(20)]
    config, found = inspect(tmp_path, rows, "text,other,label", pair_column="other")
    assert found.findings == []
    assert set(data_report.sizes(found)) == {
        "characters", "words", "pair_characters", "pair_words"
    }  # fmt: skip
    sample = data_report.report(config, found)["samples"]["a"][0]
    assert sample["text"] == "same question"
    assert sample["pair"].startswith("answer ")


def test_rare_labels_that_look_like_frequent_ones_are_told(tmp_path):
    rows = [f"good {i},positive" for i in range(40)] + [f"bad {i},negative" for i in range(40)]
    rows += ["x 1,postive", "x 2,postive", "x 3,postive"]
    _, found = inspect(tmp_path, rows)
    assert told(found)[("label_typo", "'postive'")] == "for 'positive'?"
    _, found = inspect(tmp_path, rows[:-1])
    assert "Is 'postive' a typo for 'positive'?" in told(found)[("classes", "")]
    with pytest.raises(DataError, match="a typo for"):
        inspection.accept(found, "skip")


@pytest.mark.parametrize(("one", "other", "expected"), DISTANCES)
def test_edits(one, other, expected):
    assert edit_distance(one, other) == edit_distance(other, one) == expected


def test_names_that_are_meant_to_be_alike_are_no_typos():
    pairs = (("active", "inactive"), ("class 1", "class 2"), ("Cat food", "cat food"),
             ("cat", "car"), ("spam", "ham"))  # fmt: skip
    for rare, frequent in pairs:
        assert probable_typos([0] + [1] * 100, (rare, frequent)) == []
    assert probable_typos([0] * 50 + [1] * 100, ("postive", "positive")) == []
    assert probable_typos([0] * 5 + [1] * 100, ("postive", "positive")) == [(0, 1)]


def test_the_report_has_lengths_and_a_sample_that_is_printable(tmp_path):
    rows = [f'"{"w " * (i + 1)}\x1b[31m",{"ab"[i % 2]}' for i in range(40)]
    config, found = inspect(tmp_path, rows)
    report = json.loads(json.dumps(data_report.report(config, found)))
    assert report["modality"] == "text"
    words = report["sizes"]["words"]
    assert (words[0], words[-1]) == (2, 41)
    assert {name: len(each) for name, each in report["samples"].items()} == {"a": 3, "b": 3}
    shown = [each["text"] for those in report["samples"].values() for each in those]
    assert all(each.isprintable() and "\\x1b[31m" in each for each in shown)
    assert one_line("x" * 500) == "x" * 196 + " ..."
    assert one_line("a\nb\u202e") == "a\\nb\\u202e"


def test_most_rows_left_out_is_another_data_set(tmp_path):
    _, found = inspect(tmp_path, rows_of(12) + [",a"] * 4)
    assert len(inspection.accept(found, "skip").examples) == 12
    with pytest.raises(DataError, match=r"row-000012: no text \(line 14\)"):
        inspection.accept(found, "error")
    _, found = inspect(tmp_path, rows_of(12) + [",a"] * 13)
    with pytest.raises(DataError, match="would leave out 13 of 25"):
        inspection.accept(found, "skip")
    _, found = inspect(tmp_path, rows_of(400) + [",a"] * 13, limit=12)
    assert len(inspection.accept(found, "skip").examples) == 12


def test_a_named_training_split_may_have_classes_of_one():
    names = ["a"] * 20 + ["b"] * 20 + ["rare"] * 3
    parts = ["train"] * 41 + ["test"] * 2
    ids = [str(each) for each in range(43)]
    examples = from_names(ids, names, Texts(tuple(ids)), splits=parts)
    splits = make_splits(examples, 0.2, 0.0, seed=0)
    assert 40 in splits["train"]
    assert len(splits["val"]) == 8
    assert {int(each) for each in examples.labels[splits["val"]]} == {0, 1}


def test_two_spellings_of_a_number_or_a_truth_value_are_told(tmp_path):
    classes = ["0", "0.0", "1", "1.0", "true", "TRUE", "NA", "v1"]
    _, found = inspect(tmp_path, rows_of(80, classes))
    assert told(found) == {
        ("number_twins", "'0' and '0.0'"): "",
        ("number_twins", "'1' and '1.0'"): "",
        ("case_twins", "'TRUE' and 'true'"): "",
        ("placeholder_class", "'NA'"): "",
    }


def test_a_json_number_and_its_text_are_one_class(tmp_path):
    rows = [{"text": f"text {k}", "label": [1, "1", "a"][k % 3]} for k in range(30)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = load.inspect(TextTableData(root=str(tmp_path / "t.jsonl")), RuntimeConfig(), 0)
    assert (found.examples.classes, found.findings) == (("1", "a"), [])


@pytest.mark.parametrize(
    ("numbers", "is_told"),
    [
        ([k / 4 for k in range(12)], True),  # decimals
        ([20 + k for k in range(25)], True),  # ages
        (range(25), False),  # positions in a list of names
        (range(1, 26), False),
        ([1, 2, 3, 4, 5], False),  # stars
        (["a", *range(30, 60)], False),
    ],
)
@pytest.mark.parametrize("each", [1, 4])
def test_a_class_column_of_many_numbers_suggests_regression(tmp_path, numbers, is_told, each):
    classes = [str(number) for number in numbers]
    rows = [f"text {k},{classes[k % len(classes)]}" for k in range(each * len(classes))]
    _, found = inspect(tmp_path, rows)
    assert any("task=regression" in finding.why for finding in found.findings) == is_told
