"""Checks of targets that are not classes: sets of labels, numbers, and tags of words.

K labels, numbers or tags.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fmkit.core.errors import join_names
from fmkit.data.class_checks import probable_typos
from fmkit.data.content.tags import Tags, tag_scheme
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.targets import LabelSets, Numbers

MAX_OFFSET = 1e5
"""A number whose mean is this many deviations from 0 loses half a per cent of a deviation and more
in the 32 bits that networks compute with."""


def problems(examples: Examples) -> list[str]:
    """Why nothing can be learned from the annotations; empty where something can."""
    targets = examples.annotations
    if isinstance(targets, LabelSets):
        if targets.names and targets.indicators.any():
            return []
        return ["No example has a label: nothing can be learned."]
    if isinstance(targets, Numbers) and not (targets.values != targets.values[:1]).any():
        values = [f"{name} is {targets.values[0, k]:g}" for k, name in enumerate(targets.names)]
        return [
            f"All examples have the same numbers ({join_names(values)}): nothing can be learned."
        ]
    return []


def target_findings(usable: Examples, splits: Mapping[str, np.ndarray]) -> list[Finding]:
    """What is unusual in the annotations, of the training split where there is one.

    Args:
        usable: examples; nothing is found where they have no annotations.
        splits: by name, positions in them.
    """
    targets = usable.annotations
    if not len(usable):
        return []
    training = splits.get("train", np.arange(len(usable)))
    if isinstance(targets, LabelSets):
        return _label_findings(targets, targets.take(training), "train" in splits)
    if isinstance(targets, Numbers):
        return _number_findings(targets.take(training))
    if isinstance(targets, Tags):
        return _tag_findings(targets, splits.get("train"))
    return []


def _label_findings(
    all_labels: LabelSets, training: LabelSets, has_training: bool
) -> list[Finding]:
    """Labels that cannot be learned or look mistyped, and examples without a label."""
    counts, findings = training.indicators.sum(axis=0), []
    if has_training:
        for kind, count in (("single_label", 1), ("constant_label", len(training.indicators))):
            findings += [
                Finding(kind, repr(training.names[label]))
                for label in np.flatnonzero(counts == count)
            ]
    occurrences = np.repeat(np.arange(len(counts)), all_labels.indicators.sum(axis=0))
    findings += _typos(occurrences, training.names)
    unlabelled = int((~training.indicators.any(axis=1)).sum())
    if unlabelled:
        noun = "training examples" if has_training else "examples"
        verb = "has" if unlabelled == 1 else "have"
        why = f"{unlabelled:,} of {len(training.indicators):,} {noun} {verb} no label."
        findings.append(Finding("without_label", "", why, count=unlabelled))
    return findings


def _number_findings(training: Numbers) -> list[Finding]:
    """Numbers that are constant, or too far from 0 for 32 bits."""
    findings = []
    for name, values in zip(training.names, training.values.T, strict=True):
        mean, deviation = float(values.mean()), float(values.std())
        if (values == values[0]).all():
            findings.append(Finding("constant_target", repr(name), f"always {values[0]:g}"))
        elif abs(mean) > MAX_OFFSET * deviation:
            why = f"mean {mean:g}, deviation {deviation:g}"
            findings.append(Finding("far_target", repr(name), why))
    return findings


def _tag_findings(tags: Tags, training: np.ndarray | None) -> list[Finding]:
    """Tags that cannot be learned, that no training sentence has, or that look mistyped."""
    findings = []
    if training is not None:
        if len(tags.names) < 2:
            why = f"There is only one tag, {join_names(tags.names)}: nothing can be learned."
            findings.append(Finding("classes", "", why))
        counts = np.bincount(tags.take(training).flat(), minlength=len(tags.names))
        findings += [
            Finding("tag_unseen", repr(tags.names[k])) for k in np.flatnonzero(counts == 0)
        ]
    marks_entities = tag_scheme(tags.names) is not None
    # B-PER and I-PER differ by a letter, too: only tags with the same prefix are compared.
    for prefix in sorted({name[0] for name in tags.names}) if marks_entities else [""]:
        members = [k for k, name in enumerate(tags.names) if name.startswith(prefix)]
        position = np.full(len(tags.names), -1)
        position[members] = np.arange(len(members))
        labels = position[tags.flat()]
        findings += _typos(labels[labels >= 0], [tags.names[k] for k in members])
    return findings


def _typos(labels: np.ndarray, names: list[str] | tuple[str, ...]) -> list[Finding]:
    """Rare names that differ by a letter or two from a frequent one."""
    return [
        Finding("label_typo", repr(names[rare]), f"for {names[frequent]!r}?")
        for rare, frequent in probable_typos(labels, names)
    ]
