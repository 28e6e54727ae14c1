"""Tokenizers: pieces of texts, the marks around them, and how a folder keeps both.

A folder has `fmkit_tokenizer.json`, and `sentencepiece.model` where the pieces come from such a
file. Both hold data only; reading them builds no other classes than those of this room.

n tokens of a text, N texts, V pieces of a vocabulary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.core import files, safe_io
from fmkit.core.errors import ArtifactError, ConfigError, join_names, received
from fmkit.models.tokenizers.subword import (
    PATTERNS,
    BytePairModel,
    SentencePieceModel,
    SubwordModel,
    WordPieceModel,
)

RECORD = "fmkit_tokenizer.json"
PROTO = "sentencepiece.model"
LAYOUTS: dict[str, tuple[str, str, str]] = {
    "bert": ("start", "end", "end"),
    "roberta": ("start", "end end", "end"),
    "t5": ("", "end", "end"),
    "causal": ("start", "end", ""),
}
"""By name, the marks before a text, between a pair, and after it all.

As KerasHub's preprocessors put them; of a pair for a causal model it says nothing, and there the
mark of a text's end stands between. `causal` has no mark at the end, since the features of the last
token of the text are what is read.
"""

_FORMAT = 1
_MAX = 128 * 2**20  # bytes of a record; 256,000 pieces and their merges take 12 million
_MAX_PIECES = 4_000_000


class TextTokenizer:
    """A `spec.Tokenizer`: pieces of a vocabulary, and marks by a layout.

    Attributes:
        pieces: the vocabulary and how texts are written in it.
        layout: a name in `LAYOUTS`.
        size: V.
        start: number of the mark before a text, or None.
        end: number of the mark after a text, or None.
        mask: number of the piece that stands for a hidden one, or None.
        special: numbers of all pieces that stand for no text.
        marks: pieces before a text, between a pair, and after it all.

    Raises:
        ArtifactError: a number is not in the vocabulary.
    """

    def __init__(
        self,
        pieces: SubwordModel,
        layout: str,
        start: int | None,
        end: int | None,
        mask: int | None = None,
        special: Sequence[int] = (),
    ) -> None:
        marks = {each for each in (start, end, mask) if each is not None}
        self.pieces = pieces
        self.layout = layout
        self.size = len(pieces.vocabulary)
        self.start, self.end, self.mask = start, end, mask
        self.special = tuple(sorted({*special, *marks}))
        wrong = [str(each) for each in self.special if not 0 <= each < self.size]
        if wrong:
            raise ArtifactError(
                f"a tokenizer of {self.size} pieces has special tokens {join_names(wrong, 5)}."
            )
        if layout not in LAYOUTS:
            raise ArtifactError(received("layout of a tokenizer", layout, list(LAYOUTS)))
        before, between, after = (self._numbers(names) for names in LAYOUTS[layout])
        self.marks = (before, between, after)
        self._fingerprint = ""

    def with_layout(self, layout: str) -> TextTokenizer:
        """The same pieces with the marks of another kind of model."""
        return TextTokenizer(
            self.pieces, layout, self.start, self.end, self.mask, special=self.special
        )

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The tokens of each text, (n,) int32, without marks."""
        return self.pieces.tokens(texts)

    def inside(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The same of texts that stand behind others without a space."""
        if isinstance(self.pieces, SentencePieceModel):
            return self.pieces.inside(texts)
        return self.pieces.tokens(texts)  # these put no space before what they read

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Texts or pairs with their marks, cut to a length.

        Of a pair the longer text loses tokens first, at its end, and the second one when both are
        as long: what `longest_first` and `round_robin` mean elsewhere. No row is empty.

        Args:
            texts: N of them.
            pairs: the second text of each, or None.
            max_length: most tokens of a row, marks included.

        Returns:
            N rows (n,) int32, and how many tokens each has uncut, marks included, (N,) int64.

        Raises:
            ConfigError: the marks alone are as long.
        """
        rows = [self.tokens(texts)] + ([] if pairs is None else [self.tokens(pairs)])
        before, between, after = self.marks
        room = max_length - len(before) - len(after) - len(between) * (len(rows) - 1)
        if room < len(rows):
            least = max_length - room + len(rows)
            raise ConfigError(received("model.max_length", max_length, f"{least} tokens or more"))
        lengths = [[len(each) for each in part] for part in rows]
        counts: np.ndarray = np.array(lengths, np.int64).sum(axis=0)
        if pairs is None:
            encoded = [self._row(first[:room]) for first in rows[0]]
        else:
            encoded = [
                self._row(*_cut_pair(first, second, room))
                for first, second in zip(*rows, strict=True)
            ]
        return encoded, counts + (max_length - room)

    def text(self, tokens: np.ndarray) -> str:
        """The text of tokens; special ones and padding are left out."""
        special = set(self.special)
        kept = [int(each) for each in np.asarray(tokens).ravel()]
        return self.pieces.text(
            [each for each in kept if 0 <= each < self.size and each not in special]
        )

    def number(self, piece: str) -> int | None:
        """The number of a piece by its name, such as `<|im_end|>`; None where there is none."""
        found = self.pieces.vocabulary
        return found.index(piece) if piece in found else None

    def continues(self) -> np.ndarray:
        """Which tokens go on a word instead of beginning one, (V,) bool."""
        found = self.pieces.continues()
        found[list(self.special)] = False
        return found

    def fingerprint(self) -> str:
        """SHA-256 of the vocabulary, of how words are split, and of the marks."""
        if not self._fingerprint:
            digest = hashlib.sha256(_as_json(self._record()))
            if isinstance(self.pieces, SentencePieceModel):
                digest.update(self.pieces.proto)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def save(self, folder: Path, notes: dict[str, Any] | None = None) -> None:
        """Write all that `load` needs into a folder that is there.

        Args:
            folder: empty, or with a tokenizer that is replaced.
            notes: how it came about, kept for readers in the record; `load` passes over them.
        """
        if isinstance(self.pieces, SentencePieceModel):
            files.write_bytes(folder / PROTO, self.pieces.proto)
        told = {} if notes is None else {"made": notes}
        files.write_bytes(folder / RECORD, _as_json({**self._record(), **told}))

    def _record(self) -> dict[str, Any]:
        kind = next(name for name, each in _KINDS.items() if isinstance(self.pieces, each))
        return {
            "format": _FORMAT,
            "kind": kind,
            "layout": self.layout,
            "start": self.start,
            "end": self.end,
            "mask": self.mask,
            "special": list(self.special),
            **{name: getattr(self.pieces, name) for name in _FIELDS[kind]},
        }

    def _numbers(self, names: str) -> tuple[int, ...]:
        marks = {"start": self.start, "end": self.end}
        found = [marks[name] for name in names.split()]
        return tuple(each for each in found if each is not None)

    def _row(self, first: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
        before, between, after = self.marks
        parts: list[Any] = [before, first]
        if second is not None:
            parts += [between, second]
        row = np.concatenate([*parts, after]).astype(np.int32)
        if len(row):
            return row
        # A model that reads no marks, such as Qwen, has to be shown something for an empty text.
        return np.array([self.end or 0], np.int32)


_KINDS: dict[str, type] = {
    "word_piece": WordPieceModel,
    "byte_pair": BytePairModel,
    "sentence_piece": SentencePieceModel,
}
_FIELDS: dict[str, dict[str, type]] = {
    "word_piece": {
        "vocabulary": tuple, "lowercase": bool, "strip_accents": bool, "prefix": str,
        "unknown": str,
    },
    "byte_pair": {"vocabulary": tuple, "merges": tuple, "pattern": str, "prefix_space": bool},
    "sentence_piece": {"shift": int, "unknown": int, "extra": tuple},
}  # fmt: skip
"""What is recorded of each kind of pieces, and its type."""


def load(folder: Path) -> TextTokenizer:
    """The tokenizer that `TextTokenizer.save` wrote into a folder.

    Raises:
        ArtifactError: there is none, or the files are not what was written.
    """
    try:
        record = json.loads(safe_io.read_bytes(folder / RECORD, _MAX))
        return _built(record, folder)
    except FileNotFoundError as error:
        missing = Path(error.filename or RECORD).name
        raise ArtifactError(
            f"{folder} is no folder of a tokenizer: it has no {missing}.",
            "Make one with fmkit tokenizer train, or take the tokenizer folder of a run.",
        ) from error
    except ArtifactError as error:
        raise ArtifactError(f"{folder}: {error.message}", error.hint) from error
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtifactError(f"{folder / RECORD} cannot be used: {error}.") from error


def _built(record: Any, folder: Path) -> TextTokenizer:
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise ValueError(f"it is no record of a tokenizer in format {_FORMAT}")
    kind = record["kind"]
    if kind not in _KINDS:
        raise ValueError(received("kind", kind, list(_KINDS)))
    settings = {name: _checked(record, name, each) for name, each in _FIELDS[kind].items()}
    if settings.get("pattern", "gpt2") not in PATTERNS:
        raise ValueError(received("pattern", settings["pattern"], list(PATTERNS)))
    if kind == "sentence_piece":
        if not 0 <= settings["shift"] <= 16:
            raise ValueError(received("shift", settings["shift"], "0 to 16"))
        settings["proto"] = safe_io.read_bytes(folder / PROTO, _MAX)
    start, end, mask = (_checked(record, each, int, True) for each in ("start", "end", "mask"))
    special = record["special"]
    if not isinstance(special, list) or not all(type(each) is int for each in special):
        raise ValueError("special has to be a list of numbers")
    pieces = _KINDS[kind](**settings)
    return TextTokenizer(pieces, record["layout"], start, end, mask, special)


def _checked(record: dict[str, Any], name: str, kind: type, optional: bool = False) -> Any:
    value = record[name]
    if value is None and (optional or (kind is int and name == "unknown")):
        return None
    if kind is tuple:
        if not isinstance(value, list) or len(value) > _MAX_PIECES:
            raise ValueError(f"{name} has to be a list of at most {_MAX_PIECES:,} texts")
        if not all(isinstance(each, str) for each in value):
            raise ValueError(f"{name} has to hold texts only")
        return tuple(value)
    if type(value) is not kind:
        raise ValueError(f"{name} has to be of the type {kind.__name__}")
    return value


def _cut_pair(first: np.ndarray, second: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    short = room // 2
    keep = min(len(first), max(room - len(second), room - short))
    return first[:keep], second[: room - keep]


def _as_json(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=True, sort_keys=True).encode()
