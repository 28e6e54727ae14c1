"""The JSON Schema of the config takes what fmkit takes, and refuses what it refuses by key."""

import dataclasses
import json
import operator
import re

import pytest

from fmkit.cli import main
from fmkit.commands import launch
from fmkit.config import json_schema, rules
from fmkit.config.compose import conf_dir
from fmkit.config.registry import BASES, COMMANDS, all_config_classes, config_class, config_classes
from fmkit.config.schema.keys import key_infos
from fmkit.core import safe_yaml

TYPES = {
    "string": str, "object": dict, "array": list, "null": type(None), "boolean": bool,
    "number": (int, float), "integer": int,
}  # fmt: skip
BOUNDS = {
    "minimum": operator.ge, "maximum": operator.le, "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt, "multipleOf": lambda value, factor: value % factor == 0,
}  # fmt: skip
NOTES = {"$schema", "$defs", "title", "description", "default"}


def accepts(rule, value, root):
    """JSON Schema for the keywords that we use; an unknown one fails the test."""
    verdicts = []
    for keyword, content in rule.items():
        if keyword in NOTES or keyword == "then":
            continue
        if keyword == "$ref":
            verdicts.append(accepts(root["$defs"][content.removeprefix("#/$defs/")], value, root))
        elif keyword == "type":
            names = content if isinstance(content, list) else [content]
            is_whole = isinstance(value, float) and value.is_integer() and "integer" in names
            verdicts.append(is_whole or any(
                isinstance(value, TYPES[name])
                and (name == "boolean" or not isinstance(value, bool)) for name in names
            ))  # fmt: skip
        elif keyword in ("enum", "const"):
            allowed = content if keyword == "enum" else [content]
            verdicts.append(any(type(item) is type(value) and item == value for item in allowed))
        elif keyword in ("anyOf", "allOf"):
            inner = [accepts(option, value, root) for option in content]
            verdicts.append(any(inner) if keyword == "anyOf" else all(inner))
        elif keyword == "if":
            verdicts.append(not accepts(content, value, root) or accepts(rule["then"], value, root))
        elif keyword in BOUNDS:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            verdicts.append(not is_number or BOUNDS[keyword](value, content))
        elif keyword == "pattern":
            verdicts.append(not isinstance(value, str) or bool(re.search(content, value)))
        elif keyword == "items":
            verdicts += [accepts(content, item, root) for item in value if isinstance(value, list)]
        elif isinstance(value, dict):
            verdicts.append(accepts_object(keyword, content, value, rule, root))
        else:
            assert keyword in ("properties", "additionalProperties", "propertyNames", "required")
    return all(verdicts)


def accepts_object(keyword, content, value, rule, root):
    properties = rule.get("properties", {})
    if keyword == "properties":
        return all(accepts(content[key], value[key], root) for key in value if key in content)
    if keyword == "propertyNames":
        return all(accepts(content, key, root) for key in value)
    if keyword == "required":
        return all(key in value for key in content)
    assert keyword == "additionalProperties", keyword
    others = [item for key, item in value.items() if key not in properties]
    return not others if content is False else all(accepts(content, item, root) for item in others)


NAMES = launch.allowed_names()
WHOLE = json_schema.schema("finetune", NAMES)
FILES = sorted(conf_dir().rglob("*.yaml"))


def schema_of(path):
    group = path.parent.name
    if group == "experiment":
        return WHOLE
    subject = path.stem if path.parent == conf_dir() else group
    return json_schema.schema(subject, NAMES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_of_ours_is_valid(path):
    tree = safe_yaml.value(safe_yaml.read(path).tree) or {}
    root = schema_of(path)
    if path.stem == "elpv":
        assert accepts(root, {**tree, "labels": "numbers"}, root)
    assert accepts(root, tree, root), tree


@pytest.mark.parametrize(
    "config",
    [
        {"data": {"name": "image_folder", "root": "photos", "batch_size": 64}},
        {"data": {"root": "photos"}},  # the name comes from the defaults list
        {"data": {"batch_size": "${oc.env:BATCH}"}},
        {"data": {"name": "text_table", "label_columns": ["a", "b"]}},
        {"optimizer": {"name": "sgd", "momentum": 0.9, "clip_norm": None}},
        {"stage": {"head": {"epochs": 3}, "mine": {"epochs": "500 steps", "rates": {"stem": 0.1}}}},
        {"runtime": {"jit": True, "devices": "all"}},
        {"runtime": {"loggers": ["mlflow"], "mlflow": {"experiment": "e", "tracking_uri": None}}},
        {"task": {"name": "joint", "objectives": {"a": {"task": "dpo", "weight": 2}, "b": None}}},
        {"task": {"name": "regression", "monitor": "val_mae"}},
        {"recipe": "auto", "init": None, "defaults": [{"override /model": "minilm"}]},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_right_is_taken(config):
    assert accepts(WHOLE, config, WHOLE)


@pytest.mark.parametrize(
    "config",
    [
        {"dta": {}},
        {"data": {"rot": "photos"}},
        {"data": {"name": "image_foldr"}},
        {"data": {"name": "image_folder", "text_column": "a"}},  # of another source
        {"data": {"batch_size": 0}},
        {"data": {"batch_size": 2.5}},
        {"data": {"val_fraction": 1}},
        {"data": {"augment": "lots"}},
        {"data": {"label_columns": "a"}},
        {"optimizer": {"name": "adamw", "momentum": 0.9}},
        {"optimizer": {"learning_rate": "fast"}},
        {"optimizer": {"learning_rate": -1}},
        {"stage": {"head": {"epoch": 3}}},
        {"stage": {"head": {"patience": 0}}},
        {"runtime": {"jit": "maybe"}},
        {"runtime": {"loggers": "mlflow"}},
        {"runtime": {"mlflow": {"uri": "http://h"}}},
        {"runtime": {"wandb": {"mode": "of"}}},
        {"task": {"name": "joint", "objectives": {"a": {"tsk": "simclr"}}}},
        {"task": {"name": "regression", "monitor": "val_accuracy"}},
        {"task": {"name": "masked_image", "decoder_width": 30}},
        {"model": {"name": "resnet5"}},
        {"recipe": True},
    ],
    ids=str,
)
def test_what_is_wrong_is_refused(config):
    assert not accepts(WHOLE, config, WHOLE)


@pytest.mark.parametrize("group", [*BASES])
def test_a_group_has_the_keys_of_each_of_its_options(group):
    content = WHOLE["$defs"][group]
    declared = {
        field.name: field
        for kind in all_config_classes(group)
        for field in dataclasses.fields(kind)
    }
    assert content["properties"].keys() == declared.keys()
    assert all(value["description"] for value in content["properties"].values())
    for rule in content.get("allOf", ()):
        name = rule["if"]["properties"]["name"]["const"]
        keys = {field.name for field in dataclasses.fields(config_class(group, name))}
        assert set(rule["then"]["propertyNames"]["enum"]) == keys
    if config_classes(group):
        assert len(content["allOf"]) == len(NAMES.get(f"{group}.name", config_classes(group)))


def infos():
    for kind in dict.fromkeys(kind for group in BASES for kind in all_config_classes(group)):
        for key, info in key_infos(kind).items():
            if info.range:
                yield pytest.param(key, info, id=f"{kind.__name__}.{key}")


@pytest.mark.parametrize(("key", "info"), [*infos()])
def test_a_range_is_the_one_that_fmkit_checks(key, info):
    """At each bound and on both sides of it, with the words of the message."""
    assert info.range.bounds
    for bound in info.range.bounds.values():
        for value in (bound - 1, bound - 1e-6, bound, bound + 1e-6, bound + 1):
            verdict = accepts(dict(info.range.bounds), value, {})
            assert verdict == (not rules.value_problem(key, info, value, {})), value


@pytest.mark.parametrize("subject", [*COMMANDS, *json_schema.GROUPS])
def test_the_command_prints_it(subject, capsys):
    assert main(["schema", subject]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert accepts(content, {}, content)
    assert not accepts(content, {"nonsense": 1}, content) or subject == "stage"
    references = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(content)))
    assert references <= content["$defs"].keys()


def test_in_an_envelope_and_an_unknown_subject(capsys):
    assert main(["schema", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["kind"], content["schema"]) == ("schema", json.loads(json.dumps(WHOLE)))
    assert main(["schema", "dta"]) == 2
    assert "Did you mean data" in capsys.readouterr().err


def test_names_of_a_plugin_file_are_allowed(tmp_path, capsys):
    plugin = tmp_path / "mine.py"
    plugin.write_text("MODELS = {'my_net': lambda config: None}\n")
    assert main(["schema", f"plugins={plugin}"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert accepts(content, {"model": {"name": "my_net"}}, content)
    assert not accepts(WHOLE, {"model": {"name": "my_net"}}, WHOLE)


def test_the_line_for_editors_is_a_comment_for_hydra(tmp_path, capsys):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "# @package _global_\n# yaml-language-server: $schema=../../fmkit.schema.json\n"
        "data: {batch_size: 48}\n"
    )
    words = ["experiment=mine", f"--config-dir={tmp_path / 'conf'}", "--cfg", "job"]
    assert main(["finetune", *words]) == 0
    assert "batch_size: 48" in capsys.readouterr().out
