"""Tokenizers against KerasHub's own preprocessors, and against what texts may hold."""

import io
import json

import keras_hub
import numpy as np
import pytest
import sentencepiece
import tokenizers as tokenizers_library

from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.models.text.small import byte_tokenizer
from fmkit.models.tokenizers import tokenizer as tokenizers
from fmkit.models.tokenizers.subword import (
    PATTERNS,
    BytePairModel,
    SentencePieceModel,
    WordPieceModel,
    byte_alphabet,
)
from fmkit.models.tokenizers.tokenizer import PROTO, RECORD, TextTokenizer

TEXTS = ["The quick brown fox.", "the foxes' quickest", "", "Fox, fox; über-fox 12!", "不 fox"]
PAIRS = ["A lazy dog", "", "the dog " * 9, "dog", "brown"]

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "qu", "##ick", "##est", "brown"]
WORDS += ["fox", "##es", "a", "lazy", "dog", "'", ".", ",", ";", "!", "-", "1", "##2", "不", "uber"]

MERGES = ["Ġ f", "o x", "Ġf ox", "Ġ d", "o g", "Ġd og", "q u", "Ġ qu", "t h", "th e", "T h", "Th e"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BYTE_PAIRS = [*SPECIAL, *byte_alphabet(), *(each.replace(" ", "") for each in MERGES)]


def word_pieces():
    pieces = WordPieceModel(tuple(WORDS))
    return TextTokenizer(pieces, "bert", start=2, end=3, mask=4, special_ids=[0])


def byte_pairs(layout="roberta"):
    pieces = BytePairModel(tuple(BYTE_PAIRS), tuple(MERGES))
    return TextTokenizer(pieces, layout, start=0, end=2, mask=4, special_ids=[1, 3])


def proto(**settings):
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXTS, *PAIRS]),
        model_writer=written,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        **settings,
    )
    return written.getvalue()


def sentence_pieces():
    return TextTokenizer(SentencePieceModel(proto()), "causal", start=1, end=2)


ALL = {
    "word_piece": word_pieces,
    "byte_pair": byte_pairs,
    "sentence_piece": sentence_pieces,
    "bytes": lambda: byte_tokenizer("bert"),
}


def test_bert_texts_and_pairs_are_encoded_as_keras_hub_does():
    inner = keras_hub.tokenizers.BertTokenizer(WORDS, lowercase=True, strip_accents=True)
    for length in (8, 12, 40):
        theirs = keras_hub.models.BertTextClassifierPreprocessor(inner, sequence_length=length)
        _same(word_pieces(), theirs, length)


def test_roberta_texts_and_pairs_are_encoded_as_keras_hub_does():
    vocabulary = {piece: number for number, piece in enumerate(BYTE_PAIRS)}
    inner = keras_hub.tokenizers.RobertaTokenizer(vocabulary, MERGES)
    for length in (8, 12, 60):
        theirs = keras_hub.models.RobertaTextClassifierPreprocessor(inner, sequence_length=length)
        _same(byte_pairs(), theirs, length)


def _same(ours, theirs, length):
    """Rows of texts, and of pairs, are the same without padding."""
    texts, pairs = [each for each in TEXTS if each], [each or "dog" for each in PAIRS][: len(TEXTS)]
    pairs = [pair for text, pair in zip(TEXTS, pairs, strict=True) if text]
    for given, second in ((texts, None), (texts, pairs)):
        rows, _ = ours.encode(given, second, length)
        expected = theirs(x=given if second is None else (given, second))
        for row, tokens, mask in zip(
            rows, np.array(expected["token_ids"]), np.array(expected["padding_mask"]), strict=True
        ):
            assert row.tolist() == tokens[mask.astype(bool)].tolist()


def test_gpt_texts_are_encoded_as_keras_hub_does_at_generation():
    vocabulary = {"<|endoftext|>": 0} | {p: n + 1 for n, p in enumerate(BYTE_PAIRS[5:])}
    inner = keras_hub.tokenizers.GPT2Tokenizer(vocabulary, MERGES)
    theirs = keras_hub.models.GPT2CausalLMPreprocessor(inner, sequence_length=60)
    pieces = BytePairModel(tuple(vocabulary), tuple(MERGES))
    ours = TextTokenizer(pieces, "causal", start=0, end=0)
    texts = ["The quick brown fox.", " fox dog  fox", "the fox's dog, 42\n"]
    expected = theirs.generate_preprocess(texts)
    tokens, mask = np.array(expected["token_ids"]), np.array(expected["padding_mask"])
    rows, counts = ours.encode(texts, None, 60)
    assert [row.tolist() for row in rows] == [
        each[kept.astype(bool)].tolist() for each, kept in zip(tokens, mask, strict=True)
    ]
    assert counts.tolist() == [len(row) for row in rows]


def test_sentence_pieces_are_those_of_keras_hub():
    content = proto(
        pad_id=0, unk_id=1, bos_id=2, eos_id=3,
        pad_piece="<pad>", unk_piece="<unk>", bos_piece="[CLS]", eos_piece="[SEP]",
        control_symbols=["[MASK]"],
    )  # fmt: skip
    theirs = keras_hub.tokenizers.AlbertTokenizer(content)
    ours = SentencePieceModel(content)
    texts = [each for each in TEXTS if each]
    assert [row.tolist() for row in ours.tokens(texts)] == [list(row) for row in theirs(texts)]
    xlm_roberta = keras_hub.tokenizers.XLMRobertaTokenizer(proto())
    ours = SentencePieceModel(proto(), shift=1, unknown=3, extra=("<mask>",))
    found = [row.tolist() for row in ours.tokens(texts)]
    assert found == [list(row) for row in xlm_roberta(texts)]
    assert len(ours.vocabulary) == xlm_roberta.vocabulary_size()
    assert any(3 in row for row in ours.tokens(["☃ fox"]))
    assert ours.decode(ours.tokens(["The lazy dog"])[0]) == "The lazy dog"


def test_the_longer_of_a_pair_is_cut_first_and_counts_are_those_uncut():
    tokenizer = word_pieces()
    rows, counts = tokenizer.encode(["fox " * 9], ["dog " * 3], 9)
    assert rows[0].tolist() == [2, 10, 10, 10, 3, 14, 14, 14, 3]
    assert counts.tolist() == [9 + 3 + 3]
    rows, _ = tokenizer.encode(["fox " * 9], ["dog " * 9], 10)
    assert rows[0].tolist() == [2, 10, 10, 10, 10, 3, 14, 14, 14, 3]
    rows, _ = tokenizer.encode(["fox"], ["dog " * 9], 8)
    assert rows[0].tolist() == [2, 10, 3, 14, 14, 14, 14, 3]
    with pytest.raises(ConfigError, match="Expected 5 tokens or more"):
        tokenizer.encode(["fox"], ["dog"], 4)


def test_what_looks_like_a_mark_is_text():
    for make in ALL.values():
        tokenizer = make()
        (row,) = tokenizer.tokens(["fox [SEP] <s> </s> [MASK] <mask>"])
        assert not set(row.tolist()) & (set(tokenizer.special_ids) - {3})


@pytest.mark.parametrize("name", ALL)
def test_a_folder_keeps_a_tokenizer(tmp_path, name):
    tokenizer = ALL[name]()
    tokenizer.save(tmp_path)
    again = tokenizers.load(tmp_path)
    assert again.fingerprint() == tokenizer.fingerprint()
    for one, other in ((TEXTS, None), (TEXTS, PAIRS)):
        rows, counts = tokenizer.encode(one, other, 16)
        found, found_counts = again.encode(one, other, 16)
        assert [row.tolist() for row in rows] == [row.tolist() for row in found]
        assert counts.tolist() == found_counts.tolist()
    for attribute in ("size", "start", "end", "mask", "special_ids", "layout"):
        assert getattr(again, attribute) == getattr(tokenizer, attribute)
    assert again.is_continuation().tolist() == tokenizer.is_continuation().tolist()


@pytest.mark.parametrize("layout", tokenizers.LAYOUTS)
@pytest.mark.parametrize("name", [name for name in ALL if name != "sentence_piece"])
def test_a_standard_tokenizer_json_gives_the_same_ids(tmp_path, name, layout):
    tokenizer = ALL[name]().with_layout(layout)
    tokenizer.save(tmp_path)
    library = tokenizers_library.Tokenizer.from_file(str(tmp_path / tokenizers.STANDARD))
    texts = [*TEXTS, "fox [SEP] <s> </s> [MASK] <mask>"]
    rows, _ = tokenizer.encode(texts, None, 1000)
    assert [row.tolist() for row in rows] == [each.ids for each in library.encode_batch(texts)]
    rows, _ = tokenizer.encode(TEXTS, PAIRS, 1000)
    pairs = library.encode_batch(list(zip(TEXTS, PAIRS, strict=True)))
    assert [row.tolist() for row in rows] == [each.ids for each in pairs]


def test_a_sentence_piece_tokenizer_leaves_no_standard_file_of_another(tmp_path):
    word_pieces().save(tmp_path)
    sentence_pieces().save(tmp_path)
    assert not (tmp_path / tokenizers.STANDARD).exists()


def test_fingerprints_tell_tokenizers_apart():
    made = [
        *(make() for make in ALL.values()),
        byte_tokenizer("causal"),
        byte_pairs("causal"),
        TextTokenizer(WordPieceModel(tuple(WORDS), lowercase=False), "bert", 2, 3, 4, [0]),
        TextTokenizer(SentencePieceModel(proto(), shift=1), "causal", 1, 2),
    ]
    assert len({each.fingerprint() for each in made}) == len(made)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "text",
    ["", " ", "\0", "a\0b", "\ud800 fox \udfff", "\U0010ffff", "\ufeff\u200b", "x" * 1_000_000],
    ids=["empty", "space", "nul", "nuls", "surrogates", "last", "invisible", "long"],
)
def test_any_text_can_be_written(name, text):
    tokenizer = ALL[name]()
    rows, counts = tokenizer.encode([text], None, 32)
    assert 1 <= len(rows[0]) <= 32
    assert rows[0].dtype == np.int32
    assert counts[0] >= len(rows[0])
    assert rows[0].min() >= 0
    assert rows[0].max() < tokenizer.size


def test_bytes_come_back_as_the_text():
    tokenizer = byte_tokenizer("causal")
    text = "Grüße,\n\tfrom 1970 [SEP] 不  ☃ end "
    (row,), _ = tokenizer.encode([text], None, 99)
    assert tokenizer.decode(row) == text
    assert tokenizer.decode(np.append(row, [-1, -1, 2, 10_000])) == text


def test_bytes_are_looked_up_as_byte_level_bpe_writes_them():
    from tokenizers import pre_tokenizers

    assert set(byte_alphabet()) == set(pre_tokenizers.ByteLevel.alphabet())
    pieces = BytePairModel(byte_alphabet())
    texts = ["".join(map(chr, range(1, 700))), "", "a\0 ☃", "\ud800"]
    expected = pieces._engine.encode_batch([each.replace("\ud800", "\ufffd") for each in texts])
    assert [row.tolist() for row in pieces.tokens(texts)] == [each.ids for each in expected]


def test_which_tokens_go_on_a_word():
    found = word_pieces().is_continuation()
    assert [WORDS[each] for each in np.flatnonzero(found)] == ["##ick", "##est", "##es", "##2"]
    found = byte_pairs().is_continuation()
    goes_on = {BYTE_PAIRS[each] for each in np.flatnonzero(found)}
    assert {"ox", "the", "q"} <= goes_on
    assert not goes_on & {"Ġfox", "Ġ", "Ċ", *SPECIAL}
    tokenizer = sentence_pieces()
    found = tokenizer.is_continuation()
    pieces = tokenizer.pieces.vocabulary
    assert all(
        found[each] != piece.startswith("▁") for each, piece in enumerate(pieces) if each > 2
    )
    assert not found[[1, 2]].any()


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("gpt2", ["I", "'ll", "Ġpay", "Ġ12345", "Ġ", "Ġ€!", "Ċ"]),
        ("llama3", ["I", "'ll", "Ġpay", "Ġ", "123", "45", "Ġ", "Ġ€!Ċ"]),
        ("qwen", ["I", "'ll", "Ġpay", "Ġ", "1", "2", "3", "4", "5", "Ġ", "Ġ€!Ċ"]),
        ("o200k", ["I'll", "Ġpay", "Ġ", "123", "45", "Ġ", "Ġ€!Ċ"]),
        ("single_digits", ["I", "'ll", "Ġpay", "Ġ", "1", "2", "3", "4", "5", "Ġ", "Ġ€!", "Ċ"]),
    ],
)
def test_words_are_split_as_each_family_does(pattern, words):
    from tokenizers import pre_tokenizers

    parts = pre_tokenizers.Sequence(PATTERNS[pattern](False))
    found = [word for word, _ in parts.pre_tokenize_str("I'll pay 12345  €!\n")]
    assert [word.replace("âĤ¬", "€") for word in found] == words


RECORDS = {
    "format": 2,
    "kind": "pickle",
    "vocabulary": ["a"],
    "merges": ["a b c"],
    "pattern": "(a+)+",
    "layout": "other",
    "start": 10_000,
    "special": ["1"],
    "prefix_space": 1,
}


@pytest.mark.parametrize("key", RECORDS)
def test_a_record_that_was_changed_is_refused(tmp_path, key):
    byte_pairs().save(tmp_path)
    record = json.loads((tmp_path / RECORD).read_text())
    for value in (RECORDS[key], None, [[]], {}):
        if key in ("start",) and value is None:
            continue
        (tmp_path / RECORD).write_text(json.dumps(record | {key: value}))
        with pytest.raises(ArtifactError, match=str(tmp_path)):
            tokenizers.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_folder_that_is_none_of_a_tokenizer(tmp_path, content):
    with pytest.raises(ArtifactError, match=RECORD):
        tokenizers.load(tmp_path)
    (tmp_path / RECORD).write_bytes(content)
    with pytest.raises(ArtifactError, match=RECORD):
        tokenizers.load(tmp_path)


def test_a_damaged_sentence_piece_file(tmp_path):
    sentence_pieces().save(tmp_path)
    (tmp_path / PROTO).write_bytes(b"\x00damaged")
    with pytest.raises(ArtifactError, match="SentencePiece model cannot be read"):
        tokenizers.load(tmp_path)
    (tmp_path / PROTO).unlink()
    with pytest.raises(ArtifactError, match=PROTO):
        tokenizers.load(tmp_path)
