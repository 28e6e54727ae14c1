"""Control, bidirectional and other invisible Unicode characters are escaped, secrets redacted."""

import re
from pathlib import Path

from fmkit.core.errors import short_repr

INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line breaks, changes of direction, and lone surrogates (not UTF-8)."""

MAX_CHARACTERS = 4096
"""Characters of one text in a config: PATH_MAX of Linux."""


def escape_invisible(text: str | Path, keep: str = "") -> str:
    """A text with invisible characters, except those to keep, as Python escapes: `\\x1b`."""

    def escape(match: re.Match[str]) -> str:
        return match[0] if match[0] in keep else repr(match[0])[1:-1]

    return INVISIBLE.sub(escape, str(text))


def text_problem(subject: str, text: str) -> str:
    """What is wrong with the characters of a text from a config; empty when nothing is."""
    invisible = INVISIBLE.search(text)
    if invisible is not None:
        character = invisible[0]
        shown = "a line break" if character in "\n\r" else f"the character {character!r}"
        return f"{subject}: received {short_repr(text)}. It has {shown}, which is invisible."
    if len(text) > MAX_CHARACTERS:
        return f"{subject}: {len(text):,} characters; at most {MAX_CHARACTERS:,} are allowed."
    return ""


REDACTED = "<redacted>"

_NAMES = r"(?:token|secret|passw(?:or)?d|passphrase|credentials?|(?:api|access|private)[-_]?key)"
_ASSIGNMENT = re.compile(
    rf"""(?P<key>(?<![A-Za-z0-9])[A-Za-z0-9_.-]*{_NAMES}s?['"]?\s*[=:]\s*)"""
    r"""(?P<value>'[^'\n]*'|"[^"\n]*"|[^\s,;}\]'"<]+)""",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(  # `//` is `/` in a URL that was handled as a path
    r"(?P<before>[a-z][a-z0-9+.-]{1,20}:/)(?P<slash>/)?(?(slash)[^\s/@'\"]+|[^\s/@'\":]*:[^\s/@'\"]+)@",
    re.IGNORECASE,
)
_TOKEN_FORMATS = re.compile(  # Hugging Face, GitHub, OpenAI, AWS
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{16})\b"
)
_REFERENCE = "${"


def redact(text: str) -> str:
    """A text without values of keys such as `api_token`, passwords in URLs, and access tokens.

    A reference such as `${oc.env:NAME}` is not a secret and stays.
    """

    def redact_value(assignment: re.Match[str]) -> str:
        key, value = assignment["key"], assignment["value"]
        quote = value[0] if value[0] in "'\"" else ""
        return assignment[0] if _REFERENCE in value else f"{key}{quote}{REDACTED}{quote}"

    text = _ASSIGNMENT.sub(redact_value, text)
    text = _URL_PASSWORD.sub(lambda url: f"{url['before']}{url['slash'] or ''}{REDACTED}@", text)
    return _TOKEN_FORMATS.sub(REDACTED, text)
