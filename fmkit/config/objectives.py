"""The objectives of a joint run: from what a user wrote to typed ones, and back to a single run."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.config import compatibility, rules, suggest, yaml_files
from fmkit.config.registry import config_class, task_entry
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.keys import key_infos
from fmkit.config.schema.task import JointConfig, ObjectiveConfig
from fmkit.config.yaml_files import Assignment, assignments_of
from fmkit.core import files
from fmkit.core.errors import Problem, join_names, received

_DEFAULT_TASK = "classification"
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
    raw = {name: values for name, values in task.objectives.items() if values is not None}
    problems = list(_shape_problems(task, raw))
    if problems:
        return problems
    typed: dict[str, ObjectiveConfig] = {}
    for name, values in raw.items():
        typed[name], own_problems = _objective(config, name, values, names, folder)
        problems.extend(own_problems)
    problems = problems or [
        problem for name in typed for problem in _problems_as_single(config, typed, name, names)
    ]
    if problems:
        return problems
    weights = {name: (values or {}).get("weight") for name, values in raw.items()}
    if task.alpha is not None:
        weights = dict(zip(raw, (task.alpha, 1.0 - task.alpha), strict=True))
    for name, weight in weights.items():
        typed[name].weight = 1.0 if weight is None else float(weight)
    task.objectives = {name: objective for name, objective in typed.items() if objective.weight}
    problems = list(_whole_problems(config, task, typed))
    if not problems and len(task.objectives) > 1:
        config.data = task.objectives[primary(task)].data
    return problems


def to_single_objective(config: TrainConfig) -> tuple[TrainConfig, str]:
    """A resolved config of which one objective is left as the config of that objective alone.

    Every other config as it is. So a joint run with weights 1 and 0 is the single run, bit for bit.

    Returns:
        The config, and a line for people; empty where nothing changed.
    """
    task = config.task
    if not isinstance(task, JointConfig) or len(task.objectives) != 1:
        return config, ""
    ((name, only),) = task.objectives.items()
    note = f"task: {name} alone, since the other objectives have weight 0"
    return dataclasses.replace(config, task=only.task, data=only.data), note


def _shape_problems(task: JointConfig, raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Names, keys and weights of the objectives."""
    if len(raw) < 2:
        yield Problem(
            _KEY,
            f"{_KEY} has {join_names([*raw]) or 'none'}: a joint run needs two objectives or more, "
            f"such as {_KEY}.pretrain.task=simclr {_KEY}.finetune.task=classification.",
        )
    for name, values in raw.items():
        for row in assignments_of(f"{_KEY}.{name}", values):
            if problem := suggest.problem_with(row, {"task": JointConfig}, []):
                yield Problem(row.key, problem)
    weighted = [name for name, values in raw.items() if (values or {}).get("weight") is not None]
    if task.alpha is not None and len(raw) > 2:
        yield Problem(
            "task.alpha",
            f"task.alpha={task.alpha:g} weighs two objectives, and there are {len(raw)}: "
            f"{join_names([*raw])}. Give each a weight instead: {_KEY}.NAME.weight=1.",
        )
    elif task.alpha is not None and weighted:
        key = f"{_KEY}.{weighted[0]}.weight"
        reason = f"task.alpha={task.alpha:g} decides both weights, and {key} is set, too."
        yield Problem(key, f"{reason} Leave one of them out.")
    learned = [name for name in weighted if raw[name]["weight"] != 0]
    if task.weighting == "uncertainty" and (task.alpha not in (None, 0.0, 1.0) or learned):
        key = f"{_KEY}.{learned[0]}.weight" if learned else "task.alpha"
        reason = f"task.weighting=uncertainty learns the weights, and {key} is set, too."
        yield Problem(key, f"{reason} Leave one of them out.")


def _objective(
    config: TrainConfig,
    name: str,
    values: Mapping[str, Any],
    names: Mapping[str, Sequence[str]],
    folder: Path,
) -> tuple[ObjectiveConfig, list[Problem]]:
    """One objective with a typed task and typed data, and what is wrong with it."""
    task_values, data_values = (  # of which the name alone will do
        {"name": value} if isinstance(value, str) else dict(value or {})
        for value in (values.get("task"), values.get("data"))
    )
    task_values = {"name": _DEFAULT_TASK, **task_values}
    task, problems = _typed("task", name, task_values, names, folder)
    if task is not None and (reason := task_entry(task.name).joint_problem):
        key = f"{_KEY}.{name}.task.name"
        message = f"{key}={task.name} {reason}, so it cannot be an objective of a joint run."
        problems = [Problem(key, f"{message} Train it in a run of its own.")]
    data: Any = dataclasses.replace(config.data)
    if data_values:
        is_named = "name" in data_values
        data_values = data_values if is_named else {**vars(config.data), **data_values}
        data, own = _typed("data", name, data_values, names, folder if is_named else None)
        problems += own
    if values.get("batch_size") is not None and data is not None:
        data.batch_size = values["batch_size"]
    if task is not None:
        compatibility.resolve_labels(data, task.name)
    return ObjectiveConfig(task=task, data=data), problems


def _typed(
    group: str,
    objective: str,
    values: dict[str, Any],
    names: Mapping[str, Sequence[str]],
    folder: Path | None,
) -> tuple[Any, list[Problem]]:
    """A task or data as an object of the class behind its name, and what is wrong with its keys.

    Defaults are those of the option of that name in `folder`, which is fmkit's own YAML.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    prefix = f"{_KEY}.{objective}.{group}"
    name = str(values["name"])
    if name not in names.get(f"{group}.name", (name,)):
        key = f"{prefix}.name"
        return None, [Problem(key, received(key, name, names[f"{group}.name"]))]
    kind = config_class(group, name)
    problems = []
    for key, value in values.items():
        message = suggest.problem_with(Assignment(f"{group}.{key}", value), {group: kind}, [])
        if message:
            problems.append(Problem(f"{prefix}.{key}", _with_prefix(message, group, prefix)))
    if problems:
        return None, problems
    path = folder / group / f"{name}.yaml" if folder else None
    if path is not None and path.is_file():  # what `data=NAME` would set
        file = yaml_files.read_config_file(path, "")
        values = {**{row.key: row.value for row in file.assignments}, **values}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), values)
        if missing := sorted(OmegaConf.missing_keys(merged)):
            helps = {f"{prefix}.{key}": key_infos(kind)[key].help for key in missing}
            return None, [Problem(key, f"{key} is missing. {helps[key]}") for key in helps]
        typed: Any = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        return None, [Problem(prefix, f"{prefix}: {str(error).splitlines()[0]}.")]
    for key in ("root", "image_root", "relabel"):
        if isinstance(getattr(typed, key, None), str):
            setattr(typed, key, files.input_path(getattr(typed, key)))
    return typed, []


def _problems_as_single(
    config: TrainConfig,
    typed: Mapping[str, ObjectiveConfig],
    name: str,
    names: Mapping[str, Sequence[str]],
) -> Iterator[Problem]:
    """What would be wrong with a run of one objective, with the keys that it has here."""
    single = dataclasses.replace(config, task=typed[name].task, data=typed[name].data)
    for problem in rules.problems(single, names):
        group = problem.key.split(".")[0]
        if group in ("task", "data"):
            prefix = f"{_KEY}.{name}.{group}"
            key = problem.key.replace(group, prefix, 1)
            yield Problem(key, _with_prefix(problem.message, group, prefix))
        elif problem.message.startswith(("data.", "task.")) or "task" in problem.message:
            yield Problem(problem.key, f"objective {name}: {problem.message}")


def _with_prefix(message: str, group: str, prefix: str) -> str:
    return re.sub(rf"(?<![\w.]){group}\.(?=[a-z])", f"{prefix}.", message)


def _whole_problems(
    config: TrainConfig, task: JointConfig, typed: Mapping[str, ObjectiveConfig]
) -> Iterator[Problem]:
    """What is wrong with all objectives together."""
    if not task.objectives:
        yield Problem(_KEY, f"all of {join_names([*typed])} have weight 0: nothing is learned.")
    elif task.primary is not None and task.primary not in typed:
        yield Problem("task.primary", received("task.primary", task.primary, [*typed]))
        return
    if len(task.objectives) < 2:
        return
    if primary(task) not in task.objectives:
        others = join_names([*task.objectives])
        message = f"task.primary={task.primary} has weight 0. Name one of {others}."
        yield Problem("task.primary", message)
    allowed = monitors(task)
    if task.monitor not in allowed:
        yield Problem("task.monitor", received("task.monitor", task.monitor, allowed))
    if config.recipe == "auto":
        yield Problem(
            "recipe",
            "recipe=auto chooses for one objective, and task=joint has several. Leave it out.",
        )


def monitors(task: JointConfig) -> list[str]:
    """What `task.monitor` of a joint run may be: its whole loss, and each objective's metrics."""
    names = ["val_loss", "loss"]
    for objective, config in task.objectives.items():
        for monitor in task_entry(config.task.name).monitors:
            prefix = "val_" if monitor.startswith("val_") else ""
            names.append(f"{prefix}{objective}_{monitor.removeprefix(prefix)}")
    return names
