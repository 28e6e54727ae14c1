"""What a user wrote, held against the schema: unknown keys and wrong types, each with its place."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import BooleanNode, FloatNode, IntegerNode, StringNode
from omegaconf.errors import OmegaConfBaseException

from fmkit import strict_yaml, unseen
from fmkit.config.documentation import field_docs, field_types
from fmkit.config.schema import GROUPS, KINDS
from fmkit.config.source import whole, whole_number_keys
from fmkit.errors import listed, nearest, received, shown

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
_OPTION = re.compile(r"\w[\w.+-]{0,99}")
_PHASE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_PICKED = re.compile(r"(?:override +)?/?([\w/]+)(?:@_here_)?")
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@dataclass(frozen=True)
class Assignment:
    """A key that a user set, and where.

    Attributes:
        key: full dotted key.
        value: as parsed.
        where: `file:line`, or empty for the command line.
        text: as written, where it is one word.
    """

    key: str
    value: Any
    where: str = ""
    text: str = ""


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


def is_option(name: Any) -> bool:
    """Whether a name can be that of an option: a file's name without folders and suffix."""
    return isinstance(name, str) and _OPTION.fullmatch(name) is not None


def read_config_file(path: Path, package: str) -> ConfigFile:
    """Read one YAML file of a config group.

    Args:
        path: the file.
        package: the group whose keys it sets, or empty for a file that sets keys from the top.
    """
    found = ConfigFile()
    document = strict_yaml.read(path)
    found.problems.extend(document.problems)
    if document.tree is None:
        return found
    where = unseen.written_out(path)
    if path.parent.name in GROUPS:
        wrong = _header_problem(document.text, path.parent.name)
        found.problems.extend([f"{where}:1: {wrong}"] if wrong else [])
    for key_node, value_node in document.tree.value:
        if key_node.value == "defaults":
            _read_defaults(value_node, found, path)
        else:
            prefix = f"{package}." if package else ""
            if package == "stage" and not _PHASE.fullmatch(key_node.value):
                line = key_node.start_mark.line + 1
                allowed = "a name of letters, digits, _ and -"
                told = received("the name of a phase", key_node.value, allowed)
                found.problems.append(f"{where}:{line}: {told}")
            found.assignments.extend(_leaves(key_node, value_node, prefix, where))
    return found


def _header_problem(text: str, group: str) -> str:
    """What is wrong with where a file's head puts its keys; empty when nothing is."""
    packages = [None, group, "_group_"] if group != "experiment" else ["_global_"]
    package, lines = None, text.splitlines()
    for line in (each.strip() for each in lines):
        if line and not re.match(r"#\s*@", line):
            break
        words = line.lstrip("#").split()
        if words and (words[0] != "@package" or len(words) != 2):
            return f"cannot read {shown(line)}. Write `# @package _global_`, or start with a text."
        package = words[1] if words else package
    if package in packages:
        return ""
    if group == "experiment":
        return "an experiment starts with the line `# @package _global_`."
    return f"`@package {package}` is refused: the keys of this file go into {group}."


def _read_defaults(node: yaml.Node, found: ConfigFile, path: Path) -> None:
    if not isinstance(node, yaml.SequenceNode):
        line = node.start_mark.line + 1
        told = "`defaults` must be a list, such as [image_folder, _self_]."
        found.problems.append(f"{unseen.written_out(path)}:{line}: {told}")
        return
    for each in node.value:
        where = f"{unseen.written_out(path)}:{each.start_mark.line + 1}"
        entry = strict_yaml.value(each)
        rows = entry.items() if isinstance(entry, dict) else [(entry, _ALONE)]
        for name, option in rows:
            _read_default(name, option, found, where, path.parent.name)


_ALONE = object()


def _read_default(name: Any, option: Any, found: ConfigFile, where: str, group: str) -> None:
    """One entry of a defaults list: a file to build on, or a group with the option to pick."""
    if option is _ALONE:
        base = re.fullmatch(r"(?:/([\w/]+)/)?([^/@]+)(?:@_here_|@_global_)?", str(name))
        place = base[1] if base else None
        if base is None or not is_option(base[2]) or place not in (None, *_homes(group)):
            found.problems.append(f"{where}: {_entry(name, group)}")
            return
        found.defaults.append(base[2])
        if place is None or not place.startswith("schema/"):
            found.places[base[2]] = where
        return
    picked = _PICKED.fullmatch(str(name))
    other = picked[1] if picked else ""
    if group not in GROUPS and other.startswith("hydra/"):
        return  # fmkit's own
    if picked is None or not (option is None or is_option(option)):
        found.problems.append(f"{where}: {_entry({name: option}, group)}")
    elif other.startswith("schema/") and other in _homes(group):
        found.defaults.append(str(option))
    elif group in GROUPS and group not in ("experiment", other):
        told = f"a file of {group} builds on files of {group} alone; an experiment picks {other}."
        if other.split("/")[0] == "hydra":
            told = f"{other} is Hydra's own, and set by fmkit. Leave it out."
        found.problems.append(f"{where}: {told}")
    elif option is not None:
        found.choices[other] = option
        found.places[other] = where


def _homes(group: str) -> tuple[str, ...]:
    """Folders that files of a group build on, beside their own."""
    return (group, f"schema/{group}", *([] if group in GROUPS else ["schema/command"]))


def _entry(entry: Any, group: str) -> str:
    example = "override /data: digits" if group == "experiment" else "_self_, or a file's name"
    return received("an entry of `defaults`", entry, f"such as {example}")


def _leaves(key: yaml.Node, value: yaml.Node, prefix: str, where: str) -> Iterator[Assignment]:
    name = f"{prefix}{key.value}"
    if isinstance(value, yaml.MappingNode) and value.value:
        for inner_key, inner_value in value.value:
            yield from _leaves(inner_key, inner_value, f"{name}.", where)
        return
    text = value.value if isinstance(value, yaml.ScalarNode) else ""
    place = f"{where}:{key.start_mark.line + 1}"
    try:
        read = strict_yaml.value(value)
    except (yaml.YAMLError, ValueError):
        read = None
    if key.value in whole_number_keys():
        read = whole(read)
    yield Assignment(name, read, place, text)


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
        return f"{top} is a group of keys, not a value; received {shown(assignment.value)}."
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
    return f"{assignment.key}: received {shown(assignment.value)}. Expected a mapping. {meaning}"


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
            f"{assignment.key}: received {shown(assignment.value)}. Expected {expected}. {meaning}"
        ).rstrip()
    return ""
