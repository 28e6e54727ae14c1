"""What a user wrote, held against the schema: unknown keys and wrong types, each with its place."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import BooleanNode, FloatNode, IntegerNode, StringNode
from omegaconf.errors import OmegaConfBaseException

from fmkit.config.documentation import field_docs, field_types
from fmkit.config.schema import GROUPS, KINDS
from fmkit.errors import listed, nearest

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
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@dataclass(frozen=True)
class Assignment:
    """A key that a user set, and where.

    Attributes:
        key: full dotted key.
        value: as parsed.
        where: `file:line`, or empty for the command line.
    """

    key: str
    value: Any
    where: str = ""


@dataclass
class ConfigFile:
    """A user's YAML file, read.

    Attributes:
        assignments: the keys it sets.
        defaults: files of the same group that its defaults list names, and schemas.
        choices: by group, the option that its defaults list picks.
        places: `file:line` of each name in `defaults` and of each group in `choices`, but not of
            schemas.
        problems: what is wrong with the file as such.
    """

    assignments: list[Assignment] = field(default_factory=list)
    defaults: list[str] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_config_file(path: Path, package: str) -> ConfigFile:
    """Read one YAML file of a config group.

    Args:
        path: the file.
        package: the group whose keys it sets, or empty for a file that sets keys from the top.
    """
    found = ConfigFile()
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        found.problems.append(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.")
        return found
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        found.problems.append(f"{place}: this is not YAML: {reason}.")
        return found
    if tree is None:
        return found
    if not isinstance(tree, yaml.MappingNode):
        found.problems.append(f"{path}:1: a config file must be a mapping of keys to values.")
        return found
    if path.parent.name == "experiment" and "@package _global_" not in text:
        found.problems.append(
            f"{path}:1: an experiment starts with the line `# @package _global_`."
        )
        return found
    found.problems.extend(_twice(tree, path))
    for key_node, value_node in tree.value:
        if key_node.value == "defaults":
            _read_defaults(value_node, found, path)
        else:
            prefix = f"{package}." if package else ""
            found.assignments.extend(_leaves(key_node, value_node, prefix, path))
    return found


def _twice(tree: yaml.MappingNode, path: Path) -> Iterator[str]:
    """Keys that a mapping, or one inside it, has twice."""
    seen: dict[str, int] = {}
    for key, value in tree.value:
        line = key.start_mark.line + 1
        if key.value in seen:
            before = seen[key.value]
            yield f"{path}:{line}: the key {key.value!r} is here again, after line {before}."
        seen[str(key.value)] = line
        if isinstance(value, yaml.MappingNode) and value is not tree:
            yield from _twice(value, path)


def _read_defaults(node: yaml.Node, found: ConfigFile, path: Path) -> None:
    for each in node.value if isinstance(node, yaml.SequenceNode) else []:
        where = f"{path}:{each.start_mark.line + 1}"
        entry = yaml.SafeLoader("").construct_document(each)
        if isinstance(entry, str):
            found.defaults.append(entry)
            found.places[entry] = where
        elif isinstance(entry, dict):
            for group, option in entry.items():
                name = str(group).rpartition(" ")[2].lstrip("/").split("@")[0]  # after `override`
                if name.startswith("schema/"):
                    found.defaults.append(str(option))
                elif option is not None and not name.startswith("hydra"):
                    found.choices[name] = str(option)
                    found.places[name] = where


def _leaves(key: yaml.Node, value: yaml.Node, prefix: str, path: Path) -> Iterator[Assignment]:
    name = f"{prefix}{key.value}"
    where = f"{path}:{key.start_mark.line + 1}"
    if isinstance(value, yaml.MappingNode) and value.value:
        for inner_key, inner_value in value.value:
            yield from _leaves(inner_key, inner_value, f"{name}.", path)
        return
    try:
        yield Assignment(name, yaml.SafeLoader("").construct_document(value), where)
    except yaml.YAMLError:
        yield Assignment(name, None, where)


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
    wrong = _unknown(assignment, types, phases) or _wrong_type(assignment, types)
    return f"{assignment.where}: {wrong}" if wrong and assignment.where else wrong


def _unknown(assignment: Assignment, types: dict[str, type], phases: list[str]) -> str:
    key, parts = assignment.key, assignment.key.split(".")
    top = parts[0]
    if top not in types:
        groups = nearest(top, [*(each for each in types if each in KINDS), "stage", "experiment"])
        if groups and groups[0] in types and len(parts) == 1:
            return f"unknown group {key!r}. Did you mean {' or '.join(groups)}?"
        if top in GROUPS:
            return f"unknown key {key!r}: {top} is the run's own here. Leave it out."
        return _unknown_key(key, all_keys(types, phases), f"Known are: {listed(sorted(types))}.")
    kind = types[top]
    if not dataclasses.is_dataclass(kind):
        return "" if len(parts) == 1 else _unknown_key(key, all_keys(types, phases), "")
    if len(parts) == 1:
        if assignment.value is None or isinstance(assignment.value, dict):
            return ""
        return f"{top} is a group of keys, not a value; received {assignment.value!r}."
    if top == "stage":
        if parts[1] not in phases:
            close = [".".join(["stage", each, *parts[2:]]) for each in nearest(parts[1], phases)]
            if close:
                return f"unknown key {key!r}. Did you mean {' or '.join(close)}?"
            return (
                f"unknown key {key!r}. Phases of this stage: {listed(phases)}. Others go into a "
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
    note = f"Keys of {key.rpartition('.')[0]}: {listed(allowed)}."
    return _unknown_key(key, all_keys(types, phases), note, allowed)


def _unknown_key(
    key: str, everything: list[str], note: str, inside: list[str] | None = None
) -> str:
    """Word an unknown key: the nearest in its group, then the same leaf in any group."""
    prefix, _, leaf = key.rpartition(".")
    leaf = _SYNONYMS.get(leaf, leaf)
    close = [f"{prefix}.{each}" for each in nearest(leaf, inside or [])]
    close = close or [each for each in everything if each.rpartition(".")[2] == leaf]
    if not close and not note:
        leaves = nearest(
            leaf, dict.fromkeys(each.rpartition(".")[2] for each in everything), most=1
        )
        close = [each for each in everything if each.rpartition(".")[2] in leaves]
    hint = f"Did you mean {' or '.join(close[:3])}?" if close else note
    return f"unknown key {key!r}. {hint}".rstrip()


def _elsewhere(group: str, name: str) -> str:
    """A key that another option of the same group has; empty when none does."""
    options = [
        option
        for option, kind in KINDS.get(group, {}).items()
        if option and name in {each.name for each in dataclasses.fields(kind)}
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
    wanted, meaning = field_types(kind)[inside[0]], field_docs(kind).get(inside[0], "")
    if not _is_mapping(wanted):
        return _mismatch(assignment, wanted, meaning)
    if len(inside) > 1:
        return _mismatch(assignment, typing.get_args(wanted)[1], meaning)
    if isinstance(assignment.value, dict):
        return ""
    return f"{assignment.key}: received {assignment.value!r}. Expected a mapping. {meaning}"


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
    try:
        _NODES[plain[0]](assignment.value)
    except OmegaConfBaseException:
        expected = _TYPE_NAMES.get(plain[0], str(plain[0]))
        return (
            f"{assignment.key}: received {assignment.value!r}. Expected {expected}. {meaning}"
        ).rstrip()
    return ""
