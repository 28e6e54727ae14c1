"""`fmkit models` and `fmkit data`: every name, sizes that are right, and how to get the rest."""

import json

import pytest

from fmkit.cli import main
from fmkit.config.registry import SOURCES
from fmkit.config.schema.model import ModelConfig
from fmkit.core import optional_packages
from fmkit.models import registry


@pytest.fixture
def listed(capsys):
    def listed(*words):
        assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return listed


def test_every_model_is_listed_with_its_size(listed):
    rows = {row["name"]: row for row in listed("models")["models"]}
    assert set(rows) == set(registry.MODELS)
    assert all(row["parameters"] for name, row in rows.items() if name != "hub")
    assert rows["minilm"]["modality"] == "text"
    assert rows["resnet50"]["modality"] == "image"
    # Keras lists 25,636,712 for ResNet50, of which its head has 2048 x 1000 + 1000.
    assert rows["resnet50"]["parameters"] == 25_636_712 - 2_049_000
    assert rows["resnet50"]["bytes"] == 4 * rows["resnet50"]["parameters"]


@pytest.mark.parametrize("name", ["small_cnn", "small_vit", "small_bert", "small_gpt", "mobilenet"])
def test_parameters_are_those_of_the_backbone(name):
    backbone = registry.build(ModelConfig(name, "none"))
    assert registry.parameters(name) == backbone.model.count_params()


def test_every_source_is_listed(listed):
    rows = {row["name"]: row for row in listed("data")["data"]}
    assert set(rows) == set(SOURCES)
    assert (rows["digits"]["examples"], rows["digits"]["classes"]) == (1797, 10)
    packaged = {name for name, entry in SOURCES.items() if entry.is_packaged}
    assert {name for name, row in rows.items() if row["examples"]} == packaged


def test_no_line_of_the_sources_shows_an_escape(capsys):
    assert main(["data"]) == 0
    out = capsys.readouterr().out
    assert "\\n" not in out
    assert "inside.\n" in out  # the second line of a description


@pytest.mark.parametrize("command", ["models", "data"])
def test_what_is_not_installed_says_how(command, monkeypatch, capsys):
    monkeypatch.setattr(optional_packages, "is_installed", lambda module: False)
    assert main([command]) == 0
    out = capsys.readouterr().out
    assert "not installed" in out
    assert "pip install" in out


def test_a_word_finds_presets(listed, capsys):
    names = [row["name"] for row in listed("models", "bert", "tiny")["presets"]]
    assert "bert_tiny_en_uncased" in names
    assert all("bert" in name and "tiny" in name for name in names)
    assert main(["models", "nothing_like_it"]) == 2
    assert "nothing_like_it" in capsys.readouterr().err
