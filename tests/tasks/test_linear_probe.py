"""Solved heads are those that scikit-learn finds, folded into plain weights."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fmkit.tasks import cross_validation, linear_probe
from fmkit.tasks.linear_probe import STRENGTHS
from fmkit.tasks.linear_problems import SCALINGS, Classes, LabelSets, Numbers

EXACT = {"max_iter": 10_000, "tol": 1e-8}


def digits(count, classes=10):
    pixels, labels = load_digits(return_X_y=True)
    chosen = np.flatnonzero(labels < classes)[:count]
    noise = np.random.default_rng(0).normal(0, 25, (len(chosen), 64))
    return (pixels[chosen] * 3 - 5 + noise).astype("f4"), labels[chosen]


def scaled(x, rows=slice(None), scaling="standardised"):
    """By a plain loop over the features: centred, in deviations, or in the root mean square."""
    parts = at_length(x, scaling, rows).astype(np.float64)
    mean, scale = parts[rows].mean(axis=0), parts[rows].std(axis=0)
    dead = scale == 0
    if scaling != "standardised":
        scale = np.full_like(scale, np.sqrt((scale**2).mean()))
    return (parts - mean) / np.where(dead, np.inf, scale)


def at_length(x, scaling, rows=slice(None)):
    """The features that a head of a scaling reads."""
    lengths = np.linalg.norm(x.astype(np.float64), axis=1)
    factors = (
        np.sqrt((lengths[rows] ** 2).mean()) / lengths if scaling == "unit" else 1 + 0 * lengths
    )
    return x * factors[:, None]


def softmax(logits):
    parts = np.exp(logits - logits.max(axis=1, keepdims=True))
    return parts / parts.sum(axis=1, keepdims=True)


def sharpened(log_chances, labels, count):
    """The factor of 1 to 50 with the lowest loss, by a plain search, and that loss plus 1 / n.

    One example more than the `count` there are is of each class in equal parts. The factor is 1,
    and the loss as it is, where that is lower.
    """
    rows, losses = np.arange(len(labels)), {}
    for factor in np.geomspace(1, 50, 2000):
        logs = log_softmax(factor * log_chances, axis=1)
        likelihood = count * logs[rows, labels].mean() + logs.mean()
        losses[factor] = -likelihood
    best, classes = min(losses, key=losses.__getitem__), range(log_chances.shape[1])
    loss = log_loss(labels, softmax(best * log_chances), labels=classes) + 1 / len(labels)
    plain = log_loss(labels, softmax(log_chances), labels=classes)
    return min((plain, 1), (loss, best))[::-1]


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize(("classes", "count"), [(2, 200), (10, 300), (3, 40)])
def test_classes_agree_with_scikit_learn(classes, count, scaling):
    """With more examples than features, and with fewer."""
    x, y = digits(count, classes)
    weights = np.where(y == 1, 2.0, 1.0)
    problem = Classes(y, weights, classes)
    kernel, bias = linear_probe.fit(problem, x, scaling, 0.1)
    assert kernel.shape == (64, classes)
    reference = LogisticRegression(C=0.1, **EXACT).fit(scaled(x, scaling=scaling), y, weights)
    expected = reference.predict_proba(scaled(x, scaling=scaling))
    logits = at_length(x, scaling) @ kernel + bias
    np.testing.assert_allclose(softmax(logits), expected, atol=2e-4)


@pytest.mark.parametrize("classes", [2, 10])
def test_one_split_chooses_what_its_held_out_half_likes_best(classes):
    x, y = digits(300, classes)
    train, held_out = np.arange(150), np.arange(150, 300)
    problem = Classes(y, None, classes)
    choice = linear_probe.choose(problem, x, [(train, held_out)], ["standardised"])
    (losses,) = choice.losses.values()
    assert losses[choice.strength] == min(losses.values()) == choice.loss
    parts = scaled(x, train)
    for strength, loss in losses.items():
        reference = LogisticRegression(C=strength, **EXACT).fit(parts[train], y[train])
        logs = reference.predict_log_proba(parts[held_out])
        factor, expected = sharpened(logs, y[held_out], len(y))
        assert loss == pytest.approx(expected, rel=5e-3)
        if strength == choice.strength:
            assert choice.factor == pytest.approx(factor, rel=1e-2)


@pytest.mark.parametrize("classes", [2, 10])
def test_cross_validation_chooses_as_scikit_learn_on_the_same_folds(classes):
    x, y = digits(200, classes)
    (folds, *_) = cross_validation.make_folds(y, None, 3)
    choice = linear_probe.choose(Classes(y, None, classes), x, folds, ["standardised"])
    losses = {}
    for strength in STRENGTHS[2:15]:
        reference, logs = LogisticRegression(C=strength, **EXACT), np.empty((len(y), classes))
        for train, held_out in folds:
            parts = scaled(x, train)
            reference.fit(parts[train], y[train])
            logs[held_out] = reference.predict_log_proba(parts[held_out])
        _, losses[strength] = sharpened(logs, y, len(y))
    assert choice.strength == min(losses, key=losses.__getitem__)
    assert choice.loss == pytest.approx(min(losses.values()), rel=5e-3)


@pytest.mark.parametrize("least", range(len(STRENGTHS)))
def test_a_search_ends_at_the_least_loss_and_tries_no_much_weaker_penalty(least):
    distance = {strength: abs(index - least) for index, strength in enumerate(STRENGTHS)}
    trials = linear_probe.search(lambda strength: (distance[strength], distance[strength], 1.0))
    assert min(trials, key=lambda strength: trials[strength][1]) == STRENGTHS[least]
    assert list(trials) == sorted(trials)
    assert max(map(STRENGTHS.index, trials)) <= least + 3  # 1.5 decades


def test_a_strong_penalty_with_a_factor_may_be_the_best():
    def trial(strength):
        return abs(np.log10(strength)), 0.1 * abs(np.log10(strength) + 3.5), 2.0

    trials = linear_probe.search(trial)
    assert min(trials, key=lambda strength: trials[strength][1]) == STRENGTHS[3]


def test_a_flat_loss_is_not_searched_to_its_end():
    trials = linear_probe.search(lambda strength: (1.0, 1.0, 1.0))
    assert list(trials) == list(STRENGTHS[:3])


def test_many_features_are_searched_in_single_precision_with_the_same_choice(monkeypatch):
    x, y = digits(200)
    (folds, *_) = cross_validation.make_folds(y, None, 3)
    exact = linear_probe.choose(Classes(y, None, 10), x, folds)
    monkeypatch.setattr(linear_probe, "_MAX_EXACT_SEARCH", 0)
    single = linear_probe.choose(Classes(y, None, 10), x, folds)
    assert (single.scaling, single.strength) == (exact.scaling, exact.strength)
    assert single.loss != exact.loss
    assert single.loss == pytest.approx(exact.loss, rel=1e-3)


def test_the_loss_out_of_fold_is_that_of_a_plain_loop():
    x, y = digits(120)
    result = cross_validation.choose(Classes(y, None, 10), x, y, None, 0)
    record = result.record
    assert (record["folds"], record["repeats"], record["examples"]) == (5, 3, 120)
    logits, losses = np.empty((120, 10)), []
    for repeat, folds in enumerate(cross_validation.make_folds(y, None, 0)):
        for train, held_out in folds:
            parts = scaled(x, train, record["scaling"])
            model = LogisticRegression(C=record["C"], **EXACT).fit(parts[train], y[train])
            logs = record["factor"] * model.predict_log_proba(parts[held_out])
            probabilities = np.log(softmax(logs))
            losses += (-probabilities[np.arange(len(held_out)), y[held_out]]).tolist()
            if repeat == 0:
                logits[held_out] = probabilities
    cost = 1 / 120 if record["factor"] > 1 else 0
    assert record["loss_by_C"][record["scaling"]][record["C"]] == pytest.approx(
        np.mean(losses) + cost, rel=1e-3
    )
    expected = -np.log(softmax(logits))[np.arange(120), y].mean()
    assert result.metrics["loss"] == pytest.approx(expected, rel=1e-3)
    assert result.metrics["accuracy"] == (logits.argmax(axis=1) == y).mean()
    low, high = record["intervals"]["accuracy"]
    assert low < result.metrics["accuracy"] < high


def test_logits_of_a_strong_penalty_are_sharpened_and_those_of_a_weak_one_left_alone():
    x, y = digits(80)
    folds, everything = cross_validation.make_folds(y, None, 0)[0], np.arange(80)
    problem, factors = Classes(y, None, 10), {}
    for strength in (1e-3, 1e3):
        outputs = linear_probe.held_out_outputs(problem, x, folds, "none", strength)
        factors[strength] = problem.factor(outputs, everything)
    assert factors[1e-3] > 1.3
    assert factors[1e3] == pytest.approx(1, abs=1e-3)
    plain = linear_probe.fit(problem, x, "none", 1e-3)
    for once, times in zip(
        plain, linear_probe.fit(problem, x, "none", 1e-3, factor=3), strict=True
    ):
        np.testing.assert_allclose(times, 3 * once, rtol=1e-6)


@pytest.mark.parametrize(("noise", "pays"), [(3, True), (1, False)])
def test_a_factor_must_gain_what_it_costs(noise, pays):
    """Of examples at one length a strong penalty leaves logits small."""
    draw, classes, count = np.random.default_rng(0), 10, 80
    centres, labels = draw.normal(size=(classes, 100)), np.arange(count) % classes
    x = centres[labels] + noise * draw.normal(size=(count, 100))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("f4")
    folds = cross_validation.make_folds(labels, None, 0)[0]
    choice = linear_probe.choose(Classes(labels, None, classes), x, folds, ["none"])
    problem = Classes(labels, None, classes)
    problem.factor = lambda outputs, rows: 1.0
    plain = linear_probe.choose(problem, x, folds, ["none"])
    assert (choice.factor > 1) == pays
    if pays:
        assert choice.loss < plain.loss
    else:
        assert (choice.strength, choice.loss) == (plain.strength, plain.loss)


def test_where_all_are_right_logits_stay_finite():
    """Of two classes the best margin is the log odds of n + 1/2 to 1/2."""
    y = np.arange(40) % 2
    margin = np.where(y == 1, 1.0, -1.0)
    factor = Classes(y, None, 2).factor(np.stack([-margin, margin], axis=1) / 2, np.arange(40))
    assert factor == pytest.approx(np.log(81), rel=1e-3)
    assert Numbers(margin[:, None]).factor(margin[:, None], np.arange(40)) == 1


def test_sets_of_labels_are_a_logistic_regression_each():
    draw = np.random.default_rng(0)
    x = draw.normal(3, 5, (200, 6)).astype("f4")
    truth = np.stack([x[:, 0] + draw.normal(0, 5, 200) > 3, x[:, 1] > 6, np.ones(200)], axis=1)
    weights = np.array([[1.0, 3.0, 1.0], [1.0, 0.5, 1.0]])
    kernel, bias = linear_probe.fit(LabelSets(truth, weights), x, "standardised", 0.3)
    for k in range(2):
        reference = LogisticRegression(C=0.3, **EXACT)
        reference.fit(scaled(x), truth[:, k], np.where(truth[:, k], *weights[:, k]))
        expected = reference.decision_function(scaled(x))
        np.testing.assert_allclose(x @ kernel[:, k] + bias[k], expected, atol=2e-3)
    assert (kernel[:, 2] == 0).all()
    assert bias[2] == pytest.approx(np.log(201))
    metrics = LabelSets(truth, weights).metrics(np.where(truth > 0, 2.0, -1.0), np.arange(200))
    expected = np.log1p(np.exp(np.where(truth > 0, -2.0, -1.0))).mean(axis=1)
    np.testing.assert_allclose(metrics["loss"], expected)
    assert metrics["subset_accuracy"].all()


@pytest.mark.parametrize("count", [90, 20])
def test_numbers_are_a_ridge_regression(count):
    draw = np.random.default_rng(0)
    x = draw.normal(2, np.linspace(0.1, 9, 30), (count, 30)).astype("f4")
    y = np.stack([x[:, 0] + 0.2 * x[:, 1] + draw.normal(0, 2, count), -x[:, 2]], axis=1)
    (folds, *_) = cross_validation.make_folds(Numbers(y).strata(), None, 0)
    choice = linear_probe.choose(Numbers(y), x, folds, ["standardised"])
    (losses,) = choice.losses.values()
    assert list(losses) == list(STRENGTHS)
    grid = {"ridge__alpha": [1 / key for key in STRENGTHS]}
    steps = make_pipeline(StandardScaler(), Ridge())  # scaled in each fold
    reference = GridSearchCV(steps, grid, cv=folds, scoring="neg_mean_squared_error").fit(x, y)
    assert 1 / choice.strength == pytest.approx(reference.best_params_["ridge__alpha"])
    kernel, bias = linear_probe.fit(Numbers(y), x, choice.scaling, choice.strength)
    expected = Ridge(alpha=1 / choice.strength).fit(scaled(x), y).predict(scaled(x))
    np.testing.assert_allclose(x @ kernel + bias, expected, atol=1e-3)


def test_groups_are_in_one_fold_and_all_examples_are_held_out_once():
    draw = np.random.default_rng(0)
    strata, groups = draw.integers(0, 3, 90), draw.integers(0, 20, 90)
    for given in (None, groups):
        repeats = cross_validation.make_folds(strata, given, 0)
        assert len(repeats) == (3 if given is None else 1)
        assert given is not None or not np.array_equal(repeats[0][0][1], repeats[1][0][1])
        for folds in repeats:
            held_out = np.concatenate([pair[1] for pair in folds])
            assert sorted(held_out) == list(range(90))
            for train, rest in folds:
                assert not set(train) & set(rest)
                assert given is None or not set(groups[train]) & set(groups[rest])


def test_classes_with_one_example_and_few_groups_do_no_harm():
    x, y = digits(60, 3)
    y[0], groups = 3, np.arange(60) // 20
    for given in (None, groups):
        result = cross_validation.choose(Classes(y, None, 4), x, y, given, 0)
        assert np.isfinite(result.outputs).all()
        assert result.metrics["accuracy"] > 0.8
        # Nothing is known of the class in the fold that has its example: one in the examples.
        chances = softmax(result.outputs)[0]
        assert chances[3] == pytest.approx(1 / 61, rel=0.05)
    assert cross_validation.problem_with(np.arange(9), None) == "most classes have one example"
    assert "one group" in cross_validation.problem_with(np.zeros(9), np.zeros(9))


def test_labels_and_classes_that_a_fold_lacks_are_constant():
    x, _ = digits(30, 3)
    labels = np.zeros((30, 2))
    labels[0, 1] = 1
    result = cross_validation.choose(
        LabelSets(labels, np.ones((2, 2))), x, np.zeros(30, int), None, 0
    )
    assert np.isfinite(result.outputs).all()
    only = Classes(np.zeros(30, int), None, 2)
    _, bias = linear_probe.fit(Classes(np.arange(30) % 2, None, 2), x, "none", 1e-5)
    assert abs(bias).max() < 10
    halves = np.split(np.arange(30), 2)
    folds = [(halves[0], halves[1]), (halves[1], halves[0])]
    outputs = linear_probe.held_out_outputs(only, x, folds, "none", 1.0)
    assert (softmax(outputs)[:, 0] > 0.95).all()


@pytest.mark.parametrize("dead", [{"add": 7.0}, {"times": 1e-31}])
def test_a_feature_that_hardly_changes_gets_no_weight(dead):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype("f4")
    x[:, 1] = dead.get("add", 0) + x[:, 1] * dead.get("times", 0)
    y = (x[:, 0] > 0).astype(int)
    for scaling in SCALINGS:
        kernel, bias = linear_probe.fit(Classes(y, None, 2), x, scaling, 1.0)
        assert np.abs(kernel).max() < 100
        assert ((x @ kernel + bias).argmax(axis=1) == y).mean() > 0.9
    constant = np.ones((60, 3), "f4")
    kernel, bias = linear_probe.fit(Classes(y, None, 2), constant, "none", 1.0)
    chances = softmax(constant @ kernel + bias)[0]
    np.testing.assert_allclose(chances, np.bincount(y) / 60, atol=1e-4)


def test_held_out_examples_have_no_part_in_the_scaling_of_a_fold():
    """A feature that only some examples have: in a fold without them it is constant."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 4)).astype("f4")
    y = (x[:, 0] + draw.normal(size=60) > 0).astype(int)
    x[:, 3] = 0
    rows, held_out = np.arange(40), np.arange(40, 60)
    problem = Classes(y, None, 2)
    before = linear_probe.choose(problem, x, [(rows, held_out)], SCALINGS[:2])
    x[held_out, 3] = 50 * (1 - 2 * y[held_out])
    assert linear_probe.choose(problem, x, [(rows, held_out)], SCALINGS[:2]) == before
    outputs = linear_probe.held_out_outputs(problem, x, [(rows, held_out)], "standardised", 1.0)
    kernel, bias = linear_probe.fit(problem, x, "standardised", 1.0, rows)
    np.testing.assert_allclose(outputs[held_out], x[held_out] @ kernel + bias, atol=1e-4)
