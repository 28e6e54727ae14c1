"""`fmkit completion bash|zsh|fish`: a script by which a shell completes commands, groups and keys.

The script asks `fmkit completion candidates`, with the line so far in the variable FMKIT_LINE.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from fmkit.commands import guide, run_listing, runs
from fmkit.commands.command_help import COMMAND_HELP
from fmkit.config import command_line, compose, preflight, registry, suggest
from fmkit.core.errors import ConfigError, received
from fmkit.store import run_index

_BASH = """\
# Put this into ~/.bashrc:  eval "$(fmkit completion bash)"
_fmkit() {
    local line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##* }" IFS=$'\\n'
    COMPREPLY=($(FMKIT_LINE="$line" fmkit completion candidates 2>/dev/null))
    if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
    fi
}
complete -o nospace -o default -F _fmkit fmkit
"""
_ZSH = """\
# Put this into ~/.zshrc, after compinit:  eval "$(fmkit completion zsh)"
_fmkit() {
    local line="${(j: :)words[1,CURRENT]}"
    local -a candidates
    candidates=("${(@f)$(FMKIT_LINE="$line" fmkit completion candidates 2>/dev/null)}")
    candidates=(${candidates:#})
    (( $#candidates )) && compadd -S '' -- $candidates || _files
}
compdef _fmkit fmkit
"""
_FISH = """\
# Put this into ~/.config/fish/completions/fmkit.fish:  fmkit completion fish
complete -c fmkit -a '(env FMKIT_LINE=(commandline -cp) fmkit completion candidates 2>/dev/null)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_RUN_KEYS = ("run", "init")
_ALIASES = {"train": "finetune"}  # as `fmkit.cli` has them


def completion(arguments: Sequence[str]) -> None:
    """Print a shell's script, or the candidates for the line that a shell asks about.

    Raises:
        ConfigError: another shell.
    """
    if list(arguments) == ["candidates"]:
        for candidate in candidates(os.environ.get("FMKIT_LINE", "")):
            print(candidate)
    elif len(arguments) == 1 and arguments[0] in _SCRIPTS:
        print(_SCRIPTS[arguments[0]], end="")
    else:
        example = 'Such as: eval "$(fmkit completion bash)"'
        if not arguments:
            raise ConfigError("fmkit completion needs a shell: bash, zsh or fish.", example)
        raise ConfigError(received("fmkit completion", " ".join(arguments), _SCRIPTS, example))


def candidates(line: str) -> list[str]:
    """What the last word of a line may become; a space ends what is complete."""
    _, *words = line.split(" ")
    if not words:
        return []
    *before, word = words
    before = [other for other in before if other]
    return [name for name in _names(before, word) if name.startswith(word)]


def _names(before: list[str], word: str) -> Iterator[str]:
    if not before:
        yield from (f"{name} " for name in sorted({*COMMAND_HELP, *_ALIASES, "help"}))
        return
    command = _ALIASES.get(before[0], before[0])
    if command in registry.COMMANDS:
        yield from _settings(command, before[1:], word)
    elif command in ("resume", "report"):
        yield from (f"{name} " for name in _runs())
    elif command == "runs" and before[1:]:
        if before[1] in ("list", "where"):
            yield from (f"{key}=" for key in ("runs_dir", *run_listing.KEYS))
        elif runs.VERBS.get(before[1], (0, 0))[1]:
            yield from (f"{name} " for name in _runs())
    elif command in ("runs", "help", "guide", "completion"):
        yield from (f"{name} " for name in _topics(command))


def _topics(command: str) -> list[str]:
    topics = {
        "runs": list(runs.VERBS),
        "completion": list(_SCRIPTS),
        "guide": list(guide.pages()),
        "help": [*COMMAND_HELP, *registry.GROUPS, *guide.pages()],
    }
    return topics[command]


def _settings(command: str, before: list[str], word: str) -> Iterator[str]:
    """Groups and keys, or after a `=` the options and values of one."""
    names = {"model.name": _option_names("model"), "data.name": _option_names("data"),
             "task.name": _option_names("task")}  # fmt: skip
    try:
        line = command_line.parse(command, [other for other in before if "=" in other])
    except ConfigError:
        line = command_line.parse(command, [])
    types, phases = preflight.keys_of(line, names)
    fields = registry.COMMANDS[command]
    groups = [name for name in registry.GROUPS if name in suggest.field_types(fields)]
    groups += ["experiment"] if command in ("pretrain", "finetune") else []
    key, equals, _ = word.partition("=")
    if not equals:
        keys = suggest.all_keys(types, phases)
        yield from (f"{group}=" for group in groups)
        yield from (f"{name}=" for name in keys if "." in word or "." not in name)
        yield from () if "." in word else (f"{group}." for group in groups if group in types)
    elif key in groups:
        yield from (f"{key}={option} " for option in _option_names(key))
    elif key in _RUN_KEYS:
        yield from (f"{key}={name} " for name in _runs())
    elif key in suggest.all_keys(types, phases):
        info, kind = suggest.declaration(key, fields, types)
        values = info.choices or (("true", "false") if kind is bool else ())
        yield from (f"{key}={value} " for value in values)


def _option_names(group: str) -> list[str]:
    names = set(compose.option_names(group))
    if group == "model":
        from fmkit.models import registry as models

        names |= {*models.names()}
    return sorted(names)


def _runs() -> list[str]:
    return [run_index.LAST, *(run.folder.name for run in run_index.runs(Path("runs")))]
