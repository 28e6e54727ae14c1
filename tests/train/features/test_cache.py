"""A frozen phase on cached features gives the model that it gives on images."""

import json

import keras
import numpy as np
import pytest
from small_runs import assembled, folder, images, settings, train

from fmkit.config.schema.stage import PhaseConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.store.array_cache import ArrayCache
from fmkit.train import build_model, freeze, loop
from fmkit.train.features import cache, cache_key, graph_cut
from fmkit.train.phases import Phase
from fmkit.train.task_model import TaskModel

HEAD = {"head": PhaseConfig(train="head", epochs="3")}


def on_cache(tmp_path, **more):
    return {"runtime_cache_dir": str(tmp_path / "cache"), **more}


def both(tmp_path, stage, examples=None, **changes):
    """The same run on images and on features."""
    live = train(tmp_path / "live", settings(stage, runtime_cache="never", **changes), examples)
    kept = train(tmp_path / "kept", settings(stage, **on_cache(tmp_path, **changes)), examples)
    return live, kept


def assert_same(live, kept):
    assert len(live.rows) == len(kept.rows)
    for one, two in zip(live.rows, kept.rows, strict=True):
        for key in ("phase", "epoch", "step"):
            assert one[key] == two[key]
        for key in ("loss", "val_loss", "accuracy", "val_accuracy", "learning_rate"):
            assert (key in one) == (key in two)
            if key not in one:
                continue
            assert two[key] == pytest.approx(one[key], rel=1e-4), key
    for path, value in live.weights.items():
        np.testing.assert_allclose(kept.weights[path], value, atol=2e-5, err_msg=path)
    assert live.status["best"]["step"] == kept.status["best"]["step"]


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        (HEAD, {"model_dropout": 0.3, "optimizer_ema": 0.8, "task_class_weights": "balanced"}),
        ({"top": PhaseConfig(train="top:1", epochs="2", batchnorm="train")}, {}),
        ({"head": PhaseConfig(train="head", epochs="7 steps")}, {"runtime_log_every": 2}),
        (HEAD, {"data_augment": "light", "data_augment_views": 2, "optimizer_accumulation": 2}),
    ],
    ids=["head", "top", "steps", "views"],
)
def test_the_model_is_the_same_as_without(stage, changes, tmp_path):
    live, kept = both(tmp_path, stage, **changes)
    assert "features" not in live.status
    (record,) = kept.status["features"].values()
    views = changes.get("data_augment_views", 1)
    assert record["computed"] == 48 * views + 12
    assert_same(live, kept)


def test_a_second_run_computes_nothing(tmp_path):
    first = train(tmp_path / "one", settings(HEAD, **on_cache(tmp_path)))
    second = train(tmp_path / "two", settings(HEAD, **on_cache(tmp_path)))
    assert second.status["features"]["head"]["computed"] == 0
    assert second.status["features"]["head"]["read"] == 60
    for path, value in first.weights.items():
        np.testing.assert_array_equal(second.weights[path], value, err_msg=path)


def test_other_weights_other_images_other_size_are_computed_anew(tmp_path):
    train(tmp_path / "first", settings(HEAD, **on_cache(tmp_path)))
    for name, changes, examples in (
        ("weights", {"runtime_seed": 5}, None),
        ("images", {}, images(60, seed=7)),
        ("size", {"model_image_size": 12}, None),
        ("resize", {"data_resize": "crop"}, None),
        ("dtype", {"runtime_cache_dtype": "float16"}, None),
    ):
        done = train(tmp_path / name, settings(HEAD, **on_cache(tmp_path, **changes)), examples)
        assert done.status["features"]["head"]["read"] == 0, name


def test_a_damaged_entry_is_computed_anew_and_says_nothing_false(tmp_path):
    first = train(tmp_path / "one", settings(HEAD, **on_cache(tmp_path)))
    for path in (tmp_path / "cache" / "features").rglob("*.npy"):
        content = bytearray(path.read_bytes())
        content[-3] ^= 64
        path.write_bytes(content)
    second = train(tmp_path / "two", settings(HEAD, **on_cache(tmp_path)))
    assert second.status["features"]["head"]["computed"] == 60
    for path, value in first.weights.items():
        np.testing.assert_array_equal(second.weights[path], value, err_msg=path)


def test_features_beyond_the_memory_budget_are_read_from_disk(tmp_path):
    live, kept = both(tmp_path, HEAD, runtime_memory_budget="1 B")
    assert kept.status["features"]["head"]["in_memory"] is False
    assert_same(live, kept)


@pytest.mark.parametrize(
    ("phase", "changes", "told"),
    [
        ({}, {"runtime_cache": "never"}, "runtime.cache=never"),
        ({"augment": "light"}, {}, "stage.head.augment=none"),
        ({}, {"data_augment": "strong", "data_augment_views": 2}, "MixUp"),
        ({}, {"runtime_cache_limit": "1 KB"}, "runtime.cache_limit"),
    ],
)
def test_where_features_are_not_cached_the_run_says_why(phase, changes, told, tmp_path):
    stage = {"head": PhaseConfig(train="head", epochs="1", **phase)}
    changes = {**on_cache(tmp_path), **changes}
    done = train(tmp_path, settings(stage, **changes))
    text = (done.run.folder / "log.txt").read_text()
    assert text.count("runs in every epoch") == 1
    assert told in text
    assert ArrayCache(tmp_path / "cache", 1).entries() == []


def test_a_cache_that_cannot_be_written_costs_no_run(tmp_path):
    (tmp_path / "cache").write_text("a file")
    done = train(tmp_path, settings(HEAD, **on_cache(tmp_path)))
    assert "cannot be written" in (done.run.folder / "log.txt").read_text()
    assert len(done.rows) == 3


def test_the_best_epoch_is_on_disk_although_few_are_written(tmp_path):
    stage = {"head": PhaseConfig(train="head", epochs="12")}
    done = train(tmp_path, settings(stage, **on_cache(tmp_path, optimizer_learning_rate=0.3)))
    values = [row["val_loss"] for row in done.rows]
    best = done.status["best"]
    assert best["epoch"] == values.index(min(values)) + 1
    assert len(list(done.run.checkpoints.iterdir())) <= 2
    for path, value in done.saved(best["step"]).items():
        np.testing.assert_array_equal(done.weights[path], value, err_msg=path)


@pytest.mark.parametrize("classes", [2, 3])
def test_lbfgs_puts_the_optimum_into_the_same_model(classes, tmp_path):
    examples = images(90)
    if classes == 2:
        examples = examples.take(np.flatnonzero(examples.labels < 2))
        object.__setattr__(examples, "classes", examples.classes[:2])
    stage = {"head": PhaseConfig(train="head", solver="lbfgs")}
    done = train(tmp_path, settings(stage, **on_cache(tmp_path)), examples)
    (row,) = done.rows
    assert (row["epoch"], row["step"], done.status["best"]["step"]) == (1, 1, 1)
    model, loader = done.assembly.model, done.assembly.loader
    indices = done.assembly.splits["val"]
    logits = model.predict(loader.ordered(indices), verbose=0)
    truth = done.assembly.examples.labels[indices]
    found = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert -found[np.arange(len(truth)), truth].mean() == pytest.approx(
        row["val_loss"], rel=1e-3, abs=1e-6
    )
    # At the optimum of the penalised loss the bias, which has no penalty, has no gradient.
    everything = done.assembly.splits["train"]
    logits = model.predict(loader.ordered(everything), verbose=0).astype("f8")
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    shares = np.bincount(done.assembly.examples.labels[everything]) / len(everything)
    np.testing.assert_allclose(chances.mean(axis=0), shares, atol=2e-3)
    proof = json.loads((done.run.folder / "freeze.json").read_text())["phases"][0]
    assert proof["proof"] == "held"


def test_lbfgs_needs_a_validation_split(tmp_path):
    examples = images(60)
    examples.splits[:] = "train"
    stage = {"head": PhaseConfig(train="head", solver="lbfgs")}
    config = settings(stage, **on_cache(tmp_path, data_val_fraction=0.0, task_monitor="loss"))
    assembly = assembled(config, examples)
    with pytest.raises(ConfigError, match="val_fraction"):
        loop.train(assembly, folder(tmp_path))


def noisy_learner():
    """A frozen part with dropout, a block that trains, and a head with dropout."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="low")(inputs)
    x = keras.layers.Dropout(0.5, name="low_dropout")(x)
    x = keras.layers.Conv2D(4, 3, name="high")(x)
    x = keras.layers.Dropout(0.5, name="high_dropout")(x)
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    x = keras.layers.Dropout(0.5, name="head_dropout")(x)
    return TaskModel(inputs, keras.layers.Dense(3, name="logits")(x), None)


@pytest.mark.parametrize(
    ("trained", "shape"), [((), (4,)), (("high",), (6, 6, 4)), (("low", "high"), None)]
)
def test_dropout_rests_below_what_trains_and_nowhere_else(trained, shape):
    model = noisy_learner()
    for name in ("low", "high"):
        model.get_layer(name).trainable = name in trained
    graph_cut.freeze_inference(model)
    found = graph_cut.find_split(model)
    if shape is None:
        assert found == "its layer low trains"
        assert not model.inference_operations
        return
    assert found.shapes == [shape]
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype("f4")
    np.testing.assert_array_equal(  # what is below runs the same in training
        found.lower(x, training=False), found.lower(x, training=False)
    )
    whole = np.asarray(model(x, training=False))
    two = np.asarray(found.upper(found.lower(x, training=False), training=False))
    np.testing.assert_allclose(two, whole, atol=1e-6)
    settled = {"low_dropout"} if trained else {"low_dropout", "high_dropout"}
    names = {layer.name for layer in model.layers if id(layer) in model.inference_operations}
    assert {name for name in names if "dropout" in name} == settled
    assert np.abs(np.asarray(model(x, training=True)) - whole).max() > 1e-3  # the head's draws


def test_a_frozen_part_without_weights_is_not_worth_a_cache():
    assembly = assembled(settings())
    phase = Phase("full", "all", "train", 1e-3, 3, 3, None)
    freeze.apply(assembly.model, assembly.backbone, phase)
    graph_cut.freeze_inference(assembly.model)
    assert "stem_conv trains" in graph_cut.find_split(assembly.model)


def test_the_structure_does_not_depend_on_numbers_that_keras_gives():
    def build(units, activation, scale=1.0):
        inputs = keras.Input((4,))
        x = keras.layers.Dense(units)(inputs * scale)
        # Named after what it does, as some backbones name their layers.
        return keras.Model(inputs, keras.layers.Activation(activation, name=activation)(x))

    one, again = build(3, "relu"), build(3, "relu")
    assert [each.name for each in one.layers] != [each.name for each in again.layers]
    assert cache_key.structure(one) == cache_key.structure(again)
    assert cache_key.structure(one) != cache_key.structure(build(3, "gelu"))
    assert cache_key.structure(one) != cache_key.structure(build(4, "relu"))
    assert cache_key.structure(one) != cache_key.structure(build(3, "relu", scale=2.0))


def test_a_layer_that_is_called_below_and_above_the_cut_is_no_crash():
    keras.utils.set_random_seed(0)
    inputs, relu = keras.Input((8, 8, 3)), keras.layers.ReLU(name="relu")
    x = relu(keras.layers.Conv2D(4, 3, name="low")(inputs))
    x = relu(keras.layers.Conv2D(4, 3, name="high")(x))
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    model = TaskModel(inputs, keras.layers.Dense(3, name="logits")(x), None)
    model.get_layer("low").trainable = False
    graph_cut.freeze_inference(model)
    found = graph_cut.find_split(model)
    assert isinstance(found, str) or found.shapes == [(6, 6, 4)]


def test_every_family_is_cut_at_its_features():
    spec = DataSpec("image", ("a", "b"), {})
    for name in ("small_cnn", "small_vit", "efficientnet_v2_b0", "convnext_tiny"):
        config = settings(model_name=name, model_image_size=32)
        backbone, _, model = build_model.build_model(config.model, config.task, spec)
        freeze.apply(model, backbone, Phase("head", "head", "frozen", 1e-3, 3, 3, None))
        graph_cut.freeze_inference(model)
        found = graph_cut.find_split(model)
        assert len(found.shapes) == 1, name
        assert len(found.shapes[0]) == 1, name
        paths = {weight.path for weight in found.upper.weights}
        assert paths == {"logits/kernel", "logits/bias", "head_length/length"}, name


def test_a_cut_so_low_that_its_features_are_larger_than_photos_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_MAX_VALUES", 1)  # 4 x 4 x 16 of a photo of 8 x 8 x 3
    stage = {"most": PhaseConfig(train="top:3", epochs="1")}
    done = train(tmp_path, settings(stage, **on_cache(tmp_path)))
    assert "larger than the photos" in (done.run.folder / "log.txt").read_text()


def test_a_signal_ends_a_pass_and_leaves_no_half_of_it(tmp_path):
    def interrupt(done, steps):
        raise KeyboardInterrupt

    assembly = assembled(settings(HEAD, **on_cache(tmp_path)))
    freeze.apply(assembly.model, assembly.backbone, assembly.phases[0])
    graph_cut.freeze_inference(assembly.model)
    with pytest.raises(KeyboardInterrupt):
        cache.prepare(assembly, assembly.phases[0], interrupt)
    folder = tmp_path / "cache" / "features"
    assert {path.suffix for path in folder.iterdir()} == {".lock"}
