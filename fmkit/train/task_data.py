"""What a task reads of a data set, and which of its figures a run may go by."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config import units
from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.task import TaskConfig
from fmkit.core import console
from fmkit.core.errors import ConfigError, DataError, received
from fmkit.data.dataset import Dataset
from fmkit.data.loaders import packing, token_rows
from fmkit.data.loaders.text_loader import TokenRows
from fmkit.models.backbone import Backbone
from fmkit.store import array_cache

_SILENCE = 10.0  # seconds between two words on how far the packing is


def prepare_for_task(
    config: DataConfig, runtime: RuntimeConfig, data: Dataset, task: Any, backbone: Backbone
) -> Dataset:
    """A data set as its task reads it: packed into windows, or as rows that the task makes.

    Raises:
        ConfigError: the task wants texts, and the backbone reads images.
        DataError: there is no text to learn from.
        ResourceError: the windows cannot be kept.
    """
    if task.input_format == "examples":
        return data
    if backbone.tokenizer is None or backbone.max_length is None:
        raise ConfigError(f"task.name={task.name} needs a model of texts; {backbone.name} is none.")
    if task.input_format == "rows":
        return rows_of(data, task, backbone)
    root = Path(runtime.cache_dir) if runtime.cache_dir else array_cache.default_folder()
    store = array_cache.FeatureStore(root, units.parse_bytes(runtime.cache_limit, units.LIMIT))
    settings = packing.Packing(backbone.tokenizer, backbone.max_length, backbone.is_causal)
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if runtime.verbose and time.monotonic() >= told + _SILENCE:
            told = time.monotonic()
            console.info(f"data: {done / total:.0%} of the texts are tokens")

    return packing.pack(data, settings, store, config.name, tell)


def rows_of(data: Dataset, task: Any, backbone: Backbone) -> Dataset:
    """A data set as rows that its task makes.

    Raises:
        DataError: a split has examples, and the task makes no row of any of them.
    """
    rows, origin, uncut = task.encode_rows(data.examples, backbone.tokenizer, backbone.max_length)
    content = token_rows.Encoded(TokenRows(rows, uncut, origin), np.asarray(origin), data.examples)
    made = token_rows.encoded_dataset(data, content)
    for name, members in data.splits.items():
        if len(members) and not len(made.splits[name]):
            raise DataError(
                f"none of the {len(members):,} examples of {name} leaves anything to learn within "
                f"model.max_length={backbone.max_length}.",
                "Set a larger model.max_length, or leave these examples out.",
            )
    return made


def check_monitor(config: TaskConfig, task: Any) -> None:
    """Refuse to go by a figure that the task does not have.

    Raises:
        ConfigError: `task.monitor` names one.
    """
    metrics = task.metrics()
    there = ["loss", *(each.name for each in metrics if not isinstance(metrics, dict))]
    if isinstance(metrics, dict):  # of a joint task
        there += [f"{name}_{each.name}" for name, those in metrics.items() for each in those]
    allowed = [f"{prefix}{name}" for name in dict.fromkeys(there) for prefix in ("val_", "")]
    allowed += (f"val_{name}" for name in task.epoch_metrics)
    if config.monitor not in allowed:
        raise ConfigError(received("task.monitor", config.monitor, allowed))
