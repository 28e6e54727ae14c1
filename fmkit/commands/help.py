"""`fmkit help` and `--help`: an overview, a command on two screens, and each key in full.

It reads the schema and a few folders and imports no framework, so that it comes at once.
"""

import importlib
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fmkit.commands import guide
from fmkit.core.console import escape_markup, stdout
from fmkit.core.errors import ConfigError, received
from fmkit.core.version import VERSION

WIDTH = 80
"""Columns of a terminal that nobody has widened."""
_COLUMN = 30  # where meanings begin

_TRAINING_KEYS = (
    *("data.batch_size", "data.augment", "model.image_size", "stage.PHASE.epochs"),
    *("stage.PHASE.learning_rate", "runtime.seed", "recipe", "init", "name"),
)


_USAGE = "[GROUP=OPTION ...] [KEY=VALUE ...]"


@dataclass(frozen=True)
class _Help:
    """What the help of one command shows."""

    examples: Mapping[str, str]  # command lines, each with what it does
    usage: str = _USAGE
    groups: Sequence[str] = ("data", "runtime")
    keys: Sequence[str] = ()  # on the first screens; empty means all of the command's own
    options: str = ""  # the module with `OPTIONS`, where Hydra does not compose the config


_TRAINING_GROUPS = ("model", "data", "optimizer", "stage", "task", "runtime", "experiment")

_HELP: dict[str, _Help] = {
    "pretrain": _Help(
        {
            "fmkit pretrain": "the demo: a head for 5,000 digits on a frozen backbone",
            "fmkit pretrain photos": "your photos, a folder per class",
            "fmkit finetune init=last": "then unfreeze everything",
            "fmkit pretrain task=simclr stage=self_supervised model=small_cnn data=photos "
            "data.root=photos": "learn from photos without labels",
            "fmkit pretrain task=masked_lm stage=continued model=minilm data=text_files "
            "data.root=texts": "adapt a text model to your texts, without labels",
        },
        usage=f"[PATH] {_USAGE}",
        groups=_TRAINING_GROUPS,
        keys=_TRAINING_KEYS,
    ),
    "finetune": _Help(
        {
            "fmkit finetune": "the demo: 5,000 digits, no download",
            "fmkit finetune photos": "your photos: what is there is looked at, and printed",
            "fmkit finetune reviews.csv": "your texts, a row for each with its label",
            "fmkit finetune photos recipe=auto":
                "settings chosen by the size of the data, with reasons",
            "fmkit finetune data=image_folder data.root=photos": "the same with nothing guessed",
            "fmkit finetune -m optimizer.learning_rate=1e-4,1e-3": "a sweep: one run per value",
            "fmkit finetune --cfg job": "show the whole config, train nothing",
        },
        usage=f"[PATH] {_USAGE}",
        groups=_TRAINING_GROUPS,
        keys=_TRAINING_KEYS,
    ),
    "resume": _Help(
        {
            "fmkit resume last": "the newest run that was stopped before its end",
            "fmkit resume RUN": "a run, by folder or id; ends as if it had never been stopped",
            "fmkit resume RUN stage.full.epochs=20": "train the last phase of a run for longer",
        },
        "RUN [KEY=VALUE ...]",
        (),
        options="fmkit.commands.resume",
    ),
    "eval": _Help(
        {
            "fmkit eval run=last": "the test split of the newest finished run",
            "fmkit eval run=RUN split=val": "another split",
            "fmkit eval run=RUN objective=NAME": "another objective of a joint run",
            "fmkit eval run=RUN data.root=new_photos":
                "all of another folder; classes match by name",
        }
    ),
    "predict": _Help(
        {
            "fmkit predict run=last photo.jpg": "one photo, or several",
            "fmkit predict run=last photos output=labels.csv": "a folder, into a table",
            "fmkit predict run=last photos.csv path_column=file": "the photos of a table",
            'fmkit predict run=last "I loved it"': "a text",
            "fmkit predict run=last texts.csv text_column=review": "the texts of a table",
            "fmkit predict run=last - < texts.jsonl": "stdin: lines of text, or JSON lines",
            "fmkit predict run=last words.txt by_word=true": "sentences, a word per line",
        },
        "run=RUN [INPUT ...] [KEY=VALUE ...]",
        groups=("runtime",),
    ),
    "generate": _Help(
        {
            'fmkit generate run=last prompt="Once upon a time"': "continue a text",
            "fmkit generate run=last input=begin.txt temperature=0":
                "the most likely continuation of a file",
            "fmkit generate run=last max_tokens=500 seed=1": "without a prompt, another sample",
            'fmkit generate model=smollm2 chat=true prompt="Why is the sky blue?"':
                "an answer, without a run",
        },
        groups=("model", "runtime"),
    ),
    "check": _Help(
        {
            "fmkit check photos": "a folder of photos, a table, whatever is there",
            "fmkit check task=regression data=text_table data.root=texts.csv": "labels as numbers",
            "fmkit check data=conll data.root=ner": "tagged words: a file, or train, dev and test",
            "fmkit check data=image_folder data.root=photos output=report": "where reports go",
            "fmkit check data=image_folder data.root=photos data.on_bad=quarantine":
                "move unreadable files to quarantine/, beside photos/",
        },
        f"[PATH] {_USAGE}",
        ("data", "task", "runtime"),
    ),
    "tokenizer": _Help(
        {
            "fmkit tokenizer train data=text_files data.root=texts output=my_tokenizer":
                "byte-level BPE, like GPT-2",
            "fmkit tokenizer train data=text_lines data.root=texts.txt output=my_tokenizer "
            "kind=word_piece lowercase=true size=8000": "WordPiece, like BERT",
            "fmkit pretrain task=masked_lm model=small_bert model.tokenizer=my_tokenizer "
            "data=text_files data.root=texts stage=scratch": "train a model that uses it",
        },
        "train [GROUP=OPTION ...] [KEY=VALUE ...]",
    ),
    "runs": _Help(
        {
            "fmkit runs": "all runs, newest first",
            "fmkit runs show RUN": "one run (by folder, id, or `last`): metrics, phases, files",
            "fmkit runs compare RUN RUN": "what differs between two runs",
            "fmkit runs best": "runs by test accuracy",
            "fmkit runs --csv": "a CSV table; --json for one JSON object",
            "fmkit runs clean": "remove failed runs that saved nothing; asks first",
            "fmkit runs rm RUN RUN": "remove runs, or a sweep; asks first",
        },
        "[list | show RUN | compare RUN RUN | best | rm RUN | clean]",
        (),
        options="fmkit.commands.runs",
    ),
    "cache": _Help(
        {
            "fmkit cache": "all entries, the most recently used first",
            "fmkit cache clear": "remove all entries that no run is using",
            "fmkit cache clear KEY": "remove one entry, by the beginning of its key",
        },
        "[list | clear [KEY ...]] [cache_dir=DIR]",
        (),
        options="fmkit.commands.cache",
    ),
    "doctor": _Help(
        {
            "fmkit doctor": "GPUs and drivers, cores, memory, disk, packages, what clashes",
            "fmkit doctor --json": "the same as one JSON object, for a report of a problem",
        },
        "",
        (),
    ),
    "schema": _Help(
        {
            "fmkit schema > fmkit.schema.json": "the config of fmkit finetune",
            "fmkit schema predict": "the config of another command",
            "fmkit schema data": "a file of the group data",
        },
        "[COMMAND | GROUP] [plugins=FILE]",
        (),
        options="fmkit.commands.schema",
    ),
    "models": _Help(
        {
            "fmkit models": "every model with its parameters, MB and weights",
            "fmkit models bert": "those with a word in the name, KerasHub's presets among them",
            "fmkit models --json": "one JSON object, with all presets",
        },
        "[WORD ...]",
        (),
    ),
    "data": _Help(
        {
            "fmkit data": "packaged data sets, and what reads your own files",
            "fmkit data --json": "one JSON object",
        },
        "[WORD ...]",
        (),
    ),
    "completion": _Help(
        {
            'eval "$(fmkit completion bash)"': "in ~/.bashrc; zsh alike",
            "fmkit completion fish > ~/.config/fish/completions/fmkit.fish": "fish",
        },
        "bash | zsh | fish",
        (),
    ),
    "guide": _Help(
        {"fmkit guide": "list the pages", "fmkit guide stages": "read one"}, "[TOPIC]", ()
    ),
}  # fmt: skip


def commands() -> list[str]:
    """The names of all commands that have help."""
    return list(_HELP)


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
    content = _HELP[name]
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


def topic(name: str, summaries: Mapping[str, str], of_command: str = "") -> None:
    """`fmkit help TOPIC` and `fmkit COMMAND --help TOPIC`.

    Args:
        name: a command, a group, a full key, `all`, or a page of the guide.
        summaries: of all commands.
        of_command: the command whose keys `all` shows; empty means all commands'.

    Raises:
        ConfigError: there is no such topic.
    """
    if name in summaries and not of_command and name not in _TRAINING_GROUPS:
        command(name, summaries[name])
    elif name == "all":
        names = [of_command] if of_command else list(_HELP)
        for command_name in names:
            if own_keys := _own_keys(command_name):
                _print(f"Keys of fmkit {command_name}:", *_key_lines(own_keys), "")
        groups = (group for command_name in names for group in _HELP[command_name].groups)
        for group in dict.fromkeys(groups):
            _group(group)
    elif name in _TRAINING_GROUPS:
        _group(name)
    elif "." in name or any(key.name == name for key in _own_keys(*_HELP)):
        forms = _find(name)
        for key in forms:
            _print(key.assigned, *_wrap(key.meaning, "    "))
            if key.options:
                group = name.partition(".")[0]
                _print(*_wrap(f"With {group}={', '.join(key.options)}.", "    "))
        _print(*_wrap(forms[0].allowed, "    "))
    elif name in guide.pages():
        guide.show(name)
    else:
        topics = [*summaries, *_TRAINING_GROUPS, *guide.pages(), "all"]
        keys = [key.name for group in _TRAINING_GROUPS for key in _group_keys(group)]
        raise ConfigError(
            received("fmkit help", name, [*topics, *keys]),
            "fmkit --help lists the commands, fmkit guide the pages.",
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


def _own_keys(*commands: str) -> list[_Key]:
    """Keys of commands that are in no group."""
    from fmkit.config.registry import COMMANDS
    from fmkit.config.schema.keys import keys_of

    keys = []
    for name in commands:
        if options := _HELP[name].options:
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
    keys = _group_keys(group) if rest else _own_keys(*_HELP)
    forms = [key for key in keys if key.name == name]
    if not forms:
        raise ConfigError(received("fmkit help", name, dict.fromkeys(key.name for key in keys)))
    return list({(key.default, key.meaning): key for key in forms}.values())


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
