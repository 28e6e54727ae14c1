"""Secrets in texts that are shown or kept: what looks like one is struck out.

No key of fmkit's takes a secret. One comes in by mistake: in an address, or under a key that other
tools have, and must not go from there into logs and run folders, which people share.
"""

from __future__ import annotations

import re

STRUCK_OUT = "<redacted>"

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


def struck_out(text: str) -> str:
    """The same text without values of keys such as `api_token`, passwords in addresses, tokens.

    A reference such as `${oc.env:NAME}` is no secret and stays.
    """
    text = _NAMED.sub(_without_value, text)
    text = _ADDRESS.sub(lambda found: f"{found['before']}{found['slash'] or ''}{STRUCK_OUT}@", text)
    return _KNOWN.sub(STRUCK_OUT, text)


def _without_value(found: re.Match[str]) -> str:
    if _REFERENCE in found["value"]:
        return found[0]
    quote = found["value"][0] if found["value"][0] in "'\"" else ""
    return f"{found['key']}{quote}{STRUCK_OUT}{quote}"
