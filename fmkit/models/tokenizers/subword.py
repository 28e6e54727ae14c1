"""Subword vocabularies and how they split texts: WordPiece, byte-level BPE and SentencePiece.

The work is done by the libraries `tokenizers` and `sentencepiece`, which KerasHub uses too. A word
is split as the models were trained, after the reference implementations: KerasHub 0.32 splits words
for every byte-level vocabulary as Llama 3 does, so that "2025" or a run of spaces can come out
differently there.

V pieces of a vocabulary, n pieces of a text.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sentencepiece
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from fmkit.core.errors import ArtifactError

_CHUNK = 2**20  # characters
_AT_ONCE = 512  # texts that are tokenised together, to bound the memory of their results
_LONGEST_WORD = 100  # letters; the original WordPiece encodes longer ones as unknown
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = "\u2581"
"""What SentencePiece writes for a space."""

_SPACE_BYTES = tuple("ĠĊĉčĈċ")
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


class SubwordModel:
    """A vocabulary and how texts are encoded in it, without special tokens.

    This base class does it with an engine of the library `tokenizers`.
    """

    vocabulary: tuple[str, ...]
    """The pieces by number, (V,)."""
    _engine: Any

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Numbers of each text's pieces, (n,) int32."""
        rows: list[np.ndarray] = []
        for chunk in _chunks(texts):
            encodings = self._engine.encode_batch_fast(chunk, add_special_tokens=False)
            rows += [np.array(encoding.ids, np.int32) for encoding in encodings]
        return rows

    def offsets(self, texts: Sequence[str], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Where each piece of texts begins and ends in them, in characters, (n, 2) each.

        Args:
            texts: of any content.
            rows: their pieces.
        """
        offsets: list[np.ndarray] = []
        for chunk in _chunks(texts):
            encodings = self._engine.encode_batch(chunk, add_special_tokens=False)
            offsets += [np.array(row.offsets, np.int64).reshape(-1, 2) for row in encodings]
        return offsets

    def decode(self, tokens: Sequence[int]) -> str:
        """The text that pieces stand for; lower-cased words stay so."""
        return str(self._engine.decode(list(tokens), skip_special_tokens=False))

    def is_continuation(self) -> np.ndarray:
        """Which pieces continue a word, (V,) bool."""
        raise NotImplementedError

    def to_library(self) -> tokenizers.Tokenizer | None:
        """A copy as the library `tokenizers` has it; None where that cannot give the same ids."""
        return tokenizers.Tokenizer.from_str(self._engine.to_str())


@dataclass(frozen=True)
class WordPieceModel(SubwordModel):
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

    def is_continuation(self) -> np.ndarray:
        """Pieces that begin with the prefix, (V,) bool."""
        return np.array([piece.startswith(self.prefix) for piece in self.vocabulary], bool)


@dataclass(frozen=True)
class BytePairModel(SubwordModel):
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
        pairs = [tuple(merge.split(" ")) for merge in self.merges]
        wrong = next((pair for pair in pairs if len(pair) != 2), None)
        if wrong is not None:
            raise ArtifactError(f"a merge of a BPE tokenizer is not a pair of pieces: {wrong!r}.")
        engine = byte_pair_engine(self.pattern, self.prefix_space)
        ids = {piece: number for number, piece in enumerate(self.vocabulary)}
        try:
            engine.model = models.BPE(
                ids,
                [(left, right) for left, right in pairs],
                ignore_merges=self.pattern in _WHOLE_FIRST,
            )
        except Exception as error:  # the library raises nothing more special
            raise ArtifactError(f"a BPE vocabulary does not fit its merges: {error}.") from error
        # Where no piece is longer than a byte, a table of their ids does without the library.
        table = np.array([ids.get(letter, -1) for letter in byte_letters()], np.int32)
        is_plain = not (
            self.merges or self.prefix_space or self.pattern in (*_COMPOSED, *_WHOLE_FIRST)
        )
        object.__setattr__(self, "_engine", engine)
        object.__setattr__(self, "_by_byte", table if is_plain and table.min() >= 0 else None)

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Numbers of each text's pieces, (n,) int32."""
        if self._by_byte is None:
            return super().tokens(texts)
        return [self._by_byte[np.frombuffer(readable(text).encode(), np.uint8)] for text in texts]

    def offsets(self, texts: Sequence[str], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Where each piece begins and ends, (n, 2); each byte of a character has all of it."""
        if self._by_byte is None:
            return super().offsets(texts, rows)
        offsets = []
        for text in map(readable, texts):
            places = np.repeat(np.arange(len(text)), [len(letter.encode()) for letter in text])
            offsets.append(np.stack([places, places + 1], axis=1).astype(np.int64))
        return offsets

    def is_continuation(self) -> np.ndarray:
        """Pieces that do not begin with white space, (V,) bool."""
        return np.array([not piece.startswith(_SPACE_BYTES) for piece in self.vocabulary])


@dataclass(frozen=True)
class SentencePieceModel(SubwordModel):
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
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)
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
        object.__setattr__(self, "_ids", {piece: number for number, piece in enumerate(shifted)})
        object.__setattr__(self, "_engine", engine)

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Numbers of each text's pieces, (n,) int32."""
        rows = []
        for chunk in _chunks(texts):
            rows += [np.array(row, np.int32) for row in self._engine.Encode(chunk, out_type=int)]
        if not self.shift and self.unknown is None:
            return rows
        shifted = [row + np.int32(self.shift) for row in rows]
        if self.unknown is not None:
            for before, row in zip(rows, shifted, strict=True):
                row[before == self._engine.unk_id()] = self.unknown
        return shifted

    def offsets(self, texts: Sequence[str], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Where each piece begins and ends, (n, 2), by the letters of the pieces.

        Where these are not those of the text, which normalisation has changed, each piece has the
        whole text. (The library's own offsets have another name in each of its versions.)
        """
        offsets = []
        for text, row in zip(texts, rows, strict=True):
            letters = [self.vocabulary[token].replace(_SPACE, " ") for token in row]
            written = "".join(letters)
            is_same = written.lstrip(" ") == text.lstrip(" ")
            spans = np.tile(np.array([[0, len(text)]], np.int64), (len(row), 1))
            if len(row) and is_same:
                ends = np.cumsum([len(part) for part in letters], dtype=np.int64)
                ends = np.maximum(ends - (len(written) - len(text)), 0)  # of the space in front
                spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
            offsets.append(spans)
        return offsets

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
            ends = range(len(rest), 0, -1)
            end = next((end for end in ends if rest[:end] in self._ids), 0)
            if not end:
                return row
            ids.append(self._ids[rest[:end]])
            rest = rest[end:]
        return np.concatenate([np.array(ids, np.int32), row[1:]])

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of the pieces, with a space for each sign of one."""
        count = int(self._engine.vocab_size())
        numbers = [int(token) - self.shift for token in tokens]
        return str(self._engine.Decode([number for number in numbers if 0 <= number < count]))

    def is_continuation(self) -> np.ndarray:
        """Pieces that do not begin with the sign of a space, (V,) bool."""
        return np.array([not piece.startswith(_SPACE) for piece in self.vocabulary], bool)

    def to_library(self) -> None:
        """None: its normalisation is a table in the model's file, which the library reads anew."""


def word_piece_engine(lowercase: bool, strip_accents: bool) -> tokenizers.Tokenizer:
    """A WordPiece tokenizer that has no vocabulary yet: it splits words as BERT does."""
    engine = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106
    # Without control characters, and with every Chinese character as a word, which are defaults.
    engine.normalizer = normalizers.BertNormalizer(strip_accents=strip_accents, lowercase=lowercase)
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


def _steps(before: Sequence[Any] = (), after: Sequence[Any] = (), use_regex: bool = True) -> Any:
    """How words are split: some steps, GPT-2's own or none, and some more."""

    def steps(prefix_space: bool) -> list[Any]:
        own = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=use_regex)
        return [*before, own, *after]

    return steps


def _split(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


PATTERNS: dict[str, Callable[[bool], list[Any]]] = {
    "bloom": _steps([_split(_BLOOM)], use_regex=False),
    "falcon": _steps(
        [pre_tokenizers.Punctuation(behavior="contiguous")],
        [pre_tokenizers.Digits(individual_digits=False), _split("[0-9][0-9][0-9]")],
    ),
    "gpt2": _steps(),
    "llama3": _steps([_split(_LLAMA3)], use_regex=False),
    "o200k": _steps([_split(_O200K)], use_regex=False),
    "qwen": _steps([_split(_QWEN)], use_regex=False),
    "single_digits": _steps([pre_tokenizers.Digits(individual_digits=True)]),
}
"""By name, how a family of byte-level tokenizers splits words; from their tokenizer.json files."""
REGEXES = {_BLOOM: "bloom", _LLAMA3: "llama3", _O200K: "o200k", _QWEN: "qwen"}
"""By the regular expression in a tokenizer.json, the name of the pattern."""
_WHOLE_FIRST = ("llama3", "o200k")  # a word that is a piece is taken whole, without merging
_COMPOSED = ("qwen",)  # Unicode in composed form


def chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Lists of texts that have some million characters each, to bound the memory that they take."""
    pending: list[str] = []
    size = 0
    for text in texts:
        pending.append(text)
        size += len(text)
        if size >= _CHUNK:
            yield pending
            pending, size = [], 0
    if pending:
        yield pending


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), _AT_ONCE):
        yield [readable(text) for text in texts[start : start + _AT_ONCE]]
