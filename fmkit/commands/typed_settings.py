"""What people type first, as the settings it stands for: `photos`, `model=bert-base-uncased`."""

import os
from collections.abc import Sequence
from pathlib import Path

from fmkit.config import command_line, compose, user_overrides
from fmkit.config.command_line import CommandLine
from fmkit.config.registry import COLUMN_LABELS, GROUPS, config_class, task_entry, tasks
from fmkit.config.saved_config import setting, shell_setting, shell_word
from fmkit.config.schema.keys import field_types
from fmkit.core import console
from fmkit.core.errors import ConfigError, closest_names, join_names, short_repr
from fmkit.core.files import display_path, matching_paths
from fmkit.data.sources.paths import ADDRESS, DOWNLOAD
from fmkit.models.hub import preset_list
from fmkit.store import run_index
from fmkit.store.run_reader import RunReader


def with_model_settings(line: CommandLine, models: Sequence[str]) -> CommandLine:
    """A command line with the settings of a model in place of another tool's name for it.

    `model.name=small_bert` alone is `model=small_bert`, whose file brings the other settings.
    """
    options = compose.option_names("model", line.config_dirs)
    own_words = line.typed or line.words
    key = "model"
    is_chosen = any(word.startswith("model=") for word in own_words)
    if line.value("model.name") in options and line.value("model.name") != "hub" and not is_chosen:
        key = "model.name"
    name, allowed = line.value(key), [*models, *options]
    if key == "model.name":
        settings = [setting("model", name)]
    elif not isinstance(name, str) or name in allowed or "model.preset" in line.named():
        return line
    else:
        settings = preset_list.settings_for(name, allowed)
    if not settings:
        return line  # reported with the rest
    if not line.shows_only:
        console.info(f"{key}={name}: taken as {' '.join(settings)}")
    pairs = zip(line.words, line.overrides, strict=True)
    own = [word for word, override in pairs if override.key_or_group not in ("model", key)]
    result = command_line.parse(line.command, [*line.flags, *settings, *own])
    result.typed = line.typed or line.words
    return result


def with_run(line: CommandLine) -> CommandLine:
    """A command line with `run=last` in place of the word `last`, or of another that names a run.

    A word is taken so where the line names no run: what commands of a run read goes without one.
    """
    is_of_run = "run" in field_types(compose.COMMANDS[line.command])
    if not (line.paths and is_of_run) or {"run", "model"} & line.named():
        return line
    runs_dir = run_index.find_root(str(line.value("runs_dir") or run_index.DEFAULT_ROOT))
    word = next((path for path in line.paths if run_index.is_named(path, runs_dir)), None)
    if word is None:
        return line
    named = setting("run", word)
    if not line.shows_only:
        console.info(f"{word}: taken as {named}")
    result = command_line.parse(line.command, [*line.flags, named, *line.words])
    result.paths = [path for path in line.paths if path != word]
    return result


def require_run(line: CommandLine, what: str) -> None:
    """Refuse a line that names no run, with one that names the newest.

    Args:
        line: with words that are read.
        what: the run is to the command.

    Raises:
        ConfigError: with the first word, where that may have been meant for the run.
    """
    if "run" in line.named():
        return
    first, *others = line.paths
    is_run = bool(others) and len(first.split()) == 1 and not os.path.lexists(first)
    message = f"run is missing: {what}."
    if is_run and first != "-":
        message = f"there is neither a run nor a file called {short_repr(first)}, and {message}"
    else:
        others = line.paths
    raise ConfigError(message, _command(line, ["run=last", *others, *line.words]))


def with_data_settings(line: CommandLine) -> CommandLine:
    """A command line with settings in place of a path, or beside `data.root` without `data`.

    Raises:
        ConfigError: there is no such path, or it cannot be told what the data set is.
        DataError: what is there is not a data set, or lacks labels.
    """
    experiment_keys, experiment_choices = user_overrides.keys_set_by_experiment(line)
    named = line.named() | experiment_keys | {*experiment_choices}
    root = line.value("data.root")
    if line.command == "eval" and line.paths:
        require_run(line, "the model to evaluate")
    if len(line.paths) > 1:
        raise ConfigError(
            f"{len(line.paths)} paths: {join_names(line.paths, 5)}; one is read.",
            "Name the folder or the file of the data. Settings are written key=value.",
        )
    if line.command not in command_line.TAKE_PATHS or not (line.paths or isinstance(root, str)):
        return line
    if line.command == "tokenizer" and not line.paths:
        return line  # its default, files of texts, reads any root
    typed = line.paths[0] if line.paths else str(root)
    of_run = line.command == "eval"  # which names the settings of its data, too
    if "data" in named or of_run or (not line.paths and "init" in named):
        added = [setting("data.root", typed)] if line.paths else []
    else:
        added = _recognised(line, typed, _existing(line, typed), named)
    pairs = zip(line.words, line.overrides, strict=True)
    own = [word for word, override in pairs if not added or override.key_or_group != "data.root"]
    result = command_line.parse(line.command, [*line.flags, *added, *own])
    result.typed = [*line.paths, *line.words]
    return result


def _recognised(line: CommandLine, typed: str, path: Path, named: set[str]) -> list[str]:
    """The overrides for what is at a path, which are printed."""
    from fmkit.data.recognition.recognise import Request, recognise

    prefix, overrides = "data.", {o.key_or_group: o for o in line.overrides}
    chosen = {
        key.removeprefix(prefix): override.value()
        for key, override in overrides.items()
        if key.startswith(prefix) and not override.is_sweep_override()
    }
    request = Request(typed, chosen, _needs_labels(line), _as_typed(line))
    result = recognise(request, path)
    source = result.settings["data"]
    if _source_of_init(line) == source:
        del result.settings["data"]  # the run's other settings of it come with it
    config = config_class("data", source)
    types = field_types(compose.COMMANDS[line.command])
    settings = {
        key: value
        for key, value in result.settings.items()
        if key.partition(".")[0] in types
        and (key != "task" or line.command != "check" or task_entry(value).learns)
        and (key != "model" or line.command != "check")
        and (key not in named or key == "data.root")
        and value != getattr(config, key.removeprefix(prefix), None)
    }
    words = [setting(key, value) for key, value in settings.items()]
    if not line.shows_only:
        console.info(f"{typed}: {result.reason}, as with: {' '.join(map(shell_word, words))}")
    return words


def _needs_labels(line: CommandLine) -> bool:
    """Whether the task, or the command's usual one, cannot use data without labels."""
    entry = dict(tasks()).get(str(line.value("task")))
    if entry is None or entry.learns is None:
        return line.command == "finetune"
    return entry.learns in COLUMN_LABELS


def _source_of_init(line: CommandLine) -> str:
    """The data source of the run that `init` names; empty without one."""
    init = line.value("init")
    if not init:
        return ""
    runs_dir = Path(str(line.value("runs_dir") or "runs"))
    config = RunReader(run_index.resolve_trained(str(init), runs_dir, "init")).config()
    data = config.get("data")
    return str(data.get("name")) if isinstance(data, dict) else ""


def _existing(line: CommandLine, typed: str) -> Path:
    """The path that exists.

    Raises:
        ConfigError: there is none, or several fit a pattern.
    """
    paths = matching_paths(typed)
    if len(paths) > 1:
        shown = join_names([display_path(path) for path in paths], 3)
        raise ConfigError(
            f"{short_repr(typed)} fits {len(paths)} paths: {shown}.",
            "Name one of them, or the folder that they are in. To read several files, name the "
            f"source, too: data=text_lines {shell_setting('data.root', typed)}",
        )
    path = Path(paths[0])
    if path.exists():
        return path
    options = [
        f"{group}={option}" for group in GROUPS for option in compose.option_names(group)
        if line.paths and option == typed
    ]  # fmt: skip
    folder = path.parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    close = options or [display_path(folder / name) for name in closest_names(path.name, names)]
    hint = "Name the data by its path. Settings are written key=value, as data.batch_size=64."
    if not line.paths:
        hint = "Check its spelling, and that of a source, if it needs one: data=image_folder"
    if close:
        words = [word.replace(typed, close[0]) for word in [*line.paths, *line.words]]
        hint = f"Did you mean {' or '.join(close)}? {_command(line, words)}"
    key = "" if line.paths else "data.root: "
    if "://" in typed:
        raise ConfigError(f"{key}{short_repr(typed)} {ADDRESS}.", DOWNLOAD)
    raise ConfigError(f"{key}{short_repr(typed)}: no such file or folder.", hint)


def _as_typed(line: CommandLine) -> str:
    return _command(line, [*line.paths, *line.words])


def _command(line: CommandLine, words: Sequence[str]) -> str:
    return " ".join(["fmkit", line.command, *map(shell_word, words)])
