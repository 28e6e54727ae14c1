"""What `recipe=auto` goes by, gathered from data, backbone and machine."""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

import keras

from fmkit.config.auto_recipe import RunFacts
from fmkit.config.recipe_speed import Speed
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.task import ClassificationConfig
from fmkit.core.machine import available_cores
from fmkit.core.modalities import modality_entry
from fmkit.data.dataset import Dataset
from fmkit.data.images.image_size import typical_side
from fmkit.models import registry as model_registry
from fmkit.models.backbone import Backbone
from fmkit.train import build_model, devices
from fmkit.train.devices import Devices
from fmkit.train.timing.deadline import TimeLimit

_SHARE = 0.7
"""Of the time that is left before the model is built: what remains for training."""
_BATCH, _BATCHES = 16, 3


def facts(
    config: TrainConfig,
    data: Dataset,
    machine: Devices,
    findings: Collection[str] = (),
    limit: TimeLimit | None = None,
) -> RunFacts:
    """The facts of one run, before anything is built.

    Args:
        findings: kinds, of its data.
        limit: of time, or None; with one, the network is measured.
    """
    head, content = config.stage.get("head"), data.examples.content
    return RunFacts(
        examples=len(data.splits["train"]),
        classes=len(data.spec.classes),
        side=typical_side(content),
        can_augment=hasattr(config.data, "augment"),
        has_tokenizer=modality_entry(data.spec.modality).has_tokenizer,
        is_classification=isinstance(config.task, ClassificationConfig),
        has_mirrored_classes="mirrored_classes" in findings,
        own_size=model_registry.default_image_size(config.model.name),
        pretrained=config.init is not None or config.model.weights != "none",
        device=machine.kind,
        cores=available_cores(),
        lengths={name: phase.epochs for name, phase in config.stage.items()},
        is_solvable=(
            (head is None or (head.train == "head" and head.augment in (None, "none")))
            and isinstance(config.task, ClassificationConfig)
            and config.model.hidden == 0
            and config.task.label_smoothing == 0
            and config.runtime.cache == "auto"
        ),
        validation=len(data.splits.get("val", ())),
        batch_size=config.data.batch_size,
        learning_rate=config.optimizer.learning_rate,
        image_size=config.model.image_size,
        speed=None if limit is None else _measure(config, data, machine, limit),
    )


def _measure(config: TrainConfig, data: Dataset, machine: Devices, limit: TimeLimit) -> Speed:
    """What the network takes: the fastest of some batches through a copy with random weights."""
    side = build_model.image_size(config.model, data.examples)
    model = dataclasses.replace(config.model, weights="none", image_size=side)
    with devices.scope(machine):
        backbone = build_model.build_backbone(model, [data.spec])
        batch = keras.tree.map_structure(_zeros(backbone), backbone.model.input)
        backbone.model.predict_on_batch(batch)  # traces it
        seconds = []
        for _ in range(_BATCHES):
            began = limit.clock()
            backbone.model.predict_on_batch(batch)
            seconds.append(limit.clock() - began)
    forward = max(min(seconds) / _BATCH, 1e-9)
    return Speed(_SHARE * max(limit.left, 0.0), forward, backbone.image_size)


def _zeros(backbone: Backbone) -> Callable[[Any], Any]:
    """From an input of a backbone to a batch of zeros for it."""
    length = backbone.max_length or 1

    def zeros(tensor: Any) -> Any:
        shape = [length if size is None else size for size in tensor.shape[1:]]
        return keras.ops.zeros((_BATCH, *shape), tensor.dtype)

    return zeros
