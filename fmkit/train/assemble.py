"""The one place where data, model, task and machine meet."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit import console
from fmkit.config import amounts, recorded
from fmkit.config.schema import (
    DataConfig,
    ImageData,
    ModelConfig,
    RuntimeConfig,
    TaskConfig,
    TrainConfig,
)
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples, ImageArray
from fmkit.data.pipeline import ImageLoader
from fmkit.data.text_loader import TextLoader
from fmkit.errors import ArtifactError, ConfigError, listed
from fmkit.models import adapters, tokenizers
from fmkit.models import table as model_table
from fmkit.models.backbone import Backbone
from fmkit.models.weights_file import open_weights
from fmkit.optim.optimizers import is_decayed
from fmkit.spec import DataSpec, Tokenizer
from fmkit.store import run as names
from fmkit.store.finished import FinishedRun
from fmkit.tasks import table as task_table
from fmkit.train import checkpoint, devices, freeze, phases, reading
from fmkit.train.learner import Learner
from fmkit.train.phases import Phase


@dataclass
class Assembly:
    """Everything a run needs, joined.

    Attributes:
        skipped: by phase, why it does not run.
        features: what the last phase trained on instead of images, or None.
        settings: the config as it was recorded, by full key; goes into every checkpoint.
        started_from: what the weights came from, for the record.
        pretrained: what L2-SP pulls the backbone's variables to, by their id; empty without it.
    """

    config: TrainConfig
    devices: devices.Devices
    examples: Examples
    splits: dict[str, np.ndarray]
    spec: DataSpec
    loader: ImageLoader | TextLoader
    backbone: Backbone
    task: Any
    learner: Learner
    phases: list[Phase]
    skipped: dict[str, str] = field(default_factory=dict)
    started_from: dict[str, Any] = field(default_factory=dict)
    pretrained: dict[int, keras.Variable] = field(default_factory=dict)
    features: Any = None
    settings: dict[str, Any] = field(default_factory=dict)

    def scope(self) -> contextlib.AbstractContextManager[None]:
        """Where models are compiled and trained."""
        return devices.scope(self.devices)

    def training_batches(self, phase: Phase, first_step: int, steps: int | None = None) -> Any:
        """A phase's batches, in the order that the seed and the global step decide.

        Args:
            phase: the phase.
            first_step: number of the first one, counted since the run began.
            steps: how many; empty means as many as the phase has.
        """
        return self.loader.train(
            self.splits["train"],
            seed=self.config.runtime.seed,
            steps=phase.steps if steps is None else steps,
            first_step=first_step,
            augment=phase.augment,
        )

    def ordered(self, split: str) -> Any:
        """A split's batches in order, or None when it has no example."""
        indices = self.splits.get(split)
        return None if indices is None or not len(indices) else self.loader.ordered(indices)

    def watchers(self) -> list[Any]:
        """Callbacks that the task offers for a phase of training."""
        offered = getattr(self.task, "callbacks", None)
        if offered is None:
            return []
        found: list[Any] = offered(self.learner, self.loader, self.examples, self.splits)
        return found

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
        """Turn a failure inside the input pipeline into one that names the file."""
        try:
            yield
        except Exception as error:
            explained = self.loader.explain(error)
            if explained is None:
                raise
            raise explained from error


def image_size(config: ModelConfig, examples: Examples) -> int | None:
    """The side of the model's input in pixels; None leaves it to the backbone.

    Images held in memory may be tiny. Blowing them up to more than twice their side costs time and
    shows the model nothing, so the size is then twice the side, and at least 32.
    """
    own, content = model_table.default_image_size(config.name), examples.content
    if config.image_size or own is None or not isinstance(content, ImageArray):
        return config.image_size
    side = max(content.pixels.shape[1:3])
    return min(own, max(32, 2 * side))


def assemble(
    config: TrainConfig, data: Dataset, machine: devices.Devices, saved: Any = None
) -> Assembly:
    """Build model and task, load weights, open the data.

    Where the weights come from, the first that applies:

    1. `saved`: a checkpoint of this run, from which the loop takes them all. L2-SP needs what they
       were at the start, too, so that there the others are loaded all the same.
    2. `init`: a finished run. The head too, when it was trained for the same classes.
    3. `model.weights`: the backbone's own; the head is new.
    4. Random ones.

    Args:
        config: the typed config.
        data: what to train on.
        machine: the devices.
        saved: the `state.Saved` that a run goes on from.
    """
    loads = saved is None or config.optimizer.l2_sp > 0
    with devices.scope(machine):
        model = config.model if loads else dataclasses.replace(config.model, weights="none")
        backbone, task, learner = build_model(model, config.task, data.spec)
        reading.check_monitor(config.task, task)
        data = reading.as_read(config.data, config.runtime, data, task, backbone)
        _check_views(task, len(machine.names))
        _check_shares(len(data.splits["train"]), config.data.batch_size, len(machine.names))
        steps = -(-len(data.splits["train"]) // config.data.batch_size)
        planned = phases.plan(config.stage, config.optimizer, steps)
        freeze.check(learner, backbone, planned)
        skipped: dict[str, str] = {} if saved is None else saved.skipped
        started_from: dict[str, Any] = {"weights": backbone.weights}
        if config.init is not None and loads:
            found, started_from = _start_from(
                FinishedRun(Path(config.init)),
                config,
                data.spec.classes,
                backbone,
                learner,
                planned,
            )
            skipped = found if saved is None else skipped
        pretrained = _pretrained(backbone) if config.optimizer.l2_sp else {}
    loader = open_loader(config.data, config.runtime, data.examples, task, backbone)
    for phase in planned:
        loader.check(phase.augment)
    return Assembly(
        config, machine, data.examples, data.splits, data.spec, loader, backbone, task,
        learner, planned, skipped, started_from, pretrained,
    )  # fmt: skip


def _pretrained(backbone: Backbone) -> dict[int, keras.Variable]:
    """What weight decay applies to, as it is now, by the ids of the variables that go on."""
    return {
        id(each): keras.Variable(
            keras.ops.copy(keras.ops.convert_to_tensor(each)),
            trainable=False,
            dtype=each.dtype,
            name=f"pretrained_{each.name}",
        )
        for each in backbone.model.weights
        if is_decayed(each)
    }


def _check_views(task: Any, devices: int) -> None:
    """Refuse to share out batches whose rows belong together.

    Raises:
        ConfigError: several devices, and several views of each image.
    """
    if devices > 1 and getattr(task, "views", 1) > 1:
        raise ConfigError(
            f"runtime.devices: task.name={task.name} compares all images of a batch with each "
            f"other, which {devices} devices would share out.",
            "Take runtime.devices=one.",
        )


def _check_shares(examples: int, batch_size: int, devices: int) -> None:
    """Refuse batches of which a device would get nothing: BatchNorm makes NaN of that.

    Raises:
        ConfigError: the first or the last batch of an epoch is too small to be shared.
    """

    def shared(batch: int) -> bool:  # as MirroredStrategy shares: rounded up, until none are left
        return all(
            -(-count // devices) * (devices - 1) < count
            for count in (min(batch, examples), examples % batch)
            if count
        )

    if devices == 1 or shared(batch_size):
        return
    fitting = [each for each in range(1, examples + 1) if shared(each)]
    hint = ""
    if fitting:
        nearest = min(fitting, key=lambda each: abs(each - batch_size))
        hint = f"data.batch_size={nearest} is the nearest that leaves no device without."
    raise ConfigError(
        f"data.batch_size: received {batch_size}. With {examples} examples to train on, {devices} "
        "devices cannot share each batch.",
        hint or "Take runtime.devices=one.",
    )


def build_model(
    model: ModelConfig, task_config: TaskConfig, spec: DataSpec
) -> tuple[Backbone, Any, Learner]:
    """Backbone, task and the network that joins them; with LoRA, fresh adapters in the backbone."""
    backbone = model_table.build(model)
    if backbone.modality != spec.modality:
        raise ConfigError(
            f"model.name={model.name} reads {backbone.modality}s, and the data are "
            f"{spec.modality}s.",
            f"Take a model of {spec.modality}s: {_MODELS_OF[spec.modality]}",
        )
    adapters.add(backbone, model)
    task = task_table.build(task_config, spec)
    outputs = task.head(backbone, model)
    inputs = [backbone.model.input, *task.inputs]
    return backbone, task, Learner(inputs if task.inputs else inputs[0], outputs, task)


_MODELS_OF = {
    "image": "model=efficientnet_lite0, for one.",
    "text": "model=minilm, model=small_bert, or model=hub with model.preset.",
}


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
            prepare=task.prepare,
            inputs=1 + len(task.inputs),
            batch_size=config.batch_size,
            num_classes=task.one_hot,
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
        views_at_once=getattr(task, "views", 1),
        prepare=task.prepare,
        num_classes=task.one_hot,
        class_weights=task.class_weights,
        memory_budget_bytes=amounts.parse(runtime.memory_budget),
    )


def inference_model(learner: Learner, task: Any, data: DataConfig) -> keras.Model:
    """The network as users deploy it: RGB images of any size, 0 to 255, to what the task shows.

    Of texts: tokens (B, T) int32, filled up with -1, as the tokenizer beside the model makes them.
    It is made of Keras' and KerasHub's own layers only, so that it loads without fmkit.
    """
    shown = getattr(task, "shown", None)
    shown = learner.output if shown is None else shown
    if not isinstance(data, ImageData):
        outputs = task.inference(shown)
        return keras.Model(learner.inputs[0], outputs, name="fmkit")
    resize, side = data.resize, learner.input.shape[1]
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
    network = keras.Model(learner.input, shown, name="network")
    return keras.Model(images, task.inference(network(resized)), name="fmkit")


def best_checkpoint(run: FinishedRun) -> checkpoint.Checkpoint:
    """A run's best checkpoint, verified, and its weights' file checked without reading them.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    chosen = checkpoint.choose(run.checkpoints, run.best_step())
    with open_weights(chosen.folder / checkpoint.WEIGHTS):
        return chosen


def check_sizes(chosen: checkpoint.Checkpoint, model: ModelConfig, classes: int) -> None:
    """Refuse a record that asks for a network far larger than its checkpoint, before it is built.

    Raises:
        ArtifactError: a size in the run's config has no array of that size in the checkpoint.
    """
    with open_weights(chosen.folder / checkpoint.WEIGHTS) as arrays:
        sides = {side for shape in arrays.shapes.values() for side in shape}
    asked = {"classes": classes, "model.hidden": model.hidden, "model.lora_rank": model.lora_rank}
    wrong = [f"{key} {size:,}" for key, size in asked.items() if size > 1000 and size not in sides]
    if (model.image_size or 0) > _LARGEST_IMAGE:
        wrong.append(f"model.image_size {model.image_size:,}")
    if wrong:
        raise ArtifactError(
            f"run {chosen.folder.parent.parent}: its record asks for {listed(wrong)}, and its "
            "checkpoint is none of such a model."
        )


def _start_from(
    run: FinishedRun,
    config: TrainConfig,
    classes: tuple[str, ...],
    backbone: Backbone,
    learner: Learner,
    planned: list[Phase],
) -> tuple[dict[str, str], dict[str, Any]]:
    """Take the weights of another run; the phases to skip, and what to record."""
    run.warn_if_unfinished()
    before = recorded.section(run.config(), "model")
    if before.name != config.model.name:
        raise ConfigError(
            f"init: run {run.id} has the model {before.name!r}, this one {config.model.name!r}.",
            "Leave model= out to take the run's model, or leave init= out.",
        )
    if backbone.tokenizer is not None:
        _require_same_tokens(run, backbone.tokenizer)
    weights = checkpoint.read_weights(best_checkpoint(run))
    paths = checkpoint.by_path(learner.variables)
    learned = {each for each in paths if not each.endswith(_RANDOM_STATE)}
    if not adapters.same(before, config.model):
        if before.lora_rank:
            console.say(f"init: the adapters of {run.id} are merged into its kernels.")
        weights = adapters.merged_arrays(weights, before)
        learned = {each for each in learned if not adapters.is_adapter_path(each)}
    head = {each for each in learned if _is_head(each)}
    fits = all(each in weights and weights[each].shape == tuple(paths[each].shape) for each in head)
    task = recorded.section(run.config(), "task").name
    same = fits and run.classes() == classes and task == config.task.name
    checkpoint.assign(learner, weights, learned if same else learned - head)
    record = {"init": str(run.folder), "head": same}
    if not same:
        why = "head has another shape"
        if task != config.task.name:
            why = f"task is {task}"
        elif run.classes() != classes:
            why = f"classes are {listed(run.classes(), 6)}"
        console.say(f"init: backbone from {run.id}; the head is new, since that run's {why}.")
        return {}, record
    heads = [each.name for each in planned if each.train == "head"]
    others = [each for each in planned if each.train != "head"]
    if not others:
        console.say(f"init: backbone and head from {run.id}; the head trains on.")
        return {}, record
    for each in heads:
        console.say(f"init: phase {each} is skipped, since {run.id} has trained this head.")
    return dict.fromkeys(heads, f"trained in {run.id}"), record


def _require_same_tokens(run: FinishedRun, tokenizer: Tokenizer) -> None:
    """Refuse to go on with other tokens: each would get another one's vector.

    Raises:
        ConfigError: the run had another tokenizer.
        ArtifactError: the run's record of it is damaged.
    """
    folder = run.folder / names.TOKENIZER
    if folder.is_dir() and tokenizers.load(folder).fingerprint() != tokenizer.fingerprint():
        raise ConfigError(
            f"init: run {run.id} was trained with another tokenizer than this model has.",
            f"Take the run's: model.tokenizer={folder}, or leave model= out.",
        )


_LARGEST_IMAGE = 8192  # pixels
_RANDOM_STATE = "seed_generator_state"
"""How the paths of dropout's random states end: a new run draws by its own seed."""


def _is_head(path: str) -> bool:
    first = path.split("/")[0]
    return first.startswith(("head_", "logits"))


def resolved(config: TrainConfig, assembly: Assembly, split_seed: int) -> TrainConfig:
    """The config with what was left to fmkit filled in, for the record."""
    backbone = assembly.backbone
    model = dataclasses.replace(
        config.model, image_size=backbone.image_size, max_length=backbone.max_length
    )
    data = dataclasses.replace(config.data, split_seed=split_seed)
    return dataclasses.replace(config, model=model, data=data)
