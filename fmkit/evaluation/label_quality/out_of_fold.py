"""Features of a data set's examples by a frozen, pretrained backbone, and outputs out of fold.

They go through what a run with `stage=frozen` goes through: the feature cache, the folds and the
solver of its head. So such a run on the same data afterwards reads the features, and a check after
a run does. A network that was fine-tuned would not do: it has learned the wrong labels.

N examples, D features, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmkit.config import registry
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import TaskConfig
from fmkit.core.errors import DataError, ResourceError
from fmkit.data.dataset import Dataset
from fmkit.data.stratify import strata
from fmkit.tasks import cross_validation, linear_problems
from fmkit.tasks.cross_validation import CrossValidation
from fmkit.train import assemble, build_model, devices, freeze
from fmkit.train.assemble import Assembly
from fmkit.train.features import cache, graph_cut

_PHASE = "head"


@dataclass(frozen=True)
class BackboneFeatures:
    """What a backbone says of the examples of a data set.

    Attributes:
        values: features of each example, (N, D) float32.
        record: what was computed and how, as a run's status has it.
    """

    assembly: Assembly
    values: np.ndarray
    record: dict[str, Any]


def features(
    data: Dataset, config: DataConfig, model: ModelConfig, task: TaskConfig,
    runtime: RuntimeConfig, on_batch: Callable[[int, int], None],
) -> BackboneFeatures:  # fmt: skip
    """The features of all examples that are in a split, from the cache or computed now.

    Args:
        data: with labels that `task` learns.
        on_batch: called with the batches that are done and those of the split; it may raise.

    Raises:
        ConfigError: the model does not read such data.
        ResourceError: its features cannot be cached.
    """
    stage = {_PHASE: PhaseConfig(train="head", augment="none", solver="cross_validation")}
    model.image_size = build_model.image_size(model, data.examples)
    train_config = TrainConfig(
        model=model,
        data=config,
        optimizer=registry.config_class("optimizer", "adamw")(),
        stage=stage,
        task=task,
        runtime=runtime,
    )
    assembly = assemble.assemble(train_config, data, devices.prepare(runtime))
    (phase,) = assembly.phases
    with assembly.scope(), assembly.explained_errors():
        freeze.apply(assembly.model, assembly.backbone, phase)
        graph_cut.freeze_inference(assembly.model)
        prepared = cache.prepare(assembly, phase, on_batch)
    problem = prepared if isinstance(prepared, str) else ""
    if not isinstance(prepared, str) and [len(s) for s in prepared.graph_split.shapes] != [1]:
        problem = "they are more than one vector an example"
    if isinstance(prepared, str) or problem:
        raise ResourceError(
            f"label_errors needs cached features of model={model.name}: {problem}.",
            "Name another model, or another folder with runtime.cache_dir=DIR.",
        )
    values = np.zeros((len(data.examples), *prepared.graph_split.shapes[0]), np.float32)
    for split, views in prepared.arrays.items():
        values[data.splits[split]] = views[0].tensor(0)
    return BackboneFeatures(assembly, values, prepared.record)


def cross_validate(backbone: BackboneFeatures, positions: np.ndarray) -> CrossValidation:
    """Outputs for each example by linear heads that have not seen it, and how good they are.

    All examples count, those of the test split, too: their labels may be wrong as well, and nothing
    of this reaches a run.

    Args:
        positions: of the examples that have features, (N,).

    Raises:
        DataError: the examples cannot be divided into folds.
    """
    assembly = backbone.assembly
    examples = assembly.examples
    stratum = strata(examples)[0][positions]
    groups = None if examples.groups is None else examples.groups[positions]
    if problem := cross_validation.problem_with(stratum, groups):
        raise DataError(
            f"label_errors needs folds of the examples, and {problem}.", "Add examples."
        )
    targets = np.asarray(assembly.task.targets(examples)[positions])
    return cross_validation.choose(
        assembly.task.linear_problem(targets), backbone.values[positions], stratum, groups,
        assembly.config.runtime.seed, linear_problems.SCALINGS,
    )  # fmt: skip
