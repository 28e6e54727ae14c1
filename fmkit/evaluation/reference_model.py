"""The reference model of preference tuning (DPO), rebuilt to evaluate a run on other examples."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import keras
import numpy as np

from fmkit.config import saved_config
from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import ArtifactError
from fmkit.data.dataset import Dataset
from fmkit.evaluation.load_run import LoadedRun
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
    """Give a task that needs them the reference model's outputs for some examples.

    For examples of the training run they are in the cache. For others the reference model, which
    has the weights that training started from, is built again.

    Args:
        trained: the run's model.
        config: of the data.
        runtime: says where the cache is.
        data: in the task's input format.
        splits: positions of the examples, by the split's name.

    Raises:
        ArtifactError: the weights that the run started from have changed or are gone.
    """
    if not trained.task.needs_reference:
        return
    run = trained.run
    config_of_run = saved_config.train_config(run.config())
    record = run.json(run_dir.ENVIRONMENT).get("reference")
    weights = record.get("weights") if isinstance(record, dict) else None
    if not isinstance(weights, str):
        raise ArtifactError(
            f"run {run.folder}: {run_dir.ENVIRONMENT} does not record the weights of "
            "the reference model."
        )
    machine = devices.prepare(runtime)
    reference = reference_outputs.Reference(
        weights, config_of_run.model, config.name, config.batch_size, runtime, machine,
        trained.task.name, config_of_run.plugins,
    )  # fmt: skip

    loader = build_model.open_loader(config, runtime, data.examples, trained.task, trained.backbone)
    build = partial(_build_reference_model, trained, data, weights)
    outputs = reference.of_splits(loader, splits, len(data.examples), build)
    trained.task.set_reference_outputs(outputs)


def _build_reference_model(trained: LoadedRun, data: Dataset, weights: str) -> keras.Model:
    """The network of a run with the weights that it started from.

    Raises:
        ArtifactError: they have changed or are gone.
    """
    run = trained.run
    config = saved_config.train_config(run.config())
    keras.utils.set_random_seed(config.runtime.seed)  # new layers get the weights they had then
    if (run.folder / run_dir.TOKENIZER).is_dir() and config.model.tokenizer is not None:
        config.model.tokenizer = str(run.folder / run_dir.TOKENIZER)
    backbone, task, model = build_model.build_model(config.model, config.task, trained.spec)
    if config.init is not None:
        planned = phases.plan(config.stage, config.optimizer, 1)
        objective = Objective("", config.data, task, model, None, data)
        init_from_run.start_from(
            RunReader(Path(config.init)), config, [objective], backbone, model, planned
        )
    if reference_outputs.fingerprint(backbone, model) != weights:
        raise ArtifactError(
            f"run {run.id}: the weights that it started from, which are the reference model of "
            f"task.name={task.name}, have changed.",
            "Put the original files back.",
        )
    return model
