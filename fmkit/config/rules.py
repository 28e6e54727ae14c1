"""The rules of a config: allowed values and ranges of single keys, and what does not go together.

The range of a single key (`data.batch_size` is at least 1, so that 0 is refused), its choices and
its syntax are declared at the field, in `config/schema`, and checked here by `value_problem`.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from fmkit.config import compatibility, solvers, trainable
from fmkit.config.registry import config_classes, source_entry, task_entry
from fmkit.config.schema.commands import CheckConfig, TokenizerConfig, TrainConfig
from fmkit.config.schema.data import ConllData, TokenTableData
from fmkit.config.schema.keys import KeyInfo, info_of
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import DpoConfig, JointConfig, MaskedImageConfig
from fmkit.core import registry, sanitize
from fmkit.core.errors import Problem, closest_names, join_names, received, short_repr
from fmkit.core.files import display_path
from fmkit.core.modalities import modality_entry

_KERAS = (".keras", ".h5", ".safetensors", ".npz")

WEIGHT_SUFFIXES = {"": _KERAS, "efficientnet_lite0": (*_KERAS, ".pth")}
"""By model, how the name of a file in `model.weights` ends; empty: every other model of fmkit's."""

OWN_WEIGHTS = ("imagenet", "pretrained", "none")
"""What `model.weights` may be other than a file; the first two mean the same."""

TAKE_TOKENIZER = ("small_bert", "small_gpt")
"""The models that have no vocabulary of their own, so that `model.tokenizer` may bring one."""

MIN_BYTE_PAIRS = 260
"""Pieces of the smallest vocabulary of bytes: each of them, and four marks."""

_MAX_COLUMNS = 1000


def problems(config: Any, names: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Everything wrong with a typed config, all at once.

    Args:
        config: an object of one of the command dataclasses.
        names: allowed values of `model.name`, `data.name` and `task.name`.
    """
    rows = ((key, value_problem(key, info, value, names)) for key, info, value in leaves(config))
    single = [Problem(key, message) for key, message in rows if message]
    if any(problem.key.endswith(".name") for problem in single):
        return single  # the rules look rows up by these names
    return [*single, *_problems_across_keys(config)]


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, KeyInfo, Any]]:
    """Rows (full key, what is known of it, value) of a typed config."""
    for field in dataclasses.fields(config):
        key, value = f"{prefix}{field.name}", getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{key}.")
        elif isinstance(value, dict) and field.name in ("objectives", "stage"):
            for name, inner in value.items():
                if dataclasses.is_dataclass(inner):  # an objective is a mapping until it is typed
                    yield from leaves(inner, f"{key}.{name}.")
        else:
            yield key, info_of(field), value


def rule_of(key: str) -> str:
    """A full key with `*` for a phase's name; of an objective's task and data, the group's key."""
    parts = key.split(".")
    if parts[:2] == ["task", "objectives"] and len(parts) > 3:
        own = parts[3:] if len(parts) > 4 else ["task", "objectives", "*", parts[3]]
        return ".".join(own)
    return ".".join(["stage", "*", *parts[2:]]) if parts[0] == "stage" else key


def value_problem(key: str, info: KeyInfo, value: Any, names: Mapping[str, Sequence[str]]) -> str:
    """What is wrong with one value of the right type; empty when nothing is.

    Args:
        key: full key.
        info: what its field says of it.
        value: of the field's type.
        names: allowed values of `model.name`, `data.name` and `task.name`.
    """
    if value is None:
        return ""
    if isinstance(value, list):
        return _list_problem(key, value) or (info.check(key, value) if info.check else "")
    if isinstance(value, float) and not math.isfinite(value):
        return received(key, value, "a finite number")
    if isinstance(value, int) and abs(value) >= 2**63:
        return received(key, value, "a whole number below 2^63")
    if isinstance(value, str) and (problem := sanitize.text_problem(key, value)):
        return problem
    if value == MISSING:
        return f"{key}: `{MISSING}` stands for a value that is missing. Write one."
    if value == "":
        return f"{key} must not be empty. Leave it out, or write null where nothing is meant."
    # YAML has read `true` as a truth value, where that is one of the choices.
    choice = str(value).lower() if isinstance(value, bool) else value
    if info.choices and choice not in info.choices:
        return received(key, value, info.choices)
    if (rule := rule_of(key)) in names and value not in names[rule]:
        return received(key, value, names[rule])
    if info.range and not info.range.contains(float(value)):
        return received(key, value, info.range.phrase)
    return info.check(key, value) if info.check else ""


def reading_problem(info: KeyInfo, kind: Any, value: Any, text: str) -> str:
    """Whether YAML reads a text as something else, such as `yes` as True; empty when it does not.

    Args:
        info: what the key's field says of it.
        kind: the field's type.
        value: as it was read.
        text: as it was written; empty where that is not known.
    """
    if not text or not isinstance(value, bool | int | float) or str(value) == text:
        return ""
    # A check knows a syntax of its own, in which a bare number may have a meaning.
    if info.check or "true" in info.choices or kind not in (str, str | None):
        return ""
    kind_read = "a truth value" if isinstance(value, bool) else "a number"
    return f"{text} is read as {kind_read} and would become {str(value)!r}. Write it in quotes"


def _list_problem(key: str, values: Sequence[Any]) -> str:
    """What is wrong with a list of names; empty when nothing is."""
    if not values:
        return f"{key} must not be empty. Leave it out, or write null where nothing is meant."
    for name in values:
        if isinstance(name, dict | list) or name in (None, ""):
            return received(key, values, "a list of names, such as [one,two]")
        if "${" in str(name):
            return f"{key}: {short_repr(name)} refers to something; a name in a list must not."
        if problem := sanitize.text_problem(key, str(name)):
            return problem
    repeated = [str(name) for number, name in enumerate(values) if name in values[:number]]
    return f"{key}: duplicate entries: {join_names(repeated)}." if repeated else ""


def _problems_across_keys(config: Any) -> Iterator[Problem]:
    """What is wrong although each key by itself is right."""
    for group in ("data", "optimizer", "task"):
        chosen = getattr(config, group, None)
        kind = config_classes(group).get(getattr(chosen, "name", ""))
        if chosen is not None and kind is not None and type(chosen) is not kind:
            yield Problem(
                f"{group}.name",
                f"{group}.name={chosen.name} changes the name alone. Write {group}={chosen.name}, "
                "which brings the keys and defaults that go with it.",
            )
    if isinstance(config, TrainConfig):
        if not config.stage:
            yield Problem("stage", "stage has no phase. Choose one, such as stage=lp_ft.")
        yield from _phase_problems(config)
        yield from solvers.problems(config)
        yield from _task_problems(config.task)
        yield from _model_problems(config.model)
        yield from compatibility.problems(config)
    if isinstance(config, CheckConfig):
        if config.model is not None and not config.label_errors:
            message = "model is for label_errors=true, and fmkit check trains nothing. Add that."
            yield Problem("model.name", message)
        elif config.model is not None:
            yield from _model_problems(config.model)
        yield from compatibility.task_and_data_problems(config)
    if isinstance(config, TokenizerConfig):
        yield from _tokenizer_problems(config)
    if hasattr(config, "data"):
        # What a run learned decides `auto` in `fmkit eval`, later.
        undecided = () if isinstance(config, CheckConfig) else ("auto",)
        yield from _data_problems(config.data)
        yield from _label_problems(config.data, undecided)


def _phase_problems(config: TrainConfig) -> Iterator[Problem]:
    """What phases need that other keys decide: adapters, weights to go back to."""
    if isinstance(config.task, JointConfig) and config.data.refit == "true":
        message = "data.refit=true is for one task, and task=joint has several. Leave it out."
        yield Problem("data.refit", message)
    for name, phase in config.stage.items():
        if phase.train == "lora" and not config.model.lora_rank:
            yield Problem(
                f"stage.{name}.train",
                f"stage.{name}.train=lora needs adapters, and model.lora_rank is 0. Set the rank, "
                "such as model.lora_rank=8.",
            )
        if phase.interpolate == "true" and (problem := _interpolation_problem(config, name)):
            yield Problem(f"stage.{name}.interpolate", problem)


def _interpolation_problem(config: TrainConfig, name: str) -> str:
    """Why a phase has no weights to go back to; empty where it has."""
    key = f"stage.{name}.interpolate=true"
    if isinstance(config.task, JointConfig):
        return f"{key} goes by one validation loss, and task=joint has several. Leave it out."
    if name == next(iter(config.stage)) and config.init is None:
        return (
            f"{key} goes back towards the weights of the phase before, and {name} is the first. "
            "Leave it out, or put a head phase first, as in stage=lp_ft."
        )
    return ""


def _task_problems(task: Any) -> Iterator[Problem]:
    monitors = task_entry(task.name).monitors
    if not isinstance(task, JointConfig) and task.monitor not in monitors:
        subject = f"task.monitor for task.name={task.name}"
        yield Problem("task.monitor", received(subject, task.monitor, monitors))
    if isinstance(task, MaskedImageConfig) and task.method == "mae" and task.mask_block is not None:
        yield Problem(
            "task.mask_block",
            f"task.mask_block={task.mask_block} is for task.method=simmim: mae hides the patches "
            "of the model. Leave it out, or take task.method=simmim.",
        )
    if not isinstance(task, DpoConfig):
        return
    if task.label_smoothing and task.loss_type != "sigmoid":
        yield Problem(
            "task.label_smoothing",
            f"task.label_smoothing={task.label_smoothing:g} is for task.loss_type=sigmoid; "
            f"task.loss_type is {task.loss_type}.",
        )
    elif task.label_smoothing >= 0.5:
        subject, allowed = "task.label_smoothing for task.name=dpo", "a number from 0 to below 0.5"
        yield Problem("task.label_smoothing", received(subject, task.label_smoothing, allowed))


def _model_problems(model: ModelConfig) -> Iterator[Problem]:
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
    if model.tokenizer and model.name not in (*TAKE_TOKENIZER, *registry.plugin_names("models")):
        yield Problem(
            "model.tokenizer",
            f"model.tokenizer={model.tokenizer!r} is only for {join_names(TAKE_TOKENIZER)}: "
            f"model.name={model.name} has a tokenizer of its own, or reads none.",
        )
    if model.weights not in OWN_WEIGHTS and (problem := _weights_problem(model)):
        yield Problem("model.weights", problem)
    if model.lora_targets and (reason := trainable.pattern_problem(model.lora_targets)):
        allowed = f"a regular expression, and this is none: {reason}"
        subject = "model.lora_targets"
        yield Problem(subject, received(subject, model.lora_targets, allowed))


def _weights_problem(model: ModelConfig) -> str:
    """What is wrong with a path in `model.weights`; empty when nothing is."""
    path = Path(model.weights)
    if not path.is_file():
        close = closest_names(path.name.lower(), OWN_WEIGHTS)
        meant = f"Did you mean {close[0]}?" if close else ""
        allowed = f"{', '.join(OWN_WEIGHTS)}, or a file that exists"
        return received("model.weights", display_path(path), allowed, meant)
    suffixes = WEIGHT_SUFFIXES.get(model.name, WEIGHT_SUFFIXES[""])
    if model.name in registry.plugin_names("models") or path.name.endswith(suffixes):
        return ""  # a plugin's model may read files of any format
    allowed = f"a file whose name ends in {' or '.join(suffixes)}, for model {model.name}"
    return received("model.weights", display_path(path), allowed)


def _tokenizer_problems(config: TokenizerConfig) -> Iterator[Problem]:
    """What a vocabulary can be made of, and which keys are of the other kind."""
    name = config.data.name
    modality = source_entry(name).modality
    if modality and not modality_entry(modality).has_tokenizer:
        yield Problem(
            "data.name",
            f"a vocabulary is made of texts, and data={name} has "
            f"{modality_entry(modality).plural}. Take data=text_files, data=text_lines, or the "
            "texts of a classifier such as data=text_table.",
        )
    if config.split not in ("train", "all"):
        yield Problem("split", received("split", config.split, ("train", "all")))
    if config.kind == "byte_pair":
        for key in ("lowercase", "strip_accents"):
            if getattr(config, key):
                yield Problem(key, f"{key}=true goes with kind=word_piece; byte_pair keeps texts.")
        if config.size < MIN_BYTE_PAIRS:
            allowed = f"{MIN_BYTE_PAIRS} pieces or more: 256 bytes and {MIN_BYTE_PAIRS - 256} marks"
            yield Problem("size", received("size", config.size, allowed))
    elif config.pattern != TokenizerConfig.pattern:
        yield Problem(
            "pattern", f"pattern={config.pattern} goes with kind=byte_pair; BERT's words are fixed."
        )


def _data_problems(data: Any) -> Iterator[Problem]:
    if data.val_fraction + data.test_fraction >= 1:
        yield Problem(
            "data.val_fraction",
            f"data.val_fraction={data.val_fraction:g} and data.test_fraction="
            f"{data.test_fraction:g} leave nothing to train on. Their sum must be below 1.",
        )
    if isinstance(data, ConllData):
        for key in ("word_column", "tag_column"):
            column = getattr(data, key)
            if not column or abs(column) > _MAX_COLUMNS:
                backwards = f"-1 to -{_MAX_COLUMNS} from the last one backwards"
                allowed = f"1 to {_MAX_COLUMNS}, or {backwards}"
                yield Problem(f"data.{key}", received(f"data.{key}", column, allowed))
        if data.word_column == data.tag_column:
            yield Problem(
                "data.tag_column",
                f"data.tag_column={data.tag_column} is that of the words, too. Name another one.",
            )
    tags = data.tag_names if isinstance(data, TokenTableData) else None
    if tags is not None and not 2 <= len(tags) == len(set(tags)):
        allowed = "two or more different names, in the order of their numbers"
        yield Problem("data.tag_names", received("data.tag_names", tags, allowed))
    if data.on_bad == "quarantine" and not source_entry(data.name).has_user_files:
        yield Problem(
            "data.on_bad",
            f"data.on_bad=quarantine moves files, and data={data.name} has none that are yours. "
            "Leave out what is wrong instead: data.on_bad=skip",
        )


def _label_problems(data: Any, undecided: tuple[str, ...]) -> Iterator[Problem]:
    """Keys of labels that do not go with what the labels are."""
    kind = getattr(data, "labels", "classes")
    if getattr(data, "label_columns", None) and kind not in ("sets", "numbers", *undecided):
        yield Problem(
            "data.label_columns",
            "data.label_columns names columns of several labels or numbers, and data.labels="
            f"{kind} is one class from data.label_column. Take task=multi_label or "
            "task=regression, or data.labels=sets or data.labels=numbers.",
        )
    if data.shots is not None and kind in ("sets", "numbers"):
        yield Problem(
            "data.shots",
            f"data.shots={data.shots} counts examples of each class, and data.labels={kind}. "
            "Take data.limit to train on fewer.",
        )
