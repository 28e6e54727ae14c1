"""A user's YAML file, read into what it sets and what it builds on, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fmkit.config.hydra_source import integer_keys, to_integer
from fmkit.config.registry import GROUPS
from fmkit.core import safe_yaml, sanitize
from fmkit.core.errors import received, short_repr

_OPTION = re.compile(r"\w[\w.+-]{0,99}")
_PHASE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_PICKED = re.compile(r"(?:override +)?/?([\w/]+)(?:@_here_)?")


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
    document = safe_yaml.read(path)
    found.problems.extend(document.problems)
    if document.tree is None:
        return found
    where = sanitize.escape_invisible(path)
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
            return (
                f"cannot read {short_repr(line)}. Write `# @package _global_`, or start with "
                "a text."
            )
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
        found.problems.append(f"{sanitize.escape_invisible(path)}:{line}: {told}")
        return
    for each in node.value:
        where = f"{sanitize.escape_invisible(path)}:{each.start_mark.line + 1}"
        entry = safe_yaml.value(each)
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
        read = safe_yaml.value(value)
    except (yaml.YAMLError, ValueError):
        read = None
    if key.value in integer_keys():
        read = to_integer(read)
    yield Assignment(name, read, place, text)


def defaults_chain(
    folders: Sequence[Path], group: str, option: str | None
) -> list[tuple[Path, ConfigFile]]:
    """The files behind an option, the first to build on first; none where no folder has it.

    Args:
        folders: config folders that hold a folder for each group.
        group: such as `data`, or `experiment`.
        option: the file's name without `.yaml`.
    """
    package = "" if group == "experiment" else group
    todo, found, seen = [option], [], set()
    while todo:
        name = todo.pop()
        if not is_option(name):
            continue
        for parent in folders:
            path = parent / group / f"{name}.yaml"
            if path in seen or not path.is_file():
                continue
            seen.add(path)
            file = read_config_file(path, package)
            found.append((path, file))
            todo.extend(base_options(group, file))
    return found[::-1]


def base_options(group: str, file: ConfigFile) -> list[str]:
    """The options of the same group that a file's defaults list builds on."""
    beside = [file.choices[group]] if group in file.choices else []
    return [*file.defaults, *beside]
