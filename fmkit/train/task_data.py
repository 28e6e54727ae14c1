"""A data set in the form that its task trains on, and the metrics that a run can monitor."""

from typing import Any

import numpy as np

from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.task import TaskConfig
from fmkit.core import console
from fmkit.core.errors import ConfigError, DataError, plural, received
from fmkit.core.throttle import Throttle
from fmkit.data.dataset import Dataset
from fmkit.data.loaders import packing
from fmkit.data.loaders.text_loader import Encoded, TokenRows, encoded_dataset
from fmkit.models.backbone import Backbone
from fmkit.train.cache_store import open_store

_SECONDS_PER_MESSAGE = 10.0


def prepare_for_task(
    config: DataConfig, runtime: RuntimeConfig, data: Dataset, task: Any, backbone: Backbone
) -> Dataset:
    """A data set as its task trains on it: packed into windows, or as rows that the task makes.

    Raises:
        ConfigError: the task needs texts, and the backbone reads images.
        DataError: there is no text to learn from.
        ResourceError: the windows cannot be stored.
    """
    if task.input_format == "examples":
        return data
    if backbone.tokenizer is None or backbone.max_length is None:
        raise ConfigError(
            f"task.name={task.name} needs a model of texts; {backbone.name} is not one."
        )
    if task.input_format == "rows":
        return rows_of(data, task, backbone)
    settings = packing.Packing(backbone.tokenizer, backbone.max_length, backbone.is_causal)
    throttle = Throttle(_SECONDS_PER_MESSAGE)

    def report(done: int, total: int) -> None:
        if runtime.verbose and throttle.is_due():
            console.info(f"data: {done / total:.0%} of the texts are tokenized")

    return packing.pack(data, settings, open_store(runtime), config.name, report)


def rows_of(data: Dataset, task: Any, backbone: Backbone) -> Dataset:
    """A data set as the rows that its task makes of the examples.

    Raises:
        DataError: a split has examples, and the task makes no row of any of them.
    """
    rows, example_of, full_lengths = task.encode_rows(
        data.examples, backbone.tokenizer, backbone.max_length
    )
    content = TokenRows(rows, full_lengths, example_of)
    encoded = encoded_dataset(data, Encoded(content, np.asarray(example_of), data.examples))
    for name, members in data.splits.items():
        if len(members) and not len(encoded.splits[name]):
            raise DataError(
                f"none of {plural(len(members), 'example')} of {name} leaves anything to learn "
                f"within model.max_length={backbone.max_length}.",
                "Set a larger model.max_length, or remove these examples.",
            )
    return encoded


def check_monitor(config: TaskConfig, task: Any) -> None:
    """Refuse (ConfigError) a `task.monitor` that the task has no metric for."""
    metrics = task.metrics()
    if isinstance(metrics, dict):  # of a joint task, by objective
        own = [f"{name}_{metric.name}" for name, listed in metrics.items() for metric in listed]
    else:
        own = [metric.name for metric in metrics]
    names = dict.fromkeys(["loss", *own])
    allowed = [f"{prefix}{name}" for name in names for prefix in ("val_", "")]
    allowed += (f"val_{name}" for name in task.epoch_metrics)
    if config.monitor not in allowed:
        raise ConfigError(received("task.monitor", config.monitor, allowed))
