"""The user's own command line with the settings that an error's message proposes.

Messages name a key and a value in many places ("leave them out with data.on_bad=skip"). What to
type follows from them here, for all messages alike: a setting counts where a sentence tells to do
something, and of alternatives the first one is taken.
"""

import itertools
import re
import shlex
from collections.abc import Sequence

from fmkit.config.saved_config import shell_word
from fmkit.core.errors import ArtifactError, ConfigError, DataError, FmkitError, ResourceError

_PROPOSAL = re.compile(
    r"(add|another|check|choose|complete|evaluate|fix|free|give|install|join|keep|leave|lower|make"
    r"|move|name|or|otherwise|put|remove|replace|restore|save|say|set|take|try|use|write)\b",
    re.IGNORECASE,
)
"""What a sentence begins with that tells what to do."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*")
_CLAUSE = re.compile(r"; |,? or (?=\S)")
_KEY = r"(?<![\w.=/-])([a-z_]+(?:\.[a-z_]+)*)="
_QUOTED = re.compile(
    rf"""\"{_KEY}[^"]*"|'{_KEY}(?:[^']|'"'"')*'|{_KEY}'(?:[^'\\]|\\['\\]|\\(?!['\\]))*'"""
)
"""A setting in the quotes of a shell, of a shell around those of Hydra, or of Hydra."""
_SETTING = re.compile(rf"{_QUOTED.pattern}|{_KEY}(?:\[[^\]]*\]|[^\s,;()`\"]+)")
_PLACEHOLDER = re.compile(r"'?(BLOCK|COLUMN|DIR|FILE|FOLDER|MODEL|NAME|PATH|RUN|TEXT)'?")
"""Values that stand for one, so that the line would not run as it is."""
_NUMBER = re.compile(r"^\d+\. ", re.MULTILINE)  # before each of several problems
_COMMAND = re.compile(
    r"\bfmkit \w+ (?:[^.\n]|\.(?=\S))*="
)  # the message has a whole command already


_REFUSALS = tuple(kind.exit_code for kind in (ConfigError, DataError, ArtifactError, ResourceError))


def add_corrected_line(error: FmkitError, command: str, words: Sequence[str]) -> None:
    """Add the line to the hint of an error, where its message proposes settings.

    Args:
        command: the command's name.
        words: all that was typed after `fmkit`.
    """
    if error.exit_code not in _REFUSALS or _COMMAND.search(str(error)):
        return
    settings = _settings_in(error, command)
    values = (setting.partition("=")[2] for setting in settings.values())
    if settings and not any(map(_PLACEHOLDER.fullmatch, values)):
        corrected = [settings.pop(_key(word), word) for word in words]
        corrected += settings.values()
        if corrected != list(words):
            line = f"Type: fmkit {' '.join(map(shell_word, corrected))}"
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
    proposals = [_first_settings(text, is_hint=False) for text in _problems(error.message)]
    if len(proposals) == 1 or all(proposals):  # else the line would stay wrong
        for key, setting in itertools.chain.from_iterable(proposals):
            settings.setdefault(key, setting)
    if not settings:
        settings = dict(_first_settings(error.hint, is_hint=True))
    types = field_types(COMMANDS[command])
    return {key: text for key, text in settings.items() if key.partition(".")[0] in types}


def _problems(message: str) -> list[str]:
    """The numbered problems of a message, as of `combine_messages`, or the whole."""
    _, *problems = _NUMBER.split(message)
    return problems or [message]


def _first_settings(text: str, is_hint: bool) -> list[tuple[str, str]]:
    """Keys with their settings, of the first sentence that proposes some.

    In a hint a sentence may also begin with the setting, to say what it does.
    """
    for sentence in _parts(_SENTENCE, text):
        if _PROPOSAL.match(sentence) or (is_hint and _SETTING.match(sentence)):
            has_sources = sentence.count("data=") > 1  # which read other files than the user's
            for clause in _parts(_CLAUSE, sentence):
                settings: dict[str, str] = {}
                for match in _SETTING.finditer(clause):
                    is_quoted = match[0][0] in "\"'"
                    setting = shlex.split(match[0])[0] if is_quoted else match[0].rstrip(".:")
                    key, _, value = setting.partition("=")
                    if value and not value.startswith(".."):
                        settings.setdefault(key, setting)
                if settings and not (has_sources and "data" in settings):
                    return list(settings.items())
    return []


def _parts(divider: re.Pattern[str], text: str) -> list[str]:
    """A text divided, but not inside the quotes of a setting."""
    masked = _QUOTED.sub(lambda match: "_" * len(match[0]), text)
    bounds = [match.span() for match in divider.finditer(masked)]
    starts, ends = [0, *(end for _, end in bounds)], [*(start for start, _ in bounds), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]
