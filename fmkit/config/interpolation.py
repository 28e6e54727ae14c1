"""What a text in a config may refer to: other keys, a product, and few environment variables.

Everything is looked up before a run starts, so that `${optimizer.learnin_rate}` is told at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fmkit.core.errors import closest_names, received, short_repr

VARIABLES = (
    *("HOME", "USER", "LOGNAME", "HOSTNAME", "PWD", "TMPDIR", "TEMP", "TMP", "SCRATCH", "WORK"),
    *("DATA", "DATA_DIR", "DATA_ROOT", "DATASETS", "DATASET_DIR", "CUDA_VISIBLE_DEVICES"),
)
"""Environment variables that a config may read."""

PREFIXES = ("FMKIT_", "SLURM_", "XDG_")
"""How the names of others begin that it may read."""

MAX_LOOKUPS = 1_000
"""Lookups behind one value; a chain of `${a}${a}` doubles with each link."""

_SECRET = re.compile(
    r"(^|_)(API_?)?(TOKEN|JWT|SECRET|PASSWORD|PASSWD|PASSPHRASE|PASS|CREDENTIAL|KEY|AUTH|COOKIE)S?(_|$)"
)
_START = re.compile(r"(\\*)\$\{")
_INSIDE = re.compile(r"\s*([^{}$:,\s]*)\s*([:}])")
_VARIABLE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*([,}])")


def is_interpolated(value: Any) -> bool:
    """Whether a value is a text that refers to something."""
    return isinstance(value, str) and any(_starts(value))


def text_problem(key: str, text: str) -> str:
    """What is wrong with what one text refers to, as far as the text tells; empty: nothing."""
    from omegaconf import grammar_parser
    from omegaconf.errors import GrammarParseError

    for start in _starts(text):
        found = _INSIDE.match(text, start)
        if found is None:
            return f"{key}: cannot read {short_repr(text)}. References are written ${{group.key}}."
        name, end = found.groups()
        wrong = ""
        if end == ":":
            wrong = _resolver_problem(key, text, name, found.end())
        elif name.split(".")[0] == "hydra" or not name.strip("."):
            wrong = f"{key}: ${{{name}}} is no key of the config."
        if wrong:
            return wrong
    try:
        grammar_parser.parse(text)
    except (GrammarParseError, RecursionError):
        return f"{key}: cannot read {short_repr(text)}. References are written ${{group.key}}."
    return ""


def problems(leaves: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows (key, message) of all that is wrong with what a composed config refers to.

    Args:
        leaves: by full key, the values before anything is looked up.
    """
    sizes: dict[str, int] = {}
    found: list[tuple[str, str]] = []
    for key, value in leaves.items():
        if isinstance(value, list) and any(is_interpolated(each) for each in value):
            found.append((key, f"{key}: {short_repr(value)} refers to something; a list must not."))
        if not is_interpolated(value):
            continue
        wrong = text_problem(key, value) or _reference_problem(key, value, leaves)
        if not wrong:
            try:
                size = _size(key, leaves, sizes, ())
                wrong = f"{key}: too many references." if size > MAX_LOOKUPS else ""
            except RecursionError as error:
                wrong = f"{key}: {error}"
        if wrong:
            found.append((key, wrong))
    return found


def from_environment(leaves: Mapping[str, Any]) -> dict[str, str]:
    """By key, the text of values that come from environment variables, however indirectly.

    It is what the record of a run keeps in place of the value: the value may be private, and
    another machine has another one. References to other keys are written out.
    """
    found = {}
    for key, value in leaves.items():
        if is_interpolated(value):
            text = _written_out(key, value, leaves)
            if "oc.env" in text:
                found[key] = text
    return found


def recorded_problem(key: str, text: str) -> str:
    """What is wrong with what a text in a run's record refers to: only the environment is left."""
    wrong = text_problem(key, text)
    if not wrong and next(_references(key, text), None) is not None:
        wrong = f"{key}: {short_repr(text)} refers to another key, and a record does not"
    return wrong


def escape(text: str) -> str:
    """A text as a config writes it where `${` in it is to mean itself."""
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", text)


def _starts(text: str) -> Iterator[int]:
    """Where the inside of each reference begins; a `$` after a backslash is itself."""
    for found in _START.finditer(text):
        if len(found[1]) % 2 == 0:
            yield found.end()


def _resolver_problem(key: str, text: str, name: str, start: int) -> str:
    if name == "times":
        return ""
    if name != "oc.env":
        what = f"{key}: the resolver in {short_repr(text)}"
        hint = "References to other keys are written ${group.key}."
        return received(what, name, ["oc.env", "times"], hint)
    found = _VARIABLE.match(text, start)
    if found is None:
        example = "${oc.env:FMKIT_DATA} or ${oc.env:FMKIT_DATA,DEFAULT}"
        return (
            f"{key}: cannot read {short_repr(text)}. Environment variables are written {example}."
        )
    return _variable_problem(key, found[1], has_default=found[2] == ",")


def _variable_problem(key: str, name: str, has_default: bool) -> str:
    if _SECRET.search(name.upper()):
        return (
            f"{key}: the environment variable {name} looks like a secret, and no key of fmkit's "
            "takes one. Leave it out."
        )
    if name not in VARIABLES and not name.startswith(PREFIXES):
        allowed = f"{', '.join(VARIABLES[:6])}, ..., and what begins with {' or '.join(PREFIXES)}"
        return (
            f"{key}: a config may not read the environment variable {name}. Allowed: {allowed}. "
            f"Rename it FMKIT_{name}."
        )
    if name not in os.environ and not has_default:
        return (
            f"{key}: the environment variable {name} is not set. Set it, or write a default: "
            f"${{oc.env:{name},DEFAULT}}"
        )
    return ""


def _references(key: str, text: str) -> Iterator[str]:
    """Full keys of the config's values that a text refers to."""
    for start in _starts(text):
        found = _INSIDE.match(text, start)
        if found is not None and found[2] == "}":
            yield _full(key, found[1])


def _full(key: str, name: str) -> str:
    """A reference from the top: `.x` is beside the key, `..x` beside its group."""
    dots = len(name) - len(name.lstrip("."))
    if not dots:
        return name
    parts = key.split(".")
    return ".".join([*parts[: max(0, len(parts) - dots)], name.lstrip(".")])


def _reference_problem(key: str, text: str, leaves: Mapping[str, Any]) -> str:
    for name in _references(key, text):
        if name not in leaves and not any(each.startswith(f"{name}.") for each in leaves):
            close = closest_names(name, leaves)
            meant = f" Did you mean {' or '.join(close)}?" if close else ""
            return f"{key}: ${{{name}}} refers to a key that the config does not have.{meant}"
    return ""


def _size(
    key: str, leaves: Mapping[str, Any], sizes: dict[str, int], before: tuple[str, ...]
) -> int:
    """How many lookups a value takes.

    Raises:
        RecursionError: it refers to itself, with the way.
    """
    if key in before:
        raise RecursionError(f"it refers to itself: {' -> '.join([*before, key])}.")
    if key not in sizes:
        value = leaves.get(key)
        names = _references(key, value) if isinstance(value, str) else ()
        sizes[key] = 1 + sum(_size(each, leaves, sizes, (*before, key)) for each in names)
    return sizes[key]


def _written_out(key: str, text: str, leaves: Mapping[str, Any]) -> str:
    """A text with what other keys hold in place of references to them."""
    parts, end = [], 0
    for start in _starts(text):
        found = _INSIDE.match(text, start)
        if found is None or found[2] != "}":
            continue
        name = _full(key, found[1])
        held = leaves.get(name)
        parts.append(text[end : start - 2])
        parts.append(_written_out(name, held, leaves) if isinstance(held, str) else str(held))
        end = found.end()
    return "".join([*parts, text[end:]])
