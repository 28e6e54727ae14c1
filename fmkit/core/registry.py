"""From a name in the config to the object behind it: a literal table, then what plugins add."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fmkit.core.errors import ConfigError, received

_PLUGIN_KINDS = ("models", "data", "tasks", "modalities")
_from_plugin_file: dict[str, dict[str, Any]] = {kind: {} for kind in _PLUGIN_KINDS}


Code = str | Callable[..., Any]
"""A function or class, or where it is, `package.module:name`; only rows of tables name one."""


def load(code: Code) -> Any:
    """The function or class that a row names."""
    if not isinstance(code, str):
        return code
    module, _, name = code.partition(":")
    return getattr(importlib.import_module(module), name)


@cache
def _entry_points(kind: str) -> dict[str, Any]:
    import importlib.metadata  # 20 ms, which `fmkit --help` need not pay

    points = importlib.metadata.entry_points(group=f"fmkit.{kind}")
    return {point.name: point for point in points}


def names(kind: str, table: Mapping[str, Any]) -> list[str]:
    """Every name of a kind: the table's, those of installed plugins, and the plugin file's."""
    return sorted({*table, *plugin_names(kind)})


def plugin_names(kind: str) -> list[str]:
    """The names that installed plugins and the plugin file add."""
    return sorted({*_entry_points(kind), *_from_plugin_file[kind]})


def find(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    """The object that `name` stands for.

    Args:
        kind: `models`, `data` or `tasks`; also the end of the entry-point group's name.
        name: as the config has it.
        table: fmkit's own names, each with a dotted path or the object itself.

    Raises:
        ConfigError: no table, plugin file or installed package has that name.
    """
    if name in table:
        return load(table[name])
    if name in _from_plugin_file[kind]:
        return _from_plugin_file[kind][name]
    if name in _entry_points(kind):
        return _entry_points(kind)[name].load()
    raise ConfigError(received(f"{kind} name", name, names(kind, table)))


def find_or_none(kind: str, name: str) -> Any:
    """What a plugin has under a name; None where importing the plugin fails.

    For listings alone: one broken package must not break commands that do not use it.
    """
    try:
        return find(kind, name, {})
    except Exception:
        return None


def load_plugins(path: str) -> None:
    """Run a user's plugin file and take over its tables (`MODELS`, `DATA` ...).

    Only a file that the user named on the command line comes here: it is code and runs as such.

    Raises:
        ConfigError: there is no such file, or one of its tables is not a mapping.
    """
    file = Path(path)
    try:
        is_file = file.is_file()
    except OSError:  # a name that is too long
        is_file = False
    if not is_file:
        raise ConfigError(received("plugins", path, "the path of a Python file that exists"))
    spec = importlib.util.spec_from_file_location(f"fmkit_plugins_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ConfigError(received("plugins", path, "a file whose name ends in .py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses in the file look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"plugins: {path} failed: {type(error).__name__}: {error}") from error
    for kind in _PLUGIN_KINDS:
        added = getattr(module, kind.upper(), {})
        if not isinstance(added, Mapping):
            raise ConfigError(
                f"plugins: {kind.upper()} in {path} must be a mapping of names to functions."
            )
        _from_plugin_file[kind].update(added)
