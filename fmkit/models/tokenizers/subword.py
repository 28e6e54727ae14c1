"""Subword vocabularies and how they split texts: WordPiece, byte-level BPE and SentencePiece.

The work is done by the libraries `tokenizers` and `sentencepiece`, which KerasHub uses too. A word
is split as the models were trained, after the reference implementations: KerasHub 0.32 splits words
for every byte-level vocabulary as Llama 3 does, so that "2025" or a run of spaces can come out
differently there.

V pieces of a vocabulary, n pieces of a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import sentencepiece
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from fmkit.core.errors import ArtifactError

_AT_ONCE = 512  # texts that are tokenised together, to bound the memory of their results
_LONGEST_WORD = 100  # letters; the original WordPiece encodes longer ones as unknown
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = "\u2581"
"""What SentencePiece writes for a space."""

_SPACE_BYTES = "ĠĊĉčĈċ"
"""How byte-level BPE writes space, newline, tab, carriage return and their like."""

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}"
_QWEN = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}"
_BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTIONS}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class SubwordModel(Protocol):
    """A vocabulary and how texts are encoded in it, without special tokens."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The pieces by number, (V,)."""
        ...

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Numbers of each text's pieces, (n,) int32."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text that pieces stand for."""
        ...

    def is_continuation(self) -> np.ndarray:
        """Which pieces continue a word, (V,) bool."""
        ...

    def to_library(self) -> tokenizers.Tokenizer | None:
        """A copy as the library `tokenizers` has it; None where that cannot give the same ids."""
        ...


@dataclass(frozen=True)
class WordPieceModel:
    """BERT's WordPiece: words split at spaces and punctuation, then the longest pieces first.

    Attributes:
        vocabulary: the pieces by number; those that continue a word begin with `prefix`.
        lowercase: whether text is lower-cased.
        strip_accents: whether accents are removed.
        prefix: how a piece that continues a word begins.
        unknown: the piece that stands for a word that cannot be written.

    Raises:
        ArtifactError: `unknown` is not in the vocabulary.
    """

    vocabulary: tuple[str, ...]
    lowercase: bool = True
    strip_accents: bool = True
    prefix: str = "##"
    unknown: str = "[UNK]"
    _engine: tokenizers.Tokenizer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.unknown not in self.vocabulary:
            raise ArtifactError(f"the vocabulary of a WordPiece tokenizer lacks {self.unknown}.")
        engine = word_piece_engine(self.lowercase, self.strip_accents)
        engine.model = models.WordPiece(
            {piece: number for number, piece in enumerate(self.vocabulary)},
            unk_token=self.unknown,
            continuing_subword_prefix=self.prefix,
            max_input_chars_per_word=_LONGEST_WORD,
        )
        engine.decoder = decoders.WordPiece(prefix=self.prefix)
        object.__setattr__(self, "_engine", engine)

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Numbers of each text's pieces, (n,) int32."""
        return _encoded(self._engine, texts)

    def decode(self, tokens: Sequence[int]) -> str:
        """The words, with a space between; lower-cased words stay so."""
        return str(self._engine.decode(list(tokens), skip_special_tokens=False))

    def is_continuation(self) -> np.ndarray:
        """Pieces that begin with the prefix, (V,) bool."""
        return np.array([each.startswith(self.prefix) for each in self.vocabulary], bool)

    def to_library(self) -> tokenizers.Tokenizer:
        """A copy as the library `tokenizers` has it."""
        return tokenizers.Tokenizer.from_str(self._engine.to_str())


@dataclass(frozen=True)
class BytePairModel:
    """Byte-level BPE: words split by a family's pattern, then pairs of pieces merged by rank.

    Attributes:
        vocabulary: the pieces by number, in the alphabet that stands for bytes (`Ġ` is a space).
        merges: pairs `left right`, the first ones before all others.
        pattern: how words are split, a name in `PATTERNS`.
        prefix_space: whether a space is put before the text.

    Raises:
        ArtifactError: a merge is not a pair, or makes a piece that is not in the vocabulary.
    """

    vocabulary: tuple[str, ...]
    merges: tuple[str, ...] = ()
    pattern: str = "gpt2"
    prefix_space: bool = False
    _engine: tokenizers.Tokenizer = field(init=False, repr=False, compare=False)
    _by_byte: np.ndarray | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pairs = [tuple(each.split(" ")) for each in self.merges]
        wrong = next((each for each in pairs if len(each) != 2), None)
        if wrong is not None:
            raise ArtifactError(f"a merge of a BPE tokenizer is not a pair of pieces: {wrong!r}.")
        engine = byte_pair_engine(self.pattern, self.prefix_space)
        try:
            engine.model = models.BPE(
                {piece: number for number, piece in enumerate(self.vocabulary)},
                [(left, right) for left, right in pairs],
                ignore_merges=self.pattern in _WHOLE_FIRST,
            )
        except Exception as error:  # the library raises nothing more special
            raise ArtifactError(f"a BPE vocabulary does not fit its merges: {error}.") from error
        object.__setattr__(self, "_engine", engine)
        object.__setattr__(self, "_by_byte", self._table())

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Numbers of each text's pieces, (n,) int32."""
        if self._by_byte is not None:
            return [
                self._by_byte[np.frombuffer(readable(each).encode(), np.uint8)] for each in texts
            ]
        return _encoded(self._engine, texts)

    def decode(self, tokens: Sequence[int]) -> str:
        """The bytes that pieces stand for, read as UTF-8."""
        return str(self._engine.decode(list(tokens), skip_special_tokens=False))

    def is_continuation(self) -> np.ndarray:
        """Pieces that do not begin with white space, (V,) bool."""
        return np.array([not each.startswith(tuple(_SPACE_BYTES)) for each in self.vocabulary])

    def to_library(self) -> tokenizers.Tokenizer:
        """A copy as the library `tokenizers` has it."""
        return tokenizers.Tokenizer.from_str(self._engine.to_str())

    def _table(self) -> np.ndarray | None:
        """By byte, its id; None where pieces are longer than a byte or a byte is missing."""
        if self.merges or self.prefix_space or self.pattern in (*_COMPOSED, *_WHOLE_FIRST):
            return None
        numbers = {piece: number for number, piece in enumerate(self.vocabulary)}
        ids = [numbers.get(letter, -1) for letter in byte_letters()]
        return None if min(ids) < 0 else np.array(ids, np.int32)


@dataclass(frozen=True)
class SentencePieceModel:
    """A SentencePiece model, unigram or BPE.

    Attributes:
        proto: content of the model's file.
        shift: what is added to its numbers, as XLM-RoBERTa's fairseq did.
        unknown: number of the unknown piece where it is not simply shifted.
        extra: pieces that the model reads and the file lacks, such as `[MASK]`, put last.

    Raises:
        ArtifactError: it is not such a file.
    """

    proto: bytes = field(repr=False)
    shift: int = 0
    unknown: int | None = None
    extra: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)
    _engine: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            engine = sentencepiece.SentencePieceProcessor(model_proto=self.proto)
            count = int(engine.vocab_size())
            pieces = [str(engine.IdToPiece(number)) for number in range(count)]
        except Exception as error:
            raise ArtifactError(f"a SentencePiece model cannot be read: {error}.") from error
        shifted = (*(f"<shift {number}>" for number in range(self.shift)), *pieces, *self.extra)
        object.__setattr__(self, "vocabulary", shifted)
        object.__setattr__(self, "_numbers", {each: at for at, each in enumerate(shifted)})
        object.__setattr__(self, "_engine", engine)

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Numbers of each text's pieces, (n,) int32."""
        rows = []
        for chunk in _chunks(texts):
            rows += [np.array(row, np.int32) for row in self._engine.Encode(chunk, out_type=int)]
        if not self.shift and self.unknown is None:
            return rows
        return [self._shifted(row) for row in rows]

    def encode_continuation(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The same for texts that follow others without a space, such as `-` and `5` in `4-5`.

        The library puts a space before every text. Its sign is removed from the first piece, which
        is replaced by the longest pieces of the rest; where the vocabulary lacks one, it stays.
        """
        return [self._without_space(row) for row in self.tokens(texts)]

    def _without_space(self, row: np.ndarray) -> np.ndarray:
        piece = self.vocabulary[row[0]] if len(row) else ""
        if not piece.startswith(_SPACE):
            return row
        rest, ids = piece.removeprefix(_SPACE), []
        while rest:
            lengths = range(len(rest), 0, -1)
            end = next((length for length in lengths if rest[:length] in self._numbers), 0)
            if not end:
                return row
            ids.append(self._numbers[rest[:end]])
            rest = rest[end:]
        return np.concatenate([np.array(ids, np.int32), row[1:]])

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of the pieces, with a space for each sign of one."""
        count = int(self._engine.vocab_size())
        numbers = [int(each) - self.shift for each in tokens]
        return str(self._engine.Decode([each for each in numbers if 0 <= each < count]))

    def is_continuation(self) -> np.ndarray:
        """Pieces that do not begin with the sign of a space, (V,) bool."""
        return np.array([not each.startswith(_SPACE) for each in self.vocabulary], bool)

    def to_library(self) -> None:
        """None: its normalisation is a table in the model's file, which the library reads anew."""

    def _shifted(self, row: np.ndarray) -> np.ndarray:
        shifted = row + np.int32(self.shift)
        if self.unknown is not None:
            shifted[row == self._engine.unk_id()] = self.unknown
        return shifted


def word_piece_engine(lowercase: bool, strip_accents: bool) -> tokenizers.Tokenizer:
    """A WordPiece tokenizer that has no vocabulary yet: it splits words as BERT does."""
    engine = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106
    engine.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=True,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return engine


def byte_pair_engine(pattern: str, prefix_space: bool = False) -> tokenizers.Tokenizer:
    """A byte-level tokenizer that has no vocabulary yet.

    Args:
        pattern: how words are split, a name in `PATTERNS`.
        prefix_space: whether a space is put before the text.
    """
    engine = tokenizers.Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.Sequence(PATTERNS[pattern](prefix_space))
    if pattern in _COMPOSED:
        engine.normalizer = normalizers.NFC()
    engine.decoder = decoders.ByteLevel()
    return engine


def byte_letters() -> tuple[str, ...]:
    """By byte, the letter in which byte-level BPE writes it, as GPT-2's encoder.py has it."""
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}  # visible characters stay
    hidden = iter(range(256, 512))
    return tuple(chr(byte if byte in shown else next(hidden)) for byte in range(256))


def byte_alphabet() -> tuple[str, ...]:
    """The 256 letters in which byte-level BPE writes bytes, sorted."""
    return tuple(sorted(byte_letters()))


def readable(text: str) -> str:
    """The text as valid Unicode: lone surrogates become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", text)
    return text


def _bytes(prefix_space: bool, use_regex: bool = False) -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=use_regex)


def _split(pattern: str) -> Callable[[bool], list[Any]]:
    def parts(prefix_space: bool) -> list[Any]:
        words = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        return [words, _bytes(prefix_space)]

    return parts


def _gpt2(prefix_space: bool) -> list[Any]:
    return [_bytes(prefix_space, use_regex=True)]


def _single_digits(prefix_space: bool) -> list[Any]:
    return [pre_tokenizers.Digits(individual_digits=True), *_gpt2(prefix_space)]


def _falcon(prefix_space: bool) -> list[Any]:
    return [
        pre_tokenizers.Punctuation(behavior="contiguous"),
        *_gpt2(prefix_space),
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), behavior="isolated"),
    ]


PATTERNS: dict[str, Callable[[bool], list[Any]]] = {
    "bloom": _split(_BLOOM),
    "falcon": _falcon,
    "gpt2": _gpt2,
    "llama3": _split(_LLAMA3),
    "o200k": _split(_O200K),
    "qwen": _split(_QWEN),
    "single_digits": _single_digits,
}
"""By name, how a family of byte-level tokenizers splits words; from their tokenizer.json files."""
REGEXES = {_BLOOM: "bloom", _LLAMA3: "llama3", _O200K: "o200k", _QWEN: "qwen"}
"""By the regular expression in a tokenizer.json, the name of the pattern."""
_WHOLE_FIRST = ("llama3", "o200k")  # a word that is a piece is taken whole, without merging
_COMPOSED = ("qwen",)  # Unicode in composed form


def _encoded(engine: tokenizers.Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    rows: list[np.ndarray] = []
    for chunk in _chunks(texts):
        encoded = engine.encode_batch_fast(chunk, add_special_tokens=False)
        rows += [np.array(each.ids, np.int32) for each in encoded]
    return rows


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), _AT_ONCE):
        yield [readable(each) for each in texts[start : start + _AT_ONCE]]
