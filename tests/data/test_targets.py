"""Sets of labels and numbers as annotations: matched by name, told apart, shared out."""

import numpy as np
import pytest

from fmkit.core.errors import ConfigError, DataError
from fmkit.data import splits, stratify
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.targets import LabelSets, Numbers, join_labels


def sets(there, names=None, is_open=False):
    there = np.array(there, bool)
    return LabelSets(names or tuple("abcdefgh"[: there.shape[1]]), there, is_open)


def examples(annotations, groups=None, named=None):
    rows = annotations.indicators if isinstance(annotations, LabelSets) else annotations.values
    count = len(rows)
    ids = tuple(f"row-{each:06d}" for each in range(count))
    return Examples(
        ids, np.zeros(count, np.int32), (), Texts(tuple(f"text {each}" for each in ids)),
        None if named is None else np.array(named),
        None if groups is None else np.array(groups), annotations=annotations,
    )  # fmt: skip


def test_labels_are_matched_by_name_and_an_open_one_may_be_missing():
    known = sets([[1, 0], [0, 1]], ("cat", "café"))
    assert known.align(("cafe\u0301", "cat")).indicators.tolist() == [[False, True], [True, False]]
    with pytest.raises(DataError, match="the data has no 'dog'"):
        known.align(("cat", "café", "dog"))
    with pytest.raises(DataError, match=r"'caf\\xe9' was not in the training data"):
        known.align(("cat",))
    opened = sets([[1, 0], [0, 1]], ("cat", "cow"), is_open=True)
    matched = opened.align(("ant", "cat", "cow"))
    assert matched.indicators.tolist() == [[False, True, False], [False, False, True]]
    with pytest.raises(DataError, match="'cow' was not in the training data"):
        opened.align(("cat",))


def test_numbers_are_matched_by_name():
    known = Numbers(("x", "y"), np.array([[1.0, 2], [3, 4]]))
    assert known.align(("y", "x")).values.tolist() == [[2, 1], [4, 3]]
    with pytest.raises(
        DataError,
        match=r"numbers do not match: the data has no 'z'.*'y' was not in the training data",
    ):
        known.align(("x", "z"))
    assert known.moments(np.array([0, 1])) == {"x": (2, 1), "y": (3, 1)}


def test_the_fingerprint_sees_every_label_and_every_digit():
    one = examples(sets([[1, 0], [0, 1]]))
    assert one.fingerprint == examples(sets([[1, 0], [0, 1]])).fingerprint
    assert one.fingerprint != examples(sets([[1, 0], [1, 1]])).fingerprint
    assert one.fingerprint != examples(sets([[1, 0], [0, 1]], ("a", "c"))).fingerprint
    values = np.array([[0.1], [0.2]])
    first = examples(Numbers(("x",), values)).fingerprint
    assert first != examples(Numbers(("x",), values + 1e-16)).fingerprint


def test_joined_names():
    assert join_labels(("a", "b", "c"), np.array([[1, 0, 1], [0, 0, 0]], bool)) == ["a|c", ""]


def test_the_rarest_label_stands_for_an_example():
    known = sets([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1], [1, 1, 0]])
    assert known.strata()[0].tolist() == [1, 0, 2, 3, 2, 1]


@pytest.mark.parametrize("seed", range(5))
def test_every_label_keeps_an_example_in_train_and_near_its_share_elsewhere(seed):
    draw = np.random.default_rng(seed)
    there = draw.uniform(size=(200, 6)) < [0.6, 0.3, 0.1, 0.05, 0.02, 0.01]
    there[0, 4] = there[1, 5] = True
    known = sets(there)
    made = splits.make_splits(examples(known), 0.2, 0.2, seed)
    assert sum(map(len, made.values())) == 200
    assert known.indicators[made["train"]].any(axis=0).all()
    for name in ("val", "test"):
        assert abs(len(made[name]) - 40) <= 3
        for label in range(3):
            count = known.indicators[:, label].sum()
            assert abs(known.indicators[made[name], label].sum() - 0.2 * count) <= max(
                3, 0.08 * count
            )
    spec = splits.describe(examples(known), made)
    assert spec.class_counts["val"]["a"] == known.indicators[made["val"], 0].sum()
    assert (spec.annotations, spec.names) == ("sets", tuple("abcdef"))


def test_a_label_that_is_never_the_rarest_comes_back_to_train():
    """Each `a` has a rarer label beside it, whose other examples may be what train keeps."""
    there = np.zeros((30, 3), bool)
    there[:3, 0] = True
    there[0, 1] = there[1, 2] = True
    there[3:4, 1] = there[4:5, 2] = True
    there[5:, 0] = False
    for seed in range(20):
        known = sets(there)
        made = splits.make_splits(examples(known), 0.3, 0.3, seed)
        assert known.indicators[made["train"]].any(axis=0).all(), seed


def test_a_label_without_an_example_in_a_named_train_split_is_refused():
    named = ["train"] * 6 + ["test"] * 2
    there = [[1, 0, 0]] * 6 + [[0, 1, 0]] * 2
    with pytest.raises(DataError) as error:
        splits.make_splits(examples(sets(there), named=named), 0, 0, 0)
    assert "Label 'b' has no example in train, it is only in test." in str(error.value)
    assert "Label 'c' has no example in train, it is in no split." in str(error.value)


def test_groups_stay_whole():
    draw = np.random.default_rng(0)
    known = sets(draw.uniform(size=(120, 3)) < [0.5, 0.4, 0.2])
    groups = [f"g{each % 24}" for each in range(120)]
    data = examples(known, groups)
    made = splits.make_splits(data, 0.2, 0.2, 0)
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not set(data.groups[made[one]]) & set(data.groups[made[other]])
    values = Numbers(("x",), draw.normal(size=(120, 1)))
    made = splits.make_splits(examples(values, groups), 0.2, 0.2, 0)
    assert {len(made["val"]), len(made["test"])} <= {20, 25, 30}
    spec = splits.describe(examples(values), made)
    mean, deviation = spec.moments["x"]
    assert mean == pytest.approx(values.values[made["train"]].mean())
    assert deviation == pytest.approx(values.values[made["train"]].std())
    assert spec.as_dict()["moments"] == {"x": [mean, deviation]}


def test_a_limit_keeps_an_example_of_each_rarest_label():
    there = np.zeros((50, 3), bool)
    there[:40, 0] = there[40:44, 1] = there[44, 2] = True
    found = stratify.limit_examples(examples(sets(there)), 10)
    assert len(found) == 10
    assert found.annotations.indicators.any(axis=0).all()
    with pytest.raises(ConfigError, match="one per label"):
        stratify.limit_examples(examples(sets(there)), 3)
