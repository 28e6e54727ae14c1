"""The keys of `model`."""

from dataclasses import dataclass

from omegaconf import MISSING

from fmkit.config.schema.keys import FRACTION, POSITIVE, at_least, between, key


@dataclass
class ModelConfig:
    """A backbone and the head's shape."""

    name: str = key(
        MISSING,
        "Backbone: `efficientnet_lite0`, a keras.applications name, `minilm`, `smollm2`, `hub` ...",
    )
    weights: str = key(
        "imagenet",
        "`imagenet` or `pretrained`, `none` (random), or a .keras, .h5, .safetensors or .npz file.",
    )
    preset: str | None = key(
        None,
        "`model=hub`: a KerasHub preset name, an `hf://` or `kaggle://` URL, or a local folder.",
    )
    image_size: int | None = key(
        None,
        "Side of the square input in pixels; null uses the backbone's own.",
        range=between(8, 4096, "pixels"),
    )
    max_length: int | None = key(
        None,
        "Maximum tokens per text, special tokens included; null uses 256 or the backbone's limit.",
        range=between(8, 131_072, "tokens"),
    )
    tokenizer: str | None = key(
        None, "With `small_bert` and `small_gpt`: a tokenizer folder from `fmkit tokenizer train`."
    )
    chat_template: str = key(
        "auto",
        "Chat template: `chatml`, `smollm2`, `llama3`, `gemma`, `zephyr` or `plain`.",
        choices=("auto", "chatml", "smollm2", "llama3", "gemma", "zephyr", "plain"),
    )
    pooling: str = key(
        "auto",
        "Pooling of features: `auto`, `avg`, `max`, `cls` (first token), `last` or `attention`.",
        choices=("auto", "avg", "max", "cls", "last", "attention"),
    )
    dropout: float = key(0.1, "Dropout rate before the last dense layer.", range=FRACTION)
    normalize: str = key(
        "auto",
        "Pooled features at one length: `unit`, `none`, or `auto`: as the head's cross-validation "
        "chooses.",
        choices=("auto", "none", "unit"),
    )
    hidden: int = key(
        0, "Units of a hidden layer in the head; 0 is a linear head.", range=at_least(0)
    )
    lora_rank: int | None = key(
        None,
        "LoRA rank of adapters on dense and attention kernels, which stay frozen; 0 adds none; "
        "null is 8 where a phase trains adapters (`stage=lora`), else 0.",
        range=at_least(0),
    )
    lora_alpha: float | None = key(
        None,
        "LoRA scale: the update is times `lora_alpha` / `lora_rank`; null is the rank, so 1.",
        range=POSITIVE,
    )
    lora_targets: str = key(
        "^(?!.*embed)",
        "LoRA: regular expression searched in layer paths; the default skips embeddings.",
    )
