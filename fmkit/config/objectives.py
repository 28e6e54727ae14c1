"""The objectives of a joint run: from what a user wrote to typed ones, and back to a single run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.config import compatibility, suggest, validate, yaml_files
from fmkit.config.registry import config_class, task_entry
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.keys import key_infos
from fmkit.config.schema.task import JointConfig, ObjectiveConfig
from fmkit.config.yaml_files import Assignment
from fmkit.core import files
from fmkit.core.errors import Problem, join_names, received

_USUAL = "classification"
"""The task of an objective that names none."""
_KEY = "task.objectives"


def primary(task: JointConfig) -> str:
    """Name of the objective that epochs are counted by, and that is deployed."""
    return task.primary or list(task.objectives)[-1]


def resolve(config: TrainConfig, names: Mapping[str, Sequence[str]], folder: Path) -> list[Problem]:
    """Give a joint config typed objectives, each with its weight and data; or what is wrong.

    The objectives that are left have a weight above 0. An objective's data and task have the
    defaults of the option of that name. The run's own data become those of the primary objective.

    Args:
        config: changed in place, unless something is wrong.
        names: allowed values of `data.name` and `task.name`.
        folder: fmkit's own YAML.
    """
    task = config.task
    if not isinstance(task, JointConfig):
        return []
    raw = {name: each for name, each in task.objectives.items() if each is not None}
    found = list(_shape_problems(task, raw))
    if found:
        return found
    settled: dict[str, ObjectiveConfig] = {}
    for name, values in raw.items():
        made, wrong = _objective(config, name, values, names, folder)
        settled[name] = made
        found.extend(wrong)
    found = found or [
        each for name in settled for each in _problems_as_single(config, settled, name, names)
    ]
    if found:
        return found
    weights = _weights(task, raw)
    for name, each in settled.items():
        each.weight = weights[name]
    task.objectives = {name: each for name, each in settled.items() if each.weight}
    found = list(_whole_problems(config, task, settled))
    if found or len(task.objectives) == 1:
        return found
    config.data = task.objectives[primary(task)].data
    return []


def to_single_objective(config: TrainConfig) -> tuple[TrainConfig, str]:
    """A settled config of which one objective is left as the config of that objective alone.

    Every other config as it is. So a joint run with weights 1 and 0 is the single run, bit for bit.

    Returns:
        The config, and a line for people; empty where nothing changed.
    """
    task = config.task
    if not isinstance(task, JointConfig) or len(task.objectives) != 1:
        return config, ""
    ((name, only),) = task.objectives.items()
    told = f"task: {name} alone, since the other objectives have weight 0"
    return dataclasses.replace(config, task=only.task, data=only.data), told


def _shape_problems(task: JointConfig, raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Names, keys and weights of the objectives."""
    if len(raw) < 2:
        yield Problem(
            _KEY,
            f"{_KEY} has {join_names([*raw]) or 'none'}: a joint run needs two objectives or more, "
            f"such as {_KEY}.pretrain.task=simclr {_KEY}.finetune.task=classification.",
        )
    for name, each in raw.items():
        for assignment in _assignments(f"{_KEY}.{name}", each):
            wrong = suggest.problem_with(assignment, {"task": JointConfig}, [])
            if wrong:
                yield Problem(assignment.key, wrong)
    given = [name for name, each in raw.items() if (each or {}).get("weight") is not None]
    if task.alpha is not None and len(raw) != 2 and len(raw) > 1:
        yield Problem(
            "task.alpha",
            f"task.alpha={task.alpha:g} weighs two objectives, and there are {len(raw)}: "
            f"{join_names([*raw])}. Give each a weight instead: {_KEY}.NAME.weight=1.",
        )
    elif task.alpha is not None and given:
        yield Problem(
            f"{_KEY}.{given[0]}.weight",
            f"task.alpha={task.alpha:g} decides both weights, and {_KEY}.{given[0]}.weight is set, "
            "too. Leave one of them out.",
        )
    learned = [name for name in given if raw[name]["weight"] != 0]
    if task.weighting == "uncertainty" and (task.alpha not in (None, 0.0, 1.0) or learned):
        what = f"{_KEY}.{learned[0]}.weight" if learned else "task.alpha"
        yield Problem(
            what,
            f"task.weighting=uncertainty learns the weights, and {what} is set, too. Leave one of "
            "them out.",
        )


def _assignments(key: str, value: Any) -> Iterator[Assignment]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _assignments(f"{key}.{name}", each)
    else:
        yield Assignment(key, value)


def _objective(
    config: TrainConfig,
    name: str,
    values: Mapping[str, Any],
    names: Mapping[str, Sequence[str]],
    folder: Path,
) -> tuple[ObjectiveConfig, list[Problem]]:
    """One objective with a typed task and typed data, and what is wrong with it."""
    own = {group: _named(values.get(group)) for group in ("task", "data")}
    own["task"] = {"name": _USUAL, **own["task"]}
    task, found = _typed("task", name, own["task"], names, folder)
    if task is not None and (reason := task_entry(task.name).joint_problem):
        key = f"{_KEY}.{name}.task.name"
        message = f"{key}={task.name} {reason}, so it cannot be an objective of a joint run."
        found = [Problem(key, f"{message} Train it in a run of its own.")]
    data: Any = dataclasses.replace(config.data)
    if "name" in own["data"]:
        data, wrong = _typed("data", name, own["data"], names, folder)
        found += wrong
    elif own["data"]:
        data, wrong = _typed("data", name, {**_plain(config.data), **own["data"]}, names, None)
        found += wrong
    if values.get("batch_size") is not None and data is not None:
        data.batch_size = values["batch_size"]
    if task is not None:
        compatibility.resolve_labels(data, task.name)
    return ObjectiveConfig(task=task, data=data), found


def _named(value: Any) -> dict[str, Any]:
    """The keys of a task or of data, of which the name alone will do."""
    return {"name": value} if isinstance(value, str) else dict(value or {})


def _plain(data: DataConfig) -> dict[str, Any]:
    return {each.name: getattr(data, each.name) for each in dataclasses.fields(data)}


def _typed(
    group: str,
    objective: str,
    values: dict[str, Any],
    names: Mapping[str, Sequence[str]],
    folder: Path | None,
) -> tuple[Any, list[Problem]]:
    """An object of the dataclass behind a name, and what is wrong with its keys.

    Args:
        group: `task` or `data`.
        objective: its name.
        values: by key.
        names: allowed names.
        folder: fmkit's own YAML, whose option of that name has the defaults; None: no more.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    place = f"{_KEY}.{objective}.{group}"
    name = str(values["name"])
    if name not in names.get(f"{group}.name", (name,)):
        key = f"{place}.name"
        return None, [Problem(key, received(key, name, names[f"{group}.name"]))]
    kind = config_class(group, name)
    found = []
    for key, value in values.items():
        wrong = suggest.problem_with(Assignment(f"{group}.{key}", value), {group: kind}, [])
        if wrong:
            found.append(Problem(f"{place}.{key}", _with_place(wrong, group, place)))
    if found:
        return None, found
    values = {**(_defaults(folder, group, name) if folder else {}), **values}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), values)
        for each in sorted(OmegaConf.missing_keys(merged)):
            told = f"{place}.{each} is missing. {key_infos(kind)[each].help}"
            found.append(Problem(f"{place}.{each}", told))
        if found:
            return None, found
        made: Any = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        return None, [Problem(place, f"{place}: {str(error).splitlines()[0]}.")]
    for each in ("root", "image_root"):
        if isinstance(getattr(made, each, None), str):
            setattr(made, each, files.absolute_path(getattr(made, each)))
    return made, []


def _defaults(folder: Path, group: str, name: str) -> dict[str, Any]:
    """What the option of that name sets, as `data=NAME` would."""
    path = folder / group / f"{name}.yaml"
    if not path.is_file():
        return {}
    found = yaml_files.read_config_file(path, "")
    return {each.key: each.value for each in found.assignments}


def _problems_as_single(
    config: TrainConfig,
    settled: Mapping[str, ObjectiveConfig],
    name: str,
    names: Mapping[str, Sequence[str]],
) -> Iterator[Problem]:
    """What would be wrong with a run of one objective, with the keys that it has here."""
    own = settled[name]
    single = dataclasses.replace(config, task=own.task, data=own.data)
    for each in validate.problems(single, names):
        group = each.key.split(".")[0]
        if group in ("task", "data"):
            place = f"{_KEY}.{name}.{group}"
            key = each.key.replace(group, place, 1)
            yield Problem(key, _with_place(each.message, group, place))
        elif each.message.startswith(("data.", "task.")) or "task" in each.message:
            yield Problem(each.key, f"objective {name}: {each.message}")


def _with_place(message: str, group: str, place: str) -> str:
    return re.sub(rf"(?<![\w.]){group}\.(?=[a-z])", f"{place}.", message)


def _weights(task: JointConfig, raw: Mapping[str, Any]) -> dict[str, float]:
    if task.alpha is not None:
        first, second = raw
        return {first: task.alpha, second: 1.0 - task.alpha}
    given = {name: (each or {}).get("weight") for name, each in raw.items()}
    return {name: 1.0 if each is None else float(each) for name, each in given.items()}


def _whole_problems(
    config: TrainConfig, task: JointConfig, settled: Mapping[str, ObjectiveConfig]
) -> Iterator[Problem]:
    """What goes by all objectives together."""
    if not task.objectives:
        yield Problem(_KEY, f"all of {join_names([*settled])} have weight 0: nothing is learned.")
        return
    if task.primary is not None and task.primary not in settled:
        yield Problem("task.primary", received("task.primary", task.primary, [*settled]))
        return
    if len(task.objectives) == 1:
        return
    if primary(task) not in task.objectives:
        told = (
            f"task.primary={task.primary} has weight 0. Name one of "
            f"{join_names([*task.objectives])}."
        )
        yield Problem("task.primary", told)
    allowed = monitors(task)
    if task.monitor not in allowed:
        yield Problem("task.monitor", received("task.monitor", task.monitor, allowed))
    if config.recipe == "auto":
        yield Problem(
            "recipe",
            "recipe=auto chooses for one objective, and task=joint has several. Leave it out.",
        )
    for name, phase in config.stage.items():
        if phase.solver == "lbfgs":
            key = f"stage.{name}.solver"
            yield Problem(
                key, f"{key}=lbfgs solves one head, and task=joint has several. Leave it out."
            )


def monitors(task: JointConfig) -> list[str]:
    """What `task.monitor` of a joint run may be: its whole loss, and each objective's metrics."""
    names = ["val_loss", "loss"]
    for objective, config in task.objectives.items():
        for monitor in task_entry(config.task.name).monitors:
            prefix = "val_" if monitor.startswith("val_") else ""
            names.append(f"{prefix}{objective}_{monitor.removeprefix(prefix)}")
    return names
