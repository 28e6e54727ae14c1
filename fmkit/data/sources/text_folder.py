"""Texts in folders: a folder per class with a file per text, or a file per class with a line each.

`directory.py` lists the folders. Ids are paths relative to the root, of a line with its number from
1 as editors count: `positive.txt:000012`. Empty lines are not examples.
"""

from __future__ import annotations

import dataclasses

from fmkit.config.schema.data import TextFolderData
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats.text_files import line_id, nonempty_lines, read_document
from fmkit.data.images.decode import EXTENSIONS
from fmkit.data.sources import directory
from fmkit.data.sources.listing import FileKind, Listing
from fmkit.data.sources.paths import existing_path
from fmkit.data.stratify import limit_examples

ENDINGS = (".txt", ".text", ".md")
TEXTS = FileKind("text", ENDINGS, "loose_texts", (EXTENSIONS, "image_folder"), class_files=True)


def list_examples(config: TextFolderData) -> Examples:
    """The texts under `config.root`, each with its class.

    Problems are in the examples' findings; an example that an error names has an empty text.

    Raises:
        DataError: the folder is missing.
    """
    root = existing_path(config.root, "folder")
    listing = directory.walk(root, TEXTS, config.outside_links)
    if not listing.class_files:
        # Limited before reading: only the files of the sample are opened.
        examples = directory.examples(listing, Texts(tuple(listing.paths)))
        examples = limit_examples(examples, config.limit)
        paths = dict(zip(listing.ids, listing.paths, strict=True))
        return _read_files(examples, [paths[name] for name in examples.ids], config.encoding)
    if listing.ids:
        why = "Some splits have class folders, others have class files: use one layout."
        listing.find("mixed_layout", why=why)
    texts = [""] * len(listing.ids)
    for path, class_name, split in listing.class_files:
        lines = _read_lines(listing, path, config.encoding)
        listing.ids += lines
        listing.classes += [class_name] * len(lines)
        listing.splits += [split] * len(lines)
        texts += lines.values()
    examples = limit_examples(directory.examples(listing, Texts(tuple(texts))), config.limit)
    ids = set(examples.ids)
    findings = [finding for finding in examples.findings if ids.issuperset(finding.examples)]
    return dataclasses.replace(examples, findings=tuple(findings))


def _read_files(examples: Examples, paths: list[str], encoding: str) -> Examples:
    """Examples with the texts of their files."""
    texts, findings = [], list(examples.findings)
    for name, path in zip(examples.ids, paths, strict=True):
        try:
            texts.append(read_document(path, encoding))
        except UnusableInput as error:
            texts.append("")
            findings.append(Finding(error.kind, name, error.why, (name,), path))
    return dataclasses.replace(examples, content=Texts(tuple(texts)), findings=tuple(findings))


def _read_lines(listing: Listing, path: str, encoding: str) -> dict[str, str]:
    """The texts in a class file by id; findings about it are added to the listing."""
    where, texts = listing.relative(path), {}
    try:
        for number, text, fault in nonempty_lines(path, encoding):
            name = line_id(where, number)
            if fault is not None:
                listing.findings.append(Finding(fault.kind, name, fault.why, (name,)))
            texts[name] = text
        if not texts:
            why = f"Class file {where!r} has no line with a text."
            listing.find("empty_class", why=why)
    except UnusableInput as error:
        listing.find(error.kind, printable(where), error.why)
    return texts
