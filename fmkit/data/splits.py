"""Train, validation and test splits, decided by the seed and each example's id alone.

Within a class the examples are ranked by sha256(seed, id): the lowest ranks are the test split, the
highest the validation split. So neither the listing's order nor the location of the root matters,
and adding a file moves at most the examples at the boundaries.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping

import numpy as np

from fmkit.core.errors import ConfigError, DataError, combine_messages, join_names, plural, received
from fmkit.core.types import SPLITS, DataSpec
from fmkit.data import class_checks
from fmkit.data.examples import Examples
from fmkit.data.stratify import allocate, hash_ranks, listed_strata, ranked_members

Splits = dict[str, np.ndarray]
"""By split name, positions of its examples."""


def make_splits(
    examples: Examples,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    shots: int | None = None,
) -> Splits:
    """Sorted positions of the examples of each split; a split that was not requested is absent.

    Splits that the source names are kept. If it names no `val`, that is taken from `train`; a
    `test` it does not name stays absent. A class with one training example is then not in `val`,
    since the author of the splits decided where its examples are. Otherwise the classes are divided
    by the fractions, and no group is ever divided.

    Args:
        val_fraction: share of the examples, or of the named training split; 0 means none.
        test_fraction: share of the examples; 0 means none.
        shots: most examples of each class that stay in `train`, and in `val`.

    Raises:
        ConfigError: the fractions are not shares.
        DataError: a class or a group cannot be where it must be; all problems at once.
    """
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        values = f"{val_fraction} and {test_fraction}"
        expected = "shares of at least 0 that leave something to train on"
        raise ConfigError(received("data.val_fraction and test_fraction", values, expected))
    if examples.splits is None:
        everything = np.arange(len(examples))
        splits = _divide(examples, everything, val_fraction, test_fraction, seed)
    else:
        splits = _named_splits(examples, val_fraction, seed)
    splits = {name: splits[name] for name in SPLITS if len(splits.get(name, ()))}
    _check_training_has_all(examples, splits)
    if shots is not None:
        for name in splits.keys() - {"test"}:
            members = splits[name]
            ranks = hash_ranks((examples.ids[index] for index in members), f"shots {seed}")
            by_class = ranked_members(examples.labels[members], ranks).values()
            chosen = np.concatenate([of_class[:shots] for of_class in by_class])
            splits[name] = np.sort(members[chosen])
    return splits


def _named_splits(examples: Examples, val_fraction: float, seed: int) -> Splits:
    """The splits that the source names, with a validation split taken from train if absent."""
    names: np.ndarray = np.asarray(examples.splits)
    if examples.groups is not None:
        pairs = {*zip(examples.groups.tolist(), names.tolist(), strict=True)}
        splits_of = Counter(group for group, _ in pairs)
        if divided := sorted(group for group, count in splits_of.items() if count > 1):
            count = plural(len(divided), "group is", "groups are")
            raise DataError(
                f"{count} in more than one of the named splits: {join_names(divided, 10)}.",
                "Fix the table, or leave data.group_column or data.split_column empty.",
            )
    splits = {name: np.flatnonzero(names == name) for name in SPLITS}
    if not len(splits["train"]):
        raise DataError(
            "The source names splits, but no example of `train`.",
            f"It has {join_names(sorted(set(names.tolist())))}.",
        )
    if not len(splits["val"]) and val_fraction > 0:
        parts = _divide(examples, splits["train"], val_fraction, 0.0, seed)
        splits |= {"train": parts["train"], "val": parts["val"]}
    return splits


def describe(examples: Examples, splits: Splits) -> DataSpec:
    """The specification of a data set, with a fingerprint of the examples and one of the splits."""
    digest, annotations = hashlib.sha256(), examples.annotations
    class_counts = {}
    for name in sorted(splits):
        ids = sorted(examples.ids[index] for index in splits[name])
        digest.update("\n".join([f"split {name} {len(ids)}", *ids, ""]).encode())
        if examples.classes:
            counts = np.bincount(examples.labels[splits[name]], minlength=len(examples.classes))
            class_counts[name] = dict(zip(examples.classes, counts.tolist(), strict=True))
        elif annotations is not None and annotations.presence() is not None:
            class_counts[name] = annotations.counts(splits[name])
    has_training = annotations is not None and len(splits.get("train", ()))
    return DataSpec(
        modality=examples.content.modality,
        classes=examples.classes,
        counts={name: len(indices) for name, indices in splits.items()},
        class_counts=class_counts,
        fingerprint=examples.fingerprint,
        split_fingerprint=digest.hexdigest(),
        annotations="" if annotations is None else annotations.kind,
        names=() if annotations is None else annotations.names,
        moments=annotations.moments(splits["train"]) if annotations and has_training else {},
        grey_range=examples.content.grey_range,
        units=dict(getattr(annotations, "units", {})),
    )


def _divide(examples: Examples, members: np.ndarray, val: float, test: float, seed: int) -> Splits:
    """`members` as train, val and test."""
    if examples.groups is not None:
        held_out = _hold_out_groups(examples, examples.groups, members, val, test, seed)
    else:
        held_out = _hold_out_examples(examples, members, val, test, seed)
        presence = None if examples.annotations is None else examples.annotations.presence()
        if presence is not None:
            _return_to_training(presence, members, held_out)
    train = np.setdiff1d(members, np.concatenate([held_out["val"], held_out["test"]]))
    return {"train": train, **{name: np.sort(indices) for name, indices in held_out.items()}}


def _return_to_training(presence: np.ndarray, members: np.ndarray, held_out: Splits) -> None:
    """Return to train an example of each label that only held-out splits have, in place.

    Shares by the rarest label seldom need this: such a label is never the rarest one of its
    examples.
    """
    train = np.setdiff1d(members, np.concatenate([held_out["val"], held_out["test"]]))
    for label in np.flatnonzero(presence[members].any(axis=0)):
        if presence[train, label].any():
            continue
        counts = {name: presence[indices, label].sum() for name, indices in held_out.items()}
        name = max(counts, key=counts.__getitem__)
        returned = held_out[name][presence[held_out[name], label]][:1]
        held_out[name] = np.setdiff1d(held_out[name], returned)
        train = np.concatenate([train, returned])


def _hold_out_examples(
    examples: Examples, members: np.ndarray, val: float, test: float, seed: int
) -> Splits:
    """Held-out examples, stratified by class, or by the rarest label of a set."""
    stratum, stratum_count = listed_strata(examples)
    labels, split_count = stratum[members], 1 + (val > 0) + (test > 0)
    counts = np.bincount(labels, minlength=stratum_count)
    if not examples.classes and len(members) < split_count:
        count = plural(len(members), "example is", "examples are")
        raise DataError(
            f"{count} too few for {split_count} splits.",
            "Add some, or set data.val_fraction or data.test_fraction to 0.",
        )
    if examples.classes and examples.splits is None:
        small = class_checks.small_class_message(labels, examples.classes, split_count)
        if small:
            remedy = "remove the class, or set data.val_fraction or data.test_fraction to 0"
            raise DataError(small, f"Add some, {remedy}.")
    available = np.maximum(counts - 1, 0)  # one example of each class stays in train
    test_counts = _share_counts(counts, test, np.maximum(available - (val > 0), 0))
    val_counts = _share_counts(counts, val, available - test_counts)
    ranks = hash_ranks((examples.ids[index] for index in members), str(seed))
    held_out: dict[str, list[int]] = {"val": [], "test": []}
    for label, of_class in ranked_members(labels, ranks).items():
        held_out["test"] += of_class[: test_counts[label]].tolist()
        held_out["val"] += of_class[len(of_class) - val_counts[label] :].tolist()
    return {name: members[np.array(chosen, np.int64)] for name, chosen in held_out.items()}


def _share_counts(counts: np.ndarray, fraction: float, most: np.ndarray) -> np.ndarray:
    """How many examples of each class a split gets: at least one, if the split is requested."""
    total = int(np.floor(fraction * counts.sum() + 0.5))
    least = np.full(len(counts), int(fraction > 0))
    return allocate(counts, total, least, most if fraction > 0 else least)


def _hold_out_groups(
    examples: Examples,
    group_names: np.ndarray,
    members: np.ndarray,
    val: float,
    test: float,
    seed: int,
) -> Splits:
    """Held-out groups, whole, stratified by the class that most of a group's examples have.

    For sets of labels, by the rarest label that most of them have. Groups without which training
    would lack a class or a label stay in it.
    """
    stratum, stratum_count = listed_strata(examples)
    names, numbers = np.unique(group_names[members], return_inverse=True)
    sizes = np.bincount(numbers)
    votes = np.zeros((len(names), stratum_count), dtype=np.int64)
    np.add.at(votes, (numbers, stratum[members]), 1)
    majority = votes.argmax(axis=1)
    ranks = hash_ranks(names.tolist(), str(seed))
    has_class = _presence_in_groups(examples, members, numbers)
    reserved: set[int] = set()  # groups that stay in training
    while True:
        held_out = _fill_splits(ranked_members(majority, ranks), sizes, val, test, reserved)
        training = np.setdiff1d(np.arange(len(names)), held_out["val"] + held_out["test"])
        absent = has_class.any(axis=0) & ~has_class[training].any(axis=0)
        if not absent.any():
            break
        label = int(np.flatnonzero(absent)[0])
        groups_with_it = np.flatnonzero(has_class[:, label]).tolist()
        reserved.add(min(groups_with_it, key=lambda group: (sizes[group], ranks[group])))
    fractions = {"val": val, "test": test}
    if empty := [name for name, share in fractions.items() if share > 0 and not held_out[name]]:
        subject = plural(len(names), "group leaves", "groups leave")
        raise DataError(
            f"{subject} nothing for {join_names(empty)}: no class has enough of them.",
            "A class should have a group for each split; or set the fraction to 0.",
        )
    return {name: members[np.isin(numbers, chosen)] for name, chosen in held_out.items()}


def _presence_in_groups(examples: Examples, members: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Whether each group has an example of each class or label, (groups, K) bool.

    Args:
        examples: all of them.
        members: positions of those that are divided, (M,).
        numbers: the group of each, (M,).
    """
    presence = None if examples.annotations is None else examples.annotations.presence()
    columns = max(1, len(examples.classes)) if presence is None else presence.shape[1]
    in_groups = np.zeros((numbers.max() + 1, columns), bool)
    if presence is None:
        in_groups[numbers, examples.labels[members]] = True
    else:
        np.logical_or.at(in_groups, numbers, presence[members])
    return in_groups


def _fill_splits(
    by_class: Mapping[int, np.ndarray],
    sizes: np.ndarray,
    val: float,
    test: float,
    reserved: set[int],
) -> dict[str, list[int]]:
    """The groups of `test` and `val`, out of each class' ranked groups that are not reserved."""
    held_out: dict[str, list[int]] = {"val": [], "test": []}
    for of_class in by_class.values():
        ordered = [group for group in of_class.tolist() if group not in reserved]
        total, in_training = sizes[of_class].sum(), int(len(ordered) == len(of_class))
        test_groups = _fill(ordered, sizes, total * test, len(ordered) - in_training - (val > 0))
        rest = [group for group in reversed(ordered) if group not in set(test_groups)]
        held_out["test"] += test_groups
        held_out["val"] += _fill(rest, sizes, total * val, len(rest) - in_training)
    return held_out


def _fill(ordered: list[int], sizes: np.ndarray, quota: float, most: int) -> list[int]:
    """Groups whose sizes come close to the quota, in order; at least one if `most` allows it."""
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


def _check_training_has_all(examples: Examples, splits: Splits) -> None:
    """Refuse classes and labels that no training example has."""
    annotations, labels = examples.annotations, examples.labels
    presence = None if annotations is None else annotations.presence()
    if annotations is not None and presence is not None:
        noun, names = "Label", annotations.names
        hint = "Add examples that have them, or leave the labels out."
        has_name: Splits = {k: np.any(presence[v], axis=0) for k, v in splits.items()}
    else:
        noun, names = "Class", examples.classes
        hint = "Add training examples of it, or remove it."
        numbers = np.arange(len(names))
        has_name = {split: np.isin(numbers, labels[members]) for split, members in splits.items()}
    problems = []
    for position in np.flatnonzero(~has_name["train"]).tolist():
        others = [split for split, has in has_name.items() if has[position]]
        where = f"only in {join_names(others)}" if others else "in no split"
        problems.append(f"{noun} {names[position]!r} has no example in train, it is {where}.")
    if problems:
        raise DataError(combine_messages(problems[:20]), hint)
