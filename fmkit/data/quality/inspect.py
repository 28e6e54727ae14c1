"""A data set looked at whole before anything is trained: listed, scanned, split, and judged.

What can be found and how bad it is stands in `findings`. `admit` turns it into a decision: an error
ends the command with all of them at once, unless `data.on_bad` says that what is at fault is to be
left out. TensorFlow is not imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmkit.config.schema.data import DataConfig, ImageData
from fmkit.core.errors import DataError, join_names
from fmkit.data import class_checks, findings, splits
from fmkit.data.class_checks import probable_typos
from fmkit.data.content.documents import Documents
from fmkit.data.content.images import ImageFiles
from fmkit.data.content.preferences import Preferences
from fmkit.data.content.texts import Texts
from fmkit.data.content.word_sequences import Sentences
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.quality import document_checks, duplicates, target_checks
from fmkit.data.quality.image_probe import wrong_extension
from fmkit.data.quality.image_scan import ProgressCallback, Scan, scan
from fmkit.data.quality.scan_cache import ScanCache
from fmkit.data.sources import registry as source_registry

UNEVEN = 20
"""A class with this many times the examples of another makes a warning."""


@dataclass
class Inspection:
    """What was found in a data set.

    Attributes:
        examples: all that the source lists.
        good: positions of those that can be used, sorted.
        splits: by split's name, sorted indices into the good ones.
        findings: everything that was found, errors to notes.
        scan: what the files are; None for arrays and texts.
        limited: `data.limit` may have left examples out.
    """

    examples: Examples
    good: np.ndarray
    splits: dict[str, np.ndarray]
    findings: list[Finding]
    scan: Scan | None
    limited: bool = False

    @property
    def files(self) -> int:
        """Files that were looked at, those that are no example included."""
        return len(self.examples) + sum(
            each.count for each in self.findings if each.about.fault == "file" and not each.examples
        )

    @property
    def thing(self) -> str:
        """What one example is, for a count of them."""
        if isinstance(self.examples.content, Preferences):
            return "row"
        if isinstance(self.examples.content, Sentences):
            return "sentence"
        return "text" if isinstance(self.examples.content, Texts) else "file"

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
    tell: ProgressCallback | None = None,
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
    examples = source_registry.collect(config)
    found, scanned = list(examples.findings), None
    if isinstance(examples.content, ImageFiles):
        cache = ScanCache(cache_folder)
        try:
            scanned = scan(examples.content.paths, _max_pixels(config), cache, tell=tell)
            found += _file_findings(examples, scanned)
            same = duplicates.duplicate_files(examples, scanned, cache)
        finally:
            cache.close()
    else:
        if isinstance(examples.content, Documents):
            found += document_checks.findings(examples, cache_folder, tell)
        same = duplicates.duplicate_content(examples)
    found += duplicates.conflicting_labels(examples, same)
    faulty = {name for each in found if each.is_error for name in each.examples}
    good = np.array([i for i, name in enumerate(examples.ids) if name not in faulty], np.int64)
    usable = examples if len(good) == len(examples) else examples.take(good)
    divided: dict[str, np.ndarray] = {}
    if training:
        divided, wrong = _divided(usable, config, split_seed)
        found += wrong
    elif len(usable):
        divided = {"all": np.arange(len(usable))}
    found += duplicates.duplicates_by_split(examples, same, good, divided)
    found += _class_findings(usable, divided) + target_checks.found(usable, divided)
    found += target_checks.findings(usable, divided)
    return Inspection(examples, good, divided, found, scanned, config.limit is not None)


def _max_pixels(config: DataConfig) -> int:
    """The largest photo of a data set; a plugin's config need not say."""
    return config.max_pixels if isinstance(config, ImageData) else ImageData.max_pixels


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
        told = join_names([f"{count} {mode}" for mode, count in others.items()])
        count = sum(others.values())
        found.append(Finding("converted", "", f"{told} photos become 8-bit RGB.", count=count))
    return found


_PLAIN = ("RGB", "L")


def _divided(
    usable: Examples, config: DataConfig, seed: int
) -> tuple[dict[str, np.ndarray], list[Finding]]:
    """The splits, and why classes cannot be learned or splits made."""
    if not len(usable):
        why = "No example is left that can be used."
        return {}, [Finding("classes", "", why)]
    emptied = np.bincount(usable.labels, minlength=len(usable.classes))[: len(usable.classes)] == 0
    problems = class_checks.class_problems(usable.labels, usable.classes, usable.splits, config)
    problems += target_checks.problems(usable)
    if emptied.any():
        names = [repr(usable.classes[each]) for each in np.flatnonzero(emptied)]
        problems.append(f"No usable example is left of {join_names(names, class_checks.SHOWN)}.")
    if problems:
        return {}, [Finding("classes", "", each) for each in problems]
    try:
        made = splits.make_splits(
            usable, config.val_fraction, config.test_fraction, seed, config.shots
        )
    except DataError as error:
        return {}, [Finding("splits", "", f"{error.message} {error.hint}".strip())]
    return made, []


def _class_findings(usable: Examples, divided: dict[str, np.ndarray]) -> list[Finding]:
    """Classes that are there, but small or uneven."""
    if not usable.classes:
        return []
    labels = usable.labels[divided["train"]] if "train" in divided else usable.labels
    counts = np.bincount(labels, minlength=len(usable.classes))
    found = [
        Finding("single_example", repr(usable.classes[each]))
        for each in np.flatnonzero(counts == 1)
        if "train" in divided
    ]
    found += [
        Finding("label_typo", repr(usable.classes[rare]), f"for {usable.classes[large]!r}?")
        for rare, large in probable_typos(usable.labels, usable.classes)
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


def blocking_errors(found: Iterable[Finding], on_bad: str) -> list[Finding]:
    """The errors that `data.on_bad` does not let pass."""
    return [each for each in found if each.is_error and (on_bad == "error" or not each.about.fault)]


def skipped(found: Iterable[Finding]) -> list[Finding]:
    """What `data.on_bad=skip` leaves out."""
    return [each for each in found if each.is_error and each.about.fault]


def accept(inspected: Inspection, on_bad: str) -> Dataset:
    """The data set that may be used.

    Args:
        inspected: what was found.
        on_bad: `error`, or `skip` and `quarantine`, which leave out what is at fault.

    Raises:
        DataError: all errors at once; or more than half would be left out.
    """
    stopping = blocking_errors(inspected.findings, on_bad)
    if stopping:
        raise DataError(findings.error_message(stopping, inspected.files, inspected.thing))
    unlisted = 0
    is_documents = isinstance(inspected.examples.content, Documents)
    if not inspected.limited:  # what is wrong was counted in the whole, and examples were not
        unlisted = findings.count(
            [
                each
                for each in skipped(inspected.findings)
                # Of documents the rows of a file were weighed where it was read.
                if not each.examples and (each.about.fault == "file" or not is_documents)
            ]
        )
    everything = len(inspected.examples) + unlisted
    missing = everything - len(inspected.good)
    if 2 * missing > everything:
        left_out = skipped(inspected.findings)
        message = findings.error_message(left_out, inspected.files, inspected.thing)
        raise DataError(
            f"data.on_bad={on_bad} would leave out {missing:,} of {everything:,} "
            "examples, more than half: that is not this data set any more.\n"
            f"{message}",
        )
    return inspected.dataset()
