"""The encoding of bytes that are text and not UTF-8, by which of them gives plausible letters.

Nearly any bytes are valid in an encoding with one byte per character, so that validity alone says
little. Letters of scripts other than Latin stand beside each other, and are mostly common ones:
kana, Hangul, the common half of a Chinese character set, or the most frequent letters of an
alphabet. Accented Latin letters mostly stand between plain ones.
"""

import re
from collections.abc import Callable
from itertools import pairwise

_COMPARED = 2**16  # bytes or characters by which encodings are compared
_RUN = re.compile(rb"[\x80-\xff]{2,}")
_IN_RUNS = 0.6  # share of bytes beyond ASCII that are beside another, in scripts but Latin
_MIXED = 0.3  # share of letters beyond ASCII that may be beside one of ASCII
_FEW = 8  # bytes beyond ASCII that may be beside each other in Latin letters
_COMMON = 0.85  # least share of letters that are common in an East Asian encoding
_SCRIPT, _FREQUENT = 0.9, 0.45  # least shares of letters of one alphabet, and of its frequent ones
_CAPITALS = 0.05  # share of letters that may be capitals after a small one: Arabic read as Greek
_LEAST_KANA = 0.1  # share of the letters of Japanese

_INSIDE = re.compile(r"(?<=[a-z])[^\x00-\x7f](?=[a-z])")
_INSIDE_WORDS = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u00b7\u2022\xa0\xad"

_ALPHABETS = {
    "cp1251": ("\u0400", "\u04ff", "оеаинтсрвлі"),
    "koi8_r": ("\u0400", "\u04ff", "оеаинтсрвлі"),
    "cp1253": ("\u0370", "\u03ff", "αοιετσνηυράόίέή"),
    "cp1255": ("\u0590", "\u05ff", "יוהלאתרבמש"),
    "cp1256": ("\u0600", "\u06ff", "اليمونرتبة"),
}
"""By encoding, the first and last character of its script, and that script's frequent letters."""


def _common_in(encoding: str, first: int, last: int) -> Callable[[str], bool]:
    """Whether a character is in those rows of a character set that have the common ones."""

    def is_common(letter: str) -> bool:
        return first <= letter.encode(encoding, "replace")[0] <= last

    return is_common


def _is_kana(letter: str) -> bool:
    return "\u3041" <= letter <= "\u30fe"


def _is_hangul(letter: str) -> bool:
    return "\uac00" <= letter <= "\ud7a3"


def _is_japanese(letter: str) -> bool:
    return _is_kana(letter) or _common_in("euc_jp", 0xB0, 0xCF)(letter)


_EAST_ASIAN: dict[str, Callable[[str], bool]] = {
    "shift_jis": _is_japanese,
    "cp932": _is_japanese,
    "euc_jp": _is_japanese,
    "euc_kr": _is_hangul,
    "cp949": _is_hangul,
    "big5": _common_in("big5", 0xA4, 0xC6),
    "gb18030": _common_in("gb2312", 0xB0, 0xD7),
}
"""By encoding, whether a letter is a common one. Japanese in EUC has its kana in GB 18030, too."""


def guess(content: bytes) -> str:
    """The encoding that bytes without zeros among them probably have; empty: unknown."""
    head = content[:_COMPARED]
    high = sum(byte > 0x7F for byte in head)
    runs = sum(map(len, _RUN.findall(head)))
    if runs <= _IN_RUNS * high:
        return _latin(content)
    scores = {name: _east_asian_score(content, name) for name in _EAST_ASIAN}
    if max(scores.values()) < _COMMON:
        scores = {name: _alphabet_score(content, name) for name in _ALPHABETS}
    best = max(scores, key=scores.__getitem__)
    if scores[best]:
        return best
    return _latin(content) if high < _FEW else ""


def _latin(content: bytes) -> str:
    """That of Latin letters in which fewest between two small letters are odd there.

    The encoding cp1252 leaves five bytes undefined; only latin-1 and mac_roman have those.
    """
    texts = {}
    for name in ("cp1252", "latin-1", "mac_roman"):
        try:
            texts[name] = content.decode(name)[:_COMPARED]
        except UnicodeDecodeError:
            continue
        if name == "cp1252":
            texts["mac_roman"] = content.decode("mac_roman")[:_COMPARED]
            break
    return min(texts, key=lambda name: _odd_letters(texts[name]))


def _odd_letters(text: str) -> int:
    """How often something that is not written inside of words is between two small letters."""
    between = _INSIDE.findall(text)
    return sum(not (letter.islower() or letter in _INSIDE_WORDS) for letter in between)


def _letters(content: bytes, encoding: str) -> str:
    """The letters beyond ASCII of a text; none where it is not in that encoding, or implausible.

    It is where letters of two scripts are beside each other, it has control characters, or what is
    not ASCII is hardly letters.
    """
    try:
        text = content.decode(encoding)[:_COMPARED]
    except UnicodeDecodeError:
        return ""
    letters = re.findall(r"[^\W\d_\x00-\x7f]", text)
    mixed = re.findall(r"(?<=[A-Za-z])[^\W\d_\x00-\x7f]|[^\W\d_\x00-\x7f](?=[A-Za-z])", text)
    controls = re.search(r"[\x80-\x9f\ue000-\uf8ff]", text)
    others = sum(not character.isascii() for character in text) - len(letters)
    is_implausible = controls or len(mixed) > _MIXED * len(letters) or others > len(letters) / 2
    return "" if is_implausible else "".join(letters)


def _east_asian_score(content: bytes, encoding: str) -> float:
    """The share of letters that are common; 0 where the encoding is not plausible."""
    letters = _letters(content, encoding)
    is_common = _EAST_ASIAN[encoding]
    share = sum(map(is_common, letters)) / max(len(letters), 1)
    if is_common is _is_japanese and sum(map(_is_kana, letters)) < _LEAST_KANA * len(letters):
        return 0
    return share if share >= _COMMON else 0


def _alphabet_score(content: bytes, encoding: str) -> float:
    """The share of letters that are frequent; 0 where the encoding is not plausible."""
    first, last, frequent = _ALPHABETS[encoding]
    letters = _letters(content, encoding).lower()
    text = content.decode(encoding, "replace")[:_COMPARED]
    capitals = sum(one.islower() and other.isupper() for one, other in pairwise(text))
    if capitals > _CAPITALS * len(letters):
        return 0
    script = sum(first <= letter <= last for letter in letters) / max(len(letters), 1)
    share = sum(letter in frequent for letter in letters) / max(len(letters), 1)
    return share if script >= _SCRIPT and share >= _FREQUENT else 0
