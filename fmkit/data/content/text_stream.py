"""The texts of a data set as a stream, for what reads them once and in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from fmkit.core.errors import DataError
from fmkit.data.examples import Examples
from fmkit.data.findings import UnusableInput

LONGEST = 2**16
"""Characters of a passage: longer texts are divided."""

ProgressCallback = Callable[[int, int], None]
"""Called with how many examples are done and how many there are; it may raise."""


def text_passages(
    examples: Examples, indices: np.ndarray, progress: ProgressCallback | None = None
) -> Iterator[str]:
    """The texts at `indices`, divided between words where they are long; about 1 MiB is held.

    Args:
        examples: documents, or texts with classes.
        indices: rising positions in them.
        progress: called before each text.

    Raises:
        DataError: a document cannot be read any more.
    """
    content = examples.content
    if len(indices) < len(examples):
        content = content.take(indices)
    try:
        for part in content.text_parts():
            if progress is not None:
                progress(part.index, len(indices))
            yield from split_text(part.text)
    except (UnusableInput, OSError) as error:
        raise DataError(f"a document cannot be read any more: {error}.") from error


def split_text(text: str, most: int = LONGEST) -> Iterator[str]:
    """A text in passages of at most `most` characters, divided before white space if any."""
    start = 0
    while len(text) - start > most:
        end = start + most
        space = max(text.rfind("\n", start + 1, end), text.rfind(" ", start + 1, end))
        cut = space if space > start else end
        yield text[start:cut]
        start = cut
    if start < len(text):
        yield text[start:]
