"""The texts of a data set as a stream, whatever they lie in: for what reads them once, in order.

N pieces of files, or texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from fmkit.core.errors import DataError
from fmkit.data.content.documents import DocumentPart, Documents
from fmkit.data.content.texts import Texts
from fmkit.data.content.word_sequences import Sentences
from fmkit.data.examples import Content, Examples
from fmkit.data.findings import UnusableInput

LONGEST = 2**16
"""Characters of a passage: texts that are longer come in several."""

ProgressCallback = Callable[[int, int], None]
"""Called with how many pieces are done and how many there are; it may raise."""


def parts(content: Content) -> Iterator[DocumentPart]:
    """All texts, the second one of a pair after the first; of documents, parts of them.

    Raises:
        Unusable: a file is no text in the encoding that was named.
        OSError: it cannot be read.
    """
    if isinstance(content, Documents):
        yield from content.parts()
        return
    if isinstance(content, Sentences):
        for place in range(len(content.words)):
            yield DocumentPart(place, content.text(place), True)
    if not isinstance(content, Texts):
        return  # others were refused before
    before = None
    for place, text in enumerate(content.texts):
        yield DocumentPart(place, text, True)
        second = None if content.pairs is None else content.pairs[place]
        if second is not None and second is not before:  # questions may share one text
            yield DocumentPart(place, second, True)
        before = second


def text_passages(
    examples: Examples, indices: np.ndarray, tell: ProgressCallback | None = None
) -> Iterator[str]:
    """The texts at `indices`, cut between words where they are long; about a chunk is held.

    Args:
        examples: documents, or texts with classes.
        indices: rising positions in them.
        tell: called before each text.

    Raises:
        DataError: a document cannot be read any more.
    """
    chosen = examples.content
    if len(indices) < len(examples):
        chosen = chosen.take(indices)
    try:
        for part in parts(chosen):
            if tell is not None:
                tell(part.piece, len(indices))
            yield from split_text(part.text)
    except UnusableInput as error:
        raise DataError(f"a document cannot be read any more: {error.why}.") from error
    except OSError as error:
        raise DataError(f"a document cannot be read any more: {error}.") from error


def split_text(text: str, most: int = LONGEST) -> Iterator[str]:
    """A text in pieces of at most so many characters, cut before white space where there is any."""
    start = 0
    while len(text) - start > most:
        end = start + most
        place = max(text.rfind("\n", start + 1, end), text.rfind(" ", start + 1, end))
        place = place if place > start else end
        yield text[start:place]
        start = place
    if start < len(text):
        yield text[start:]


def total_size(content: Content) -> int:
    """About how many bytes or characters all texts have together."""
    if isinstance(content, Documents):
        return sum(each.end for each in content.files)
    return sum(len(each.text) for each in parts(content))
