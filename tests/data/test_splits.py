"""Splits depend on the seed and the ids alone, keep the shares, and never cut a group."""

import numpy as np
import pytest

from fmkit.core.errors import ConfigError, DataError
from fmkit.data.content.images import ImageArray
from fmkit.data.examples import from_names, without_classes
from fmkit.data.quality.target_checks import target_findings
from fmkit.data.splits import describe, make_splits
from fmkit.data.stratify import allocate
from fmkit.data.targets import LabelSets


def made(counts, groups=None, splits=None, prefix="a/"):
    ids, names = [], []
    for name, count in counts.items():
        ids += [f"{prefix}{name}/{index:04d}" for index in range(count)]
        names += [name] * count
    return from_names(
        ids, names, ImageArray(np.zeros((len(ids), 1, 1), np.uint8)), splits=splits, groups=groups
    )


def where(examples, splits):
    return {examples.ids[each]: name for name, indices in splits.items() for each in indices}


def test_every_example_is_in_one_split_and_the_shares_are_right():
    examples = made({"a": 101, "b": 33, "c": 7, "d": 3})
    splits = make_splits(examples, 0.15, 0.2, seed=1)
    assert list(splits) == ["train", "val", "test"]
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(144))
    assert len(splits["val"]) == 22
    assert len(splits["test"]) == 29
    counts = describe(examples, splits).class_counts
    assert counts["test"] == {"a": 20, "b": 7, "c": 1, "d": 1}
    assert all(count >= 1 for each in counts.values() for count in each.values())
    for indices in splits.values():
        assert np.all(np.diff(indices) > 0)


def test_neither_order_nor_place_matters():
    examples = made({"a": 60, "b": 40})
    before = where(examples, make_splits(examples, 0.2, 0.2, seed=3))
    shuffled = examples.take(np.random.default_rng(0).permutation(100))
    splits = make_splits(shuffled, 0.2, 0.2, seed=3)
    assert where(shuffled, splits) == before
    first = describe(examples, make_splits(examples, 0.2, 0.2, seed=3))
    assert describe(shuffled, splits).split_fingerprint == first.split_fingerprint
    other = describe(examples, make_splits(examples, 0.2, 0.2, seed=4))
    assert other.split_fingerprint != first.split_fingerprint
    assert other.fingerprint == first.fingerprint


def test_a_file_more_moves_only_those_at_the_boundaries():
    before = None
    for extra in range(30):
        examples = made({"a": 60 + extra, "b": 40, "c": 25})
        now = where(examples, make_splits(examples, 0.15, 0.15, seed=0))
        if before is not None:
            assert sum(now[name] != split for name, split in before.items()) <= 4
        before = now


def test_fractions_may_be_zero():
    examples = made({"a": 10, "b": 10})
    assert list(make_splits(examples, 0.0, 0.0, 0)) == ["train"]
    assert list(make_splits(examples, 0.2, 0.0, 0)) == ["train", "val"]
    assert list(make_splits(examples, 0.0, 0.2, 0)) == ["train", "test"]
    for wrong in ((-0.1, 0.2), (0.5, 0.5)):
        with pytest.raises(ConfigError, match="leave something to train on"):
            make_splits(examples, *wrong, 0)


def test_large_fractions_leave_each_class_a_training_example():
    examples = made({"a": 3, "b": 4, "c": 50})
    splits = make_splits(examples, 0.45, 0.45, 0)
    assert set(examples.labels[splits["train"]]) == {0, 1, 2}


def test_a_class_too_small_is_named():
    with pytest.raises(DataError, match=r"at least 3 examples.*'b' has 2"):
        make_splits(made({"a": 9, "b": 2}), 0.2, 0.2, 0)
    assert make_splits(made({"a": 9, "b": 2}), 0.2, 0.0, 0)["val"].size == 2


def test_groups_are_never_cut():
    rng = np.random.default_rng(0)
    groups = [f"patient{each}" for each in rng.integers(0, 40, 400)]
    examples = made({"a": 250, "b": 150}, groups=groups)
    splits = make_splits(examples, 0.2, 0.2, seed=0)
    seen = [set(examples.groups[indices].tolist()) for indices in splits.values()]
    assert sum(len(each) for each in seen) == len(set(groups))
    assert sum(len(each) for each in splits.values()) == 400
    for name in ("val", "test"):
        assert 60 <= len(splits[name]) <= 100
        assert 0.4 < (examples.labels[splits[name]] == 0).mean() < 0.8
    shuffled = examples.take(rng.permutation(400))
    assert where(shuffled, make_splits(shuffled, 0.2, 0.2, 0)) == where(examples, splits)


def test_groups_of_one_class_are_stratified():
    groups = [f"scene{index // 5}" for index in range(200)]
    examples = made({"a": 100, "b": 100}, groups=groups)
    splits = make_splits(examples, 0.2, 0.2, seed=0)
    assert np.bincount(examples.labels[splits["test"]]).tolist() == [20, 20]
    assert np.bincount(examples.labels[splits["val"]]).tolist() == [20, 20]


def test_too_few_groups_are_told():
    with pytest.raises(DataError, match="2 groups leave nothing for test"):
        make_splits(made({"a": 9, "b": 9}, groups=["x"] * 9 + ["y"] * 9), 0.0, 0.2, 0)
    groups = [f"g{index // 3}" for index in range(30)] + ["only"] * 9
    examples = made({"a": 30, "b": 9}, groups=groups)
    splits = make_splits(examples, 0.2, 0.2, 0)
    assert set(splits) == {"train", "val", "test"}
    whys = [f.why for f in target_findings(examples, splits) if f.kind == "absent_class"]
    assert sum("val has no example of 'b'" in why for why in whys) == 1


def sets(names, groups):
    """Examples with sets of labels, each written as `ab`."""
    labels = sorted(set("".join(names)))
    indicators = np.array([[label in name for label in labels] for name in names])
    ids = [f"{index:04d}" for index in range(len(names))]
    content = ImageArray(np.zeros((len(ids), 1, 1), np.uint8))
    return without_classes(
        ids, content, LabelSets(tuple(labels), indicators), groups=np.array(groups)
    )


@pytest.mark.parametrize("kind", ["classes", "sets"])
def test_a_class_that_few_groups_have_stays_in_training_whatever_the_seed(kind):
    """Patient p0 alone has class `c`, and p1 and p2 have all of `d`; most of theirs is `a`."""
    names = [*"aaab" * 3, *"aabb" * 15]
    names[0], names[4], names[8] = "c", "d", "d"
    groups = [f"p{index // 4}" for index in range(len(names))]
    returned = 0
    for seed in range(30):
        if kind == "sets":
            examples = sets(names, groups)
            presence = examples.annotations.indicators
        else:
            ids = [f"{index:04d}" for index in range(len(names))]
            content = ImageArray(np.zeros((len(ids), 1, 1), np.uint8))
            examples = from_names(ids, names, content, groups=groups)
            presence = np.eye(4, dtype=bool)[examples.labels]
        splits = make_splits(examples, 0.25, 0.25, seed)
        assert presence[splits["train"]].any(axis=0).all()
        assert {len(splits[name]) // 4 for name in ("val", "test")} <= {3, 4, 5, 6}
        where_groups = [set(examples.groups[indices].tolist()) for indices in splits.values()]
        assert sum(map(len, where_groups)) == 18
        assert "p0" in where_groups[0]
        returned += bool({"p1", "p2"} - where_groups[0])
    assert returned


def test_named_splits_are_kept():
    named = (["train"] * 8 + ["test"] * 2) * 2
    examples = made({"a": 10, "b": 10}, splits=named)
    splits = make_splits(examples, 0.25, 0.5, seed=0)
    assert splits["test"].tolist() == [8, 9, 18, 19]
    assert np.bincount(examples.labels[splits["val"]]).tolist() == [2, 2]
    assert set(splits["val"]) < set(np.flatnonzero(np.array(named) == "train"))
    named = (["train"] * 8 + ["val"] * 2) * 2
    splits = make_splits(made({"a": 10, "b": 10}, splits=named), 0.4, 0.4, 0)
    assert set(splits) == {"train", "val"}
    assert len(splits["val"]) == 4


def test_named_splits_that_cannot_be_used():
    with pytest.raises(DataError, match="Class 'b' has no example in train, it is only in test"):
        make_splits(made({"a": 4, "b": 4}, splits=["train"] * 4 + ["test"] * 4), 0.0, 0.2, 0)
    with pytest.raises(DataError, match="no example of `train`"):
        make_splits(made({"a": 4, "b": 4}, splits=["test"] * 8), 0.2, 0.2, 0)
    examples = made({"a": 4, "b": 4}, splits=["train", "val"] * 4, groups=["p"] * 2 + ["q"] * 6)
    with pytest.raises(DataError, match="2 groups are in more than one"):
        make_splits(examples, 0.2, 0.2, 0)


def test_largest_remainders():
    # The example of Wikipedia's `Quota method` (Hare quota, 10 seats).
    counts = [47_000, 16_000, 15_900, 12_000, 6_000, 3_100]
    assert allocate(counts, 10, [0] * 6, counts).tolist() == [5, 2, 1, 1, 1, 0]
    assert allocate(counts, 10, [1] * 6, counts).sum() == 10
    assert allocate([5, 5], 99, [0, 0], [3, 4]).tolist() == [3, 4]


def test_few_shots_of_each_class_leave_the_test_whole():
    examples = made({"a": 100, "b": 30, "c": 7})
    whole = make_splits(examples, 0.2, 0.2, seed=1)
    few = make_splits(examples, 0.2, 0.2, seed=1, shots=5)
    counts = describe(examples, few).class_counts
    assert counts["train"] == {"a": 5, "b": 5, "c": 5}
    assert counts["val"] == {"a": 5, "b": 5, "c": 1}
    np.testing.assert_array_equal(few["test"], whole["test"])
    for name in ("train", "val"):
        assert set(few[name].tolist()) <= set(whole[name].tolist())
    other = make_splits(examples, 0.2, 0.2, seed=2, shots=5)
    assert set(other["train"].tolist()) != set(few["train"].tolist())
