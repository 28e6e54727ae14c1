"""Tags of words, and the entities that they mark: IOB1, IOB2, BIOES, BILOU and BMES.

A tag is `O` or a prefix and a type, as in `B-PER`, in one of these schemes, or a name without
prefix, such as a part of speech. `B_PER`, `b-per` with `o`, and `PER-B` are other spellings of
`B-PER`; names stay as files have them. Entities are those of `conlleval` (Tjong Kim Sang and De
Meulder 2003) and of seqeval's default mode, whatever the scheme: an entity continues as long as the
type stays the same and no tag begins another one.

N sentences, W words of all of them, K tags, E entities.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmkit.data.targets import Annotations, positions_in_run

OUTSIDE, BEGIN, INSIDE, END, SINGLE = range(5)
_PREFIXES = {"B": BEGIN, "I": INSIDE, "M": INSIDE, "E": END, "L": END, "S": SINGLE, "U": SINGLE}
PREFIXES = "B, I, E, S (or L, U, M)"
"""The prefixes, for messages."""
_NO_TYPE = "_"


@dataclass(frozen=True)
class Spelling:
    """How tags of entities are written."""

    outside: tuple[str, ...]  # tags of words that are in no entity
    pattern: re.Pattern[str]  # of the others, with the groups `prefix` and `type`

    def parse(self, name: str) -> tuple[int, str] | None:
        """The number of a tag's prefix, and its type, perhaps empty; None: not of this spelling."""
        if name in self.outside:
            return OUTSIDE, ""
        match = self.pattern.fullmatch(name)
        return match and (_PREFIXES[match["prefix"].upper()], match["type"] or "")

    def marks_entities(self, counts: Mapping[str, int]) -> bool:
        """Whether tags, by how often each occurs, are entities in this spelling.

        They are if at least half of the words that are not `O` have a known prefix, so that a few
        wrong tags are recognised as wrong. Other forms than `B-PER` count only beside an `O`.
        """
        tagged = {name: count for name, count in counts.items() if name not in self.outside}
        has_outside = len(tagged) < len(counts)
        prefixed = sum(
            count
            for name, count in tagged.items()
            if (tag := self.parse(name)) and (has_outside or (tag[1] and self is _STANDARD))
        )
        return prefixed > 0 and 2 * prefixed >= sum(tagged.values())


_LETTERS = f"[{''.join(_PREFIXES)}]"
_STANDARD = Spelling(("O",), re.compile(rf"(?P<prefix>{_LETTERS})(?:-(?P<type>.+))?", re.DOTALL))
_IN_FRONT = re.compile(rf"(?P<prefix>{_LETTERS})[-_:/.|](?P<type>.+)", re.DOTALL | re.IGNORECASE)
_AT_END = re.compile(rf"(?P<type>.+)[-_:/.|](?P<prefix>{_LETTERS})", re.DOTALL | re.IGNORECASE)
_SPELLINGS = (_STANDARD, Spelling(("O", "o"), _IN_FRONT), Spelling(("O", "o"), _AT_END))


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

    def absent(self, indices: np.ndarray) -> list[str]:
        """The tags that no word of the examples at `indices` has."""
        present = np.unique(self.take(indices).flat())
        return [self.names[tag] for tag in np.setdiff1d(np.arange(len(self.names)), present)]

    def align(self, names: tuple[str, ...]) -> Tags:
        """In the order of a run's names, of which some may be absent (`positions_in_run`)."""
        order = positions_in_run(self.names, names, "tags", "Tags are matched exactly.")
        return Tags(names, tuple(order[tags] for tags in self.values))


def entity_spelling(counts: Mapping[str, int]) -> Spelling | None:
    """The spelling of tags, by how often each occurs, that mark entities; None: they do not."""
    return next((spelling for spelling in _SPELLINGS if spelling.marks_entities(counts)), None)


def tag_scheme(names: Sequence[str]) -> Scheme | None:
    """What the tags mean where they mark entities; None where they do not mark entities."""
    spelling = entity_spelling(dict.fromkeys(names, 1))
    parsed = [spelling.parse(name) if spelling else None for name in names]
    tags = [tag for tag in parsed if tag is not None]
    if spelling is None or len(tags) < len(names):
        return None
    types = tuple(sorted({kind or _NO_TYPE for prefix, kind in tags if prefix != OUTSIDE}))
    number = {name: index for index, name in enumerate(types)}
    kinds = [-1 if prefix == OUTSIDE else number[kind or _NO_TYPE] for prefix, kind in tags]
    prefixes = [prefix for prefix, _ in tags]
    return Scheme(np.array([*prefixes, OUTSIDE]), np.array([*kinds, -1]), types)


def outside_tag(names: Sequence[str]) -> int:
    """The position of the tag of words that are in no entity; -1 where there is none."""
    if "O" in names:
        return names.index("O")
    return names.index("o") if "o" in names and tag_scheme(names) is not None else -1


def order_tags(names: Iterable[str]) -> tuple[str, ...]:
    """Different tags in the order of outputs: `O`, then by type and prefix, or else by name."""
    different = sorted(set(names))
    spellings = [_STANDARD, entity_spelling(dict.fromkeys(different, 1))]
    for spelling in filter(None, spellings):
        tags = {name: spelling.parse(name) for name in different}
        if all(tags.values()):
            return tuple(sorted(different, key=lambda name: _order(tags[name], name)))
    return tuple(different)


def _order(tag: tuple[int, str] | None, name: str) -> tuple[bool, str, int, str]:
    prefix, kind = tag or (OUTSIDE, "")
    return prefix != OUTSIDE, kind, prefix, name


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
