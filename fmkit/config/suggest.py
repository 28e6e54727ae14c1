"""Unknown keys and values of the wrong type: what was probably meant, and what is allowed."""

import contextlib
import dataclasses
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from omegaconf import BooleanNode, FloatNode, IntegerNode, StringNode
from omegaconf.errors import OmegaConfBaseException

from fmkit.config.registry import BASES, GROUPS, all_config_classes, config_classes
from fmkit.config.schema.keys import KeyInfo, field_types, key_infos
from fmkit.config.schema.task import JointConfig, ObjectiveConfig
from fmkit.config.yaml_files import Assignment
from fmkit.core.errors import closest_names, join_names, received, short_repr

SYNONYMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("lr", "rate"), ("learning_rate",)),
    **dict.fromkeys(
        ("b", "bs", "batch", "batchsize", "per_device_train_batch_size"), ("batch_size",)
    ),
    **dict.fromkeys(("wd", "decay"), ("weight_decay",)),
    **dict.fromkeys(("size", "img_size", "imgsz", "resolution"), ("image_size",)),
    **dict.fromkeys(("epoch", "num_epochs", "n_epochs", "num_train_epochs"), ("epochs",)),
    **dict.fromkeys(("path", "dir", "folder", "data_dir", "data_path", "input"), ("root",)),
    **dict.fromkeys(("train_file", "dataset", "csv", "file", "source"), ("root",)),
    **dict.fromkeys(("label", "target", "label_col", "target_column", "y_col"), ("label_column",)),
    **dict.fromkeys(("split", "val_split", "validation_split", "val_size"), ("val_fraction",)),
    **dict.fromkeys(("test_split", "test_size"), ("test_fraction",)),
    **dict.fromkeys(("text", "text_col"), ("text_column",)),
    **dict.fromkeys(("grad_clip", "max_grad_norm", "clip"), ("clip_norm",)),
    **dict.fromkeys(("gradient_accumulation_steps", "accum"), ("accumulation",)),
    **dict.fromkeys(("fp16", "half"), ("precision=mixed_float16",)),
    **dict.fromkeys(("bf16",), ("precision=mixed_bfloat16",)),
    **dict.fromkeys(("amp", "mixed_precision", "dtype"), ("precision",)),
    **dict.fromkeys(("gpu", "gpus", "device", "cuda"), ("devices",)),
    **dict.fromkeys(("random_state", "random_seed"), ("seed",)),
    **dict.fromkeys(("scheduler", "lr_scheduler", "lr_scheduler_type"), ("schedule",)),
    **dict.fromkeys(("warmup_steps", "warmup_ratio"), ("warmup",)),
    **dict.fromkeys(("early_stopping",), ("patience",)),
    **dict.fromkeys(("max_len", "max_seq_length", "seq_len"), ("max_length",)),
    **dict.fromkeys(("augmentation",), ("augment",)),
    **dict.fromkeys(("output_dir", "save_dir"), ("runs_dir",)),
    **dict.fromkeys(("o", "out", "output_file"), ("output",)),
    **dict.fromkeys(("checkpoint", "ckpt"), ("init", "run", "keep", "save_every")),
    **dict.fromkeys(("lora_r", "r"), ("lora_rank",)),
    **dict.fromkeys(("xla", "compile"), ("jit",)),
    **dict.fromkeys(("logger", "report_to", "log_with"), ("loggers",)),
    **dict.fromkeys(("log_models", "log_checkpoints"), ("log_model",)),
}
"""What other tools call our keys, by the last part of their names; with `=` also the value."""

OTHER_OPTION = "here. It belongs to"
"""What a message says of a key that another option of its group has."""

OBJECTIVE = "[a-z][a-z0-9_]{0,29}"
"""Names of objectives, as a regular expression."""

_TYPES: dict[Any, tuple[str, Callable[[Any], Any] | None]] = {
    int: ("a whole number", IntegerNode),
    float: ("a number", FloatNode),
    bool: ("true or false", BooleanNode),
    str: ("a text", StringNode),
    list[str]: ("a list of texts, such as [one,two]", None),
    list[float]: ("a list of numbers, such as [0,1]", None),
}
"""By type, its name, and what OmegaConf reads it with."""


def declaration(key: str, command: type, types: Mapping[str, type]) -> tuple[KeyInfo, Any]:
    """What the field of a key says of it, and its type; nothing and Any where there is no field.

    Args:
        key: full key.
        command: config class of the command.
        types: as for `problem_with`.
    """
    parts = key.split(".")
    if key.startswith("task.objectives."):
        inside = parts[3:]
        classes = [ObjectiveConfig] if len(inside) == 1 else all_config_classes(inside[0])
        name = inside[-1] if len(inside) < 3 else inside[1]
    elif len(parts) == 1:
        classes, name = [command], key
    else:
        classes, name = [types[parts[0]]], ".".join(parts[2 if parts[0] == "stage" else 1 :])
    for config in classes:
        if name in field_types(config) and f".{key}".endswith(f".{name}"):  # else a mapping's own
            return key_infos(config)[name], field_types(config)[name]
    return KeyInfo(), Any


def all_keys(types: dict[str, type], phases: list[str]) -> list[str]:
    """Every full key that a command's config has."""
    keys: list[str] = []
    for name, kind in types.items():
        if name == "stage":
            keys.extend(f"stage.{phase}.{inner}" for phase in phases for inner in field_types(kind))
        elif dataclasses.is_dataclass(kind):
            keys.extend(f"{name}.{inner}" for inner in field_types(kind))
        else:
            keys.append(name)
    return keys


def _keys_of_others(types: dict[str, type]) -> list[str]:
    """The full keys that only options of a command's groups have which are not chosen."""
    return [
        f"{group}.{name}"
        for group, chosen in types.items()
        if group in BASES
        for config in all_config_classes(group)
        for name in field_types(config)
        if name not in field_types(chosen)
    ]


def problem_with(assignment: Assignment, types: dict[str, type], phases: list[str]) -> str:
    """What is wrong with one assignment; empty when nothing is.

    Args:
        assignment: what a user wrote.
        types: by top-level key, the dataclass behind a group, the phase's dataclass for `stage`,
            or the plain type of a scalar.
        phases: names of the phases of the chosen stage.
    """
    is_joint = issubclass(types.get("task", object), JointConfig)
    if is_joint and assignment.key.startswith("task.objectives."):
        problem = _objective_problem(assignment)
    else:
        problem = _unknown(assignment, types, phases) or _wrong_type(assignment, types)
    return f"{assignment.where}: {problem}" if problem and assignment.where else problem


def _unknown(assignment: Assignment, types: dict[str, type], phases: list[str]) -> str:
    key, value = assignment.key, assignment.value
    top, *parts = key.split(".")
    if top not in types:
        return _unknown_group(key, types, phases)
    kind = types[top]
    if not dataclasses.is_dataclass(kind):
        return _unknown_key(key, types, phases, "") if parts else ""
    if not parts:
        if value is None or isinstance(value, dict):
            return ""
        return f"{top} is a group of keys, not a value; received {short_repr(value)}."
    if top == "stage":
        phase, *parts = parts
        if phase not in phases:
            close = closest_names(phase, phases)
            if close:
                meant = " or ".join(".".join(["stage", name, *parts]) for name in close)
                return f"unknown key {key!r}. Did you mean {meant}?"
            if phase in field_types(kind):
                meant = " or ".join(f"stage.{name}.{phase}" for name in phases)
                return f"unknown key {key!r}. Did you mean {meant}?"
            return (
                f"unknown key {key!r}. Phases of this stage: {join_names(phases)}. Others go into "
                "a file of your own, DIR/stage/mine.yaml: --config-dir=DIR stage=mine"
            )
        if not parts:
            hint = f"{key} is a phase: set one of its keys, such as {key}.epochs."
            return "" if isinstance(value, dict) else hint
    allowed = field_types(kind)
    if ".".join(parts) in allowed or _is_mapping(allowed.get(parts[0])):
        return ""
    if inner := [name for name in allowed if name.startswith(f"{parts[0]}.")][: len(parts) == 1]:
        return f"{key} has keys of its own: set one of them, such as {top}.{inner[0]}."
    options = [
        f"{top}={option}"
        for option, other in config_classes(top).items()
        if parts[0] in field_types(other)
    ]
    if options:
        return f"unknown key {key!r} {OTHER_OPTION} {' and '.join(options)}: name one, too."
    section = ".".join(parts[:-1])
    siblings = [name.rpartition(".")[2] for name in allowed if name.rpartition(".")[0] == section]
    if not siblings:  # there is no such section
        siblings = [*allowed]
    note = f"Keys of {key.rpartition('.')[0]}: {join_names(siblings)}."
    return _unknown_key(key, types, phases, note, siblings)


def _unknown_group(key: str, types: dict[str, type], phases: list[str]) -> str:
    top, _, rest = key.partition(".")
    groups = closest_names(top, [*(name for name in types if name in BASES), "stage", "experiment"])
    if groups and groups[0] in types and not rest:
        return f"unknown group {key!r}. Did you mean {' or '.join(groups)}?"
    if top in GROUPS:
        return f"unknown key {key!r}: {top} is the run's own here. Leave it out."
    return _unknown_key(key, types, phases, f"Known are: {join_names(sorted(types))}.")


def _objective_problem(assignment: Assignment) -> str:
    """What is wrong with a key of an objective, whichever task and data that has."""
    key, value = assignment.key, assignment.value
    name, *inside = key.split(".")[2:]
    if not re.fullmatch(OBJECTIVE, name):
        allowed = "a name of small letters, digits and _, beginning with a letter"
        return received("the name of an objective", name, allowed)
    fields = field_types(ObjectiveConfig)
    if not inside:
        hint = f"{key} is an objective: set one of its keys, such as {key}.task.name."
        return "" if value is None or isinstance(value, dict) else hint
    group, *path = inside
    if group not in fields:
        close = closest_names(SYNONYMS.get(group, (group,))[0], fields)
        meant = " or ".join(f"task.objectives.{name}.{field}" for field in close)
        hint = f"Did you mean {meant}?" if close else f"Known are: {join_names([*fields])}."
        return f"unknown key {key!r}. {hint}"
    if group not in BASES:
        if path:
            return f"unknown key {key!r}: {group} is a number."
        return _mismatch(assignment, fields[group], key_infos(ObjectiveConfig)[group].help)
    if not path:
        is_valid = value is None or isinstance(value, dict | str)
        return "" if is_valid else f"{key}: received {short_repr(value)}. Expected keys of {group}."
    classes = all_config_classes(group)
    owners = [config for config in classes if path[0] in field_types(config)]
    if not owners:
        all_names = {field for config in classes for field in field_types(config)}
        return _unknown_key(key, {}, [], f"No {group} has it.", sorted(all_names))
    if len(path) > 1:
        return ""
    # The name of the task or data, which decides among the classes, may not be known yet.
    problems = [
        _mismatch(assignment, field_types(owner)[path[0]], key_infos(owner)[path[0]].help)
        for owner in owners
    ]
    return "" if "" in problems else problems[0]


def _unknown_key(
    key: str, types: dict[str, type], phases: list[str], note: str, siblings: Sequence[str] = ()
) -> str:
    """Word an unknown key: the nearest in its group, then the same leaf in any group.

    Keys that only options have which are not chosen come after the others.
    """
    leaf = key.rpartition(".")[2]
    meant = {
        name: value for name, _, value in (w.partition("=") for w in SYNONYMS.get(leaf, (leaf,)))
    }
    own, others = all_keys(types, phases), _keys_of_others(types)
    close = (
        _nearest_sibling(key, meant, siblings, others)
        or [full for full in own if full.rpartition(".")[2] in meant]
        or [*dict.fromkeys(full for full in others if full.rpartition(".")[2] in meant)]
    )
    if not close and ("." not in key or not note):
        leaves = {full: full.rpartition(".")[2] for full in [*own, *others]}
        nearest = closest_names(leaf, dict.fromkeys(leaves.values()), limit=1)
        close = [full for full in leaves if leaves[full] in nearest]
    values = (meant.get(full.rpartition(".")[2], "") for full in close)
    close = [
        f"{full}={value}" if value else full for full, value in zip(close, values, strict=True)
    ]
    hint = f"Did you mean {' or '.join(close[:3])}?" if close else note
    return f"unknown key {key!r}. {hint}".rstrip()


def _nearest_sibling(
    key: str, meant: Iterable[str], siblings: Sequence[str], others: Sequence[str]
) -> list[str]:
    """The full keys of the same section that are meant, or are the most similar."""
    prefix, _, leaf = key.rpartition(".")
    beside = [full.rpartition(".")[2] for full in others if full.rpartition(".")[0] == prefix]
    names = [name for name in (*siblings, *beside) if prefix and name in meant]
    names = names or closest_names(leaf, siblings) or closest_names(leaf, beside)
    return [f"{prefix}.{name}" for name in dict.fromkeys(names)]


def likeliest(keys: Sequence[str]) -> str:
    """Of keys or settings that may be meant, the first outside of the phases, or the last phase's.

    In the last phase the most is trained.
    """
    return next((key for key in keys if not key.startswith("stage.")), keys[-1])


def _wrong_type(assignment: Assignment, types: dict[str, type]) -> str:
    top, *inside = assignment.key.split(".")
    config, value = types[top], assignment.value
    if isinstance(value, str) and "${" in value:
        return ""  # an interpolation: Hydra resolves it, and the result is checked again
    if not dataclasses.is_dataclass(config):
        return _mismatch(assignment, config, "")
    inside = inside[1:] if top == "stage" else inside
    if not inside:
        return ""
    name = ".".join(inside)
    name = name if name in field_types(config) else inside[0]  # a mapping's own key
    kind, meaning = field_types(config)[name], key_infos(config)[name].help
    if not _is_mapping(kind):
        return _mismatch(assignment, kind, meaning)
    if name != ".".join(inside):
        kind = typing.get_args(kind)[1]
        return "" if kind is Any else _mismatch(assignment, kind, meaning)
    if isinstance(value, dict):
        return ""
    return f"{assignment.key}: received {short_repr(value)}. Expected a mapping. {meaning}"


def _is_mapping(kind: Any) -> bool:
    return typing.get_origin(kind) is dict


def _mismatch(assignment: Assignment, kind: Any, meaning: str) -> str:
    """Whether a value is not of the type of its key; empty when it is."""
    key, value = assignment.key, assignment.value
    options = () if _is_mapping(kind) else typing.get_args(kind)
    plain = next((option for option in options if option is not type(None)), kind)
    expected, node = _TYPES.get(plain, (str(plain), None))
    if value is None:
        if type(None) in options:
            return ""
        expected = expected if plain in _TYPES else "a value"
        return f"{key} must not be empty. Expected {expected}. {meaning}"
    if plain == list[str] and isinstance(value, list):
        return ""  # `rules` checks what is in it
    with contextlib.suppress(OmegaConfBaseException):
        if plain == list[float] and isinstance(value, list):
            for item in value:
                FloatNode(item)
            return ""
        if node is not None:
            node(value)
            return ""
    return f"{key}: received {short_repr(value)}. Expected {expected}. {meaning}".rstrip()
