"""Characters that nobody sees: they move a terminal's cursor, turn text round, or end a line."""

from __future__ import annotations

import re
from pathlib import Path

from fmkit.errors import shown

CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line breaks, changes of direction, and halves of pairs (no UTF-8)."""

LONGEST_TEXT = 4096
"""Characters of one text: the longest path that Linux takes."""


def written_out(text: str | Path, kept: str = "") -> str:
    """A text with such characters as Python writes them: `\\x1b`.

    Args:
        text: the text, or a path.
        kept: those of them that stay as they are.
    """

    def each(found: re.Match[str]) -> str:
        return found[0] if found[0] in kept else repr(found[0])[1:-1]

    return CHARACTERS.sub(each, str(text))


def problem(what: str, text: str) -> str:
    """What is wrong with the characters of a text from a config; empty when nothing is."""
    found = CHARACTERS.search(text)
    if found is not None:
        which = "a line break" if found[0] in "\n\r" else f"the character {found[0]!r}"
        return f"{what}: received {shown(text)}. It has {which}, which cannot be seen."
    if len(text) > LONGEST_TEXT:
        return f"{what}: a text of {len(text):,} characters; at most {LONGEST_TEXT:,} are read."
    return ""
