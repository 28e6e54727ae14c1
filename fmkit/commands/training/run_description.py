"""What a run says about itself before it trains: its data, its model, its machine."""

from typing import Any

from fmkit.config.registry import LABELS, LabelKind
from fmkit.config.schema.commands import TrainConfig
from fmkit.core import console, machine
from fmkit.core.errors import join_names, plural
from fmkit.core.modalities import modality_entry
from fmkit.store import run_index
from fmkit.store.run_dir import RunWriter


def log(config: TrainConfig, run: RunWriter, line: str) -> None:
    """Log a line, and show it unless the run is to be silent."""
    run.log(line)
    if config.runtime.verbose:
        console.info(line)


def describe_data(config: TrainConfig, spec: Any) -> str:
    """The data's folder or file, and its classes, labels or numbers, ahead of other counts."""
    source = config.data.name
    label = run_index.data_label(source, getattr(config.data, "root", None))
    name = source if label == source else f"{label} ({source})"
    if spec.classes:
        return f"{name}, {len(spec.classes)} classes, "
    if not spec.names:
        return f"{name}, "
    kind = LABELS.get(spec.annotations, LabelKind("name", "names", "names"))
    noun = kind.noun if len(spec.names) == 1 else kind.plural
    return f"{name}, {len(spec.names)} {noun}, "


def log_model(config: TrainConfig, run: RunWriter, assembly: Any, weights: str) -> None:
    """Log which model trains on which machine; no `weights` means those of the backbone."""
    from fmkit.models import lora

    devices, backbone = assembly.devices, assembly.backbone
    entry = modality_entry(backbone.modality)
    size = f"on {entry.plural}"
    if entry.input_size:
        size = entry.input_phrase.format(getattr(backbone, entry.input_size))
    parameters = f"{assembly.model.count_params():,} parameters"
    name = f"{config.model.name} {size}"
    log(config, run, f"model: {name}, {parameters}, weights: {weights or backbone.weights}")
    if adapters := lora.describe(assembly.model):
        log(config, run, adapters)
    if assembly.reference is not None:
        log(config, run, assembly.reference.describe())
    is_random = not weights and backbone.weights == "none" and config.init is None
    if is_random and (frozen := frozen_parts(config, backbone)):
        advice = "stage=scratch trains a random backbone."
        console.warning(f"the backbone is random, and {frozen}. {advice}")
    device = plural(len(devices.names), devices.kind.upper())
    if devices.kind == "cpu":
        device = f"CPU, {plural(machine.available_cores(), 'core')}"
    device += f", {devices.precision}"
    compiled = f"XLA {'on' if devices.jit_compile() else 'off'}"
    log(config, run, f"machine: {device}, {compiled}; {assembly.loader.describe()}")


def describe_augmentation(assembly: Any) -> str:
    """What is done to images in each phase and objective; empty where there are none."""
    parts = [(f"{part.name} ", part.config, part.loader) for part in assembly.objectives]
    by_text: dict[str, list[str]] = {}
    for prefix, config, loader in parts or [("", assembly.config.data, assembly.loader)]:
        if not hasattr(config, "augment"):
            continue
        for phase in assembly.phases:
            if phase.name not in assembly.skipped:
                augmentation = loader.augmentation(phase.augment)
                text = "none" if augmentation is None else augmentation.describe()
                by_text.setdefault(text, []).append(f"{prefix}{phase.name}")
    if len(by_text) == 1:
        return next(iter(by_text))
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in by_text.items())


def frozen_parts(config: TrainConfig, backbone: Any) -> str:
    """What the phases keep frozen of a backbone, in words; empty where all of it learns."""
    from fmkit.train import freeze

    has_batchnorm = any(map(freeze.is_batchnorm, freeze.layers_of(*backbone.blocks)))
    phases: dict[str, list[str]] = {}
    for name, phase in config.stage.items():
        if phase.train != "all":
            phases.setdefault("all or a part of it", []).append(name)
        elif phase.batchnorm == "frozen" and has_batchnorm:
            phases.setdefault("BatchNorm", []).append(name)
    sentences = []
    for part, names in phases.items():
        subject = "phase" if len(names) == 1 else "phases"
        verb = "keeps" if len(names) == 1 else "keep"
        sentences.append(f"{subject} {join_names(names)} {verb} {part} frozen")
    return " and ".join(sentences)
