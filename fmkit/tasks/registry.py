"""The tasks by name."""

from __future__ import annotations

from typing import Any

from fmkit.config.schema.task import TaskConfig
from fmkit.core import registry
from fmkit.core.types import DataSpec
from fmkit.tasks.base import add_defaults

TASKS = {
    "classification": "fmkit.tasks.classification:Classification",
    "multi_label": "fmkit.tasks.multi_label:MultiLabel",
    "regression": "fmkit.tasks.regression:Regression",
    "joint": "fmkit.tasks.joint:Joint",  # made of several data sets: see `train.assemble`
    "token_classification": "fmkit.tasks.token_classification.task:TokenClassification",
    "masked_lm": "fmkit.tasks.language.masked_lm:MaskedLm",
    "causal_lm": "fmkit.tasks.language.causal_lm:CausalLm",
    "question_answering": "fmkit.tasks.question_answering.task:QuestionAnswering",
    "dpo": "fmkit.tasks.language.dpo:Dpo",
    "instruction": "fmkit.tasks.language.instruction:Instruction",
    "simclr": "fmkit.tasks.self_supervised.contrastive:Simclr",
    "vicreg": "fmkit.tasks.self_supervised.contrastive:Vicreg",
    "masked_image": "fmkit.tasks.self_supervised.masked_image:MaskedImage",
}

"""Each task: a class, or another function of a task's config and what the data look like."""

HEADS = {"dpo": "causal_lm", "instruction": "causal_lm"}
"""By task, the one whose head it has: weights go from each to the other. Others have their own."""


def names() -> list[str]:
    """Every `task.name`, those of plugins included."""
    return registry.names("tasks", TASKS)


def head_of(name: str) -> str:
    """The task that has the same head, or the task itself; `name` is a task's."""
    return HEADS.get(name, name)


def build(config: TaskConfig, spec: DataSpec) -> Any:
    """The task that a config names, for one data set."""
    return add_defaults(registry.find("tasks", config.name, TASKS)(config, spec))
