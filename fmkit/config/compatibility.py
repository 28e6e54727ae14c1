"""Which data a task learns from; what does not go together is told before anything is read.

What a plugin's data or task has is its own affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fmkit.config.registry import KINDS
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.data import DocumentsData, ImageData, PhotosData
from fmkit.config.schema.task import LANGUAGE_MODELLING
from fmkit.core.errors import Problem

OF_TASK = {"multi_label": "sets", "regression": "numbers"}
"""By task, what `data.labels=auto` means; of every other task, `classes`."""

LABELS = {"classification": "classes", **OF_TASK}
"""By task that learns labels, what they are."""

LEARNED = {
    **LABELS,
    "token_classification": "tags",
    "question_answering": "answers",
    "instruction": "conversations",
    "dpo": "preferences",
}
"""By task, what it learns of examples; a task that is not here learns from their content alone."""

_OF_DATA = {
    "conll": "tags",
    "token_table": "tags",
    "squad": "answers",
    "chat": "conversations",
    "preferences": "preferences",
}
"""By data set, what its examples have where that is no key of its own."""

_NOUNS = {
    "classes": "classes",
    "sets": "sets of labels",
    "numbers": "numbers",
    "tags": "a tag for each word",
    "answers": "answers to questions",
    "conversations": "conversations",
    "preferences": "pairs of answers of which one is preferred",
    "": "no labels",
}

_SOURCES = {
    "classes": "data=image_folder, data=image_table, data=text_folder or data=text_table",
    "sets": "data=text_table, data=image_table or data=arrays",
    "numbers": "data=text_table, data=image_table, data=arrays or data=elpv",
    "tags": "data=conll or data=token_table",
    "answers": "data=squad",
    "conversations": "data=chat",
    "preferences": "data=preferences",
}
"""Where each of them comes from."""

_OF_LABELS = ("classes", "sets", "numbers")
"""What `data.labels` can be, and what a linear head can be solved for."""

_NO_TEXTS = ("conversations", "preferences")
"""What no language model learns from as it stands."""


def content_of(data: Any) -> str:
    """What the examples of a data set have to learn; empty where they have nothing."""
    if data.name in _OF_DATA:
        return _OF_DATA[data.name]
    if isinstance(data, DocumentsData | PhotosData):
        return ""
    return str(getattr(data, "labels", "classes"))


def problems(config: TrainConfig) -> Iterator[Problem]:
    """What a task does not learn from its data, or does not do with it."""
    task, data = config.task, config.data
    if task.name in LEARNED and data.name in KINDS["data"]:
        yield from _learned_problems(task.name, data)
    if task.name in LANGUAGE_MODELLING:
        yield from _text_problems(task.name, data)
    if task.name not in LANGUAGE_MODELLING and LEARNED.get(task.name, "classes") in _OF_LABELS:
        return
    if config.recipe != "none":
        yield Problem(
            "recipe",
            f"recipe={config.recipe} goes by classes, and task.name={task.name} has none. "
            "Leave it out.",
        )
    for name, phase in config.stage.items():
        key = f"stage.{name}.solver"
        if phase.solver == "lbfgs":
            yield Problem(
                key, f"{key}=lbfgs solves for labels, and task.name={task.name} has none. "
                "Leave it out.",
            )  # fmt: skip


def _learned_problems(task: str, data: Any) -> Iterator[Problem]:
    wanted, has = LEARNED[task], content_of(data)
    if has == wanted:
        return
    tasks = _tasks(data)
    if wanted in _OF_LABELS and hasattr(data, "labels"):
        yield Problem(
            "data.labels",
            f"data.labels={has}, and task.name={task} learns {_NOUNS[wanted]}. Write "
            f"data.labels=auto, or take {tasks}.",
        )
        return
    # Whoever left the task out named the data.
    ways = [tasks, _SOURCES[wanted]] if wanted == "classes" else [_SOURCES[wanted], tasks]
    yield Problem(
        "task.name",
        f"task.name={task} learns {_NOUNS[wanted]}, and data={data.name} has {_NOUNS[has]}. Take "
        f"{'; or '.join(filter(None, ways))}.",
    )


def _text_problems(task: str, data: Any) -> Iterator[Problem]:
    has = content_of(data) if data.name in KINDS["data"] else ""
    if not isinstance(data, ImageData) and has not in _NO_TEXTS:
        return
    shown = "images" if isinstance(data, ImageData) else _NOUNS[has]
    other = "" if isinstance(data, ImageData) else f"{_tasks(data)}; or "
    yield Problem(
        "task.name",
        f"task.name={task} learns from texts, and data={data.name} has {shown}. Take {other}"
        "data=text_files, data=text_lines, or the texts of a classifier such as data=text_table.",
    )


def _tasks(data: Any) -> str:
    """The tasks that learn from a data set, in words."""
    found = [name for name, each in LEARNED.items() if each == content_of(data)]
    if isinstance(data, DocumentsData):
        found = [*LANGUAGE_MODELLING]
    return " or ".join(f"task={each}" for each in found)


def resolve_labels(data: Any, task: str | None) -> None:
    """Decide `data.labels=auto`, in place; data that can be read in one way only has no such key.

    Args:
        data: keys of `data`.
        task: name of the task that learns from it; None where nothing does.
    """
    if getattr(data, "labels", None) == "auto":
        data.labels = OF_TASK.get(task or "", "classes")
