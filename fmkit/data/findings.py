"""What can be wrong with a data set: every kind by name, how bad it is, and what to do about it.

    error    nothing is trained, exit 3, unless `data.on_bad` says otherwise
    warning  told, and training goes on
    note     counted in the report

`data.on_bad=skip` leaves out what an error of these kinds names; others have to be mended:

    file   the file itself cannot be used: `quarantine` moves it, `skip` leaves it out
    row    a row of a table, or the same photo under two classes: left out by both, never moved

| error, file       | error, row     | error, to mend   | warning            | note            |
|-------------------|----------------|------------------|--------------------|-----------------|
| empty_file        | missing_file   | unusable         | leak, near_leak    | hidden_file     |
| truncated         | incomplete_row | conflicting_rows | near_two_classes   | wrong_extension |
| damaged           | two_classes    | empty_class      | equal_two_classes  | converted       |
| not_image         | lost_answer    | loose_photos     | duplicate          |                 |
| bad_encoding      |                | loose_texts      | near_duplicate     |                 |
| not_text          |                | no_classes       | animated, blank    |                 |
| too_large         |                | no_photos        | unsupported        |                 |
| unreadable        |                | mixed_layout     | linked_twice       |                 |
| special_file      |                | unlistable       | control_characters |                 |
| broken_link       |                | twin_classes     | case_twins         |                 |
| outside_link      |                | classes          | label_typo         |                 |
| name_not_utf8     |                | splits           | single_example     |                 |
|                   |                |                  | imbalance          |                 |
|                   |                |                  | repeated_rows      |                 |
|                   |                |                  | separator          | without_label   |
|                   |                |                  | two_answers        |                 |
|                   |                |                  | single_label       |                 |
|                   |                |                  | constant_label     |                 |
|                   |                |                  | constant_target    |                 |
|                   |                |                  | far_target         |                 |
|                   |                |                  | moved_answer       |                 |
|                   |                |                  | tag_unseen         |                 |
|                   |                |                  | unnamed_tags       |                 |

Exact copies under two classes are an error in photo files, where one of the two must be wrong;
equal arrays or texts under two classes are a warning, since what is small may coincide.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fmkit.core.errors import combine_messages, join_names

ERROR, WARNING, NOTE = "error", "warning", "note"
FILE, ROW = "file", "row"
SHOWN = 10
"""Findings of a kind that are shown on the screen; the report has all."""


class UnusableInput(Exception):
    """A file that cannot be read, or a line that is not what it should be.

    Attributes:
        kind: of the finding that tells it.
        why: the reason.
    """

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind, self.why = kind, why


@dataclass(frozen=True)
class FindingKind:
    """A kind of finding.

    Attributes:
        severity: `error`, `warning` or `note`.
        title: completes "3 files: ...", or stands alone.
        advice: what to do, as a sentence.
        fault: `file` or `row` where `data.on_bad` may leave it out; empty where it may not.
    """

    severity: str
    title: str
    advice: str = ""
    fault: str = ""


_REPLACE = "Replace or remove them, or leave them out with data.on_bad=skip."
_RENAME = "Rename them."
_TYPO = "Mend the labels where they are typing errors."

FINDING_KINDS: dict[str, FindingKind] = {
    "empty_file": FindingKind(ERROR, "the file is empty", _REPLACE, FILE),
    "truncated": FindingKind(ERROR, "the file ends too early", _REPLACE, FILE),
    "damaged": FindingKind(ERROR, "the image is damaged", _REPLACE, FILE),
    "not_image": FindingKind(ERROR, "not an image that fmkit reads", _REPLACE, FILE),
    "bad_encoding": FindingKind(
        ERROR,
        "not in the encoding that data.encoding names",
        "Name theirs in data.encoding, save them as UTF-8, or leave them out: data.on_bad=skip",
        FILE,
    ),
    "not_text": FindingKind(ERROR, "not a text", _REPLACE, FILE),
    "too_large": FindingKind(
        ERROR,
        "too large",
        "Make them smaller, or raise data.max_pixels if you trust them.",
        FILE,
    ),
    "unreadable": FindingKind(
        ERROR, "cannot be read", "Look at the permissions and the disk.", FILE
    ),
    "special_file": FindingKind(ERROR, "neither file nor folder", "Remove them.", FILE),
    "broken_link": FindingKind(ERROR, "a link that leads nowhere", "Mend or remove them.", FILE),
    "outside_link": FindingKind(
        ERROR,
        "a link that leads out of the data's folder",
        "If you made them: data.outside_links=true. Data from elsewhere should have none.",
        FILE,
    ),
    "name_not_utf8": FindingKind(ERROR, "a name that is not UTF-8", _RENAME, FILE),
    "missing_file": FindingKind(ERROR, "rows name a file that is not there", "", ROW),
    "incomplete_row": FindingKind(ERROR, "rows that cannot be used", "", ROW),
    "two_classes": FindingKind(
        ERROR,
        "the same file under two classes",
        "Keep each under the right one, or leave all copies out with data.on_bad=skip.",
        ROW,
    ),
    "lost_answer": FindingKind(
        ERROR,
        "answers that do not stand in their text where they should",
        "Mend their offsets, which count characters from 0, or leave them out: data.on_bad=skip",
        ROW,
    ),
    "conflicting_rows": FindingKind(
        ERROR, "rows that contradict an earlier row", "Keep the right one."
    ),
    "unusable": FindingKind(ERROR, "the data cannot be listed"),
    "empty_class": FindingKind(ERROR, "classes without examples"),
    "loose_photos": FindingKind(ERROR, "photos outside of class folders"),
    "loose_texts": FindingKind(ERROR, "texts outside of class folders"),
    "no_classes": FindingKind(ERROR, "no class folders"),
    "no_photos": FindingKind(ERROR, "no photos"),
    "mixed_layout": FindingKind(ERROR, "split folders and class folders are mixed"),
    "unlistable": FindingKind(ERROR, "folders that cannot be listed"),
    "twin_classes": FindingKind(
        ERROR,
        "class names that look the same",
        "Give them one name where they are one class, and names that differ where not.",
    ),
    "classes": FindingKind(ERROR, "classes that cannot be learned"),
    "splits": FindingKind(ERROR, "splits that cannot be made"),
    "leak": FindingKind(
        WARNING, "the same example in two splits", "Figures of the held-out split flatter."
    ),
    "near_leak": FindingKind(
        WARNING, "nearly the same photo in two splits", "Figures may flatter."
    ),
    "near_two_classes": FindingKind(
        WARNING, "nearly the same photo under two classes", "Check them."
    ),
    "equal_two_classes": FindingKind(
        WARNING, "equal examples under two classes", "Check the labels."
    ),
    "duplicate": FindingKind(WARNING, "exact copies"),
    "near_duplicate": FindingKind(WARNING, "nearly the same photo"),
    "animated": FindingKind(WARNING, "animated: the first frame is used"),
    "blank": FindingKind(WARNING, "a single colour"),
    "unsupported": FindingKind(WARNING, "files that fmkit does not read", "They were left out."),
    "linked_twice": FindingKind(WARNING, "a folder that is linked again: it is listed once"),
    "control_characters": FindingKind(WARNING, "control characters in a name", _RENAME),
    "case_twins": FindingKind(WARNING, "class names that differ in upper and lower case alone"),
    "label_typo": FindingKind(WARNING, "rare classes with nearly the name of a large one", _TYPO),
    "separator": FindingKind(WARNING, "labels that may be separated by something else"),
    "two_answers": FindingKind(
        WARNING, "equal examples with different labels", "Check the labels."
    ),
    "single_label": FindingKind(WARNING, "labels with one training example"),
    "constant_label": FindingKind(WARNING, "labels that all training examples have"),
    "constant_target": FindingKind(WARNING, "numbers that never change: nothing to learn of them"),
    "far_target": FindingKind(
        WARNING,
        "numbers so far from 0 beside their spread that 32 bits round them",
        "Subtract a constant from them.",
    ),
    "single_example": FindingKind(WARNING, "classes with one training example"),
    "tag_unseen": FindingKind(WARNING, "tags that no training sentence has"),
    "unnamed_tags": FindingKind(
        WARNING,
        "tags are numbers without names",
        "Name them in their order, so that entities are known: data.tag_names=[O,B-PER,I-PER]",
    ),
    "imbalance": FindingKind(
        WARNING, "very uneven classes", "task.class_weights=balanced may help."
    ),
    "repeated_rows": FindingKind(WARNING, "rows that repeat an earlier one: left out"),
    "without_label": FindingKind(NOTE, "examples without labels"),
    "moved_answer": FindingKind(
        WARNING, "answers that stand beside the place that their offsets name: found, or left out"
    ),
    "hidden_file": FindingKind(NOTE, "hidden files, ignored"),
    "wrong_extension": FindingKind(NOTE, "the content has another format than the name says"),
    "converted": FindingKind(NOTE, "become 8-bit RGB"),
}
"""Every kind of finding by its name in the report, the gravest first."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: one of `KINDS`.
        where: the example's id, or a path relative to the root; empty when `why` says it all.
        why: the reason, or the whole sentence.
        examples: ids of the examples that it is about.
        path: the file to move under `data.on_bad=quarantine`; empty: none.
        count: how many things the one finding stands for.
    """

    kind: str
    where: str
    why: str = ""
    examples: tuple[str, ...] = ()
    path: str = ""
    count: int = 1

    @property
    def about(self) -> FindingKind:
        """What its kind means."""
        return FINDING_KINDS[self.kind]

    @property
    def is_error(self) -> bool:
        """Whether it stops training, unless it is left out."""
        return self.about.severity == ERROR

    @property
    def text(self) -> str:
        """Where and why, in one line."""
        return f"{self.where}: {self.why}" if self.where and self.why else self.where or self.why


def group_by_kind(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Findings by kind, the gravest kinds first."""
    found: dict[str, list[Finding]] = {kind: [] for kind in FINDING_KINDS}
    for each in findings:
        found[each.kind].append(each)
    return {kind: those for kind, those in found.items() if those}


def count(findings: Sequence[Finding]) -> int:
    """How many things findings stand for."""
    return sum(each.count for each in findings)


def format_findings(findings: Iterable[Finding], of: int = 0, thing: str = "file") -> list[str]:
    """A paragraph a kind: its title, the first ten by name, what to do.

    Args:
        findings: of any kinds.
        of: files that were looked at, where that is worth telling; 0: it is not.
        thing: what they are called.
    """
    told: list[str] = []
    for kind, those in group_by_kind(findings).items():
        about = FINDING_KINDS[kind]
        if all(not each.where for each in those):  # each is a whole sentence already
            told.extend(f"{each.why} {about.advice}".strip() for each in those[:SHOWN])
            if len(those) > SHOWN:
                told.append(f"and {len(those) - SHOWN} more like these ({about.title}).")
            continue
        number = f"{count(those):,}"
        if about.fault == FILE and of:
            number += f" of {of:,} {thing if of == 1 else f'{thing}s'}"
        lines = "".join(f"\n   {each.text}" for each in those[:SHOWN])
        more = f"\n   and {len(those) - SHOWN:,} more" if len(those) > SHOWN else ""
        advice = f"\n   {about.advice}" if about.advice else ""
        told.append(f"{about.title} ({number}):{lines}{more}{advice}")
    return told


MAX_LINES = 200
"""Lines of a message about data."""


def error_message(findings: Sequence[Finding], of: int = 0, thing: str = "file") -> str:
    """All errors among findings as one message: a folder is mended in one go, or not at all."""
    errors = [each for each in findings if each.is_error]
    return combine_messages(format_findings(errors, of, thing), MAX_LINES)


def name_some(findings: Sequence[Finding], most: int = 3) -> str:
    """A few findings by name."""
    return join_names([each.where or each.why for each in findings], most)


def printable(text: str | bytes | os.PathLike[str]) -> str:
    """A path or a name with bytes that are no UTF-8 written as `\\xff`."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
