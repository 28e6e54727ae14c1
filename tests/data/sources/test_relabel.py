"""`data.relabel`: what a labelling tool or a spreadsheet brought is applied, or refused whole."""

import csv
import json

import numpy as np
import pytest

from fmkit.config import registry
from fmkit.core.errors import ConfigError, DataError
from fmkit.data import dataset
from fmkit.data.content.texts import Texts
from fmkit.data.examples import from_names, without_classes
from fmkit.data.sources import registry as sources
from fmkit.data.sources import relabel
from fmkit.data.targets import LabelSets, Numbers


def listed(path, source="text_table", **keys):
    config = registry.config_class("data", source)(name=source, relabel=str(path))
    for key, value in keys.items():
        setattr(config, key, value)
    return config


def classes(count=12):
    texts = Texts(tuple(f"text  number {k}" for k in range(count)))
    return from_names([f"row-{k:06d}" for k in range(count)], list("abc" * 4)[:count], texts)


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return path


def changes(examples):
    return {f.where: f.why for f in examples.findings if f.kind == relabel.CHANGED}


@pytest.mark.parametrize(
    ("column", "cell"),
    [("example", "row-000004"), ("id", "row-000004"), ("text", "text number 4")],
)
def test_a_class_is_changed_by_id_or_text(tmp_path, column, cell):
    file = write(tmp_path / "new.csv", [[column, "label"], [cell, "c"]])
    examples = relabel.apply(classes(), listed(file))
    assert examples.classes[examples.labels[4]] == "c"
    assert (examples.labels != classes().labels).sum() == 1
    assert changes(examples) == {"row-000004": "was 'b', is 'c'"}
    assert examples.fingerprint != classes().fingerprint


def test_what_is_the_same_or_empty_changes_nothing(tmp_path):
    rows = [["example", "label"], ["row-000000", "a"], ["row-000001", ""]]
    examples = relabel.apply(classes(), listed(write(tmp_path / "new.csv", rows)))
    assert changes(examples) == {}
    assert examples.fingerprint == classes().fingerprint


@pytest.mark.parametrize(
    "rows",
    [
        [["example", "label", "drop"], ["row-000004", "b", "x"], ["row-000005", "c", ""]],
        [["example", "label"], ["row-000004", "drop"]],
        [["example", "drop"], ["row-000004", "true"]],
    ],
    ids=["column", "label", "column alone"],
)
def test_an_example_is_left_out(tmp_path, rows):
    examples = relabel.apply(classes(), listed(write(tmp_path / "new.csv", rows)))
    assert len(examples) == 11
    assert "row-000004" not in examples.ids
    assert [f.where for f in examples.findings] == ["row-000004"]


def test_exports_of_labelling_tools(tmp_path):
    result = {"type": "choices", "from_name": "choice", "value": {"choices": ["c"]}}
    studio = [
        {
            "id": 1,
            "data": {"example": "row-000004", "text": "text number 4", "label": "b"},
            "annotations": [{"result": [result]}],
        },
        {"id": 2, "data": {"example": "row-000005", "label": "c"}, "annotations": []},
    ]  # fmt: skip
    (tmp_path / "studio.json").write_text(json.dumps(studio))
    doccano = {"id": 77, "text": "text number 4", "label": ["c"], "example": "row-000004"}
    (tmp_path / "doccano.jsonl").write_text(json.dumps(doccano) + "\n")
    for name in ("studio.json", "doccano.jsonl"):
        examples = relabel.apply(classes(), listed(tmp_path / name))
        assert changes(examples) == {"row-000004": "was 'b', is 'c'"}


def test_all_that_is_wrong_is_said_at_once_with_counts(tmp_path):
    rows = [
        ["example", "label", "drop"],
        ["row-000004", "z", ""],
        ["row-000099", "a", ""],
        ["row-000098", "a", ""],
        ["row-000001", "a", ""],
        ["row-000001", "c", ""],
        ["row-000002", "a", "perhaps"],
    ]
    with pytest.raises(DataError) as caught:
        relabel.apply(classes(), listed(write(tmp_path / "new.csv", rows)))
    for part in ("2 rows name examples", "'z'", "the data has a, b, c", "1 row contradicts",
                 "perhaps"):  # fmt: skip
        assert part in caught.value.message


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([["name", "label"], ["x", "a"]], "no column that names examples"),
        ([["example", "class"], ["row-000001", "a"]], "no column of labels"),
        ([["example", "label"], ["x", "a"]], "1 row names an example"),
    ],
    ids=["no identity", "no label", "all unknown"],
)
def test_files_that_cannot_be_applied(tmp_path, rows, part):
    with pytest.raises(DataError, match=part):
        relabel.apply(classes(), listed(write(tmp_path / "new.csv", rows)))


def test_a_file_without_rows_is_named_with_its_key(tmp_path):
    with pytest.raises(DataError, match="is empty") as caught:
        relabel.apply(classes(), listed(write(tmp_path / "new.csv", [])))
    assert "data.relabel" in caught.value.hint


def test_data_without_labels_is_refused(tmp_path):
    file = write(tmp_path / "new.csv", [["example", "label"], ["0", "a"]])
    with pytest.raises(ConfigError, match="no labels"):
        relabel.apply(without_classes(["0"], Texts(("t",))), listed(file))


def test_sets_and_numbers(tmp_path):
    texts = Texts(("one", "two"))
    sets = LabelSets(("x", "y"), np.array([[True, False], [False, True]]))
    file = write(tmp_path / "sets.csv", [["example", "label"], ["a", "x|y"]])
    examples = relabel.apply(without_classes(["a", "b"], texts, sets), listed(file))
    assert examples.annotations.indicators.tolist() == [[True, True], [False, True]]
    assert changes(examples) == {"a": "was 'x', is 'x|y'"}
    numbers = Numbers(("n",), np.array([[1 / 3], [2.0]]))
    rows = [["example", "label"], ["a", "0.333333"], ["b", "2.5"]]
    file = write(tmp_path / "numbers.csv", rows)
    examples = relabel.apply(without_classes(["a", "b"], texts, numbers), listed(file))
    assert examples.annotations.values.tolist() == [[1 / 3], [2.5]]  # the first as it was
    file = write(tmp_path / "bad.csv", [["example", "label"], ["a", "many"]])
    with pytest.raises(DataError, match="many"):
        relabel.apply(without_classes(["a", "b"], texts, numbers), listed(file))


def test_photos_by_path_by_id_and_by_name(photos, tmp_path):
    root = photos(red=3, green=3)
    rows = [["path", "label"], ["red/red1.png", "green"], [str(root / "red" / "red2.png"), "green"]]
    config = listed(write(tmp_path / "new.csv", rows), "image_folder", root=str(root))
    assert set(changes(sources.collect(config))) == {"red/red1.png", "red/red2.png"}
    rows = [["image", "choice"], ["/data/upload/1/red0.png", "green"]]
    config = listed(write(tmp_path / "new.csv", rows), "image_folder", root=str(root))
    assert changes(sources.collect(config)) == {"red/red0.png": "was 'red', is 'green'"}


def test_every_example_stays_in_its_split(tmp_path):
    plain = registry.config_class("data", "digits")(name="digits")
    before = dataset.read(plain, 0)
    ids, labels = before.examples.ids, before.examples.labels
    rows = [["example", "label"], *([ids[k], str((labels[k] + 1) % 10)] for k in range(0, 300, 3))]
    after = dataset.read(listed(write(tmp_path / "new.csv", rows), "digits"), 0)
    assert (after.examples.labels != labels).sum() == 100
    for name, positions in before.splits.items():
        assert np.array_equal(positions, after.splits[name])
    assert before.spec.split_fingerprint == after.spec.split_fingerprint
