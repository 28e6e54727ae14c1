"""Kinds of problems of a data set: by name, with severity and remedy.

    error    nothing is trained, exit 3, unless `data.on_bad` says otherwise
    warning  printed, and training continues
    note     counted in the report

`data.on_bad=skip` leaves out what an error of these kinds names; others have to be fixed:

    file   the file itself cannot be used: `quarantine` moves it, `skip` leaves it out
    row    a row of a table, a class without examples, files outside of class folders, or the same
           photo under two classes: both leave it out, no file moves

Exact copies under two classes are an error in photo files, where one of the two must be wrong;
equal arrays or texts under two classes are a warning, since what is small may coincide.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fmkit.core.errors import combine_messages, join_names

ERROR, WARNING, NOTE = "error", "warning", "note"
FILE, ROW = "file", "row"
SHOWN = 10
"""Findings of a kind that are printed; the report has all."""


class UnusableInput(Exception):
    """A file, a line or a record that cannot be used: the kind of the finding, and the reason."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind, self.why = kind, why


@dataclass(frozen=True)
class FindingKind:
    """A kind of finding."""

    severity: str  # `error`, `warning` or `note`
    title: str  # completes "3 files: ...", or is used alone
    advice: str = ""  # what to do, as a sentence
    fault: str = ""  # `file` or `row` where `data.on_bad` may leave it out; empty where it may not


_REPLACE = "Replace or remove them, or leave them out with data.on_bad=skip."
_ONE_SPELLING = "They are learned as different classes: give them one spelling if they are one."
_COMPLETE = "Complete or remove them, or leave them out with data.on_bad=skip."
_MOVE = "Move each into a folder named after its class, or leave all out: data.on_bad=skip"
_RENAME = "Rename them."

_KINDS: dict[tuple[str, str], dict[str, tuple[str, str]]] = {
    (ERROR, FILE): {
        "empty_file": ("the file is empty", _REPLACE),
        "truncated": ("the file ends too early", _REPLACE),
        "damaged": ("the image is damaged", _REPLACE),
        "not_image": ("not an image that fmkit reads", _REPLACE),
        "bad_encoding": (
            "not in the encoding that data.encoding names",
            "Set data.encoding to theirs, save them as UTF-8, or leave them out: data.on_bad=skip",
        ),
        "not_text": ("not a text", _REPLACE),
        "needs_package": (
            "photos that another package reads",
            "Install it, save them as JPEG, or leave them out with data.on_bad=skip.",
        ),
        "too_large": (
            "too large",
            "Make them smaller, or raise data.max_pixels if you trust them.",
        ),
        "unreadable": ("cannot be read", "Check the permissions and the disk."),
        "special_file": ("neither file nor folder", "Remove them."),
        "broken_link": ("a broken link", "Fix or remove them."),
        "outside_link": (
            "a link out of the data's folder",
            "If you made them: data.outside_links=true. Data from other people should have none.",
        ),
        "name_not_utf8": ("a name that is not UTF-8", _RENAME),
    },
    (ERROR, ROW): {
        "missing_file": ("rows name a file that does not exist", _COMPLETE),
        "incomplete_row": ("rows that cannot be used", _COMPLETE),
        "empty_class": (
            "classes without examples",
            "Add some, remove it, or leave it out: data.on_bad=skip",
        ),
        "loose_photos": ("photos outside of class folders", _MOVE),
        "loose_texts": ("texts outside of class folders", _MOVE),
        "two_classes": (
            "the same file under two classes",
            "Keep each under the right one, or leave all copies out with data.on_bad=skip.",
        ),
        "lost_answer": (
            "answers that are not in their text at their offset",
            "Fix their offsets, which count characters from 0, or leave them out: data.on_bad=skip",
        ),
    },
    (ERROR, ""): {
        "conflicting_rows": ("rows that contradict an earlier row", "Keep the right one."),
        "unusable": ("the data cannot be listed", ""),
        "no_classes": ("no class folders", ""),
        "no_photos": ("no photos", ""),
        "mixed_layout": ("split folders that cannot be read", ""),
        "unlistable": ("folders that cannot be listed", ""),
        "twin_classes": (
            "class names that look the same",
            "Give them one name if they are one class, and clearly different names if not.",
        ),
        "classes": ("classes that cannot be learned", ""),
        "splits": ("splits that cannot be made", ""),
    },
    (WARNING, ""): {
        "leak": (
            "the same example in two splits",
            "Metrics of the held-out split are too optimistic.",
        ),
        "near_leak": ("nearly the same photo in two splits", "Metrics may be too optimistic."),
        "feature_leak": (
            "nearly the same in two splits by the features of a pretrained model",
            "Look at them: metrics may be too optimistic. data.group_column keeps groups together.",
        ),
        "label_error": (
            "labels that are likely wrong",
            "Look at them, correct the file, and name it: data.relabel=FILE",
        ),
        "near_two_classes": ("nearly the same photo under two classes", "Check them."),
        "equal_two_classes": ("equal examples under two classes", "Check the labels."),
        "duplicate": ("exact copies", ""),
        "near_duplicate": ("nearly the same photo", ""),
        "animated": ("several frames or pages: the first is used", ""),
        "blank": ("a single colour", ""),
        "few_levels": (
            "dark photos with 16 bits a colour: only the upper 8 are read, which leaves few levels",
            "Save them with 8 bits a colour, scaled by the values that they have.",
        ),
        "unsupported": ("files that fmkit does not read: left out", ""),
        "unlabelled_table": ("tables that are not part of the data: left out", ""),
        "unlabelled_folder": ("folders that are not part of the labelled data: left out", ""),
        "stray_files": ("files outside of class folders: left out", ""),
        "other_encoding": ("texts in another encoding than data.encoding: read as that", ""),
        "source_text": ("texts that are the source of mails or pages: read as they stand", ""),
        "unclear_folders": ("folders that may be splits or classes", ""),
        "linked_twice": ("a folder that is linked twice: it is listed once", ""),
        "control_characters": ("control characters in a name", _RENAME),
        "case_twins": ("class names that differ only in upper and lower case", _ONE_SPELLING),
        "plural_twins": ("class names of which one is the plural of the other", _ONE_SPELLING),
        "number_twins": ("class names that are the same number", _ONE_SPELLING),
        "number_classes": ("classes that are numbers", ""),
        "date_classes": ("classes that a spreadsheet has made dates of", ""),
        "mirrored_classes": (
            "classes that a flip turns into each other",
            "Set data.flip=none (recipe=auto does).",
        ),
        "label_typo": (
            "rare classes with almost the name of a large one",
            "Fix the labels if these are typos.",
        ),
        "separator": ("labels that may have another separator", ""),
        "one_hot": ("labels that may be classes", ""),
        "two_answers": ("equal examples with different labels", "Check the labels."),
        "single_label": ("labels with one training example", ""),
        "constant_label": ("labels that all training examples have", ""),
        "constant_target": ("numbers that never change: nothing can be learned from them", ""),
        "far_target": (
            "numbers so far from 0, compared with their spread, that 32 bits round them",
            "Subtract a constant from them.",
        ),
        "absent_class": ("classes without an example in a held-out split", ""),
        "single_example": ("classes with one training example", ""),
        "tag_unseen": ("tags that no training sentence has", ""),
        "unnamed_tags": (
            "tags are numbers without names",
            "Name them in their order, so that fmkit knows entities: "
            "data.tag_names=[O,B-PER,I-PER]",
        ),
        "unread_key": (
            "keys of conversations that are not read, and may change what is learned",
            "Remove them, or these conversations, if that matters.",
        ),
        "list_texts": ("texts that are lists", ""),
        "plain_tags": ("tags that mark no entities", ""),
        "imbalance": ("very imbalanced classes", "task.class_weights=balanced may help."),
        "repeated_rows": ("rows that repeat an earlier one: left out", ""),
        "moved_answer": (
            "answers that are beside the position of their offset: found, or left out",
            "",
        ),
    },
    (NOTE, ""): {
        "relabelled": ("labels that data.relabel has changed", ""),
        "removed": ("examples that data.relabel leaves out", ""),
        "without_label": ("examples without labels", ""),
        "answer_in_word": (
            "questions whose answer is a part of a word",
            "A model can give it exactly where its tokens end there; a run counts where not.",
        ),
        "placeholder_class": (
            "classes whose name often means a missing label",
            "Leave the cells empty, or take the folder out, if it does here.",
        ),
        "hidden_file": ("hidden files, ignored", ""),
        "listed_classes": ("classes out of a list", ""),
        "moved_photo": ("photos that are not quite where the table says: found", ""),
        "wrong_extension": ("the content has another format than the file name says", ""),
        "converted": ("converted to 8-bit RGB", ""),
        "deep_grey": (
            "grey with more than 8 bits: scaled",
            "All splits and predictions are alike.",
        ),
    },
}
"""By severity and fault, title and advice of each kind of finding."""

FINDING_KINDS = {
    kind: FindingKind(severity, title, advice, fault)
    for (severity, fault), kinds in _KINDS.items()
    for kind, (title, advice) in kinds.items()
}
"""Every kind of finding by its name in the report, the most severe first."""


@dataclass(frozen=True)
class Finding:
    """A problem of a data set, or a note about it."""

    kind: str  # a key of `FINDING_KINDS`
    where: str  # the example's id, or a path relative to the root; empty when `why` says it all
    why: str = ""  # the reason, or the whole sentence
    examples: tuple[str, ...] = ()  # ids of the examples concerned
    path: str = ""  # the file that `data.on_bad=quarantine` moves; empty: none
    count: int = 1  # how many rows, files or examples this one finding represents

    @property
    def about(self) -> FindingKind:
        """Its kind."""
        return FINDING_KINDS[self.kind]

    @property
    def is_error(self) -> bool:
        """Whether it prevents training, unless it is left out."""
        return self.about.severity == ERROR

    @property
    def text(self) -> str:
        """Where and why, in one line."""
        return f"{self.where}: {self.why}" if self.where and self.why else self.where or self.why


def group_by_kind(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Findings by kind, the most severe kinds first."""
    groups: dict[str, list[Finding]] = {kind: [] for kind in FINDING_KINDS}
    for finding in findings:
        groups[finding.kind].append(finding)
    return {kind: members for kind, members in groups.items() if members}


def count(findings: Sequence[Finding]) -> int:
    """How many rows, files or examples findings represent."""
    return sum(finding.count for finding in findings)


def format_findings(findings: Iterable[Finding], total: int = 0, noun: str = "file") -> list[str]:
    """A paragraph per kind: its title, the first ten by name, what to do.

    Args:
        total: files that were inspected; 0: not shown.
        noun: what one of them is called.
    """
    paragraphs: list[str] = []
    for kind, members in group_by_kind(findings).items():
        about = FINDING_KINDS[kind]
        hidden = len(members) - SHOWN
        if all(not finding.where for finding in members):  # each is a whole sentence already
            paragraphs += [f"{finding.why} {about.advice}".strip() for finding in members[:SHOWN]]
            if hidden > 0:
                paragraphs.append(f"and {hidden} more like these ({about.title}).")
            continue
        number = f"{count(members):,}"
        if about.fault == FILE and total:
            number += f" of {total:,} {noun if total == 1 else f'{noun}s'}"
        lines = "".join(f"\n   {finding.text}" for finding in members[:SHOWN])
        more = f"\n   and {hidden:,} more" if hidden > 0 else ""
        advice = f"\n   {about.advice}" if about.advice else ""
        paragraphs.append(f"{about.title} ({number}):{lines}{more}{advice}")
    return paragraphs


MAX_LINES = 200
"""Lines of a message about data."""


def error_message(findings: Sequence[Finding], total: int = 0, noun: str = "file") -> str:
    """All errors among findings as one message, so that a folder can be fixed in one go."""
    errors = [finding for finding in findings if finding.is_error]
    return combine_messages(format_findings(errors, total, noun), MAX_LINES)


def name_some(findings: Sequence[Finding], most: int = 3) -> str:
    """A few findings by name."""
    return join_names([finding.where or finding.why.rstrip(".") for finding in findings], most)


def printable(text: str | bytes | os.PathLike[str]) -> str:
    """A path or a name with bytes that are not UTF-8 written as `\\xff`."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
