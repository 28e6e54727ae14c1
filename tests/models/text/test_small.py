"""The small networks of texts, what every backbone of texts has to do, and heads on top of them."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.models import heads, lora
from fmkit.models.backbone import PADDING
from fmkit.models.registry import build
from fmkit.models.tokenizers.subword import WordPieceModel
from fmkit.models.tokenizers.tokenizer import TextTokenizer

NAMES = ["small_bert", "small_gpt"]
TEXTS = ["a longer text, to begin with", "short", ""]
PAIRS = ["one", "", "the second text of a pair"]


def padded(rows, width=None):
    width = width or max(len(each) for each in rows)
    tokens = np.full((len(rows), width), PADDING, np.int32)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row
    return tokens


def run(model, tokens):
    return keras.ops.convert_to_numpy(model(tokens, training=False))


@pytest.mark.parametrize("name", NAMES)
def test_what_a_backbone_of_texts_is(name):
    backbone = build(ModelConfig(name, "none"))
    assert backbone.modality == "text"
    assert backbone.model.output.shape == (None, None, 64)
    assert backbone.model.count_params() < 250_000
    assert (backbone.max_length, backbone.is_causal) == (256, name == "small_gpt")
    names = [block.name for block in backbone.blocks]
    top = ["top"] if name == "small_gpt" else []
    assert names == ["stem", "transformer_layer_0", "transformer_layer_1", *top]
    vectors = keras.Input((None, 64))
    scores = backbone.embedding(vectors, reverse=True)
    assert scores.shape == (None, None, backbone.tokenizer.size)


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name):
    backbone = build(ModelConfig(name, "none"))
    rows, _ = backbone.tokenizer.encode(TEXTS, PAIRS, backbone.max_length)
    features = run(backbone.model, padded(rows, 100))
    mask = keras.Model(backbone.model.input, backbone.mask)
    for place, row in enumerate(rows):
        alone = run(backbone.model, padded([row]))
        np.testing.assert_allclose(features[place, : len(row)], alone[0], rtol=1e-4, atol=1e-5)
        assert run(mask, padded(rows, 100))[place].sum() == len(row)


def test_only_bert_sees_what_comes_after():
    for name in NAMES:
        backbone = build(ModelConfig(name, "none"))
        rows, _ = backbone.tokenizer.encode(["same start, one end", "same start, two"], None, 50)
        features = run(backbone.model, padded(rows))
        same = np.abs(features[0, :10] - features[1, :10]).max()
        assert (same < 1e-5) == backbone.is_causal


def test_the_second_text_of_a_pair_is_told_from_the_first():
    backbone = build(ModelConfig("small_bert", "none"))
    segments = backbone.model.get_layer("segment_embedding")
    (given,) = segments._inbound_nodes[-1].arguments.keras_tensors
    tokens = padded(backbone.tokenizer.encode(["ab", "a"], ["cde", "b"], 20)[0])
    numbers = run(keras.Model(backbone.model.input, given), tokens)
    assert numbers.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0, 0]]
    start, end = backbone.tokenizer.start, backbone.tokenizer.end
    window = [start, 9, end, start, 8, 7, end, start, 6, 5, end]  # three documents, no pair
    assert not run(keras.Model(backbone.model.input, given), np.array([window], np.int32)).any()


@pytest.mark.slow
def test_saved_models_load_without_fmkit(tmp_path):
    for name in NAMES:
        backbone = build(ModelConfig(name, "none"))
        tokens = padded(backbone.tokenizer.encode(TEXTS, PAIRS, 64)[0])
        for pooling in ("auto", "max", "attention"):
            vector = heads.pool(backbone, pooling)
            model = keras.Model(backbone.model.input, vector)
            model.save(tmp_path / f"{name}_{pooling}.keras")
            place = tmp_path / f"{name}_{pooling}.npz"
            np.savez(place, tokens=tokens, vectors=run(model, tokens))
    code = (
        "import keras, keras_hub, numpy as np, pathlib, sys\n"
        "for path in sorted(pathlib.Path('.').glob('*.keras')):\n"
        "    model, expected = keras.models.load_model(path), np.load(path.with_suffix('.npz'))\n"
        "    vectors = keras.ops.convert_to_numpy(model(expected['tokens']))\n"
        "    np.testing.assert_allclose(vectors, expected['vectors'], rtol=1e-4, atol=1e-5)\n"
        "assert 'fmkit' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=tmp_path)
    assert len(list(tmp_path.glob("*.keras"))) == 6


def test_poolings_of_texts_leave_padding_out():
    for name in NAMES:
        backbone = build(ModelConfig(name, "none"))
        rows, _ = backbone.tokenizer.encode(TEXTS, None, 64)
        tokens = padded(rows, 40)
        features = run(backbone.model, tokens)
        real = [features[place, : len(row)] for place, row in enumerate(rows)]
        expected = {
            "avg": [each.mean(0) for each in real],
            "max": [each.max(0) for each in real],
            "last": [each[-1] for each in real],
            "attention": [each.mean(0) for each in real],  # before its weights have learned
        }
        expected["auto"] = expected["last" if backbone.is_causal else "avg"]
        if not backbone.is_causal:
            expected["cls"] = [each[0] for each in real]
        for pooling, vectors in expected.items():
            model = keras.Model(backbone.model.input, heads.pool(backbone, pooling))
            np.testing.assert_allclose(run(model, tokens), vectors, rtol=1e-4, atol=1e-5)


def test_attention_weighs_real_tokens_by_their_scores():
    backbone = build(ModelConfig("small_bert", "none"))
    model = keras.Model(backbone.model.input, heads.pool(backbone, "attention"))
    kernel = np.random.default_rng(0).normal(size=(64, 1)).astype("float32")
    model.get_layer("head_attention").set_weights([kernel])
    rows, _ = backbone.tokenizer.encode(TEXTS, None, 64)
    features = run(backbone.model, padded(rows, 40))
    found = run(model, padded(rows, 40))
    for place, row in enumerate(rows):
        real = features[place, : len(row)]
        weights = np.exp(real @ kernel)
        expected = (weights / weights.sum() * real).sum(0)
        np.testing.assert_allclose(found[place], expected, rtol=1e-4, atol=1e-5)


def test_poolings_that_say_nothing_are_refused():
    backbone = build(ModelConfig("small_gpt", "none"))
    with pytest.raises(ConfigError, match="received 'cls', but the first token"):
        heads.pool(backbone, "cls")
    with pytest.raises(ConfigError, match="Allowed: auto, avg, max, cls, last, attention"):
        heads.pool(backbone, "average")
    photos = build(ModelConfig("small_cnn", "none"))
    for pooling in ("last", "attention"):
        with pytest.raises(ConfigError, match="which is for texts"):
            heads.pool(photos, pooling)


def test_features_are_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        backbone = build(ModelConfig("small_bert", "none"))
        for pooling in ("avg", "max", "cls", "last", "attention"):
            assert heads.pool(backbone, pooling).dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(("name", "pooling"), [("small_bert", "attention"), ("small_gpt", "auto")])
def test_both_learn(name, pooling):
    keras.utils.set_random_seed(0)
    backbone = build(ModelConfig(name, "none"))
    labels = np.arange(64) % 2
    texts = [f"{number} {'good' if label else 'bad'}" for number, label in enumerate(labels)]
    tokens = padded(backbone.tokenizer.encode(texts, None, 32)[0])
    config = ModelConfig(name, pooling=pooling, dropout=0.0)
    logits = heads.classification_head(backbone, 2, config)
    model = keras.Model(backbone.model.input, logits)
    known = {layer.name for layer in backbone.model.layers}
    added = [layer.name for layer in model.layers if layer.name not in known]
    assert all(each.startswith(heads.HEAD_PREFIXES) for each in added)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(tokens, labels, epochs=8, batch_size=16, verbose=0)
    assert model.evaluate(tokens, labels, verbose=0)[1] > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_lora_adapts_attention_and_merges(name):
    backbone = build(ModelConfig(name, "none"))
    tokens = padded(backbone.tokenizer.encode(TEXTS, None, 32)[0])
    before, fingerprint = run(backbone.model, tokens), backbone.fingerprint()
    lora.add_adapters(backbone, ModelConfig(name, lora_rank=2))
    layers = lora.adapted_layers(backbone.model)
    assert len(layers) == 2 * 6  # query, key, value, output and two dense ones, twice
    np.testing.assert_allclose(run(backbone.model, tokens), before, rtol=1e-4, atol=1e-5)
    assert backbone.fingerprint() == fingerprint
    rng = np.random.default_rng(0)
    for layer in layers:
        layer.lora_kernel_b.assign(rng.normal(size=layer.lora_kernel_b.shape) * 0.1)
    adapted = run(backbone.model, tokens)
    assert np.abs(adapted - before).max() > 1e-2
    lora.merge_adapters(backbone.model)
    np.testing.assert_allclose(run(backbone.model, tokens), adapted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_tokenizer_of_ones_own(tmp_path, name):
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "fox", "##es")
    TextTokenizer(WordPieceModel(words), "bert", 2, 3, special_ids=[0]).save(tmp_path)
    backbone = build(ModelConfig(name, "none", tokenizer=str(tmp_path)))
    rows, _ = backbone.tokenizer.encode(["foxes"], None, 16)
    assert rows[0].tolist() == ([2, 4, 5] if backbone.is_causal else [2, 4, 5, 3])
    assert backbone.embedding.input_dim == len(words)
    with pytest.raises(ArtifactError, match="does not hold a tokenizer"):
        build(ModelConfig(name, "none", tokenizer=str(tmp_path / "other")))


def test_lengths_and_weights():
    assert build(ModelConfig("small_bert", "none", max_length=1024)).max_length == 1024
    with pytest.raises(ConfigError, match="from 1 to 1024 tokens"):
        build(ModelConfig("small_bert", "none", max_length=1025))
    with pytest.raises(ConfigError, match=r"model\.weights"):
        build(ModelConfig("small_gpt", "imagenet"))


def test_weights_from_a_file(tmp_path):
    backbone = build(ModelConfig("small_bert", "none"))
    backbone.model.save_weights(tmp_path / "mine.weights.h5")
    again = build(ModelConfig("small_bert", str(tmp_path / "mine.weights.h5")))
    assert again.fingerprint() == backbone.fingerprint()
    assert build(ModelConfig("small_bert", "none")).fingerprint() != backbone.fingerprint()
