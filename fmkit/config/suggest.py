"""What a user wrote, held against the schema: unknown keys and wrong types, each with its place."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import BooleanNode, FloatNode, IntegerNode, StringNode
from omegaconf.errors import OmegaConfBaseException, ValidationError

from fmkit.config.registry import BASES, GROUPS, all_config_classes, config_classes
from fmkit.config.schema.keys import KeyInfo, field_types, key_infos
from fmkit.config.schema.task import JointConfig, ObjectiveConfig
from fmkit.config.yaml_files import Assignment
from fmkit.core.errors import closest_names, join_names, received, short_repr

_SYNONYMS = {
    "lr": "learning_rate",
    "bs": "batch_size",
    "wd": "weight_decay",
    "size": "image_size",
    "epoch": "epochs",
    "path": "root",
    "dir": "root",
    "folder": "root",
    "grad_clip": "clip_norm",
}
"""What other tools call our keys."""

_NODES: dict[Any, Callable[[Any], Any]] = {
    int: IntegerNode,
    float: FloatNode,
    bool: BooleanNode,
    str: StringNode,
}
_TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    list[str]: "a list of texts, such as [one,two]",
}


def declaration(key: str, command: type, types: Mapping[str, type]) -> tuple[KeyInfo, Any]:
    """What the field of a key says of it, and its type; nothing and Any where there is no field.

    Args:
        key: full key.
        command: config class of the command.
        types: as for `problem_with`.
    """
    parts = key.split(".")
    if _is_of_objective(key):
        inside = parts[3:]
        classes = [ObjectiveConfig] if len(inside) == 1 else all_config_classes(inside[0])
        name = inside[-1] if len(inside) < 3 else inside[1]
    elif len(parts) == 1:
        classes, name = [command], key
    else:
        classes, name = [types[parts[0]]], parts[2 if parts[0] == "stage" else 1]
    for config in classes:
        if name in field_types(config) and parts[-1] == name:  # else a mapping's own key
            return key_infos(config)[name], field_types(config)[name]
    return KeyInfo(), Any


def all_keys(types: dict[str, type], phases: list[str]) -> list[str]:
    """Every full key that a command's config has, for suggestions."""
    keys: list[str] = []
    for name, kind in types.items():
        if name == "stage":
            names = [each.name for each in dataclasses.fields(kind)]
            keys.extend(f"stage.{phase}.{each}" for phase in phases for each in names)
        elif dataclasses.is_dataclass(kind):
            keys.extend(f"{name}.{each.name}" for each in dataclasses.fields(kind))
        else:
            keys.append(name)
    return keys


def problem_with(assignment: Assignment, types: dict[str, type], phases: list[str]) -> str:
    """What is wrong with one assignment; empty when nothing is.

    Args:
        assignment: what a user wrote.
        types: by top-level key, the dataclass behind a group, the phase's dataclass for `stage`,
            or the plain type of a scalar.
        phases: names of the phases of the chosen stage.
    """
    if issubclass(types.get("task", object), JointConfig) and _is_of_objective(assignment.key):
        wrong = _objective_problem(assignment)
    else:
        wrong = _unknown(assignment, types, phases) or _wrong_type(assignment, types)
    return f"{assignment.where}: {wrong}" if wrong and assignment.where else wrong


def _unknown(assignment: Assignment, types: dict[str, type], phases: list[str]) -> str:
    key, parts = assignment.key, assignment.key.split(".")
    top = parts[0]
    if top not in types:
        groups = closest_names(
            top, [*(each for each in types if each in BASES), "stage", "experiment"]
        )
        if groups and groups[0] in types and len(parts) == 1:
            return f"unknown group {key!r}. Did you mean {' or '.join(groups)}?"
        if top in GROUPS:
            return f"unknown key {key!r}: {top} is the run's own here. Leave it out."
        return _unknown_key(
            key, all_keys(types, phases), f"Known are: {join_names(sorted(types))}."
        )
    kind = types[top]
    if not dataclasses.is_dataclass(kind):
        return "" if len(parts) == 1 else _unknown_key(key, all_keys(types, phases), "")
    if len(parts) == 1:
        if assignment.value is None or isinstance(assignment.value, dict):
            return ""
        return f"{top} is a group of keys, not a value; received {short_repr(assignment.value)}."
    if top == "stage":
        if parts[1] not in phases:
            close = [
                ".".join(["stage", each, *parts[2:]]) for each in closest_names(parts[1], phases)
            ]
            if close:
                return f"unknown key {key!r}. Did you mean {' or '.join(close)}?"
            return (
                f"unknown key {key!r}. Phases of this stage: {join_names(phases)}. Others go "
                "into a "
                "file of your own, DIR/stage/mine.yaml: --config-dir=DIR stage=mine"
            )
        parts = parts[1:]
        if len(parts) == 1:
            wrong = not isinstance(assignment.value, dict)
            return f"{key} is a phase: set one of its keys, such as {key}.epochs." if wrong else ""
    allowed = [each.name for each in dataclasses.fields(kind)]
    if len(parts) == 2 and parts[1] in allowed:
        return ""
    if parts[1] in allowed and _is_mapping(field_types(kind)[parts[1]]):
        return ""
    elsewhere = _elsewhere(top, parts[1])
    if elsewhere:
        return f"unknown key {key!r} here. {elsewhere}"
    note = f"Keys of {key.rpartition('.')[0]}: {join_names(allowed)}."
    return _unknown_key(key, all_keys(types, phases), note, allowed)


def _is_of_objective(key: str) -> bool:
    return key.startswith("task.objectives.")


def _objective_problem(assignment: Assignment) -> str:
    """What is wrong with a key of an objective, whichever task and data that has."""
    key, value = assignment.key, assignment.value
    name, *inside = key.split(".")[2:]
    if not re.fullmatch(OBJECTIVE, name):
        allowed = "a name of small letters, digits and _, beginning with a letter"
        return received("the name of an objective", name, allowed)
    fields = field_types(ObjectiveConfig)
    if not inside:
        told = f"{key} is an objective: set one of its keys, such as {key}.task.name."
        return "" if value is None or isinstance(value, dict) else told
    group, *path = inside
    if group not in fields:
        parent = f"task.objectives.{name}"
        close = [f"{parent}.{each}" for each in closest_names(_SYNONYMS.get(group, group), fields)]
        hint = (
            f"Did you mean {' or '.join(close)}?"
            if close
            else f"Known are: {join_names([*fields])}."
        )
        return f"unknown key {key!r}. {hint}"
    if group not in BASES:
        if path:
            return f"unknown key {key!r}: {group} is a number."
        return _mismatch(assignment, fields[group], key_infos(ObjectiveConfig)[group].help)
    if not path:
        named = value is None or isinstance(value, dict | str)
        return "" if named else f"{key}: received {short_repr(value)}. Expected keys of {group}."
    kinds = [kind for kind in all_config_classes(group) if path[0] in field_types(kind)]
    if not kinds:
        every = {each for kind in all_config_classes(group) for each in field_types(kind)}
        return _unknown_key(key, [], f"No {group} has it.", sorted(every))
    if len(path) > 1:
        return ""
    problems = [
        _mismatch(assignment, field_types(kind)[path[0]], key_infos(kind)[path[0]].help)
        for kind in kinds  # of which one has a name that is not known yet
    ]
    return "" if "" in problems else problems[0]


OBJECTIVE = "[a-z][a-z0-9_]{0,29}"
"""Names of objectives, as a regular expression."""


def _unknown_key(
    key: str, everything: list[str], note: str, inside: list[str] | None = None
) -> str:
    """Word an unknown key: the nearest in its group, then the same leaf in any group."""
    prefix, _, leaf = key.rpartition(".")
    leaf = _SYNONYMS.get(leaf, leaf)
    close = [f"{prefix}.{each}" for each in closest_names(leaf, inside or [])]
    close = close or [each for each in everything if each.rpartition(".")[2] == leaf]
    if not close and not note:
        leaves = closest_names(
            leaf, dict.fromkeys(each.rpartition(".")[2] for each in everything), limit=1
        )
        close = [each for each in everything if each.rpartition(".")[2] in leaves]
    hint = f"Did you mean {' or '.join(close[:3])}?" if close else note
    return f"unknown key {key!r}. {hint}".rstrip()


def _elsewhere(group: str, name: str) -> str:
    """A key that another option of the same group has; empty when none does."""
    options = [
        option
        for option, kind in config_classes(group).items()
        if name in {each.name for each in dataclasses.fields(kind)}
    ]
    if not options:
        return ""
    return f"It belongs to {' and '.join(f'{group}={each}' for each in options)}: name one, too."


def _wrong_type(assignment: Assignment, types: dict[str, type]) -> str:
    parts = assignment.key.split(".")
    kind = types[parts[0]]
    if isinstance(assignment.value, str) and "${" in assignment.value:
        return ""  # an interpolation: Hydra resolves it, and the result is checked again
    if not dataclasses.is_dataclass(kind):
        return _mismatch(assignment, kind, "")
    if len(parts) < 2 or (parts[0] == "stage" and len(parts) < 3):
        return ""
    inside = parts[2:] if parts[0] == "stage" else parts[1:]
    wanted, meaning = field_types(kind)[inside[0]], key_infos(kind)[inside[0]].help
    if not _is_mapping(wanted):
        return _mismatch(assignment, wanted, meaning)
    if len(inside) > 1:
        kind = typing.get_args(wanted)[1]
        return "" if kind is Any else _mismatch(assignment, kind, meaning)
    if isinstance(assignment.value, dict):
        return ""
    return (
        f"{assignment.key}: received {short_repr(assignment.value)}. Expected a mapping. {meaning}"
    )


def _node(wanted: Any, value: Any) -> None:
    """Read a value as a type.

    Raises:
        OmegaConfBaseException: it is none of that type.
    """
    if wanted not in _NODES:
        raise ValidationError(str(wanted))
    _NODES[wanted](value)


def _is_mapping(wanted: Any) -> bool:
    return typing.get_origin(wanted) is dict


def _mismatch(assignment: Assignment, wanted: Any, meaning: str) -> str:
    options = typing.get_args(wanted) if typing.get_origin(wanted) is not dict else ()
    plain = [each for each in options if each is not type(None)] or [wanted]
    if assignment.value is None:
        if type(None) in options:
            return ""
        expected = _TYPE_NAMES.get(plain[0], "a value")
        return f"{assignment.key} must not be empty. Expected {expected}. {meaning}"
    if plain[0] == list[str] and isinstance(assignment.value, list):
        return ""  # what is in it `validate` tells
    try:
        _node(plain[0], assignment.value)
    except OmegaConfBaseException:
        expected = _TYPE_NAMES.get(plain[0], str(plain[0]))
        return (
            f"{assignment.key}: received {short_repr(assignment.value)}. Expected {expected}. "
            f"{meaning}"
        ).rstrip()
    return ""
