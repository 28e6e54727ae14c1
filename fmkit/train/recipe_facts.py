"""What `recipe=auto` goes by, gathered from data, backbone and machine."""

from collections.abc import Collection

from fmkit.config.auto_recipe import RunFacts
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.task import ClassificationConfig
from fmkit.core.machine import available_cores
from fmkit.data.dataset import Dataset
from fmkit.data.images.image_size import typical_side
from fmkit.models import registry as model_registry
from fmkit.train.devices import Devices


def facts(
    config: TrainConfig, data: Dataset, machine: Devices, findings: Collection[str] = ()
) -> RunFacts:
    """The facts of one run, before anything is built; `findings` are kinds, of its data."""
    head, content = config.stage.get("head"), data.examples.content
    return RunFacts(
        examples=len(data.splits["train"]),
        classes=len(data.spec.classes),
        side=typical_side(content),
        can_augment=hasattr(config.data, "augment"),
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
    )
