"""Numbers and sets of labels through the real loop: resume, kept features, augmentation."""

import json

import keras
import numpy as np
import pytest
from small_runs import assembled, settings, train
from test_cache import assert_same as assert_same_on_features
from test_resume import assert_same, cut, go_on, snapshot
from test_text_runs import text_settings

from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import MultiLabelConfig, RegressionConfig
from fmkit.data.content.images import ImageArray
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.targets import LabelSets, Numbers
from fmkit.models import lora
from fmkit.train import build_model

TASKS = {
    "regression": RegressionConfig(loss="huber"),
    "multi_label": MultiLabelConfig(label_smoothing=0.1, class_weights="balanced"),
}
HEAD = {"head": PhaseConfig(train="head", epochs="3", learning_rate=0.02)}


def answers(task, level):
    """Of each example, from a level between 0 and 1."""
    if task == "regression":
        return Numbers(("far", "near"), np.stack([5000 + 900 * level, -level], axis=1))
    return LabelSets(("high", "low", "middle"), np.stack([level > 0.5, level < 0.3,
                     abs(level - 0.5) < 0.2], axis=1))  # fmt: skip


def examples(task, is_text=False, count=60):
    draw = np.random.default_rng(0)
    level = draw.uniform(size=count)
    if is_text:
        words = [" ".join(["plum"] * int(9 * each) + ["and"] * 3) for each in level]
        content = Texts(tuple(words))
    else:
        noise = draw.normal(0, 20, (count, 8, 8, 3))
        pixels = 40 + 160 * level[:, None, None, None] + noise
        content = ImageArray(pixels.clip(0, 255).astype(np.uint8))
    return Examples(
        tuple(f"row-{each:04d}" for each in range(count)), np.zeros(count, np.int32), (), content,
        np.where(np.arange(count) % 5 == 4, "val", "train"), annotations=answers(task, level),
    )  # fmt: skip


def configured(task, stage=None, is_text=False, **changes):
    config = (text_settings if is_text else settings)(stage, **changes)
    config.task = TASKS[task]
    return config


@pytest.fixture(scope="module", params=[("regression", False), ("multi_label", True)])
def untouched(request, tmp_path_factory):
    task, is_text = request.param
    config = configured(
        task, {"full": PhaseConfig(epochs="3", batchnorm="train")}, is_text,
        runtime_save_every="1 steps", runtime_keep=99,
    )  # fmt: skip
    return train(tmp_path_factory.mktemp("untouched"), config, examples(task, is_text))


@pytest.mark.parametrize("step", [2, 7])
def test_a_resumed_run_is_equal_bit_for_bit(untouched, tmp_path, step):
    """The first in the middle of an epoch, whose running figures go on."""
    assert [row["step"] for row in untouched.rows] == [3, 6, 9]
    expected = snapshot(untouched)
    assert_same(go_on(cut(untouched, step, tmp_path), untouched.assembly), expected)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("is_text", [False, True])
def test_a_frozen_phase_is_the_same_on_kept_features(task, is_text, tmp_path):
    data = examples(task, is_text)
    live = train(tmp_path / "live", configured(task, HEAD, is_text, runtime_cache="never"), data)
    cache = str(tmp_path / "cache")
    kept = train(tmp_path / "kept", configured(task, HEAD, is_text, runtime_cache_dir=cache), data)
    assert kept.status["features"]["head"]["computed"] == 60
    assert_same_on_features(live, kept)


def test_the_solver_finds_a_better_head_than_gradients(tmp_path):
    for task, figure in (("regression", "val_r2"), ("multi_label", "val_loss")):
        config = configured(task, HEAD, runtime_cache_dir=str(tmp_path / "cache"))
        solved = {"head": PhaseConfig(train="head", solver="lbfgs")}
        other = configured(task, solved, runtime_cache_dir=str(tmp_path / "cache"))
        for each in (config, other):
            each.task = type(each.task)()
        one = train(tmp_path / f"{task}-one", config, examples(task)).rows[-1][figure]
        two = train(tmp_path / f"{task}-two", other, examples(task)).rows[-1][figure]
        assert (two > one) == (figure == "val_r2"), (task, one, two)


def test_the_units_are_frozen_and_the_head_begins_at_the_mean(tmp_path):
    made = assembled(configured("regression"), examples("regression"))
    known = made.spec.moments
    assert set(known) == {"far", "near"}
    batch = next(iter(made.ordered("val")))[0]
    outputs = made.model.predict_on_batch(batch)
    np.testing.assert_allclose(outputs[0], [known["far"][0], known["near"][0]], rtol=1e-6)
    done = train(tmp_path, configured("regression"), examples("regression"))
    for place, name in enumerate(("mean", "scale")):
        found = done.weights[f"head_units/{name}"]
        np.testing.assert_allclose(found, [each[place] for each in known.values()], rtol=1e-6)
    (phase,) = json.loads((done.run.folder / "freeze.json").read_text())["phases"]
    head = phase["blocks"][-1]
    assert head["parameters"] - head["trainable_parameters"] == 4
    lora.merge_adapters(done.assembly.model)
    model = build_model.inference_model(
        done.assembly.model,
        done.assembly.task,
        done.assembly.config.data,
        done.assembly.backbone.modality,
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(batch, verbose=0), done.assembly.model.predict(batch, verbose=0), rtol=1e-5
    )


@pytest.mark.parametrize("task", TASKS)
def test_mixed_photos_and_views_train(task, tmp_path):
    config = configured(task, data_augment="strong", data_flip="both")
    rows = train(tmp_path, config, examples(task)).rows
    assert np.isfinite([row["loss"] for row in rows]).all()


def test_labels_begin_at_their_shares():
    config = configured("multi_label")
    config.task = MultiLabelConfig()
    made = assembled(config, examples("multi_label"))
    shares = made.examples.annotations.indicators[made.splits["train"]].sum(axis=0) + 1
    (bias,) = (each for each in made.model.weights if each.path == "logits/bias")
    expected = shares / (len(made.splits["train"]) + 2)
    np.testing.assert_allclose(1 / (1 + np.exp(-np.asarray(bias))), expected, rtol=1e-5)
