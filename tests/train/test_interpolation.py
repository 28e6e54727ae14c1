"""The share of a phase's change that validation supports."""

import dataclasses

import numpy as np
import pytest
from small_runs import images, settings, train

from fmkit.config.schema.stage import PhaseConfig
from fmkit.core.errors import ConfigError
from fmkit.train import interpolation
from fmkit.train.checkpoints import variables


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
    """The cross-entropy, in NumPy, as it is and with the best of many factors on the logits."""
    variables.assign(trained.assembly.model, weights)
    val = trained.assembly.splits["val"]
    logits = np.float64(trained.assembly.model.predict(trained.assembly.ordered("val"), verbose=0))
    logits -= logits.max(axis=1, keepdims=True)
    labels, rows = trained.assembly.examples.labels[val], np.arange(len(val))

    def loss(factor):
        scaled = factor * logits
        return (np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, labels]).mean()

    return loss(1.0), min(loss(factor) for factor in np.geomspace(1 / 50, 50, 2000))


@pytest.mark.parametrize("learning_rate", [0.003, 0.1, 5.0])
def test_the_share_has_the_lowest_validation_loss(learning_rate, tmp_path):
    config = settings(stage(learning_rate), runtime_keep=99)
    trained = train(tmp_path, config, mislabelled())
    head, full = trained.phases
    kept, final = full.best["share"], trained.weights
    start = trained.saved(head.best["step"])
    end = trained.saved((head.epochs + full.best["epoch"]) * 3)
    losses = {
        share: validation_losses(trained, interpolation.blend(start, end, share))
        for share in interpolation.SHARES
    }
    assert min(losses, key=lambda share: losses[share][1]) == kept
    for share, loss in full.best["loss_by_share"]:
        assert loss == pytest.approx(losses[share][1], rel=1e-3)
    assert full.best["value"] == pytest.approx(losses[kept][0], rel=1e-4)
    assert trained.status["best"] == full.best
    for path, value in interpolation.blend(start, end, kept).items():
        np.testing.assert_array_equal(final[path], value, err_msg=path)
        np.testing.assert_array_equal(trained.saved(full.best["step"])[path], value)


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
