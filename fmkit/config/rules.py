"""Rules across keys: values that do not go together."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fmkit.config import compatibility
from fmkit.config.registry import config_classes, source_entry, task_entry
from fmkit.config.schema.commands import CheckConfig, TokenizerConfig, TrainConfig
from fmkit.config.schema.data import (
    ConllData,
    TokenTableData,
)
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.runtime import PhaseConfig
from fmkit.config.schema.task import DpoConfig, JointConfig, MaskedImageConfig, RegressionConfig
from fmkit.core import registry
from fmkit.core.errors import Problem, closest_names, join_names, received
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


def _kind_problems(config: Any) -> Iterator[Problem]:
    """A `name` that belongs to another dataclass than the one that its group was composed with."""
    for group in ("data", "optimizer", "task"):
        chosen = getattr(config, group, None)
        kind = config_classes(group).get(getattr(chosen, "name", ""))
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
    monitors = task_entry(task.name).monitors
    if not isinstance(task, JointConfig) and task.monitor not in monitors:
        what = f"task.monitor for task.name={task.name}"
        yield Problem("task.monitor", received(what, task.monitor, monitors))
    if isinstance(task, MaskedImageConfig) and task.method == "mae" and task.mask_block is not None:
        yield Problem(
            "task.mask_block",
            f"task.mask_block={task.mask_block} is for task.method=simmim: mae hides the patches "
            "of the model. Leave it out, or take task.method=simmim.",
        )
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
    if model.tokenizer and model.name not in (*TAKE_TOKENIZER, *registry.names("models", {})):
        yield Problem(
            "model.tokenizer",
            f"model.tokenizer={model.tokenizer!r} is only for {join_names(TAKE_TOKENIZER)}: "
            f"model.name={model.name} has a tokenizer of its own, or reads none.",
        )
    wrong = "" if model.weights in OWN_WEIGHTS else _weights_problem(model)
    if wrong:
        yield Problem("model.weights", wrong)
    yield from _lora_problems(config)
    yield from compatibility.problems(config)
    if isinstance(task, DpoConfig):
        yield from _preference_problems(task)


def _preference_problems(task: Any) -> Iterator[Problem]:
    """Keys of preference tuning that do not go together."""
    if task.label_smoothing and task.loss_type != "sigmoid":
        yield Problem(
            "task.label_smoothing",
            f"task.label_smoothing={task.label_smoothing:g} is for task.loss_type=sigmoid; "
            f"task.loss_type is {task.loss_type}.",
        )
    elif task.label_smoothing >= 0.5:
        what = "task.label_smoothing for task.name=dpo"
        yield Problem(
            "task.label_smoothing",
            received(what, task.label_smoothing, "a number from 0 to below 0.5"),
        )


def _weights_problem(model: ModelConfig) -> str:
    """What is wrong with a path in `model.weights`; empty when nothing is."""
    path = Path(model.weights)
    if not path.is_file():
        close = closest_names(path.name.lower(), OWN_WEIGHTS)
        meant = f"Did you mean {close[0]}?" if close else ""
        allowed = f"{', '.join(OWN_WEIGHTS)}, or a file that exists"
        return received("model.weights", display_path(path), allowed, meant)
    suffixes = WEIGHT_SUFFIXES.get(model.name, WEIGHT_SUFFIXES[""])
    if model.name in registry.names("models", {}) or path.name.endswith(suffixes):
        return ""  # what a plugin's model reads is its own affair
    allowed = f"a file whose name ends in {' or '.join(suffixes)}, for model {model.name}"
    return received("model.weights", display_path(path), allowed)


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
        if isinstance(config.task, RegressionConfig) and config.task.loss != "mse":
            yield Problem(
                key,
                f"{key}=lbfgs finds the least squares of a regression, and task.loss="
                f"{config.task.loss}. Leave one of them out.",
            )
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
    return phase.augment or str(getattr(config.data, "augment", "none"))


def _tokenizer_problems(config: TokenizerConfig) -> Iterator[Problem]:
    """What a vocabulary can be made of, and which keys are of the other kind."""
    data = config.data
    modality = source_entry(data.name).modality
    if modality and not modality_entry(modality).has_tokenizer:
        yield Problem(
            "data.name",
            f"a vocabulary is made of texts, and data={data.name} has "
            f"{modality_entry(modality).plural}. Take "
            "data=text_files, data=text_lines, or the texts of a classifier such as "
            "data=text_table.",
        )
    if config.split not in ("train", "all"):
        yield Problem("split", received("split", config.split, ("train", "all")))
    if config.kind == "byte_pair":
        for key in ("lowercase", "strip_accents"):
            if getattr(config, key):
                yield Problem(key, f"{key}=true goes with kind=word_piece; byte_pair keeps texts.")
        if config.size < MIN_BYTE_PAIRS:
            what = f"{MIN_BYTE_PAIRS} pieces or more: 256 bytes and {MIN_BYTE_PAIRS - 256} marks"
            yield Problem("size", received("size", config.size, what))
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
        yield from _conll_problems(data)
    if isinstance(data, TokenTableData) and data.tag_names is not None:
        twice = {each for each in data.tag_names if data.tag_names.count(each) > 1}
        if twice or len(data.tag_names) < 2:
            allowed = "two or more different names, in the order of their numbers"
            yield Problem("data.tag_names", received("data.tag_names", data.tag_names, allowed))
    if (encoding := getattr(data, "encoding", None)) and (
        wrong := encoding_problem("data.encoding", encoding)
    ):
        yield Problem("data.encoding", wrong)
    if data.on_bad == "quarantine" and not source_entry(data.name).has_user_files:
        yield Problem(
            "data.on_bad",
            f"data.on_bad=quarantine moves files, and data={data.name} has none that are yours. "
            "Leave out what is wrong instead: data.on_bad=skip",
        )


def _column_problems(data: Any, undecided: tuple[str, ...]) -> Iterator[Problem]:
    """Keys of labels that do not go with what the labels are."""
    kind = getattr(data, "labels", "classes")
    several = getattr(data, "label_columns", None)
    if several and kind not in ("sets", "numbers", *undecided):
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


def _conll_problems(data: ConllData) -> Iterator[Problem]:
    for key in ("word_column", "tag_column"):
        column = getattr(data, key)
        if not column or abs(column) > _MAX_COLUMNS:
            allowed = f"1 to {_MAX_COLUMNS}, or -1 to -{_MAX_COLUMNS} from the last one backwards"
            yield Problem(f"data.{key}", received(f"data.{key}", column, allowed))
    if data.word_column == data.tag_column:
        yield Problem(
            "data.tag_column",
            f"data.tag_column={data.tag_column} is that of the words, too. Name another one.",
        )


_MAX_COLUMNS = 1000


def problems(config: Any) -> Iterator[Problem]:
    """What is wrong although each key by itself is right.

    Args:
        config: an object of one of the command dataclasses.
    """
    yield from _kind_problems(config)
    if isinstance(config, TrainConfig):
        yield from _train_problems(config)
    if isinstance(config, TokenizerConfig):
        yield from _tokenizer_problems(config)
    if hasattr(config, "data"):
        yield from _data_problems(config.data)
        # What a run learned decides `auto` in `fmkit eval`, later.
        undecided = () if isinstance(config, CheckConfig) else ("auto",)
        yield from _column_problems(config.data, undecided)


DEFAULT_ENCODING = (
    *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii", "cp1252", "latin-1"),
    *("cp1251", "koi8-r", "shift_jis", "cp932", "euc_jp", "euc_kr", "gb18030", "big5"),
)
"""Encodings that texts often have, for a suggestion; others that Python knows are taken, too."""

_NOT_OF_FILES = ("undefined", "unicode-escape", "raw-unicode-escape", "idna", "punycode")
"""What Python counts among the encodings of text, and no text file has."""


def encoding_problem(key: str, name: str) -> str:
    """What is wrong with the name of an encoding; empty when nothing is."""
    try:
        found = codecs.lookup(name)
        if getattr(found, "_is_text_encoding", True) and found.name not in _NOT_OF_FILES:
            return ""
    except (LookupError, ValueError):
        pass  # no such name, or one that no module can have
    return received(key, name, DEFAULT_ENCODING)
