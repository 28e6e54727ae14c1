"""Everything wrong with a command line and the user's YAML, found before a job starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fmkit.config import compose, suggest, validate
from fmkit.config.command_line import CommandLine
from fmkit.config.documentation import field_types
from fmkit.config.schema import COMMANDS, GROUPS, KINDS, PhaseConfig
from fmkit.errors import ConfigError, all_at_once, received


@dataclass
class _Check:
    """The state of one check: what was chosen, what was set, what is wrong."""

    line: CommandLine
    names: Mapping[str, Sequence[str]]
    chosen: dict[str, str] = field(default_factory=dict)
    assignments: list[suggest.Assignment] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check(line: CommandLine, names: Mapping[str, Sequence[str]]) -> Any:
    """Everything wrong with a command line and the user's YAML, told at once; the typed config.

    Args:
        line: the parsed command line.
        names: allowed values of `model.name`, `data.name` and `task.name`.

    Returns:
        The typed config of the (first) job, an object of the command's dataclass.

    Raises:
        ConfigError: with all problems.
    """
    compose.register(names)
    state = _Check(line, names)
    state.chosen = _default_choices(line.command)
    _read_overrides(state)
    _read_user_files(state)
    types = _types(state)
    phases = _phases(state)
    for assignment in state.assignments:
        wrong = suggest.problem_with(assignment, types, phases)
        state.problems.extend([wrong] if wrong else _value_problem(assignment, names))
    if state.problems:
        raise ConfigError(all_at_once(list(dict.fromkeys(state.problems))))
    return compose.first_job(line, names, _places(state))


def _value_problem(assignment: suggest.Assignment, names: Mapping[str, Sequence[str]]) -> list[str]:
    key, value = assignment.key, assignment.value
    if isinstance(value, dict) or (isinstance(value, str) and "${" in value):
        return []
    wrong = validate.value_problem(key, validate.rule_of(key), value, names)
    return [f"{assignment.where}: {wrong}" if assignment.where else wrong] if wrong else []


def _default_choices(command: str) -> dict[str, str]:
    found = suggest.read_config_file(compose.conf_dir() / f"{command}.yaml", "")
    return {group: option for group, option in found.choices.items() if group in GROUPS}


def _group_names(state: _Check, group: str) -> list[str]:
    extra = list(state.names.get(f"{group}.name", ())) if group in ("model", "data") else []
    return sorted({*compose.options(group, state.line.config_dirs), *extra})


def _read_overrides(state: _Check) -> None:
    groups = {*state.chosen, "experiment"} if state.line.command in COMMANDS else set()
    for override in state.line.overrides:
        key = override.key_or_group
        if key.startswith("hydra") or override.is_delete():
            continue
        if override.is_sweep_override() and not state.line.multirun:
            state.problems.append(
                f"{override.input_line!r} names several values. Add -m for a sweep, or quote it."
            )
            continue
        values = values_of(override)
        if key in groups:
            for value in values:
                _choose(state, key, value)
            continue
        state.assignments.extend(suggest.Assignment(key, value) for value in values)


def _choose(state: _Check, group: str, value: Any, where: str = "") -> None:
    if group == "experiment" and value in (None, "null"):
        return
    allowed = _group_names(state, group)
    if not isinstance(value, str) or value not in allowed:
        place = f"{where}: " if where else ""
        state.problems.append(f"{place}{received(group, value, allowed)}")
        return
    state.chosen[group] = value


def _read_user_files(state: _Check) -> None:
    """Read the chosen files that are the user's own, what their defaults lists name included."""
    typed = {override.key_or_group for override in state.line.overrides}
    todo = ["experiment", *(group for group in state.chosen if group != "experiment")]
    for group in todo:
        option = state.chosen.get(group)
        ours = [compose.conf_dir()] if group == "experiment" else []
        for parent in (*ours, *state.line.config_dirs):
            path = parent / group / f"{option}.yaml"
            if option is None or not path.is_file():
                continue
            found = suggest.read_config_file(path, "" if group == "experiment" else group)
            state.problems.extend(found.problems)
            state.assignments.extend(found.assignments)
            for other, choice in found.choices.items():
                if other in GROUPS and other not in typed:
                    _choose(state, other, choice, str(path))


def _kind(state: _Check, group: str) -> type:
    """The dataclass behind the chosen option of a group."""
    option = state.chosen.get(group, "")
    for parent in state.line.config_dirs:
        path = parent / group / f"{option}.yaml"
        if path.is_file():
            found = suggest.read_config_file(path, group)
            named = [each.value for each in found.assignments if each.key == f"{group}.name"]
            for base in [*found.defaults, *named]:
                if base in KINDS[group]:
                    return KINDS[group][base]
    return KINDS[group].get(option, KINDS[group][""])


def _types(state: _Check) -> dict[str, type]:
    types: dict[str, type] = {}
    for name, kind in field_types(COMMANDS[state.line.command]).items():
        if name == "stage":
            types[name] = PhaseConfig
        else:
            types[name] = _kind(state, name) if name in KINDS else kind
    return types


def _phases(state: _Check) -> list[str]:
    option = state.chosen.get("stage")
    phases: list[str] = []
    for parent in (compose.conf_dir(), *state.line.config_dirs):
        path = parent / "stage" / f"{option}.yaml"
        if path.is_file():
            found = suggest.read_config_file(path, "stage")
            phases = [each.key.split(".")[1] for each in found.assignments]
    return list(dict.fromkeys(phases))


def _places(state: _Check) -> dict[str, str]:
    return {each.key: each.where for each in state.assignments if each.where}


def values_of(override: Any) -> list[Any]:
    """The values of an override, one for each job of a sweep over it."""
    from hydra.core.override_parser.types import Glob

    if not override.is_sweep_override():
        return [override.value()]
    if isinstance(override.value(), Glob):
        return []
    return [_scalar(text) for text in override.sweep_string_iterator()]


def _scalar(text: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(f"key={text}").value()
