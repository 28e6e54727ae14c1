"""Tokenizers: a subword vocabulary, the special tokens around a text, and the folder with both.

A folder has `fmkit_tokenizer.json`, and `sentencepiece.model` where the vocabulary comes from such
a file: all that `load` reads. Both hold data only, and reading them builds no other classes than
those of this package. Beside them is `tokenizer.json`, the format of the library `tokenizers`, for
other programs; SentencePiece's own file is what those take elsewhere.

n tokens of a text, N texts, V pieces of a vocabulary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import processors

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
STANDARD = "tokenizer.json"
"""For other programs: `tokenizers.Tokenizer.from_file` reads it and gives the same ids."""
LAYOUTS: dict[str, tuple[str, str, str]] = {
    "bert": ("start", "end", "end"),
    "roberta": ("start", "end end", "end"),
    "t5": ("", "end", "end"),
    "causal": ("start", "end", ""),
}
"""By name, the special tokens before a text, between a pair, and after it all.

As KerasHub's preprocessors put them; they have no pairs for causal models, and there the token of a
text's end stands between. `causal` has no token at the end, since the features of the last token of
the text are what is read.
"""

_FORMAT = 1
_MAX = 128 * 2**20  # bytes of a record; 256,000 pieces and their merges take 12 million
_MAX_PIECES = 4_000_000


class TextTokenizer:
    """A `core.types.Tokenizer`: a subword vocabulary, and special tokens by a layout.

    Attributes:
        pieces: the vocabulary and how texts are written in it.
        layout: a name in `LAYOUTS`.
        size: V.
        start: id of the token before a text, or None.
        end: id of the token after a text, or None.
        mask: id of the token that stands for a hidden one, or None.
        special_ids: ids of all tokens that stand for no text.
        special_tokens: ids before a text, between a pair, and after it all.

    Raises:
        ArtifactError: an id is not in the vocabulary.
    """

    def __init__(
        self,
        pieces: SubwordModel,
        layout: str,
        start: int | None,
        end: int | None,
        mask: int | None = None,
        special_ids: Sequence[int] = (),
    ) -> None:
        named = {token for token in (start, end, mask) if token is not None}
        self.pieces = pieces
        self.layout = layout
        self.size = len(pieces.vocabulary)
        self.start, self.end, self.mask = start, end, mask
        self.special_ids = tuple(sorted({*special_ids, *named}))
        wrong = [str(token) for token in self.special_ids if not 0 <= token < self.size]
        if wrong:
            raise ArtifactError(
                f"a tokenizer of {self.size} pieces has special tokens {join_names(wrong, 5)}."
            )
        if layout not in LAYOUTS:
            raise ArtifactError(received("layout of a tokenizer", layout, list(LAYOUTS)))
        ids = {"start": start, "end": end}
        before, between, after = (
            tuple(token for name in names.split() if (token := ids[name]) is not None)
            for names in LAYOUTS[layout]
        )
        self.special_tokens = (before, between, after)
        self._fingerprint = ""

    def with_layout(self, layout: str) -> TextTokenizer:
        """The same vocabulary with the special tokens of another kind of model."""
        return TextTokenizer(
            self.pieces, layout, self.start, self.end, self.mask, special_ids=self.special_ids
        )

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text's tokens, (n,) int32, without special tokens."""
        return self.pieces.tokens(texts)

    def encode_continuation(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The same for texts that follow others without a space between."""
        if isinstance(self.pieces, SentencePieceModel):
            return self.pieces.encode_continuation(texts)
        return self.pieces.tokens(texts)  # these put no space before what they read

    def offsets(self, texts: Sequence[str], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Where each token of `rows` begins and ends in its text, in characters, (n, 2) each."""
        return self.pieces.offsets(texts, rows)

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Texts or pairs with their special tokens, cut to a length.

        Of a pair the longer text loses tokens first, at its end, and the second one when both are
        as long: what `longest_first` and `round_robin` mean elsewhere. No row is empty.

        Args:
            texts: N of them.
            pairs: the second text of each, or None.
            max_length: most tokens of a row, special ones included.

        Returns:
            N rows (n,) int32, and how many tokens each has uncut, special ones included, (N,)
            int64.

        Raises:
            ConfigError: the special tokens alone are as long.
        """
        parts = [self.tokens(texts)] + ([] if pairs is None else [self.tokens(pairs)])
        before, between, after = self.special_tokens
        room = max_length - len(before) - len(after) - len(between) * (len(parts) - 1)
        if room < len(parts):
            least = max_length - room + len(parts)
            raise ConfigError(received("model.max_length", max_length, f"{least} tokens or more"))
        lengths = [[len(row) for row in rows] for rows in parts]
        counts: np.ndarray = np.array(lengths, np.int64).sum(axis=0)
        encoded = []
        for first, *second in zip(*parts, strict=True):
            length = room  # of the first text
            if second:
                length, rest = cut_pair(len(first), len(second[0]), room)
                second = [between, second[0][:rest]]
            row = np.concatenate([before, first[:length], *second, after]).astype(np.int32)
            # A model without special tokens, such as Qwen, needs some token for an empty text.
            encoded.append(row if len(row) else np.array([self.end or 0], np.int32))
        return encoded, counts + (max_length - room)

    def decode(self, tokens: np.ndarray) -> str:
        """The text of tokens; special ones and padding are left out."""
        ids = np.asarray(tokens, np.int64).ravel()
        is_text = (ids >= 0) & (ids < self.size) & ~np.isin(ids, self.special_ids)
        return self.pieces.decode(ids[is_text].tolist())

    def token_to_id(self, piece: str) -> int | None:
        """The id of a token by its name, such as `<|im_end|>`; None where there is none."""
        vocabulary = self.pieces.vocabulary
        return vocabulary.index(piece) if piece in vocabulary else None

    def is_continuation(self) -> np.ndarray:
        """Which tokens continue a word instead of beginning one, (V,) bool."""
        flags = self.pieces.is_continuation()
        flags[list(self.special_ids)] = False
        return flags

    def fingerprint(self) -> str:
        """SHA-256 of the vocabulary, of how words are split, and of the special tokens."""
        if not self._fingerprint:
            digest = hashlib.sha256(_as_json(self._record()))
            if isinstance(self.pieces, SentencePieceModel):
                digest.update(self.pieces.proto)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def save(self, folder: Path, notes: dict[str, Any] | None = None) -> None:
        """Write all that `load` needs, and `tokenizer.json`, into a folder that exists.

        Args:
            folder: empty, or with a tokenizer that is replaced.
            notes: how it was made, kept for readers in the record; `load` ignores them.
        """
        if isinstance(self.pieces, SentencePieceModel):
            files.write_bytes(folder / PROTO, self.pieces.proto)
        engine = self.pieces.to_library()
        if engine is None:
            (folder / STANDARD).unlink(missing_ok=True)  # of a tokenizer of another kind
        else:
            before, between, after = LAYOUTS[self.layout]
            ids = {"start": self.start, "end": self.end}
            single, pair = (
                [name for name in template.split() if ids.get(name, 0) is not None]
                for template in (f"{before} $A {after}", f"{before} $A {between} $B {after}")
            )
            special_tokens = [
                {"id": name, "ids": [token], "tokens": [self.pieces.vocabulary[token]]}
                for name, token in ids.items()
                if token is not None
            ]
            engine.post_processor = processors.TemplateProcessing(single, pair, special_tokens)
            files.write_bytes(folder / STANDARD, engine.to_str(pretty=False).encode())
        made = {} if notes is None else {"made": notes}
        files.write_bytes(folder / RECORD, _as_json({**self._record(), **made}))

    def _record(self) -> dict[str, Any]:
        kind = next(name for name, model in _KINDS.items() if isinstance(self.pieces, model))
        return {
            "format": _FORMAT,
            "kind": kind,
            "layout": self.layout,
            "start": self.start,
            "end": self.end,
            "mask": self.mask,
            "special": list(self.special_ids),
            **{name: getattr(self.pieces, name) for name in _FIELDS[kind]},
        }


def cut_pair(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of each text of a pair are left where both have to fit into `room`."""
    left = min(first, max(room - second, room - room // 2))
    return left, min(second, room - left)


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
        return _from_record(record, folder)
    except FileNotFoundError as error:
        missing = Path(error.filename or RECORD).name
        raise ArtifactError(
            f"{folder} does not hold a tokenizer: it has no {missing}.",
            "Make one with fmkit tokenizer train, or take the tokenizer folder of a run.",
        ) from error
    except ArtifactError as error:
        raise ArtifactError(f"{folder}: {error.message}", error.hint) from error
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtifactError(f"{folder / RECORD} cannot be used: {error}.") from error


def _from_record(record: Any, folder: Path) -> TextTokenizer:
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise ValueError(f"it is not a tokenizer in format {_FORMAT}")
    kind = record["kind"]
    if kind not in _KINDS:
        raise ValueError(received("kind", kind, list(_KINDS)))
    settings = {name: _checked(record, name, type_) for name, type_ in _FIELDS[kind].items()}
    if settings.get("pattern", "gpt2") not in PATTERNS:
        raise ValueError(received("pattern", settings["pattern"], list(PATTERNS)))
    if kind == "sentence_piece":
        if not 0 <= settings["shift"] <= 16:
            raise ValueError(received("shift", settings["shift"], "0 to 16"))
        settings["proto"] = safe_io.read_bytes(folder / PROTO, _MAX)
    start, end, mask = (_checked(record, name, int) for name in ("start", "end", "mask"))
    special = record["special"]
    if not isinstance(special, list) or not all(type(token) is int for token in special):
        raise ValueError("special has to be a list of numbers")
    pieces = _KINDS[kind](**settings)
    return TextTokenizer(pieces, record["layout"], start, end, mask, special)


def _checked(record: dict[str, Any], name: str, kind: type) -> Any:
    value = record[name]
    if value is None and kind is int and name != "shift":
        return None
    if kind is tuple:
        if not isinstance(value, list) or len(value) > _MAX_PIECES:
            raise ValueError(f"{name} has to be a list of at most {_MAX_PIECES:,} texts")
        if not all(isinstance(piece, str) for piece in value):
            raise ValueError(f"{name} has to hold texts only")
        return tuple(value)
    if type(value) is not kind:
        raise ValueError(f"{name} has to be of the type {kind.__name__}")
    return value


def _as_json(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=True, sort_keys=True).encode()
