"""A data set looked at whole before anything is trained: listed, scanned, split, and judged.

What can be found and how bad it is stands in `findings`. `admit` turns it into a decision: an error
ends the command with all of them at once, unless `data.on_bad` says that what is at fault is to be
left out. TensorFlow is not imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmkit.config.schema import DataConfig
from fmkit.data import check, findings, splits, table, twins
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples, ImageArray, ImageFiles
from fmkit.data.findings import Finding
from fmkit.data.probe import wrong_extension
from fmkit.data.scan import Scan, Tell, scan
from fmkit.data.scan_cache import ScanCache
from fmkit.errors import DataError, listed

UNEVEN = 20
"""A class with this many times the examples of another makes a warning."""

_SHOWN_TWINS = 5  # copies that a finding names; a folder may hold thousands


@dataclass
class Inspection:
    """What was found in a data set.

    Attributes:
        examples: all that the source lists.
        good: positions of those that can be used, sorted.
        splits: by split's name, sorted indices into the good ones.
        findings: everything that was found, errors to notes.
        scan: what the files are; None for arrays.
    """

    examples: Examples
    good: np.ndarray
    splits: dict[str, np.ndarray]
    findings: list[Finding]
    scan: Scan | None

    @property
    def files(self) -> int:
        """Files that were looked at, those that are no example included."""
        return len(self.examples) + sum(
            each.count for each in self.findings if each.about.fault == "file" and not each.examples
        )

    @property
    def usable(self) -> Examples:
        """The examples without those that errors name."""
        if len(self.good) == len(self.examples):
            return self.examples
        return self.examples.take(self.good)

    def dataset(self) -> Dataset:
        """What is left, split."""
        usable = self.usable
        return Dataset(usable, self.splits, splits.describe(usable, self.splits))


def inspect(
    config: DataConfig,
    split_seed: int,
    cache_folder: Path | None,
    *,
    training: bool = True,
    tell: Tell | None = None,
) -> Inspection:
    """List a data set and look at everything in it; raises only where it cannot be listed.

    Args:
        config: the data set.
        split_seed: of splits that the source does not name.
        cache_folder: where what is known of files is kept; None: nowhere.
        training: the data is to be learned from and split, not only judged.
        tell: called now and then with how many files were looked at and how many there are.

    Raises:
        DataError: the data cannot be listed.
    """
    examples = table.collect(config)
    found, scanned = list(examples.findings), None
    cache = ScanCache(cache_folder)
    try:
        if isinstance(examples.content, ImageFiles):
            scanned = scan(examples.content.paths, config.max_pixels, cache, tell=tell)
            found += _file_findings(examples, scanned)
        exact, near = _copies(examples, scanned, cache)
    finally:
        cache.close()
    found += _two_classes(examples, exact, near)
    faulty = {name for each in found if each.is_error for name in each.examples}
    good = np.array([i for i, name in enumerate(examples.ids) if name not in faulty], np.int64)
    usable = examples if len(good) == len(examples) else examples.take(good)
    divided: dict[str, np.ndarray] = {}
    if training:
        divided, wrong = _divided(usable, config, split_seed)
        found += wrong
    elif len(usable):
        divided = {"all": np.arange(len(usable))}
    found += _copy_findings(examples, exact, near, good, divided)
    found += _class_findings(usable, divided)
    return Inspection(examples, good, divided, found, scanned)


def _file_findings(examples: Examples, scanned: Scan) -> list[Finding]:
    """What the scan found, a finding a file."""
    if not isinstance(examples.content, ImageFiles):
        raise TypeError("arrays have no files")
    names, paths = examples.ids, examples.content.paths
    found = [
        Finding(kind, names[index], why, (names[index],), paths[index])
        for index, (kind, why) in sorted(scanned.faults.items())
    ]
    found += [Finding("animated", names[each], "", (names[each],)) for each in scanned.animated]
    found += [Finding("blank", names[each], "", (names[each],)) for each in scanned.blank]
    for index, kind in enumerate(scanned.formats):
        if kind and (why := wrong_extension(paths[index], kind)):
            found.append(Finding("wrong_extension", names[index], why, (names[index],)))
    others = {mode: n for mode, n in scanned.counted(scanned.modes).items() if mode not in _PLAIN}
    if others:
        told = listed([f"{count} {mode}" for mode, count in others.items()])
        count = sum(others.values())
        found.append(Finding("converted", "", f"{told} photos become 8-bit RGB.", count=count))
    return found


_PLAIN = ("RGB", "L")
Groups = list[list[int]]


def _copies(examples: Examples, scanned: Scan | None, cache: ScanCache) -> tuple[Groups, Groups]:
    """Groups of positions with the same content: exactly, and nearly (files only)."""
    if scanned is None:
        return twins.exact(_array_digests(examples)), []
    if not isinstance(examples.content, ImageFiles):
        raise TypeError("a scan of arrays")
    good = scanned.good()
    digests, paths = scanned.digests[good], [examples.content.paths[each] for each in good]
    exact = twins.exact(digests)
    near = twins.near(
        digests,
        scanned.thumbnails[good],
        lambda chosen: cache.thumbnails([paths[each] for each in chosen]),
    )
    back = good.tolist()
    return [[[back[each] for each in group] for group in those] for those in (exact, near)]  # type: ignore[return-value]


def _array_digests(examples: Examples) -> np.ndarray:
    """(N, 16) uint8, of each image's pixels."""
    if not isinstance(examples.content, ImageArray):
        raise TypeError("files have no pixels yet")
    digests = np.zeros((len(examples), 16), np.uint8)
    for index, row in enumerate(examples.content.pixels):
        found = hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=16).digest()
        digests[index] = np.frombuffer(found, np.uint8)
    return digests


def _two_classes(examples: Examples, exact: Groups, near: Groups) -> list[Finding]:
    """The same photo with more than one label."""
    found: list[Finding] = []
    if not examples.classes:
        return found
    in_files = isinstance(examples.content, ImageFiles)
    for groups, kind in ((exact, "two_classes"), (near, "near_two_classes")):
        for group in groups:
            names = {examples.classes[examples.labels[each]] for each in group}
            if len(names) < 2:
                continue
            ids = tuple(examples.ids[each] for each in group)
            told = [f"{examples.ids[e]} ({examples.classes[examples.labels[e]]})" for e in group]
            shown = "equal_two_classes" if kind == "two_classes" and not in_files else kind
            found.append(Finding(shown, ids[0], _others(told[1:]), ids, count=len(ids)))
    return found


def _others(names: Sequence[str]) -> str:
    return f"the same as {listed(names, _SHOWN_TWINS)}"


def _divided(
    usable: Examples, config: DataConfig, seed: int
) -> tuple[dict[str, np.ndarray], list[Finding]]:
    """The splits, and why classes cannot be learned or splits made."""
    if not len(usable):
        why = "No example is left that can be used."
        return {}, [Finding("classes", "", why)]
    emptied = _counts(usable) == 0
    problems = check.class_problems(usable.labels, usable.classes, usable.splits, config)
    if emptied.any():
        names = [repr(usable.classes[each]) for each in np.flatnonzero(emptied)]
        problems.append(f"No usable example is left of {listed(names, check.SHOWN)}.")
    if problems:
        return {}, [Finding("classes", "", each) for each in problems]
    try:
        made = splits.make_splits(usable, config.val_fraction, config.test_fraction, seed)
    except DataError as error:
        return {}, [Finding("splits", "", f"{error.message} {error.hint}".strip())]
    return made, []


def _counts(examples: Examples, members: np.ndarray | None = None) -> np.ndarray:
    """Examples of each class, (C,), of all or of those at some positions."""
    if not examples.classes:
        return np.zeros(0, np.int64)
    labels = examples.labels if members is None else examples.labels[members]
    return np.bincount(labels, minlength=len(examples.classes))


def _copy_findings(
    examples: Examples, exact: Groups, near: Groups, good: np.ndarray, divided: dict
) -> list[Finding]:
    """Copies within a split, and those that leak from one split into another."""
    split_of = np.full(len(examples), "", dtype="U8")
    for name, members in divided.items():
        split_of[good[members]] = name
    usable = np.zeros(len(examples), bool)
    usable[good] = True
    found = []
    for groups, same, leak in ((exact, "duplicate", "leak"), (near, "near_duplicate", "near_leak")):
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


def _class_findings(usable: Examples, divided: dict[str, np.ndarray]) -> list[Finding]:
    """Classes that are there, but small or uneven."""
    counts = _counts(usable, divided.get("train"))
    found = [
        Finding("single_example", repr(usable.classes[each]))
        for each in np.flatnonzero(counts == 1)
        if "train" in divided
    ]
    there = counts[counts > 0]
    if len(there) > 1 and there.max() >= UNEVEN * there.min():
        low, high = (
            int(each) for each in (np.where(counts, counts, 2**31).argmin(), counts.argmax())
        )
        found.append(
            Finding(
                "imbalance",
                "",
                f"Class {usable.classes[high]!r} has {counts[high]:,} training examples, "
                f"{usable.classes[low]!r} has {counts[low]:,}.",
            )
        )
    return found


def blocking(found: Iterable[Finding], on_bad: str) -> list[Finding]:
    """The errors that `data.on_bad` does not let pass."""
    return [each for each in found if each.is_error and (on_bad == "error" or not each.about.fault)]


def left_out(found: Iterable[Finding]) -> list[Finding]:
    """What `data.on_bad=skip` leaves out."""
    return [each for each in found if each.is_error and each.about.fault]


def admit(inspected: Inspection, on_bad: str) -> Dataset:
    """The data set that may be used.

    Args:
        inspected: what was found.
        on_bad: `error`, or `skip` and `quarantine`, which leave out what is at fault.

    Raises:
        DataError: all errors at once; or more than half would be left out.
    """
    stopping = blocking(inspected.findings, on_bad)
    if stopping:
        raise DataError(findings.message(stopping, inspected.files))
    missing = len(inspected.examples) - len(inspected.good)
    if 2 * missing > len(inspected.examples):
        raise DataError(
            f"data.on_bad={on_bad} would leave out {missing:,} of {len(inspected.examples):,} "
            "examples, more than half: that is not this data set any more.\n"
            f"{findings.message(left_out(inspected.findings), inspected.files)}",
        )
    return inspected.dataset()
