"""Which backbones of KerasHub read texts, and how a text is shown to each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """How a kind of backbone reads texts.

    Attributes:
        layout: the marks around a text, a name in `tokenizers.LAYOUTS`.
        pattern: how a byte-level vocabulary splits words, a name in `pieces.PATTERNS`.
        has_class_token: whether the first token stands for the whole text.
    """

    layout: str
    pattern: str = "gpt2"
    has_class_token: bool = False

    @property
    def is_causal(self) -> bool:
        """Whether a token sees those before it only."""
        return self.layout == "causal"


_BERT = Family("bert", has_class_token=True)
_ROBERTA = Family("roberta", has_class_token=True)
_CAUSAL = Family("causal")
_LLAMA3 = Family("causal", "llama3")
_QWEN = Family("causal", "qwen")

TEXT_BACKBONES: dict[str, Family] = {
    "AlbertBackbone": _BERT,
    "BartBackbone": Family("roberta"),
    "BertBackbone": _BERT,
    "BloomBackbone": Family("causal", "bloom"),
    "DebertaV3Backbone": _BERT,
    "DistilBertBackbone": _BERT,
    "ElectraBackbone": _BERT,
    "FalconBackbone": Family("causal", "falcon"),
    "GPT2Backbone": _CAUSAL,
    "GPTNeoXBackbone": _CAUSAL,
    "Gemma3Backbone": _CAUSAL,
    "GemmaBackbone": _CAUSAL,
    "GptOssBackbone": Family("causal", "o200k"),
    "Llama3Backbone": _LLAMA3,
    "LlamaBackbone": _CAUSAL,
    "MistralBackbone": _LLAMA3,
    "MixtralBackbone": _CAUSAL,
    "OPTBackbone": _CAUSAL,
    "Phi3Backbone": _CAUSAL,
    "Qwen3Backbone": _QWEN,
    "Qwen3MoeBackbone": _QWEN,
    "Qwen3_5Backbone": _QWEN,
    "QwenBackbone": _QWEN,
    "QwenMoeBackbone": _QWEN,
    "RobertaBackbone": _ROBERTA,
    "SmolLM3Backbone": _LLAMA3,
    "T5Backbone": Family("t5"),
    "T5Gemma2Backbone": Family("t5"),
    "T5GemmaBackbone": Family("t5"),
    "XLMRobertaBackbone": _ROBERTA,
}
"""The classes of KerasHub 0.32 whose features of a text do not depend on its padding.

Of the others, FNet, RoFormerV2 and XLNet mix padding in, ESM reads proteins, RWKV7 has a tokenizer
of its own kind, and Gemma 3n and 4 take images and sound beside the text.
"""

HUGGING_FACE: dict[str, str] = {
    "albert": "AlbertBackbone",
    "bart": "BartBackbone",
    "bert": "BertBackbone",
    "distilbert": "DistilBertBackbone",
    "gemma": "GemmaBackbone",
    "gemma2": "GemmaBackbone",
    "gemma3": "Gemma3Backbone",
    "gemma3_text": "Gemma3Backbone",
    "gpt2": "GPT2Backbone",
    "gpt_oss": "GptOssBackbone",
    "llama": "Llama3Backbone",
    "mistral": "MistralBackbone",
    "mixtral": "MixtralBackbone",
    "qwen2": "QwenBackbone",
    "qwen2_moe": "QwenMoeBackbone",
    "qwen3": "Qwen3Backbone",
    "qwen3_5": "Qwen3_5Backbone",
    "qwen3_moe": "Qwen3MoeBackbone",
    "roberta": "RobertaBackbone",
    "smollm3": "SmolLM3Backbone",
    "t5gemma": "T5GemmaBackbone",
    "t5gemma2": "T5Gemma2Backbone",
    "xlm-roberta": "XLMRobertaBackbone",
}
"""By `model_type` of a Hugging Face config, the class that KerasHub makes of it."""
