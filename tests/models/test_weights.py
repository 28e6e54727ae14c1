import h5py
import keras
import numpy as np
import pytest

from fmkit.config.schema import ModelConfig
from fmkit.errors import ArtifactError, ConfigError
from fmkit.models.applications import application
from fmkit.models.table import build

SIZE = 32


def reference(**options):
    keras.utils.set_random_seed(3)
    return keras.applications.MobileNet(
        weights=None, input_shape=(SIZE, SIZE, 3), **{"include_top": False} | options
    )


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
    for ours, theirs in zip(backbone.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_compiled_model_with_dropout_is_as_good(tmp_path, saved):
    model, _ = saved
    model.compile("adam", "mse")
    zeros = np.zeros((4, SIZE, SIZE, 3), "float32")
    model.fit(zeros, model(zeros), verbose=0)
    path = tmp_path / "trained.weights.h5"
    model.save_weights(path)
    np.testing.assert_array_equal(cnn(path).model.get_weights()[0], model.get_weights()[0])


def test_a_classification_head_in_the_file_is_named(tmp_path):
    path = tmp_path / "with_top.weights.h5"
    reference(include_top=True, classes=7).save_weights(path)
    with pytest.raises(ArtifactError, match=r"the model lacks: .*\[1, 1, 1024, 7\].*\[7\]"):
        mobilenet(path)


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
    with pytest.raises(ArtifactError, match="not finite"):
        cnn(saved[1])


def test_words_and_paths_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean imagenet"):
        application(ModelConfig(name="mobilenet", weights="imagnet"))
    with pytest.raises(ConfigError, match="Allowed: none"):
        cnn("imagenet")
    other = tmp_path / "weights.bin"
    other.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"ends in \.h5"):
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
