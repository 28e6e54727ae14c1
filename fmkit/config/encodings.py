"""Names of encodings of text files."""

from __future__ import annotations

import codecs

from fmkit.errors import received

USUAL = (
    *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii", "cp1252", "latin-1"),
    *("cp1251", "koi8-r", "shift_jis", "cp932", "euc_jp", "euc_kr", "gb18030", "big5"),
)
"""Encodings that texts often have, for a suggestion; others that Python knows are taken, too."""

_NOT_OF_FILES = ("undefined", "unicode-escape", "raw-unicode-escape", "idna", "punycode")
"""What Python counts among the encodings of text, and no text file has."""


def problem(key: str, name: str) -> str:
    """What is wrong with the name of an encoding; empty when nothing is."""
    try:
        found = codecs.lookup(name)
        if getattr(found, "_is_text_encoding", True) and found.name not in _NOT_OF_FILES:
            return ""
    except (LookupError, ValueError):
        pass  # no such name, or one that no module can have
    return received(key, name, USUAL)
