"""Names of presets without KerasHub, and other tools' names for the same models."""

import keras_hub
import pytest

from fmkit.models import registry
from fmkit.models.hub import preset_list
from fmkit.models.hub.families import IMAGE_BACKBONES, TEXT_BACKBONES
from fmkit.models.hub.presets import preset_classes


def test_the_list_is_that_of_keras_hub():
    listed = preset_list.presets()
    for modality, classes in (("image", IMAGE_BACKBONES), ("text", TEXT_BACKBONES)):
        own = {name for name, row in listed.items() if row.modality == modality}
        assert set(preset_classes(classes)) <= own
    known = keras_hub.models.Backbone.presets["bert_base_en"]["metadata"]
    assert listed["bert_base_en"].parameters == known["params"]


def test_every_name_stands_for_a_preset():
    assert set(preset_list.HUGGING_FACE_NAMES.values()) <= set(preset_list.presets())
    assert all(name == name.lower() for name in preset_list.HUGGING_FACE_NAMES)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("bert-base-uncased", "model=hub model.preset=bert_base_en_uncased"),
        ("google-bert/bert-base-uncased", "model=hub model.preset=bert_base_en_uncased"),
        ("google/vit-base-patch16-224", "model=hub model.preset=vit_base_patch16_224_imagenet"),
        ("vit_base_patch16_224_imagenet", "model=hub model.preset=vit_base_patch16_224_imagenet"),
        ("someone/bert-base-uncased", "model=hub model.preset=hf://someone/bert-base-uncased"),
        ("hf://google/vit", "model=hub model.preset=hf://google/vit"),
        ("sentence-transformers/all-MiniLM-L6-v2", "model=minilm"),
        ("ResNet-50", "model=resnet50"),
        ("EfficientNetB0", "model=efficientnet_b0"),
        ("resnet5", ""),
    ],
)
def test_a_name_of_another_tool(name, settings):
    assert " ".join(preset_list.settings_for(name, registry.names())) == settings
