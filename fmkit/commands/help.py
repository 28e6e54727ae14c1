"""`fmkit help` and `--help`: an overview, a command on two screens, and each key in full.

It reads the schema and a few folders and imports no framework, so that it comes at once.
"""

import contextlib
import dataclasses
import importlib
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fmkit.commands import guide
from fmkit.commands.command_help import COMMAND_HELP, TRAINING_GROUPS
from fmkit.core.console import escape_markup, stdout
from fmkit.core.errors import ConfigError, closest_names, join_names, short_repr
from fmkit.core.version import VERSION

WIDTH = 80
"""Columns of a terminal that nobody has widened."""
_COLUMN = 30  # where meanings begin


def overview(summaries: Mapping[str, str]) -> None:
    """`fmkit --help`."""
    first_steps = {
        "fmkit finetune": "the demo: minutes on a CPU, no download",
        "fmkit finetune PATH": "your own photos, texts or table",
        "fmkit check PATH": "what is in them, and what is wrong",
        "fmkit runs": "what has been trained",
    }
    _print(
        "fmkit: fine-tune pretrained image and text models on your own data.",
        "",
        "usage: fmkit COMMAND [GROUP=OPTION ...] [KEY=VALUE ...]",
        "",
        *(f"  {name:11}{summary}" for name, summary in summaries.items()),
        "  help       explain a command, a group, a key or a page of the guide",
        "",
        "First steps:",
        *_examples(first_steps),
        "",
        "More:",
        "  fmkit COMMAND --help        examples and settings of a command",
        "  fmkit help model.lora_rank  one setting",
        "  fmkit help data             one group, or optimizer, stage, task, runtime ...",
        "  fmkit COMMAND --json        the result as one JSON object, for scripts",
        "  fmkit guide                 the guide",
        "",
        "Exit status: 0 done, 1 defect, 2 config, 3 data, 4 run or artifact refused,",
        "5 loss not finite, 6 disk or memory, 130, 143 or 129 stopped by a signal.",
    )


def version() -> None:
    """`fmkit --version`."""
    _print(f"fmkit {VERSION}")


def command(name: str, summary: str) -> None:
    """`fmkit COMMAND --help`: examples, groups and the keys that people change."""
    content = COMMAND_HELP[name]
    lines = [f"fmkit {name}: {summary}.", "", f"usage: fmkit {name} {content.usage}"]
    lines += ["", "Examples:", *_examples(content.examples)]
    if content.groups:
        lines += ["", "Groups:", *map(_group_line, content.groups)]
    keys = [_find(key)[0] for key in content.keys] or _own_keys(name)
    if keys:
        lines += ["", "Settings:", *_key_lines(keys)]
    if content.groups:
        group = content.groups[0]
        lines += ["", f"More: fmkit {name} --help {group}, --help {group}.KEY, --help all"]
    if content.keys:
        lines.append("Hydra's flags: -m (sweep), --cfg job (show the config), --config-dir DIR.")
    _print(*lines)


def topics(words: Sequence[str], summaries: Mapping[str, str], of_command: str = "") -> None:
    """`fmkit help WORD ...`: of the topic that the words are together, else of the first.

    Raises:
        ConfigError: there is no such topic.
    """
    if len(words) > 1:
        for name in ("_".join(words), ".".join(words), "-".join(words), words[0]):
            with contextlib.suppress(ConfigError):
                topic(name, summaries, of_command)
                return
    topic(" ".join(words), summaries, of_command)


def topic(name: str, summaries: Mapping[str, str], of_command: str = "") -> None:
    """`fmkit help TOPIC` and `fmkit COMMAND --help TOPIC`.

    Args:
        name: a command, a group, a key, what other tools call it, `all`, or a page of the guide.
        summaries: of all commands.
        of_command: the command whose keys `all` shows; empty means all commands'.

    Raises:
        ConfigError: there is no such topic.
    """
    if name in summaries and not of_command and name not in TRAINING_GROUPS:
        command(name, summaries[name])
    elif name == "all":
        names = [of_command] if of_command else list(COMMAND_HELP)
        for command_name in names:
            if own_keys := _own_keys(command_name):
                _print(f"Keys of fmkit {command_name}:", *_key_lines(own_keys), "")
        groups = (group for command_name in names for group in COMMAND_HELP[command_name].groups)
        for group in dict.fromkeys(groups):
            _group(group)
    elif name in TRAINING_GROUPS:
        _group(name)
    elif name in guide.pages() and not any(key.name == name for key in _own_keys(*COMMAND_HELP)):
        guide.show(name)
    elif forms := _find(name) if "." in name else _called(name):
        _show_keys(forms)
    else:
        keys = [key for group in TRAINING_GROUPS for key in _group_keys(group)]
        topics = [*summaries, *TRAINING_GROUPS, *guide.pages(), "all"]
        raise _unknown_topic(name, topics, keys)


def _unknown_topic(name: str, topics: Sequence[str], keys: "Sequence[_Key]") -> ConfigError:
    """That there is no such topic, with the nearest ones, and what keys and pages have the word."""
    names = [*topics, *(key.name for key in keys)]
    close = closest_names(name, names)
    word = re.compile(rf"\b{re.escape(name)}", re.IGNORECASE)
    mentions = [*dict.fromkeys(key.name for key in keys if word.search(key.meaning))]
    parts = [f"fmkit help: no command, group, key or page is called {short_repr(name)}."]
    parts += [f"Did you mean {' or '.join(close)}?"] if close else []
    parts += [f"In the meaning of: {join_names(mentions, 5)}."] if mentions else []
    pages = [
        f"fmkit guide {name}"
        for name, page in guide.pages().items()
        if word.search(page.path.read_text(encoding="utf-8"))
    ]
    parts += [f"In the guide: {join_names(pages, 3)}."] if pages else []
    return ConfigError(
        " ".join(parts),
        "fmkit --help lists the commands, fmkit help GROUP its keys, fmkit guide the pages.",
    )


@dataclass(frozen=True)
class _Key:
    """One key, as some options of its group have it; no option named means all."""

    name: str
    default: str
    meaning: str
    allowed: str = ""
    options: list[str] = field(default_factory=list)

    @property
    def assigned(self) -> str:
        """`key=default`."""
        return f"{self.name}={self.default}" if self.default else self.name


def _show_keys(forms: Sequence[_Key]) -> None:
    """Keys in full; the allowed values of one with several forms are shown once."""
    for number, key in enumerate(forms):
        _print(key.assigned, *_wrap(key.meaning, "    "))
        if key.options:
            group, dot, _ = key.name.partition(".")
            place = f"With {group}=" if dot else "Of fmkit "
            _print(*_wrap(f"{place}{', '.join(key.options)}.", "    "))
        if number + 1 == len(forms) or forms[number + 1].name != key.name:
            _print(*_wrap(key.allowed, "    "))


def _own_keys(*commands: str) -> list[_Key]:
    """Keys of commands that are in no group."""
    from fmkit.config.registry import COMMANDS
    from fmkit.config.schema.keys import keys_of

    keys = []
    for name in commands:
        if options := COMMAND_HELP[name].options:
            table = importlib.import_module(options).OPTIONS
            keys += [_Key(key, default, meaning) for key, (default, meaning) in table.items()]
        elif name in COMMANDS:
            rows = keys_of(COMMANDS[name])
            keys += [_Key(*row) for row in rows if row[2] and not row[2].startswith("Group")]
    return keys


def _group_keys(group: str) -> list[_Key]:
    """Keys of a group, those of all its options first."""
    from fmkit.config.registry import BASES, config_classes
    from fmkit.config.schema.keys import keys_of
    from fmkit.config.schema.stage import PhaseConfig
    from fmkit.config.schema.task import ObjectiveConfig

    if group == "stage":
        return [_Key(*row) for row in keys_of(PhaseConfig, "stage.PHASE.")]
    keys: dict[tuple[str, ...], _Key] = {}
    if group in BASES:
        keys = {row: _Key(*row) for row in keys_of(BASES[group], f"{group}.")}
    for option, config_class in config_classes(group).items():
        for row in keys_of(config_class, f"{group}."):
            if row not in keys:
                keys[row] = _Key(*row, [option])
            elif keys[row].options:
                keys[row].options.append(option)
    shown = [key for key in keys.values() if not key.name.endswith(".name") or not key.options]
    if group == "task":
        shown += [
            _Key(*row, ["joint"]) for row in keys_of(ObjectiveConfig, "task.objectives.NAME.")
        ]
    return shown


def _find(name: str) -> list[_Key]:
    """All forms of one key; an unknown one is refused."""
    group, _, rest = name.partition(".")
    if group == "stage" and "." in rest:
        name = f"stage.PHASE.{rest.partition('.')[2]}"
    if name.startswith("task.objectives.") and name.count(".") > 2:
        name = f"task.objectives.NAME.{name.split('.', 3)[3]}"
    keys = _group_keys(group) if rest else _own_keys(*COMMAND_HELP)
    forms = [key for key in keys if key.name == name]
    if not forms:
        raise _unknown_topic(name, [], keys)
    return list({(key.default, key.meaning): key for key in forms}.values())


def _called(word: str) -> list[_Key]:
    """The keys of all commands and groups that are called so, here or by other tools."""
    from fmkit.config.suggest import SYNONYMS

    keys = [
        dataclasses.replace(key, options=[name]) for name in COMMAND_HELP for key in _own_keys(name)
    ]
    names = {name.partition("=")[0] for name in SYNONYMS.get(word.lower(), (word,))}
    if any(key.name == word for key in keys):
        names = {word}
    keys += [key for group in TRAINING_GROUPS for key in _group_keys(group)]
    matching: dict[tuple[str, str, str], _Key] = {}
    for key in keys:
        if key.name.rpartition(".")[2] in names:
            first = matching.setdefault((key.name, key.default, key.meaning), key)
            first.options.extend(name for name in key.options if name not in first.options)
    return list(matching.values())


def _group(group: str) -> None:
    """All options and keys of a group."""
    from fmkit.config.compose import conf_dir, option_names
    from fmkit.config.yaml_files import read_config_file

    lines, others = [f"{group}=OPTION, where OPTION is one of:"], []
    with_files = option_names(group)
    for option in _options(group):
        values = []
        if option in with_files:
            file = read_config_file(conf_dir() / group / f"{option}.yaml", group)
            values = [f"{row.key.removeprefix(f'{group}.')}={row.value}" for row in file.assignments
                      if row.key.rpartition(".")[2] != "name"]  # fmt: skip
        if values:
            lines += _two_columns(option, f"sets {', '.join(values)}", 19)
        else:  # the file sets no more than a name
            others.append(option)
    lines += _wrap(", ".join(others), "  ")
    keys = _group_keys(group)
    shared = [key for key in keys if not key.options]
    if shared:
        lines += ["", "Keys:", *_key_lines(shared)]
    for options in dict.fromkeys(tuple(key.options) for key in keys if key.options):
        own = [key for key in keys if tuple(key.options) == options]
        lines += ["", *_wrap(f"With {group}={', '.join(options)}:"), *_key_lines(own)]
    if group in guide.pages():
        lines += ["", f"See also: fmkit guide {group}"]
    _print(*lines, "")


def _options(group: str) -> list[str]:
    from fmkit.config.compose import option_names

    names = option_names(group)
    if group == "model":
        from fmkit.models import registry

        names += [name for name in registry.names() if name not in names]
    return names


def _group_line(group: str) -> str:
    """A group with as many of its options as fit on a line."""
    names = _options(group)
    line = f"  {group:11}{names[0]}"
    for number, name in enumerate(names[1:], start=1):
        rest = f" and {len(names) - number} more"
        if len(line) + len(name) + 2 + len(rest) > WIDTH:
            return line + rest
        line += f", {name}"
    return line


def _key_lines(keys: Iterable[_Key]) -> list[str]:
    return [line for key in keys for line in _two_columns(key.assigned, key.meaning)]


def _examples(examples: Mapping[str, str]) -> list[str]:
    lines = []
    for words, meaning in examples.items():
        if len(words) + len(meaning) + 6 <= WIDTH:
            lines.append(f"  {words}  # {meaning}")
        else:
            first, *rest = (line.strip() for line in _wrap(words, "      "))
            wrapped = " \\\n".join([f"  {first}", *(f"      {line}" for line in rest)])
            lines += [f"  # {meaning}", *wrapped.split("\n")]
    return lines


def _two_columns(left: str, right: str, column: int = _COLUMN) -> list[str]:
    """A term and its wrapped meaning, on the same line where both fit."""
    meaning = _wrap(right, " " * column)
    if len(left) + 4 > column or not meaning:
        return [f"  {left}", *meaning]
    return [f"  {left:{column - 2}}{meaning[0].lstrip()}", *meaning[1:]]


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def _print(*lines: str) -> None:
    for line in lines:
        stdout.print(escape_markup(line))
