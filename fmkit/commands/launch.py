"""How a command starts: plugins, the config that Hydra composes, and groups of an earlier run."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fmkit.commands import typed_settings
from fmkit.commands.output import failures
from fmkit.config import command_line, compose, user_overrides
from fmkit.config.command_line import CommandLine
from fmkit.config.preflight import check, problems_beside_data, settings_meant
from fmkit.config.registry import COMMAND_WORDS, tasks
from fmkit.config.saved_config import (
    for_objective,
    overrides,
    quote,
    section,
    shell_setting,
)
from fmkit.config.schema.data import ImageTableData
from fmkit.core import console, machine, registry
from fmkit.core.errors import ConfigError, DataError, FmkitError, combine_messages
from fmkit.core.files import display_path
from fmkit.store import run_dir, run_index
from fmkit.store.run_reader import RunReader

T = TypeVar("T")


def run_command(
    command: str,
    arguments: Sequence[str],
    job: Callable[[Any], T],
    inherited: tuple[str, ...] = (),
    typed: Sequence[str] = (),
) -> T | None:
    """Compose the config of a command that makes no run folder, and call `job` with it.

    Args:
        command: its name; the arguments are the words after it.
        job: called with the typed config.
        inherited: groups that are as in `run=RUN` where the user leaves them open.
        typed: the words for messages to repeat, where the arguments are others.

    Returns:
        What `job` returned; None where a flag of Hydra's only shows the config.

    Raises:
        FmkitError: the command line or the config is wrong, or `job` raised it.
    """
    line, names = read_line(command, arguments)
    line.typed = [*typed] or line.typed
    if inherited:
        line = inherit(line, names, "run", inherited)
    if line.multirun:
        typed = COMMAND_WORDS.get(line.command, line.command)
        raise ConfigError(f"fmkit {typed} does not take -m: call it once for each run.")
    check(line, names)
    result: T | None = None
    failure: FmkitError | None = None

    def guarded(composed: Any) -> None:
        nonlocal result, failure
        config = None
        try:
            config = compose.to_typed(composed, line.command, names, {})
            # What libraries write has no place but the log of a run that the job may open.
            with console.redirect_stderr(Path(os.devnull)):
                result = job(config)
        except Exception as error:  # kept from Hydra, which would print a traceback of its own
            failure = failures.as_fmkit_error(error, config=config)

    if line.shows_only:
        compose.show_configs(line)
    else:
        compose.launch(line, guarded)
    if failure is not None:
        raise failure
    return result


def read_line(command: str, arguments: Sequence[str]) -> tuple[CommandLine, dict[str, list[str]]]:
    """A command line with the settings that its path and its model's name stand for.

    The second are the allowed names, as of `allowed_names`.
    """
    typed = parse_line(command, arguments)
    try:
        line = typed_settings.with_data_settings(typed)
    except (ConfigError, DataError) as error:  # the keys were checked once the data are known
        names = allowed_names(typed.value("plugins"))
        typed = typed_settings.with_model_settings(typed, names["model.name"])
        problems, corrections = problems_beside_data(typed, names)
        if not problems:
            raise
        words = [corrections.get(word, word) for word in typed.words]
        corrected = command_line.parse(command, [*typed.flags, *typed.paths, *words])
        corrected.shows_only = True  # what is recognised is not printed
        try:
            typed_settings.with_data_settings(corrected)
        except (ConfigError, DataError) as remaining:
            message = combine_messages([*problems, remaining.message])
            raise ConfigError(message, remaining.hint) from error
        is_whole = len(corrections) == len(problems)
        hint = command_line.typed_again(typed, [*typed.paths, *words]) if is_whole else ""
        raise ConfigError(combine_messages(problems), hint) from error
    names = allowed_names(line.value("plugins"))
    return typed_settings.with_model_settings(line, names["model.name"]), names


def parse_line(command: str, arguments: Sequence[str]) -> CommandLine:
    """A command line as it was typed, with `run=` before a run that is named without.

    Flags of other tools are refused with the keys they mean.
    """

    def meant(line: CommandLine, setting: str) -> list[str]:
        return settings_meant(line, allowed_names(), setting)

    return typed_settings.with_run(command_line.parse(command, arguments, meant))


def inherit(
    line: CommandLine, names: dict[str, list[str]], key: str, groups: tuple[str, ...]
) -> CommandLine:
    """With `init=RUN` or `run=RUN`, take groups that the user leaves open from that run.

    They become overrides ahead of the user's own, so that Hydra's record shows them, too.
    """
    value = line.value(key)
    if value is None or value == "":
        return line
    runs_dir = Path(str(line.value("runs_dir") or "runs"))
    run = RunReader(run_index.resolve_trained(str(value), runs_dir, key))
    experiment_keys, experiment_choices = user_overrides.keys_set_by_experiment(line)
    user_keys = line.named() | experiment_keys | set(experiment_choices)
    inherited = [group for group in groups if group not in user_keys]
    require_plugins(run, inherited, names)
    if not (run.config().get("model") or {}).get("lora_rank"):  # the stage decides
        user_keys |= {"model.lora_rank"}
    if "data.root" in user_keys:  # the run's limit and corrections were meant for the run's data
        user_keys |= {"data.limit", "data.relabel"}
    task = run.config().get("task")
    entry = dict(tasks()).get(str(task.get("name"))) if isinstance(task, dict) else None
    if entry is not None and not entry.learns_columns:
        user_keys |= {"data.labels"}  # the run has learned no labels
    words = [f"{key}={quote(str(run.folder.absolute()))}"]
    objective = line.value("objective")  # of a joint run: whose data to use
    config = for_objective(run.config(), None if objective is None else str(objective))
    own_folder = _photos_of_new_table(line, config) if "data" in inherited else None
    if own_folder is not None:
        user_keys |= {"data.image_root"}
    for group in inherited:
        words.extend(overrides(config, group, user_keys | {"model.weights"}))
    words += [f"data.image_root={quote(own_folder)}"] if own_folder else []
    if "model" in inherited and "model.weights" not in user_keys:
        words.append("model.weights=none")  # they all come from the run
    if inherited and not line.shows_only:
        console.info(f"{' and '.join(inherited)} as in run {run.id}")
    pairs = zip(line.words, line.overrides, strict=True)
    others = [word for word, override in pairs if override.key_or_group != key]
    result = command_line.parse(line.command, [*line.flags, *words, *others])
    result.typed = line.typed or line.words
    return result


def _photos_of_new_table(line: CommandLine, config: Mapping[str, Any]) -> str | None:
    """The folder of the photos of a new table for data as in a run; None where that is the run's.

    Empty is the table's own folder.
    """
    root, data = line.value("data.root"), config.get("data")
    is_table = isinstance(data, dict) and data.get("name") == ImageTableData.name
    if not is_table or not isinstance(root, str) or "data.image_root" in line.named():
        return None
    from fmkit.data.sources import photo_folders

    learned = section(config, "data")
    column = line.value("data.path_column") or learned.path_column
    folder, note = photo_folders.image_root(root, str(column), learned)
    if note and not line.shows_only:
        console.info(f"{display_path(root)}: {note}")
    return folder


def allowed_names(file: Any = None) -> dict[str, list[str]]:
    """Allowed values of `model.name`, `data.name` and `task.name`.

    Args:
        file: the user's plugin file, which is run for its names.

    Raises:
        ConfigError: the plugin file is missing or fails.
    """
    from fmkit.data.sources import registry as source_registry
    from fmkit.models import registry as model_registry
    from fmkit.tasks import registry as task_registry

    if file:
        with console.redirect_stderr(Path(os.devnull)):  # importing TensorFlow writes there
            registry.load_plugins(str(file))
    return {
        "model.name": model_registry.names(),
        "data.name": source_registry.names(),
        "task.name": task_registry.names(),
    }


def require_plugins(
    run: RunReader, groups: Sequence[str], allowed: Mapping[str, Sequence[str]]
) -> None:
    """Refuse a run that needs a plugin file which the user has not named.

    Args:
        groups: those of its config that are needed, of `model`, `data` and `task`.
        allowed: names, from `allowed_names`.

    Raises:
        ConfigError: with the file that the run was made with.
    """
    config = run.config()
    file = config.get("plugins")
    for group in groups:
        values = config.get(group)
        name = values.get("name") if isinstance(values, dict) else None
        if name is not None and name not in allowed[f"{group}.name"]:
            option = "plugins=FILE"
            if isinstance(file, str):
                option = shell_setting("plugins", display_path(file))
            raise ConfigError(
                f"run {run.id} has {group}={name}, which is neither fmkit's nor an installed "
                "package's.",
                f"Add {option}. A plugin file is code, so it is run only where you name it.",
            )


def open_run(name: str, runs_dir: str) -> RunReader:
    """The finished run that a command names; of an unfinished one the best checkpoint is used.

    Raises:
        ArtifactError: there is no such run, or it has no checkpoint.
        ConfigError: it needs a plugin file that the user has not named.
    """
    run = RunReader(run_index.resolve_trained(name, Path(runs_dir)))
    run.warn_if_unfinished()
    require_plugins(run, ("model", "task"), allowed_names())
    return run


def load_run(run: RunReader, runtime: Any, objective: str | None = None) -> Any:
    """A finished run's model with its best weights, an `evaluation.load_run.LoadedRun`.

    What TensorFlow writes to stderr while it is imported goes into the run's log.

    Raises:
        ArtifactError: the run is damaged or has no checkpoint.
    """
    with console.redirect_stderr(run.folder / run_dir.LOG):
        with console.announce_slow("loading TensorFlow"), machine.gc_paused_imports():
            import_keras()
            from fmkit.evaluation import load_run

        with console.announce_slow(f"building the model of run {run.id} and reading its weights"):
            return load_run.load(run, runtime, objective)


def import_keras() -> None:
    """Import Keras; in a process of fmkit's own without what only unused parts of it import.

    Those are its wrappers for scikit-learn, with SciPy's statistics, and its plots: a quarter of
    the time of `fmkit predict` with one photo.
    """
    unused = ("sklearn", "matplotlib") if machine.is_own_process else ()
    with machine.hidden_modules(*unused):
        import keras  # noqa: F401
