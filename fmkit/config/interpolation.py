"""What a text in a config may refer to: other keys, a product, and few environment variables.

Everything is looked up before a run starts, so that `${optimizer.learnin_rate}` fails at once.
"""

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

    unreadable = f"{key}: cannot read {short_repr(text)}. References are written ${{group.key}}."
    for start in _starts(text):
        match = _INSIDE.match(text, start)
        if match is None:
            return unreadable
        name, end = match.groups()
        if end == ":":
            if problem := _resolver_problem(key, text, name, match.end()):
                return problem
        elif name.split(".")[0] == "hydra" or not name.strip("."):
            return f"{key}: ${{{name}}} is not a key of the config."
    try:
        grammar_parser.parse(text)
    except (GrammarParseError, RecursionError):
        return unreadable
    return ""


def problems(leaves: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows (key, message) of all that is wrong with what a composed config refers to.

    Args:
        leaves: by full key, the values before anything is looked up.
    """
    sizes: dict[str, int] = {}
    rows: list[tuple[str, str]] = []
    for key, value in leaves.items():
        if isinstance(value, list) and any(map(is_interpolated, value)):
            rows.append((key, f"{key}: {short_repr(value)} refers to something; a list must not."))
        if not is_interpolated(value):
            continue
        problem = text_problem(key, value) or _reference_problem(key, value, leaves)
        if not problem:
            try:
                size = _size(key, leaves, sizes, ())
                problem = f"{key}: too many references." if size > MAX_LOOKUPS else ""
            except RecursionError as error:
                problem = f"{key}: {error}"
        rows.extend([(key, problem)] if problem else [])
    return rows


def from_environment(leaves: Mapping[str, Any]) -> dict[str, str]:
    """By key, the text of values that come from environment variables, however indirectly.

    It is what the record of a run keeps in place of the value: the value may be private, and
    another machine has another one. References to other keys are written out.
    """
    texts = {
        key: _written_out(key, value, leaves)
        for key, value in leaves.items()
        if is_interpolated(value)
    }
    return {key: text for key, text in texts.items() if "oc.env" in text}


def recorded_problem(key: str, text: str) -> str:
    """What is wrong with what a text in a run's record refers to: only the environment is left."""
    problem = text_problem(key, text)
    if not problem and any(_references(key, text)):
        return f"{key}: {short_repr(text)} refers to another key, and a record does not"
    return problem


def escape(text: str) -> str:
    """A text as a config writes it where `${` in it is to mean itself."""
    return _START.sub(lambda match: match[1] * 2 + "\\${", text)


def _starts(text: str) -> Iterator[int]:
    """Where the inside of each reference begins; a `$` after a backslash is itself."""
    return (match.end() for match in _START.finditer(text) if len(match[1]) % 2 == 0)


def _resolver_problem(key: str, text: str, resolver: str, start: int) -> str:
    if resolver == "times":
        return ""
    if resolver != "oc.env":
        subject = f"{key}: the resolver in {short_repr(text)}"
        hint = "References to other keys are written ${group.key}."
        return received(subject, resolver, ["oc.env", "times"], hint)
    match = _VARIABLE.match(text, start)
    if match is None:
        example = "${oc.env:FMKIT_DATA} or ${oc.env:FMKIT_DATA,DEFAULT}"
        return (
            f"{key}: cannot read {short_repr(text)}. Environment variables are written {example}."
        )
    name, end = match.groups()
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
    if name not in os.environ and end != ",":
        return (
            f"{key}: the environment variable {name} is not set. Set it, or write a default: "
            f"${{oc.env:{name},DEFAULT}}"
        )
    return ""


def _references(key: str, text: str) -> Iterator[tuple[int, int, str]]:
    """Rows (start, end, full key) of the references to other keys in a text.

    A reference may be relative: `.x` is beside the key, `..x` beside its group.
    """
    for start in _starts(text):
        match = _INSIDE.match(text, start)
        if match is None or match[2] != "}":
            continue
        name = match[1].lstrip(".")
        if dots := len(match[1]) - len(name):
            name = ".".join([*key.split(".")[:-dots], name])
        yield start - 2, match.end(), name


def _reference_problem(key: str, text: str, leaves: Mapping[str, Any]) -> str:
    for _, _, name in _references(key, text):
        if name not in leaves and not any(leaf.startswith(f"{name}.") for leaf in leaves):
            close = closest_names(name, leaves)
            meant = f" Did you mean {' or '.join(close)}?" if close else ""
            return f"{key}: ${{{name}}} refers to a key that the config does not have.{meant}"
    return ""


def _size(
    key: str, leaves: Mapping[str, Any], sizes: dict[str, int], parents: tuple[str, ...]
) -> int:
    """How many lookups a value takes; a RecursionError with the way where it needs itself."""
    if key in parents:
        raise RecursionError(f"it refers to itself: {' -> '.join([*parents, key])}.")
    if key not in sizes:
        value = leaves.get(key)
        rows = _references(key, value) if isinstance(value, str) else ()
        sizes[key] = 1 + sum(_size(name, leaves, sizes, (*parents, key)) for _, _, name in rows)
    return sizes[key]


def _written_out(key: str, text: str, leaves: Mapping[str, Any]) -> str:
    """A text with the values of other keys in place of references to them."""
    parts, position = [], 0
    for start, end, name in _references(key, text):
        value = leaves.get(name)
        parts.append(text[position:start])
        parts.append(_written_out(name, value, leaves) if isinstance(value, str) else str(value))
        position = end
    return "".join([*parts, text[position:]])
