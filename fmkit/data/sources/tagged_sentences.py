"""From sentences as files have them, words beside tags, to examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fmkit.data.content import tags
from fmkit.data.content.tags import Tags
from fmkit.data.content.word_sequences import Sentences
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.sources.paths import name_findings
from fmkit.data.stratify import limit_examples


@dataclass
class Sentence:
    """A sentence on its way to an example.

    Attributes:
        name: its id.
        place: from the number of one of its words to where that is in the file.
        faults: where and why something in it cannot be used.
    """

    name: str
    place: Callable[[int], str]
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    split: str = ""
    group: str = ""
    faults: list[tuple[str, str]] = field(default_factory=list)


def examples(
    sentences: Sequence[Sentence], findings: Iterable[Finding], limit: int | None
) -> Examples:
    """Sentences with their tags; one with a fault has no words, and findings that name it.

    Where tags mark entities, another one is a fault.

    Args:
        sentences: in the order of the files; at least one.
        findings: what else is wrong.
        limit: most examples.
    """
    counts = Counter(tag for each in sentences if not each.faults for tag in each.tags)
    if tags.marks_entities(counts):
        wrong = {tag for tag in counts if not tags.is_entity_tag(tag)}
        for each in sentences:
            each.faults += _unknown(each, wrong) if wrong else []
    good = [each for each in sentences if not each.faults]
    names = tags.order_tags(tag for each in good for tag in each.tags)
    number = {name: place for place, name in enumerate(names)}
    kept = [([], []) if each.faults else (each.words, each.tags) for each in sentences]
    ids = [each.name for each in sentences]
    found = [
        *findings,
        *(
            Finding("incomplete_row", where, why, (each.name,))
            for each in sentences
            for where, why in each.faults
        ),
        *name_findings(sorted(names), ids),
    ]
    made = Examples(
        ids=tuple(ids),
        labels=np.zeros(len(ids), np.int32),
        classes=(),
        content=Sentences(tuple(tuple(words) for words, _ in kept)),
        splits=_column([each.split for each in sentences]),
        groups=_column([each.group for each in sentences]),
        findings=tuple(found),
        annotations=Tags(
            names, tuple(np.array([number[tag] for tag in those], np.int32) for _, those in kept)
        ),
    )
    return limit_examples(made, limit)


def _unknown(sentence: Sentence, wrong: set[str]) -> list[tuple[str, str]]:
    return [
        (
            sentence.place(number),
            f"unknown tag {tag!r} (expected O, or a prefix of {tags.PREFIXES}, and a type)",
        )
        for number, tag in enumerate(sentence.tags)
        if tag in wrong
    ]


def _column(values: list[str]) -> np.ndarray | None:
    """A value an example; None where the source has none."""
    return np.array(values, str) if any(values) else None
