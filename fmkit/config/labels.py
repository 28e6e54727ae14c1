"""How a data set's labels are read: as its own key says, or as the task wants them."""

from __future__ import annotations

from typing import Any

OF_TASK = {"multi_label": "sets", "regression": "numbers"}
"""By task, what `data.labels=auto` means; of every other task, `classes`."""

LEARNED = {"classification": "classes", **OF_TASK}
"""By task that learns labels, what they are."""


def settle(data: Any, task: str | None) -> None:
    """Decide `data.labels=auto`, in place; data that can be read in one way only has no such key.

    Args:
        data: keys of `data`.
        task: name of the task that learns from it; None where nothing does.
    """
    if getattr(data, "labels", None) == "auto":
        data.labels = OF_TASK.get(task or "", "classes")
