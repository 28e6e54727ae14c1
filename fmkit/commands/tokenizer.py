"""`fmkit tokenizer train`: a vocabulary of a user's own texts, in a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fmkit.commands import result_tables
from fmkit.config import compatibility
from fmkit.config.schema.commands import TokenizerConfig
from fmkit.core import console, files, signals
from fmkit.core.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from fmkit.data.dataset import Dataset
    from fmkit.models.tokenizers.statistics import TokenizerStatistics
    from fmkit.models.tokenizers.tokenizer import TextTokenizer

_MEASURED = 2**24
"""About how many bytes of texts the figures are counted in; of more, every second text or fewer."""

_PATIENCE, _PAUSE = 3.0, 10.0  # seconds until it says how far it is, and between two times

T = TypeVar("T")


class _Left(Exception):
    """Whoever waited for it has gone."""


def train(config: TokenizerConfig) -> None:
    """Make a vocabulary of texts, judge it on texts that it has not seen, and write it.

    Raises:
        ConfigError: the output is there already or cannot be written, or the size is too small.
        DataError: the texts cannot be read, or have no letters.
    """
    output = _output(config)
    from fmkit.data import load
    from fmkit.data.content import text_stream
    from fmkit.models.tokenizers import statistics, training

    data_config, seed = config.data, config.data.split_seed
    compatibility.resolve_labels(data_config, None)
    seed = config.runtime.seed if seed is None else seed
    data = load.for_evaluation(data_config, config.runtime, seed, config.split)
    if data.spec.modality != "text":
        raise ConfigError(f"data={data_config.name} has no texts to make a vocabulary of.")
    wanted = training.VocabularySettings(
        config.kind, config.size, config.min_frequency, config.lowercase, config.strip_accents,
        config.pattern,
    )  # fmt: skip
    progress = _Progress(config.runtime.verbose)

    def made() -> TextTokenizer:
        return training.train(
            wanted,
            lambda: text_stream.text_passages(
                data.examples, data.splits[config.split], progress.tell
            ),
        )

    tokenizer = _watched(made, progress)
    split = next((each for each in ("val", "test") if each in data.splits), config.split)
    figures = _watched(lambda: _figures(data, split, tokenizer, progress), progress)
    notes = _notes(config, data, tokenizer, split, figures)
    with signals.defer_signals():
        _write(tokenizer, output, notes)
    result_tables.vocabulary(notes, statistics.longest(tokenizer))
    if tokenizer.size < config.size:
        console.warning(
            f"the texts have {tokenizer.size:,} pieces that occur {config.min_frequency} times or "
            f"more, fewer than size={config.size}."
        )
    shown = console.escape_markup(files.display_path(output))
    console.stdout.print(f"tokenizer: {shown}, for model=small_bert or small_gpt: "
                      f"model.tokenizer={shown}")  # fmt: skip


class _Progress:
    """How far the reading is: told by the thread that waits, noted by the one that reads."""

    def __init__(self, verbose: bool) -> None:
        self.has_left = False
        self._verbose = verbose
        self._done, self._total = 0, 0
        self._next = time.monotonic() + _PATIENCE

    def tell(self, done: int, total: int) -> None:
        """Note it.

        Raises:
            _Left: nobody waits any more.
        """
        self._done, self._total = done, total
        if self.has_left:
            raise _Left

    def say(self) -> None:
        """A line now and then."""
        if self._verbose and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PAUSE
            console.info(f"tokenizer: read {self._done:,} of {self._total:,} pieces of texts")


def _watched(work: Callable[[], T], progress: _Progress) -> T:
    """The result of a function, which runs in a thread of its own.

    The library's trainers hold the thread that calls them until they are done, and Python hears
    signals in the main one alone. A daemon, so that a process that is to end does not wait for it.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()  # not `join`: a signal in the middle of one ends the thread for Python

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        done.set()

    try:
        # A signal may come while the thread starts: it is left then, too.
        threading.Thread(target=run, name="tokenizer", daemon=True).start()
        while not done.wait(1.0):
            progress.say()
    finally:
        progress.has_left = not done.is_set()
    if errors:
        raise errors[0]
    return results[0]


def _figures(
    data: Dataset, split: str, tokenizer: TextTokenizer, progress: _Progress
) -> TokenizerStatistics:
    """How a split's texts come out; of a large one, evenly spaced texts of it."""
    from fmkit.data.content import text_stream
    from fmkit.models.tokenizers import statistics

    indices = data.splits[split]
    size = data.examples.content.text_size() * len(indices) / len(data.examples)
    indices = indices[:: max(1, round(size / _MEASURED))]
    return statistics.measure(
        tokenizer, text_stream.text_passages(data.examples, indices, progress.tell)
    )


def _notes(
    config: TokenizerConfig,
    data: Dataset,
    tokenizer: TextTokenizer,
    split: str,
    figures: TokenizerStatistics,
) -> dict[str, Any]:
    """How the tokenizer came about; the same for the same texts, wherever they lie."""
    import tokenizers

    from fmkit.models.tokenizers import training

    keys = ("kind", "size", "min_frequency", "lowercase", "strip_accents", "pattern", "split")
    shares = ("bytes_per_token", "characters_per_token", "tokens_per_word", "unknown_share")
    return {
        **{key: getattr(config, key) for key in keys},
        "pieces": tokenizer.size,
        "letters": training.letters(tokenizer),
        "data": config.data.name,
        "fingerprint": data.spec.fingerprint,
        "split_fingerprint": data.spec.split_fingerprint,
        "is_held_out": split != config.split,
        "figures": {
            "split": split,
            **dataclasses.asdict(figures),
            **{name: round(getattr(figures, name), 6) for name in shares},
        },
        "tokenizers": tokenizers.__version__,
    }


def _output(config: TokenizerConfig) -> Path:
    """The folder to write, in a place that can be written.

    Raises:
        ConfigError: something is there that is not to be replaced, or nothing can be written.
    """
    from fmkit.models.tokenizers.tokenizer import RECORD

    output = Path(files.absolute_path(config.output))
    wrong = files.why_not_writable(output / RECORD)
    if output.exists() and not output.is_dir():
        wrong = "it is a file"
    if wrong:
        raise ConfigError(
            f"output: {output} cannot be written: {wrong}.",
            "Name a folder in one that you may write: output=DIR",
        )
    if not output.exists() or not any(output.iterdir()):
        return output
    if not (output / RECORD).is_file():
        raise ConfigError(
            f"output: {output} has other things in it, and no tokenizer.",
            "Name a folder that is not there yet: output=DIR",
        )
    if not config.overwrite:
        raise ConfigError(
            f"output: {output} has a tokenizer already.", "Name another, or add overwrite=true."
        )
    return output


def _write(tokenizer: TextTokenizer, output: Path, notes: dict[str, Any]) -> None:
    """Put a tokenizer in its place, whole.

    Raises:
        ArtifactError: the place was taken meanwhile.
    """
    from fmkit.models.tokenizers.tokenizer import PROTO

    if output.is_dir():
        tokenizer.save(output, notes)
        (output / PROTO).unlink(missing_ok=True)  # of a tokenizer of another kind
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    written = files.temporary_path(output)
    try:
        written.mkdir()
        tokenizer.save(written, notes)
        written.rename(output)
        files.sync_folder(output.parent)
    except OSError as error:
        if output.exists():
            raise ArtifactError(f"output: {output} was made by somebody else meanwhile.") from error
        raise
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(written)
