"""The loader of texts: tokenised once, cut, grouped by length and padded.

A task may make its own rows of tokens (`Encoded`): several of one text, or with numbers beside each
token.

Legend: N texts, M rows, n tokens of one, K numbers of a token, B batch, T tokens of the longest
text in a batch, rounded up.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import plural
from fmkit.core.types import Tokenizer
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Content, Examples, without_classes
from fmkit.data.loaders.base import (
    DatasetLoader,
    LoadStep,
    Positions,
    PrepareBatch,
    random_generator,
)
from fmkit.data.loaders.sampler import EpochOrder, LengthOrder

PADDING = -1
"""Token number of padding, as a text backbone expects it."""

_TEXTS_AT_ONCE = 2048  # so that a tokenizer's threads have enough to do
_ROWS_AT_ONCE = 256  # that are read for a digest
_PASS_WINDOW = 16_384
"""Texts that are sorted by length together, so that what a pass makes of them fits into memory."""


class TextLoader(DatasetLoader):
    """Batches of texts as tokens with targets.

    Args:
        max_length: most tokens of a text; what is beyond is cut off and counted.
        prepare_batch: makes inputs and targets, all int32, of a batch of tokens, where a task has
            targets of its own, such as hidden words; `targets` is not read then.
        num_inputs: how many arrays `prepare_batch` gives as inputs, (B, T) each.
        target_rank: how many axes its targets have after that of the batch; None: it gives None in
            their place, and `targets` are read.
        options: the other arguments of `DatasetLoader`.
    """

    def __init__(
        self,
        examples: Examples,
        targets: np.ndarray,
        *,
        tokenizer: Tokenizer,
        max_length: int,
        prepare_batch: PrepareBatch | None = None,
        num_inputs: int = 1,
        target_rank: int | None = 1,
        **options: Any,
    ) -> None:
        super().__init__(targets, **options)
        if len(self._targets) != len(examples):
            raise ValueError(f"{len(self._targets)} targets for {len(examples)} examples")
        self._prepare_batch, self._num_inputs = prepare_batch, num_inputs
        self._max_length, self._tokenizer = max_length, tokenizer
        self._target_rank = None if prepare_batch is None else target_rank
        self.rows = tokenize(examples.content, tokenizer, max_length)  # the texts as tokens
        self.memory_bytes = self.rows.bytes

    def order(self, indices: np.ndarray, seed: int) -> EpochOrder:
        """Which of the examples at `indices` are in which training step."""
        return LengthOrder(indices, seed, self._batch_size, self.rows.lengths)

    def pass_order(self, indices: np.ndarray) -> np.ndarray:
        """By length, the longest first, in windows: batches with little padding, of few lengths.

        In the first batch there are texts of all lengths, so that an engine that computes it as
        Keras does is right about padding, too.
        """
        lengths = self.rows.lengths[np.asarray(indices, np.int64)]
        window = np.arange(len(lengths)) // _PASS_WINDOW
        order = np.lexsort((-lengths, window))  # stable
        if len(order) <= self._batch_size:
            return order
        last = min(len(order), _PASS_WINDOW) - 1
        spread = np.unique(np.linspace(0, last, self._batch_size).astype(np.int64))
        return np.concatenate([order[spread], np.delete(order, spread)])

    def describe(self) -> str:
        """How long the texts are and how many were cut, in one phrase for the log."""
        return self.rows.describe(self._max_length)

    def cache_facts(self, indices: np.ndarray) -> dict[str, Any]:
        """Everything that features of the texts at `indices` depend on, for a cache's key."""
        return {
            "tokens": self.rows.digest(indices),
            "max_length": self._max_length,
            "tokenizer": self._tokenizer.fingerprint(),
        }

    def _load_step(self, positions: Positions, rng_name: str) -> LoadStep:
        """From a step's number to its inputs, tokens (B, T) int32 by default, and targets."""

        def read(number: np.ndarray) -> tuple[np.ndarray, ...]:
            indices = positions(int(number))
            tokens = pad(self.rows.read(indices), self._max_length)
            if self._prepare_batch is None:
                return tokens, self._targets[indices]
            rng = random_generator(f"texts\0{rng_name}", int(number))
            inputs, targets = self._prepare_batch(tokens, rng)
            return (*inputs, self._targets[indices] if targets is None else targets)

        inputs, rank = [tf.TensorSpec((None, None), tf.int32)] * self._num_inputs, self._target_rank
        targets = None if rank is None else tf.TensorSpec((None,) * (1 + rank), tf.int32)
        return lambda number: self._call(read, [number], inputs, targets)


def open_loader(
    examples: Examples, task: Any, backbone: Any, config: DataConfig, runtime: RuntimeConfig
) -> TextLoader:
    """The loader of texts for a task and a backbone."""
    return TextLoader(
        examples,
        targets=task.targets(examples),
        tokenizer=backbone.tokenizer,
        max_length=backbone.max_length,
        prepare_batch=task.prepare_batch,
        num_inputs=1 + len(task.extra_inputs),
        target_rank=task.target_rank,
        batch_size=config.batch_size,
        num_classes=task.num_classes,
        class_weights=task.class_weights,
    )


class Rows:
    """Tokens of the examples of a data set; a base class."""

    lengths: np.ndarray  # tokens of each, (N,)
    bytes = 0  # kept in memory

    def read(self, indices: np.ndarray) -> list[np.ndarray]:
        """The tokens of the examples at `indices`, (n,) or (n, K) int32 each."""
        raise NotImplementedError

    def describe(self, max_length: int) -> str:
        """How long they are, in a phrase."""
        raise NotImplementedError

    def digest(self, indices: np.ndarray) -> str:
        """SHA-256 of the tokens of the examples at `indices`, in that order."""
        digest, indices = hashlib.sha256(), np.asarray(indices)
        for start in range(0, len(indices), _ROWS_AT_ONCE):
            for row in self.read(indices[start : start + _ROWS_AT_ONCE]):
                digest.update(f"{len(row)}\n".encode())
                digest.update(np.ascontiguousarray(row).data)
        return digest.hexdigest()


class TokenRows(Rows):
    """Texts as tokens in memory.

    Args:
        rows: tokens of each text, (n,) int32, special tokens at start and end included; or (n, K),
            where each token has K - 1 numbers beside it that `prepare_batch` makes targets of.
        uncut: how many tokens each had before it was cut, (N,).
        origin: which text each row is part of, (N,), ascending, where long texts are split.
    """

    def __init__(
        self, rows: Sequence[np.ndarray], uncut: np.ndarray, origin: np.ndarray | None = None
    ) -> None:
        counts = np.bincount([] if origin is None else origin)
        self._split_texts = int((counts > 1).sum())
        self.lengths = np.array([len(row) for row in rows], np.int64)
        self._ends = np.cumsum(self.lengths)
        empty = np.zeros((0, *(rows[0].shape[1:] if len(rows) else ())), np.int32)
        self._flat = np.concatenate([empty, *rows]).astype(np.int32, copy=False)
        self._uncut = np.asarray(uncut)
        self.bytes = self._flat.nbytes

    def read(self, indices: np.ndarray) -> list[np.ndarray]:
        """The tokens of the texts at `indices`."""
        return [self._flat[self._ends[i] - self.lengths[i] : self._ends[i]] for i in indices]

    def describe(self, max_length: int) -> str:
        """Shortest, median and longest text, and how many were cut."""
        if not len(self.lengths):
            return "no texts"
        limit, uncut = f"model.max_length={max_length}", self._uncut
        phrase = f"texts of {uncut.min():,} to {uncut.max():,} tokens"
        phrase += f" (median {int(np.median(uncut)):,})"
        cut = int((uncut > self.lengths).sum())
        phrase += f", {cut:,} ({cut / len(uncut):.0%}) cut to {limit}" if cut else ", none cut"
        if self._split_texts:
            phrase += f"; {plural(self._split_texts, 'text')} longer than {limit} in parts"
        return phrase


class TokenContent(Content):
    """What consists of rows of tokens; a base class."""

    modality: ClassVar[str] = "text"
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows.lengths)

    def identity(self, index: int) -> tuple[int, bytes]:
        """The tokens, and the numbers beside them."""
        (row,) = self.rows.read(np.array([index]))
        return len(row), row.tobytes()


@dataclass(frozen=True, eq=False)
class Encoded(TokenContent):
    """Rows of tokens that a task made of examples."""

    layout: ClassVar[str] = "rows"
    rows: TokenRows  # the tokens of each row, with the numbers beside them
    origin: np.ndarray  # which example each row was made of, (M,) int64, ascending
    source: Examples

    def take(self, indices: np.ndarray) -> Encoded:
        """Refused: rows are chosen by position in their splits."""
        raise TypeError("rows of tokens cannot be taken apart")


def encoded_dataset(data: Dataset, content: Encoded) -> Dataset:
    """A data set as rows, each in the split of its example; its spec stays that of the examples."""
    splits = {
        name: np.flatnonzero(np.isin(content.origin, indices))
        for name, indices in data.splits.items()
    }
    ids, rows_of = [], Counter[int]()
    for example in content.origin.tolist():
        rows_of[example] += 1
        suffix = f" ({rows_of[example]})" if rows_of[example] > 1 else ""
        ids.append(f"{data.examples.ids[example]}{suffix}")
    return Dataset(without_classes(ids, content), splits, data.spec)


def tokenize(content: Any, tokenizer: Tokenizer, max_length: int) -> Rows:
    """The tokens of text content, which may have been tokenised before (`TokenContent`)."""
    if isinstance(content, TokenContent):
        return content.rows
    encoded: list[np.ndarray] = []
    uncut = np.zeros(len(content.texts), np.int64)
    for start in range(0, len(content.texts), _TEXTS_AT_ONCE):
        part = slice(start, start + _TEXTS_AT_ONCE)
        pairs = None if content.pairs is None else content.pairs[part]
        rows, uncut[part] = tokenizer.encode(content.texts[part], pairs, max_length)
        encoded += rows
    return TokenRows(encoded, uncut)


def pad(rows: Sequence[np.ndarray], max_length: int) -> np.ndarray:
    """Rows of tokens as one array, (B, T) or (B, T, K) int32, padded with -1 on the right.

    T is one of few lengths, so that few shapes are traced and compiled.
    """
    longest = max((len(row) for row in rows), default=1)
    numbers_per_token = rows[0].shape[1:] if len(rows) else ()
    shape = (len(rows), padded_length(longest, max_length), *numbers_per_token)
    tokens = np.full(shape, PADDING, np.int32)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = row
    return tokens


def padded_length(longest: int, max_length: int) -> int:
    """The length that a batch is padded to whose longest row has so many tokens."""
    step = 16 if longest <= 256 else 64
    return min(max_length, -(-longest // step) * step)
