"""Sentences whose words have tags, as files have them, as examples."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fmkit.data.content import tags
from fmkit.data.content.tags import Tags
from fmkit.data.content.word_sequences import Sentences
from fmkit.data.examples import Examples, without_classes
from fmkit.data.findings import Finding
from fmkit.data.sources.paths import name_findings


@dataclass
class Sentence:
    """A sentence of a file.

    Attributes:
        name: its id.
        locations: of its words in the file, for findings; a single one is that of all words.
        faults: where and why something in it cannot be used.
    """

    name: str
    locations: list[str]
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    split: str = ""
    group: str = ""
    faults: list[tuple[str, str]] = field(default_factory=list)


def examples(sentences: Sequence[Sentence], findings: Iterable[Finding]) -> Examples:
    """Sentences with their tags; one with a fault has no words, and findings that name it.

    Where tags mark entities, a tag of another form is a fault.

    Args:
        sentences: in the order of the files; at least one.
        findings: other problems.
    """
    counts = Counter(tag for sentence in sentences if not sentence.faults for tag in sentence.tags)
    if tags.marks_entities(counts):
        unknown = {tag for tag in counts if not tags.is_entity_tag(tag)}
        for sentence in sentences:
            sentence.faults += _unknown_tags(sentence, unknown) if unknown else []
    usable = [sentence for sentence in sentences if not sentence.faults]
    names = tags.order_tags(tag for sentence in usable for tag in sentence.tags)
    position = {name: index for index, name in enumerate(names)}
    pairs = [([], []) if row.faults else (row.words, row.tags) for row in sentences]
    ids = [sentence.name for sentence in sentences]
    faults = [
        Finding("incomplete_row", where, why, (sentence.name,))
        for sentence in sentences
        for where, why in sentence.faults
    ]
    return without_classes(
        ids,
        Sentences(tuple(tuple(words) for words, _ in pairs)),
        Tags(names, tuple(np.array([position[n] for n in row], np.int32) for _, row in pairs)),
        splits=_column([sentence.split for sentence in sentences]),
        groups=_column([sentence.group for sentence in sentences]),
        findings=[*findings, *faults, *name_findings(sorted(names), ids)],
    )


def _unknown_tags(sentence: Sentence, unknown: set[str]) -> list[tuple[str, str]]:
    expected = f"expected O, or a prefix of {tags.PREFIXES}, and a type"
    pairs = zip(itertools.cycle(sentence.locations), sentence.tags, strict=False)
    return [(where, f"unknown tag {tag!r} ({expected})") for where, tag in pairs if tag in unknown]


def _column(values: list[str]) -> np.ndarray | None:
    """A value per example; None where the source has none."""
    return np.array(values, str) if any(values) else None
