"""The data sources by name, and the one function that lists the examples of a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmkit import lookup
from fmkit.config.data_schema import DataConfig
from fmkit.errors import DataError, all_at_once

if TYPE_CHECKING:
    from fmkit.data.examples import Examples

SOURCES = {
    "image_folder": "fmkit.data.image_folder:list_examples",
    "photos": "fmkit.data.photos:list_examples",
    "image_table": "fmkit.data.image_table:list_examples",
    "text_folder": "fmkit.data.text_folder:list_examples",
    "text_table": "fmkit.data.text_table:list_examples",
    "conll": "fmkit.data.conll:list_examples",
    "token_table": "fmkit.data.token_table:list_examples",
    "text_lines": "fmkit.data.document_files:by_line",
    "text_files": "fmkit.data.document_files:by_file",
    "squad": "fmkit.data.squad:list_examples",
    "preferences": "fmkit.data.preference_files:list_examples",
    "chat": "fmkit.data.chat:list_examples",
    "newsgroups": "fmkit.data.packaged_texts:newsgroups",
    "reuters_r8": "fmkit.data.packaged_texts:reuters_r8",
    "reuters_r52": "fmkit.data.packaged_texts:reuters_r52",
    "arrays": "fmkit.data.arrays:list_examples",
    "mnist5k": "fmkit.data.packaged:mnist5k",
    "digits": "fmkit.data.packaged:digits",
    "fashion_mnist": "fmkit.data.packaged:fashion_mnist",
    "elpv": "fmkit.data.packaged:elpv",
}
"""Each source: a function (config) -> Examples."""


def names() -> list[str]:
    """Every data source that there is, plugins' included."""
    return lookup.names("data", SOURCES)


def collect(config: DataConfig) -> Examples:
    """The examples that a config names, cut to `config.limit`, with all that is wrong with them.

    Raises:
        ConfigError: no source has that name.
        DataError: the data cannot be listed at all.
    """
    # Not at the top: the names alone, which a config error needs, do without NumPy.
    from fmkit.data.documents import Documents
    from fmkit.data.stratify import limited

    examples = lookup.find("data", config.name, SOURCES)(config)
    if isinstance(examples.content, Documents):  # the limit is one of documents, not of pieces
        return examples
    # A plugin's source need not know about the limit.
    return limited(examples, config.limit) if len(examples) else examples


def list_examples(config: DataConfig, training: bool = True) -> Examples:
    """The examples that a config names; no file is opened, so none is known to be whole.

    Args:
        training: also refuse what cannot be learned from: a single class, or a class too small to
            be in every split. Data that is only judged or predicted may be so.

    Raises:
        ConfigError: no source has that name.
        DataError: the listing is wrong; all problems at once.
    """
    from fmkit.data import check, findings

    examples = collect(config)
    problems = findings.sentences(each for each in examples.findings if each.is_error)
    if training and len(examples):
        problems += check.class_problems(examples.labels, examples.classes, examples.splits, config)
    if problems:
        raise DataError(all_at_once(problems, findings.MOST_LINES))
    return examples
