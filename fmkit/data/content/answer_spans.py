"""Extractive answers: spans of a text, in characters.

N examples.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

from fmkit.core.errors import plural
from fmkit.data.targets import Annotations

Span = tuple[int, int]
"""Where a part of a text begins, and where it has ended, in characters from 0."""

NEAR = 2
"""Characters by which an offset may be wrong: white space that was removed or added before it."""


@dataclass(frozen=True, eq=False)
class AnswerSpans(Annotations):
    """The accepted answers of each example.

    Attributes:
        spans: of each example, N of them; none where its text has no answer.
        names: there are none.
    """

    kind: ClassVar[str] = "spans"
    columns: ClassVar = ("spans",)
    spans: tuple[tuple[Span, ...], ...]
    names: tuple[str, ...] = ()

    def identity(self, index: int) -> bytes:
        """Begin and end of each answer."""
        return repr(self.spans[index]).encode()

    def summary(self) -> dict[str, int]:
        """How many examples have an answer, and how many have none."""
        answered = sum(bool(spans) for spans in self.spans)
        return {"with an answer": answered, "without": len(self.spans) - answered}


def is_part_of_word(context: str, span: Span) -> bool:
    """Whether a span begins or ends inside a word, as "1990" does in "1990s"."""
    return any(
        0 < end < len(context) and _continues_word(context[end - 1 : end + 1]) for end in span
    )


def _continues_word(pair: str) -> bool:
    """Whether two characters stand in one word; each Chinese character is one, as in BERT."""
    return all(
        (letter.isalnum() or unicodedata.category(letter)[0] == "M")
        and not unicodedata.name(letter, "").startswith("CJK")
        for letter in pair
    )


def locate(context: str, answer: str, offset: int) -> tuple[Span | None, str]:
    """Find an answer in a text, if necessary beside the position that its offset names.

    Tried in this order: the answer at the offset; at most `NEAR` characters beside it; the same
    with other white space inside; and offsets in UTF-16 units or bytes of UTF-8, as programs in
    Java, JavaScript, Go or Rust count.

    Args:
        context: the text.
        answer: not white space only.
        offset: of its first character.

    Returns:
        The answer's span, None where it is nowhere near its offset; and why that is not where the
        offset says, empty where it is.
    """
    if not -NEAR <= offset <= len(context) * 4:  # a character has 4 bytes at most
        return None, ""
    text = answer.strip()
    begin = offset + len(answer) - len(answer.lstrip())
    if begin >= 0 and context.startswith(text, begin):
        return (begin, begin + len(text)), ""
    for distance in range(1, NEAR + 1):
        for start in (begin - distance, begin + distance):
            if start >= 0 and context.startswith(text, start):
                count = plural(distance, "character")
                direction = "on" if start > begin else "back"
                return (start, start + len(text)), f"{count} {direction}"
    loose = re.compile(r"\s+".join(re.escape(word) for word in text.split()))
    first, last = max(0, begin - NEAR), max(0, begin + NEAR + 2 * len(text))
    for match in loose.finditer(context, first, last):
        if match.start() <= begin + NEAR:
            return match.span(), "it has other white space there"
    for encoding, size, unit in (("utf-16-le", 2, "UTF-16 units"), ("utf-8", 1, "bytes of UTF-8")):
        before = context.encode(encoding, "surrogatepass")[: max(0, offset) * size]
        start = len(before.decode(encoding, "ignore")) + begin - offset
        if start != begin and context.startswith(text, start):
            return (start, start + len(text)), f"its offset counts {unit}"
    return None, ""
