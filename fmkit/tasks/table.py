"""The tasks by name."""

from __future__ import annotations

from typing import Any

from fmkit import lookup
from fmkit.config.task_schema import TaskConfig
from fmkit.spec import DataSpec

TASKS = {
    "classification": "fmkit.tasks.classification:Classification",
    "multi_label": "fmkit.tasks.multi_label:MultiLabel",
    "regression": "fmkit.tasks.regression:Regression",
    "joint": "fmkit.tasks.joint:Joint",  # made of several data sets: see `train.assemble`
    "token_classification": "fmkit.tasks.token_classification:TokenClassification",
    "masked_lm": "fmkit.tasks.masked_lm:MaskedLm",
    "causal_lm": "fmkit.tasks.causal_lm:CausalLm",
    "question_answering": "fmkit.tasks.question_answering:QuestionAnswering",
    "dpo": "fmkit.tasks.dpo:Dpo",
    "instruction": "fmkit.tasks.instruction:Instruction",
    "simclr": "fmkit.tasks.contrastive:Simclr",
    "vicreg": "fmkit.tasks.contrastive:Vicreg",
    "masked_image": "fmkit.tasks.masked_image:MaskedImage",
}

"""Each task: a class, or another function of a task's config and what the data look like."""

HEADS = {"dpo": "causal_lm", "instruction": "causal_lm"}
"""By task, the one whose head it has: weights go from each to the other. Others have their own."""


def names() -> list[str]:
    """Every `task.name`, those of plugins included."""
    return lookup.names("tasks", TASKS)


def head_of(name: str) -> str:
    """The task that has the same head, or the task itself; `name` is a task's."""
    return HEADS.get(name, name)


def build(config: TaskConfig, spec: DataSpec) -> Any:
    """The task that a config names, for one data set."""
    return lookup.find("tasks", config.name, TASKS)(config, spec)
