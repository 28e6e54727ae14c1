"""Checks of targets (classes, labels, numbers, tags of words) and their counts for the report.

K classes, labels, numbers or tags.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fmkit.core.errors import join_names, plural
from fmkit.data.class_checks import SHOWN, number_classes_message, probable_typos
from fmkit.data.content.answer_spans import AnswerSpans, is_part_of_word
from fmkit.data.content.tags import Tags, entity_spans, outside_tag, tag_scheme
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.targets import LabelSets, Numbers

IMBALANCE_RATIO = 20
"""A class with this many times the examples of another makes a warning."""
MAX_OFFSET = 1e5
"""A number whose mean is this many deviations from 0 loses half a per cent of a deviation and more
in the 32 bits that networks compute with."""
QUANTILES = (0, 5, 25, 50, 75, 95, 100)
"""Percentiles that the report gives of numbers and sizes."""

_PLACEHOLDERS = frozenset((
    "na", "n/a", "#n/a", "nan", "null", "nil", "none", "?", "-", "--", ".", "unlabeled",
    "unlabelled", "unsorted",
))  # fmt: skip

Splits = Mapping[str, np.ndarray]
"""By name, positions of examples; `all` where there are no splits."""

_COUNTED = ("classes", "labels", "entities", "tags")
"""Keys of a report with counts by split, of which the first that has any is meant."""

_Counts = dict[str, dict[str, int]]
"""By name of a class, label, tag or entity and by split, how often it occurs."""


def problems(examples: Examples) -> list[str]:
    """Why nothing can be learned from the annotations; empty where something can."""
    targets = examples.annotations
    if isinstance(targets, LabelSets) and not targets.indicators.any():
        return ["No example has a label: nothing can be learned."]
    if isinstance(targets, Numbers) and not (targets.values != targets.values[:1]).any():
        values = [f"{name} is {targets.values[0, k]:g}" for k, name in enumerate(targets.names)]
        same = f"All examples have the same numbers ({join_names(values)})"
        return [f"{same}: nothing can be learned."]
    return []


def target_findings(usable: Examples, splits: Splits) -> list[Finding]:
    """What is unusual in the targets, of the training split where there is one."""
    targets = usable.annotations
    if not len(usable):
        return []
    training = splits.get("train", np.arange(len(usable)))
    findings = _absent_findings(usable, splits)
    if isinstance(targets, LabelSets):
        return findings + _label_findings(targets, targets.take(training), "train" in splits)
    if isinstance(targets, Numbers):
        return findings + _number_findings(targets.take(training))
    if isinstance(targets, Tags):
        return findings + _tag_findings(targets, splits.get("train"))
    if isinstance(targets, AnswerSpans):
        return findings + _answer_findings(usable, targets)
    if usable.classes:
        findings += _class_findings(usable, training, "train" in splits)
    return findings


def _absent_findings(usable: Examples, splits: Splits) -> list[Finding]:
    """Classes, labels, or entities or else tags, that training has and a held-out split lacks."""
    report, findings = target_report(usable, splits), []
    rows: _Counts = next(filter(None, (report.get(key) for key in _COUNTED)), {})
    for split in [name for name in splits if name not in ("train", "all") and len(splits[name])]:
        absent = [name for name, counts in rows.items() if counts["train"] and not counts[split]]
        if absent:
            names = join_names([repr(name) for name in absent], SHOWN)
            why = f"{split} has no example of {names}: its figures say nothing about "
            why += "this one." if len(absent) == 1 else "these."
            findings.append(Finding("absent_class", "", why, count=len(absent)))
    return findings


def _answer_findings(usable: Examples, targets: AnswerSpans) -> list[Finding]:
    """Questions whose answers all begin or end inside a word."""
    texts = getattr(usable.content, "pairs", None) or ()
    parts = [
        index
        for index, (text, spans) in enumerate(zip(texts, targets.spans, strict=True))
        if spans and all(is_part_of_word(text, span) for span in spans)
    ]
    if not parts:
        return []
    begin, end = targets.spans[parts[0]][0]
    answered = sum(bool(spans) for spans in targets.spans)
    why = (
        f"Of {plural(answered, 'question')} with an answer, {len(parts):,} "
        f"{'has one' if len(parts) == 1 else 'have one'} that is a part of a word, such as "
        f"{texts[parts[0]][begin:end][:40]!r} of {usable.ids[parts[0]]}."
    )
    return [Finding("answer_in_word", "", why, count=len(parts))]


def _class_findings(usable: Examples, training: np.ndarray, has_training: bool) -> list[Finding]:
    """Classes that have examples, but few of them, or many more than others."""
    classes = usable.classes
    counts, findings = np.bincount(usable.labels[training], minlength=len(classes)), []
    if has_training:
        findings = _named("single_example", classes, counts == 1)
    findings += _typos(usable.labels, classes) + _placeholders(classes)
    if has_training and (message := number_classes_message(usable.labels, classes)):
        findings.append(Finding("number_classes", "", message))
    present = counts[counts > 0]
    if len(present) > 1 and present.max() >= IMBALANCE_RATIO * present.min():
        smallest = int(np.where(counts, counts, counts.max()).argmin())
        largest = int(counts.argmax())
        sizes = (
            f"Class {classes[largest]!r} has {counts[largest]:,} training examples, "
            f"{classes[smallest]!r} has {counts[smallest]:,}."
        )
        findings.append(Finding("imbalance", "", sizes))
    return findings


def _label_findings(
    all_labels: LabelSets, training: LabelSets, has_training: bool
) -> list[Finding]:
    """Labels that cannot be learned or look mistyped, and examples without a label."""
    counts, findings = training.indicators.sum(axis=0), []
    if has_training:
        findings = _named("single_label", training.names, counts == 1)
        findings += _named("constant_label", training.names, counts == len(training.indicators))
    occurrences = np.repeat(np.arange(len(counts)), all_labels.indicators.sum(axis=0))
    findings += _typos(occurrences, training.names) + _placeholders(training.names)
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
        findings += _named("tag_unseen", tags.names, counts == 0)
    scheme = tag_scheme(tags.names)
    if scheme is None and (outside := outside_tag(tags.names)) >= 0 and len(tags.names) > 1:
        others = [name for k, name in enumerate(tags.names) if k != outside]
        why = (
            f"Tags such as {join_names(others, 3)} are not read as entities, and words are judged "
            "one by one: an entity begins with B and goes on with I, as in B-PER, I-PER."
        )
        findings.append(Finding("plain_tags", "", why))
    # B-PER and I-PER differ by a letter, too: only tags with the same prefix are compared.
    prefixes = np.zeros(len(tags.names)) if scheme is None else scheme.prefixes[:-1]
    for prefix in np.unique(prefixes):
        members = np.flatnonzero(prefixes == prefix).tolist()
        position = np.full(len(tags.names), -1)
        position[members] = np.arange(len(members))
        labels = position[tags.flat()]
        findings += _typos(labels[labels >= 0], [tags.names[k] for k in members])
    return findings


def _named(kind: str, names: Sequence[str], is_found: np.ndarray) -> list[Finding]:
    """A finding for each name where `is_found`, (K,) bool."""
    return [Finding(kind, repr(names[k])) for k in np.flatnonzero(is_found).tolist()]


def _placeholders(names: Sequence[str]) -> list[Finding]:
    """Names that tables have for a missing value, and which are read as they stand."""
    is_placeholder = [name.casefold() in _PLACEHOLDERS for name in names]
    return _named("placeholder_class", names, np.array(is_placeholder, bool))


def _typos(labels: np.ndarray, names: Sequence[str]) -> list[Finding]:
    """Rare names that differ by a letter or two from a frequent one."""
    return [
        Finding("label_typo", repr(names[rare]), f"for {names[frequent]!r}?")
        for rare, frequent in probable_typos(labels, names)
    ]


def target_report(usable: Examples, splits: Splits) -> dict[str, Any]:
    """Entries of the report about targets.

    `classes`, `tags` and `entities` count; `annotations` has the kind of targets that are not
    classes; of sets of labels there are `labels`, and of numbers `numbers`.
    """
    targets = usable.annotations
    counts = {
        split: np.bincount(usable.labels[members], minlength=len(usable.classes))
        for split, members in splits.items()
    }
    report: dict[str, Any] = {"classes": _by_name(usable.classes, counts)}
    report |= {"annotations": {}, "tags": {}, "entities": {}}
    if targets is None:
        return report
    report["annotations"] = {"kind": targets.kind, "counts": targets.summary()}
    if isinstance(targets, Tags):
        report["tags"], report["entities"] = _tag_counts(targets, splits)
    elif isinstance(targets, Numbers):
        report["numbers"] = {
            name: {
                split: {
                    "mean": float(values[members].mean()),
                    "deviation": float(values[members].std()),
                    "quantiles": np.percentile(values[members], QUANTILES).tolist(),
                }
                for split, members in splits.items()
                if len(members)
            }
            for name, values in zip(targets.names, targets.values.T, strict=True)
        }
    elif (presence := targets.presence()) is not None:
        counts = {split: presence[members].sum(axis=0) for split, members in splits.items()}
        report["labels"] = _by_name(targets.names, counts)
    return report


def _by_name(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> _Counts:
    """Counts (K,) by split as counts by name and split."""
    return {
        name: {split: int(values[index]) for split, values in counts.items()}
        for index, name in enumerate(names)
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
