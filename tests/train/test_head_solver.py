"""Heads that are solved by cross-validation, through the real loop."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from small_runs import assembled, folder, images, settings, train
from test_supervised_runs import examples as supervised_examples

from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import MultiLabelConfig, RegressionConfig
from fmkit.core.errors import ConfigError, DataError, Interrupted
from fmkit.data.content.images import ImageArray
from fmkit.tasks import cross_validation
from fmkit.train import freeze, head_solver, loop, solver_choice
from fmkit.train.features import graph_cut

SOLVED = {"head": PhaseConfig(train="head", augment="none", solver="cross_validation")}


def configured(tmp_path, stage=SOLVED, **changes):
    changes = {"data_refit": "true", "runtime_cache_dir": str(tmp_path / "cache"), **changes}
    return settings(stage, **changes)


def noisy(count=90, with_test=True):
    """Photos whose classes overlap, in three splits."""
    made = images(count)
    noise = np.random.default_rng(1).normal(0, 60, (count, 1, 1, 1))
    content = ImageArray((made.content.pixels + noise).clip(0, 255).astype("u1"))
    splits = np.array(["train", "train", "train", "val", "test"])[np.arange(count) % 5]
    if not with_test:
        splits[splits == "test"] = "train"
    return dataclasses.replace(made, content=content, splits=splits)


def features_of(done):
    """Of all examples, by the frozen part of the network on the photos themselves."""
    assembly = done.assembly
    freeze.apply(assembly.model, assembly.backbone, assembly.phases[0])
    graph_cut.freeze_inference(assembly.model)
    lower = graph_cut.find_split(assembly.model).lower
    everything = np.arange(len(assembly.examples))
    return lower.predict(assembly.loader.ordered(everything), verbose=0)


def reference(features, labels, record):
    """scikit-learn's head on features that are scaled as on record."""
    mean, scale = features.mean(axis=0, dtype=float), features.std(axis=0, dtype=float)
    dead = scale <= 1e-6 * np.maximum(np.abs(mean), scale.max())
    if record["scaling"] == "none":
        scale = np.full_like(scale, np.sqrt((scale**2).mean()))
    scale = np.where(dead, np.inf, scale)
    model = LogisticRegression(C=record["C"], tol=1e-8, max_iter=10_000)
    model.fit((features - mean) / scale, labels)
    return lambda x: model.predict_proba((x - mean) / scale)


def predicted(done, indices):
    logits = done.assembly.model.predict(done.assembly.loader.ordered(indices), verbose=0)
    parts = np.exp(logits - logits.max(axis=1, keepdims=True))
    return parts / parts.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("solved")
    return train(folder, configured(folder), noisy())


def test_the_last_head_is_fitted_to_all_that_is_not_the_test(solved):
    done = solved
    record, assembly = done.status["solvers"]["head"], done.assembly
    fitted = np.concatenate([assembly.splits["train"], assembly.splits["val"]])
    assert record["fitted_on"] == record["chosen_on"] == ["train", "val"]
    assert (record["examples"], record["folds"], record["repeats"]) == (72, 5, 3)
    features, labels = features_of(done), assembly.examples.labels
    model = reference(features[fitted], labels[fitted], record)
    test = assembly.splits["test"]
    np.testing.assert_allclose(predicted(done, test), model(features[test]), atol=2e-3)
    (row,) = done.rows
    assert (row["epoch"], row["step"], row["l2_C"]) == (1, 1, record["C"])
    positions, outputs = head_solver.read_out_of_fold(done.run)
    np.testing.assert_array_equal(positions, fitted)
    accuracy = (outputs.argmax(axis=1) == labels[fitted]).mean()
    assert row["val_accuracy"] == pytest.approx(accuracy) == record["out_of_fold"]["accuracy"]
    assert row["val_loss"] == pytest.approx(record["out_of_fold"]["loss"])
    assert row["val_loss"] == done.status["best"]["value"]
    low, high = record["intervals"]["loss"]
    assert low < row["val_loss"] < high
    assert "out of fold loss" in (done.run.folder / "log.txt").read_text()


def test_what_is_in_the_test_split_changes_nothing(solved, tmp_path):
    other = noisy()
    is_test = other.splits == "test"
    other.labels[is_test] = (other.labels[is_test] + 1) % 3
    other.content.pixels[is_test] = 0
    second = train(tmp_path, configured(tmp_path), other)
    assert solved.status["solvers"] == second.status["solvers"]
    for path, value in solved.weights.items():
        np.testing.assert_array_equal(second.weights[path], value, err_msg=path)


def test_a_head_before_gradients_leaves_validation_alone(solved, tmp_path):
    stage = {**SOLVED, "full": PhaseConfig(epochs="1")}
    done = train(tmp_path, configured(tmp_path, stage), noisy())
    record, assembly = done.status["solvers"]["head"], done.assembly
    assert (record["chosen_on"], record["fitted_on"]) == (["train", "val"], ["train"])
    assert head_solver.read_out_of_fold(done.run) is None
    weights = done.saved(1)
    assert solved.status["solvers"]["head"]["C"] == record["C"]
    fitted = assembly.splits["train"]
    features, labels = features_of(solved), assembly.examples.labels
    model = reference(features[fitted], labels[fitted], record)
    logits = features @ weights["logits/kernel"] + weights["logits/bias"]
    expected = np.log(model(features))
    np.testing.assert_allclose(logits - logits[:, :1], expected - expected[:, :1], atol=2e-2)


def test_no_validation_split_is_needed(tmp_path):
    data = noisy(with_test=False)
    data.splits[:] = "train"
    config = configured(tmp_path, data_val_fraction=0.0, data_refit="auto")
    done = train(tmp_path, config, data)
    assert done.status["solvers"]["head"]["fitted_on"] == ["train"]
    assert done.rows[0]["val_loss"] > 0
    assert len(head_solver.read_out_of_fold(done.run)[0]) == 90


@pytest.mark.parametrize(
    "task", [RegressionConfig(), MultiLabelConfig()], ids=lambda each: each.name
)
def test_numbers_and_sets_of_labels(task, tmp_path):
    config = configured(tmp_path)
    config.task = task
    data = supervised_examples(task.name)
    done = train(tmp_path, config, data)
    (row,) = done.rows
    positions, outputs = head_solver.read_out_of_fold(done.run)
    truth = done.assembly.task.targets(data)[positions]
    loss = done.assembly.task.loss(truth, outputs.astype("f4"), None, False)
    assert row["val_loss"] == pytest.approx(float(loss), rel=1e-4)
    better = {"regression": row.get("val_r2", 0), "multi_label": row.get("val_micro_f1", 0)}
    assert better[task.name] > 0.5


def test_groups_stay_together(tmp_path, monkeypatch):
    seen = []
    make_folds = cross_validation.make_folds
    monkeypatch.setattr(
        cross_validation, "make_folds",
        lambda strata, groups, seed: seen.append(groups) or make_folds(strata, groups, seed),
    )  # fmt: skip
    data = noisy(with_test=False)
    data = dataclasses.replace(
        data, groups=np.array([f"g{n // 6}" for n in range(90)]), splits=None
    )
    done = train(tmp_path, configured(tmp_path), data)
    splits = done.assembly.splits
    positions = np.concatenate([splits["train"], splits["val"]])
    np.testing.assert_array_equal(seen[0], data.groups[positions])
    one = dataclasses.replace(data, groups=np.full(90, "one"), splits=np.full(90, "train"))
    with pytest.raises(DataError, match="all examples are in one group"):
        train(tmp_path / "one", configured(tmp_path, data_val_fraction=0.0, data_refit="auto"), one)


def test_a_run_that_is_stopped_before_the_head_is_solved_ends_equal(solved, tmp_path, monkeypatch):
    assembly, run = assembled(configured(tmp_path), noisy()), folder(tmp_path / "cut")
    monkeypatch.setattr(
        head_solver, "refit", lambda *arguments: (_ for _ in ()).throw(Interrupted("x", "", 15))
    )
    with pytest.raises(Interrupted):
        loop.train(assembly, run)
    monkeypatch.undo()
    again = assembled(configured(tmp_path), noisy())
    loop.train(again, run)
    for variable, value in solved.weights.items():
        (mine,) = [each for each in again.model.variables if each.path == variable]
        np.testing.assert_array_equal(mine, value, err_msg=variable)


AUTO = {"head": PhaseConfig(train="head", augment="none", solver="auto")}


@pytest.mark.parametrize(
    ("changes", "phase", "keys", "reason"),
    [
        ({}, {}, (), ""),
        ({}, {}, ("stage", "stage.head.solver"), ""),
        ({"model_hidden": 4}, {}, (), "model.hidden=0"),
        ({"task_label_smoothing": 0.1}, {}, (), "label_smoothing"),
        ({"runtime_cache": "never"}, {}, (), "runtime.cache=auto"),
        ({"runtime_cache_limit": "1 KB"}, {}, (), "runtime.cache_limit"),
        ({"data_augment": "light"}, {"augment": None}, (), "stage.head.augment=none"),
        ({}, {"train": "top:1"}, (), "stage.head.train=head"),
        ({}, {}, ("stage.head.epochs",), "stage.head.epochs is set"),
        ({}, {}, ("stage.head.rates.stem",), "stage.head.rates is set"),
    ],
)  # fmt: skip
def test_auto_says_why_a_head_trains_by_gradients(changes, phase, keys, reason, tmp_path):
    stage = {"head": dataclasses.replace(AUTO["head"], **phase)}
    assembly = assembled(configured(tmp_path, stage, **changes))
    lines = solver_choice.settle(assembly, keys)
    chosen = "gradient" if reason else "cross_validation"
    assert assembly.phases[0].solver == assembly.config.stage["head"].solver == chosen
    assert assembly.phases[0].steps == (30 if reason else 1)
    assert [reason in line for line in lines] == [True] * bool(reason)


def test_auto_goes_by_the_size_of_validation_and_by_what_can_be_divided(tmp_path, monkeypatch):
    monkeypatch.setattr(solver_choice.solvers, "ENOUGH_VALIDATION", 12)
    (line,) = solver_choice.settle(assembled(configured(tmp_path, dict(AUTO))))
    assert "12 validation examples are enough" in line
    monkeypatch.setattr(solver_choice.solvers, "ENOUGH_VALIDATION", 13)
    assert solver_choice.settle(assembled(configured(tmp_path, dict(AUTO)))) == []
    one = dataclasses.replace(images(60), groups=np.full(60, "one"), splits=np.full(60, "train"))
    without = {"data_val_fraction": 0.0, "data_refit": "auto"}
    config = configured(tmp_path, dict(AUTO), task_monitor="loss", **without)
    (line,) = solver_choice.settle(assembled(config, one))
    assert "all examples are in one group" in line
    config = configured(tmp_path, dict(AUTO), **without)
    with pytest.raises(ConfigError, match="needs a validation split"):
        solver_choice.settle(assembled(config, one))
    (tmp_path / "file").write_text("")
    config = settings(dict(AUTO), runtime_cache_dir=str(tmp_path / "file"))
    (line,) = solver_choice.settle(assembled(config))
    assert "cannot be written" in line


def test_refit_solves_at_the_choice_on_record(solved):
    done, record = solved, solved.status["solvers"]["head"]
    assert done.assembly.features is not None
    before = done.weights["logits/kernel"]
    context = type("Context", (), {"assembly": done.assembly})
    inputs = type(
        "Inputs", (), {"model": done.assembly.features.graph_split.upper,
                       "features": done.assembly.features}
    )  # fmt: skip
    head_solver.refit(context, done.assembly.phases[0], inputs, record, ["train"])
    assert np.abs(done.weights["logits/kernel"] - before).max() > 1e-4
    head_solver.refit(context, done.assembly.phases[0], inputs, record, ["train", "val"])
    np.testing.assert_array_equal(done.weights["logits/kernel"], before)
