"""What stands out in sets of labels and in numbers: labels that cannot be learned, typing errors,
targets that never change.

N examples, K labels or numbers of each.
"""

from __future__ import annotations

import numpy as np

from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.targets import LabelSets, Numbers
from fmkit.data.typos import typos
from fmkit.errors import listed

FAR = 1e5
"""A number whose mean is this many deviations from 0 loses half a per cent of a deviation and more
in the 32 bits that networks compute with."""


def problems(examples: Examples) -> list[str]:
    """Why nothing can be learned of what was annotated; empty where something can."""
    known = examples.annotations
    if isinstance(known, LabelSets):
        if known.names and known.there.any():
            return []
        return ["No example has a label: nothing can be learned."]
    if isinstance(known, Numbers) and not (known.values != known.values[:1]).any():
        shown = listed([f"{name} is {known.values[0, k]:g}" for k, name in enumerate(known.names)])
        return [f"All examples have the same numbers ({shown}): nothing can be learned."]
    return []


def found(examples: Examples, divided: dict[str, np.ndarray]) -> list[Finding]:
    """What is there but should be looked at, by the training split where there is one."""
    known = examples.annotations
    if not isinstance(known, LabelSets | Numbers) or not len(examples):
        return []
    training = divided.get("train", np.arange(len(examples)))
    if isinstance(known, LabelSets):
        return _of_sets(known.there.sum(axis=0), known.take(training), "train" in divided)
    return _of_numbers(known.take(training))


def _of_sets(everywhere: np.ndarray, known: LabelSets, is_training: bool) -> list[Finding]:
    """What stands out in sets of labels.

    Args:
        everywhere: how many examples of all splits have each label, (K,).
        known: those of the training split.
        is_training: there is one.
    """
    counts, several = known.there.sum(axis=0), []
    if is_training:
        several += [
            Finding("single_label", repr(known.names[each])) for each in np.flatnonzero(counts == 1)
        ]
        several += [
            Finding("constant_label", repr(known.names[each]))
            for each in np.flatnonzero(counts == len(known.there))
        ]
    numbers = np.repeat(np.arange(len(counts)), everywhere)
    several += [
        Finding("label_typo", repr(known.names[rare]), f"for {known.names[large]!r}?")
        for rare, large in typos(numbers, known.names)
    ]
    without = int((~known.there.any(axis=1)).sum())
    if without:
        where = "training examples" if is_training else "examples"
        why = f"{without:,} of {len(known.there):,} {where} have no label."
        several.append(Finding("without_label", "", why, count=without))
    return several


def _of_numbers(known: Numbers) -> list[Finding]:
    several = []
    for name, values in zip(known.names, known.values.T, strict=True):
        mean, deviation = float(values.mean()), float(values.std())
        if (values == values[0]).all():
            several.append(Finding("constant_target", repr(name), f"always {values[0]:g}"))
        elif abs(mean) > FAR * deviation:
            why = f"mean {mean:g}, deviation {deviation:g}"
            several.append(Finding("far_target", repr(name), why))
    return several
