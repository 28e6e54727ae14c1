"""What a run's network said at its start, for examples that the run is judged on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from fmkit.config import recorded
from fmkit.config.data_schema import DataConfig
from fmkit.config.schema import RuntimeConfig
from fmkit.data.dataset import Dataset
from fmkit.errors import ArtifactError
from fmkit.evaluate.loaded import Trained, open_data
from fmkit.store import run as names
from fmkit.store.finished import FinishedRun
from fmkit.train import ancestor, building, devices, phases, reference
from fmkit.train.part import Part


def tell(
    trained: Trained,
    config: DataConfig,
    runtime: RuntimeConfig,
    data: Dataset,
    splits: Mapping[str, np.ndarray],
) -> None:
    """Let a task that compares with the model of the start know what that says of examples.

    Of examples that the run has seen it is in the cache; else the model of the start is built again
    from what the run started from.

    Args:
        trained: the run's model.
        config: of the data.
        runtime: says where the cache is.
        data: as the task reads it.
        splits: the examples, by split's name.

    Raises:
        ArtifactError: the weights that the run started from are not what they were.
    """
    if not hasattr(trained.task, "begin"):
        return
    run = trained.run
    whole = recorded.whole(run.config())
    known = run.json(names.ENVIRONMENT).get("reference")
    weights = known.get("weights") if isinstance(known, dict) else None
    if not isinstance(weights, str):
        raise ArtifactError(f"run {run.folder}: {names.ENVIRONMENT} does not say what it began as.")
    machine = devices.prepare(runtime)
    asked = reference.Reference(
        weights, whole.model, config.name, config.batch_size, runtime, machine, trained.task.name,
        whole.plugins,
    )  # fmt: skip

    def network() -> keras.Model:
        return _as_it_began(trained, data, weights)

    loader = open_data(config, runtime, data, trained)
    trained.task.begin(asked.of_splits(loader, splits, len(data.examples), network))


def _as_it_began(trained: Trained, data: Dataset, weights: str) -> keras.Model:
    """The network of a run with the weights that it started from.

    Raises:
        ArtifactError: they are gone, or others.
    """
    run = trained.run
    config = recorded.whole(run.config())
    keras.utils.set_random_seed(config.runtime.seed)  # of what was random then
    if (run.folder / names.TOKENIZER).is_dir() and config.model.tokenizer is not None:
        config.model.tokenizer = str(run.folder / names.TOKENIZER)
    backbone, task, learner = building.build_model(config.model, config.task, trained.spec)
    if config.init is not None:
        planned = phases.plan(config.stage, config.optimizer, 1)
        part = Part("", config.data, task, learner, None, data)
        ancestor.start_from(
            FinishedRun(Path(config.init)), config, [part], backbone, learner, planned
        )
    if reference.fingerprint(backbone, learner) != weights:
        raise ArtifactError(
            f"run {run.id}: the weights that it started from, which task.name={task.name} compares "
            "with, are not what they were.",
            "Put them back where they were.",
        )
    return learner
