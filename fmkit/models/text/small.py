"""Two small text models with random weights: a BERT and a GPT-2 of two layers.

They need no download and train in seconds on a CPU. Without `model.tokenizer` their tokens are
bytes, so that any text can be encoded.

B batch, T tokens, D features.
"""

from pathlib import Path
from typing import Any

import keras_hub

from fmkit.config.schema.model import ModelConfig
from fmkit.models.backbone import Backbone
from fmkit.models.text.token_input import chosen_length, text_backbone
from fmkit.models.tokenizers.subword import BytePairModel, byte_alphabet
from fmkit.models.tokenizers.tokenizer import TextTokenizer, load
from fmkit.models.weights.load import apply_weights, chosen_weights

_POSITIONS = 1024
_SPECIAL_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")


def small_bert(config: ModelConfig) -> Backbone:
    """A small BERT (arXiv:1810.04805): every token sees every other one; features (B, T, 64)."""
    return _backbone(config, keras_hub.models.BertBackbone, is_causal=False)


def small_gpt(config: ModelConfig) -> Backbone:
    """A small GPT-2: a token sees only those before it; features (B, T, 64).

    Radford et al. 2019, Language models are unsupervised multitask learners.
    """
    return _backbone(config, keras_hub.models.GPT2Backbone, is_causal=True)


def byte_tokenizer(layout: str) -> TextTokenizer:
    """One token per byte, and the special tokens of BERT.

    Args:
        layout: a name in `tokenizer.LAYOUTS`.
    """
    pieces = BytePairModel((*_SPECIAL_TOKENS, *byte_alphabet()))
    return TextTokenizer(
        pieces, layout, start=1, end=2, mask=3, special_ids=range(len(_SPECIAL_TOKENS))
    )


def _backbone(config: ModelConfig, kind: Any, is_causal: bool) -> Backbone:
    layout = "causal" if is_causal else "bert"
    tokenizer = byte_tokenizer(layout)
    if config.tokenizer is not None:
        tokenizer = load(Path(config.tokenizer).expanduser()).with_layout(layout)
    inner = kind(
        vocabulary_size=tokenizer.size,
        num_layers=2,
        num_heads=4,
        hidden_dim=64,
        intermediate_dim=256,
        max_sequence_length=_POSITIONS,
        dropout=0.0,
        name="small_gpt" if is_causal else "small_bert",
    )
    weights = chosen_weights(config, ("none",))
    backbone = text_backbone(
        config,
        inner,
        tokenizer,
        chosen_length(config, _POSITIONS),
        is_causal=is_causal,
        has_class_token=not is_causal,
        weights=weights,
    )
    apply_weights(backbone.model, weights, config.name)
    return backbone
