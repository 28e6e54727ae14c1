"""The same example more than once: under two classes, in two splits, or twice in one.

Photos are the same by the bytes of their files, and nearly the same by what they show (`twins`);
arrays by their pixels; texts and conversations by their words, however white space divides them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fmkit.core.errors import join_names
from fmkit.data.content.images import ImageFiles
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.quality import near_duplicates
from fmkit.data.quality.image_scan import Scan
from fmkit.data.quality.scan_cache import ScanCache

_SHOWN = 5  # copies that a finding names; a folder may hold thousands

Groups = list[list[int]]
"""Positions in a data set that belong together."""


@dataclass(frozen=True)
class DuplicateGroups:
    """Groups of positions with the same content: exactly, and nearly."""

    exact: Groups
    near: Groups = field(default_factory=list)


def duplicate_files(examples: Examples, scanned: Scan, cache: ScanCache) -> DuplicateGroups:
    """The copies among photos in files, those left out that cannot be read."""
    if not isinstance(examples.content, ImageFiles):
        raise TypeError("only files are scanned")
    good = scanned.good()
    digests, paths = scanned.digests[good], [examples.content.paths[each] for each in good]
    near = near_duplicates.near(
        digests,
        scanned.thumbnails[good],
        lambda chosen: cache.thumbnails([paths[each] for each in chosen]),
    )
    return DuplicateGroups(_back(near_duplicates.exact(digests), good), _back(near, good))


def duplicate_content(examples: Examples) -> DuplicateGroups:
    """The copies among examples that are not compared by the bytes of their files."""
    usable, digests = [], []
    for index in range(len(examples)):
        key = examples.content.duplicate_key(index)
        if key is not None:
            usable.append(index)
            digests.append(hashlib.blake2b(key, digest_size=16).digest())
    rows = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
    return DuplicateGroups(_back(near_duplicates.exact(rows), np.array(usable, np.int64)))


def _back(groups: Groups, places: np.ndarray) -> Groups:
    """Groups among some of the examples as groups among all."""
    back = places.tolist()
    return [[back[each] for each in group] for group in groups]


def conflicting_labels(examples: Examples, copies: DuplicateGroups) -> list[Finding]:
    """The same example with more than one label, or annotated in more than one way."""
    found: list[Finding] = []
    if examples.annotations is not None:
        return _two_answers(examples, copies)
    if not examples.classes:
        return found
    exact = "two_classes" if examples.content.copies_must_agree else "equal_two_classes"
    for groups, kind in ((copies.exact, exact), (copies.near, "near_two_classes")):
        for group in groups:
            names = {examples.classes[examples.labels[each]] for each in group}
            if len(names) < 2:
                continue
            ids = tuple(examples.ids[each] for each in group)
            told = [f"{examples.ids[e]} ({examples.classes[examples.labels[e]]})" for e in group]
            found.append(Finding(kind, ids[0], _others(told[1:]), ids, count=len(ids)))
    return found


def _two_answers(examples: Examples, copies: DuplicateGroups) -> list[Finding]:
    """The same example with different annotations, which may be a matter of opinion."""
    known, found = examples.annotations, []
    for group in copies.exact:
        if known is not None and len({known.identity(each) for each in group}) > 1:
            ids = tuple(examples.ids[each] for each in group)
            found.append(Finding("two_answers", ids[0], _others(ids[1:]), ids, count=len(ids)))
    return found


def _others(names: Sequence[str]) -> str:
    return f"the same as {join_names(names, _SHOWN)}"


def duplicates_by_split(
    examples: Examples, copies: DuplicateGroups, good: np.ndarray, divided: dict[str, np.ndarray]
) -> list[Finding]:
    """Copies within a split, and those that leak from one split into another.

    Args:
        good: positions of the examples that can be used.
        divided: by split's name, positions in `good`.
    """
    split_of = np.full(len(examples), "", dtype="U8")
    for name, indices in divided.items():
        split_of[good[indices]] = name
    usable = np.zeros(len(examples), bool)
    usable[good] = True
    if divided:  # data.shots leaves examples in no split
        usable &= split_of != ""
    found = []
    kinds = ((copies.exact, "duplicate", "leak"), (copies.near, "near_duplicate", "near_leak"))
    for groups, same, leak in kinds:
        for group in groups:
            members = [each for each in group if usable[each]]
            if len(members) < 2:
                continue
            names = tuple(examples.ids[each] for each in members)
            parts = [str(split_of[each]) for each in members]
            if len(set(parts)) > 1:
                told = [f"{name} ({part})" for name, part in zip(names, parts, strict=True)]
                found.append(Finding(leak, told[0], _others(told[1:]), names, count=len(names)))
            else:
                others = _others(names[1:])
                found.append(Finding(same, names[0], others, names, count=len(names) - 1))
    return found
