"""Words and options of commands whose config Hydra does not compose, and is not loaded for."""

import re
from collections.abc import Collection, Sequence

from fmkit.core.errors import ConfigError, received


def parse_words(
    command: str, arguments: Sequence[str], options: Collection[str], hint: str = ""
) -> tuple[list[str], dict[str, str]]:
    """The words and the `key=value` options of a command whose config Hydra does not compose.

    `run=RUN` is the word RUN: other commands take a run so.

    Raises:
        ConfigError: an unknown option.
    """
    settings = [word for word in arguments if re.match(r"(?!run=.)[\w.]+=", word)]
    for word in settings:
        if word.partition("=")[0] not in options:
            raise ConfigError(received(command, word, options), hint)
    words = [word.removeprefix("run=") for word in arguments if word not in settings]
    return words, dict(word.split("=", 1) for word in settings)
