"""What the tags of a data set look like, and what is odd about them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fmkit.core.errors import join_names
from fmkit.data.class_checks import probable_typos
from fmkit.data.content import tags
from fmkit.data.content.tags import Tags
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.targets import LabelSets, Numbers

Counts = dict[str, dict[str, int]]
"""By name and split, how often it occurs."""


def findings(usable: Examples, divided: Mapping[str, np.ndarray]) -> list[Finding]:
    """Tags that cannot be learned, that no training sentence has, or that look mistyped.

    Args:
        usable: examples; without tags nothing is found.
        divided: by split's name, positions in them.
    """
    found = usable.annotations
    if not isinstance(found, Tags) or not len(usable):
        return []
    told = []
    if "train" in divided:
        if len(found.names) < 2:
            why = f"There is only one tag, {join_names(found.names)}: nothing can be learned."
            told.append(Finding("classes", "", why))
        trained = _counted(found, divided["train"])
        told += [
            Finding("tag_unseen", repr(found.names[each])) for each in np.flatnonzero(trained == 0)
        ]
    return told + _typos(found)


def _typos(found: Tags) -> list[Finding]:
    """Rare tags that differ by a letter or two from a frequent one with the same prefix."""
    flat = np.concatenate([np.zeros(0, np.int32), *found.values])
    told = []
    is_entities = tags.tag_scheme(found.names) is not None
    for prefix in sorted({each[0] for each in found.names}) if is_entities else [""]:
        members = [at for at, name in enumerate(found.names) if name.startswith(prefix)]
        place = np.full(len(found.names), -1)
        place[members] = np.arange(len(members))
        labels = place[flat]
        names = [found.names[at] for at in members]
        for rare, large in probable_typos(labels[labels >= 0], names):
            told.append(Finding("label_typo", repr(names[rare]), f"for {names[large]!r}?"))
    return told


def _counted(found: Tags, indices: np.ndarray) -> np.ndarray:
    flat = np.concatenate([np.zeros(0, np.int32), *(found.values[each] for each in indices)])
    return np.bincount(flat, minlength=len(found.names))


def counts(usable: Examples, divided: Mapping[str, np.ndarray]) -> tuple[Counts, Counts]:
    """Words by tag, and entities by type, in each split; both empty where there are no tags.

    Args:
        usable: examples.
        divided: by split's name, positions in them; empty: all of them.
    """
    found = usable.annotations
    if not isinstance(found, Tags):
        return {}, {}
    parts = dict(divided) or {"all": np.arange(len(usable))}
    words = {split: _counted(found, members).tolist() for split, members in parts.items()}
    meaning = tags.tag_scheme(found.names)
    kinds = (
        {}
        if meaning is None
        else {split: _entities(found, members, meaning) for split, members in parts.items()}
    )
    types = () if meaning is None else meaning.types
    return _by_name(found.names, words), _by_name(types, kinds)


def _by_name(names: tuple[str, ...], found: Mapping[str, list[int]]) -> Counts:
    return {
        name: {split: each[place] for split, each in found.items()}
        for place, name in enumerate(names)
    }


def _entities(found: Tags, indices: np.ndarray, meaning: tags.Scheme) -> list[int]:
    chosen = [found.values[each] for each in indices]
    lengths = np.array([len(each) for each in chosen], np.int64)
    flat = np.concatenate([np.zeros(0, np.int32), *chosen])
    return np.bincount(
        tags.entity_spans(flat, lengths, meaning).kinds, minlength=len(meaning.types)
    ).tolist()


def sentences_with(usable: Examples) -> dict[str, np.ndarray]:
    """By type of entity, or by tag, the positions of the sentences that have it."""
    found = usable.annotations
    if not isinstance(found, Tags):
        return {}
    meaning = tags.tag_scheme(found.names)
    group = np.arange(len(found.names)) if meaning is None else meaning.kinds[:-1]
    names = found.names if meaning is None else meaning.types
    has: dict[str, list[int]] = {name: [] for name in names}
    for place, values in enumerate(found.values):
        for each in np.unique(group[values]):
            if each >= 0:
                has[names[each]].append(place)
    return {name: np.array(those, np.int64) for name, those in has.items()}


FAR = 1e5
"""A number whose mean is this many deviations from 0 loses half a per cent of a deviation and more
in the 32 bits that networks compute with."""


def problems(examples: Examples) -> list[str]:
    """Why nothing can be learned of what was annotated; empty where something can."""
    known = examples.annotations
    if isinstance(known, LabelSets):
        if known.names and known.indicators.any():
            return []
        return ["No example has a label: nothing can be learned."]
    if isinstance(known, Numbers) and not (known.values != known.values[:1]).any():
        shown = join_names(
            [f"{name} is {known.values[0, k]:g}" for k, name in enumerate(known.names)]
        )
        return [f"All examples have the same numbers ({shown}): nothing can be learned."]
    return []


def found(examples: Examples, divided: dict[str, np.ndarray]) -> list[Finding]:
    """What is there but should be looked at, by the training split where there is one."""
    known = examples.annotations
    if not isinstance(known, LabelSets | Numbers) or not len(examples):
        return []
    training = divided.get("train", np.arange(len(examples)))
    if isinstance(known, LabelSets):
        return _of_sets(known.indicators.sum(axis=0), known.take(training), "train" in divided)
    return _of_numbers(known.take(training))


def _of_sets(everywhere: np.ndarray, known: LabelSets, is_training: bool) -> list[Finding]:
    """What stands out in sets of labels.

    Args:
        everywhere: how many examples of all splits have each label, (K,).
        known: those of the training split.
        is_training: there is one.
    """
    counts, several = known.indicators.sum(axis=0), []
    if is_training:
        several += [
            Finding("single_label", repr(known.names[each])) for each in np.flatnonzero(counts == 1)
        ]
        several += [
            Finding("constant_label", repr(known.names[each]))
            for each in np.flatnonzero(counts == len(known.indicators))
        ]
    numbers = np.repeat(np.arange(len(counts)), everywhere)
    several += [
        Finding("label_typo", repr(known.names[rare]), f"for {known.names[large]!r}?")
        for rare, large in probable_typos(numbers, known.names)
    ]
    without = int((~known.indicators.any(axis=1)).sum())
    if without:
        where = "training examples" if is_training else "examples"
        why = f"{without:,} of {len(known.indicators):,} {where} have no label."
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
