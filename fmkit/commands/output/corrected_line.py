"""The user's own command line with the settings that an error's message proposes.

Messages name a key and a value in many places ("leave them out with data.on_bad=skip"). What to
type follows from them here, for all messages alike: a setting counts where a sentence tells to do
something, and of alternatives the first one is taken.
"""

import re
import shlex
from collections.abc import Iterator, Sequence

from fmkit.core.errors import ArtifactError, ConfigError, DataError, FmkitError, ResourceError

_VERBS = (
    *("add", "another", "check", "choose", "complete", "evaluate", "fix", "free", "give", "join"),
    *(
        "install",
        "keep",
        "leave",
        "lower",
        "make",
        "move",
        "name",
        "or",
        "otherwise",
        "put",
        "remove",
    ),
    *("replace", "restore", "save", "say", "set", "take", "try", "use", "write"),
)
"""What a sentence begins with that tells what to do."""

_PROPOSAL = re.compile(rf"({'|'.join(_VERBS)})\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*")
_CLAUSE = re.compile(r"; |,? or (?=\S)")
_SETTING = re.compile(r"(?<![\w.=/-])([a-z_]+(?:\.[a-z_]+)*)=('[^']*'|\[[^\]]*\]|[^\s,;()`\"]+)")
_NUMBER = re.compile(r"\d+\. ")  # before each of several problems
_COMMAND = re.compile(r"\bfmkit \w+ [^.\n]*=")  # the message has a whole command already


_REFUSALS = tuple(kind.exit_code for kind in (ConfigError, DataError, ArtifactError, ResourceError))


def add_corrected_line(error: FmkitError, command: str, words: Sequence[str]) -> None:
    """Add the line to the hint of an error, where its message proposes settings.

    Args:
        command: the command's name.
        words: all that was typed after `fmkit`.
    """
    if error.exit_code not in _REFUSALS or _COMMAND.search(str(error)):
        return
    if settings := _settings_in(error, command):
        corrected = [settings.pop(_key(word), word) for word in words]
        corrected += settings.values()
        if corrected != list(words):
            line = f"Type: {shlex.join(['fmkit', *corrected])}"
            error.hint = f"{error.hint}\n{line}".lstrip()


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0] if "=" in word else ""


def _settings_in(error: FmkitError, command: str) -> dict[str, str]:
    """By key, the settings that an error proposes and the command has."""
    from fmkit.config.registry import COMMANDS
    from fmkit.config.schema.keys import field_types

    if command not in COMMANDS:
        return {}
    settings: dict[str, str] = {}
    for problem in _problems(error.message):
        for key, setting in _first_settings(problem, is_hint=False):
            settings.setdefault(key, setting)
    if not settings:
        settings = dict(_first_settings(error.hint, is_hint=True))
    types = field_types(COMMANDS[command])
    return {key: text for key, text in settings.items() if key.partition(".")[0] in types}


def _problems(message: str) -> Iterator[str]:
    """The parts of a message with several numbered problems, or the whole."""
    problem: list[str] = []
    for line in message.splitlines():
        if _NUMBER.match(line) and problem:
            yield "\n".join(problem)
            problem = []
        problem.append(_NUMBER.sub("", line, count=1) if _NUMBER.match(line) else line)
    yield "\n".join(problem)


def _first_settings(text: str, is_hint: bool) -> list[tuple[str, str]]:
    """Keys with their settings, of the first sentence that proposes some.

    In a hint a sentence may also begin with the setting, to say what it does.
    """
    for sentence in _SENTENCE.split(text):
        if _PROPOSAL.match(sentence) or (is_hint and _SETTING.match(sentence)):
            for clause in _CLAUSE.split(sentence):
                settings: dict[str, str] = {}
                for key, value in _SETTING.findall(clause):
                    if not value.startswith(".."):
                        settings.setdefault(key, f"{key}={value.rstrip('.:')}")
                if settings:
                    return list(settings.items())
    return []
