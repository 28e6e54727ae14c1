"""Packing: documents as tokens, joined and cut into windows of one length for language models.

The documents of a split are tokenised in their order and joined, with the end token between them,
and the whole is cut into windows; only the last window of a split may be shorter. So no window
mixes splits, and nothing is padded. It is done once: the tokens are in the cache, and a run maps
them into memory.

N windows, L tokens of a window, n tokens.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fmkit.core.errors import DataError, ResourceError, plural
from fmkit.core.types import SPLITS, Tokenizer
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Content, Examples, ProgressCallback, TextPart
from fmkit.data.findings import UnusableInput
from fmkit.data.loaders.text_loader import Rows, TokenContent
from fmkit.store import array_cache
from fmkit.store.array_cache import ArrayCache, CachedArrays

_VERSION = 2
_CHARACTERS_AT_ONCE = 2**20  # that are tokenised together
_BUFFERED_TOKENS = 2**18  # of a split, until they become windows
_MIN_TOKENS = 2
"""Tokens that the last window of a split needs: with fewer there is nothing to learn."""
_SPLIT_NAMES = (*SPLITS, "all")
"""Names by the numbers that the cache has: keep the order."""


@dataclass(frozen=True)
class Packing:
    """How documents become windows of `max_length` tokens, L.

    A causal model reads one stream of documents, each between the start and end tokens; any other
    model has these at both ends of a window, too, as of a text.
    """

    tokenizer: Tokenizer
    max_length: int
    is_causal: bool

    @property
    def around_window(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after the content of a window."""
        if self.is_causal:
            return [], []
        start, end = self.tokenizer.start, self.tokenizer.end
        return [] if start is None else [start], [] if end is None else [end]

    @property
    def around_document(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a document; one is enough where they are the same."""
        start, end = self.tokenizer.start, self.tokenizer.end
        return [] if start in (None, end) else [start], [] if end is None else [end]


def pack(
    data: Dataset, packing: Packing, store: ArrayCache, source: str, progress: ProgressCallback
) -> Dataset:
    """The windows of a data set, from the cache or packed now, while other jobs wait.

    Classes are dropped; fingerprints stay those of the documents.

    Args:
        source: the data's name, for the list of what is in the cache.

    Raises:
        DataError: a document cannot be read, or a split has none.
        ResourceError: the cache cannot be written.
    """
    content, size = data.examples.content, packing.tokenizer.size
    if not content.text_size():
        raise DataError("a language model learns from texts, and the data has none.")
    facts = {
        "windows": _VERSION,
        "content": content.digest(),
        "splits": {
            name: hashlib.sha256(np.ascontiguousarray(indices, np.int64).data).hexdigest()
            for name, indices in data.splits.items()
        },
        "tokenizer": packing.tokenizer.fingerprint(),
        "max_length": packing.max_length,
        "is_causal": packing.is_causal,
    }
    key = array_cache.key_of(facts)

    def write() -> None:
        dtype = "uint16" if max(size, packing.max_length) < 2**16 else "uint32"
        # A token has some four characters, and takes two bytes or four.
        store.make_room(content.text_size() // 2)
        made = {"model": f"{size:,} tokens", "data": source, "split": "all", "engine": "tokens"}
        store.write(key, facts, made, dtype, _batches(data, packing, progress))

    try:
        entry, lock, _ = store.get_or_compute(key, write, on_wait=lambda: progress(0, 1))
        return _windows_dataset(data, entry.arrays(0, lock))
    except OSError as error:
        raise ResourceError(
            f"the tokens of data={source} cannot be kept in {store.folder}: "
            f"{error.strerror or error}.",
            "Name a folder with room that you may write: runtime.cache_dir=DIR",
        ) from error


def _batches(
    data: Dataset, packing: Packing, progress: ProgressCallback
) -> Iterator[Sequence[np.ndarray]]:
    """Tokens (B, L), and (B, 2) split and length, in the order of the documents."""
    split_of = np.full(len(data.examples), -1, np.int8)
    for name, indices in data.splits.items():
        split_of[indices] = _SPLIT_NAMES.index(name)
    streams = {number: _Stream(packing, number) for number in set(split_of.tolist()) - {-1}}
    total, open_split = len(split_of), -1  # the split of a document that has not ended
    opening, closing = packing.around_document
    for chunk in _text_chunks(data.examples.content, split_of):
        progress(chunk[0].index, total)
        rows = packing.tokenizer.tokens([part.text for part in chunk])
        for part, tokens in zip(chunk, rows, strict=True):
            split = int(split_of[part.index])
            if open_split not in (-1, split):  # the next piece of the document is in another split
                streams[open_split].add(closing)
                open_split = -1
            if open_split == -1 and len(tokens):
                streams[split].add(opening)
                open_split = split
            streams[split].add(tokens)
            if part.is_last and open_split != -1:
                streams[split].add(closing)
                open_split = -1
        for stream in streams.values():
            yield from stream.windows()
    for stream in streams.values():
        yield from stream.windows(at_end=True)
    empty = [_SPLIT_NAMES[stream.split] for stream in streams.values() if not stream.count]
    if empty:
        raise DataError(
            f"the {empty[0]} split has no text of {_MIN_TOKENS} tokens.",
            "Add documents, or set data.val_fraction or data.test_fraction to 0.",
        )


def _text_chunks(content: Content, split_of: np.ndarray) -> Iterator[list[TextPart]]:
    """Parts of documents that are in a split, as many at once as are tokenised together."""
    chunk: list[TextPart] = []
    size = 0
    try:
        for part in content.text_parts():
            if split_of[part.index] < 0:
                continue
            chunk.append(part)
            size += len(part.text) + 1
            if size >= _CHARACTERS_AT_ONCE:
                yield chunk
                chunk, size = [], 0
    except UnusableInput as error:
        raise DataError(f"a document cannot be read any more: {error.why}.") from error
    if chunk:
        yield chunk


class _Stream:
    """The tokens of one split, until they become windows."""

    def __init__(self, packing: Packing, split: int) -> None:
        self.split, self.count = split, 0
        self._length = packing.max_length
        self._before, self._after = packing.around_window
        self._content_length = self._length - len(self._before) - len(self._after)
        self._buffer: list[np.ndarray] = []
        self._size = 0

    def add(self, tokens: Sequence[int] | np.ndarray) -> None:
        """Append tokens."""
        if len(tokens):
            self._buffer.append(np.asarray(tokens, np.int32))
            self._size += len(tokens)

    def windows(self, at_end: bool = False) -> Iterator[Sequence[np.ndarray]]:
        """The windows that are full, once there are many tokens; at the end all of them."""
        size = self._content_length
        if self._size >= size and (at_end or self._size >= _BUFFERED_TOKENS):
            flat = np.concatenate(self._buffer)
            full = len(flat) // size * size
            yield self._rows(flat[:full].reshape(-1, size))
            self._buffer, self._size = [flat[full:].copy()], len(flat) - full
        if at_end and self._size >= _MIN_TOKENS:
            yield self._rows(np.concatenate(self._buffer)[None])

    def _rows(self, content: np.ndarray) -> Sequence[np.ndarray]:
        """Content (B, n) as windows, padded with zeros, and their splits and lengths."""
        begin, end = len(self._before), len(self._before) + content.shape[1]
        rows, length = np.zeros((len(content), self._length), np.int32), end + len(self._after)
        rows[:, :begin], rows[:, begin:end] = self._before, content
        rows[:, end:length] = self._after
        self.count += len(rows)
        return rows, np.full((len(rows), 2), (self.split, length), np.int64)


def _windows_dataset(data: Dataset, arrays: CachedArrays) -> Dataset:
    facts = arrays.tensor(1)  # in the type that the cache has: there may be many millions
    count = len(facts)
    examples = Examples(
        ids=NumberedIds(count),
        labels=np.zeros(count, np.int32),
        classes=(),
        content=Windows(WindowRows(arrays, facts[:, 1].copy())),
    )
    splits = {name: np.flatnonzero(facts[:, 0] == _SPLIT_NAMES.index(name)) for name in data.splits}
    counts = {name: len(indices) for name, indices in splits.items()}
    spec = dataclasses.replace(
        data.spec, classes=(), class_counts={}, counts=counts, annotations="", names=()
    )
    return Dataset(examples, splits, spec)


@dataclass(frozen=True, eq=False)
class Windows(TokenContent):
    """Windows of tokens."""

    layout: ClassVar[str] = "windows"
    columns: ClassVar = ("rows",)
    rows: WindowRows


class WindowRows(Rows):
    """The tokens of windows, read from the cache as needed, so that none are kept in memory.

    Args:
        arrays: of the cache: tokens (N, L), and (N, 2) split and length.
        lengths: tokens of each, (N,) of any whole type: there may be many millions.
        rows: rows of the arrays, (N,); None where these are all rows in their order.
    """

    def __init__(
        self, arrays: CachedArrays, lengths: np.ndarray, rows: np.ndarray | None = None
    ) -> None:
        self._arrays, self._rows, self.lengths = arrays, rows, lengths

    def take(self, indices: np.ndarray) -> WindowRows:
        """The windows at `indices`, in that order."""
        rows = indices if self._rows is None else self._rows[indices]
        return WindowRows(self._arrays, self.lengths[indices], rows)

    def read(self, indices: np.ndarray) -> list[np.ndarray]:
        """The tokens of the windows at `indices`, (n,) int32 each."""
        indices = np.asarray(indices)
        rows = indices if self._rows is None else self._rows[indices]
        tokens, lengths = self._arrays.read(rows, np.int32)[0], self.lengths[indices]
        return [row[:length] for row, length in zip(tokens, lengths, strict=True)]

    def describe(self, max_length: int) -> str:
        """How many tokens there are."""
        total = int(self.lengths.sum())
        return f"{plural(len(self.lengths), 'window')} of {max_length} tokens, {total:,} in all"


class NumberedIds(Sequence[str]):
    """Ids that are made when they are read: `window-000001`, `window-000002` ..."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return f"window-{index % self._count + 1:06d}"
