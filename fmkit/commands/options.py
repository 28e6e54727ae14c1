"""Words and options of commands whose config Hydra does not compose, and is not loaded for."""

import re
from collections.abc import Collection, Sequence

from fmkit.core.errors import ConfigError, received


def parse_words(
    command: str, arguments: Sequence[str], options: Collection[str], hint: str = ""
) -> tuple[list[str], dict[str, str]]:
    """The words and the `key=value` options of a command whose config Hydra does not compose.

    Raises:
        ConfigError: an unknown option.
    """
    words = [word for word in arguments if not re.match(r"[\w.]+=", word)]
    for word in arguments:
        if word not in words and word.partition("=")[0] not in options:
            raise ConfigError(received(command, word, options), hint)
    return words, dict(word.split("=", 1) for word in arguments if word not in words)
