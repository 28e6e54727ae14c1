"""Characters that nobody sees: they move a terminal's cursor, turn text round, or end a line."""

from __future__ import annotations

import re
from pathlib import Path

from fmkit.core.errors import short_repr

CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line breaks, changes of direction, and halves of pairs (no UTF-8)."""

LONGEST_TEXT = 4096
"""Characters of one text: the longest path that Linux takes."""


def escape_invisible(text: str | Path, kept: str = "") -> str:
    """A text with such characters as Python writes them: `\\x1b`.

    Args:
        text: the text, or a path.
        kept: those of them that stay as they are.
    """

    def each(found: re.Match[str]) -> str:
        return found[0] if found[0] in kept else repr(found[0])[1:-1]

    return CHARACTERS.sub(each, str(text))


def text_problem(what: str, text: str) -> str:
    """What is wrong with the characters of a text from a config; empty when nothing is."""
    found = CHARACTERS.search(text)
    if found is not None:
        which = "a line break" if found[0] in "\n\r" else f"the character {found[0]!r}"
        return f"{what}: received {short_repr(text)}. It has {which}, which cannot be seen."
    if len(text) > LONGEST_TEXT:
        return f"{what}: a text of {len(text):,} characters; at most {LONGEST_TEXT:,} are read."
    return ""


REDACTED = "<redacted>"

_WORDS = r"(?:token|secret|passw(?:or)?d|passphrase|credentials?|(?:api|access|private)[-_]?key)"
_NAMED = re.compile(
    rf"""(?P<key>(?<![A-Za-z0-9])[A-Za-z0-9_.-]*{_WORDS}s?['"]?\s*[=:]\s*)"""
    r"""(?P<value>'[^'\n]*'|"[^"\n]*"|[^\s,;}\]'"<]+)""",
    re.IGNORECASE,
)
_ADDRESS = re.compile(  # one slash is left where it was taken for a path
    r"(?P<before>[a-z][a-z0-9+.-]{1,20}:/)(?P<slash>/)?(?(slash)[^\s/@'\"]+|[^\s/@'\":]*:[^\s/@'\"]+)@",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{16})\b"
)
_REFERENCE = "${"


def redact(text: str) -> str:
    """The same text without values of keys such as `api_token`, passwords in addresses, tokens.

    A reference such as `${oc.env:NAME}` is no secret and stays.
    """
    text = _NAMED.sub(_without_value, text)
    text = _ADDRESS.sub(lambda found: f"{found['before']}{found['slash'] or ''}{REDACTED}@", text)
    return _KNOWN.sub(REDACTED, text)


def _without_value(found: re.Match[str]) -> str:
    if _REFERENCE in found["value"]:
        return found[0]
    quote = found["value"][0] if found["value"][0] in "'\"" else ""
    return f"{found['key']}{quote}{REDACTED}{quote}"
