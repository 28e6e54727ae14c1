"""A run that another one starts from: its best checkpoint, its backbone, the heads that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from fmkit.config import objectives, saved_config
from fmkit.config.registry import head_owner
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import JointConfig
from fmkit.core import console
from fmkit.core.errors import ArtifactError, ConfigError, join_names
from fmkit.core.types import DataSpec, Tokenizer
from fmkit.models import lora
from fmkit.models.backbone import Backbone
from fmkit.models.tokenizers import tokenizer as tokenizers
from fmkit.models.weights.formats import open_weights
from fmkit.store import run_dir
from fmkit.store.run_reader import RunReader
from fmkit.tasks import joint
from fmkit.train.checkpoints import checkpoint, variables
from fmkit.train.objective import Objective
from fmkit.train.phases import Phase
from fmkit.train.task_model import TaskModel


def best_checkpoint(run: RunReader) -> checkpoint.Checkpoint:
    """A run's best checkpoint, verified, and its weights' file checked without reading them.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    chosen = checkpoint.choose(run.checkpoints, run.best_step())
    with open_weights(chosen.folder / checkpoint.WEIGHTS):
        return chosen


def check_sizes(chosen: checkpoint.Checkpoint, model: ModelConfig, classes: int) -> None:
    """Refuse a record that asks for a network far larger than its checkpoint, before it is built.

    Raises:
        ArtifactError: a size in the run's config has no array of that size in the checkpoint.
    """
    with open_weights(chosen.folder / checkpoint.WEIGHTS) as arrays:
        sides = {side for shape in arrays.shapes.values() for side in shape}
    asked = {"classes": classes, "model.hidden": model.hidden, "model.lora_rank": model.lora_rank}
    wrong = [f"{key} {size:,}" for key, size in asked.items() if size > 1000 and size not in sides]
    if (model.image_size or 0) > _LARGEST_IMAGE:
        wrong.append(f"model.image_size {model.image_size:,}")
    if wrong:
        raise ArtifactError(
            f"run {chosen.folder.parent.parent}: its record asks for {join_names(wrong)}, and its "
            "checkpoint is none of such a model."
        )


def start_from(
    run: RunReader,
    config: TrainConfig,
    parts: Sequence[Objective],
    backbone: Backbone,
    learner: TaskModel,
    planned: list[Phase],
) -> tuple[dict[str, str], dict[str, Any]]:
    """Take the weights of another run; the phases to skip, and what to record.

    Raises:
        ArtifactError: the run is gone, or damaged.
        ConfigError: it has another model, or other tokens.
    """
    if not run.folder.is_dir():
        raise ArtifactError(
            f"init: {run.folder}, the run whose weights are started from, is gone.",
            "Put it back where it was.",
        )
    run.warn_if_unfinished()
    before = saved_config.section(run.config(), "model")
    if before.name != config.model.name:
        raise ConfigError(
            f"init: run {run.id} has the model {before.name!r}, this one {config.model.name!r}.",
            "Leave model= out to take the run's model, or leave init= out.",
        )
    if backbone.tokenizer is not None:
        _require_same_tokens(run, backbone.tokenizer)
    weights = checkpoint.read_weights(best_checkpoint(run))
    taken = learned(learner)
    if not lora.same_adapters(before, config.model):
        if before.lora_rank:
            console.info(f"init: the adapters of {run.id} are merged into its kernels.")
        weights = lora.merge_weights(weights, before)
        taken = {each for each in taken if not lora.is_adapter_path(each)}
    variables.assign(learner, weights, {each for each in taken if not _is_head(each)})
    heads = _heads_from(run, weights, learner, parts)
    same = all(heads.values())
    record = {"init": str(run.folder), "head": same}
    if not same:
        console.info(f"init: backbone from {run.id}; {_why_not(run, config, parts, heads)}.")
        return {}, record
    head_phases = [each.name for each in planned if each.train == "head"]
    others = [each for each in planned if each.train != "head"]
    if not others:
        console.info(f"init: backbone and head from {run.id}; the head trains on.")
        return {}, record
    for each in head_phases:
        console.info(f"init: phase {each} is skipped, since {run.id} has trained this head.")
    return dict.fromkeys(head_phases, f"trained in {run.id}"), record


def _why_not(
    run: RunReader, config: TrainConfig, parts: Sequence[Objective], heads: Mapping[str, bool]
) -> str:
    """Which heads are new, and of a single one why."""
    if len(parts) > 1:
        fitting = [name for name, fits in heads.items() if fits]
        return f"of its heads {join_names(fitting) or 'none'} fits, and the others are new"
    why, task = "head has another shape", saved_config.section(run.config(), "task").name
    known = {head_owner(each) for each in (task, config.task.name)}
    if len(known) > 1 and task != JointConfig.name:
        why = f"task is {task}"
    elif _outputs(run.spec()) != _outputs(parts[0].spec):
        shown = run.spec().classes or run.spec().names
        why = f"classes are {join_names(shown, 6)}" if shown else "data has no classes"
    return f"the head is new, since that run's {why}"


def _heads_from(
    run: RunReader, weights: dict[str, np.ndarray], learner: TaskModel, parts: Sequence[Objective]
) -> dict[str, bool]:
    """Take each head that a run has; by objective, whether it had one.

    A head is the same when tasks have the same head, classes are the same, and its layers have the
    same names and shapes. Of a joint run the objective of the same name comes first, then the
    primary one.
    """
    before, found = saved_config.section(run.config(), "task"), {}
    sources: list[str | None] = [None]
    if isinstance(before, JointConfig):
        sources = sorted(before.objectives, key=lambda each: each != objectives.primary(before))
    for number, part in enumerate(parts):
        own, found[part.name] = _head_of(learner, parts, number), False
        for source in sorted(sources, key=lambda each: each != part.name):
            task, objective = saved_config.task_of(before, source)
            values = weights if objective is None else joint.weights_of(objective, weights)
            fits = all(
                path in values and values[path].shape == tuple(variable.shape)
                for path, variable in own.items()
            )
            same = head_owner(task.name) == head_owner(part.task.name)
            same &= _outputs(run.spec(objective)) == _outputs(part.spec)
            if fits and same:
                for path, variable in own.items():
                    variable.assign(values[path])
                found[part.name] = True
                break
    return found


def _outputs(spec: DataSpec) -> tuple[object, ...]:
    """What a head is made for."""
    return spec.classes, spec.annotations, spec.names


def _head_of(learner: TaskModel, parts: Sequence[Objective], number: int) -> dict[str, Any]:
    """The learned variables of a part's head, by the paths that they have in a run of its own."""
    prefixes = [f"{joint.PREFIX}{each.name}/" for each in parts]
    known = learned(learner)
    heads = {path: each for path, each in variables.by_path(learner.variables).items()
             if path in known and _is_head(path)}  # fmt: skip
    if number:
        own = prefixes[number]
        return {
            path.removeprefix(own): each for path, each in heads.items() if path.startswith(own)
        }
    others = (*prefixes[1:], f"{joint.WEIGHTING}/")
    return {path: each for path, each in heads.items() if not path.startswith(others)}


def learned(model: keras.Model) -> set[str]:
    """Paths of what a model has learned: all its variables but the states of random draws."""
    paths = variables.by_path(model.variables)
    return {each for each in paths if not each.endswith(_RANDOM_STATE)}


def _require_same_tokens(run: RunReader, tokenizer: Tokenizer) -> None:
    """Refuse to go on with other tokens: each would get another one's vector.

    Raises:
        ConfigError: the run had another tokenizer.
        ArtifactError: the run's record of it is damaged.
    """
    folder = run.folder / run_dir.TOKENIZER
    if folder.is_dir() and tokenizers.load(folder).fingerprint() != tokenizer.fingerprint():
        raise ConfigError(
            f"init: run {run.id} was trained with another tokenizer than this model has.",
            f"Take the run's: model.tokenizer={folder}, or leave model= out.",
        )


_LARGEST_IMAGE = 8192  # pixels
_RANDOM_STATE = "seed_generator_state"
"""How the paths of dropout's random states end: a new run draws by its own seed."""


def _is_head(path: str) -> bool:
    first = path.split("/")[0]
    return first.startswith(("head_", "logits"))
