"""Which keys a user decided, on the command line or through the files that it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fmkit.config import compose, yaml_files
from fmkit.config.command_line import CommandLine
from fmkit.config.registry import GROUPS
from fmkit.config.yaml_files import defaults_chain


def keys_set_by_user(line: CommandLine) -> set[str]:
    """Full keys that the user decided in one job, and `stage` or `stage.PHASE` for all inside.

    A key counts when an override names it, when the chosen experiment sets it, or when the file of
    an option sets it that either of them picks. What such a file leaves to the schema is open. The
    data's file counts even where nobody picked it: it knows what the data bears. A stage that was
    picked is decided as a whole, for its phases are what was picked.

    Args:
        line: the command line, or of a sweep that of one job.
    """
    found: set[str] = set()
    picked = {"data": _default(line, "data")} | keys_set_by_experiment(line)[1]
    for override in line.overrides:
        key, value = override.key_or_group, None if override.is_delete() else override.value()
        if key in GROUPS and isinstance(value, str):
            picked[key] = value
        else:
            found |= set(_leaves(key, value))
    for group, option in picked.items():
        found |= {"stage"} if group == "stage" else _keys(line, group, option)
    return found


def keys_set_by_experiment(line: CommandLine) -> tuple[set[str], dict[str, str]]:
    """Keys that the chosen experiment sets, and by group the options that it picks."""
    keys: set[str] = set()
    choices: dict[str, str] = {}
    for _, file in _files(line, "experiment", line.value("experiment")):
        keys |= {each.key for each in file.assignments}
        choices |= {group: each for group, each in file.choices.items() if group != "experiment"}
    return keys, choices


def _keys(line: CommandLine, group: str, option: str) -> set[str]:
    return {each.key for _, file in _files(line, group, option) for each in file.assignments}


def _files(line: CommandLine, group: str, option: Any) -> list[tuple[Any, yaml_files.ConfigFile]]:
    return defaults_chain([compose.conf_dir(), *line.config_dirs], group, option)


def _default(line: CommandLine, group: str) -> str:
    """The option that a command takes where nobody picks one."""
    file = yaml_files.read_config_file(compose.conf_dir() / f"{line.command}.yaml", "")
    return file.choices[group]


def _leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    else:
        yield key
