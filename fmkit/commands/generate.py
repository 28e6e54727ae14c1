"""`fmkit generate`: generate text with a causal language model."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmkit.commands import launch
from fmkit.commands.output import json_output
from fmkit.config import saved_config
from fmkit.config.saved_config import quote
from fmkit.config.schema.commands import GenerateConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.core import console, files, machine, signals
from fmkit.core.errors import ConfigError, DataError, join_names
from fmkit.core.modalities import modality_entry
from fmkit.core.types import Message


def generate(arguments: Sequence[str]) -> str | None:
    """Write a continuation or an answer to stdout as it is generated; the whole text.

    Args:
        arguments: settings and flags; other words are a run, `last`, and the prompt.
    """
    words = []
    for word in arguments:
        key, _, text = word.partition("=")
        # Quoted, since Hydra would give a comma or a bracket in a prompt a meaning.
        is_plain = key in ("prompt", "system") and text and text[0] not in "'\""
        words.append(f"{key}={quote(text)}" if is_plain else word)
    line = launch.parse_line("generate", words)
    if line.paths and (len(line.paths) > 1 or "prompt" in line.named()):
        raise ConfigError(
            f"{join_names([repr(path) for path in line.paths], 5)}: one prompt is continued.",
            "Put a text of several words in quotes, or a text per line in a file: prompts=FILE",
        )
    prompt = [f"prompt={quote(text)}" for text in line.paths]
    return launch.run_command(
        "generate",
        [*line.flags, *line.words, *prompt],
        generate_text,
        typed=[*line.words, *line.paths],
    )


def generate_text(config: GenerateConfig) -> str:
    """Continue or answer a prompt or several, to stdout.

    Raises:
        ConfigError: there is no such model, or it was not trained on conversations.
        DataError: the file of the prompt cannot be read.
    """
    if (config.run is None) == (config.model is None):
        problem = "neither was named" if config.run is None else "both were named"
        raise ConfigError(
            f"run and model: {problem}.",
            "A finished run: fmkit generate run=RUN prompt=TEXT. A model as it was pretrained: "
            "fmkit generate model=smollm2 prompt=TEXT",
        )
    prompts, prompt = _prompts(config), _prompt(config)
    generator, model = _load_pretrained(config) if config.run is None else _load_run(config)
    from fmkit.evaluation import generate as generation
    from fmkit.models.tokenizers import chat_template

    template = generator.task.chat_template
    if config.chat is not None:
        template = chat_template.chat_for_model(model, generator.tokenizer) if config.chat else None
    system = [] if config.system is None else [Message("system", config.system)]
    if template is None and system:
        raise ConfigError(
            f"system: {generator.name} was not trained on conversations.",
            "Add chat=true to write the prompt as one, or remove system.",
        )
    if prompts is not None:
        conversation = None if template is None else (template, system)
        return _generate_all(generator, prompts, config, conversation)
    if template is not None:
        if not prompt.strip():
            raise ConfigError(
                "prompt is missing: it is the user's message.", "Add prompt=TEXT, or input=FILE."
            )
        messages = [*system, Message("user", prompt)]
        stream = generation.generate_reply(generator, template, messages, config)
    else:
        stream = generation.generate_text(generator, prompt, config)
    text = []
    for piece in stream:  # printed at once: hundreds of tokens take seconds
        signals.raise_if_stopped()
        console.write_stdout(piece)
        text.append(piece)
    json_output.show("generation", {"text": "".join(text)}, lambda: console.write_stdout("\n"))
    return "".join(text)


def _load_run(config: GenerateConfig) -> tuple[Any, ModelConfig]:
    """The model of a finished run, and its config."""
    run = launch.open_run(str(config.run), config.runs_dir)
    entry = modality_entry(run.spec().modality)
    if not entry.has_tokenizer:
        raise ConfigError(f"run {run.id} reads {entry.plural}, so it generates no text.")
    trained = launch.load_run(run, config.runtime)
    from fmkit.evaluation import generate as generation

    model = saved_config.section(run.config(), "model")
    return generation.TextGenerator(f"run {run.id}", trained.task, trained.backbone), model


def _load_pretrained(config: GenerateConfig) -> tuple[Any, ModelConfig]:
    """A model as it was pretrained, and its config."""
    model: Any = config.model
    with console.announce_slow("loading TensorFlow"), machine.gc_paused_imports():
        launch.import_keras()
        from fmkit.evaluation import generate as generation
        from fmkit.evaluation import load_run

    with console.announce_slow(f"building {model.name} and reading its weights"):
        backbone, task = load_run.pretrained(model, config.runtime)
    return generation.TextGenerator(f"model {model.name}", task, backbone), model


def _generate_all(
    generator: Any, prompts: list[str], config: GenerateConfig, conversation: Any
) -> str:
    """Continue or answer many prompts, as JSON Lines to stdout, a batch after the other."""
    from fmkit.evaluation import generate as generation

    rows: list[dict[str, str]] = []
    for start in range(0, len(prompts), config.batch_size):
        signals.raise_if_stopped()
        batch = prompts[start : start + config.batch_size]
        sampling = dataclasses.replace(config, seed=config.seed + start)
        texts = generation.generate_texts(generator, batch, sampling, conversation)
        pairs = zip(batch, texts, strict=True)
        new = [{"prompt": prompt, "text": text} for prompt, text in pairs]
        if not json_output.is_on():
            console.write_stdout("".join(f"{json.dumps(row)}\n" for row in new))
        rows += new
    json_output.show("generation", {"texts": rows}, lambda: None)
    return "\n".join(row["text"] for row in rows)


def _prompts(config: GenerateConfig) -> list[str] | None:
    """The lines of the file `prompts`, but for empty ones."""
    if config.prompts is None:
        return None
    if config.prompt is not None or config.input is not None:
        raise ConfigError("prompts and prompt or input were both named: name one of them.")
    lines = [line for line in _text_of(config.prompts, "prompts").splitlines() if line.strip()]
    if not lines:
        raise DataError(f"prompts: {config.prompts} has no prompt.")
    return lines


def _prompt(config: GenerateConfig) -> str:
    """How the text begins: `prompt`, or the content of the file `input`."""
    if config.input is None:
        return config.prompt or ""
    if config.prompt is not None:
        raise ConfigError("prompt and input were both named: name one of them.")
    return _text_of(config.input, "input")


def _text_of(path: str, key: str) -> str:
    try:
        return Path(files.input_path(path)).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise DataError(f"{key}: {path} cannot be read as UTF-8: {error}.") from error
