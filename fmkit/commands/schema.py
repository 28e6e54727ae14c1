"""`fmkit schema`: a JSON Schema of the config, by which editors complete and check YAML."""

import json
from collections.abc import Sequence

from fmkit.commands import launch
from fmkit.commands.options import parse_words
from fmkit.commands.output import json_output
from fmkit.config import json_schema
from fmkit.config.registry import COMMANDS
from fmkit.core import console
from fmkit.core.errors import ConfigError, received

OPTIONS = {
    "plugins": ("", "A Python file with MODELS, DATA or TASKS, whose names are allowed, too."),
}
"""Keys of `fmkit schema`, each with its default and its meaning."""


def schema(arguments: Sequence[str]) -> None:
    """Run `fmkit schema [COMMAND|GROUP] [plugins=FILE]`.

    Raises:
        ConfigError: there is no such command or group.
    """
    words, options = parse_words("fmkit schema", arguments, OPTIONS)
    subject = words[0] if words else "finetune"
    subjects = [*COMMANDS, *json_schema.GROUPS]
    if len(words) > 1 or subject not in subjects:
        raise ConfigError(received("fmkit schema", " ".join(words), subjects))
    content = json_schema.schema(subject, launch.allowed_names(options.get("plugins")))
    text = json.dumps(json_output.plain(content), indent=2)
    json_output.show("schema", {"schema": content}, lambda: console.write_stdout(f"{text}\n"))
