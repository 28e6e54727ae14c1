"""What a user typed: flags and overrides, read before anything heavy is imported."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from fmkit.errors import ConfigError, all_at_once, received

SHOW_FLAGS = ("--cfg", "--info", "--hydra-help", "--shell-completion", "-sc", "-c", "-i")
"""Hydra's flags that show something and run no job."""

_OPEN = re.compile(r"stage\.[^.=]+\.rates[.=]")
"""Keys under which users have keys of their own, which Hydra would want `++` for."""


@dataclass
class CommandLine:
    """What a user typed after the command's name."""

    command: str
    flags: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    overrides: list[Any] = field(default_factory=list)
    config_dirs: list[Path] = field(default_factory=list)
    multirun: bool = False
    shows_only: bool = False

    def named(self) -> set[str]:
        """Every key and group that an override names."""
        return {each.key_or_group for each in self.overrides}

    def value(self, key: str) -> Any:
        """The value of an override; None when there is none or it names several."""
        found = [each for each in self.overrides if each.key_or_group == key]
        if not found or found[-1].is_sweep_override():
            return None
        return found[-1].value()


class _Parser(argparse.ArgumentParser):
    """Hydra's flags, with our own words for one that does not exist."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(
            f"{message}.",
            "Settings are written key=value, without dashes: fmkit finetune data.batch_size=64",
        )


def parse(command: str, arguments: Sequence[str]) -> CommandLine:
    """Read the flags and overrides of one command.

    Raises:
        ConfigError: an unknown flag, or overrides that are no `key=value`; all of them at once.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = _Parser(add_help=False, allow_abbrev=False)
    for flag in ("--multirun", "-m", "--run", "-r", "--resolve"):
        parser.add_argument(flag, action="store_true")
    for flag in ("--config-dir", "-cd", "--package", "-p", "--experimental-rerun"):
        parser.add_argument(flag)
    for flag in SHOW_FLAGS:
        parser.add_argument(flag, nargs="?", const="all")
    flags, words = parser.parse_known_args(list(arguments))
    problems = [
        f"unknown flag {word!r}. Settings are written key=value, without dashes, such as "
        f"data.batch_size=64."
        for word in words
        if word.startswith("--")
    ]
    flags_typed = _flags_of(arguments, words)
    words = [f"++{word}" if _OPEN.match(word) else word for word in words]
    line = CommandLine(command, flags_typed, words)
    line.multirun = bool(flags.multirun or flags.m)
    line.shows_only = any(
        getattr(flags, flag.lstrip("-").replace("-", "_")) is not None for flag in SHOW_FLAGS
    )
    folder = flags.config_dir or flags.cd
    if folder:
        if not Path(folder).is_dir():
            problems.append(received("--config-dir", folder, "a folder that exists"))
        line.config_dirs.append(Path(folder).resolve())
    overrides_parser = OverridesParser.create()
    for word in words:
        if word.startswith("--"):
            continue
        try:
            line.overrides.append(overrides_parser.parse_override(word))
        except HydraException:
            problems.append(_unreadable(word))
    if problems:
        raise ConfigError(all_at_once(problems))
    return line


def _flags_of(arguments: Sequence[str], words: Sequence[str]) -> list[str]:
    """What is left of the arguments when the overrides are taken out."""
    left = list(words)
    flags = []
    for argument in arguments:
        if argument in left:
            left.remove(argument)
        else:
            flags.append(argument)
    return flags


def _unreadable(word: str) -> str:
    key, equals, value = word.lstrip("+~").partition("=")
    if not equals:
        return f"cannot read {word!r}. Settings are written key=value, such as data.batch_size=64."
    quoted = value.replace("'", "\\'")
    return (
        f"cannot read the value of {key!r}: {value!r}. Quote what has spaces or special "
        f"characters twice, once for Hydra and once for the shell: \"{key}='{quoted}'\""
    )
