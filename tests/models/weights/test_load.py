import h5py
import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.models.registry import build
from fmkit.models.vision.applications import application
from fmkit.models.weights.load import load_weights_file

SIZE = 32


def reference(**options):
    keras.utils.set_random_seed(3)
    return keras.applications.MobileNet(
        weights=None, input_shape=(SIZE, SIZE, 3), **{"include_top": False} | options
    )


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def mobilenet(path):
    return application(ModelConfig(name="mobilenet", weights=str(path), image_size=SIZE))


def cnn(path):
    return build(ModelConfig(name="small_cnn", weights=str(path)))


@pytest.fixture
def saved(tmp_path):
    model = build(ModelConfig(name="small_cnn", weights="none")).model
    path = tmp_path / "cnn.weights.h5"
    model.save_weights(path)
    return model, path


@pytest.mark.parametrize("file", ["plain.weights.h5", "legacy.h5"])
def test_files_that_keras_itself_wrote(tmp_path, file):
    model = reference()
    path = tmp_path / file
    if file == "legacy.h5":
        model.save(path)
    else:
        model.save_weights(path)
    backbone = mobilenet(path)
    assert backbone.weights == str(path)
    assert_equal(backbone.model.get_weights(), model.get_weights())


def saved_as(model, path):
    """A model's weights in a file of the format that its name says."""
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    elif path.suffix in (".keras", ".h5"):
        model.save(path)
    elif path.suffix == ".safetensors":
        save_file({each.path: np.asarray(each.value) for each in model.weights}, path)
    elif path.name.startswith("named"):
        np.savez_compressed(path, **{each.path: np.asarray(each.value) for each in model.weights})
    else:
        np.savez(path, *model.get_weights())


@pytest.mark.parametrize(
    "file",
    ["a.keras", "a.h5", "a.weights.h5", "a.safetensors", "named.npz", "a.npz"],
)
@pytest.mark.parametrize("name", ["small_cnn", "small_vit"])
def test_every_format(tmp_path, name, file):
    model = build(ModelConfig(name=name, weights="none")).model
    numbers = np.random.default_rng(0)
    for each in model.weights:
        each.assign(numbers.normal(size=each.shape))
    path = tmp_path / file
    saved_as(model, path)
    loaded = build(ModelConfig(name=name, weights=str(path))).model
    assert_equal(loaded.get_weights(), model.get_weights())


def test_a_backbone_inside_a_larger_model_is_found(tmp_path, capsys):
    model = build(ModelConfig(name="small_vit", weights="none")).model
    for each in model.weights:
        each.assign(np.random.default_rng(1).normal(size=each.shape))
    images = keras.Input((None, None, 3))
    x = keras.layers.Resizing(32, 32)(images)
    inner = keras.Model(model.input, keras.layers.Dense(3, name="logits")(model.output[:, 0]))
    keras.Model(images, keras.layers.Softmax()(inner(x))).save(tmp_path / "whole.keras")
    loaded = build(ModelConfig(name="small_vit", weights=str(tmp_path / "whole.keras"))).model
    assert_equal(loaded.get_weights(), model.get_weights())
    assert "unused 2 (its head" in capsys.readouterr().err


def test_layers_that_keras_numbered_on_from_an_earlier_model(tmp_path):
    def unnamed():
        images = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(3, 3)(images)
        return keras.Model(images, keras.layers.Conv2D(3, 3)(x))

    ours, theirs = unnamed(), unnamed()
    assert ours.layers[1].name != theirs.layers[1].name
    for file in ("a.weights.h5", "a.h5"):
        theirs.set_weights([each + 1 for each in theirs.get_weights()])
        saved_as(theirs, tmp_path / file)
        load_weights_file(ours, str(tmp_path / file))
        assert_equal(ours.get_weights(), theirs.get_weights())


def test_every_way_to_cut_a_file_short_is_told_as_what_it_is(tmp_path):
    model = build(ModelConfig(name="small_cnn", weights="none")).model
    for suffix in (".keras", ".weights.h5", ".npz", ".safetensors"):
        whole = tmp_path / f"whole{suffix}"
        saved_as(model, whole)
        content = whole.read_bytes()
        for point in range(20):
            path = tmp_path / f"cut{suffix}"
            path.write_bytes(content[: len(content) * point // 20])
            with pytest.raises(ArtifactError, match=r"bytes|empty") as told:
                load_weights_file(model, str(path))
            assert "not found" not in told.value.message
            assert len(told.value.message) < 400


def test_a_compiled_model_with_dropout_is_as_good(tmp_path, saved):
    model, _ = saved
    model.compile("adam", "mse")
    zeros = np.zeros((4, SIZE, SIZE, 3), "float32")
    model.fit(zeros, model(zeros), verbose=0)
    path = tmp_path / "trained.weights.h5"
    model.save_weights(path)
    np.testing.assert_array_equal(cnn(path).model.get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("file", ["top.weights.h5", "top.h5", "top.keras"])
def test_a_classification_head_in_the_file_is_left_out_and_said(tmp_path, capsys, file):
    path = tmp_path / file
    model = reference(include_top=True, classes=7)
    (model.save_weights if file.endswith(".weights.h5") else model.save)(path)
    backbone = mobilenet(path)
    assert_equal(backbone.model.get_weights(), model.get_weights()[:-2])
    told = capsys.readouterr().err
    assert "weights: loaded 135 from" in told
    assert "unused 2 (its head: " in told


def test_a_layer_too_many_is_no_head(tmp_path):
    images = keras.Input((32, 32, 3))
    inner = build(ModelConfig(name="small_cnn", weights="none")).model
    x = keras.layers.Conv2D(8, 3, name="another")(inner(images))
    keras.Model(images, x).save_weights(tmp_path / "more.weights.h5")
    with pytest.raises(ArtifactError, match=r"the model lacks: .*conv2d/vars/0 \[3, 3, .*, 8\]"):
        cnn(tmp_path / "more.weights.h5")


def test_another_architecture_is_refused(tmp_path, saved):
    with pytest.raises(ArtifactError, match="model needs and the file lacks: conv1/kernel"):
        mobilenet(saved[1])


def test_the_same_shapes_in_another_order_are_refused(tmp_path):
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, use_bias=False)(images)
    keras.Model(images, x).save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ArtifactError, match="file lacks"):
        cnn(tmp_path / "other.weights.h5")


def test_a_file_that_was_cut_short(saved):
    content = saved[1].read_bytes()
    saved[1].write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match="cannot be read"):
        cnn(saved[1])


def test_weights_that_are_not_finite(saved):
    with h5py.File(saved[1], "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
        values = file[names[0]][...]
        values.flat[0] = np.nan
        file[names[0]][...] = values
    with pytest.raises(ArtifactError, match="contain NaN or infinity"):
        cnn(saved[1])


def test_words_and_paths_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean imagenet"):
        application(ModelConfig(name="mobilenet", weights="imagnet"))
    with pytest.raises(ConfigError, match="Allowed: none"):
        cnn("imagenet")
    other = tmp_path / "weights.bin"
    other.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"ends in \.keras or \.h5"):
        cnn(other)


MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    ("stored", "variance"),
    [
        ("as published", DEVIATION),  # Keras' files have the deviation in the variance's place
        ("as it should be", DEVIATION**2),
        ("none", None),
    ],
)
def test_efficientnet_gets_the_inputs_of_its_training(tmp_path, stored, variance):
    path = "none"
    if variance is not None:
        model = keras.applications.EfficientNetB0(
            weights=None, include_top=False, input_shape=(SIZE, SIZE, 3)
        )
        normalization = model.get_layer(index=2)
        normalization.adapt_mean.assign(MEAN)
        normalization.adapt_variance.assign(variance)
        path = str(tmp_path / "b0.weights.h5")
        model.save_weights(path)
    built = application(ModelConfig("efficientnet_b0", path, image_size=SIZE)).model
    photo = np.random.default_rng(0).uniform(0, 255, (1, SIZE, SIZE, 3)).astype("float32")
    inner = keras.Model(built.input, built.get_layer("stem_conv_pad").input)
    expected = (photo / 255 - MEAN) / DEVIATION
    np.testing.assert_allclose(inner(photo), expected, rtol=1e-4, atol=1e-5)
    assert built.count_params() == 4_049_571
