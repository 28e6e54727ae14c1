"""Compose a command line, or explain everything that is wrong with it and with the user's YAML.

Hydra composes and the schema types. Hydra stops at the first problem, though, and knows neither the
line of a file nor which key was meant; and some mistakes it accepts: unknown phases in a user's
file, files that shadow fmkit's, `1e3` where a key takes a text. The explainer reads the user's
files by itself, compares every key and value with the schema, and reports all problems at once.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fmkit.config import compose, interpolation, rules, saved_config, suggest, yaml_files
from fmkit.config.command_line import TAKE_INPUTS, TAKE_PATHS, CommandLine, typed_again
from fmkit.config.registry import (
    BASES,
    COMMANDS,
    GROUPS,
    config_class,
    config_classes,
)
from fmkit.config.saved_config import shell_setting
from fmkit.config.schema.keys import field_types
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.yaml_files import Assignment, ConfigFile
from fmkit.core.errors import ConfigError, closest_names, combine_messages, received

ON_THE_COMMAND_LINE = ("init", "run", "plugins", "runs_dir")
"""Keys that decide what is composed, so that a file or a sweep over them would come too late."""


_WORD_FLAGS = ("data", "text", "image", "images")
"""Options of other tools for what is a word here: the path of the data, or an input."""

_MODEL_FLAGS = ("model", "model_path", "weights", "checkpoint", "ckpt")
"""What other tools call the option that names a trained model, which is a run here."""

_MEANT = re.compile(r"Did you mean ([\w.=]+(?: or [\w.=]+)*)\?")


def check(
    line: CommandLine,
    names: Mapping[str, Sequence[str]],
    inspect: Callable[[Any], None] | None = None,
) -> Any:
    """Compose and type the config of every job.

    Args:
        line: the parsed command line.
        names: allowed values of `model.name`, `data.name` and `task.name`.
        inspect: called with the typed config of each job; it may raise.

    Returns:
        The typed config of the (first) job, an object of the command's dataclass.

    Raises:
        ConfigError: with all problems at once, of every job of a sweep.
    """
    # First, as it takes milliseconds: Hydra takes a quarter of a second to refuse a typo.
    explainer = _Explainer(line, names)
    if explainer.problems:
        problems = list(dict.fromkeys(explainer.problems))
        raise ConfigError(combine_messages(problems), explainer.corrected_line(problems))
    compose.register(names)
    lines = {row.key: row.where for row in explainer.assignments if row.where}
    return compose.compose_all_jobs(line, names, lines, inspect)


def problems_beside_data(
    line: CommandLine, names: Mapping[str, Sequence[str]]
) -> tuple[list[str], dict[str, str]]:
    """What is wrong with a line whose data cannot be recognised, and by word the corrections.

    The source, and with it the task, the stage and the model, are open: keys of others count.
    """
    explainer = _Explainer(line, names, is_data_open=True)
    problems = [
        problem
        for problem in dict.fromkeys(explainer.problems)
        if suggest.OTHER_OPTION not in problem and not problem.startswith("unknown key 'stage.")
    ]
    return problems, explainer.corrections


def keys_of(
    line: CommandLine, names: Mapping[str, Sequence[str]]
) -> tuple[dict[str, type], list[str]]:
    """The types by top-level key, and the phases, of what a command line has chosen."""
    explainer = _Explainer(line, names)
    return explainer._types(), explainer._phases()


def settings_meant(
    line: CommandLine, names: Mapping[str, Sequence[str]], setting: str
) -> list[str]:
    """A setting as another tool calls it, such as `epochs=3`, by keys that the command has.

    Args:
        line: what else was typed, which chooses the phases.
        names: as for `check`.
        setting: it.

    Returns:
        The setting for each key that may be meant; itself where its key exists.
    """
    key, _, value = setting.partition("=")
    types, phases = keys_of(line, names)
    takes_words = line.command in (*TAKE_PATHS, *TAKE_INPUTS)
    names_path = suggest.SYNONYMS.get(key.rpartition(".")[2]) == ("root",)
    if value == "true" and (names_path or key in (*_WORD_FLAGS, *_MODEL_FLAGS)):
        return []  # nothing was named
    is_option = value in compose.option_names("data") and not os.path.lexists(value)
    if takes_words and key in _WORD_FLAGS and not is_option:
        return [value]
    if key in _MODEL_FLAGS and "run" in types and "model" not in types:
        return [saved_config.setting("run", value)]
    problem = suggest.problem_with(Assignment(key, value), types, phases)
    meant = [setting] if "unknown" not in problem else _meant(problem)
    if takes_words and meant != [setting] and names_path:
        return [value]
    pairs = [(name, text or value) for name, _, text in (word.partition("=") for word in meant)]
    return [
        saved_config.typed_setting(name, text)
        for name, text in pairs
        if name in GROUPS or _is_usable(suggest.problem_with(Assignment(name, text), types, phases))
    ]


def _is_usable(problem: str) -> bool:
    """Whether a setting with such a problem is right, or is where another source is named."""
    return not problem or suggest.OTHER_OPTION in problem


def _meant(problem: str) -> list[str]:
    """The keys that a problem's message proposes."""
    match = _MEANT.search(problem)
    return match[1].split(" or ") if match else []


def _default_choices(command: str) -> dict[str, str]:
    """By group, the option that a command takes unless another is chosen."""
    file = yaml_files.read_config_file(compose.conf_dir() / f"{command}.yaml", "")
    return {group: option for group, option in file.choices.items() if group in GROUPS}


class _Explainer:
    """Reads overrides and files; afterwards `assignments` has every key that the user set.

    Attributes:
        corrections: by typed word, the one that was probably meant.
        options: by group, every option that some job takes; the last one counts for the types.
        untyped: groups whose keys cannot be checked: a sweep over options that differ in their
            keys, where composing each job checks them, or a file that builds on a missing one.
    """

    def __init__(
        self, line: CommandLine, names: Mapping[str, Sequence[str]], is_data_open: bool = False
    ) -> None:
        self.line, self.names, self.command = line, names, COMMANDS[line.command]
        self.is_data_open = is_data_open
        defaults = _default_choices(line.command)
        self.options = {group: [option] for group, option in defaults.items()}
        self.untyped: set[str] = set()
        self.assignments: list[Assignment] = []
        self.problems: list[str] = []
        self.corrections: dict[str, str] = {}
        self._read_overrides()
        self._check_folders()
        self._read_user_files()
        types, phases = self._types(), self._phases()
        for assignment in self.assignments:
            self._check_assignment(assignment, types, phases)

    def corrected_line(self, problems: Sequence[str]) -> str:
        """The line as it was typed with each word corrected; empty where one has no correction."""
        if len(problems) != len(self.corrections):
            return ""
        words = [self.corrections.get(w, w) for w in self.line.typed or self.line.words]
        return typed_again(self.line, words)

    def _correct(self, key: str, new: str) -> None:
        """Keep the correction of the typed word that sets a key: its key, or all of it."""
        for word in self.line.words:
            typed, _, value = word.partition("=")
            if typed == key:
                self.corrections[word] = new if "=" in new else f"{new}={value}"

    def _check_assignment(
        self, assignment: Assignment, types: dict[str, type], phases: list[str]
    ) -> None:
        key, value, where = assignment.key, assignment.value, assignment.where
        group, _, rest = key.partition(".")
        if group in self.untyped:
            return
        if rest and group not in self.options and self._is_group(group):
            self.problems.append(f"{key}: no {group} is chosen. Add {group}=NAME")
            return
        if problem := suggest.problem_with(assignment, types, phases):
            self.problems.append(problem)
            if not where and (meant := _meant(problem)):
                new = suggest.likeliest(meant)
                name, _, text = new.partition("=")
                renamed = replace(assignment, key=name, value=text or value, text="")
                if self._is_group(name) or not self._problem_of(renamed, types, phases):
                    self._correct(key, new)
        elif problem := self._value_problem(assignment, types):
            self.problems.append(f"{where}: {problem}" if where else problem)

    def _problem_of(self, assignment: Assignment, types: dict[str, type], phases: list[str]) -> str:
        """What is wrong with a corrected assignment; any source's key is right for open data."""
        problem = suggest.problem_with(assignment, types, phases)
        if self.is_data_open and problem and _is_usable(problem):
            return ""
        return problem or self._value_problem(assignment, types)

    def _value_problem(self, assignment: Assignment, types: dict[str, type]) -> str:
        """What is wrong with the value of a key that there is; empty when nothing is."""
        key, value = assignment.key, assignment.value
        if isinstance(value, dict) or (value is None and key.startswith("task.objectives.")):
            return ""
        if interpolation.is_interpolated(value):
            return interpolation.text_problem(key, value)
        info, kind = suggest.declaration(key, self.command, types)
        misread = rules.reading_problem(info, kind, value, assignment.text)
        if misread and not assignment.where:  # the shell takes the outer quotes off
            misread += f", inside others: {shell_setting(key, assignment.text)}"
        problem = f"{key}: {misread}" if misread else ""
        return problem or rules.value_problem(key, info, value, self.names)

    def _read_overrides(self) -> None:
        for override in self.line.overrides:
            key, text = override.key_or_group, override.input_line
            if key.startswith("hydra/"):  # the few that are allowed choose nothing of fmkit's
                continue
            if override.is_delete():  # every key but a phase has a type that needs a value
                phases = [f"stage.{name}" for name in self._phases()]
                if key not in phases:
                    hint = "Only a phase of the stage can be left out."
                    self.problems.append(received("~", key, phases, hint))
                continue
            is_sweep = override.is_sweep_override()
            if is_sweep and not self.line.multirun:
                hint = "names several values. Add -m for a sweep, or quote it."
                self.problems.append(f"{text!r} {hint}")
                continue
            values = values_of(override)
            if not values:
                hint = f"a sweep over {key} takes a list of values, such as {key}=a,b."
                self.problems.append(f"{text!r}: {hint}")
            elif len(values) > 1 and key in ON_THE_COMMAND_LINE:
                self.problems.append(f"{key} takes one value, also in a sweep.")
            elif key in self.options or key == "experiment" or self._is_group(key):
                for value in values:
                    self._choose(key, value)
                self.untyped |= {key} if len(values) > 1 else set()
            else:
                written = "" if is_sweep else text.partition("=")[2]
                for value in values:
                    self.assignments.extend(yaml_files.assignments_of(key, value, written))

    def _is_group(self, key: str) -> bool:
        """Whether a key is a group of the command's, also where no option of it is the default."""
        return key in BASES and key in field_types(self.command)

    def _choose(self, group: str, value: Any, where: str = "") -> None:
        if group == "experiment" and value is None:
            return
        allowed = self._option_names(group)
        if not isinstance(value, str) or value not in allowed:
            place = f"{where}: " if where else ""
            self.problems.append(f"{place}{received(group, value, allowed)}")
            if not where and (close := closest_names(str(value), allowed, limit=1)):
                self._correct(group, f"{group}={close[0]}")
            return
        others = [option for option in self.options.get(group, []) if option != value]
        self.options[group] = [*others, value]

    def _option_names(self, group: str) -> list[str]:
        without_file = self.names.get(f"{group}.name", ())
        return sorted({*compose.option_names(group, self.line.config_dirs), *without_file})

    def _check_folders(self) -> None:
        """Folders and files of the user's that would stand in for fmkit's own, or behind them."""
        for parent in self.line.config_dirs:
            for name in ("hydra", "schema"):
                if (parent / name).exists():
                    hint = f"{name} is a folder of fmkit's own. Rename it."
                    self.problems.append(f"{parent / name} is refused: {hint}")
            hint = "has the name of a file of fmkit's, which is the one that counts. Rename it."
            self.problems.extend(
                f"{path} {hint}"
                for group in GROUPS
                for path in sorted((parent / group).glob("*.yaml"))
                if path.stem in compose.option_names(group) and compose.conf_dir() != parent
            )

    def _read_user_files(self) -> None:
        """Read the chosen files that are the user's own, and those that they build on."""
        groups = ["experiment", *(group for group in self.options if group != "experiment")]
        seen: set[Path] = set()
        for group in groups:
            for option in list(self.options.get(group, [])):
                for path, file in self._files_of(group, option):
                    if path not in seen:
                        seen.add(path)
                        self._read_user_file(group, file)

    def _read_user_file(self, group: str, file: ConfigFile) -> None:
        self.problems.extend(file.problems)
        self.untyped |= {group} if file.problems else set()
        for row in file.assignments:
            if row.key in ON_THE_COMMAND_LINE:
                self.problems.append(
                    f"{row.where}: {row.key} is for the command line: {row.key}=..."
                )
            if row.key.split(".")[0] == "hydra":
                hint = "is Hydra's own, and set by fmkit. Leave it out."
                self.problems.append(f"{row.where}: {row.key} {hint}")
            else:
                self.assignments.append(row)
        allowed = self._option_names(group)
        bases = {name: file.places[name] for name in file.defaults if name in file.places}
        if group in file.choices:
            bases[file.choices[group]] = file.places[group]
        for name, where in bases.items():
            is_plain = name != "_self_" and not set(name) & set("/@$")
            if is_plain and name not in allowed:
                self.problems.append(f"{where}: {received(group, name, allowed)}")
                self.untyped.add(group)
        typed = self.line.named()
        for other, choice in file.choices.items():
            if other not in self.options and other != group:
                hint = received("group", other, sorted(self.options))
                self.problems.append(f"{file.places[other]}: {hint}")
            elif other not in typed and other != group:
                self._choose(other, choice, file.places[other])

    def _files_of(self, group: str, option: str) -> list[tuple[Path, ConfigFile]]:
        """The user's file behind an option, after those of the user's that it builds on."""
        own = [compose.conf_dir()] if group == "experiment" else []
        return yaml_files.defaults_chain([*own, *self.line.config_dirs], group, option)

    def _types(self) -> dict[str, type]:
        """By top-level key the config class of a group, a phase's for `stage`, or the type."""
        types: dict[str, type] = dict(field_types(self.command))
        for name in types:
            if name in BASES:
                types[name] = self._config_class(name)
        return types | ({"stage": PhaseConfig} if "stage" in types else {})

    def _config_class(self, group: str) -> type:
        """The config class behind the chosen option of a group."""
        option = self.options.get(group, [""])[-1]
        for _, file in self._files_of(group, option):
            named = [row.value for row in file.assignments if row.key == f"{group}.name"]
            for base in [*yaml_files.base_options(group, file), *named]:
                if base in config_classes(group):
                    return config_class(group, base)
        return config_class(group, option)

    def _phases(self) -> list[str]:
        """Names of the phases of the chosen stage, in the order they are written."""
        option = self.options.get("stage", [""])[-1]
        files = [file for _, file in self._files_of("stage", option)]
        bases = {
            option,
            *(name for file in files for name in yaml_files.base_options("stage", file)),
        }
        for base in sorted(bases):
            path = compose.conf_dir() / "stage" / f"{base}.yaml"
            if path.is_file():
                files.insert(0, yaml_files.read_config_file(path, "stage"))
        keys = [row.key.split(".") for file in files for row in file.assignments]
        return list(dict.fromkeys(parts[1] for parts in keys if len(parts) > 1))


def values_of(override: Any) -> list[Any]:
    """The values of an override, one for each job of a sweep over it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import ChoiceSweep, RangeSweep

    if not override.is_sweep_override():
        return [override.value()]
    if not isinstance(override.value(), ChoiceSweep | RangeSweep):
        return []  # a glob or an interval: not a list of values
    parser, texts = OverridesParser.create(), override.sweep_string_iterator()
    return [parser.parse_override(f"key={text}").value() for text in texts]
