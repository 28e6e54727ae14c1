"""How a config key is declared: default, help, and the values that it may have.

A key is a dataclass field made by `key(...)`; OmegaConf ignores the metadata that it carries. Help,
checks, suggestions and `fmkit help` all read it from there.
"""

import dataclasses
import math
import operator
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from omegaconf import MISSING

MAX_VALUE = 2**31 - 1
"""No count or size is above this; larger ones do not fit into what computes with them."""


class Range(NamedTuple):
    """The numbers that a key may have.

    Attributes:
        phrase: in words, after `Expected`.
        contains: whether a number is allowed.
        bounds: the same for JSON Schema (`minimum`, `exclusiveMaximum` ...); none if not known.
    """

    phrase: str
    contains: Callable[[float], bool]
    bounds: Mapping[str, float] = MappingProxyType({})


_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
    "multipleOf": lambda value, factor: value % factor == 0,
}


def bounded(phrase: str, **bounds: float) -> Range:
    """The finite numbers within bounds, which are named as in JSON Schema."""

    def contains(value: float) -> bool:
        is_finite = -math.inf < value < math.inf
        return is_finite and all(_BOUNDS[name](value, bound) for name, bound in bounds.items())

    return Range(phrase, contains, bounds)


def at_least(low: float) -> Range:
    """A number from `low` to the largest that counts and sizes may have."""
    phrase = f"a number of at least {low:g} and at most {MAX_VALUE}"
    return bounded(phrase, minimum=low, maximum=MAX_VALUE)


def between(low: float, high: float, unit: str = "") -> Range:
    """A number from `low` to `high`, both included."""
    return bounded(f"from {low} to {high} {unit}".rstrip(), minimum=low, maximum=high)


POSITIVE = bounded("a number above 0", exclusiveMinimum=0)
FRACTION = bounded("a number from 0 to below 1", minimum=0, exclusiveMaximum=1)
SHARE = bounded("a number from 0 to 1", minimum=0, maximum=1)
FACTOR = bounded("above 0 and at most 1", exclusiveMinimum=0, maximum=1)
OPEN_FRACTION = bounded("above 0 and below 1", exclusiveMinimum=0, exclusiveMaximum=1)
SEED = bounded(f"a whole number from 0 to {MAX_VALUE}", minimum=0, maximum=MAX_VALUE)


@dataclass(frozen=True)
class KeyInfo:
    """What is known of a key besides its type and default.

    Attributes:
        help: its meaning with its unit, one line.
        choices: the only values that it may have; none means any.
        range: the only numbers that it may have.
        check: `(full key, value) -> problem`, for values with a syntax of their own; empty is fine.
    """

    help: str = ""
    choices: tuple[str, ...] = ()
    range: Range | None = None
    check: Callable[[str, Any], str] | None = None

    @property
    def allowed(self) -> str:
        """The allowed values as a sentence; empty where the type says it all."""
        if self.choices:
            return f"Allowed: {', '.join(self.choices)}."
        return f"Expected {self.range.phrase}." if self.range else ""


def key(default: Any, help: str, **info: Any) -> Any:
    """A dataclass field for a config key.

    Args:
        default: its value; `MISSING` where the user must set one; a function that makes one.
        help: its meaning with its unit, one line.
        info: more of KeyInfo.
    """
    kind: Any = "default_factory" if callable(default) else "default"
    return dataclasses.field(**{kind: default}, metadata={"key": KeyInfo(help, **info)})


def info_of(field: dataclasses.Field[Any]) -> KeyInfo:
    """What is known of a field; nothing of a plain one, as a plugin's config may have."""
    return field.metadata.get("key", KeyInfo())


def section_of(field: dataclasses.Field[Any]) -> type | None:
    """The config class of a key that has keys of its own, such as `runtime.mlflow`; else None."""
    made_by = field.default_factory
    return made_by if isinstance(made_by, type) and dataclasses.is_dataclass(made_by) else None


@cache
def key_infos(config: type) -> dict[str, KeyInfo]:
    """What is known of each key of a config dataclass; those of a section are `section.key`."""
    return {name: info_of(field) for name, field in _fields(config)}


@cache
def field_types(config: type) -> dict[str, Any]:
    """The type of each key of a config dataclass; those of a section are `section.key`."""
    types = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if section := section_of(field):
            del types[field.name]
            types |= {f"{field.name}.{key}": kind for key, kind in field_types(section).items()}
    return {name: types[name] for name, _ in _fields(config)}


def _fields(config: type) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """The field of each key, those of sections in their place."""
    for field in dataclasses.fields(config):
        if section := section_of(field):
            yield from ((f"{field.name}.{name}", inner) for name, inner in _fields(section))
        else:
            yield field.name, field


def keys_of(config: type, prefix: str = "") -> list[tuple[str, str, str, str]]:
    """Rows (key, default, help, allowed values) of a config dataclass, in the source's order.

    A default is as a user would write it, and empty for a key that has none.
    """
    rows = []
    for name, field in _fields(config):
        default, info = field.default, info_of(field)
        text = str(default).lower() if isinstance(default, bool) else str(default)
        if default is None or default in (dataclasses.MISSING, MISSING):
            text = "null" if default is None else ""
        rows.append((f"{prefix}{name}", text, info.help, info.allowed))
    return rows
