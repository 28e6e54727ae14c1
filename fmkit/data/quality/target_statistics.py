"""Target statistics of the data report: classes, labels, numbers, tags and entities by split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fmkit.data.content.tags import Tags, entity_spans, tag_scheme
from fmkit.data.examples import Examples
from fmkit.data.targets import Numbers

QUANTILES = (0, 5, 25, 50, 75, 95, 100)
"""Percentiles that the report gives of numbers and sizes."""

Splits = Mapping[str, np.ndarray]
"""By name, positions of examples; `all` where there are no splits."""

_Counts = dict[str, dict[str, int]]
"""By name of a class, label, tag or entity and by split, how often it occurs."""


def target_report(usable: Examples, splits: Splits) -> dict[str, Any]:
    """Entries of the report about targets.

    `classes`, `tags` and `entities` count; `annotations` has the kind of targets that are not
    classes; of sets of labels there are `labels`, and of numbers `numbers`.
    """
    targets = usable.annotations
    report: dict[str, Any] = {"classes": {}, "annotations": {}, "tags": {}, "entities": {}}
    class_counts = {
        split: np.bincount(usable.labels[members], minlength=len(usable.classes))
        for split, members in splits.items()
    }
    report["classes"] = _by_name(usable.classes, class_counts)
    if targets is None:
        return report
    report["annotations"] = {"kind": targets.kind, "counts": targets.summary()}
    if isinstance(targets, Tags):
        report["tags"], report["entities"] = _tag_counts(targets, splits)
    elif isinstance(targets, Numbers):
        report["numbers"] = {
            name: {
                split: _distribution(targets.values[members, k])
                for split, members in splits.items()
                if len(members)
            }
            for k, name in enumerate(targets.names)
        }
    elif targets.presence() is not None:
        label_counts = {split: targets.counts(members) for split, members in splits.items()}
        report["labels"] = {
            name: {split: counts[name] for split, counts in label_counts.items()}
            for name in targets.names
        }
    return report


def _by_name(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> _Counts:
    """Counts (K,) by split as counts by name and split."""
    return {
        name: {split: int(values[index]) for split, values in counts.items()}
        for index, name in enumerate(names)
    }


def _distribution(values: np.ndarray) -> dict[str, Any]:
    """Mean, standard deviation and quantiles of numbers."""
    return {
        "mean": float(values.mean()),
        "deviation": float(values.std()),
        "quantiles": np.percentile(values, QUANTILES).tolist(),
    }


def _tag_counts(tags: Tags, splits: Splits) -> tuple[_Counts, _Counts]:
    """Words by tag, and entities by type where the tags mark any."""
    words, entities = {}, {}
    scheme = tag_scheme(tags.names)
    types = () if scheme is None else scheme.types
    for split, members in splits.items():
        taken = tags.take(members)
        flat = taken.flat()
        words[split] = np.bincount(flat, minlength=len(tags.names))
        if scheme is not None:
            lengths = np.array([len(values) for values in taken.values], np.int64)
            kinds = entity_spans(flat, lengths, scheme).kinds
            entities[split] = np.bincount(kinds, minlength=len(types))
    return _by_name(tags.names, words), _by_name(types, entities)


def examples_by_target(usable: Examples) -> dict[str, np.ndarray]:
    """Positions of examples by class, or of tagged sentences by type of entity, else by tag.

    Classes without an example are left out; other targets group nothing.
    """
    targets = usable.annotations
    if not isinstance(targets, Tags):
        return {
            usable.classes[label]: np.flatnonzero(usable.labels == label)
            for label in (np.unique(usable.labels) if usable.classes else ())
        }
    scheme = tag_scheme(targets.names)
    group = np.arange(len(targets.names)) if scheme is None else scheme.kinds[:-1]
    names = targets.names if scheme is None else scheme.types
    members: dict[str, list[int]] = {name: [] for name in names}
    for index, values in enumerate(targets.values):
        for number in np.unique(group[values]):
            if number >= 0:  # the tag O has no type
                members[names[number]].append(index)
    return {name: np.array(indices, np.int64) for name, indices in members.items()}
