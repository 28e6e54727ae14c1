"""The schema as text: each key's meaning is read from the line under its field."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import typing
from functools import cache
from typing import Any

from omegaconf import MISSING


@cache
def field_docs(kind: type) -> dict[str, str]:
    """The line under each field of a config dataclass, inherited fields included."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        body = ast.parse(inspect.getsource(base)).body[0]
        if not isinstance(body, ast.ClassDef):
            continue
        for statement, following in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                docs[statement.target.id] = str(following.value.value)
    return docs


@cache
def field_types(kind: type) -> dict[str, Any]:
    """The type of each field of a config dataclass."""
    return typing.get_type_hints(kind)


def default_text(field: dataclasses.Field[Any]) -> str:
    """A field's default as a user would write it; empty for a field that has none."""
    if field.default is dataclasses.MISSING or field.default == MISSING:
        return ""
    if field.default is None:
        return "null"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def keys_of(kind: type, prefix: str = "") -> list[tuple[str, str, str]]:
    """Rows (key, default, meaning) of a config dataclass, in the order of the source."""
    docs = field_docs(kind)
    return [
        (f"{prefix}{field.name}", default_text(field), docs.get(field.name, ""))
        for field in dataclasses.fields(kind)
    ]
