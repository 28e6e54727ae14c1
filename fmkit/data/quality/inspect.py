"""Inspection of a data set before anything is trained: listed, read, split, and checked.

What can be found and how bad it is, `fmkit.data.findings` lists. `accept` turns an inspection into
a decision: an error ends the command with all errors at once, unless `data.on_bad` says that what
is at fault is left out. TensorFlow is not imported.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config.schema.data import DataConfig
from fmkit.core import registry
from fmkit.core.errors import DataError, join_names
from fmkit.core.modalities import modality_entry
from fmkit.data import class_checks, splits
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Content, Examples, ProgressCallback
from fmkit.data.findings import FILE, ROW, Finding, count, error_message
from fmkit.data.quality import duplicates, target_checks
from fmkit.data.quality.duplicates import DuplicateGroups
from fmkit.data.sources import registry as source_registry


@dataclass(frozen=True)
class ContentScan:
    """What reading all N examples has shown, by the checks of their modality."""

    findings: Sequence[Finding] = ()  # problems of single examples
    duplicates: DuplicateGroups | None = None  # None: they are found by `Content.duplicate_key`
    # Sizes of the examples besides those of `Content.size_columns`, (N,) each.
    size_columns: dict[str, np.ndarray] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)  # entries that only this modality has
    # From the positions of the training examples to the content as these decide it, and findings.
    fit: Callable[[np.ndarray], tuple[Content, list[Finding]]] | None = None


@dataclass
class Inspection:
    """What was found in a data set."""

    examples: Examples  # all that the source lists
    usable_indices: np.ndarray  # positions of those that can be used, sorted
    splits: dict[str, np.ndarray]  # by split's name, sorted indices into the usable ones
    findings: list[Finding]  # everything that was found, errors to notes
    scan: ContentScan  # what reading the examples has shown
    limited: bool = False  # `data.limit` may have left examples out

    @property
    def usable(self) -> Examples:
        """The examples without those that errors name."""
        if len(self.usable_indices) == len(self.examples):
            return self.examples
        return self.examples.take(self.usable_indices)

    def error_message(self, findings: Sequence[Finding]) -> str:
        """Errors as one message, with the number of files that were checked."""
        unlisted = [f for f in self.findings if f.about.fault == FILE and not f.examples]
        total = len(self.examples) + count(unlisted)
        return error_message(findings, total, self.examples.content.noun)


def inspect(
    config: DataConfig,
    split_seed: int,
    cache_folder: Path | None,
    *,
    training: bool = True,
    progress: ProgressCallback | None = None,
) -> Inspection:
    """List a data set and check everything in it; raises only where it cannot be listed.

    Args:
        split_seed: of splits that the source does not name.
        cache_folder: where results about unchanged files are kept; None: nowhere.
        training: the data will be learned from and split, not only evaluated.

    Raises:
        DataError: the data cannot be listed.
    """
    examples = source_registry.collect(config)
    checks, scan = modality_entry(examples.content.modality).checks, ContentScan()
    if checks:
        scan = registry.load(checks)(examples, config, cache_folder, progress)
    same = scan.duplicates or duplicates.find_duplicates(examples)
    findings = [*examples.findings, *scan.findings, *duplicates.conflicting_labels(examples, same)]
    faulty = {name for finding in findings if finding.is_error for name in finding.examples}
    indices = [index for index, name in enumerate(examples.ids) if name not in faulty]
    usable_indices = np.array(indices, np.int64)
    usable = examples if not faulty else examples.take(usable_indices)
    split: dict[str, np.ndarray] = {}
    if training:
        split, problems = _make_splits(usable, config, split_seed)
        findings += problems
    elif len(usable):
        split = {"all": np.arange(len(usable))}
    decisive = split.get("train", split.get("all"))
    if scan.fit and decisive is not None:
        content, fitted = scan.fit(usable_indices[decisive])
        examples = dataclasses.replace(examples, content=content)
        findings += fitted
    findings += duplicates.duplicates_by_split(examples, same, usable_indices, split)
    findings += target_checks.target_findings(usable, split)
    return Inspection(examples, usable_indices, split, findings, scan, config.limit is not None)


def _make_splits(
    usable: Examples, config: DataConfig, seed: int
) -> tuple[dict[str, np.ndarray], list[Finding]]:
    """The splits, or none and why classes cannot be learned or splits cannot be made."""
    if not len(usable):
        why = "No example is left that can be used."
        if getattr(config, "labels", "") == "numbers":
            why += " The labels are read as numbers; for names of classes: task=classification"
        return {}, [Finding("classes", "", why)]
    problems = class_checks.class_problems(usable, config)
    problems += target_checks.problems(usable)
    absent = np.setdiff1d(np.arange(len(usable.classes)), usable.labels)
    if names := [repr(usable.classes[label]) for label in absent]:
        problems.append(f"No usable example is left of {join_names(names, class_checks.SHOWN)}.")
    if problems:
        return {}, [Finding("classes", "", problem) for problem in problems]
    fractions = config.val_fraction, config.test_fraction
    try:
        return splits.make_splits(usable, *fractions, seed, config.shots), []
    except DataError as error:
        return {}, [Finding("splits", "", f"{error.message} {error.hint}".strip())]


def blocking_errors(findings: Iterable[Finding], on_bad: str) -> list[Finding]:
    """The errors that `data.on_bad` does not let pass."""
    skips = on_bad != "error"
    return [f for f in findings if f.is_error and not (skips and f.about.fault)]


def skipped(findings: Iterable[Finding]) -> list[Finding]:
    """What `data.on_bad=skip` leaves out: only errors have a fault."""
    return [finding for finding in findings if finding.about.fault]


def accept(inspected: Inspection, on_bad: str) -> Dataset:
    """The data set that may be used.

    Args:
        on_bad: `error`, or `skip` and `quarantine`, which leave out what is at fault.

    Raises:
        DataError: all errors at once; or more than half would be left out.
    """
    if stopping := blocking_errors(inspected.findings, on_bad):
        raise DataError(inspected.error_message(stopping))
    left_out, total = skipped(inspected.findings), len(inspected.examples)
    if not inspected.limited:  # faults are counted in the whole data set, and examples are not
        # Rows of a file of documents were weighed where that file was read.
        faults = (FILE,) if inspected.examples.content.are_pieces else (FILE, ROW)
        total += count([f for f in left_out if not f.examples and f.about.fault in faults])
    usable, missing = inspected.usable, total - len(inspected.usable_indices)
    if 2 * missing > total:
        raise DataError(
            f"data.on_bad={on_bad} would leave out {missing:,} of {total:,} "
            "examples, more than half: that is not this data set any more.\n"
            f"{inspected.error_message(left_out)}",
        )
    return Dataset(usable, inspected.splits, splits.describe(usable, inspected.splits))
