"""A JSON Schema (2020-12) of the config, from the fields that declare its keys.

Editors complete and check YAML by it. It is as strict as the types, the choices and the ranges of
single keys are; what depends on several keys, fmkit itself checks.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import MISSING

from fmkit.config.registry import (
    BASES,
    COMMAND_WORDS,
    COMMANDS,
    config_class,
    config_classes,
    task_entry,
)
from fmkit.config.schema.keys import KeyInfo, field_types, key_infos, section_of
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import JointConfig, ObjectiveConfig

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
GROUPS = (*BASES, "stage")
"""Groups whose files have a schema of their own."""

_INTERPOLATION = {"$ref": "#/$defs/interpolation"}
_DEFAULTS = {
    "type": "array",
    "description": "Hydra's defaults list: the options that this file builds on, such as "
    "`- override /data: image_folder`.",
}
_TEXT = {"type": ["string", "number"]}  # a number becomes its text: `epochs: 10`
_SCALARS: dict[Any, Schema] = {
    str: _TEXT,
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
}


def schema(subject: str, names: Mapping[str, Sequence[str]]) -> Schema:
    """The schema of a config.

    Args:
        subject: a command, whose whole config it describes, or one of GROUPS, for the group's file.
        names: allowed values of `model.name`, `data.name` and `task.name`.
    """
    definitions = {"interpolation": {"type": "string", "pattern": r"\$\{.+\}"}}
    groups = {group: _group(group, names) for group in BASES}
    groups["stage"] = {"type": "object", "additionalProperties": {"$ref": "#/$defs/phase"}}
    phase = _object(PhaseConfig)
    objective = _object(ObjectiveConfig)
    for part in ("task", "data"):
        by_name = {"enum": [*names[f"{part}.name"]]}
        objective["properties"][part]["anyOf"] = [{"$ref": f"#/$defs/{part}"}, by_name]
    if subject in COMMANDS:
        title = f"The config of fmkit {COMMAND_WORDS.get(subject, subject)}"
        root = _object(COMMANDS[subject], groups)
        root["properties"] |= {"hydra": {"type": "object"}}
    else:
        title, root = f"A file of the group {subject}", dict(groups[subject])
    root["properties"] = {"defaults": _DEFAULTS, **root.get("properties", {})}
    if "allOf" in root:  # the keys of each name, and the defaults list beside them
        root["allOf"] = [_with_key(rule, "defaults") for rule in root["allOf"]]
    definitions |= {**groups, "phase": phase, "objective": objective}
    return {"$schema": DIALECT, "title": title, **root, "$defs": definitions}


def _with_key(rule: Schema, key: str) -> Schema:
    then = {
        **rule["then"],
        "propertyNames": {"enum": [*rule["then"]["propertyNames"]["enum"], key]},
    }
    return {**rule, "then": then}


def _object(config: type, groups: Mapping[str, Schema] | None = None) -> Schema:
    """An object with the keys of a config class; its groups are references."""
    types_of, infos = field_types(config), key_infos(config)
    properties: dict[str, Schema] = {}
    for field in dataclasses.fields(config):
        if groups is not None and field.name in groups:
            properties[field.name] = {"$ref": f"#/$defs/{field.name}"}
        elif section := section_of(field):
            properties[field.name] = _object(section)
        else:
            info = infos[field.name]
            default = None if field.default is MISSING else field.default
            properties[field.name] = _value(types_of[field.name], info, default)
    text = " ".join((config.__doc__ or "").split())
    return {
        "type": "object", "description": text, "properties": properties,
        "additionalProperties": False,
    }  # fmt: skip


def _group(group: str, names: Mapping[str, Sequence[str]]) -> Schema:
    """A group: the keys of all its options, and with `name` set only those of that one."""
    whole = _object(BASES[group])
    allowed = names.get(f"{group}.name", [*config_classes(group)])
    rules = []
    for name in allowed:
        own = _object(config_class(group, name))
        for key, value in own["properties"].items():
            whole["properties"].setdefault(key, value)
            if _without_text(whole["properties"][key]) != _without_text(value):
                whole["properties"][key] = _either(whole["properties"][key], value)
        then: Schema = {"propertyNames": {"enum": [*own["properties"]]}}
        if group == "task" and (monitors := _monitors(name)):
            then["properties"] = {"monitor": {"anyOf": [{"enum": monitors}, _INTERPOLATION]}}
        is_name = {"properties": {"name": {"const": name}}, "required": ["name"]}
        rules.append({"if": is_name, "then": then})
    if "name" in whole["properties"]:
        whole["properties"]["name"]["anyOf"] = [{"enum": [*allowed]}, _INTERPOLATION]
    return {**whole, **({"allOf": rules} if config_classes(group) else {})}


def _monitors(task: str) -> list[str]:
    """What `task.monitor` may be; empty for a joint task, whose objectives decide it."""
    entry = task_entry(task)
    return [] if issubclass(entry.config, JointConfig) else [*entry.monitors]


def _value(kind: Any, info: KeyInfo, default: Any) -> Schema:
    """The schema of one key."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    kinds = typing.get_args(kind) if is_union else (kind,)
    options = [_typed(kind, info) for kind in kinds if kind is not type(None)]
    content: Schema = {"description": info.help}
    if len(kinds) > len(options):
        options.append({"type": "null"})
        content["default"] = None
    if isinstance(default, str | int | float):
        content["default"] = default
    if kind is Any:
        return content
    return {**content, "anyOf": [*options, _INTERPOLATION]}


def _typed(kind: Any, info: KeyInfo) -> Schema:
    """The schema of the values of one type."""
    arguments = typing.get_args(kind)
    if info.choices:
        words = [word == "true" for word in info.choices if word in ("true", "false")]
        return {"enum": [*info.choices, *words]}  # `jit: true` is not a text in YAML
    if typing.get_origin(kind) is list:
        return {"type": "array", "items": _typed(arguments[0], KeyInfo())}
    if typing.get_origin(kind) is dict:
        is_objective = arguments[1] is Any
        inner = {"anyOf": [{"$ref": "#/$defs/objective"}, {"type": "null"}]}
        item = inner if is_objective else _typed(arguments[1], KeyInfo())
        return {"type": "object", "additionalProperties": item}
    return {**_SCALARS.get(kind, {}), **(info.range.bounds if info.range else {})}


def _without_text(value: Schema) -> Schema:
    return {key: item for key, item in value.items() if key not in ("description", "default")}


def _either(first: Schema, second: Schema) -> Schema:
    """Values of either form, for a key that options of a group declare in two ways."""
    options = [*first.get("anyOf", ()), *second.get("anyOf", ())]
    distinct = [option for number, option in enumerate(options) if option not in options[:number]]
    return {**first, "anyOf": distinct}
