"""Tags of words, and the entities that they mark: IOB1, IOB2, BIOES, BILOU and BMES.

A tag is `O` or a prefix and a type, as in `B-PER`, in one of these schemes, or a name without
prefix, such as a part of speech. Entities are those of `conlleval` (Tjong Kim Sang and De Meulder
2003) and of seqeval's default mode, whatever the scheme: an entity continues as long as the type
stays the same and no tag begins another one.

N sentences, W words of all of them, K tags, E entities.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmkit.data.targets import Annotations, positions_in_run

OUTSIDE_NAME = "O"
"""The tag of a word that is in no entity."""

OUTSIDE, BEGIN, INSIDE, END, SINGLE = range(5)
_PREFIXES = {"B": BEGIN, "I": INSIDE, "M": INSIDE, "E": END, "L": END, "S": SINGLE, "U": SINGLE}
PREFIXES = "B, I, E, S (or L, U, M)"
"""The prefixes, for messages."""
_TAG = re.compile(r"([BIMELSU])(?:-(.+))?", re.DOTALL)
_NO_TYPE = "_"


@dataclass(frozen=True)
class Scheme:
    """Tags with prefixes.

    Attributes:
        prefixes: of each tag, (K + 1,); the last one, at -1, is for a word without a tag.
        kinds: number of each tag's type, likewise; -1 where it has none.
        types: names of the types, sorted.
    """

    prefixes: np.ndarray
    kinds: np.ndarray
    types: tuple[str, ...]


@dataclass(frozen=True)
class EntitySpans:
    """First word, word after the last one, and number of the type of all entities, (E,) each."""

    begins: np.ndarray
    ends: np.ndarray
    kinds: np.ndarray


@dataclass(frozen=True, eq=False)
class Tags(Annotations):
    """A tag for each word of each example.

    Attributes:
        names: of the tags, in the order of the model's outputs.
        values: positions in `names` by example, (words,) int32 each.
    """

    kind: ClassVar[str] = "tags"
    columns: ClassVar = ("values",)
    names: tuple[str, ...]
    values: tuple[np.ndarray, ...]

    def flat(self) -> np.ndarray:
        """The tags of all examples one after the other, (W,) int32."""
        return np.concatenate([np.zeros(0, np.int32), *self.values])

    def identity(self, index: int) -> bytes:
        """The names of an example's tags."""
        names = "\0".join(self.names[tag] for tag in self.values[index])
        return names.encode("utf-8", "surrogatepass")

    def align(self, names: tuple[str, ...]) -> Tags:
        """In the order of a run's names, of which some may be absent (`positions_in_run`)."""
        order = positions_in_run(self.names, names, "tags", "Tags are matched exactly.")
        return Tags(names, tuple(order[tags] for tags in self.values))


def is_entity_tag(name: str) -> bool:
    """Whether a tag is `O`, or has a known prefix."""
    return name == OUTSIDE_NAME or _TAG.fullmatch(name) is not None


def marks_entities(counts: Mapping[str, int]) -> bool:
    """Whether tags, by how often each occurs, are meant to mark entities.

    They are if at least half of the words that are not `O` have a known prefix, so that a few wrong
    tags are recognised as wrong. A prefix without a type counts only if there is an `O`, too.
    """
    tagged = {name: count for name, count in counts.items() if name != OUTSIDE_NAME}
    prefixed = sum(
        count
        for name, count in tagged.items()
        if (match := _TAG.fullmatch(name)) and (match[2] or OUTSIDE_NAME in counts)
    )
    return prefixed > 0 and 2 * prefixed >= sum(tagged.values())


def tag_scheme(names: Sequence[str]) -> Scheme | None:
    """What the tags mean where they mark entities; None where they do not mark entities."""
    if not all(map(is_entity_tag, names)) or not marks_entities(dict.fromkeys(names, 1)):
        return None
    matches = [_TAG.fullmatch(name) if name != OUTSIDE_NAME else None for name in names]
    types = tuple(sorted({match[2] or _NO_TYPE for match in matches if match}))
    number = {name: index for index, name in enumerate(types)}
    prefixes = [_PREFIXES[match[1]] if match else OUTSIDE for match in matches]
    kinds = [number[match[2] or _NO_TYPE] if match else -1 for match in matches]
    return Scheme(np.array([*prefixes, OUTSIDE]), np.array([*kinds, -1]), types)


def order_tags(names: Iterable[str]) -> tuple[str, ...]:
    """Different tags in the order of outputs: `O`, then by type and prefix, or else by name."""
    different = set(names)
    if not all(map(is_entity_tag, different)):
        return tuple(sorted(different))

    def sort_key(name: str) -> tuple[bool, str, int, str]:
        match = _TAG.fullmatch(name)
        rank = _PREFIXES.get(name[0], 0)
        return name != OUTSIDE_NAME, match[2] or "" if match else "", rank, name

    return tuple(sorted(different, key=sort_key))


def entity_spans(tags: np.ndarray, lengths: np.ndarray, scheme: Scheme) -> EntitySpans:
    """The entities of concatenated sentences.

    Args:
        tags: positions in the names, -1 for none, (W,).
        lengths: words of each sentence, (N,).
        scheme: of the tags.
    """
    prefixes, kinds = scheme.prefixes[tags], scheme.kinds[tags]
    edges = np.zeros(len(tags) + 1, bool)  # whether a sentence begins, or the last one has ended
    edges[np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)] = True
    before = np.where(edges[:-1], OUTSIDE, np.roll(prefixes, 1))
    after = np.where(edges[1:], OUTSIDE, np.roll(prefixes, -1))
    changes = kinds != np.roll(kinds, 1)  # of type
    starts, stops = (BEGIN, SINGLE), (END, SINGLE)
    begins = np.isin(prefixes, starts) | np.isin(before, (OUTSIDE, *stops)) | changes
    ends = np.isin(prefixes, stops) | np.isin(after, (OUTSIDE, *starts)) | np.roll(changes, -1)
    first_words = np.flatnonzero(begins & (prefixes != OUTSIDE))
    last_words = np.flatnonzero(ends & (prefixes != OUTSIDE))
    return EntitySpans(first_words, last_words + 1, kinds[first_words])
