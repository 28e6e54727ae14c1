"""Sentences whose words have tags, as files have them, as examples."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fmkit.data.content import tags
from fmkit.data.content.tags import Tags
from fmkit.data.content.texts import Sentences
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

    Where tags mark entities, a tag of another form is a fault. `findings` are other problems.
    """
    counts = Counter(tag for sentence in sentences if not sentence.faults for tag in sentence.tags)
    unknown: set[str] = set()
    if spelling := tags.entity_spelling(counts):
        unknown = {tag for tag in counts if spelling.parse(tag) is None}
    expected = f"expected O, or a prefix of {tags.PREFIXES}, and a type"
    for sentence in sentences if unknown else ():
        located = zip(itertools.cycle(sentence.locations), sentence.tags, strict=False)
        sentence.faults += [
            (where, f"unknown tag {tag!r} ({expected})") for where, tag in located if tag in unknown
        ]
    pairs = [([], []) if row.faults else (row.words, row.tags) for row in sentences]
    names = tags.order_tags(tag for _, row in pairs for tag in row)
    position = {name: index for index, name in enumerate(names)}
    ids = [sentence.name for sentence in sentences]
    faults = [
        Finding("incomplete_row", where, why, (sentence.name,))
        for sentence in sentences
        for where, why in sentence.faults
    ]
    splits, groups = ([getattr(row, name) for row in sentences] for name in ("split", "group"))
    return without_classes(
        ids,
        Sentences(tuple(tuple(words) for words, _ in pairs)),
        Tags(names, tuple(np.array([position[n] for n in row], np.int32) for _, row in pairs)),
        splits=np.array(splits, str) if any(splits) else None,
        groups=np.array(groups, str) if any(groups) else None,
        findings=[*findings, *faults, *name_findings(sorted(names), ids)],
    )
