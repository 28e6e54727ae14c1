"""`fmkit tokenizer train`: train a tokenizer on your own texts."""

from __future__ import annotations

import dataclasses
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fmkit.commands import launch
from fmkit.commands.output import json_output, result_tables
from fmkit.config import compatibility
from fmkit.config.schema.commands import TokenizerConfig
from fmkit.core import atomic_dir, console, files, signals
from fmkit.core.errors import ArtifactError, ConfigError, received
from fmkit.core.modalities import modality_entry
from fmkit.core.throttle import Throttle

if TYPE_CHECKING:
    from fmkit.data.dataset import Dataset
    from fmkit.models.tokenizers.tokenizer import TextTokenizer
    from fmkit.models.tokenizers.training import TokenizerStatistics

_MEASURED_BYTES = 2**24
"""About how many bytes of texts the statistics are counted over; a larger split is sampled."""

_FIRST_SECONDS, _EVERY_SECONDS = 3.0, 10.0
"""When the first line of progress is printed, and how often then."""

T = TypeVar("T")


class _Abandoned(Exception):
    """The main thread no longer waits for the result."""


def tokenizer(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Train a tokenizer; notes on it, as its record has them.

    Raises:
        ConfigError: the word after the command's name is not `train`.
    """
    word, *rest = [*arguments, ""]
    if word != "train":
        raise ConfigError(
            received("fmkit tokenizer", word, ("train",)),
            shlex.join(["fmkit", "tokenizer", "train", *arguments])
            if Path(word).exists() and word
            else "fmkit tokenizer train data=text_files data.root=DIR output=DIR",
        )
    return launch.run_command("tokenizer", rest[:-1], train_tokenizer)


def train_tokenizer(config: TokenizerConfig) -> dict[str, Any]:
    """Learn a vocabulary, measure it on held-out texts where there are some, and write it.

    Raises:
        ConfigError: the output exists or cannot be written, or the size is too small.
        ArtifactError: another process made the output meanwhile.
        DataError: the texts cannot be read, or have no letters.
    """
    output = _output_folder(config)
    from fmkit.data import load
    from fmkit.data.content.texts import text_passages
    from fmkit.models.tokenizers import training
    from fmkit.models.tokenizers.tokenizer import PROTO

    compatibility.resolve_labels(config.data, None)
    seed = config.runtime.seed if config.data.split_seed is None else config.data.split_seed
    data = load.for_evaluation(config.data, config.runtime, seed, config.split)
    if not modality_entry(data.spec.modality).has_tokenizer:
        raise ConfigError(f"data={config.data.name} has no texts to train a tokenizer on.")
    settings = training.VocabularySettings(
        config.kind, config.size, config.min_frequency, config.lowercase, config.strip_accents,
        config.pattern,
    )  # fmt: skip
    progress = _Progress(config.runtime.verbose)

    def passages(indices: Any) -> Iterator[str]:
        return text_passages(data.examples, indices, progress.update)

    def train() -> TextTokenizer:
        return training.train(settings, lambda: passages(data.splits[config.split]))

    tokenizer = _in_thread(train, progress)
    split = next((name for name in ("val", "test") if name in data.splits), config.split)
    indices = data.splits[split]
    size = data.examples.content.text_size() * len(indices) / len(data.examples)
    sampled = indices[:: max(1, round(size / _MEASURED_BYTES))]  # evenly spaced
    measured = _in_thread(lambda: training.measure(tokenizer, passages(sampled)), progress)
    notes = _notes(config, data, tokenizer, split, measured)
    with signals.defer_signals():
        if output.is_dir():
            tokenizer.save(output, notes)
            (output / PROTO).unlink(missing_ok=True)  # of a tokenizer of another kind
        else:
            with atomic_dir.replacing(output) as (temporary, _):
                tokenizer.save(temporary, notes)
                if output.exists():
                    raise ArtifactError(f"output: {output} was created by another process.")
    longest = training.longest_pieces(tokenizer)
    json_output.show(
        "tokenizer",
        {"folder": output, "record": notes, "longest_pieces": longest},
        lambda: result_tables.vocabulary(notes, longest, output),
    )
    if tokenizer.size < config.size:
        times = "once" if config.min_frequency == 1 else f"{config.min_frequency} times"
        console.warning(
            f"the texts have {tokenizer.size:,} tokens that occur {times} or more, fewer than "
            f"size={config.size}."
        )
    return notes


class _Progress:
    """How far the reading is: updated by the thread that reads, printed by the one that waits."""

    def __init__(self, verbose: bool) -> None:
        self.is_abandoned = False
        self._verbose = verbose
        self._done, self._total = 0, 0
        self._throttle = Throttle(_EVERY_SECONDS, delay=_FIRST_SECONDS)

    def update(self, done: int, total: int) -> None:
        """Note how many pieces of texts are read; raise if nobody waits for the result."""
        self._done, self._total = done, total
        if self.is_abandoned:
            raise _Abandoned

    def print_if_due(self) -> None:
        """Print a line now and then."""
        if self._verbose and self._throttle.is_due():
            console.info(f"tokenizer: read {self._done:,} of {self._total:,} pieces of texts")


def _in_thread(function: Callable[[], T], progress: _Progress) -> T:
    """The result of a function that runs in a thread of its own.

    The library's trainers hold the thread that calls them until they are done, and Python handles
    signals in the main one alone. A daemon, so that a process that is to end does not wait for it.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    try:
        # A signal may come while the thread starts: it is abandoned then, too.
        threading.Thread(target=run, name="tokenizer", daemon=True).start()
        while not wait([future], 1.0).done:  # a signal in the middle of `join` would end the thread
            progress.print_if_due()
    finally:
        progress.is_abandoned = not future.done()
    return future.result()


def _notes(
    config: TokenizerConfig,
    data: Dataset,
    tokenizer: TextTokenizer,
    split: str,
    measured: TokenizerStatistics,
) -> dict[str, Any]:
    """How the tokenizer was trained; the same for the same texts, wherever they are stored."""
    import tokenizers

    from fmkit.models.tokenizers import training

    keys = ("kind", "size", "min_frequency", "lowercase", "strip_accents", "pattern", "split")
    shares = ("bytes_per_token", "characters_per_token", "tokens_per_word", "unknown_share")
    return {
        **{key: getattr(config, key) for key in keys},
        "pieces": tokenizer.size,
        "letters": training.alphabet_size(tokenizer),
        "data": config.data.name,
        "fingerprint": data.spec.fingerprint,
        "split_fingerprint": data.spec.split_fingerprint,
        "is_held_out": split != config.split,
        "figures": {
            "split": split,
            **dataclasses.asdict(measured),
            **{name: round(getattr(measured, name), 6) for name in shares},
        },
        "tokenizers": tokenizers.__version__,
    }


def _output_folder(config: TokenizerConfig) -> Path:
    """The folder to write, at a path that can be written, with nothing that must stay."""
    from fmkit.models.tokenizers.tokenizer import RECORD

    output = Path(files.absolute_path(config.output))
    is_file = output.exists() and not output.is_dir()
    reason = "it is a file" if is_file else files.why_not_writable(output / RECORD)
    if reason:
        problem = f"cannot be written: {reason}"
        hint = "Name a folder in one that you may write: output=DIR"
    elif not output.exists() or not any(output.iterdir()):
        return output
    elif not (output / RECORD).is_file():
        problem = "is not empty and does not hold a tokenizer"
        hint = "Name a folder that does not exist yet: output=DIR"
    elif config.overwrite:
        return output
    else:
        problem = "already holds a tokenizer"
        hint = "Name another folder, or add overwrite=true."
    raise ConfigError(f"output: {output} {problem}.", hint)
