"""Which tasks learn from which data; reported before any data is read."""

from collections.abc import Iterator
from typing import Any

from fmkit.config.registry import (
    COLUMN_LABELS,
    LABELS,
    SourceEntry,
    TaskEntry,
    source_entry,
    sources,
    task_entry,
    tasks,
)
from fmkit.config.schema.commands import CheckConfig, TrainConfig
from fmkit.config.schema.task import JointConfig
from fmkit.core.errors import Problem
from fmkit.core.modalities import modality_entry


def problems(config: TrainConfig) -> Iterator[Problem]:
    """What a task cannot learn from its data, and settings that need labels it has not."""
    task, entry = config.task, task_entry(config.task.name)
    yield from task_and_data_problems(config)
    if config.recipe != "none" and not entry.has_recipe:
        yield Problem(
            "recipe",
            f"recipe={config.recipe} needs a task with class labels; task.name={task.name} has "
            "none. Remove it.",
        )


def task_and_data_problems(config: TrainConfig | CheckConfig) -> Iterator[Problem]:
    """What a task cannot learn from its data."""
    if config.task is None:
        return
    if isinstance(config, CheckConfig) and isinstance(config.task, JointConfig):
        yield Problem(
            "task.name",
            "fmkit check takes the task of one objective, not task=joint. Check the data of each "
            "objective with its own task.",
        )
        return
    entry, source = task_entry(config.task.name), source_entry(config.data.name)
    if entry.learns is not None and source.labels is not None:
        kind = str(getattr(config.data, "labels", next(iter(source.labels), "")))
        compare = _label_problems if entry.learns else _content_problems
        yield from compare(config.task.name, config.data.name, entry, source, kind)


def _label_problems(
    name: str, data: str, task: TaskEntry, source: SourceEntry, kind: str
) -> Iterator[Problem]:
    """Labels of another kind than the task learns."""
    needed = task.learns or ""
    if kind == needed:
        return
    fitting = _tasks_for(kind, source)
    if needed in (source.labels or ()):  # the data could have them: a key says otherwise
        yield Problem(
            "data.labels",
            f"data.labels={kind}, but task.name={name} learns {LABELS[needed].phrase}. Set "
            f"data.labels=auto, or use {fitting}.",
        )
        return
    others = " or ".join(
        f"data={other}"
        for other, entry in sources()
        if needed in (entry.labels or ()) and not entry.is_packaged
    )
    # Of a user who left the task out, the data is what they chose.
    remedies = [fitting, others] if needed == "classes" else [others, fitting]
    phrase = LABELS[kind].phrase if kind else "no labels"
    yield Problem(
        "task.name",
        f"task.name={name} learns {LABELS[needed].phrase}, but data={data} has {phrase}. Use "
        f"{'; or '.join(filter(None, remedies))}.",
    )


def _content_problems(
    name: str, data: str, task: TaskEntry, source: SourceEntry, kind: str
) -> Iterator[Problem]:
    """Content of another modality, or no plain content of it."""
    # Conversations and rated answers are not texts as they stand.
    is_plain = kind not in ("conversations", "preferences")
    if not task.modality or (source.modality == task.modality and is_plain):
        return
    plural = modality_entry(task.modality).plural
    has = modality_entry(source.modality).plural if is_plain else LABELS[kind].phrase
    unlabelled = " or ".join(
        f"data={other}"
        for other, entry in sources()
        if entry.modality == task.modality and entry.labels == ()
    )
    fitting = "" if is_plain else _tasks_for(kind, source)
    remedies = [fitting, f"{unlabelled}, or any other data of {plural}"]
    yield Problem(
        "task.name",
        f"task.name={name} learns from {plural}, but data={data} has "
        f"{has}. Use {'; or '.join(filter(None, remedies))}.",
    )


def _tasks_for(kind: str, source: SourceEntry) -> str:
    """The tasks that learn from labels of a kind, or from content without labels, in words."""
    return " or ".join(
        f"task={name}"
        for name, entry in tasks()
        if entry.learns == kind and entry.modality in ("", source.modality)
    )


def resolve_labels(data: Any, task: str | None) -> None:
    """Set `data.labels=auto` to what the task learns, in place, where the data has such a key.

    Args:
        data: a data config.
        task: name of the task that learns from it; None where nothing does.
    """
    if getattr(data, "labels", None) == "auto":
        learns = task_entry(task).learns if task else None
        data.labels = learns if learns in COLUMN_LABELS else "classes"
