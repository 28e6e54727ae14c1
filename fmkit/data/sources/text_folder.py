"""Texts in folders: a folder per class with a file per text, or a file per class with a line each.

How folders are listed stands in `folders`. Ids are paths relative to the root, of a line with its
number from 1 as editors count: `positive.txt:000012`. Empty lines are no examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from fmkit.config.schema.data import TextFolderData
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, printable
from fmkit.data.formats.text_encoding import (
    BadEncoding,
    Fault,
)
from fmkit.data.formats.text_files import _of, line_id, numbered_lines, read_bytes, read_file
from fmkit.data.images.decode import EXTENSIONS
from fmkit.data.sources import directory
from fmkit.data.sources.listing import ClassFile, FileKind, Listing
from fmkit.data.sources.paths import existing_path
from fmkit.data.stratify import limit_examples

ENDINGS = (".txt", ".text", ".md")
TEXTS = FileKind("texts", ENDINGS, "loose_texts", (EXTENSIONS, "image_folder"), class_files=True)


def list_examples(config: TextFolderData) -> Examples:
    """The texts under `config.root`, each with its class.

    What is wrong is in the examples' findings; an example that an error names has an empty text.

    Raises:
        DataError: the folder is missing.
    """
    root = existing_path(config.root, "folder")
    listing = directory.walk(root, TEXTS, config.outside_links)
    if not listing.class_files:
        examples = directory.examples(listing, Texts(tuple(listing.paths)))
        examples = limit_examples(examples, config.limit) if len(examples) else examples
        return _read_files(examples, config.encoding)
    if listing.ids:
        why = "Some splits have class folders, others have class files: keep one kind."
        listing.find("mixed_layout", why=why)
    texts = [""] * len(listing.ids)
    for each in listing.class_files:
        _read_lines(listing, texts, each, config.encoding)
    examples = directory.examples(listing, Texts(tuple(texts)))
    if len(examples):
        examples = limit_examples(examples, config.limit)
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


def _read_lines(listing: Listing, texts: list[str], file: ClassFile, encoding: str) -> None:
    """Add every line of a class file to a listing and its texts."""
    where, before = listing.relative(file.path), len(texts)
    content, fault = read_bytes(file.path)
    found: Iterator[tuple[int, str, Fault | None]] = iter(())
    if fault is None:
        try:
            found = numbered_lines(content, encoding)
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
