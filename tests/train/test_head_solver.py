"""Heads that are solved by cross-validation, through the real loop."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from small_runs import assembled, folder, images, settings, train
from test_resume import assert_same, cut, go_on, snapshot
from test_supervised_runs import examples as supervised_examples

from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import MultiLabelConfig, RegressionConfig
from fmkit.core.errors import ConfigError, DataError, Interrupted
from fmkit.data.content.images import ImageArray
from fmkit.models import heads
from fmkit.store import out_of_fold
from fmkit.tasks import cross_validation
from fmkit.train import build_model, freeze, head_solver, init_from_run, loop, solver_choice
from fmkit.train.features import graph_cut
from fmkit.train.objective import Objective

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


def at_length(features, record, fitted=None):
    """Features as a head reads them, by the lengths of those that it was fitted to."""
    if record["scaling"] != "unit":
        return features
    lengths = np.linalg.norm(features.astype(float), axis=1, keepdims=True)
    fitted = lengths if fitted is None else np.linalg.norm(fitted.astype(float), axis=1)
    return features / lengths * np.sqrt((fitted**2).mean())


def reference(features, labels, record):
    """scikit-learn's head on features that are scaled as on record."""
    raw, features = features, at_length(features, record)
    mean, scale = features.mean(axis=0, dtype=float), features.std(axis=0, dtype=float)
    dead = scale <= 1e-6 * np.maximum(np.abs(mean), scale.max())
    if record["scaling"] != "standardised":
        scale = np.full_like(scale, np.sqrt((scale**2).mean()))
    scale = np.where(dead, np.inf, scale)
    model = LogisticRegression(C=record["C"], tol=1e-8, max_iter=10_000)
    model.fit((features - mean) / scale, labels)
    return lambda x: softmax(
        record["factor"] * model.predict_log_proba((at_length(x, record, raw) - mean) / scale)
    )


def softmax(logits):
    parts = np.exp(logits - logits.max(axis=1, keepdims=True))
    return parts / parts.sum(axis=1, keepdims=True)


def predicted(done, indices):
    return softmax(done.assembly.model.predict(done.assembly.loader.ordered(indices), verbose=0))


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
    positions, outputs = out_of_fold.read(done.run.folder, done.run.status)
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
    assert out_of_fold.read(done.run.folder, done.run.status) is None
    weights = done.saved(1)
    assert solved.status["solvers"]["head"]["C"] == record["C"]
    fitted = assembly.splits["train"]
    features, labels = features_of(solved), assembly.examples.labels
    model = reference(features[fitted], labels[fitted], record)
    read = at_length(features, record, features[fitted])
    logits = read @ weights["logits/kernel"] + weights["logits/bias"]
    expected = np.log(model(features))
    np.testing.assert_allclose(logits - logits[:, :1], expected - expected[:, :1], atol=2e-2)


def test_no_validation_split_is_needed(tmp_path):
    data = noisy(with_test=False)
    data.splits[:] = "train"
    config = configured(tmp_path, data_val_fraction=0.0, data_refit="auto")
    done = train(tmp_path, config, data)
    assert done.status["solvers"]["head"]["fitted_on"] == ["train"]
    assert done.rows[0]["val_loss"] > 0
    assert len(out_of_fold.read(done.run.folder, done.run.status)[0]) == 90


@pytest.mark.parametrize(
    "task", [RegressionConfig(), MultiLabelConfig()], ids=lambda each: each.name
)
def test_numbers_and_sets_of_labels(task, tmp_path):
    config = configured(tmp_path)
    config.task = task
    data = supervised_examples(task.name)
    done = train(tmp_path, config, data)
    (row,) = done.rows
    positions, outputs = out_of_fold.read(done.run.folder, done.run.status)
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


@pytest.fixture(scope="module")
def at_one_length(solved, tmp_path_factory):
    """A run whose head reads features at one length, and that is fine-tuned."""
    parent = tmp_path_factory.mktemp("at_one_length")
    stage = {**SOLVED, "full": PhaseConfig(epochs="2", learning_rate=1e-3)}
    config = configured(
        parent, stage, model_normalize="unit", runtime_keep=99, data_refit="false",
        runtime_cache_dir=str(Path(solved.status["features"]["head"]["folder"]).parent),
    )  # fmt: skip
    return train(parent, config, noisy())


def test_features_at_one_length_are_part_of_the_network(solved, at_one_length):
    done = at_one_length
    record, fitted = done.status["solvers"]["head"], done.assembly.splits["train"]
    assert [*record["loss_by_C"]] == ["unit"] == [record["scaling"]]
    assert {*solved.status["solvers"]["head"]["loss_by_C"]} == {"standardised", "none", "unit"}
    # The cache has what the backbone gives, whatever the head makes of it.
    assert done.status["features"]["head"]["computed"] == 0
    features, labels, weights = features_of(solved), done.assembly.examples.labels, done.saved(1)
    rms = np.sqrt((features[fitted].astype(float) ** 2).sum(axis=1).mean())
    assert weights[heads.LENGTH] == pytest.approx(rms, rel=1e-5)
    read = at_length(features, record, features[fitted])
    logits = read @ weights["logits/kernel"] + weights["logits/bias"]
    expected = np.log(reference(features[fitted], labels[fitted], record)(features))
    np.testing.assert_allclose(logits - logits[:, :1], expected - expected[:, :1], atol=3e-2)
    later = done.saved(done.status["step"])
    assert later[heads.LENGTH] == weights[heads.LENGTH]  # later phases leave it alone
    assert np.abs(later["logits/kernel"] - weights["logits/kernel"]).max() > 1e-4


def test_a_deployed_model_has_one_length_by_layers_of_keras(at_one_length):
    done = at_one_length
    assembly, test = done.assembly, done.assembly.splits["test"]
    deployed = build_model.inference_model(
        assembly.model, assembly.task, assembly.config.data, "image"
    )
    assert heads.fixed_length(deployed.get_layer("network")) is None
    pixels = assembly.examples.content.pixels[test].astype("f4")
    np.testing.assert_allclose(
        deployed.predict(pixels, verbose=0), predicted(done, test), atol=1e-5
    )


@pytest.mark.parametrize("step", [1, 4])
def test_a_run_at_one_length_resumes_bit_for_bit(step, at_one_length, tmp_path):
    """After the head, and in the phase after it; the network begins with another length."""
    last = at_one_length.status["step"]
    expected = snapshot(at_one_length, last)
    run = cut(at_one_length, step, tmp_path)
    assert_same(go_on(run, assembled(at_one_length.assembly.config, noisy())), expected, last)


def test_init_takes_the_length_and_refuses_a_head_that_lacks_it(at_one_length):
    done, config = at_one_length, dataclasses.replace(at_one_length.assembly.config)
    weights, spec = done.weights, done.assembly.spec
    for normalize, value, fits in [
        ("unit", 3.0, True), ("auto", None, True), ("none", 3.0, False), ("none", 0.0, True),
    ]:  # fmt: skip
        config.model = dataclasses.replace(config.model, normalize=normalize)
        _, task, model = build_model.build_model(config.model, config.task, spec)
        stored = {path: array for path, array in weights.items() if path != heads.LENGTH}
        if value is not None:
            stored[heads.LENGTH] = np.float32(value)
        part = Objective("", config.data, task, model, None, done.assembly)
        run = type("Run", (), {"config": lambda self: RECORDED, "spec": lambda self, part: spec})()
        assert init_from_run._load_heads(run, stored, model, [part]) == {"": fits}
        if fits and normalize != "none":
            assert float(heads.fixed_length(model).length) == (value or 0.0)


RECORDED = {"task": {"name": "classification"}}
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


def test_a_run_resumed_before_its_first_checkpoint_has_the_network_that_it_had(tmp_path):
    """Its config says then that the head trains by gradients, which was not known at first."""
    first = assembled(configured(tmp_path, dict(AUTO), model_normalize="auto"))
    solver_choice.settle(first, ("stage.head.epochs",))
    assert first.config.stage["head"].solver == "gradient"
    again = assembled(first.config, is_new=False)
    paths = [variable.path for variable in first.model.variables]
    assert heads.LENGTH in paths
    assert [variable.path for variable in again.model.variables] == paths
    assert heads.fixed_length(assembled(first.config).model) is None


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
