"""Texts in folders: a folder per class with a file per text, or a file per class with a line each.

How folders are listed stands in `folders`. Ids are paths relative to the root, of a line with its
number from 1 as editors count: `positive.txt:000012`. Empty lines are no examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from fmkit.config.data_schema import TextFolderData
from fmkit.data import check, folders, sniff
from fmkit.data.decode import EXTENSIONS
from fmkit.data.encodings import (
    MOST_CHARACTERS,
    BadEncoding,
    Fault,
    decoded,
    every_line,
    not_text,
)
from fmkit.data.examples import Examples, Texts
from fmkit.data.findings import Finding, printable
from fmkit.data.listing import ClassFile, Listing, Things
from fmkit.data.regular import NotAFile, opened
from fmkit.data.stratify import limited

ENDINGS = (".txt", ".text", ".md")
TEXTS = Things("texts", ENDINGS, "loose_texts", (EXTENSIONS, "image_folder"), class_files=True)

_LARGEST = 4 * MOST_CHARACTERS  # bytes of a file that is a text; no character takes more than 4


def list_examples(config: TextFolderData) -> Examples:
    """The texts under `config.root`, each with its class.

    What is wrong is in the examples' findings; an example that an error names has an empty text.

    Raises:
        DataError: the folder is missing.
    """
    root = check.existing(config.root, "folder")
    listing = folders.walk(root, TEXTS, config.outside_links)
    if not listing.class_files:
        examples = folders.examples(listing, Texts(tuple(listing.paths)))
        examples = limited(examples, config.limit) if len(examples) else examples
        return _read_files(examples, config.encoding)
    if listing.ids:
        why = "Some splits have class folders, others have class files: keep one kind."
        listing.find("mixed_layout", why=why)
    texts = [""] * len(listing.ids)
    for each in listing.class_files:
        _read_lines(listing, texts, each, config.encoding)
    examples = folders.examples(listing, Texts(tuple(texts)))
    if len(examples):
        examples = limited(examples, config.limit)
        kept = set(examples.ids)
        there = [each for each in examples.findings if kept.issuperset(each.examples)]
        examples = dataclasses.replace(examples, findings=tuple(there))
    return examples


def _read_files(examples: Examples, encoding: str) -> Examples:
    """Examples whose texts are paths, with what those files hold."""
    texts, found = [], list(examples.findings)
    if not isinstance(examples.content, Texts):
        raise TypeError("paths in Texts are expected")
    for name, path in zip(examples.ids, examples.content.texts, strict=True):
        text, fault = read_file(path, encoding)
        if fault is not None:
            found.append(Finding(*_of(name, fault), examples=(name,), path=path))
        texts.append(text)
    return dataclasses.replace(examples, content=Texts(tuple(texts)), findings=tuple(found))


def _of(name: str, fault: Fault) -> tuple[str, str, str]:
    return fault[0], name, fault[1]


def read_file(path: str, encoding: str) -> tuple[str, Fault | None]:
    """The text of a file; empty, with the reason, where it has none."""
    content, fault = bytes_of(path, _LARGEST)
    if fault is not None:
        return "", fault
    try:
        text = decoded(content, encoding).strip()
    except BadEncoding as error:
        return "", ("bad_encoding", str(error))
    if not text:
        return "", ("empty_file", "white space only" if content else "")
    if wrong := not_text(text):
        return "", ("not_text", wrong)
    return text, None


def bytes_of(path: str, most: int | None = None) -> tuple[bytes, Fault | None]:
    """All of a file, or why it cannot be read."""
    try:
        with opened(path) as stream:
            content = stream.read(-1 if most is None else most + 1)
    except NotAFile as error:
        return b"", ("special_file", sniff.file_type(error.mode))
    except OSError as error:
        return b"", ("unreadable", str(error.strerror or error))
    if most is not None and len(content) > most:
        return b"", ("not_text", f"it has more than {most:,} bytes")
    return content, None


def _read_lines(listing: Listing, texts: list[str], file: ClassFile, encoding: str) -> None:
    """Add every line of a class file to a listing and its texts."""
    where, before = listing.relative(file.path), len(texts)
    content, fault = bytes_of(file.path)
    found: Iterator[tuple[int, str, Fault | None]] = iter(())
    if fault is None:
        try:
            found = numbered(content, encoding)
        except BadEncoding as error:
            fault = ("bad_encoding", str(error))
    if fault is not None:
        listing.find(*_of(printable(where), fault))
        return
    for number, text, wrong in found:
        name = line_id(where, number)
        if wrong is not None:
            listing.findings.append(Finding(*_of(name, wrong), examples=(name,)))
        listing.ids.append(name)
        listing.names.append(file.name)
        listing.splits.append(file.split)
        texts.append(text)
    if len(texts) == before:
        listing.find("empty_class", why=f"Class file {where!r} has no line with a text.")


def line_id(where: str, number: int) -> str:
    """The id of a line of a class file, by its number from 1."""
    return f"{where}:{number:06d}"


def numbered(content: bytes, encoding: str) -> Iterator[tuple[int, str, Fault | None]]:
    """The lines of a file that are not empty: number from 1, text, and what is wrong with it.

    Raises:
        BadEncoding: the file is in another encoding, as a whole.
    """
    found = every_line(content, encoding)
    stripped = ((number, text.strip(), fault) for number, text, fault in found)
    return (each for each in stripped if each[1] or each[2] is not None)
