"""What a user typed: flags and overrides, read before anything heavy is imported."""

import argparse
import itertools
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from fmkit.config import suggest, yaml_files
from fmkit.config.registry import COMMAND_WORDS, COMMANDS
from fmkit.config.saved_config import shell_setting, shell_word
from fmkit.config.schema.keys import field_types
from fmkit.core import safe_yaml, sanitize
from fmkit.core.errors import ConfigError, combine_messages, received, short_repr

SHOW_FLAGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "--cfg": ("-c", ("job", "hydra", "all")),
    "--info": ("-i", ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")),
    "--hydra-help": ("", ()),
    "--shell-completion": ("-sc", ()),
}
"""Hydra's flags that show something and run no job: the short form, and what it takes."""

MAX_WORDS = 500
"""Overrides on one command line."""

MAX_JOBS = 1_000
"""Jobs of one sweep."""

MAX_DEPTH = 20
"""Brackets inside each other in one override."""

TAKE_PATHS = ("pretrain", "finetune", "check", "eval", "tokenizer")
"""Commands that take the path of the data as a word, `fmkit finetune photos`."""

TAKE_INPUTS = ("predict", "explain", "generate", "export")
"""Commands that take words: inputs (paths, texts, `-` for stdin), a prompt, a run and formats."""

HYDRA = {"hydra/launcher": ("basic",), "hydra/sweeper": ("basic",)}
"""What may be chosen of Hydra's own; the rest names fmkit's folders, or classes to call."""

_OPEN = re.compile(r"(stage\.[^.=]+\.rates|task\.objectives)[.=]")
"""Keys under which users have keys of their own, which Hydra would want `++` for."""

_PATH_KEYS = (
    "root", "image_root", "input", "output", "run", "runs_dir", "init", "weights", "tokenizer",
    "preset", "cache_dir", "plugins", "prompts", "relabel",
)  # fmt: skip
"""The last part of the names of keys that hold a path."""

_SETTING = re.compile(r"[+~]{0,2}[A-Za-z_][\w./@-]*=|[+~](?!/)")
_GLUED = "\0"  # before a word that argparse shall not read; no argument of a process has it
_NUMBER = re.compile(r"(?<![\w.'\"])[-+]?\d{1,15}(\.0*)?([eE]\+?\d{1,2})?(?![\w.'\"])")


@dataclass
class CommandLine:
    """What a user typed after the command's name."""

    command: str
    flags: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)  # words without those that a run has added
    overrides: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)  # or other inputs
    config_dirs: list[Path] = field(default_factory=list)
    multirun: bool = False
    shows_only: bool = False

    def named(self) -> set[str]:
        """Every key and group that an override names."""
        return {override.key_or_group for override in self.overrides}

    def value(self, key: str) -> Any:
        """The value of an override; None when there is none or it names several."""
        matches = [override for override in self.overrides if override.key_or_group == key]
        return None if not matches or matches[-1].is_sweep_override() else matches[-1].value()


class _Parser(argparse.ArgumentParser):
    """Hydra's flags; one that does not exist raises instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(
            f"{message}.",
            "Settings are written key=value, without dashes: fmkit finetune data.batch_size=64",
        )


class _ForeignFlag(NamedTuple):
    """A flag of another tool: as a setting, `epochs=3`, and whether the next word is its value."""

    word: str
    setting: str
    takes_next: bool


def _foreign_flags(words: Sequence[str], command: str) -> dict[int, _ForeignFlag]:
    """By position, the flags that are not fmkit's; the setting of one that is none is empty."""
    flags = {}
    for number, (word, following) in enumerate(itertools.zip_longest(words, words[1:])):
        if not word.startswith("-") or (word == "-" and command in TAKE_INPUTS):
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        is_name = name.replace(".", "_").isidentifier()
        has_value = bool(following) and not following.startswith("-")
        has_value = has_value and ("=" not in following or os.path.lexists(following))
        takes_next = is_name and not equals and has_value
        value = following if takes_next else value or "true"
        flags[number] = _ForeignFlag(word, f"{name}={value}" if is_name else "", takes_next)
    return flags


def parse(
    command: str,
    arguments: Sequence[str],
    meant: Callable[[CommandLine, str], list[str]] = lambda line, setting: [setting],
) -> CommandLine:
    """Read the flags and overrides of one command.

    Args:
        command: its name.
        arguments: the words after it.
        meant: the settings with keys that exist which `--epochs 3` stands for, by the rest of the
            line and `epochs=3`.

    Raises:
        ConfigError: an unknown flag, or overrides that are not `key=value`; all of them at once.
    """
    flags, typed = _read_flags(arguments)
    foreign = _foreign_flags(typed, command)
    values = {number + 1 for number, flag in foreign.items() if flag.takes_next}
    words = [word for number, word in enumerate(typed) if number not in {*foreign, *values}]
    problems = []
    paths = [word for word in words if command in TAKE_PATHS and _is_path(word, command)]
    paths += [word for word in words if command in TAKE_INPUTS and _is_input(word)]
    words = [word for word in words if word not in paths]
    if len(words) > MAX_WORDS:
        problems.append(f"{len(words)} overrides; at most {MAX_WORDS} are read.")
        words = []
    problems.extend(_flag_problems(flags))
    line = CommandLine(
        command,
        flags=[word for name, value in vars(flags).items() for word in _written(name, value)],
        words=[_as_hydra_takes_it(word) for word in words],
        paths=paths,
        config_dirs=[Path(flags.config_dir).resolve()] if flags.config_dir and not problems else [],
        multirun=bool(flags.multirun),
        shows_only=any(getattr(flags, _attribute(flag)) is not None for flag in SHOW_FLAGS),
    )
    problems.extend(_read_overrides(line))
    if foreign:
        settings = {n: meant(line, flag.setting) for n, flag in foreign.items() if flag.setting}
        _refuse_foreign(line, problems, typed, foreign, settings)
    if not problems and (problem := _sweep_problem(line.overrides)):
        problems.append(problem)
    if problems:
        raise ConfigError(combine_messages(problems))
    return line


def _refuse_foreign(
    line: CommandLine, problems: Sequence[str], typed: Sequence[str],
    foreign: Mapping[int, _ForeignFlag], settings: Mapping[int, Sequence[str]],
) -> NoReturn:  # fmt: skip
    """Refuse flags of other tools, with the line as fmkit takes it where every flag has a meaning.

    Args:
        problems: what else is wrong with the line.
        typed: all words but fmkit's flags.
        foreign: by position, the flags among them.
        settings: by position, what a flag may mean, the likeliest first.
    """
    messages = [*problems]
    for number, flag in foreign.items():
        meanings = settings.get(number) or ["data.batch_size=64"]
        messages.append(
            f"unknown flag {short_repr(flag.word)}. "
            + (
                f"Settings are written key=value, without dashes, such as {' or '.join(meanings)}."
                if "=" in meanings[0]
                else f"What is read is named without a flag: {shell_word(meanings[0])}"
            )
        )
    hint = ""
    if not problems and all(settings.get(number) for number in foreign):
        values = {number + 1 for number, flag in foreign.items() if flag.takes_next}
        words = [
            suggest.likeliest(settings[number]) if number in foreign else word
            for number, word in enumerate(typed)
            if number not in values
        ]
        hint = typed_again(line, words)
    raise ConfigError(combine_messages(messages), hint)


def typed_again(line: CommandLine, words: Sequence[str]) -> str:
    """What to type in place of a line: its command and its flags with other words."""
    command = COMMAND_WORDS.get(line.command, line.command)
    return f"Type: fmkit {' '.join([command, *map(shell_word, [*line.flags, *words])])}"


def _read_overrides(line: CommandLine) -> list[str]:
    """Add the overrides that a line's words are; what is wrong with words.

    A path that Hydra's grammar would read otherwise gets its quotes.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    overrides_parser, problems = OverridesParser.create(), []

    def parsed(word: str) -> Any:
        try:
            return overrides_parser.parse_override(word)
        except (HydraException, RecursionError):
            return None

    for index, word in enumerate(line.words):
        problem = _word_problem(word)
        if not problem:
            override = parsed(word)
            quoted = "" if override else _quoted_path(word, line.multirun) or _quoted_words(word)
            if override is None and quoted:
                override = parsed(quoted)
                line.words[index] = quoted
            if override is None:
                problem = _unreadable(word)
            else:
                line.overrides.append(override)
                problem = _override_problem(override)
        problems.extend([problem] if problem else [])
    return problems


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
    spellings = {spelling for action in parser._actions for spelling in action.option_strings}
    glued = [
        word
        for word in arguments
        if re.match(r"-(?!-)", word) and word.split("=")[0] not in spellings
    ]
    marked = [_GLUED + word if word in glued else word for word in arguments]
    flags, words = parser.parse_known_args(marked)
    return flags, [word.removeprefix(_GLUED) for word in words]


def _attribute(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def _written(name: str, value: Any) -> list[str]:
    """A flag in the one form that Hydra reads as we did."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool) or value is None:
        return [flag] if value else []
    if flag in SHOW_FLAGS:
        return [flag, value] if value else [flag]
    return [f"{flag}={value}"]


def _flag_problems(flags: argparse.Namespace) -> list[str]:
    problems = []
    exclusive = ("--run", "--multirun", "--cfg", "--info", "--shell-completion")
    both = [flag for flag in exclusive if getattr(flags, _attribute(flag)) not in (None, False)]
    if flags.shell_completion is not None:
        problems.append(
            "--shell-completion is Hydra's, and does not know fmkit's commands. "
            'Run: eval "$(fmkit completion bash)"'
        )
    elif len(both) > 1 and both != ["--multirun", "--cfg"]:
        problems.append(f"{' and '.join(both)} exclude each other. Give one of them.")
    for flag, (_, allowed) in SHOW_FLAGS.items():
        value = getattr(flags, _attribute(flag))
        if value and allowed and value not in allowed:
            problems.append(received(flag, value, allowed))
    folder = flags.config_dir
    if folder is not None:
        problem = sanitize.text_problem("--config-dir", folder)
        try:
            is_folder = bool(problem) or Path(folder).is_dir()
        except OSError:  # a name that is too long
            is_folder = False
        if not is_folder:
            problem = received("--config-dir", folder, "a folder that exists")
        problems.extend([problem] if problem else [])
    return problems


def _as_hydra_takes_it(word: str) -> str:
    """An override as Hydra takes it: `++` for users' own keys, 1000 for `data.batch_size=1e3`.

    A `+`, as in `+experiment=NAME`, means nothing: every other key is there already.
    """
    word = word.lstrip("+")
    word = f"++{word}" if _OPEN.match(word) else word
    key, equals, value = word.partition("=")
    if key.rpartition(".")[2] not in yaml_files.integer_keys():
        return word

    def whole(match: re.Match[str]) -> str:
        number = float(match[0])
        return str(int(number)) if abs(number) < 2**53 else match[0]

    return key + equals + _NUMBER.sub(whole, value)


def _is_path(word: str, command: str) -> bool:
    """Whether a word is a path or a bare name, rather than a flag or an override.

    A path may look like an override, `a=b`, where that would set nothing that the command has.
    """
    is_bare = "=" not in word and word[:1] not in ("", "-", "+", "~")
    if is_bare or word.startswith(("/", "./", "../", "~/")):
        return True
    top = re.split(r"[.=/@]", word.lstrip("+~"), maxsplit=1)[0]
    is_key = top in (*field_types(COMMANDS[command]), "experiment", "hydra")
    return not is_key and os.path.lexists(word)


def _is_input(word: str) -> bool:
    """Whether a word is a path, a text or `-`, rather than a flag or an override."""
    if word.startswith("-"):
        return word == "-"
    return not _SETTING.match(word) or os.path.exists(word)  # noqa: PTH110 - a text may be long


def _quoted_path(word: str, multirun: bool) -> str:
    """A path such as `~/photos` or `IMG (1).jpg` in quotes, which Hydra wants; else empty."""
    key, equals, value = word.partition("=")
    if not equals or key.rpartition(".")[2] not in _PATH_KEYS or re.search(r"['\"\\\n]", value):
        return ""
    paths = value.split(",") if multirun else [value]
    return key + equals + ",".join(f"'{path}'" for path in paths)


def _quoted_words(word: str) -> str:
    """A value with words beyond ASCII, such as `[Größe,Zustand]`, with these in quotes; else empty.

    Hydra's grammar has no other letters outside of quotes.
    """
    key, equals, value = word.partition("=")
    if not equals or value.isascii() or re.search(r"['\"\\\n$(){}:=]", value):
        return ""
    parts = re.split(r"([\[\],])", value)
    quoted = [part if part.isascii() else f"'{part.strip()}'" for part in parts]
    return key + equals + "".join(quoted)


def _unreadable(word: str) -> str:
    key, equals, value = word.lstrip("+~").partition("=")
    if not equals:
        example = "Settings are written key=value, such as data.batch_size=64."
        return f"cannot read {short_repr(word)}. {example}"
    if not re.fullmatch(r"[\w./@-]+", key):
        example = "A key is written group.name, such as data.batch_size."
        return f"cannot read {short_repr(word)}. {example}"
    message = f"cannot read the value of {key!r}: {short_repr(value)}."
    if len(value) > 200:
        return f"{message} Quote what has spaces or special characters."
    return (
        f"{message} Quote what has spaces or special characters twice, once for Hydra and once for "
        f"the shell: {shell_setting(key, value)}"
    )


def _word_problem(word: str) -> str:
    """What is wrong with an override before it is parsed; empty when nothing is."""
    key = word.lstrip("+~").partition("=")[0]
    if not key.strip():
        return f"cannot read {short_repr(word)}. Settings are written key=value."
    problem = sanitize.text_problem(f"the override {short_repr(key, 40)}", word)
    if problem:
        return problem
    depths = itertools.accumulate((letter in "[{(") - (letter in "]})") for letter in word)
    if max(depths) > MAX_DEPTH or word.count("${") > MAX_DEPTH:
        return f"{key}: more than {MAX_DEPTH} brackets or references inside each other."
    return ""


def _override_problem(override: Any) -> str:
    """What is wrong with a parsed override; empty when nothing is."""
    key, value = override.key_or_group, override.value()
    names = key.replace("/", ".").split(".")
    items = [("", value), *_items(value)]
    for name in [*names, *(name for name, _ in items)]:
        if problem := safe_yaml.code_problem(name):
            return f"{override.input_line.partition('=')[0]}: {problem}"
    if override.package is not None:
        return (
            f"{short_repr(override.input_line)}: fmkit's groups have one place each. Write "
            f"{key}=... without `@{override.package}`."
        )
    if names[0] == "hydra":
        if key in HYDRA:
            return "" if value in HYDRA[key] else received(key, str(value), HYDRA[key])
        return (
            f"{key} is Hydra's own, and set by fmkit. Runs go to runs_dir=DIR; of Hydra's own, "
            f"only {' and '.join(HYDRA)} may be chosen."
        )
    for _, item in items:
        if isinstance(item, int) and abs(item) >= 2**63:
            return f"{key}: received {short_repr(item)}. Expected a whole number below 2^63."
    return ""


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """All that a mapping, a list or a sweep holds, at any depth, with its name in a mapping."""
    value = getattr(value, "list", value)
    if isinstance(value, dict):
        rows = [(str(name), item) for name, item in value.items()]
    else:
        rows = [("", item) for item in value] if isinstance(value, list) else []
    for name, item in rows:
        yield name, item
        yield from _items(item)


def _sweep_problem(overrides: Sequence[Any]) -> str:
    """Whether a sweep has too many jobs; empty when it has not."""
    jobs: float = 1
    for override in overrides:
        if override.is_sweep_override():
            jobs *= max(1, _count(override.value()))
    if jobs <= MAX_JOBS:
        return ""
    count = f"{jobs:,.0f}" if jobs < 1e15 else "endless"
    return f"a sweep of {count} jobs. At most {MAX_JOBS:,} are run."


def _count(sweep: Any) -> float:
    """How many values a sweep goes through."""
    if hasattr(sweep, "list"):
        return len(sweep.list)
    if not all(hasattr(sweep, name) for name in ("start", "stop", "step")):
        return 1  # a glob or an interval, which are refused by their key
    start, stop, step = (float(bound or 0) for bound in (sweep.start, sweep.stop, sweep.step))
    if not all(map(math.isfinite, (start, stop, step))) or step == 0:
        return math.inf
    return math.ceil((stop - start) / step)
