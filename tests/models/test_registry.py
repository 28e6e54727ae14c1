import subprocess
import sys

import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError
from fmkit.models import registry as model_registry
from fmkit.models.vision.application_families import APPLICATIONS


def test_the_table_is_imported_without_keras_and_tensorflow():
    code = (
        "import sys; from fmkit.models import registry; registry.names(); "
        "registry.default_image_size('resnet50'); "
        "sys.exit(any(each in sys.modules for each in ('keras', 'tensorflow', 'keras_hub')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_model_of_keras_applications_is_there():
    import keras

    offered = {name for name in dir(keras.applications) if name[0].isupper()}
    assert {each.keras_name for each in APPLICATIONS.values()} == offered


def test_every_name_leads_to_a_function():
    from fmkit.core import registry

    assert set(model_registry.MODELS) == {
        *APPLICATIONS,
        "efficientnet_lite0",
        "hub",
        "minilm",
        "small_bert",
        "small_cnn",
        "small_gpt",
        "small_vit",
        "smollm2",
    }
    assert all(callable(registry.load(target)) for target in set(model_registry.MODELS.values()))
    assert set(model_registry.MODELS) <= set(model_registry.names())


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean resnet50"):
        model_registry.build(ModelConfig(name="resnet5", weights="none"))


@pytest.mark.parametrize("size", [0, -32])
def test_an_image_size_must_be_positive(size):
    with pytest.raises(ConfigError, match="1 or more"):
        model_registry.build(ModelConfig(name="small_cnn", weights="none", image_size=size))


def test_image_sizes_are_known_before_building():
    assert model_registry.default_image_size("efficientnet_b3") == 300
    assert model_registry.default_image_size("small_vit") == 32
    assert model_registry.default_image_size("hub") is None
    for name in ("small_cnn", "small_vit"):
        built = model_registry.build(ModelConfig(name=name, weights="none"))
        assert built.image_size == model_registry.default_image_size(name)


def test_what_a_model_reads_is_known_once_it_is_built():
    names = ("small_bert", "small_cnn", "small_gpt", "small_vit")
    built = [model_registry.build(ModelConfig(name=name, weights="none")) for name in names]
    assert [backbone.modality for backbone in built] == ["text", "image", "text", "image"]
    assert [backbone.tokenizer is not None for backbone in built] == [True, False, True, False]
