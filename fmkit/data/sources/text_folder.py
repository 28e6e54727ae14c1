"""Texts in folders: a folder per class with a file per text, or a file per class with a line each.

`directory.py` lists the folders. Ids are paths relative to the root, of a line with its number from
1 as editors count: `positive.txt:000012`. Empty lines are not examples.
"""

import dataclasses

from fmkit.config.schema.data import TextFolderData
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats.text_files import line_id, nonempty_lines, read_document
from fmkit.data.images.image_file import EXTENSIONS
from fmkit.data.sources import directory
from fmkit.data.sources.directory import FileKind, Listing
from fmkit.data.sources.paths import existing_path
from fmkit.data.stratify import limit_examples

ENDINGS = (".txt", ".text", ".md")
TEXTS = FileKind("text", ENDINGS, other_source=(EXTENSIONS, "image_folder"), class_files=True)


def list_examples(config: TextFolderData) -> Examples:
    """The texts under `config.root`, each with its class."""
    listing = directory.walk(existing_path(config.root, "folder"), TEXTS, config.outside_links)
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
    for name in examples.ids:
        try:
            texts.append(read_document(path_of[name], config.encoding))
        except UnusableInput as error:
            texts.append("")
            findings.append(Finding(error.kind, name, error.why, (name,), path_of[name]))
    return dataclasses.replace(examples, content=Texts(tuple(texts)), findings=tuple(findings))
