"""The keys of `model`."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING


@dataclass
class ModelConfig:
    """A backbone and the head's shape: `model=NAME`, or any key by itself."""

    name: str = MISSING
    """`efficientnet_lite0`, a keras.applications name, `minilm`, `smollm2`, `hub`, `small_cnn`."""
    weights: str = "imagenet"
    """`imagenet` or `pretrained`, `none` (random), or a .keras, .h5, .safetensors or .npz file."""
    preset: str | None = None
    """KerasHub preset name, `hf://` or `kaggle://` address, or local folder; with `model=hub`."""
    image_size: int | None = None
    """Side of the square input in pixels; empty means the backbone's own."""
    max_length: int | None = None
    """Most tokens of a text, start and end included; empty means 256 or what the backbone takes."""
    tokenizer: str | None = None
    """Tokenizer folder, as `fmkit tokenizer train` makes it; with `small_bert` and `small_gpt`."""
    chat_template: str = "auto"
    """How conversations are written: `chatml`, `smollm2`, `llama3`, `gemma`, `zephyr`, `plain`."""
    pooling: str = "auto"
    """Features to a vector: `auto`, `avg`, `max`, `cls` (first token), `last`, `attention`."""
    dropout: float = 0.1
    """Dropout rate before the last dense layer, 0 to below 1."""
    hidden: int = 0
    """Units of a hidden layer in the head; 0 means a linear head."""
    lora_rank: int = 0
    """LoRA: rank of adapters beside dense and attention kernels, which stay frozen; 0: none."""
    lora_alpha: float | None = None
    """LoRA: what adapters add is scaled by this / `lora_rank`; empty means the rank, so by 1."""
    lora_targets: str = "^(?!.*embed)"
    """LoRA: regular expression that adapted layers' paths contain; all but embeddings, as it is."""
