"""What a phase trains, as the config writes it: `head`, `all`, `top:2`, `blocks:REGEX`, ..."""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from fmkit.core.errors import ConfigError, closest_names, join_names, received

KINDS = {
    "head": "", "all": "", "top": "N", "blocks": "REGEX", "norm": "", "bias": "", "lora": "",
}  # fmt: skip
"""By kind, what follows it after a colon."""

SPELLINGS = tuple(f"{kind}:{after}" if after else kind for kind, after in KINDS.items())
"""How the kinds are written."""


class Trainable(NamedTuple):
    """What a phase trains besides the head: one of KINDS, and what came after the colon.

    The argument is a whole number of at least 1 for `top`, a valid regular expression for `blocks`,
    else empty.
    """

    kind: str
    argument: str = ""


def parse(text: str, key: str = "train") -> Trainable:
    """Read what a phase trains.

    Args:
        text: one of SPELLINGS.
        key: what the error is about.

    Raises:
        ConfigError: an unknown kind, an argument too many or too few, or one that cannot be.
    """
    kind, colon, argument = text.partition(":")
    if kind not in KINDS or bool(colon) != bool(KINDS[kind]):
        close = closest_names(kind.strip().lower(), KINDS, limit=1)
        meant = [f"{name}:{argument or KINDS[name]}" if KINDS[name] else name for name in close]
        hint = f"Did you mean {meant[0]}? " if meant else ""
        raise ConfigError(received(key, text, hint=f"{hint}Allowed: {join_names(SPELLINGS)}."))
    if kind == "top" and not re.fullmatch(r"[1-9]\d{0,5}", argument, re.ASCII):
        raise ConfigError(received(key, text, "a whole number of blocks above 0, such as `top:2`"))
    if kind == "blocks" and (problem := pattern_problem(argument)):
        allowed = f"a regular expression after `blocks:` ({problem})"
        raise ConfigError(received(key, text, allowed))
    return Trainable(kind, argument)


def text_problem(key: str, text: str) -> str:
    """What is wrong with `train` of a phase; empty when nothing is."""
    try:
        parse(str(text), key)  # YAML may have read a number
    except ConfigError as error:
        return error.message
    return ""


def rates_problem(key: str, rates: Mapping[str, float]) -> str:
    """What is wrong with the learning-rate factors of a phase; empty when nothing is."""
    for pattern, factor in rates.items():
        if problem := pattern_problem(pattern):
            return received(key, pattern, f"a regular expression for names of blocks ({problem})")
        if not 0 < factor < math.inf:
            allowed = "a factor above 0; to keep a block frozen, name the others in train"
            return received(f"{key}.{pattern}", factor, allowed)
    return ""


def pattern_problem(pattern: str) -> str:
    """What is wrong with a regular expression; empty when nothing is."""
    if not pattern:
        return "it is empty"
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return ""
