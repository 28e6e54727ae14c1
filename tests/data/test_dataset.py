"""Classes are matched by name between a run and new data, never by position."""

import dataclasses
import json
import unicodedata

import numpy as np
import pytest

from fmkit.config.schema.data import TextTableData
from fmkit.core.errors import DataError
from fmkit.core.types import DataSpec
from fmkit.data import dataset, splits
from fmkit.data.content.images import ImageArray
from fmkit.data.content.texts import Texts
from fmkit.data.examples import from_names, without_classes
from fmkit.data.targets import LabelSets, Numbers
from fmkit.store.run_reader import RunReader

COMPOSED, APART = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")


def examples(names, classes=None):
    """Two examples a name, in the order of the names."""
    names = [each for each in names for _ in range(2)]
    pixels = np.zeros((len(names), 2, 2), np.uint8)
    ids = [f"row-{index}" for index in range(len(names))]
    return from_names(ids, names, ImageArray(pixels), classes=classes)


@pytest.mark.parametrize(
    ("run", "data", "order"),
    [
        (("a", "b", "c"), ("a", "b", "c"), None),
        (("c", "a", "b"), ("a", "b", "c"), None),
        (("2", "10"), ("2", "10"), ("10", "2")),
        ((COMPOSED, "tea"), (APART, "tea"), None),
        ((APART, "tea"), ("tea", COMPOSED), None),
        (("new york", "rome"), ("new  york ", "rome"), None),
    ],
)
def test_the_same_classes_are_mapped_by_name(run, data, order):
    found = examples(data, order)
    labels = dataset.match_classes(found, run)
    for label, mine in zip(labels, found.labels, strict=True):
        one, other = run[label], found.classes[mine]
        same = [unicodedata.normalize("NFC", " ".join(each.split())) for each in (one, other)]
        assert same[0] == same[1]


@pytest.mark.parametrize(
    ("run", "data", "named"),
    [
        (("a", "b"), ("a", "b", "c"), ["'c' was not in the training data"]),
        (("cat", "dog"), ("Cat", "dog"), ["'cat'", "'Cat'", "upper and lower case differ"]),
        (("12", "3"), ("012", "3"), ["has no '12'", "'012' was not"]),
        (("a", "b", "c", "d"), ("b", "c", "d", "e"), ["has no 'a'", "'e' was not"]),
        (("café", "tea"), ("cafe", "tea"), ["caf\\xe9", "'cafe'"]),
        ((COMPOSED, "tea"), (COMPOSED, APART, "tea"), ["two spellings"]),
    ],
)
def test_other_classes_are_refused_with_names(run, data, named):
    with pytest.raises(DataError) as caught:
        dataset.match_classes(examples(data), run)
    for each in named:
        assert each in str(caught.value)


def test_new_data_may_lack_classes_and_keeps_the_places_of_the_others():
    labels = dataset.match_classes(examples(("b", "d")), ("a", "b", "c", "d"))
    assert labels.tolist() == [1, 1, 3, 3]


def test_an_unknown_class_counts_only_where_its_examples_do():
    data = examples(("a", "b", "new"))
    labels = dataset.match_classes(data, ("b", "a"), np.array([0, 3]))
    assert labels.tolist() == [1, 1, 0, 0, -1, -1]
    with pytest.raises(DataError, match="'new' was not in the training data"):
        dataset.match_classes(data, ("b", "a"), np.array([0, 4]))


def test_a_class_that_only_the_test_lacks_keeps_all_places():
    names = ["a", "b", "c", "d"]
    parts = ["train"] * 8
    found = from_names(
        [f"row-{index}" for index in range(14)],
        [*names, *names, "b", "c", "d", "b", "c", "d"],
        ImageArray(np.zeros((14, 2, 2), np.uint8)),
        [*parts, *["test"] * 6],
    )
    made = splits.make_splits(found, 0.0, 0.0, 0)
    labels = dataset.match_classes(found, ("a", "b", "c", "d"))
    assert sorted(set(labels[made["test"]].tolist())) == [1, 2, 3]


def test_a_run_goes_on_with_data_that_lists_its_classes_otherwise():
    found = examples(("10", "2"))
    data = dataset.Dataset(
        found, {"train": np.arange(4)}, splits.describe(found, {"train": np.arange(4)})
    )
    ordered = dataset.align_classes_if_same(data, ("2", "10"))
    assert ordered.examples.classes == ordered.spec.classes == ("2", "10")
    names = [ordered.examples.classes[each] for each in ordered.examples.labels]
    assert names == ["10", "10", "2", "2"]
    assert ordered.spec.fingerprint == data.spec.fingerprint
    assert dataset.align_classes_if_same(data, ("2", "10", "11")) is data


def learned(kind, names):
    return DataSpec("image", (), {}, annotations=kind, names=names)


def annotated(annotations):
    count = len(annotations)
    made = without_classes([f"{k}" for k in range(count)], Texts(("x",) * count), annotations)
    return dataset.Dataset(made, {}, splits.describe(made, {}))


def test_numbers_that_new_data_lacks_are_named_by_position():
    values = np.arange(6.0).reshape(3, 2)
    data, outputs = dataset.align_present_annotations(
        annotated(Numbers(("c", "a"), values)), learned("numbers", ("a", "b", "c"))
    )
    assert outputs.tolist() == [0, 2]
    assert data.examples.annotations.names == ("a", "c")
    assert data.examples.annotations.values.tolist() == values[:, ::-1].tolist()
    whole, outputs = dataset.align_present_annotations(
        annotated(Numbers(("c", "a"), values)), learned("numbers", ("a", "c"))
    )
    assert (whole.examples.annotations.names, outputs) == (("a", "c"), None)
    for names, said in ((("a", "b"), "'c' was not in"), (("b",), "no 'b'"), (("d", "e"), "no 'd'")):
        with pytest.raises(DataError, match=said):
            dataset.align_present_annotations(
                annotated(Numbers(("c", "a"), values)), learned("numbers", names)
            )


def test_open_labels_that_nobody_has_are_no_missing_columns():
    yes = np.ones((2, 1), bool)
    run = learned("sets", ("a", "b"))
    data, outputs = dataset.align_present_annotations(annotated(LabelSets(("a",), yes, True)), run)
    assert (data.examples.annotations.names, outputs) == (("a", "b"), None)
    data, outputs = dataset.align_present_annotations(annotated(LabelSets(("a",), yes)), run)
    assert (data.examples.annotations.names, outputs.tolist()) == (("a",), [0])


UNITS = {
    "percent and plain numbers": ("5%\n6%\n", "0.5\n0.6\n", "in %, and these are without a unit"),
    "two currencies": ("$5.00\n$6.00\n", '"5,00 €"\n7 €\n', "in $, and these are in EUR"),
    "one currency in two ways": ("5 €\n6 €\n", "EUR 5\nEUR 6\n", ""),
    "plain numbers": ("5\n6\n", "7\n8\n", ""),
}


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_of_numbers_is_that_of_the_run(name, tmp_path, capsys):
    learned, new, said = UNITS[name]
    specs = []
    for cells in (learned, new):
        rows = [f"a text {n},{cell}" for n, cell in enumerate(cells.splitlines())]
        (tmp_path / "t.csv").write_text("\n".join(["text,share", *rows]))
        config = TextTableData(
            root=str(tmp_path / "t.csv"), label_column="share", labels="numbers",
            val_fraction=0.0, test_fraction=0.5,
        )  # fmt: skip
        specs.append(dataset.read(config, 0))
    (tmp_path / "environment.json").write_text(json.dumps({"data": specs[0].spec.as_dict()}))
    stored = RunReader(tmp_path).spec()
    assert stored.units == specs[0].spec.units
    dataset.align_annotations(specs[1], stored)
    warned = capsys.readouterr().err
    assert said in warned if said else not warned
    dataset.align_annotations(specs[1], dataclasses.replace(stored, units={}))  # an older run
    assert not capsys.readouterr().err
