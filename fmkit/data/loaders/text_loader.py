"""From texts to batches of tokens: tokenised once, cut, put together by length, filled up.

As with images, what step k yields is a function of (seed, k) alone.

Legend: N texts, B batch, T tokens of the longest text in a batch, rounded up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from fmkit.core.types import Tokenizer
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.loaders.base import Batches, Prepare, generator
from fmkit.data.loaders.sampler import EpochOrder, LengthOrder

PADDING = -1
"""What fills rows up, as a backbone of texts expects it."""

_AT_ONCE = 2048  # texts


class TextLoader(Batches):
    """Batches of texts with targets, for training and in order.

    Args:
        examples: the whole data set; `indices` below are positions in it.
        targets: as in `Batches`.
        tokenizer: the model's.
        max_length: most tokens of a text; what is beyond is cut off and counted.
        prepare: makes inputs and targets of a batch of tokens, all int32, where a task has targets
            of its own, such as hidden words; `targets` is not read then.
        inputs: how many arrays `prepare` gives as inputs, (B, T) each.
        target_rank: how many axes its targets have behind that of the batch; None: it gives None
            in their place, and `targets` are read.
        options: the other arguments of `Batches`.

    Attributes:
        rows: the texts as tokens.
    """

    views = None

    def __init__(
        self,
        examples: Examples,
        targets: np.ndarray,
        *,
        tokenizer: Tokenizer,
        max_length: int,
        prepare: Prepare | None = None,
        inputs: int = 1,
        target_rank: int | None = 1,
        **options: Any,
    ) -> None:
        super().__init__(targets, **options)
        if len(self._targets) != len(examples):
            raise ValueError(f"{len(self._targets)} targets for {len(examples)} examples")
        self._prepare, self._inputs, self._target_rank = prepare, inputs, target_rank
        self._max_length, self._tokenizer = max_length, tokenizer
        self.rows = rows_of(examples.content, tokenizer, max_length)

    @property
    def held_bytes(self) -> int:
        """Of the tokens."""
        return self.rows.bytes

    def order(self, indices: np.ndarray, seed: int) -> EpochOrder:
        """Which of the examples at `indices` are in which training step."""
        return LengthOrder(indices, seed, self._batch, self.rows.lengths)

    def describe(self) -> str:
        """How long the texts are and how many were cut, in one phrase for the log."""
        return self.rows.describe(self._max_length)

    def facts(self, indices: np.ndarray) -> dict[str, Any]:
        """What features of the texts at `indices` depend on, for the key of a cache."""
        return {
            "tokens": self.rows.digest(indices),
            "max_length": self._max_length,
            "tokenizer": self._tokenizer.fingerprint(),
        }

    def prepare(self, *arguments: Any) -> None:
        """Nothing is left to do: see `ImageLoader.prepare`."""

    def explain(self, error: BaseException) -> None:
        """Texts are known to be whole before; see `ImageLoader.explain`."""

    def check(self, augment: str | None = None) -> None:
        """Texts are not augmented: see `ImageLoader.check`."""

    def preset(self, augment: str | None = None) -> str:
        """Texts are not augmented."""
        return "none"

    def mixes(self, augment: str | None = None) -> bool:
        """Texts are not augmented."""
        return False

    def changes_images(self, augment: str | None = None) -> bool:
        """Texts are not augmented."""
        return False

    def train(
        self,
        indices: np.ndarray,
        seed: int,
        steps: int,
        first_step: int = 0,
        augment: str | None = None,
    ) -> tf.data.Dataset:
        """Exactly `steps` shuffled batches of an endless sequence of epochs.

        Args:
            indices: positions of the training examples.
            seed: of the order and of what `prepare` draws.
            steps: how many batches.
            first_step: number of the first one, 0 at the start of training.
            augment: as for images; not read.

        Returns:
            A data set of (tokens, targets) or, with class weights, (tokens, targets, weights).
            Tokens are (B, T) int32, filled up with -1.
        """
        order = self.order(indices, seed)
        numbers = tf.data.Dataset.range(first_step, first_step + steps)
        loaded = numbers.map(self._loaded(order.indices, f"train {seed}"), self._loads)
        return self._finished(loaded.map(self._weighted), steps)

    def view(
        self, indices: np.ndarray, seed: int, view: int, augment: str | None = None
    ) -> tf.data.Dataset:
        """The same as `ordered`: see `ImageLoader.view`."""
        return self.ordered(indices)

    def ordered(self, indices: np.ndarray) -> tf.data.Dataset:
        """The examples at `indices` once, in that order: (tokens, targets)."""
        chosen, steps = np.asarray(indices, np.int64), self.steps_per_epoch(len(indices))

        def positions(step: int) -> np.ndarray:
            return chosen[step * self._batch : (step + 1) * self._batch]

        numbers = tf.data.Dataset.range(steps)
        return self._finished(numbers.map(self._loaded(positions, "ordered"), self._loads), steps)

    def _loaded(
        self, positions: Callable[[int], np.ndarray], chance: str
    ) -> Callable[[tf.Tensor], tuple[Any, tf.Tensor]]:
        """From a step's number to its inputs and targets."""
        prepare = self._prepare

        def read(number: np.ndarray) -> tuple[np.ndarray, ...]:
            indices = positions(int(number))
            tokens = pad(self.rows.read(indices), self._max_length)
            if prepare is None:
                return tokens, self._targets[indices]
            inputs, targets = prepare(tokens, generator(f"texts\0{chance}", int(number)))
            return (*inputs, self._targets[indices] if targets is None else targets)

        makes_targets = prepare is not None and self._target_rank is not None
        targets = tf.int32 if makes_targets else tf.as_dtype(self._targets.dtype)
        kinds = [*[tf.int32] * self._inputs, targets]

        def load(number: tf.Tensor) -> tuple[Any, tf.Tensor]:
            # Not stateful: with op determinism tf.data would run stateful functions one by one.
            *inputs, targets = tf.numpy_function(read, [number], kinds, stateful=False)
            for each in inputs:
                each.set_shape((None, None))
            if makes_targets:
                targets.set_shape((None, *[None] * (self._target_rank or 0)))
            else:
                targets = self._dense(targets)
            return (inputs[0] if len(inputs) == 1 else tuple(inputs)), targets

        return load


class Rows(Protocol):
    """Tokens of the examples of a data set.

    Attributes:
        lengths: tokens of each, (N,).
        bytes: kept in memory.
    """

    lengths: np.ndarray
    bytes: int

    def read(self, indices: np.ndarray) -> list[np.ndarray]:
        """The tokens of the examples at `indices`, (n,) or (n, K) int32 each."""
        ...

    def digest(self, indices: np.ndarray) -> str:
        """SHA-256 of the tokens of the examples at `indices`."""
        ...

    def describe(self, max_length: int) -> str:
        """How long they are, in a phrase."""
        ...


class TokenRows:
    """Texts as tokens in memory.

    Args:
        rows: tokens of each text, (n,) int32, marks of start and end included; or (n, K), where
            each token has K - 1 numbers beside it that `prepare` makes targets of.
        uncut: how many tokens each had before it was cut, (N,).
        origin: which text each is of, (N,), not falling, where long ones come in parts.
    """

    def __init__(
        self, rows: Sequence[np.ndarray], uncut: np.ndarray, origin: np.ndarray | None = None
    ) -> None:
        several = np.bincount(origin) > 1 if origin is not None and len(origin) else np.zeros(0)
        self._in_parts = int(several.sum())
        self.lengths = np.array([len(row) for row in rows], np.int64)
        self._ends = np.cumsum(self.lengths)
        empty = np.zeros((0, *(rows[0].shape[1:] if len(rows) else ())), np.int32)
        self._flat = np.concatenate([empty, *rows]).astype(np.int32, copy=False)
        self._uncut = np.asarray(uncut)
        self.bytes = self._flat.nbytes

    def read(self, indices: np.ndarray) -> list[np.ndarray]:
        """The tokens of the texts at `indices`."""
        return [self._flat[self._ends[i] - self.lengths[i] : self._ends[i]] for i in indices]

    def digest(self, indices: np.ndarray) -> str:
        """SHA-256 of the tokens of the texts at `indices`, in that order."""
        found = hashlib.sha256()
        for row in self.read(np.asarray(indices)):
            found.update(f"{len(row)}\n".encode())
            found.update(np.ascontiguousarray(row).data)
        return found.hexdigest()

    def describe(self, max_length: int) -> str:
        """Shortest, median and longest text, and how many were cut."""
        if not len(self.lengths):
            return "no texts"
        cut = int((self._uncut > self.lengths).sum())
        parts = ""
        if self._in_parts:
            parts = f"; {self._in_parts:,} texts longer than model.max_length={max_length} in parts"
        shown = f"texts of {self._uncut.min():,} to {self._uncut.max():,} tokens"
        middle = f"{shown} (median {int(np.median(self._uncut)):,})"
        if not cut:
            return f"{middle}, none cut{parts}"
        share = cut / len(self.lengths)
        return f"{middle}, {cut:,} ({share:.0%}) cut to model.max_length={max_length}{parts}"


def rows_of(content: Any, tokenizer: Tokenizer, max_length: int) -> Rows:
    """The tokens of what examples show: tokenised here, unless they are tokens already."""
    if not isinstance(content, Texts):
        found: Rows = content.rows
        return found
    rows: list[np.ndarray] = []
    uncut = np.zeros(len(content.texts), np.int64)
    for start in range(0, len(content.texts), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        pairs = None if content.pairs is None else content.pairs[part]
        found_rows, uncut[part] = tokenizer.encode(content.texts[part], pairs, max_length)
        rows += found_rows
    return TokenRows(rows, uncut)


def pad(rows: Sequence[np.ndarray], max_length: int) -> np.ndarray:
    """Rows of tokens as one array, (B, T) or (B, T, K) int32, filled up with -1 on the right.

    T is one of few lengths, so that few shapes are traced and compiled.
    """
    longest = max((len(row) for row in rows), default=1)
    shape = (len(rows), padded_length(longest, max_length))
    beside = rows[0].shape[1:] if len(rows) else ()
    tokens = np.full((*shape, *beside), PADDING, np.int32)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row
    return tokens


def padded_length(longest: int, max_length: int) -> int:
    """What a batch is filled up to whose longest row has so many tokens."""
    step = 16 if longest <= 256 else 64
    return min(max_length, -(-longest // step) * step)
