"""Which example is in which split, decided by the seed and each example's id alone.

Within a class the examples are ranked by sha256(seed, id): the lowest ranks are the test split, the
highest the validation split. So the listing's order and the root's place do not matter, and a file
more moves at most the examples at the boundaries.
"""

from __future__ import annotations

import hashlib
import itertools

import numpy as np

from fmkit.core import console
from fmkit.core.errors import ConfigError, DataError, combine_messages, join_names, received
from fmkit.core.types import SPLITS, DataSpec
from fmkit.data import class_checks
from fmkit.data.examples import Examples
from fmkit.data.stratify import allocate, hash_ranks, strata
from fmkit.data.targets import LabelSets, Numbers


def make_splits(
    examples: Examples,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    shots: int | None = None,
) -> dict[str, np.ndarray]:
    """Sorted positions of the examples of each split; a split nobody asked for is not there.

    Splits that the source names are kept. If it names no `val`, that is carved out of `train`; a
    `test` it does not name stays missing; a class with one training example is not in that `val`,
    since whoever named the splits decided where its examples are. Otherwise the classes are shared
    out by the fractions, and no group is ever cut.

    Args:
        val_fraction: share of the examples, or of the named training split; 0 means none.
        test_fraction: share of the examples; 0 means none.
        seed: other seeds give other splits.
        shots: most examples of each class that are left in `train`, and in `val`.

    Raises:
        ConfigError: the fractions are no shares.
        DataError: a class or a group cannot be where it must be; all problems at once.
    """
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        came = f"{val_fraction} and {test_fraction}"
        expected = "shares of at least 0 that leave something to train on"
        raise ConfigError(received("data.val_fraction and test_fraction", came, expected))
    everything = np.arange(len(examples))
    if examples.splits is None:
        splits = _shared_out(examples, everything, val_fraction, test_fraction, seed)
    else:
        _refuse_straddling(examples)
        splits = {name: np.flatnonzero(examples.splits == name) for name in SPLITS}
        if not len(splits["train"]):
            raise DataError(
                "The source names splits, but no example of `train`.",
                f"It has {join_names(sorted(set(examples.splits.tolist())))}.",
            )
        if not len(splits["val"]) and val_fraction > 0:
            carved = _shared_out(examples, splits["train"], val_fraction, 0.0, seed)
            splits |= {"train": carved["train"], "val": carved["val"]}
    splits = {name: splits[name] for name in SPLITS if len(splits.get(name, ()))}
    _refuse_unseen(examples, splits)
    if shots is not None:
        splits |= {
            name: _few(examples, splits[name], shots, seed)
            for name in ("train", "val")
            if name in splits
        }
    return splits


def _few(examples: Examples, members: np.ndarray, shots: int, seed: int) -> np.ndarray:
    """At most `shots` members of each class, chosen by the hash of seed and id."""
    rank = hash_ranks((examples.ids[each] for each in members), f"shots {seed}")
    labels, chosen = examples.labels[members], []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        chosen += members[of_class[np.argsort(rank[of_class], kind="stable")[:shots]]].tolist()
    return np.array(sorted(chosen), np.int64)


def describe(examples: Examples, splits: dict[str, np.ndarray]) -> DataSpec:
    """What the data set looks like, with a fingerprint of the examples and one of the splits."""
    digest, known = hashlib.sha256(), examples.annotations
    class_counts = {}
    for name in sorted(splits):
        chosen = sorted(examples.ids[each] for each in splits[name])
        digest.update("\n".join([f"split {name} {len(chosen)}", *chosen, ""]).encode())
        if isinstance(known, LabelSets):
            class_counts[name] = known.counts(splits[name])
        elif examples.classes:
            counts = np.bincount(examples.labels[splits[name]], minlength=len(examples.classes))
            class_counts[name] = dict(zip(examples.classes, counts.tolist(), strict=True))
    moments: dict[str, tuple[float, float]] = {}
    if isinstance(known, Numbers) and len(splits.get("train", ())):
        moments = known.moments(splits["train"])
    return DataSpec(
        modality=examples.content.modality,
        classes=examples.classes,
        counts={name: len(indices) for name, indices in splits.items()},
        class_counts=class_counts,
        fingerprint=examples.fingerprint,
        split_fingerprint=digest.hexdigest(),
        annotations="" if known is None else known.kind,
        names=() if known is None else known.names,
        moments=moments,
    )


def _shared_out(
    examples: Examples, members: np.ndarray, val: float, test: float, seed: int
) -> dict[str, np.ndarray]:
    """`members` as train, val and test."""
    share = _share_groups if examples.groups is not None else _share_examples
    held_out = share(examples, members, val, test, seed)
    if isinstance(examples.annotations, LabelSets) and examples.groups is None:
        _give_back(examples.annotations, members, held_out)
    taken = np.concatenate([held_out["val"], held_out["test"]])
    train = np.setdiff1d(members, taken)
    return {"train": train, **{name: np.sort(each) for name, each in held_out.items()}}


def _give_back(known: LabelSets, members: np.ndarray, held_out: dict[str, np.ndarray]) -> None:
    """Let train have an example of each label that would be in held-out splits alone, in place.

    Shares by the rarest label leave that rare: a label is never the rarest one of its examples.
    """
    train = np.setdiff1d(members, np.concatenate([held_out["val"], held_out["test"]]))
    for label in np.flatnonzero(known.there[members].any(axis=0)):
        if known.there[train, label].any():
            continue
        name = max(held_out, key=lambda each: known.there[held_out[each], label].sum())
        given = held_out[name][known.there[held_out[name], label]][:1]
        held_out[name] = np.setdiff1d(held_out[name], given)
        train = np.concatenate([train, given])


def _share_examples(
    examples: Examples, members: np.ndarray, val: float, test: float, seed: int
) -> dict[str, np.ndarray]:
    """Held-out examples, stratified by class, or by the rarest label of a set."""
    found, most = strata(examples)
    labels, wanted = found[members], 1 + (val > 0) + (test > 0)
    counts = np.bincount(labels, minlength=most)
    if not examples.classes and len(members) < wanted:
        raise DataError(
            f"{len(members)} examples are too few for {wanted} splits.",
            "Add some, or set data.val_fraction or data.test_fraction to 0.",
        )
    small = (
        class_checks.small_class_message(labels, examples.classes, wanted)
        if examples.classes
        else ""
    )
    if small and examples.splits is None:
        hint = "Add some, remove the class, or set data.val_fraction or data.test_fraction to 0."
        raise DataError(small, hint)
    room = np.maximum(counts - 1, 0)  # one example of each class stays in train
    test_counts = _counts(counts, test, np.maximum(room - (val > 0), 0))
    val_counts = _counts(counts, val, room - test_counts)
    rank = hash_ranks((examples.ids[each] for each in members), str(seed))
    held_out: dict[str, list[int]] = {"val": [], "test": []}
    for label in range(len(counts)):
        of_class = np.flatnonzero(labels == label)
        ordered = members[of_class[np.argsort(rank[of_class], kind="stable")]]
        held_out["test"] += ordered[: test_counts[label]].tolist()
        held_out["val"] += ordered[len(ordered) - val_counts[label] :].tolist()
    return {name: np.array(each, dtype=np.int64) for name, each in held_out.items()}


def _counts(counts: np.ndarray, fraction: float, most: np.ndarray) -> np.ndarray:
    """How many examples of each class a split gets: at least one, if it is asked for at all."""
    if fraction <= 0:
        return np.zeros(len(counts), dtype=np.int64)
    total = int(np.floor(fraction * counts.sum() + 0.5))
    return allocate(counts.tolist(), total, [1] * len(counts), most.tolist())


def _share_groups(
    examples: Examples, members: np.ndarray, val: float, test: float, seed: int
) -> dict[str, np.ndarray]:
    """Held-out groups, whole, stratified by the class that most of a group's examples have.

    Of sets of labels, by the rarest label that most of them have.
    """
    groups, (found, most) = examples.groups, strata(examples)
    if groups is None:
        raise TypeError("examples without groups")
    names, numbers = np.unique(groups[members], return_inverse=True)
    sizes = np.bincount(numbers)
    votes = np.zeros((len(names), most), dtype=np.int64)
    np.add.at(votes, (numbers, found[members]), 1)
    majority = votes.argmax(axis=1)
    rank = hash_ranks(names.tolist(), str(seed))
    held_out: dict[str, list[int]] = {"val": [], "test": []}
    for label in np.unique(majority):
        of_class = np.flatnonzero(majority == label)
        ordered = of_class[np.argsort(rank[of_class], kind="stable")].tolist()
        quota = sizes[of_class].sum()
        chosen = _fill(ordered, sizes, quota * test, len(ordered) - 1 - (val > 0))
        taken = set(chosen)
        rest = [each for each in reversed(ordered) if each not in taken]
        held_out["test"] += chosen
        held_out["val"] += _fill(rest, sizes, quota * val, len(rest) - 1)
    _refuse_too_few_groups(len(names), held_out, val, test)
    chosen_examples = {
        name: members[np.isin(numbers, np.array(each, dtype=np.int64))]
        for name, each in held_out.items()
    }
    _warn_of_absent(examples, chosen_examples)
    return chosen_examples


def _fill(ordered: list[int], sizes: np.ndarray, quota: float, most: int) -> list[int]:
    """Groups whose sizes come near the quota, in order; one at least, where `most` lets it."""
    if quota <= 0 or most < 1:
        return []
    chosen: list[int] = []
    count = 0
    for group in ordered:
        size = int(sizes[group])
        if len(chosen) < most and abs(count + size - quota) <= abs(count - quota):
            chosen.append(group)
            count += size
    return chosen or [min(ordered, key=lambda group: int(sizes[group]))]


def _refuse_too_few_groups(
    count: int, held_out: dict[str, list[int]], val: float, test: float
) -> None:
    empty = [
        name for name, share in (("val", val), ("test", test)) if share > 0 and not held_out[name]
    ]
    if empty:
        raise DataError(
            f"{count} groups leave nothing for {join_names(empty)}: no class has enough of them.",
            "A class should have a group for each split; or set the fraction to 0.",
        )


def _warn_of_absent(examples: Examples, held_out: dict[str, np.ndarray]) -> None:
    """Tell of classes that a held-out split lacks, since their groups were too few."""
    for name, indices in held_out.items():
        there = set(examples.labels[indices].tolist())
        absent = [each for label, each in enumerate(examples.classes) if label not in there]
        if absent and len(indices):
            console.warning(f"No group left for {name} has an example of {join_names(absent, 10)}.")


def _refuse_straddling(examples: Examples) -> None:
    """Refuse groups that the named splits cut."""
    if examples.groups is None or examples.splits is None:
        return
    pairs = {*zip(examples.groups.tolist(), examples.splits.tolist(), strict=True)}
    names = sorted(group for group, _ in pairs)
    cut = sorted({group for group, after in itertools.pairwise(names) if group == after})
    if cut:
        raise DataError(
            f"{len(cut)} groups are in more than one of the named splits: {join_names(cut, 10)}.",
            "Mend the table, or leave data.group_column or data.split_column empty.",
        )


def _refuse_unseen(examples: Examples, splits: dict[str, np.ndarray]) -> None:
    """Refuse classes and labels that no training example has."""
    if isinstance(examples.annotations, LabelSets):
        _refuse_unseen_labels(examples.annotations, splits)
    trained = set(examples.labels[splits["train"]].tolist())
    absent = [each for label, each in enumerate(examples.classes) if label not in trained]
    problems = []
    for each in absent:
        label = examples.classes.index(each)
        found = [name for name in splits if (examples.labels[splits[name]] == label).any()]
        where = f"only in {join_names(found)}" if found else "in no split"
        problems.append(f"Class {each!r} has no example in train, it is {where}.")
    if problems:
        raise DataError(combine_messages(problems[:20]))


def _refuse_unseen_labels(known: LabelSets, splits: dict[str, np.ndarray]) -> None:
    problems = []
    for label in np.flatnonzero(~known.there[splits["train"]].any(axis=0)):
        found = [name for name, indices in splits.items() if known.there[indices, label].any()]
        where = f"only in {join_names(found)}" if found else "in no split"
        problems.append(f"Label {known.names[label]!r} has no example in train, it is {where}.")
    if problems:
        hint = "Add examples that have them, or leave the labels out."
        raise DataError(combine_messages(problems[:20]), hint)
