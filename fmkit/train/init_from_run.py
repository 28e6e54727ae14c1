"""`init=RUN`: starts from the weights of another run, its backbone and the heads that fit."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from fmkit.config import objectives as objectives_config
from fmkit.config import saved_config
from fmkit.config.registry import head_owner
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import JointConfig
from fmkit.core import console
from fmkit.core.errors import ArtifactError, ConfigError, join_names
from fmkit.core.types import DataSpec
from fmkit.models import lora
from fmkit.models.backbone import Backbone
from fmkit.models.heads import HEAD_PREFIXES, LENGTH
from fmkit.models.tokenizers import tokenizer as tokenizers
from fmkit.models.weights.formats import open_weights
from fmkit.store import run_dir
from fmkit.store.run_reader import RunReader
from fmkit.tasks import joint
from fmkit.train.checkpoints import checkpoint, variables
from fmkit.train.objective import Objective
from fmkit.train.phases import Phase
from fmkit.train.task_model import TaskModel

_LARGEST_IMAGE = 8192  # pixels
_RANDOM_STATE = "seed_generator_state"
"""How the paths of dropout's random states end: a new run has its own seed."""


def best_checkpoint(run: RunReader) -> checkpoint.Checkpoint:
    """A run's best checkpoint, verified, its weights unread; ArtifactError if it is not whole."""
    chosen = checkpoint.best_or_newest(run.checkpoints, run.best_step())
    with open_weights(chosen.folder / checkpoint.WEIGHTS):
        return chosen


def check_sizes(chosen: checkpoint.Checkpoint, model: ModelConfig, classes: int) -> None:
    """Refuse (ArtifactError) a config with sizes far larger than any array of its checkpoint."""
    with open_weights(chosen.folder / checkpoint.WEIGHTS) as arrays:
        sides = {side for shape in arrays.shapes.values() for side in shape}
    sizes = {
        "classes": classes,
        "model.hidden": model.hidden,
        "model.lora_rank": model.lora_rank or 0,
    }
    wrong = [f"{key} {size:,}" for key, size in sizes.items() if size > 1000 and size not in sides]
    if (model.image_size or 0) > _LARGEST_IMAGE:
        wrong.append(f"model.image_size {model.image_size:,}")
    if wrong:
        raise ArtifactError(
            f"run {chosen.folder.parent.parent}: its record asks for {join_names(wrong)}, and its "
            "checkpoint is not one of such a model."
        )


def start_from(
    run: RunReader,
    config: TrainConfig,
    objectives: Sequence[Objective],
    backbone: Backbone,
    model: TaskModel,
    planned: list[Phase],
) -> tuple[dict[str, str], dict[str, Any]]:
    """Load the weights of another run: by phase, why it is skipped; and what to record.

    Raises:
        ArtifactError: the run is gone, or damaged.
        ConfigError: it has another model, or other tokens.
    """
    before = _open_same_model(run, config, backbone)
    weights = checkpoint.read_weights(best_checkpoint(run))
    paths = learned_paths(model)
    if not lora.same_adapters(before, config.model):
        if before.lora_rank:
            console.info(f"init: the adapters of {run.id} are merged into its kernels.")
        weights = lora.merge_weights(weights, before)
        paths = {path for path in paths if not lora.is_adapter_path(path)}
    variables.assign(model, weights, {path for path in paths if not path.startswith(HEAD_PREFIXES)})
    has_head = _load_heads(run, weights, model, objectives)
    has_all = all(has_head.values())
    record = {"init": str(run.folder), "head": has_all}
    if not has_all:
        reason = _why_heads_are_new(run, config, objectives, has_head)
        console.info(f"init: backbone from {run.id}; {reason}.")
        return {}, record
    head_phases = [phase.name for phase in planned if phase.train == "head"]
    if len(head_phases) == len(planned):
        console.info(f"init: backbone and head from {run.id}; the head is trained further.")
        return {}, record
    for name in head_phases:
        console.info(f"init: phase {name} is skipped, since {run.id} has trained this head.")
    return dict.fromkeys(head_phases, f"trained in {run.id}"), record


def _open_same_model(run: RunReader, config: TrainConfig, backbone: Backbone) -> ModelConfig:
    """The model's config of a run that has the same model, and the same tokens where it has any."""
    if not run.folder.is_dir():
        raise ArtifactError(
            f"init: {run.folder}, the run to start from, is gone.",
            "Put it back where it was, or set init to a run that exists.",
        )
    run.warn_if_unfinished()
    before: ModelConfig = saved_config.section(run.config(), "model")
    if before.name != config.model.name:
        raise ConfigError(
            f"init: run {run.id} has the model {before.name!r}, this one {config.model.name!r}.",
            "Remove model= to use the run's model, or remove init=.",
        )
    folder, tokenizer = run.folder / run_dir.TOKENIZER, backbone.tokenizer
    if (
        tokenizer is not None
        and folder.is_dir()
        and tokenizers.load(folder).fingerprint() != tokenizer.fingerprint()
    ):
        setting = saved_config.shell_setting("model.tokenizer", str(folder))
        raise ConfigError(  # each token would get another one's vector
            f"init: run {run.id} was trained with another tokenizer than this model has.",
            f"Use the run's: {setting}, or remove model=.",
        )
    return before


def _why_heads_are_new(
    run: RunReader,
    config: TrainConfig,
    objectives: Sequence[Objective],
    has_head: Mapping[str, bool],
) -> str:
    """Which heads are new, and of a single one why."""
    if len(objectives) > 1:
        fitting = [name for name, fits in has_head.items() if fits]
        return f"of its heads {join_names(fitting) or 'none'} fits, and the others are new"
    reason, task = "head has another shape", saved_config.section(run.config(), "task").name
    heads = {head_owner(name) for name in (task, config.task.name)}
    if len(heads) > 1 and task != JointConfig.name:
        reason = f"task is {task}"
    elif _outputs(run.spec()) != _outputs(objectives[0].data.spec):
        names = run.spec().classes or run.spec().names
        reason = f"classes are {join_names(names, 6)}" if names else "data has no classes"
    return f"the head is new, since that run's {reason}"


def _load_heads(
    run: RunReader,
    weights: dict[str, np.ndarray],
    model: TaskModel,
    objectives: Sequence[Objective],
) -> dict[str, bool]:
    """Load each head that a run has; by objective, whether it had one.

    A head is the same when tasks have the same head, classes are the same, and its layers have the
    same names and shapes. Of a joint run the objective of the same name comes first, then the
    primary one.
    """
    before = saved_config.section(run.config(), "task")
    sources: list[str | None] = [None]
    if isinstance(before, JointConfig):
        primary = objectives_config.primary(before)
        sources = sorted(before.objectives, key=lambda name: name != primary)
    has_head = {}
    for number, objective in enumerate(objectives):
        head = _head_variables(model, objectives, number)
        has_head[objective.name] = False
        for source in sorted(sources, key=lambda name: name != objective.name):
            task, part = saved_config.task_of(before, source)
            values = weights if part is None else joint.weights_of(part, weights)
            same_outputs = _outputs(run.spec(part)) == _outputs(objective.data.spec)
            values = {LENGTH: np.zeros((), np.float32), **values}  # runs before 0.5 have none
            same_features = LENGTH in head or not values[LENGTH] > 0
            same_head = head_owner(task.name) == head_owner(objective.task.name)
            same_shapes = all(
                path in values and values[path].shape == tuple(variable.shape)
                for path, variable in head.items()
            )
            if same_outputs and same_head and same_features and same_shapes:
                for path, variable in head.items():
                    variable.assign(values[path])
                has_head[objective.name] = True
                break
    return has_head


def _outputs(spec: DataSpec) -> tuple[object, ...]:
    """What the outputs of a head stand for."""
    return spec.classes, spec.annotations, spec.names


def _head_variables(
    model: TaskModel, objectives: Sequence[Objective], number: int
) -> dict[str, Any]:
    """The learned variables of an objective's head, by their paths in a run of it alone."""
    prefixes = [f"{joint.PREFIX}{objective.name}/" for objective in objectives]
    prefix = prefixes[number] if number else ""
    others = () if number else (*prefixes[1:], f"{joint.WEIGHTING}/")
    learned = learned_paths(model)
    return {
        path.removeprefix(prefix): variable
        for path, variable in variables.by_path(model.variables).items()
        if path in learned and path.startswith(HEAD_PREFIXES)
        if path.startswith(prefix) and not path.startswith(others)
    }


def learned_paths(model: keras.Model) -> set[str]:
    """Paths of what a model has learned: all its variables but the states of random generators."""
    paths = variables.by_path(model.variables)
    return {path for path in paths if not path.endswith(_RANDOM_STATE)}
