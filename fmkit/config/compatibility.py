"""Which tasks learn from which data; reported before any data is read."""

from __future__ import annotations

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
from fmkit.config.schema.commands import TrainConfig
from fmkit.core.errors import Problem
from fmkit.core.modalities import modality_entry


def label_kind(data: Any) -> str | None:
    """The kind of labels that a data config gives; empty for none, None where it is not known."""
    kinds = source_entry(data.name).labels
    if kinds is None:
        return None
    return str(getattr(data, "labels", kinds[0] if kinds else ""))


def problems(config: TrainConfig) -> Iterator[Problem]:
    """What a task cannot learn from its data, and settings that need labels it has not."""
    task, data = config.task, config.data
    entry, source = task_entry(task.name), source_entry(data.name)
    kind = label_kind(data)
    if entry.learns is not None and kind is not None:
        if entry.learns:
            yield from _label_problems(task.name, entry, data, source)
        else:
            yield from _content_problems(task.name, entry, data, source)
    if config.recipe != "none" and not entry.has_recipe:
        yield Problem(
            "recipe",
            f"recipe={config.recipe} needs a task with class labels; task.name={task.name} has "
            "none. Remove it.",
        )
    for name, phase in config.stage.items():
        if phase.solver == "lbfgs" and not entry.learns_columns:
            key = f"stage.{name}.solver"
            yield Problem(
                key,
                f"{key}=lbfgs needs a task with labels; task.name={task.name} has none. Remove it.",
            )


def _label_problems(
    name: str, task: TaskEntry, data: Any, source: SourceEntry
) -> Iterator[Problem]:
    """Labels of another kind than the task learns."""
    needed, kind = task.learns or "", label_kind(data) or ""
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
    # Of a user who left the task out, the data is what they chose.
    remedies = [_sources_with(needed), fitting]
    if needed == "classes":
        remedies.reverse()
    phrase = LABELS[kind].phrase if kind else "no labels"
    yield Problem(
        "task.name",
        f"task.name={name} learns {LABELS[needed].phrase}, but data={data.name} has {phrase}. Use "
        f"{'; or '.join(filter(None, remedies))}.",
    )


def _content_problems(
    name: str, task: TaskEntry, data: Any, source: SourceEntry
) -> Iterator[Problem]:
    """Content of another modality, or no plain content of it."""
    kind = label_kind(data) or ""
    # Conversations and rated answers are not texts as they stand.
    is_plain = kind not in ("conversations", "preferences")
    if not task.modality or (source.modality == task.modality and is_plain):
        return
    plural = modality_entry(task.modality).plural
    has = modality_entry(source.modality).plural if is_plain else LABELS[kind].phrase
    fitting = _tasks_for(kind, source) if not is_plain else ""
    unlabelled = [
        f"data={other}"
        for other, entry in sources()
        if entry.modality == task.modality and entry.labels == ()
    ]
    remedies = [fitting, f"{' or '.join(unlabelled)}, or any other data of {plural}"]
    yield Problem(
        "task.name",
        f"task.name={name} learns from {plural}, but data={data.name} has {has}. Use "
        f"{'; or '.join(filter(None, remedies))}.",
    )


def _tasks_for(kind: str, source: SourceEntry) -> str:
    """The tasks that learn from labels of a kind, or from content without labels, in words."""
    names = [
        f"task={name}"
        for name, entry in tasks()
        if entry.learns == kind and entry.modality in ("", source.modality)
    ]
    return " or ".join(names)


def _sources_with(kind: str) -> str:
    """The sources of a user's own data that give labels of a kind, in words."""
    names = [
        f"data={name}"
        for name, entry in sources()
        if kind in (entry.labels or ()) and not entry.is_packaged
    ]
    return " or ".join(names)


def resolve_labels(data: Any, task: str | None) -> None:
    """Set `data.labels=auto` to what the task learns, in place, where the data has such a key.

    Args:
        data: a data config.
        task: name of the task that learns from it; None where nothing does.
    """
    if getattr(data, "labels", None) == "auto":
        learns = task_entry(task).learns if task else None
        data.labels = learns if learns in COLUMN_LABELS else "classes"
