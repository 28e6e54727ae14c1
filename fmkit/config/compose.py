"""From overrides to a typed config: Hydra composes, the schema types, the rules are checked."""

import contextlib
import copy
import dataclasses
import io
import itertools
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.config import compatibility, interpolation, objectives, rules, yaml_files
from fmkit.config.command_line import CommandLine
from fmkit.config.registry import BASES, COMMAND_WORDS, COMMANDS, config_class, config_classes
from fmkit.config.saved_config import quote, shell_word
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.keys import info_of, key_infos
from fmkit.config.schema.task import JointConfig
from fmkit.core import console, files, safe_yaml
from fmkit.core.errors import ConfigError, FmkitError, combine_messages, short_repr


def conf_dir() -> Path:
    """fmkit's own YAML: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def option_names(group: str, extra_dirs: Sequence[Path] = ()) -> list[str]:
    """Names of a group's YAML files, fmkit's and the user's."""
    folders = [conf_dir() / group, *(folder / group for folder in extra_dirs)]
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


_registered: set[tuple[str, str, type]] = set()


def register(names: Mapping[str, Sequence[str]]) -> None:
    """Tell Hydra of the schema, and of an option for every name that has no YAML."""
    # With its class: a plugin file that runs again in this process makes the class anew.
    classes = {key: config_classes(key.partition(".")[0]) for key in names}
    rows = {(key, name, classes[key].get(name, object)) for key in names for name in names[key]}
    if _registered and rows <= _registered:  # it takes a tenth of a second
        return
    _registered.update(rows)
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    _register_source()
    OmegaConf.register_new_resolver(
        "times", lambda value, factor: float(value) * float(factor), replace=True
    )
    store = ConfigStore.instance()
    for command, kind in COMMANDS.items():
        store.store(group="schema/command", name=command, node=kind)
    for group, base in BASES.items():
        for option, config in {"base": base, **config_classes(group)}.items():
            store.store(group=f"schema/{group}", name=option, node=config)
        with_files = option_names(group)
        for option in names.get(f"{group}.name", ()):
            if option not in with_files:
                node = config_class(group, option)(name=option)
                store.store(group=group, name=option, node=node)


_SCHEME = "fmkit"


def _register_source() -> None:
    """Tell Hydra of the scheme `fmkit://`, whose files are read within `safe_yaml`'s limits."""
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra.core.plugins import Plugins
    from hydra.plugins.config_source import ConfigLoadError, ConfigResult
    from omegaconf import OmegaConf

    class CheckedSource(FileConfigSource):
        """A folder of YAML."""

        @staticmethod
        def scheme() -> str:
            return _SCHEME

        def load_config(self, config_path: str) -> Any:
            path = Path(self.path) / self._normalize_file_name(config_path)
            if not path.is_file():
                raise ConfigLoadError(f"Config not found: {path}")
            document = safe_yaml.read(path)
            if document.tree is None:
                raise ConfigError("\n".join(document.problems))
            values = yaml_files.with_integers(safe_yaml.value(document.tree))
            return ConfigResult(
                config=OmegaConf.create(values),
                path=f"{_SCHEME}://{self.path}",
                provider=self.provider,
                header=self._get_header_dict(document.text[:512]),
            )

    Plugins.instance().register(CheckedSource)


LORA_RANK = 8
"""`model.lora_rank` where a phase trains adapters and the key is null."""

MAX_COMPOSED_JOBS = 200
"""Jobs of a sweep that are composed beforehand; a longer sweep is checked as far as that."""


def compose_all_jobs(
    line: CommandLine,
    names: Mapping[str, Sequence[str]],
    places: Mapping[str, str],
    inspect: Callable[[Any], None] | None,
) -> Any:
    """Compose every job for real, before the first one runs; the typed config of the first.

    Raises:
        ConfigError: what is wrong with a job; in a sweep the job is named.
        FmkitError: `inspect` raised it.
    """
    first = None
    for words in itertools.islice(_jobs(line), MAX_COMPOSED_JOBS):
        try:
            with warnings.catch_warnings():  # of Hydra's own; what is wrong is an error here
                warnings.simplefilter("ignore", UserWarning)
                config = _composed(line, words)
                own = words if line.multirun else line.typed or words
                name = COMMAND_WORDS.get(line.command, line.command)
                typed = " ".join([name, *map(shell_word, own)])
                value = to_typed(config, typed, names, places)
            if inspect is not None:
                inspect(value)
        except FmkitError as error:
            if line.multirun:
                error.message = f"job {' '.join(words)}: {error.message}"
            raise
        first = first or value
    return first


def _jobs(line: CommandLine) -> Iterator[list[str]]:
    """The overrides of each job of a sweep, or of the only one."""
    spellings = []  # of each override: as typed, or one for each value that it sweeps over
    for override in line.overrides:
        text = str(override.input_line)
        is_sweep = override.is_sweep_override()
        values = override.sweep_string_iterator() if is_sweep else ()
        swept = [f"{text.partition('=')[0]}={value}" for value in values]
        spellings.append(swept if is_sweep else [text])
    return map(list, itertools.product(*spellings))


def show_configs(line: CommandLine) -> None:
    """Print what Hydra shows for its flags; of a sweep the config of each job."""
    jobs = [("", line)]
    if line.multirun:
        flags = [flag for flag in line.flags if flag != "--multirun"]
        jobs = [
            (f"--- # {' '.join(words)}\n", dataclasses.replace(line, flags=flags, words=words))
            for words in _jobs(line)
        ]
    for title, job in jobs:
        shown = io.StringIO()  # Hydra would raise where its reader is gone, as with `| head`
        with contextlib.redirect_stdout(shown):
            launch(job, lambda _: None)
        console.write_stdout(title + shown.getvalue())


def _composed(line: CommandLine, words: list[str]) -> Any:
    """What Hydra makes of overrides; a ConfigError where it or a file's YAML refuses them."""
    import yaml
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose(line.command, overrides=[*words, *_search_path(line)])
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(_first_lines(error)) from error


def _search_path(line: CommandLine) -> list[str]:
    """The override by which Hydra looks into the user's folders, through us."""
    folders = ",".join(quote(f"{_SCHEME}://{folder}") for folder in line.config_dirs)
    return [f"hydra.searchpath=[{folders}]"] if folders else []


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    internal = ("full_key", "object_type", "reference_type", "To append")
    text = " ".join([line for line in lines if not line.startswith(internal)][:4])
    return textwrap.shorten(text, 500, placeholder=" ...") or type(error).__name__


def to_typed(
    config: Any, command: str, names: Mapping[str, Sequence[str]], places: Mapping[str, str]
) -> Any:
    """A composed config as an object of the command's dataclass, or all that is wrong with it.

    Args:
        command: the command as typed, with its overrides, for examples.
        names: allowed values of `model.name`, `data.name` and `task.name`.
        places: by key, the file and line that set it.

    Raises:
        ConfigError: missing values, broken interpolations, values outside their range.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config = copy.deepcopy(config)
    broken = interpolation.problems(unresolved(config))
    if broken:
        raise ConfigError(combine_messages([_placed(*row, places) for row in broken]))
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise ConfigError(combine_messages([_missing(config, key, command) for key in missing]))
        value: Any = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        key = str(getattr(error, "full_key", "") or "")
        raise ConfigError(_placed(key, f"{key}: {_first_lines(error)}", places)) from error
    try:
        _normalise(value)
        task = getattr(value, "task", None)
        if task is not None and not isinstance(task, JointConfig):
            compatibility.resolve_labels(value.data, task.name)
        problems = rules.problems(value, names)
        if not problems and isinstance(value, TrainConfig):
            problems = objectives.resolve(value, names, conf_dir())
    except (OSError, RuntimeError) as error:  # a name that is too long; a home that nobody has
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        path = getattr(error, "filename", None)
        raise ConfigError(f"the path {short_repr(path)} cannot be used: {reason}.") from error
    if problems:
        messages = [_placed(problem.key, problem.message, places) for problem in problems]
        raise ConfigError(combine_messages(messages))
    return value


def unresolved(config: Any) -> dict[str, Any]:
    """By full key, a composed config's values before anything that they refer to is looked up."""
    from omegaconf import OmegaConf

    tree: Any = OmegaConf.to_container(config, resolve=False)
    rows = (row for key, value in tree.items() for row in yaml_files.assignments_of(key, value))
    return {row.key: row.value for row in rows}


def _placed(key: str, message: str, places: Mapping[str, str]) -> str:
    return f"{places[key]}: {message}" if key in places else message


def _missing(config: Any, key: str, command: str) -> str:
    from omegaconf import OmegaConf

    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    kind: Any = OmegaConf.get_type(node)
    meaning = key_infos(kind)[name].help if kind is not None else ""
    example = f"{key}={'last' if key == 'run' else 'VALUE'}"
    return f"{key} is missing. {meaning} Example: fmkit {command} {example}".replace("  ", " ")


def _normalise(value: Any) -> None:
    """LoRA has a rank, and paths are absolute, so that a run's record is true from any folder."""
    for holder in (value, *_groups(value)):
        for field in dataclasses.fields(holder):
            if "true" in info_of(field).choices:  # YAML has read it as a truth value
                setattr(holder, field.name, str(getattr(holder, field.name)).lower())
    if (runtime := getattr(value, "runtime", None)) and runtime.mlflow.tracking_uri:
        runtime.mlflow.tracking_uri = _absolute_uri(runtime.mlflow.tracking_uri)
    model = getattr(value, "model", None)
    for holder, names in (
        (getattr(value, "data", None), ("root", "image_root", "relabel")),
        (model, ("weights", "tokenizer")),
        (getattr(value, "runtime", None), ("cache_dir",)),
        (value, ("plugins",)),
    ):
        for name in names:
            text = getattr(holder, name, None)
            # `rules` refuses an empty text: as a path it would be the working folder.
            is_word = name == "weights" and text in rules.OWN_WEIGHTS
            if isinstance(text, str) and text and not is_word:
                setattr(holder, name, files.input_path(text))
    if model is not None and model.preset and Path(files.input_path(model.preset)).is_dir():
        model.preset = files.input_path(model.preset)
    if model is not None and model.lora_rank is None:
        phases = getattr(value, "stage", {}).values()
        model.lora_rank = LORA_RANK if any(phase.train == "lora" for phase in phases) else 0


def _absolute_uri(uri: str) -> str:
    """A place that MLflow writes to, where it is a relative path with an absolute one."""
    if uri.startswith("sqlite:///"):
        return f"sqlite:///{files.absolute_path(uri.removeprefix('sqlite:///'))}"
    is_path = ":" not in uri and not uri.startswith("databricks")
    return files.absolute_path(uri) if is_path else uri


def _groups(config: Any) -> Iterator[Any]:
    """The config's groups, and the phases of its stage, as objects of their dataclasses."""
    for group in dataclasses.fields(config):
        value = getattr(config, group.name)
        for holder in value.values() if isinstance(value, dict) else (value,):
            if dataclasses.is_dataclass(holder):
                yield holder


def launch(line: CommandLine, job: Callable[[Any], None], extra: Sequence[str] = ()) -> None:
    """Let Hydra compose and call `job` once, or once a combination of a sweep.

    Args:
        line: the command line, checked before.
        job: called with each composed config.
        extra: more overrides, such as the folder of the run.

    Raises:
        ConfigError: Hydra refused what our check let through.
    """
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    GlobalHydra.instance().clear()
    arguments, environment = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    # Hydra wants every flag ahead of the first override.
    flags = [flag for flag in line.flags if not flag.startswith("--config-dir=")]
    sys.argv = [f"fmkit {line.command}", *flags, *line.words, *_search_path(line), *extra]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise what Hydra would print and exit on
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=line.command)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_first_lines(error)) from error
    finally:
        sys.argv = arguments
        os.environ.pop("HYDRA_FULL_ERROR", None)
        if environment is not None:
            os.environ["HYDRA_FULL_ERROR"] = environment
