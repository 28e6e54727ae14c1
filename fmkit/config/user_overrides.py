"""Which keys a user decided, on the command line or through the files that it names."""

from typing import Any

from fmkit.config import compose
from fmkit.config.command_line import CommandLine
from fmkit.config.registry import GROUPS
from fmkit.config.yaml_files import ConfigFile, assignments_of, defaults_chain, read_config_file


def keys_set_by_user(line: CommandLine) -> set[str]:
    """Full keys that the user decided in one job, and `stage` or `stage.PHASE` for all inside.

    A key counts when an override names it, when the chosen experiment sets it, or when the file of
    an option sets it that either of them picks. What such a file leaves to the schema is open. The
    data's file counts even where nobody picked it: it is written for that data. A stage that was
    picked is decided as a whole, for its phases are what was picked.

    Args:
        line: the command line, or of a sweep that of one job.
    """
    command_file = read_config_file(compose.conf_dir() / f"{line.command}.yaml", "")
    options = {"data": command_file.choices["data"]} | keys_set_by_experiment(line)[1]
    keys: set[str] = set()
    for override in line.overrides:
        key, value = override.key_or_group, None if override.is_delete() else override.value()
        if key in GROUPS and isinstance(value, str):
            options[key] = value
        else:
            keys |= {row.key for row in assignments_of(key, value)}
    for group, option in options.items():
        rows = (row for file in _files(line, group, option) for row in file.assignments)
        keys |= {"stage"} if group == "stage" else {row.key for row in rows}
    return keys


def keys_set_by_experiment(line: CommandLine) -> tuple[set[str], dict[str, str]]:
    """Keys that the chosen experiment sets, and by group the options that it picks."""
    files = _files(line, "experiment", line.value("experiment"))
    keys = {row.key for file in files for row in file.assignments}
    choices = {group: option for file in files for group, option in file.choices.items()}
    return keys, {group: choices[group] for group in choices if group != "experiment"}


def _files(line: CommandLine, group: str, option: Any) -> list[ConfigFile]:
    folders = [compose.conf_dir(), *line.config_dirs]
    return [file for _, file in defaults_chain(folders, group, option)]
