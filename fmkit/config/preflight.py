"""Everything wrong with a command line and the user's YAML, found before a job starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmkit.config import compose, interpolation, suggest, validate, yaml_files
from fmkit.config.command_line import CommandLine
from fmkit.config.registry import BASES, COMMANDS, GROUPS, config_class, config_classes
from fmkit.config.schema.keys import field_types
from fmkit.config.schema.runtime import PhaseConfig
from fmkit.core.errors import ConfigError, combine_messages, received

ON_THE_COMMAND_LINE = ("init", "run", "plugins", "runs_dir")
"""Keys that decide what is composed, so that a file or a sweep over them would come too late."""


@dataclass
class _Check:
    """The state of one check: what was chosen, what was set, what is wrong.

    Attributes:
        picked: by group, every option that some job takes.
        untyped: groups whose keys cannot be told: a sweep over options that differ in their keys,
            where composing each job tells, or a file that builds on one that does not exist.
    """

    line: CommandLine
    names: Mapping[str, Sequence[str]]
    chosen: dict[str, str] = field(default_factory=dict)
    picked: dict[str, list[str]] = field(default_factory=dict)
    untyped: set[str] = field(default_factory=set)
    assignments: list[yaml_files.Assignment] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check(line: CommandLine, names: Mapping[str, Sequence[str]]) -> Any:
    """Everything wrong with a command line and the user's YAML, told at once; the typed config.

    Args:
        line: the parsed command line.
        names: allowed values of `model.name`, `data.name` and `task.name`.

    Returns:
        The typed config of the (first) job, an object of the command's dataclass.

    Raises:
        ConfigError: with all problems, of every job of a sweep.
    """
    state = _looked_through(line, names)
    if state.problems:
        raise ConfigError(combine_messages(state.problems))
    compose.register(names)
    return compose.compose_all_jobs(line, names, _places(state))


def problems(line: CommandLine, names: Mapping[str, Sequence[str]]) -> list[str]:
    """What is wrong as far as it shows before Hydra composes: the first half of `check`."""
    return _looked_through(line, names).problems


def _looked_through(line: CommandLine, names: Mapping[str, Sequence[str]]) -> _Check:
    state = _Check(line, names)
    state.chosen = _default_choices(line.command)
    state.picked = {group: [option] for group, option in state.chosen.items()}
    _read_overrides(state)
    state.problems.extend(_folder_problems(line))
    _read_user_files(state)
    types, phases = _types(state), _phases(state)
    for assignment in state.assignments:
        group, _, key = assignment.key.partition(".")
        if group in state.untyped:
            continue
        if key and group not in state.chosen and _is_group(state, group):
            state.problems.append(f"{assignment.key}: no {group} is chosen. Add {group}=NAME")
            continue
        wrong = suggest.problem_with(assignment, types, phases)
        state.problems.extend([wrong] if wrong else _value_problem(assignment, types, state))
    state.problems = list(dict.fromkeys(state.problems))
    return state


def _value_problem(
    assignment: yaml_files.Assignment, types: dict[str, type], state: _Check
) -> list[str]:
    key, value = assignment.key, assignment.value
    if isinstance(value, dict) or (value is None and key.startswith("task.objectives.")):
        return []
    if interpolation.is_interpolated(value):
        wrong = interpolation.text_problem(key, value)
    else:
        info, kind = suggest.declaration(key, COMMANDS[state.line.command], types)
        wrong = validate.reading_problem(info, kind, value, assignment.text)
        if wrong and not assignment.where:  # the shell takes the outer quotes off
            wrong += f", inside others: \"{key}='{assignment.text}'\""
        wrong = (
            f"{key}: {wrong}" if wrong else validate.value_problem(key, info, value, state.names)
        )
    return [f"{assignment.where}: {wrong}" if assignment.where else wrong] if wrong else []


def _default_choices(command: str) -> dict[str, str]:
    found = yaml_files.read_config_file(compose.conf_dir() / f"{command}.yaml", "")
    return {group: option for group, option in found.choices.items() if group in GROUPS}


def _group_names(state: _Check, group: str) -> list[str]:
    extra = state.names.get(f"{group}.name", ())
    return sorted({*compose.option_names(group, state.line.config_dirs), *extra})


def _read_overrides(state: _Check) -> None:
    for override in state.line.overrides:
        key = override.key_or_group
        if key.startswith("hydra/"):  # what was let through chooses nothing
            continue
        if override.is_delete():
            state.problems.extend(_delete_problem(state, key))
            continue
        if override.is_sweep_override() and not state.line.multirun:
            state.problems.append(
                f"{override.input_line!r} names several values. Add -m for a sweep, or quote it."
            )
            continue
        values = values_of(override)
        if not values or (len(values) > 1 and key in ON_THE_COMMAND_LINE):
            state.problems.append(
                f"{override.input_line!r}: a sweep over {key} takes a list of values, such as "
                f"{key}=a,b." if not values else f"{key} takes one value, also in a sweep."
            )  # fmt: skip
        elif key in state.chosen or key == "experiment" or _is_group(state, key):
            for value in values:
                _choose(state, key, value)
            state.untyped |= {key} if len(values) > 1 else set()
        else:
            text = "" if override.is_sweep_override() else override.input_line.partition("=")[2]
            for value in values:
                state.assignments.extend(_leaves(key, value, text))


def _is_group(state: _Check, key: str) -> bool:
    """Whether a key is a group of the command's, also where no option of it is the default."""
    return key in BASES and key in field_types(COMMANDS[state.line.command])


def _leaves(key: str, value: Any, text: str = "") -> list[yaml_files.Assignment]:
    """An override of a whole group, `stage.head={epochs: 3}`, as one of each of its keys."""
    if not isinstance(value, dict) or not value:
        return [yaml_files.Assignment(key, value, text=text)]
    return [leaf for name, inner in value.items() for leaf in _leaves(f"{key}.{name}", inner)]


def _delete_problem(state: _Check, key: str) -> list[str]:
    """Only a phase can be left out: every other key has a type that wants a value."""
    phases = [f"stage.{each}" for each in _phases(state)]
    if key in phases:
        return []
    return [received("~", key, phases, "Only a phase of the stage can be left out.")]


def _choose(state: _Check, group: str, value: Any, where: str = "") -> None:
    if group == "experiment" and value is None:
        return
    allowed = _group_names(state, group)
    if not isinstance(value, str) or value not in allowed:
        place = f"{where}: " if where else ""
        state.problems.append(f"{place}{received(group, value, allowed)}")
        return
    if value not in state.picked.setdefault(group, []):
        state.picked[group].append(value)
    state.chosen[group] = value


def _folder_problems(line: CommandLine) -> list[str]:
    """Folders and files of the user's that would stand in for fmkit's own, or behind them."""
    problems: list[str] = []
    for parent in line.config_dirs:
        problems.extend(
            f"{parent / name} is refused: {name} is a folder of fmkit's own. Rename it."
            for name in ("hydra", "schema")
            if (parent / name).exists()
        )
        problems.extend(
            f"{path} has the name of a file of fmkit's, which is the one that counts. Rename it."
            for group in GROUPS
            for path in sorted((parent / group).glob("*.yaml"))
            if path.stem in compose.option_names(group) and compose.conf_dir() != parent
        )
    return problems


def _read_user_files(state: _Check) -> None:
    """Read the chosen files that are the user's own, and those that they build on."""
    typed = {override.key_or_group for override in state.line.overrides}
    todo = ["experiment", *(group for group in state.chosen if group != "experiment")]
    seen: set[Path] = set()
    for group in todo:
        for option in state.picked.get(group, []):
            for path, found in _chain(state, group, option):
                if path not in seen:
                    seen.add(path)
                    _read_user_file(state, group, found, typed)


def _read_user_file(
    state: _Check, group: str, found: yaml_files.ConfigFile, typed: set[str]
) -> None:
    state.problems.extend(found.problems)
    state.untyped |= {group} if found.problems else set()
    state.problems.extend(
        f"{each.where}: {each.key} is for the command line: {each.key}=..."
        for each in found.assignments
        if each.key in ON_THE_COMMAND_LINE
    )
    state.problems.extend(
        f"{each.where}: {each.key} is Hydra's own, and set by fmkit. Leave it out."
        for each in found.assignments
        if each.key.split(".")[0] == "hydra"
    )
    state.assignments.extend(
        each for each in found.assignments if each.key.split(".")[0] != "hydra"
    )
    _read_defaults_list(state, group, found, typed)


def _read_defaults_list(
    state: _Check, group: str, found: yaml_files.ConfigFile, typed: set[str]
) -> None:
    """What a file of a group builds on must be there, and so must the groups that it picks from."""
    allowed = _group_names(state, group)
    bases = {each: found.places[each] for each in found.defaults if each in found.places}
    if group in found.choices:
        bases[found.choices[group]] = found.places[group]
    for name, where in bases.items():
        plain = name != "_self_" and not set(name) & set("/@$")
        if plain and name not in allowed:
            state.problems.append(f"{where}: {received(group, name, allowed)}")
            state.untyped.add(group)
    for other, choice in found.choices.items():
        if other not in state.chosen and other != group:
            groups = sorted(state.chosen)
            state.problems.append(f"{found.places[other]}: {received('group', other, groups)}")
        elif other not in typed and other != group:
            _choose(state, other, choice, found.places[other])


def _chain(
    state: _Check, group: str, option: str | None
) -> list[tuple[Path, yaml_files.ConfigFile]]:
    """The user's file behind an option, after those of the user's that it builds on."""
    ours = [compose.conf_dir()] if group == "experiment" else []
    return yaml_files.defaults_chain([*ours, *state.line.config_dirs], group, option)


def _kind(state: _Check, group: str) -> type:
    """The dataclass behind the chosen option of a group."""
    option = state.chosen.get(group, "")
    for _, found in _chain(state, group, option):
        named = [each.value for each in found.assignments if each.key == f"{group}.name"]
        for base in [*yaml_files.base_options(group, found), *named]:
            if base in config_classes(group):
                return config_class(group, base)
    return config_class(group, option)


def _types(state: _Check) -> dict[str, type]:
    types: dict[str, type] = {}
    for name, kind in field_types(COMMANDS[state.line.command]).items():
        if name == "stage":
            types[name] = PhaseConfig
        else:
            types[name] = _kind(state, name) if name in BASES else kind
    return types


def _phases(state: _Check) -> list[str]:
    """Names of the phases of the chosen stage, in the order they are written."""
    option = state.chosen.get("stage")
    files = [found for _, found in _chain(state, "stage", option)]
    bases = {option, *(base for found in files for base in yaml_files.base_options("stage", found))}
    for base in sorted(str(each) for each in bases):
        path = compose.conf_dir() / "stage" / f"{base}.yaml"
        if path.is_file():
            files.insert(0, yaml_files.read_config_file(path, "stage"))
    keys = [each.key.split(".") for found in files for each in found.assignments]
    return list(dict.fromkeys(parts[1] for parts in keys if len(parts) > 1))


def _places(state: _Check) -> dict[str, str]:
    return {each.key: each.where for each in state.assignments if each.where}


def values_of(override: Any) -> list[Any]:
    """The values of an override, one for each job of a sweep over it."""
    from hydra.core.override_parser.types import ChoiceSweep, RangeSweep

    if not override.is_sweep_override():
        return [override.value()]
    if not isinstance(override.value(), ChoiceSweep | RangeSweep):
        return []  # a glob or an interval: no list of values
    return [_scalar(text) for text in override.sweep_string_iterator()]


def _scalar(text: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(f"key={text}").value()
