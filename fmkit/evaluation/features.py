"""Features of examples: what the head of a run's trained network reads, a vector for each.

They are those of the final weights, of the backbone and of a hidden layer of the head where there
is one; those of a frozen, pretrained backbone are `fmkit.train.features`.

N examples, B batch, D features.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fmkit.config import saved_config
from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core import registry
from fmkit.core.errors import ConfigError
from fmkit.core.modalities import modality_entry
from fmkit.data import dataset
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.evaluation import run_data
from fmkit.evaluation.inference import Inference
from fmkit.evaluation.load_run import LoadedRun
from fmkit.models import heads
from fmkit.models.backbone import Backbone
from fmkit.models.keras_internals import graph_nodes
from fmkit.train import build_model


@dataclass(frozen=True)
class SplitFeatures:
    """The examples of a split with their features.

    Attributes:
        examples: with ids, labels and content, N.
        values: (N, D) float32, in the order of the examples.
    """

    examples: Examples
    values: np.ndarray


class FeatureExtractor:
    """Computes features by a trained run's network, batch by batch, with progress.

    What runs the network is chosen as for predictions (`runtime.extractor`) and serves all calls.

    Args:
        trained: from `load_run.load`.
        outputs_too: `inference` gives the network's outputs first and then the features.

    Attributes:
        inference: the network that gives features, and what runs it.

    Raises:
        ConfigError: the run's task has no vector for each example.
    """

    def __init__(self, trained: LoadedRun, outputs_too: bool = False) -> None:
        self._trained = trained
        features = feature_tensor(trained.model, trained.task, trained.backbone)
        outputs = [*trained.inference.model.outputs] if outputs_too else []
        own = trained.inference
        network = keras.Model(trained.model.inputs[0], [*outputs, features], name="features")
        self.inference = Inference(network, own.extractor, own.kind, own.precision)

    @property
    def width(self) -> int:
        """D."""
        return int(self.inference.model.outputs[-1].shape[-1])

    def of_loader(self, loader: Any, indices: np.ndarray) -> np.ndarray:
        """Features (N, D) float32 of the examples of a loader at `indices`, in that order."""
        if not len(indices):
            return np.zeros((0, self.width), np.float32)
        noun, batch = modality_entry(self._trained.spec.modality).plural, loader.ordered_batch_size
        with self._trained.progress(noun, len(indices), batch, title="features") as progress:
            arrays = self.inference.all_outputs(loader, indices, [progress])
        return arrays[-1].astype(np.float32, copy=False)

    def of_examples(
        self, data: Dataset, indices: np.ndarray, config: DataConfig, runtime: RuntimeConfig
    ) -> np.ndarray:
        """Features (N, D) float32 of the examples of a data set at `indices`, in that order.

        Args:
            data: the data set; its labels are not looked at.
            indices: positions of the examples.
            config: of the data, which says how its examples are read.
            runtime: says where the cache of decoded photos is.

        Raises:
            DataError: a file is broken.
        """
        trained = self._trained
        data = dataset.with_grey_range(data, getattr(config, "grey_range", None), trained.spec)
        loader = build_model.open_loader(
            config, runtime, data.examples, trained.task, trained.backbone
        )
        try:
            return self.of_loader(loader, indices)
        except Exception as error:
            data_error = loader.data_error(error)
            if data_error is None:
                raise
            raise data_error from error

    def of_split(
        self,
        split: str,
        runtime: RuntimeConfig,
        objective: str | None = None,
        limit: int | None = None,
    ) -> SplitFeatures:
        """Features of a split of the data that the run was trained on.

        Args:
            split: `train`, `val`, `test`, or `all` for the whole data.
            runtime: says where the cache is, and whether progress is shown.
            objective: of a joint run: the one whose network was loaded.
            limit: of examples, which are evenly spaced then; None: all.

        Raises:
            DataError: the data cannot be read any more, or has no such split.
        """
        run = self._trained.run
        read = run_data.read_own_split(run, runtime, split, objective)
        indices = evenly_spaced(read.data.splits[read.split], limit)
        config = saved_config.section(saved_config.for_objective(run.config(), objective), "data")
        values = self.of_examples(read.data, indices, config, runtime)
        return SplitFeatures(read.data.examples.take(indices), values)

    def of_inputs(self, inputs: Any, batch_size: int = 32) -> np.ndarray:
        """Features (N, D) float32 of new photos or texts; NaN where one cannot be read.

        Args:
            inputs: as the modality's `read_inputs` or `values_to_inputs` gives them.
            batch_size: inputs per step.
        """
        code = modality_entry(self._trained.spec.modality).outputs
        if not code:
            raise ConfigError(f"run {self._trained.run.id}: new inputs have no features.")
        arrays, _ = registry.load(code)(self._trained, self.inference, inputs, batch_size)
        values: np.ndarray = arrays[-1].astype(np.float32)
        return values


def evenly_spaced(indices: np.ndarray, limit: int | None) -> np.ndarray:
    """At most `limit` of some positions, the same ones each time; None: all."""
    if limit is None or len(indices) <= limit:
        return indices
    return indices[np.linspace(0, len(indices) - 1, limit).round().astype(np.int64)]


def with_outputs(model: keras.Model, task: Any, backbone: Backbone) -> keras.Model:
    """The network of a task that gives its outputs and then the features.

    Raises:
        ConfigError: the task has none for an example.
    """
    tensors = [*model.outputs, feature_tensor(model, task, backbone)]
    return keras.Model(model.inputs[0], tensors, name="features")


def feature_tensor(model: keras.Model, task: Any, backbone: Backbone) -> Any:
    """The symbolic features (B, D) of a task's network.

    Raises:
        ConfigError: the task has none for an example.
    """
    if task.features is not None:
        return task.features
    if task.input_format != "examples" or len(model.inputs) > 1:
        raise ConfigError(
            f"task={task.name} has no vector of features for each example.",
            "Features are those of classification, multi_label, regression and of runs that "
            "learned without labels.",
        )
    for node in graph_nodes(model):  # a layer may be in other graphs, too
        read = node.arguments.keras_tensors
        if node.operation.name == heads.LOGITS and len(read) == 1 and len(read[0].shape) == 2:
            return read[0]
    return heads.pool(backbone)  # of a plugin's head
