"""What a run's network said at its start, for examples that the run is judged on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from fmkit.config import saved_config
from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import ArtifactError
from fmkit.data.dataset import Dataset
from fmkit.evaluation.load_run import LoadedRun, open_data
from fmkit.store import run_dir
from fmkit.store.run_reader import RunReader
from fmkit.train import build_model, devices, init_from_run, phases, reference_outputs
from fmkit.train.objective import Objective


def set_reference(
    trained: LoadedRun,
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
    if not trained.task.needs_reference:
        return
    run = trained.run
    whole = saved_config.train_config(run.config())
    known = run.json(run_dir.ENVIRONMENT).get("reference")
    weights = known.get("weights") if isinstance(known, dict) else None
    if not isinstance(weights, str):
        raise ArtifactError(
            f"run {run.folder}: {run_dir.ENVIRONMENT} does not say what it began as."
        )
    machine = devices.prepare(runtime)
    asked = reference_outputs.Reference(
        weights, whole.model, config.name, config.batch_size, runtime, machine, trained.task.name,
        whole.plugins,
    )  # fmt: skip

    def network() -> keras.Model:
        return _as_it_began(trained, data, weights)

    loader = open_data(config, runtime, data, trained)
    trained.task.set_reference_outputs(asked.of_splits(loader, splits, len(data.examples), network))


def _as_it_began(trained: LoadedRun, data: Dataset, weights: str) -> keras.Model:
    """The network of a run with the weights that it started from.

    Raises:
        ArtifactError: they are gone, or others.
    """
    run = trained.run
    config = saved_config.train_config(run.config())
    keras.utils.set_random_seed(config.runtime.seed)  # of what was random then
    if (run.folder / run_dir.TOKENIZER).is_dir() and config.model.tokenizer is not None:
        config.model.tokenizer = str(run.folder / run_dir.TOKENIZER)
    backbone, task, learner = build_model.build_model(config.model, config.task, trained.spec)
    if config.init is not None:
        planned = phases.plan(config.stage, config.optimizer, 1)
        part = Objective("", config.data, task, learner, None, data)
        init_from_run.start_from(
            RunReader(Path(config.init)), config, [part], backbone, learner, planned
        )
    if reference_outputs.fingerprint(backbone, learner) != weights:
        raise ArtifactError(
            f"run {run.id}: the weights that it started from, which task.name={task.name} compares "
            "with, are not what they were.",
            "Put them back where they were.",
        )
    return learner
