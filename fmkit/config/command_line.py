"""What a user typed: flags and overrides, read before anything heavy is imported."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from fmkit.config import override_limits, yaml_files
from fmkit.core import sanitize
from fmkit.core.errors import ConfigError, combine_messages, received, short_repr

SHOW_FLAGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "--cfg": ("-c", ("job", "hydra", "all")),
    "--info": (
        "-i",
        ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    ),
    "--hydra-help": ("", ()),
    "--shell-completion": ("-sc", ()),
}
"""Hydra's flags that show something and run no job: the short form, and what it takes."""

_OPEN = re.compile(r"(stage\.[^.=]+\.rates|task\.objectives)[.=]")
"""Keys under which users have keys of their own, which Hydra would want `++` for."""

_NUMBER = re.compile(r"(?<![\w.'\"])[-+]?\d{1,15}(\.0*)?([eE]\+?\d{1,2})?(?![\w.'\"])")


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

    flags, words = _read_flags(arguments)
    line = CommandLine(command)
    problems = [
        f"unknown flag {short_repr(word)}. Settings are written key=value, without dashes, such as "
        f"data.batch_size=64."
        for word in words
        if word.startswith("-")
    ]
    if len(words) > override_limits.MAX_WORDS:
        problems.append(f"{len(words)} overrides; at most {override_limits.MAX_WORDS} are read.")
        words = []
    line.words = [
        _with_whole_numbers(f"++{word}" if _OPEN.match(word) else word)
        for word in words
        if not word.startswith("-")
    ]
    line.multirun = bool(flags.multirun)
    line.shows_only = any(getattr(flags, _attribute(flag)) is not None for flag in SHOW_FLAGS)
    problems.extend(_flag_problems(flags))
    if flags.config_dir and not problems:
        line.config_dirs.append(Path(flags.config_dir).resolve())
    line.flags = _written(flags)
    overrides_parser = OverridesParser.create()
    for word in line.words:
        wrong = override_limits.word_problem(word)
        if not wrong:
            try:
                override = overrides_parser.parse_override(word)
            except (HydraException, RecursionError):
                wrong = _unreadable(word)
            else:
                line.overrides.append(override)
                wrong = override_limits.override_problem(override)
        problems.extend([wrong] if wrong else [])
    if not problems and (wrong := override_limits.sweep_problem(line.overrides)):
        problems.append(wrong)
    if problems:
        raise ConfigError(combine_messages(problems))
    return line


def _read_flags(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and all other words."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    for flag, short in (("--multirun", "-m"), ("--run", "-r"), ("--resolve", "")):
        parser.add_argument(*filter(None, (flag, short)), action="store_true")
    for flag, short in (("--config-dir", "-cd"), ("--package", "-p")):
        parser.add_argument(flag, short)
    for flag, (short, _) in SHOW_FLAGS.items():
        parser.add_argument(*filter(None, (flag, short)), nargs="?", const="")
    # Only `-c x` and `-c=x`: as `-cx` the standard parser would take Hydra's -cp and -cn for it.
    known = {each for action in parser._actions for each in action.option_strings}
    glued = [
        word
        for word in arguments
        if word.startswith("-") and not word.startswith("--") and word.split("=")[0] not in known
    ]
    flags, words = parser.parse_known_args([each for each in arguments if each not in glued])
    return flags, [*glued, *words]


def _attribute(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def _flag_problems(flags: argparse.Namespace) -> list[str]:
    problems = []
    exclusive = ("--run", "--multirun", "--cfg", "--info", "--shell-completion")
    both = [flag for flag in exclusive if getattr(flags, _attribute(flag)) not in (None, False)]
    if len(both) > 1:
        problems.append(f"{' and '.join(both)} exclude each other. Give one of them.")
    for flag, (_, allowed) in SHOW_FLAGS.items():
        came = getattr(flags, _attribute(flag))
        if came and allowed and came not in allowed:
            problems.append(received(flag, came, allowed))
    folder = flags.config_dir
    if folder is not None:
        try:
            wrong = sanitize.text_problem("--config-dir", folder)
            wrong = wrong or ("" if Path(folder).is_dir() else "none")
        except OSError:  # a name that is too long
            wrong = "none"
        if wrong == "none":
            wrong = received("--config-dir", folder, "a folder that exists")
        problems.extend([wrong] if wrong else [])
    return problems


def _written(flags: argparse.Namespace) -> list[str]:
    """The flags, each in the one form that Hydra reads as we did."""
    switches = ("multirun", "run", "resolve")
    written = [f"--{name}" for name in switches if getattr(flags, name)]
    for name in ("config_dir", "package"):
        if getattr(flags, name) is not None:
            written.append(f"--{name.replace('_', '-')}={getattr(flags, name)}")
    for flag in SHOW_FLAGS:
        value = getattr(flags, _attribute(flag))
        written.extend([] if value is None else [flag, value] if value else [flag])
    return written


def _with_whole_numbers(word: str) -> str:
    """An override with whole numbers where its key wants them: `data.batch_size=1e3`."""
    key, equals, value = word.partition("=")
    if key.rpartition(".")[2] not in yaml_files.integer_keys():
        return word
    return key + equals + _NUMBER.sub(lambda found: _whole(found[0]), value)


def _whole(text: str) -> str:
    number = float(text)
    return str(int(number)) if abs(number) < 2**53 else text


def _unreadable(word: str) -> str:
    key, equals, value = word.lstrip("+~").partition("=")
    if not equals:
        return (
            f"cannot read {short_repr(word)}. Settings are written key=value, such as "
            "data.batch_size=64."
        )
    if not re.fullmatch(r"[\w./@-]+", key):
        return (
            f"cannot read {short_repr(word)}. A key is written group.name, such as data.batch_size."
        )
    told = f"cannot read the value of {key!r}: {short_repr(value)}."
    if len(value) > 200:
        return f"{told} Quote what has spaces or special characters."
    quoted = value.replace("'", "\\'")
    return (
        f"{told} Quote what has spaces or special "
        f"characters twice, once for Hydra and once for the shell: \"{key}='{quoted}'\""
    )
