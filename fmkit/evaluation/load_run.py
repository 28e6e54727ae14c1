"""Load a trained run: its model with its best weights, its task and its backbone."""

from dataclasses import dataclass
from typing import Any

import keras

from fmkit.config import saved_config
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.task import CausalLmConfig, TaskConfig
from fmkit.core.modalities import modality_entry
from fmkit.core.types import DataSpec
from fmkit.evaluation import evaluator
from fmkit.evaluation.feature_distribution import FeatureDistribution
from fmkit.evaluation.inference import Inference
from fmkit.evaluation.progress import Progress
from fmkit.models import lora
from fmkit.models.backbone import Backbone
from fmkit.store import run_dir
from fmkit.store.run_reader import RunReader
from fmkit.tasks import joint
from fmkit.train import build_model, devices, init_from_run
from fmkit.train.checkpoints import checkpoint, variables
from fmkit.train.task_model import TaskModel


@dataclass(frozen=True)
class LoadedRun:
    """A run's model with its best weights, ready to use."""

    run: RunReader
    model: TaskModel
    task: Any
    spec: DataSpec
    backbone: Backbone
    inference: Inference  # what runs the network, or the part of it that gives features
    verbose: bool = True  # whether progress is shown
    temperature: float = 1.0  # that logits are divided by
    # Of features, which `inference` gives beside the outputs then; None: without such scores.
    distribution: FeatureDistribution | None = None

    def progress(self, noun: str, total: int, step: int = 1, title: str = "predict") -> Progress:
        """Progress of a prediction; see `Progress`."""
        return Progress(title, noun, total, step, self.verbose)


def load(run: RunReader, runtime: RuntimeConfig, objective: str | None = None) -> LoadedRun:
    """Rebuild a run's model from its config and load its best weights.

    For a joint run, that is the network of one objective: the primary one unless another is named.

    No object is deserialised: names are looked up in tables, and the weights are plain arrays.

    Raises:
        ArtifactError: the run is damaged or has no checkpoint.
    """
    machine = devices.prepare(runtime)
    model_config, task_config, best, objective = check_run(run, objective)
    spec = run.spec(objective)
    backbone, task, model = build_model.build_model(model_config, task_config, spec)
    weights = checkpoint.read_weights(best)
    if objective is not None:
        weights = joint.weights_of(objective, weights)
    # Keras numbers the seed states of dropout through a process, so their paths may differ here.
    variables.assign(model, weights, init_from_run.learned_paths(model))
    lora.merge_adapters(model)
    network = model if task.features is None else keras.Model(model.inputs[0], task.features)
    inference = Inference(network, runtime.extractor, machine.kind, machine.precision)
    return LoadedRun(run, model, task, spec, backbone, inference, runtime.verbose)


def pretrained(model: ModelConfig, runtime: RuntimeConfig) -> tuple[Backbone, Any]:
    """A causal language model as it was pretrained, without a run: backbone and task.

    Raises:
        ConfigError: the model reads images or is not causal.
        ArtifactError: its weights cannot be loaded.
    """
    devices.prepare(runtime)
    backbone, task, _ = build_model.build_model(model, CausalLmConfig(), DataSpec("text", (), {}))
    return backbone, task


def check_run(
    run: RunReader, objective: str | None = None
) -> tuple[ModelConfig, TaskConfig, checkpoint.Checkpoint, str | None]:
    """A run's model and task configs and its best checkpoint, checked before anything is built.

    The last value is the objective of a joint run, None for its primary one.

    Raises:
        ArtifactError: the run is damaged, has no checkpoint, or contradicts itself.
        ConfigError: it has no such objective.
    """
    config = run.config()
    model, task = saved_config.section(config, "model"), saved_config.section(config, "task")
    task, objective = saved_config.task_of(task, objective)
    model.weights = "none"  # the checkpoint has all of them
    if modality_entry(run.spec(objective).modality).has_tokenizer:
        model.tokenizer = str(run.folder / run_dir.TOKENIZER)
    if hasattr(task, "class_weights"):
        task.class_weights = "none"  # they are for training, and need the class counts
    best = init_from_run.best_checkpoint(run)
    spec = run.spec(objective)
    init_from_run.check_sizes(best, model, len(spec.classes or spec.names))
    return model, task, best, objective


def validation(trained: LoadedRun, objective: str | None = None) -> dict[str, Any]:
    """Metrics of a run's own validation split, where its evaluator needs them; `objective` is that
    of a joint run, if it is not the primary one."""
    is_needed = evaluator.evaluator_of(trained.task).uses_validation
    return trained.run.validation(objective) if is_needed else {}
