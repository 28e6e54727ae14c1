"""From a command line to a typed config: our own check of everything first, then Hydra."""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import fmkit
from fmkit.config import suggest, validate
from fmkit.config.documentation import field_docs
from fmkit.config.schema import COMMANDS, KINDS, DataConfig, ModelConfig, PhaseConfig
from fmkit.errors import ConfigError, all_at_once, listed, nearest, received

GROUPS = ("model", "data", "optimizer", "stage", "task", "runtime", "experiment")
SHOW_FLAGS = ("--cfg", "--info", "--hydra-help", "--shell-completion", "-sc", "-c", "-i")
"""Hydra's flags that show something and run no job."""


def conf_dir() -> Path:
    """The folder of fmkit's own YAML: inside the package when installed, beside it in a checkout."""
    package = Path(fmkit.__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def options(group: str, extra_dirs: Sequence[Path] = ()) -> list[str]:
    """Names of a group's YAML files, fmkit's and the user's."""
    found = {
        file.stem for parent in (conf_dir(), *extra_dirs) for file in (parent / group).glob("*.yaml")
    }
    return sorted(found)


@dataclass
class CommandLine:
    """What a user typed after the command's name."""

    command: str
    arguments: list[str]
    overrides: list[Any] = field(default_factory=list)
    config_dirs: list[Path] = field(default_factory=list)
    multirun: bool = False
    shows_only: bool = False


class _Parser(argparse.ArgumentParser):
    """Hydra's flags, with our own words for one that does not exist."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(
            f"{message}.",
            "Settings are written key=value, without dashes: fmkit finetune data.batch_size=64",
        )


def parse(command: str, arguments: Sequence[str]) -> CommandLine:
    """Read the flags and overrides of one command.

    Raises:
        ConfigError: an unknown flag, or overrides that are no `key=value`; all of them at once.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = _Parser(add_help=False, allow_abbrev=False)
    for flag in ("--multirun", "-m", "--run", "-r", "--resolve"):
        parser.add_argument(flag, action="store_true")
    for flag in ("--config-dir", "-cd", "--package", "-p", "--experimental-rerun"):
        parser.add_argument(flag)
    for flag in SHOW_FLAGS:
        parser.add_argument(flag, nargs="?", const="all")
    flags, words = parser.parse_known_args(list(arguments))
    problems = [
        f"unknown flag {word!r}. Settings are written key=value, without dashes, such as "
        f"data.batch_size=64."
        for word in words
        if word.startswith("--")
    ]
    line = CommandLine(command, list(arguments))
    line.multirun = bool(flags.multirun or flags.m)
    line.shows_only = any(
        getattr(flags, flag.lstrip("-").replace("-", "_")) is not None for flag in SHOW_FLAGS
    )
    folder = flags.config_dir or flags.cd
    if folder:
        if not Path(folder).is_dir():
            problems.append(received("--config-dir", folder, "a folder that exists"))
        line.config_dirs.append(Path(folder).resolve())
    overrides_parser = OverridesParser.create()
    for word in words:
        if word.startswith("--"):
            continue
        try:
            line.overrides.append(overrides_parser.parse_override(word))
        except HydraException:
            problems.append(_unreadable(word))
    if problems:
        raise ConfigError(all_at_once(problems))
    return line


def _unreadable(word: str) -> str:
    key, equals, value = word.lstrip("+~").partition("=")
    if not equals:
        return f"cannot read {word!r}. Settings are written key=value, such as data.batch_size=64."
    quoted = value.replace("'", "\\'")
    return (
        f"cannot read the value of {key!r}: {value!r}. Quote what has spaces or special "
        f"characters twice, once for Hydra and once for the shell: \"{key}='{quoted}'\""
    )


@dataclass
class _Check:
    """The state of one check: what was chosen, what was set, what is wrong."""

    line: CommandLine
    names: Mapping[str, Sequence[str]]
    chosen: dict[str, str] = field(default_factory=dict)
    assignments: list[tuple[suggest.Assignment, bool]] = field(default_factory=list)
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
    register(names)
    state = _Check(line, names)
    state.chosen = _default_choices(line.command)
    _read_overrides(state)
    _read_user_files(state)
    types = _types(state)
    phases = _phases(state)
    for assignment, may_add in state.assignments:
        wrong = suggest.problem_with(assignment, types, phases, may_add)
        if wrong:
            state.problems.append(wrong)
    if state.problems:
        raise ConfigError(all_at_once(list(dict.fromkeys(state.problems))))
    return _composed(state)


def _default_choices(command: str) -> dict[str, str]:
    found = suggest.read_config_file(conf_dir() / f"{command}.yaml", "")
    return {group: option for group, option in found.choices.items() if group in GROUPS}


def _group_names(state: _Check, group: str) -> list[str]:
    extra = list(state.names.get(f"{group}.name", ())) if group in ("model", "data") else []
    return sorted({*options(group, state.line.config_dirs), *extra})


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
        values = _values(override)
        if key in groups:
            for value in values:
                _choose(state, key, value)
            continue
        may_add = override.is_add() and key.startswith("stage.")
        state.assignments.extend((suggest.Assignment(key, value), may_add) for value in values)


def _values(override: Any) -> list[Any]:
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
    """Read the chosen YAML files that are the user's own, what their defaults lists name included."""
    typed = {override.key_or_group for override in state.line.overrides}
    todo = ["experiment", *(group for group in state.chosen if group != "experiment")]
    for group in todo:
        option = state.chosen.get(group)
        for parent in state.line.config_dirs:
            path = parent / group / f"{option}.yaml"
            if option is None or not path.is_file():
                continue
            found = suggest.read_config_file(path, "" if group == "experiment" else group)
            state.problems.extend(found.problems)
            state.assignments.extend((each, group == "stage") for each in found.assignments)
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
    from fmkit.config.documentation import field_types

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
    for parent in (conf_dir(), *state.line.config_dirs):
        path = parent / "stage" / f"{option}.yaml"
        if path.is_file():
            found = suggest.read_config_file(path, "stage")
            phases = [each.key.split(".")[1] for each in found.assignments]
    added = [
        each.key.split(".")[1]
        for each, may_add in state.assignments
        if (may_add or each.where) and each.key.startswith("stage.")
    ]
    return list(dict.fromkeys([*phases, *added]))


def register(names: Mapping[str, Sequence[str]]) -> None:
    """Tell Hydra of the schema, and of an option for every model and data set that has no YAML."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver(
        "times", lambda value, factor: float(value) * float(factor), replace=True
    )
    store = ConfigStore.instance()
    for command, kind in COMMANDS.items():
        store.store(group="schema/command", name=command, node=kind)
    for group, kinds in KINDS.items():
        for name, kind in kinds.items():
            store.store(group=f"schema/{group}", name=name or "base", node=kind)
    ours = {group: options(group) for group in ("model", "data")}
    for name in names.get("model.name", ()):
        if name not in ours["model"]:
            store.store(group="model", name=name, node=ModelConfig(name=name))
    for name in names.get("data.name", ()):
        if name not in ours["data"]:
            kind = KINDS["data"].get(name, DataConfig)
            store.store(group="data", name=name, node=kind(name=name))


def _composed(state: _Check) -> Any:
    """Compose for real, with the first value of anything swept, and check what came out."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    words = [_first_job(override) for override in state.line.overrides]
    if state.line.config_dirs:
        words.append(f"hydra.searchpath=[{','.join(f'file://{d}' for d in state.line.config_dirs)}]")
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = compose(state.line.command, overrides=words)
        return typed(config, state.line.command, state.names, _places(state))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_first_lines(error)) from error


def _first_job(override: Any) -> str:
    if not override.is_sweep_override():
        return str(override.input_line)
    values = list(override.sweep_string_iterator())
    return f"{override.input_line.partition('=')[0]}={values[0]}"


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("full_key", "object_type", "To append"))]
    return " ".join(kept[:4])


def _places(state: _Check) -> dict[str, str]:
    return {each.key: each.where for each, _ in state.assignments if each.where}


def typed(
    config: Any, command: str, names: Mapping[str, Sequence[str]], places: Mapping[str, str]
) -> Any:
    """A composed config as an object of the command's dataclass, or all that is wrong with it.

    Raises:
        ConfigError: missing values, broken interpolations, values outside their range.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config = copy.deepcopy(config)
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(all_at_once([_missing(config, key, command) for key in missing]))
    try:
        value = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise ConfigError(_first_lines(error)) from error
    _normalise(value)
    found = validate.problems(value, names)
    if found:
        told = [
            f"{places[each.key]}: {each.message}" if each.key in places else each.message
            for each in found
        ]
        raise ConfigError(all_at_once(told))
    return value


def _missing(config: Any, key: str, command: str) -> str:
    from omegaconf import OmegaConf

    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    kind = OmegaConf.get_type(node)
    meaning = field_docs(kind).get(name, "") if isinstance(kind, type) else ""
    return f"{key} is missing. {meaning} Example: fmkit {command} {key}=VALUE".replace("  ", " ")


def _normalise(value: Any) -> None:
    """Paths become absolute, so that the record of a run is true from any folder."""
    if hasattr(value, "runtime"):
        value.runtime.jit = str(value.runtime.jit).lower()
    data = getattr(value, "data", None)
    for holder, name in (
        (data, "root"),
        (data, "image_root"),
        (getattr(value, "model", None), "weights"),
        (value, "plugins"),
    ):
        text = getattr(holder, name, None)
        if isinstance(text, str) and not (name == "weights" and text in ("imagenet", "none")):
            setattr(holder, name, str(Path(text).expanduser().absolute()))


def launch(line: CommandLine, job: Callable[[Any], None], extra: Sequence[str] = ()) -> None:
    """Let Hydra compose and call `job` once, or once a combination of a sweep.

    Args:
        line: the command line, checked before.
        job: called with each composed config; it must not raise.
        extra: more overrides, such as the folder of the run.

    Raises:
        ConfigError: Hydra refused what our check let through.
    """
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    GlobalHydra.instance().clear()
    before, before_environment = sys.argv, _full_errors()
    sys.argv = [f"fmkit {line.command}", *line.arguments, *extra]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=line.command)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_first_lines(error)) from error
    finally:
        sys.argv = before
        before_environment()


def _full_errors() -> Callable[[], None]:
    """Make Hydra raise what it would print and exit on; returns what undoes that."""
    import os

    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"

    def restore() -> None:
        if before is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = before

    return restore


def did_you_mean(word: str, allowed: Sequence[str]) -> str:
    """`Did you mean ...?` with the nearest names, or the list of all."""
    close = nearest(word, allowed)
    return f"Did you mean {' or '.join(close)}?" if close else f"Allowed: {listed(allowed)}."
