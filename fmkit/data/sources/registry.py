"""The data sources by name, and the function that lists the examples of a config.

Their rows in `fmkit.config.registry` name the function that reads each. It takes the config of its
source and returns all examples, with problems of single files or rows in their findings; an example
that an error names is empty. It raises a `ConfigError` where `data.root` is missing or has an
unknown ending, and a `DataError`, with all problems at once, where nothing can be listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmkit.config import registry as rows
from fmkit.config.registry import SOURCES
from fmkit.config.schema.data import DataConfig
from fmkit.core import registry
from fmkit.core.errors import DataError, combine_messages

if TYPE_CHECKING:
    from fmkit.data.examples import Examples


def names() -> list[str]:
    """Every `data.name`, those of plugins included."""
    return registry.names("data", SOURCES)


def collect(config: DataConfig) -> Examples:
    """The examples that a config names, relabelled by `config.relabel` and cut to `config.limit`,
    with all that is wrong with them.

    Raises:
        ConfigError: no source has that name.
        DataError: the data cannot be listed at all.
    """
    # Not at the top: the names alone, which a config error needs, do without NumPy.
    from fmkit.data.stratify import limit_examples

    examples = registry.load(rows.source_entry(config.name).reader)(config)
    if config.relabel is not None:
        from fmkit.data.sources import relabel

        examples = relabel.apply(examples, config)
    if examples.content.are_pieces:  # the limit is one of documents, not of pieces
        return examples
    return limit_examples(examples, config.limit)


def list_examples(config: DataConfig, training: bool = True) -> Examples:
    """The examples that a config names; no file is opened, so some may be damaged.

    Args:
        training: also refuse what cannot be learned from: a single class, or a class too small to
            be in every split. Data that is only evaluated may be so.

    Raises:
        ConfigError: no source has that name.
        DataError: the listing is wrong; all problems at once.
    """
    from fmkit.data import class_checks, findings

    examples = collect(config)
    problems = findings.format_findings(
        finding for finding in examples.findings if finding.is_error
    )
    if training and len(examples):
        problems += class_checks.class_problems(examples, config)
    if problems:
        raise DataError(combine_messages(problems, findings.MAX_LINES))
    return examples
