"""Rules that a type cannot say: allowed names, ranges, and what does not go together."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from fmkit import lookup, unseen
from fmkit.config import amounts, durations, encodings, trainable
from fmkit.config.documentation import field_types
from fmkit.config.schema import (
    CHOICES,
    COMMANDS,
    KINDS,
    LANGUAGE_MODELLING,
    MONITORS,
    DocumentsData,
    ImageData,
    ImageFolderData,
    ImageTableData,
    JointConfig,
    ModelConfig,
    ObjectiveConfig,
    PhaseConfig,
    PhotosData,
    TextFolderData,
    TrainConfig,
)
from fmkit.errors import FmkitError, listed, nearest, received
from fmkit.files import short


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a config: the key and the message."""

    key: str
    message: str


MOST = 2**31 - 1
"""No count or size is above this; larger ones do not fit into what computes with them."""


def _at_least(low: float) -> tuple[str, Callable[[float], bool]]:
    return f"a number of at least {low:g} and at most {MOST}", lambda value: low <= value <= MOST


def _above(low: float) -> tuple[str, Callable[[float], bool]]:
    return f"a number above {low:g}", lambda value: low < value < math.inf


def _fraction() -> tuple[str, Callable[[float], bool]]:
    return "a number from 0 to below 1", lambda value: 0 <= value < 1


RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "model.image_size": ("from 8 to 4096 pixels", lambda value: 8 <= value <= 4096),
    "model.max_length": ("from 8 to 131072 tokens", lambda value: 8 <= value <= 131_072),
    "model.dropout": _fraction(),
    "model.hidden": _at_least(0),
    "model.lora_rank": _at_least(0),
    "model.lora_alpha": _above(0),
    "data.batch_size": _at_least(1),
    "data.val_fraction": _fraction(),
    "data.test_fraction": _fraction(),
    "data.limit": _at_least(2),
    "data.max_pixels": ("from 1 to 178956970 pixels", lambda value: 1 <= value <= 178_956_970),
    "data.augment_views": _at_least(1),
    "data.shots": _at_least(1),
    "data.split_seed": ("a whole number from 0 to 2147483647", lambda value: 0 <= value < 2**31),
    "optimizer.learning_rate": _above(0),
    "optimizer.weight_decay": _at_least(0),
    "optimizer.l2_sp": _at_least(0),
    "optimizer.layer_decay": ("above 0 and at most 1", lambda value: 0 < value <= 1),
    "optimizer.final_fraction": ("a number from 0 to 1", lambda value: 0 <= value <= 1),
    "optimizer.step_factor": ("above 0 and at most 1", lambda value: 0 < value <= 1),
    "optimizer.clip_norm": _above(0),
    "optimizer.accumulation": _at_least(1),
    "optimizer.ema": ("above 0 and below 1", lambda value: 0 < value < 1),
    "optimizer.beta_1": _fraction(),
    "optimizer.beta_2": _fraction(),
    "optimizer.epsilon": _above(0),
    "optimizer.momentum": _fraction(),
    "optimizer.adam_beta_1": _fraction(),
    "optimizer.adam_beta_2": _fraction(),
    "stage.*.learning_rate": _above(0),
    "stage.*.patience": _at_least(1),
    "task.label_smoothing": _fraction(),
    "task.alpha": ("a number from 0 to 1", lambda value: 0 <= value <= 1),
    "task.objectives.*.weight": _at_least(0),
    "task.objectives.*.batch_size": _at_least(1),
    "task.mask_rate": ("above 0 and below 1", lambda value: 0 < value < 1),
    "task.knn_examples": _at_least(0),
    "task.projection": _at_least(2),
    "task.projection_hidden": _at_least(2),
    "task.projection_layers": ("from 1 to 4", lambda value: 1 <= value <= 4),
    "task.temperature": _above(0),
    "task.invariance": _at_least(0),
    "task.variance": _at_least(0),
    "task.covariance": _at_least(0),
    "task.mask_ratio": ("above 0 and below 1", lambda value: 0 < value < 1),
    "task.mask_block": ("from 1 to 4096 pixels", lambda value: 1 <= value <= 4096),
    "runtime.seed": ("a whole number from 0 to 2147483647", lambda value: 0 <= value < 2**31),
    "runtime.log_every": _at_least(0),
    "runtime.keep": _at_least(1),
    "temperature": ("from 0 to 100", lambda value: 0 <= value <= 100),
    "top_k": _at_least(1),
    "top_p": ("above 0 and at most 1", lambda value: 0 < value <= 1),
    "max_tokens": _at_least(1),
    "seed": ("a whole number from 0 to 2147483647", lambda value: 0 <= value < 2**31),
    "bootstrap": _at_least(0),
    "batch_size": _at_least(1),
}
"""By key, the allowed range in words and as a test; an empty value passes."""


BOOLEAN = "runtime.jit"
"""A choice that YAML may have read as a truth value: `True` is `true`."""

_KERAS = (".keras", ".h5", ".safetensors", ".npz")
WEIGHT_SUFFIXES = {"": _KERAS, "efficientnet_lite0": (*_KERAS, ".pth")}
"""By model, how the name of a file in `model.weights` ends; empty: every other model of fmkit's."""

OWN_WEIGHTS = ("imagenet", "pretrained", "none")
"""What `model.weights` may be other than a file; the first two mean the same."""

TAKE_TOKENIZER = ("small_bert", "small_gpt")
"""The models that have no vocabulary of their own, so that `model.tokenizer` may bring one."""

DURATIONS = {
    "stage.*.epochs": "epochs",
    "optimizer.warmup": "steps",
    "optimizer.step_every": "steps",
}
"""Keys that take a duration, with the unit of a bare number."""

INTERVAL = "runtime.save_every"
"""The key that takes an interval."""

NUMBERS = (*DURATIONS, INTERVAL, amounts.BUDGET, amounts.LIMIT)
"""Keys of texts that may be a bare number."""

MONITOR = "task.monitor"
MONITORED = CHOICES[MONITOR]
"""The figures of one task that it may go by."""

TRAIN = "stage.*.train"
RATES = "stage.*.rates"


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Rows (full key, key with `*` for a phase's name, value) of a typed config."""
    for field in dataclasses.fields(config):
        key, value = f"{prefix}{field.name}", getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{key}.")
        elif field.name == "objectives":
            for name, each in value.items():
                if isinstance(each, ObjectiveConfig):  # else it is not settled yet
                    for full, _, inner in leaves(each, f"{key}.{name}."):
                        yield full, rule_of(full), inner
        elif isinstance(value, dict) and field.name == "stage":
            for phase, each in value.items():
                for full, _, inner in leaves(each, f"stage.{phase}."):
                    yield full, f"stage.*.{full.split('.')[-1]}", inner
        else:
            yield key, key, value


def rule_of(key: str) -> str:
    """A full key with `*` for a phase's name; of an objective's task and data, the group's key."""
    parts = key.split(".")
    if parts[:2] == ["task", "objectives"] and len(parts) > 3:
        own = parts[3:] if len(parts) > 4 else ["task", "objectives", "*", parts[3]]
        return ".".join(own)
    return ".".join(["stage", "*", *parts[2:]]) if parts[0] == "stage" else key


def value_problem(key: str, rule: str, value: Any, names: Mapping[str, Sequence[str]]) -> str:
    """What is wrong with one value of the right type; empty when nothing is."""
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return received(key, value, "a finite number")
    if isinstance(value, int) and abs(value) >= 2**63:
        return received(key, value, "a whole number below 2^63")
    if isinstance(value, str) and (wrong := unseen.problem(key, value)):
        return wrong
    if value == MISSING:
        return f"{key}: `{MISSING}` stands for a value that is missing. Write one."
    if value == "":
        return f"{key} must not be empty. Leave it out, or write null where nothing is meant."
    if rule == MONITOR and str(value).endswith(tuple(f"_{each}" for each in MONITORED)):
        return ""  # perhaps that of an objective: `_monitor_problems` knows them
    if rule in CHOICES and (str(value).lower() if rule == BOOLEAN else value) not in CHOICES[rule]:
        return received(key, value, CHOICES[rule])
    if rule in names and value not in names[rule]:
        return received(key, value, names[rule])
    if rule in RANGES and not RANGES[rule][1](float(value)):
        return received(key, value, RANGES[rule][0])
    if rule in DURATIONS:
        return _duration_problem(key, str(value), DURATIONS[rule])
    if rule in (amounts.BUDGET, amounts.LIMIT):
        return amounts.problem(key, str(value))
    if rule == INTERVAL:
        return _interval_problem(key, str(value))
    if rule == TRAIN:
        return _train_problem(key, value)
    if rule == RATES:
        return _rates_problem(key, value)
    return ""


def reading_problem(rule: str, value: Any, text: str) -> str:
    """Whether a text would not be what was written: YAML reads `yes` as True; empty when it is.

    Args:
        rule: the key, with `*` for a phase's name.
        value: as it was read.
        text: as it was written; empty where that is not known.
    """
    if not text or not isinstance(value, bool | int | float) or str(value) == text:
        return ""
    if rule in NUMBERS or rule == BOOLEAN or not _takes_text(rule):
        return ""
    what = "a truth value" if isinstance(value, bool) else "a number"
    return f"{text} is read as {what} and would become {str(value)!r}. Write it in quotes"


@cache
def _texts() -> frozenset[str]:
    kinds = [(group, kind) for group, kinds in KINDS.items() for kind in kinds.values()]
    rows = [*kinds, ("stage.*", PhaseConfig), *(("", kind) for kind in COMMANDS.values())]
    return frozenset(
        f"{prefix}.{name}".lstrip(".")
        for prefix, kind in rows
        for name, wanted in field_types(kind).items()
        if wanted in (str, str | None)
    )


def _takes_text(rule: str) -> bool:
    return rule in _texts()


def problems(config: Any, names: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Everything wrong with a typed config, all at once.

    Args:
        config: an object of one of the command dataclasses.
        names: allowed values of `model.name`, `data.name` and `task.name`, from the rooms' tables.
    """
    told = ((key, value_problem(key, rule, value, names)) for key, rule, value in leaves(config))
    found = [Problem(key, message) for key, message in told if message]
    found.extend(_kind_problems(config))
    if isinstance(config, TrainConfig):
        found.extend(_train_problems(config))
    if hasattr(config, "data"):
        found.extend(_data_problems(config.data))
    return found


def _kind_problems(config: Any) -> Iterator[Problem]:
    """A `name` that belongs to another dataclass than the one that its group was composed with."""
    for group in ("data", "optimizer", "task"):
        chosen = getattr(config, group, None)
        kind = KINDS[group].get(getattr(chosen, "name", ""))
        if chosen is not None and kind is not None and type(chosen) is not kind:
            yield Problem(
                f"{group}.name",
                f"{group}.name={chosen.name} changes the name alone. Write {group}={chosen.name}, "
                "which brings the keys and defaults that go with it.",
            )


def _train_problems(config: TrainConfig) -> Iterator[Problem]:
    if not config.stage:
        yield Problem("stage", "stage has no phase. Choose one, such as stage=lp_ft.")
    yield from _solver_problems(config)
    task, model = config.task, config.model
    figures = MONITORS.get(task.name, MONITORS[""])
    if not isinstance(task, JointConfig) and task.monitor not in figures:
        what = f"task.monitor for task.name={task.name}"
        yield Problem("task.monitor", received(what, task.monitor, figures))
    if model.name == "hub" and not model.preset:
        yield Problem(
            "model.preset",
            "model.preset is missing: model.name=hub needs the name of a KerasHub preset or a "
            "local preset folder, such as model.preset=resnet_18_imagenet.",
        )
    if model.preset and model.name != "hub":
        yield Problem(
            "model.preset",
            f"model.preset={model.preset!r} is only for model.name=hub; model.name is "
            f"{model.name!r}. Add model=hub.",
        )
    if model.tokenizer and model.name not in (*TAKE_TOKENIZER, *lookup.names("models", {})):
        yield Problem(
            "model.tokenizer",
            f"model.tokenizer={model.tokenizer!r} is only for {listed(TAKE_TOKENIZER)}: "
            f"model.name={model.name} has a tokenizer of its own, or reads none.",
        )
    wrong = "" if model.weights in OWN_WEIGHTS else _weights_problem(model)
    if wrong:
        yield Problem("model.weights", wrong)
    yield from _lora_problems(config)
    yield from _language_problems(config)


def _language_problems(config: TrainConfig) -> Iterator[Problem]:
    """What a language model reads and learns, and what else wants classes."""
    task, data = config.task, config.data
    if task.name not in LANGUAGE_MODELLING:
        if task.name == "classification" and isinstance(data, DocumentsData):
            yield Problem(
                "task.name",
                f"task.name=classification learns classes, and data={data.name} has none. Take "
                "task=masked_lm or task=causal_lm, or data with classes such as data=text_table.",
            )
        return
    if isinstance(data, ImageData):
        yield Problem(
            "task.name",
            f"task.name={task.name} learns from texts, and data={data.name} has images. Take "
            "data=text_files, data=text_lines, or the texts of a classifier such as "
            "data=text_table.",
        )
    if config.recipe != "none":
        yield Problem(
            "recipe",
            f"recipe={config.recipe} goes by classes, and task.name={task.name} has none. "
            "Leave it out.",
        )


def _weights_problem(model: ModelConfig) -> str:
    """What is wrong with a path in `model.weights`; empty when nothing is."""
    path = Path(model.weights)
    if not path.is_file():
        close = nearest(path.name.lower(), OWN_WEIGHTS)
        meant = f"Did you mean {close[0]}?" if close else ""
        allowed = f"{', '.join(OWN_WEIGHTS)}, or a file that exists"
        return received("model.weights", short(path), allowed, meant)
    suffixes = WEIGHT_SUFFIXES.get(model.name, WEIGHT_SUFFIXES[""])
    if model.name in lookup.names("models", {}) or path.name.endswith(suffixes):
        return ""  # what a plugin's model reads is its own affair
    allowed = f"a file whose name ends in {' or '.join(suffixes)}, for model {model.name}"
    return received("model.weights", short(path), allowed)


def _lora_problems(config: TrainConfig) -> Iterator[Problem]:
    try:
        re.compile(config.model.lora_targets)
    except (re.error, OverflowError, RecursionError) as error:
        allowed = f"a regular expression, and this is none: {error}"
        what = "model.lora_targets"
        yield Problem(what, received(what, config.model.lora_targets, allowed))
    for name, phase in config.stage.items():
        if phase.train == "lora" and not config.model.lora_rank:
            yield Problem(
                f"stage.{name}.train",
                f"stage.{name}.train=lora needs adapters, and model.lora_rank is 0. Set the rank, "
                "such as model.lora_rank=8.",
            )


def _solver_problems(config: TrainConfig) -> Iterator[Problem]:
    """What `lbfgs` needs: a linear head on fixed features, and whole labels."""
    for name, phase in config.stage.items():
        if phase.solver != "lbfgs":
            continue
        key = f"stage.{name}.solver"
        needs = {
            f"stage.{name}.train=head": phase.train == "head",
            f"stage.{name}.augment=none": _augments(config, phase) == "none",
            "model.hidden=0": config.model.hidden == 0,
            "task.label_smoothing=0": getattr(config.task, "label_smoothing", 0) == 0,
            "runtime.cache=auto": config.runtime.cache == "auto",
        }
        missing = [need for need, given in needs.items() if not given]
        if missing:
            yield Problem(
                key,
                f"{key}=lbfgs fits a linear head to fixed features and whole labels. It needs "
                f"{' and '.join(missing)}.",
            )


def _augments(config: TrainConfig, phase: PhaseConfig) -> str:
    own = config.data.augment if isinstance(config.data, ImageData) else "none"
    return phase.augment or own


def _duration_problem(key: str, text: str, unit: str) -> str:
    allowed = "`500 steps`, `10 epochs`, or a number of epochs"
    if unit == "steps":
        allowed = "`500 steps`, `2 epochs` or `5%`"
    try:
        found = durations.parse(text, unit)
        if unit == "steps" or found.steps(steps_per_epoch=1000) >= 1:
            return ""
    except FmkitError:
        return received(key, text, allowed)
    return received(key, text, "a length above 0", f"To leave the phase out: ~{_parent(key)}")


def _interval_problem(key: str, text: str) -> str:
    try:
        durations.parse_interval(text)
    except FmkitError as error:
        return f"{key}: {error.message}"
    return ""


def _train_problem(key: str, text: str) -> str:
    try:
        trainable.parse(text, key)
    except FmkitError as error:
        return error.message
    return ""


def _rates_problem(key: str, rates: Mapping[str, float]) -> str:
    for pattern, factor in rates.items():
        wrong = trainable.pattern_problem(pattern)
        if wrong:
            return received(key, pattern, f"a regular expression for names of blocks ({wrong})")
        if not 0 < factor < math.inf:
            what = "a factor above 0; to keep a block frozen, name the others in train"
            return received(f"{key}.{pattern}", factor, what)
    return ""


def _parent(key: str) -> str:
    return key.rpartition(".")[0]


_OWN_PHOTOS = ImageFolderData | PhotosData | ImageTableData


def _data_problems(data: Any) -> Iterator[Problem]:
    if data.val_fraction + data.test_fraction >= 1:
        yield Problem(
            "data.val_fraction",
            f"data.val_fraction={data.val_fraction:g} and data.test_fraction="
            f"{data.test_fraction:g} leave nothing to train on. Their sum must be below 1.",
        )
    if (encoding := getattr(data, "encoding", None)) and (
        wrong := encodings.problem("data.encoding", encoding)
    ):
        yield Problem("data.encoding", wrong)
    movable = ImageFolderData | ImageTableData | PhotosData | TextFolderData
    if data.on_bad == "quarantine" and not isinstance(data, movable):
        yield Problem(
            "data.on_bad",
            f"data.on_bad=quarantine moves files, and data={data.name} has none that are yours. "
            "Leave out what is wrong instead: data.on_bad=skip",
        )
