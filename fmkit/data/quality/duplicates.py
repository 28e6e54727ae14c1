"""Duplicates: the same example under two classes, in two splits, or twice in one split.

Which examples are the same, `Content.duplicate_key` says (texts by their words, however white space
separates them), and for image files their bytes and what they show (`near_duplicates`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fmkit.core.errors import join_names
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.quality.near_duplicates import exact_duplicates

_SHOWN = 5  # duplicates that a finding names; a folder may hold thousands

Groups = list[list[int]]
"""Positions in a data set that belong together."""


@dataclass(frozen=True)
class DuplicateGroups:
    """Groups of positions with the same content: exactly, and nearly."""

    exact: Groups
    near: Groups = field(default_factory=list)

    def renumber(self, positions: np.ndarray) -> DuplicateGroups:
        """Groups among the examples at `positions` as groups among all."""
        exact, near = (
            [positions[group].tolist() for group in groups] for groups in (self.exact, self.near)
        )
        return DuplicateGroups(exact, near)


def find_duplicates(examples: Examples) -> DuplicateGroups:
    """The examples whose content has the same `duplicate_key`."""
    positions, digests = [], []
    for index in range(len(examples)):
        key = examples.content.duplicate_key(index)
        if key is not None:
            positions.append(index)
            digests.append(hashlib.blake2b(key, digest_size=16).digest())
    rows = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
    return DuplicateGroups(exact_duplicates(rows)).renumber(np.array(positions, np.int64))


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
        examples: all.
        duplicates: among all.
        usable: positions of the examples that can be used.
        splits: by name, positions in `usable`.
    """
    split_of = np.full(len(examples), "", dtype="U8")
    for name, indices in splits.items():
        split_of[usable[indices]] = name
    counts = np.zeros(len(examples), bool)
    counts[usable] = True
    if splits:  # data.shots leaves examples in no split
        counts &= split_of != ""
    findings = []
    kinds = (
        (duplicates.exact, "duplicate", "leak"),
        (duplicates.near, "near_duplicate", "near_leak"),
    )
    for groups, duplicate, leak in kinds:
        for group in groups:
            members = [index for index in group if counts[index]]
            if len(members) < 2:
                continue
            ids = [examples.ids[index] for index in members]
            split_names = [str(split_of[index]) for index in members]
            if len(set(split_names)) > 1:
                findings.append(_finding(leak, ids, split_names, where_has_label=True))
            else:
                findings.append(_finding(duplicate, ids, count=len(ids) - 1))
    return findings


def _finding(
    kind: str,
    ids: Sequence[str],
    labels: Sequence[str] | None = None,
    count: int | None = None,
    where_has_label: bool = False,
) -> Finding:
    """One group: its first example, and the others, each with its class or split if need be."""
    names = list(ids)
    if labels is not None:
        names = [f"{name} ({label})" for name, label in zip(ids, labels, strict=True)]
    where = names[0] if where_has_label else ids[0]
    why = f"the same as {join_names(names[1:], _SHOWN)}"
    return Finding(kind, where, why, tuple(ids), count=len(ids) if count is None else count)
