"""Texts in folders: a folder per class with a file per text, or a file per class with a line each.

`directory.py` lists the folders. Ids are paths relative to the root, of a line with its number from
1 as editors count: `positive.txt:000012`. Empty lines are not examples. Where no file has a usual
ending, as in collections of mails, all that are texts are read.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fmkit.config.schema.data import TextFolderData
from fmkit.core.errors import join_names, plural
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats import file_type, tables
from fmkit.data.formats.source_text import source_findings
from fmkit.data.formats.text_files import BadEncoding, line_id, nonempty_lines, read_likely
from fmkit.data.images.image_file import EXTENSIONS
from fmkit.data.sources import directory
from fmkit.data.sources.directory import FileKind, Listing
from fmkit.data.sources.paths import existing_path
from fmkit.data.stratify import limit_examples

ENDINGS = (".txt", ".text", ".md")
_OTHERS = FileKind("text", ("",), class_files=True)
_PROBED = 20  # files by which it is known whether all are texts
TEXTS = FileKind("text", ENDINGS, other_source=(EXTENSIONS, "image_folder"), class_files=True)


def list_examples(config: TextFolderData) -> Examples:
    """The texts under `config.root`, each with its class."""
    root = existing_path(config.root, "folder")
    listing = directory.walk(root, TEXTS, config.outside_links)
    if not listing.ids and not listing.class_files:
        others = directory.walk(root, _OTHERS, config.outside_links)
        listing = others if are_texts(others.paths) else listing
    if not listing.class_files:
        return _read_files(listing, config)
    if listing.ids:
        why = "Some splits have class folders, others have class files: use one layout."
        listing.report("mixed_layout", why=why)
    texts = [""] * len(listing.ids)
    for path, class_name, split in listing.class_files:
        where, count = listing.relative(path), len(texts)
        try:
            for number, text, fault in nonempty_lines(path, config.encoding):
                name = line_id(where, number)
                if fault is not None:
                    listing.findings.append(Finding(fault.kind, name, fault.why, (name,)))
                listing.ids.append(name)
                listing.classes.append(class_name)
                listing.splits.append(split)
                texts.append(text)
            if len(texts) == count:
                listing.report("empty_class", why=f"Class file {where!r} has no line with a text.")
        except UnusableInput as error:
            listing.report(error.kind, printable(where), error.why)
    examples = limit_examples(directory.examples(listing, Texts(tuple(texts))), config.limit)
    ids = set(examples.ids)
    findings = [finding for finding in examples.findings if ids.issuperset(finding.examples)]
    return dataclasses.replace(examples, findings=tuple(findings))


def _read_files(listing: Listing, config: TextFolderData) -> Examples:
    """A text per file; limited before reading, so that only the files of the sample are opened."""
    examples = directory.examples(listing, Texts(tuple(listing.paths)))
    examples = limit_examples(examples, config.limit)
    path_of = dict(zip(listing.ids, listing.paths, strict=True))
    texts, findings = [], list(examples.findings)
    in_others: list[tuple[str, BadEncoding]] = []
    is_proven = False  # some texts have letters in the encoding that is named
    for name in examples.ids:
        try:
            text, error = read_likely(path_of[name], config.encoding)
            texts.append(text)
            in_others += [(name, error)] if error else []
            is_proven |= error is None and not text.isascii()
        except UnusableInput as error:
            texts.append("")
            findings.append(Finding(error.kind, name, error.why, (name,), path_of[name]))
    if 2 * len(in_others) > len(texts) and not is_proven:  # then it is the key that is wrong
        findings += [
            Finding(error.kind, name, error.why, (name,), path_of[name])
            for name, error in in_others
        ]
    elif in_others:
        findings.append(other_encodings(in_others, len(texts), config.encoding))
    findings += source_findings(texts)
    return dataclasses.replace(examples, content=Texts(tuple(texts)), findings=tuple(findings))


def other_encodings(texts: Sequence[tuple[str, BadEncoding]], total: int, encoding: str) -> Finding:
    """That some texts have another encoding than the rest, as which they are read."""
    counts = Counter(error.likely for _, error in texts)
    shown = join_names([f"{count} as {likely}" for likely, count in counts.most_common()])
    names = join_names([name for name, _ in texts], 3)
    why = f"{plural(len(texts), 'text')} of {total} {'is' if len(texts) == 1 else 'are'} not "
    why += f"{encoding}, and read as what they seem to be, {shown}: {names}."
    return Finding("other_encoding", "", why, count=len(texts))


def are_texts(paths: Sequence[str]) -> bool:
    """Whether files without a usual ending are texts, by the beginnings of the first ones.

    Photos, tables and arrays by their names are not.
    """
    others = (*EXTENSIONS, *tables.ENDINGS, ".npz")
    if not paths or any(path.lower().endswith(others) for path in paths):
        return False
    for path in paths[:_PROBED]:
        try:
            with Path(path).open("rb") as file:
                head = file.read(file_type.HEAD)
        except OSError:
            return False
        if not head or b"\0" in head or file_type.image_format(head):
            return False
    return True
