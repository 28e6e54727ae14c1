"""Near duplicates across splits: by a plain loop, and none where there are none."""

import numpy as np

from fmkit.evaluation.label_quality import similar_examples as similar


def by_loops(features, rows, others):
    """The three tests of the module's docstring, example by example."""
    used = np.concatenate([rows, others])
    centred = features - features[used].mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    pairs = []
    for i in rows:
        there = {j: float(centred[i] @ centred[j]) for j in others}
        j = max(there, key=there.get)
        back = {k: float(centred[j] @ centred[k]) for k in rows}
        sixth = min(1 - sorted(side.values())[-6] for side in (there, back))
        if max(back, key=back.get) == i and there[j] >= 0.85 and 1 - there[j] < 0.2 * sixth:
            pairs.append((int(i), int(j)))
    return pairs


def test_planted_copies_are_found_as_a_loop_finds_them():
    draw = np.random.default_rng(0)
    features = draw.normal(size=(200, 16)) + 3.0
    train, test = np.arange(0, 200, 2), np.arange(1, 200, 2)
    for k in (10, 20, 30):
        features[test[k]] = features[train[k + 5]] + draw.normal(size=16) * 0.05
    features = features.astype(np.float32)
    pairs = similar.near_duplicates(features, {"train": train, "test": test})
    expected = by_loops(features.astype(np.float64), train, test)
    assert sorted((pair.first, pair.second) for pair in pairs) == sorted(expected)
    assert {(int(train[k + 5]), int(test[k])) for k in (10, 20, 30)} <= set(expected)
    assert pairs[0].splits == ("train", "test")


def test_no_copies_no_pairs_however_alike_all_are():
    draw = np.random.default_rng(1)
    features = np.float32(100 + draw.normal(size=(400, 64)))
    splits = {"train": np.arange(300), "val": np.arange(300, 350), "test": np.arange(350, 400)}
    assert similar.near_duplicates(features, splits) == []
    assert similar.near_duplicates(features, {"train": np.arange(400), "val": np.arange(0)}) == []
