"""Duplicates: the same example under two classes, in two splits, or twice in one split.

Which examples are the same, `Content.duplicate_key` says (texts by their words, however white space
separates them), and for image files their bytes and what they show (`near_duplicates`).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fmkit.core.errors import join_names
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding

_SHOWN = 5  # duplicates that a finding names; a folder may hold thousands

Groups = list[list[int]]
"""Positions in a data set that belong together."""


@dataclass(frozen=True)
class DuplicateGroups:
    """Groups of positions with the same content: exactly, and nearly."""

    exact: Groups
    near: Groups = field(default_factory=list)


def group_equal(keys: Iterable[tuple[int, bytes]]) -> Groups:
    """Groups of positions with the same key, those that are alone left out."""
    groups: dict[bytes, list[int]] = {}
    for position, key in keys:
        groups.setdefault(key, []).append(position)
    return [group for group in groups.values() if len(group) > 1]


def find_duplicates(examples: Examples) -> DuplicateGroups:
    """The examples whose content has the same `duplicate_key`."""
    keys = ((index, examples.content.duplicate_key(index)) for index in range(len(examples)))
    digests = (
        (index, hashlib.blake2b(key, digest_size=16).digest())
        for index, key in keys
        if key is not None
    )
    return DuplicateGroups(group_equal(digests))


def conflicting_labels(examples: Examples, duplicates: DuplicateGroups) -> list[Finding]:
    """The same example with more than one label, or annotated in more than one way."""
    annotations, findings = examples.annotations, []
    if annotations is not None:  # which may be a matter of opinion
        for group in duplicates.exact:
            if len({annotations.identity(index) for index in group}) > 1:
                findings.append(_finding("two_answers", [examples.ids[index] for index in group]))
        return findings
    if not examples.classes:
        return []
    exact = "two_classes" if examples.content.copies_must_agree else "equal_two_classes"
    for groups, kind in ((duplicates.exact, exact), (duplicates.near, "near_two_classes")):
        for group in groups:
            classes = [examples.classes[examples.labels[index]] for index in group]
            if len(set(classes)) > 1:
                findings.append(_finding(kind, [examples.ids[index] for index in group], classes))
    return findings


def duplicates_by_split(
    examples: Examples,
    duplicates: DuplicateGroups,
    usable: np.ndarray,
    splits: Mapping[str, np.ndarray],
) -> list[Finding]:
    """Duplicates within a split, and those that leak from one split into another.

    Args:
        usable: positions of the examples that can be used.
        splits: by name, positions in `usable`.
    """
    # Unusable examples are in no split, and data.shots leaves others in none.
    split_of = dict.fromkeys([] if splits else usable.tolist(), "")
    for name, indices in splits.items():
        split_of.update(dict.fromkeys(usable[indices].tolist(), name))
    findings = []
    for groups, prefix in ((duplicates.exact, ""), (duplicates.near, "near_")):
        for group in groups:
            members = [index for index in group if index in split_of]
            ids = [examples.ids[index] for index in members]
            names = [split_of[index] for index in members]
            if len(set(names)) > 1:
                leak = _finding(f"{prefix}leak", ids, names)
                findings.append(replace(leak, where=f"{ids[0]} ({names[0]})"))
            elif len(members) > 1:
                duplicate = _finding(f"{prefix}duplicate", ids)
                findings.append(replace(duplicate, count=len(ids) - 1))
    return findings


def _finding(kind: str, ids: Sequence[str], labels: Sequence[str] = ()) -> Finding:
    """One group: its first example, and the others, each with its class or split if need be."""
    names = [f"{name} ({label})" for name, label in zip(ids, labels, strict=False)] or ids
    why = f"the same as {join_names(names[1:], _SHOWN)}"
    return Finding(kind, ids[0], why, tuple(ids), count=len(ids))
