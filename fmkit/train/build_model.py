"""A backbone with a head, the batches that it reads, and what is deployed of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from fmkit.config import units
from fmkit.config.schema.data import DataConfig, ImageData
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.task import TaskConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.data.examples import Examples
from fmkit.data.images.image_size import input_side
from fmkit.data.loaders.image_loader import ImageLoader
from fmkit.data.loaders.text_loader import TextLoader
from fmkit.models import lora
from fmkit.models import registry as model_registry
from fmkit.models.backbone import Backbone
from fmkit.tasks import registry as task_registry
from fmkit.train.task_model import TaskModel


def image_size(config: ModelConfig, examples: Examples) -> int | None:
    """The side of the model's input in pixels; None leaves it to the backbone."""
    own = model_registry.default_image_size(config.name)
    if config.image_size or own is None:
        return config.image_size
    return input_side(examples.content, own)


def build_model(
    model: ModelConfig, task_config: TaskConfig, spec: DataSpec
) -> tuple[Backbone, Any, TaskModel]:
    """Backbone, task and the network that joins them; with LoRA, fresh adapters in the backbone."""
    backbone = build_backbone(model, [spec])
    task = task_registry.build(task_config, spec)
    outputs = task.head(backbone, model)
    return backbone, task, network([backbone.model.input, *task.extra_inputs], outputs, task)


def build_backbone(model: ModelConfig, specs: Sequence[DataSpec]) -> Backbone:
    """The backbone that a config names, for data of some kind.

    Raises:
        ConfigError: it reads images and the data are texts, or the other way round.
    """
    backbone = model_registry.build(model)
    for spec in specs:
        if backbone.modality != spec.modality:
            raise ConfigError(
                f"model.name={model.name} reads {backbone.modality}s, and the data are "
                f"{spec.modality}s.",
                f"Take a model of {spec.modality}s: {_MODELS_OF[spec.modality]}",
            )
    lora.add(backbone, model)
    return backbone


_MODELS_OF = {
    "image": "model=efficientnet_lite0, for one.",
    "text": "model=minilm, model=small_bert, or model=hub with model.preset.",
}


def network(inputs: Sequence[Any], output: Any, task: Any) -> TaskModel:
    """What trains, from its symbolic inputs and output."""
    return TaskModel(list(inputs) if len(inputs) > 1 else inputs[0], output, task)


def open_loader(
    config: DataConfig, runtime: RuntimeConfig, examples: Examples, task: Any, backbone: Backbone
) -> ImageLoader | TextLoader:
    """The input pipeline for a task and a backbone."""
    if backbone.tokenizer is not None and backbone.max_length is not None:
        return TextLoader(
            examples,
            targets=task.targets(examples),
            tokenizer=backbone.tokenizer,
            max_length=backbone.max_length,
            prepare_batch=task.prepare_batch,
            num_inputs=1 + len(task.extra_inputs),
            target_rank=task.target_rank,
            batch_size=config.batch_size,
            num_classes=task.num_classes,
            class_weights=task.class_weights,
        )
    if not isinstance(config, ImageData) or backbone.image_size is None:
        raise ConfigError(f"data.name={config.name} has no images.")
    return ImageLoader(
        examples,
        targets=task.targets(examples),
        image_size=backbone.image_size,
        batch_size=config.batch_size,
        resize=config.resize,
        augment=config.augment,
        flip=config.flip,
        augment_views=config.augment_views,
        views_per_image=task.views_per_image,
        prepare_batch=task.prepare_batch,
        num_classes=task.num_classes,
        class_weights=task.class_weights,
        memory_budget_bytes=units.parse_bytes(runtime.memory_budget),
    )


def inference_model(learner: TaskModel, task: Any, data: DataConfig) -> keras.Model:
    """The network as users deploy it: RGB images of any size, 0 to 255, to what the task shows.

    Of texts: tokens (B, T) int32, filled up with -1, as the tokenizer beside the model makes them.
    It is made of Keras' and KerasHub's own layers only, so that it loads without fmkit.
    """
    shown = learner.output if task.inference_input is None else task.inference_input
    if not isinstance(data, ImageData):
        outputs = task.inference(shown)
        return keras.Model(learner.inputs[0], outputs, name="fmkit")
    resize, side = data.resize, learner.inputs[0].shape[1]
    images = keras.Input((None, None, 3), dtype="float32", name="images")
    resized = keras.layers.Resizing(
        side,
        side,
        antialias=True,
        crop_to_aspect_ratio=resize == "crop",
        pad_to_aspect_ratio=resize == "pad",
        dtype="float32",  # mixed precision would round the pixels
        name="resize",
    )(images)
    network = keras.Model(learner.inputs[0], shown, name="network")
    return keras.Model(images, task.inference(network(resized)), name="fmkit")
