"""The share of a phase's change that validation supports."""

import dataclasses

import numpy as np
import pytest
from small_runs import images, settings, train

from fmkit.config.schema.stage import PhaseConfig
from fmkit.core.errors import ConfigError
from fmkit.core.modalities import modality_entry
from fmkit.train import interpolation
from fmkit.train.checkpoints import variables
from fmkit.train.phases import plan


def test_a_blend_is_on_the_line_and_exact_at_its_ends():
    random = np.random.default_rng(0)
    start = {"w": random.normal(size=(3, 2)).astype(np.float32), "seed": np.uint32([1, 2])}
    end = {"w": random.normal(size=(3, 2)).astype(np.float32), "seed": np.uint32([7, 8])}
    for share in (0.0, 0.25, 1.0):
        blended = interpolation.blend(start, end, share)
        expected = (1 - share) * start["w"].astype(np.float64) + share * end["w"]
        np.testing.assert_allclose(blended["w"], expected, rtol=1e-6)
        np.testing.assert_array_equal(blended["seed"], end["seed"])
    np.testing.assert_array_equal(interpolation.blend(start, end, 0.0)["w"], start["w"])
    np.testing.assert_array_equal(interpolation.blend(start, end, 1.0)["w"], end["w"])


def stage(learning_rate):
    return {
        "head": PhaseConfig(train="head", epochs="8", learning_rate=0.05),
        "full": PhaseConfig(epochs="2", learning_rate=learning_rate, interpolate="true"),
    }


def mislabelled():
    """Images of which some have another class's label, so that no loss comes near 0."""
    examples = images()
    labels = examples.labels.copy()
    labels[::4] = (labels[::4] + 1) % 3
    return dataclasses.replace(examples, labels=labels)


def validation_losses(trained, weights):
    """Cross-entropy in NumPy; and by positions, that with the best of many factors on logits."""
    variables.assign(trained.assembly.model, weights)
    val = trained.assembly.splits["val"]
    logits = np.float64(trained.assembly.model.predict(trained.assembly.ordered("val"), verbose=0))
    logits -= logits.max(axis=1, keepdims=True)
    labels, rows = trained.assembly.examples.labels[val], np.arange(len(val))

    def losses(factor):
        scaled = factor * logits
        return np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, labels]

    scaled = np.stack([losses(factor) for factor in np.geomspace(1 / 50, 50, 2000)])
    return losses(1.0).mean(), lambda drawn: scaled[:, drawn].mean(axis=1).min()


@pytest.mark.parametrize("learning_rate", [0.003, 0.1, 5.0])
def test_the_share_is_the_largest_near_the_lowest_validation_loss(learning_rate, tmp_path):
    config = settings(stage(learning_rate), runtime_keep=99)
    trained = train(tmp_path, config, mislabelled())
    head, full = trained.phases
    kept, final = full.best["share"], trained.weights
    start = trained.saved(head.best["step"])
    end = trained.saved((head.epochs + full.epochs) * 3)
    plain, calibrated = {}, {}
    for share in interpolation.SHARES:
        weights = interpolation.blend(start, end, share)
        plain[share], calibrated[share] = validation_losses(trained, weights)
    assert full.best["epoch"] == full.epochs
    whole = np.arange(len(trained.assembly.splits["val"]))
    losses = {share: loss(whole) for share, loss in calibrated.items()}
    for share, loss in full.best["loss_by_share"]:
        assert loss == pytest.approx(losses[share], rel=1e-3)
    lowest = min(losses, key=losses.__getitem__)
    draws = np.random.default_rng(5).integers(len(whole), size=(500, len(whole)))
    errors = dict(full.best["standard_error_by_share"])
    for share, error in errors.items():
        differences = [calibrated[share](rows) - calibrated[lowest](rows) for rows in draws]
        assert error == pytest.approx(np.std(differences), rel=0.35, abs=1e-4)
    near = [share for share in losses if losses[share] - losses[lowest] <= 2 * errors[share]]
    assert kept == max(near)
    assert full.best["value"] == pytest.approx(plain[kept], rel=1e-4)
    assert trained.status["best"] == full.best
    for path, value in interpolation.blend(start, end, kept).items():
        np.testing.assert_array_equal(final[path], value, err_msg=path)
        np.testing.assert_array_equal(trained.saved(full.best["step"])[path], value)


def test_the_choice_and_its_line():
    losses = dict(zip(interpolation.SHARES, (0.7, 0.62, 0.6, 0.61, 0.66, 0.8), strict=True))
    near, nearer = (dict.fromkeys(losses, error) for error in (0.07, 0.04))
    for tolerance, of_near, of_nearer in ((0, 0.4, 0.4), (1, 0.8, 0.6), (2, 0.8, 0.8), (3, 1, 0.8)):
        assert interpolation.choose(losses, near, tolerance) == of_near
        assert interpolation.choose(losses, nearer, tolerance) == of_nearer
    infinite = dict.fromkeys(losses, np.inf)
    assert interpolation.choose(infinite, dict.fromkeys(losses, 0.0), 2) == 0.0
    line = interpolation.describe(0.8, losses, near, 1, is_scaled=False)
    assert line == (
        "keeps 80% of what the phase changed, by validation loss: the most that is within 1 "
        "standard error (of 0.0700) of the lowest "
        "(0%: 0.7000, 20%: 0.6200, 40%: 0.6000, 60%: 0.6100, 80%: 0.6600, 100%: 0.8000)"
    )
    worse = {0.0: 0.5, 1.0: 0.9}
    line = interpolation.describe(0.0, worse, dict.fromkeys(worse, 0.1), 2, is_scaled=False)
    assert line.startswith("keeps nothing of what the phase changed")
    assert "all else is not within 2 standard errors of it" in line
    equal = dict(zip(interpolation.SHARES, (1e-9, 0, 0, -1e-9, 0, -1e-7), strict=True))
    line = interpolation.describe(1.0, equal, dict.fromkeys(equal, 0.0), 2, is_scaled=True)
    assert line == (
        "keeps all of what the phase changed, by validation loss after temperature scaling: the "
        "most, where all shares are equally good (0% to 100%: 0.0000)"
    )
    partly = dict(zip(interpolation.SHARES, (0.5, 0.2, 0.2, 0.2, 0.3, 0.3), strict=True))
    line = interpolation.describe(0.6, partly, dict.fromkeys(partly, 0.0), 0, is_scaled=True)
    assert line.endswith("the lowest (0%: 0.5000, 20% to 60%: 0.2000, 80% to 100%: 0.3000)")


def test_few_photos_gain_by_fine_tuning_and_few_texts_must_show_it():
    errors = {name: modality_entry(name).share_errors for name in ("image", "text")}
    assert errors == {"image": 2, "text": 0}


def test_the_end_is_the_last_epoch_unless_there_is_patience():
    patient = {**stage(0.1), "full": PhaseConfig(epochs="2", patience=1)}
    for phases, ends in ((stage(0.1), [False, True]), (patient, [False, False])):
        planned = plan(phases, settings().optimizer, 3, ["full"])
        assert [phase.ends_with_last_epoch for phase in planned] == ends


def test_labels_are_smoothed_where_the_share_is_chosen():
    phases = {
        "head": PhaseConfig(train="head", label_smoothing="auto"),
        "full": PhaseConfig(label_smoothing="auto"),
        "more": PhaseConfig(label_smoothing="0.3"),
        "last": PhaseConfig(),
    }
    for of_task, auto in ((0.0, 0.1), (0.2, 0.2)):
        planned = plan(phases, settings().optimizer, 3, ["full"], of_task)
        assert [phase.label_smoothing for phase in planned] == [None, auto, 0.3, None]


def test_labels_are_not_smoothed_where_the_heads_logits_were_divided():
    phases = {
        "full": PhaseConfig(label_smoothing="auto", head_temperature="auto"),
        "set": PhaseConfig(label_smoothing="0.3", head_temperature="auto"),
        "before": PhaseConfig(label_smoothing="auto"),  # a run of 0.6 has no such key
    }
    for divides, smoothed in ((True, None), (False, 0.1)):
        planned = plan(phases, settings().optimizer, 3, [*phases], divides_logits=divides)
        assert [phase.label_smoothing for phase in planned] == [smoothed, 0.3, 0.1]


def test_a_phase_smooths_its_own_labels_and_no_other(tmp_path):
    still = {"train": "head", "epochs": "1", "learning_rate": 1e-9}
    phases = {
        "head": PhaseConfig(train="head", epochs="8", learning_rate=0.05),
        "smoothed": PhaseConfig(**still, label_smoothing="0.4"),
        "plain": PhaseConfig(**still),
    }
    trained = train(tmp_path, settings(phases))
    assembly, examples = trained.assembly, trained.assembly.splits["train"]
    logits = np.float64(assembly.model.predict(assembly.loader.ordered(examples), verbose=0))
    surprise = np.log(np.exp(logits).sum(axis=1, keepdims=True)) - logits  # (N, C)
    expected = surprise[np.arange(len(examples)), assembly.examples.labels[examples]].mean()
    losses = {row["phase"]: row["loss"] for row in trained.rows}
    assert losses["plain"] == pytest.approx(expected, rel=1e-3)
    assert losses["smoothed"] == pytest.approx(0.6 * expected + 0.4 * surprise.mean(), rel=1e-3)


def test_a_phase_that_spoils_the_head_leaves_it_as_it_was(tmp_path):
    trained = train(tmp_path, settings(stage(1e3)))
    head, full = trained.phases
    assert full.best["share"] == 0.0
    assert full.best["value"] == pytest.approx(head.best["value"], rel=1e-5)
    for path, value in trained.saved(full.best["step"]).items():
        np.testing.assert_array_equal(trained.weights[path], value, err_msg=path)
    assert trained.status["best"]["step"] == full.best["step"]


def test_auto_needs_a_pretrained_model_and_few_examples(tmp_path):
    from fmkit.train import refit

    config = settings(stage(0.1), data_refit="auto")
    for phase in config.stage.values():
        phase.interpolate = "auto"
    few, many = {"val": np.arange(499)}, {"val": np.arange(500)}
    assert refit.resolve_auto(config, few, True) == (True, ["full"])
    no = (False, [])
    assert refit.resolve_auto(config, many, True) == no
    assert refit.resolve_auto(config, few, False) == no
    assert refit.resolve_auto(config, {}, True) == no
    config.stage["full"] = dataclasses.replace(config.stage["full"], interpolate="true")
    with pytest.raises(ConfigError, match=r"stage.full.interpolate=true .* has none"):
        refit.resolve_auto(config, {}, True)
