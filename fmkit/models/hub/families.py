"""The classes of KerasHub that fmkit can use, named without importing it."""

from dataclasses import dataclass

IMAGE_BACKBONES = (
    "CSPNetBackbone", "DINOV2Backbone", "DINOV3Backbone", "DeiTBackbone", "DenseNetBackbone",
    "EfficientNetBackbone", "HGNetV2Backbone", "MiTBackbone", "MobileNetBackbone",
    "MobileNetV5Backbone", "ResNetBackbone", "SwinTransformerBackbone", "VGGBackbone",
    "ViTBackbone", "XceptionBackbone",
)  # fmt: skip
"""The classes of KerasHub 0.32 that turn one image into features, and nothing else."""


@dataclass(frozen=True)
class Family:
    """How a class of backbones reads texts.

    Attributes:
        layout: the special tokens around a text, a name in `tokenizer.LAYOUTS`.
        pattern: how a byte-level vocabulary splits words, a name in `subword.PATTERNS`.
        has_class_token: whether the first token stands for the whole text.
    """

    layout: str
    pattern: str = "gpt2"
    has_class_token: bool = False

    @property
    def is_causal(self) -> bool:
        """Whether a token sees only those before it."""
        return self.layout == "causal"


_FAMILIES: dict[Family, tuple[str, ...]] = {
    Family("bert", has_class_token=True): (
        "AlbertBackbone", "BertBackbone", "DebertaV3Backbone", "DistilBertBackbone",
        "ElectraBackbone",
    ),
    Family("roberta", has_class_token=True): ("RobertaBackbone", "XLMRobertaBackbone"),
    Family("roberta"): ("BartBackbone",),
    Family("t5"): ("T5Backbone", "T5Gemma2Backbone", "T5GemmaBackbone"),
    Family("causal"): (
        "GPT2Backbone", "GPTNeoXBackbone", "Gemma3Backbone", "GemmaBackbone", "LlamaBackbone",
        "MixtralBackbone", "OPTBackbone", "Phi3Backbone",
    ),
    Family("causal", "bloom"): ("BloomBackbone",),
    Family("causal", "falcon"): ("FalconBackbone",),
    Family("causal", "llama3"): ("Llama3Backbone", "MistralBackbone", "SmolLM3Backbone"),
    Family("causal", "o200k"): ("GptOssBackbone",),
    Family("causal", "qwen"): (
        "Qwen3Backbone", "Qwen3MoeBackbone", "Qwen3_5Backbone", "QwenBackbone", "QwenMoeBackbone",
    ),
}  # fmt: skip
TEXT_BACKBONES: dict[str, Family] = dict(
    sorted((name, family) for family, names in _FAMILIES.items() for name in names)
)
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
