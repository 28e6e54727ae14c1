"""A user's YAML file, read into what it sets and what it builds on, with the line of each."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fmkit.config.registry import BASES, COMMANDS, GROUPS, all_config_classes
from fmkit.config.schema.keys import field_types
from fmkit.config.schema.stage import PhaseConfig
from fmkit.core import safe_yaml, sanitize
from fmkit.core.errors import received, short_repr

_OPTION = re.compile(r"\w[\w.+-]{0,99}")
_PHASE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_CHOICE = re.compile(r"(?:override +)?/?([\w/]+)(?:@_here_)?")
_BASE = re.compile(r"(?:/([\w/]+)/)?([^/@]+)(?:@_here_|@_global_)?")


@dataclass(frozen=True)
class Assignment:
    """A key that a user set, its value as parsed, and as written where that is one word.

    `where` is `file:line`, and empty for the command line.
    """

    key: str
    value: Any
    where: str = ""
    text: str = ""


def assignments_of(key: str, value: Any, text: str = "") -> Iterator[Assignment]:
    """An override of a whole mapping, `stage.head={epochs: 3}`, as one of each of its keys."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from assignments_of(f"{key}.{name}", inner)
    else:
        yield Assignment(key, value, text=text)


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


def integer_keys() -> set[str]:
    """Last parts of the keys that take a whole number."""
    classes = [config for group in BASES for config in all_config_classes(group)]
    fields = [field_types(config).items() for config in (*classes, *COMMANDS.values(), PhaseConfig)]
    return {name for rows in fields for name, kind in rows if kind in (int, int | None)}


def with_integers(value: Any, key: str = "") -> Any:
    """A value, or mappings of them, with whole numbers for keys of such: `batch_size: 1e3`."""
    if isinstance(value, dict):
        return {name: with_integers(inner, str(name)) for name, inner in value.items()}
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if is_whole and key in integer_keys() else value


def is_option(name: Any) -> bool:
    """Whether a name can be that of an option: a file's name without folders and suffix."""
    return isinstance(name, str) and _OPTION.fullmatch(name) is not None


def read_config_file(path: Path, package: str) -> ConfigFile:
    """Read one YAML file of a config group.

    Args:
        path: the file.
        package: the group whose keys it sets, or empty for a file that sets keys from the top.
    """
    document = safe_yaml.read(path)
    file = ConfigFile(problems=list(document.problems))
    if document.tree is None:
        return file
    where = sanitize.escape_invisible(path)
    if path.parent.name in GROUPS:
        problem = _header_problem(document.text, path.parent.name)
        file.problems.extend([f"{where}:1: {problem}"] if problem else [])
    for key, value in document.tree.value:
        line = f"{where}:{key.start_mark.line + 1}"
        if key.value == "defaults" and not isinstance(value, yaml.SequenceNode):
            line = f"{where}:{value.start_mark.line + 1}"
            file.problems.append(
                f"{line}: `defaults` must be a list, such as [image_folder, _self_]."
            )
        elif key.value == "defaults":
            for node in value.value:
                _read_default(node, file, where, path.parent.name)
        else:
            if package == "stage" and not _PHASE.fullmatch(key.value):
                allowed = "a name of letters, digits, _ and -"
                problem = received("the name of a phase", key.value, allowed)
                file.problems.append(f"{line}: {problem}")
            file.assignments.extend(_leaves(key, value, f"{package}." if package else "", where))
    return file


def _header_problem(text: str, group: str) -> str:
    """What is wrong with where a file's head puts its keys; empty when nothing is."""
    package = None
    for line in map(str.strip, text.splitlines()):
        if line and not re.match(r"#\s*@", line):
            break
        words = line.lstrip("#").split()
        if words and (words[0] != "@package" or len(words) != 2):
            example = "Write `# @package _global_`, or start with a text."
            return f"cannot read {short_repr(line)}. {example}"
        package = words[1] if words else package
    if group == "experiment":
        is_global = package == "_global_"
        return "" if is_global else "an experiment starts with the line `# @package _global_`."
    if package in (None, group, "_group_"):
        return ""
    return f"`@package {package}` is refused: the keys of this file go into {group}."


def _read_default(node: yaml.Node, file: ConfigFile, path: str, group: str) -> None:
    """One entry of a defaults list: a file to build on, or groups with the option to pick."""
    where, entry = f"{path}:{node.start_mark.line + 1}", safe_yaml.value(node)
    example = "override /data: digits" if group == "experiment" else "_self_, or a file's name"
    # Folders that files of a group build on, beside their own.
    homes = (group, f"schema/{group}", *([] if group in GROUPS else ["schema/command"]))
    if not isinstance(entry, dict):
        base = _BASE.fullmatch(str(entry))
        if base is None or not is_option(base[2]) or base[1] not in (None, *homes):
            problem = received("an entry of `defaults`", entry, f"such as {example}")
            file.problems.append(f"{where}: {problem}")
            return
        file.defaults.append(base[2])
        if base[1] is None or not base[1].startswith("schema/"):
            file.places[base[2]] = where
        return
    for name, option in entry.items():
        choice = _CHOICE.fullmatch(str(name))
        other = choice[1] if choice else ""
        if group not in GROUPS and other.startswith("hydra/"):
            continue  # fmkit's own
        if choice is None or not (option is None or is_option(option)):
            problem = received("an entry of `defaults`", {name: option}, f"such as {example}")
            file.problems.append(f"{where}: {problem}")
        elif other.startswith("schema/") and other in homes:
            file.defaults.append(str(option))
        elif group in GROUPS and group not in ("experiment", other):
            problem = f"a file of {group} builds on files of {group} alone; "
            problem += f"an experiment picks {other}."
            if other.split("/")[0] == "hydra":
                problem = f"{other} is Hydra's own, and set by fmkit. Leave it out."
            file.problems.append(f"{where}: {problem}")
        elif option is not None:
            file.choices[other] = option
            file.places[other] = where


def _leaves(key: yaml.Node, value: yaml.Node, prefix: str, where: str) -> Iterator[Assignment]:
    name = f"{prefix}{key.value}"
    if isinstance(value, yaml.MappingNode) and value.value:
        for inner_key, inner_value in value.value:
            yield from _leaves(inner_key, inner_value, f"{name}.", where)
        return
    text = value.value if isinstance(value, yaml.ScalarNode) else ""
    try:
        read = with_integers(safe_yaml.value(value), key.value)
    except (yaml.YAMLError, ValueError):
        read = None
    yield Assignment(name, read, f"{where}:{key.start_mark.line + 1}", text)


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
    pending, files = [option], {}
    while pending:
        name = pending.pop()
        if not is_option(name):
            continue
        for parent in folders:
            path = parent / group / f"{name}.yaml"
            if path not in files and path.is_file():
                files[path] = read_config_file(path, package)
                pending.extend(base_options(group, files[path]))
    return [*files.items()][::-1]


def base_options(group: str, file: ConfigFile) -> list[str]:
    """The options of the same group that a file's defaults list builds on."""
    return [*file.defaults, *([file.choices[group]] if group in file.choices else [])]
