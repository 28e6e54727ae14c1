"""A biased slice that was planted is found, and shuffled data shows none."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, fisher_exact, mannwhitneyu
from sklearn.metrics import accuracy_score

from fmkit.core.errors import DataError
from fmkit.evaluation import regression
from fmkit.evaluation.scores import of_classes, of_numbers
from fmkit.evaluation.slices import fairness
from fmkit.evaluation.slices import search as slices
from fmkit.evaluation.slices.groups import MISSING, OTHERS, groups_of

NAMES = ["no", "yes"]
CAMERAS, LIGHTS = ["A", "B", "C", "D"], ["day", "night"]


def class_scores(labels, predicted):
    probabilities = np.eye(2)[predicted] * 0.8 + 0.1
    columns = {f"probability_{name}": probabilities[:, k] for k, name in enumerate(NAMES)}
    ids = [f"row-{number}" for number in range(len(labels))]
    return of_classes({"id": ids, "label": [NAMES[label] for label in labels], **columns})


def drawn(seed, count=1500, wrong=0.15):
    """Columns, labels, and predictions that are wrong as often everywhere."""
    rng = np.random.default_rng(seed)
    columns = {
        "camera": rng.choice(CAMERAS, count).tolist(),
        "light": rng.choice(LIGHTS, count).tolist(),
        "size": groups_of([f"{value:.3f}" for value in rng.normal(size=count)]),
        "operator": [f"p{number}" for number in rng.integers(0, 12, count)],
    }
    labels = rng.integers(0, 2, count)
    return columns, labels, np.where(rng.random(count) < wrong, 1 - labels, labels), rng


def test_a_planted_value_is_found_and_named():
    columns, labels, predicted, rng = drawn(0)
    planted = np.array(columns["camera"]) == "B"
    predicted = np.where(planted & (rng.random(1500) < 0.3), 1 - labels, predicted)
    found = slices.judge(class_scores(labels, predicted), columns, 0, 0)
    (worst,) = found.worst
    assert (worst["columns"], worst["values"]) == (["camera"], ["B"])
    wrong = predicted != labels
    assert worst["n"] == planted.sum()
    assert worst["error"] == pytest.approx(wrong[planted].mean())
    assert worst["error_elsewhere"] == pytest.approx(wrong[~planted].mean())
    table = [
        [(wrong & planted).sum(), (~wrong & planted).sum()],
        [(wrong & ~planted).sum(), (~wrong & ~planted).sum()],
    ]
    smallest = fisher_exact(table, "greater").pvalue
    assert worst["p_value"] == pytest.approx(smallest * found.tested)
    assert "camera is 'B'" in worst["sentence"]
    assert f"{wrong[planted].mean():.1%}" in worst["sentence"]


def test_a_planted_pair_is_found_and_not_its_halves():
    columns, labels, predicted, rng = drawn(1, 4000)
    planted = (np.array(columns["camera"]) == "C") & (np.array(columns["light"]) == "night")
    predicted = np.where(planted & (rng.random(4000) < 0.4), 1 - labels, predicted)
    found = slices.judge(class_scores(labels, predicted), columns, 0, 0)
    assert found.worst[0]["columns"] == ["camera", "light"]
    assert found.worst[0]["values"] == ["C", "night"]
    # Others that hold many of its examples are worse than the rest, too, but no pair is.
    assert all(len(row["columns"]) == 1 for row in found.worst[1:])


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_of_20_shuffled_data_sets_at_most_one_shows_a_slice(kind):
    reported = 0
    for seed in range(20):
        columns, labels, predicted, rng = drawn(100 + seed, 600)
        if kind == "classes":
            scores = class_scores(labels, predicted)
        else:
            truth = rng.exponential(size=(600, 1))  # with a long tail
            guess = truth + rng.standard_t(3, (600, 1))
            scores = of_numbers(
                {
                    "id": [str(number) for number in range(600)],
                    **regression._columns("label", truth, ("x",)),
                    **regression._columns("prediction", guess, ("x",)),
                }
            )
        reported += bool(slices.judge(scores, columns, 0, 0).worst)
    assert reported <= 1


def test_errors_that_are_numbers_are_tested_by_their_ranks():
    rng = np.random.default_rng(2)
    errors = np.round(rng.exponential(size=300), 1)  # with equal ones
    members = rng.random(300) < 0.3
    errors[members] += 0.2
    other = rng.random(300) < 0.5
    values = [("x", "1", members), ("x", "0", ~members), ("y", "1", other)]
    names, p_values = slices.test_values(errors, values)
    expected = mannwhitneyu(
        errors[members], errors[~members], alternative="greater", method="asymptotic"
    )
    assert p_values[names.index((0,))] == pytest.approx(expected.pvalue)


def test_a_pair_that_says_no_more_than_one_of_its_values_is_not_reported():
    columns, labels, predicted, rng = drawn(3, 3000)
    planted = np.array(columns["camera"]) == "B"
    predicted = np.where(planted & (rng.random(3000) < 0.5), 1 - labels, predicted)
    found = slices.judge(class_scores(labels, predicted), columns, 0, 0)
    assert [row["values"] for row in found.worst] == [["B"]]


def test_holm_in_closed_form():
    corrected = slices.holm(np.array([0.04, 0.01, 0.03, 0.5]))
    np.testing.assert_allclose(corrected, [0.09, 0.04, 0.09, 0.5])


def test_metrics_and_intervals_of_each_value():
    columns, labels, predicted, _ = drawn(4, 200)
    table = slices.judge(class_scores(labels, predicted), {"light": columns["light"]}, 400, 7).table
    assert table["value"] == LIGHTS
    for row, name in enumerate(LIGHTS):
        part = np.array(columns["light"]) == name
        assert table["n"][row] == part.sum()
        assert table["accuracy"][row] == pytest.approx(
            accuracy_score(labels[part], predicted[part])
        )
        random, right = np.random.default_rng(7), (labels == predicted)[part]
        sampled = [right[random.integers(0, len(right), len(right))].mean() for _ in range(400)]
        bounds = table["accuracy_low"][row], table["accuracy_high"][row]
        assert bounds == pytest.approx(np.percentile(sampled, (2.5, 97.5)))


def test_gaps_by_a_plain_loop():
    columns, labels, predicted, rng = drawn(5)
    camera = np.array(columns["camera"])
    predicted = np.where((camera == "D") & (rng.random(1500) < 0.5), 1, predicted)
    widest, table = fairness.gaps(class_scores(labels, predicted), {"camera": columns["camera"]})
    rates = {
        name: [
            (predicted[part] == 1).mean()
            for part in (camera == name, (camera == name) & (labels == 1),
                         (camera == name) & (labels == 0))
        ]
        for name in CAMERAS
    }  # fmt: skip
    selected, hits, false_alarms = ([rates[name][rate] for name in CAMERAS] for rate in range(3))
    own = widest["camera"]
    assert own["demographic_parity"]["gap"] == pytest.approx(max(selected) - min(selected))
    assert own["demographic_parity"]["highest"] == "D"
    counts = [[(predicted[camera == name] == k).sum() for k in (1, 0)] for name in CAMERAS]
    expected = chi2_contingency(counts, correction=False).pvalue * 3
    assert own["demographic_parity"]["p_value"] == pytest.approx(expected)
    gap = max(max(hits) - min(hits), max(false_alarms) - min(false_alarms))
    assert own["equalised_odds"]["gap"] == pytest.approx(gap)
    assert table["true_positive_rate"] == pytest.approx(hits)
    parity, odds = own["sentences"]
    assert "Where camera is 'D', 'yes' is predicted for" in parity
    assert "'yes'" in odds
    assert "equalised odds" in odds
    assert "chance" not in parity


def test_gaps_of_shuffled_groups_are_called_chance():
    called = 0
    for seed in range(20):
        columns, labels, predicted, _ = drawn(200 + seed, 600)
        widest, _ = fairness.gaps(class_scores(labels, predicted), {"camera": columns["camera"]})
        sentences = widest["camera"]["sentences"]
        called += all(sentence.endswith("which may well be chance.") for sentence in sentences)
    assert called >= 19


def test_groups_with_few_examples_have_no_rates():
    columns, labels, predicted, _ = drawn(6, 60)
    columns["camera"][:] = ["A"] * 45 + ["B"] * 15
    widest, _ = fairness.gaps(class_scores(labels, predicted), {"camera": columns["camera"]})
    assert widest["camera"]["demographic_parity"]["gap"] is None
    assert widest["camera"]["sentences"] == []
    assert slices.judge(class_scores(labels, predicted), {"c": columns["camera"]}, 0, 0).tested == 0


def test_numbers_become_quarters_and_rare_names_others():
    groups = groups_of([str(value) for value in range(1, 101)] + [""])
    assert groups[-1] == MISSING
    assert [groups[:100].count(name) for name in dict.fromkeys(groups[:100])] == [25] * 4
    assert groups[0] == "1 to 25.75"
    names = [f"n{number}" for number in range(40) for _ in range(40 - number)]
    groups = groups_of(names)
    assert len({*groups}) == 20
    assert groups[0] == "n0"
    assert groups[-1] == OTHERS
    assert {*groups_of(["1", "2", "1"])} == {"1", "2"}


def test_examples_are_found_by_their_ids():
    columns, labels, predicted, _ = drawn(7, 100)
    scores = class_scores(labels, predicted)
    order = np.random.default_rng(0).permutation(100)
    shuffled = [scores.ids[row] for row in order]
    lights = [columns["light"][row] for row in order]
    result = slices.diagnostics(scores, shuffled, {"light": lights, "none": [""] * 100}, 0, 0)
    plain = slices.judge(scores, {"light": columns["light"]}, 0, 0)
    assert result.tables["slices"] == plain.table
    assert set(result.metrics["fairness"]) == {"light"}
    with pytest.raises(DataError, match="no example has a value"):
        slices.diagnostics(scores, shuffled, {"none": [""] * 100}, 0, 0)
