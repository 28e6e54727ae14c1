"""Builds a backbone with a head, the loader of its batches, and the model to deploy."""

from collections.abc import Sequence
from typing import Any

import keras

from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.task import TaskConfig
from fmkit.core.modalities import modality_entry
from fmkit.core.registry import load
from fmkit.core.types import DataSpec
from fmkit.data.examples import Examples
from fmkit.data.images.image_size import input_side
from fmkit.data.loaders.base import Loader
from fmkit.models import heads, lora
from fmkit.models import registry as model_registry
from fmkit.models.backbone import Backbone
from fmkit.tasks import registry as task_registry
from fmkit.train.task_model import TaskModel


def image_size(config: ModelConfig, examples: Examples) -> int | None:
    """The side of the model's input in pixels; None leaves it to the backbone."""
    default = model_registry.default_image_size(config.name)
    if config.image_size or default is None:
        return config.image_size
    return input_side(examples.content, default)


def build_model(
    model_config: ModelConfig, task_config: TaskConfig, spec: DataSpec
) -> tuple[Backbone, Any, TaskModel]:
    """Backbone, task and the network that joins them; with LoRA, fresh adapters in the backbone."""
    backbone = build_backbone(model_config, [spec])
    task = task_registry.build(task_config, spec)
    outputs = task.head(backbone, model_config)
    return backbone, task, network([backbone.model.input, *task.extra_inputs], outputs, task)


def build_backbone(config: ModelConfig, specs: Sequence[DataSpec]) -> Backbone:
    """The backbone that a config names; ConfigError where it does not read data of this kind."""
    backbone = model_registry.build(config)
    for spec in specs:
        if backbone.modality != spec.modality:
            raise model_registry.wrong_modality(config, backbone.modality, spec.modality)
    lora.add_adapters(backbone, config)
    return backbone


def network(inputs: Sequence[Any], output: Any, task: Any) -> TaskModel:
    """The model that trains, from its symbolic inputs and output."""
    return TaskModel(list(inputs) if len(inputs) > 1 else inputs[0], output, task)


def open_loader(
    config: DataConfig, runtime: RuntimeConfig, examples: Examples, task: Any, backbone: Backbone
) -> Loader:
    """The input pipeline for a task and a backbone."""
    entry = modality_entry(backbone.modality)
    loader: Loader = load(entry.open_loader)(examples, task, backbone, config, runtime)
    return loader


def inference_model(
    model: TaskModel,
    task: Any,
    data: DataConfig,
    modality: str,
    temperature: float = 1.0,
    resizes: bool = True,
) -> keras.Model:
    """The network as users deploy it, from its modality's deployed input to the task's predictions.

    Images are RGB of any size, 0 to 255; texts are tokens (B, T) int32, padded with -1, as the
    tokenizer saved with the model makes them. It has layers of Keras and KerasHub only, so that it
    loads without fmkit. Where the task `has_logits`, these may be divided by a temperature. Where
    it does not resize, images are of the network's own size.
    """
    shown = model.output if task.inference_input is None else task.inference_input
    if temperature != 1:
        shown = keras.layers.Rescaling(1 / temperature, dtype="float32", name="temperature")(shown)
    deployed_input = modality_entry(modality).deployed_input
    if not deployed_input or not resizes:
        deployed = keras.Model(model.inputs[0], task.inference(shown), name="fmkit")
        return heads.with_keras_layers(deployed)
    inputs, prepared = load(deployed_input)(model.inputs[0], data)
    network = heads.with_keras_layers(keras.Model(model.inputs[0], shown, name="network"))
    return keras.Model(inputs, task.inference(network(prepared)), name="fmkit")
