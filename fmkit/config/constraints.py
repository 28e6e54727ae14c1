"""By key, the numbers that it may have."""

from __future__ import annotations

import math
from collections.abc import Callable

MAX_VALUE = 2**31 - 1
"""No count or size is above this; larger ones do not fit into what computes with them."""


def _at_least(low: float) -> tuple[str, Callable[[float], bool]]:
    return (
        f"a number of at least {low:g} and at most {MAX_VALUE}",
        lambda value: low <= value <= MAX_VALUE,
    )


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
    "task.huber_delta": _above(0),
    "task.beta": _above(0),
    "task.sft_weight": _at_least(0),
    "task.alpha": ("a number from 0 to 1", lambda value: 0 <= value <= 1),
    "task.objectives.*.weight": _at_least(0),
    "task.objectives.*.batch_size": _at_least(1),
    "task.stride": _at_least(1),
    "task.max_question": _at_least(1),
    "task.max_answer": _at_least(1),
    "task.watch_examples": _at_least(0),
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
    "task.decoder_width": (
        "a multiple of 4, from 8 to 4096",
        lambda value: 8 <= value <= 4096 and value % 4 == 0,
    ),
    "task.decoder_depth": ("from 1 to 16", lambda value: 1 <= value <= 16),
    "runtime.seed": ("a whole number from 0 to 2147483647", lambda value: 0 <= value < 2**31),
    "runtime.log_every": _at_least(0),
    "runtime.keep": _at_least(1),
    "temperature": ("from 0 to 100", lambda value: 0 <= value <= 100),
    "top_k": _at_least(1),
    "top_p": ("above 0 and at most 1", lambda value: 0 < value <= 1),
    "max_tokens": _at_least(1),
    "seed": ("a whole number from 0 to 2147483647", lambda value: 0 <= value < 2**31),
    "size": ("from 10 to 1000000 pieces", lambda value: 10 <= value <= 1_000_000),
    "min_frequency": _at_least(1),
    "bootstrap": _at_least(0),
    "batch_size": _at_least(1),
}
"""By key, the allowed range in words and as a test; an empty value passes."""

CHOICES: dict[str, tuple[str, ...]] = {
    "model.pooling": ("auto", "avg", "max", "cls", "last", "attention"),
    "model.chat_template": ("auto", "chatml", "smollm2", "llama3", "gemma", "zephyr", "plain"),
    "data.augment": ("none", "light", "medium", "strong", "views"),
    "stage.*.augment": ("none", "light", "medium", "strong", "views"),
    "stage.*.solver": ("gradient", "lbfgs"),
    "runtime.cache": ("auto", "never"),
    "runtime.cache_dtype": ("float32", "float16"),
    "data.flip": ("none", "horizontal", "both"),
    "data.resize": ("squash", "pad", "crop"),
    "data.labels": ("auto", "classes", "sets", "numbers"),
    "data.on_bad": ("error", "skip", "quarantine"),
    "optimizer.name": ("adamw", "adam", "sgd", "lion", "muon"),
    "optimizer.schedule": ("cosine", "linear", "constant", "step"),
    "stage.*.batchnorm": ("frozen", "train"),
    "task.loss_type": ("sigmoid", "ipo", "hinge"),
    "task.class_weights": ("none", "balanced"),
    "task.loss": ("mse", "mae", "huber"),
    "task.method": ("auto", "simmim", "mae"),
    "task.weighting": ("fixed", "uncertainty"),
    "runtime.precision": ("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    "runtime.jit": ("auto", "true", "false"),
    "runtime.devices": ("one", "all"),
    "runtime.extractor": ("auto", "keras", "openvino"),
    "recipe": ("none", "auto"),
    "split": ("train", "val", "test", "all"),
    "kind": ("byte_pair", "word_piece"),
    "pattern": ("gpt2", "llama3", "o200k", "qwen", "bloom", "falcon", "single_digits"),
}
"""The allowed values of keys that take a name; `*` stands for any phase."""
