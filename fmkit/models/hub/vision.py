"""KerasHub's image backbones, by preset name or from a local folder; text presets go to hub/text.

Local folders are those that `save_to_preset` writes, or checkpoints in the layouts of Hugging Face
or timm where KerasHub can convert them. A model built here holds KerasHub's own layers, so a
`.keras` file of it loads only where `import keras_hub` came first.
"""

from typing import Any

import keras
import keras_hub
import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError, ConfigError, received
from fmkit.models.backbone import Backbone, Patches
from fmkit.models.blocks import blocks_by_unit
from fmkit.models.hub.families import IMAGE_BACKBONES, TEXT_BACKBONES
from fmkit.models.hub.presets import loading, no_backbone, resolve_preset
from fmkit.models.hub.text import text_hub
from fmkit.models.keras_internals import run_graph
from fmkit.models.vision.preprocessing import image_input, rescale
from fmkit.models.weights.load import apply_weights, chosen_weights

_FIXED_SIZE = ("DeiTBackbone", "SwinTransformerBackbone", "ViTBackbone")
"""Those whose weights fit one image size."""

_EMBEDDINGS = ("ViTPatchingAndEmbedding", "DeiTEmbeddings", "DINOV2Embedding")
"""Layers that turn an image into tokens and add their positions, once and for all."""

_RULES = (
    (r"conv\d+_(?:conv|bn)|stem_.*|csp_stem_.*|input_.*", "stem"),
    (r"(stack\d+_block\d+|transition\d+|block\d+[a-z]?)_.*", r"\1"),
    (r"(stage_\d+)_(?:csp|cs3)_(?:conv_)?transition.*", r"\1_transition"),  # after its blocks
    (r"(stage_\d+_block_\d+|stage_\d+)_.*", r"\1"),
    (r"top_.*|post_bn|bn", "top"),
)


def hub(config: ModelConfig) -> Backbone:
    """The KerasHub backbone that `model.preset` names, with the preset's own preprocessing.

    `model.weights` is `imagenet` or `pretrained` (whatever the preset was trained on), `none` (its
    architecture with random weights), or a Keras file of the backbone's weights.
    """
    preset, class_name = resolve_preset(config)
    if class_name in TEXT_BACKBONES:
        return text_hub(config, preset, class_name)
    weights = chosen_weights(config, ("imagenet", "none"))
    converter = _converter(preset, trained=weights != "none")
    own_size = converter.image_size[0] if converter is not None and converter.image_size else None
    inner = _load(preset, class_name, config.image_size, own_size, weights == "imagenet")
    apply_weights(inner, weights, preset)
    inputs = inner.input if isinstance(inner.input, dict) else {"": inner.input}
    key, tensor = next(iter(inputs.items()))
    size = int(tensor.shape[1] or config.image_size or own_size or 224)
    images = image_input(size)
    scale: Any = 1 / 127.5
    offset: Any = -1.0
    if converter is not None:
        scale, offset = _numbers(converter.scale, 1.0), _numbers(converter.offset, 0.0)
    x = rescale(images, scale, offset)
    features, has_class_token = _features(inner, inner({key: x} if key else x))
    return Backbone(
        name=config.name,
        model=keras.Model(images, features, name=inner.name),
        image_size=size,
        blocks=blocks_by_unit(inner, _RULES),
        features={4: "map", 3: "tokens", 2: "vector"}[len(features.shape)],
        has_class_token=has_class_token,
        weights=preset if weights == "imagenet" else weights,
        patches=_patches(inner, x),
    )


def _converter(preset: str, trained: bool) -> Any:
    """The preset's own preprocessing; None where it has none and no trained weights need it."""
    with loading(preset):
        try:
            return keras_hub.layers.ImageConverter.from_preset(preset)
        except FileNotFoundError as error:
            if not trained:
                return None
            raise ArtifactError(
                f"{preset} does not say how to scale its images: it has no image_converter.json.",
                "Write one with keras_hub.layers.ImageConverter(...).save_to_preset(folder), "
                "or use its architecture alone with model.weights=none.",
            ) from error


def _load(
    preset: str, class_name: str, size: int | None, own_size: int | None, trained: bool
) -> keras.Model:
    options: dict[str, Any] = {}
    if size is not None:
        if trained and class_name in _FIXED_SIZE and own_size and size != own_size:
            hint = "Its position embeddings or windows were trained for that size alone."
            raise ConfigError(received("model.image_size", size, f"{own_size} with {preset}", hint))
        shape = "input_shape" if class_name == "EfficientNetBackbone" else "image_shape"
        options[shape] = (size, size, 3)
    with loading(preset, size):
        inner = keras_hub.models.Backbone.from_preset(preset, load_weights=trained, **options)
    if type(inner).__name__ not in IMAGE_BACKBONES:
        raise ConfigError(no_backbone(preset, type(inner).__name__))
    return inner


def _numbers(value: Any, default: float) -> Any:
    return default if value is None else np.asarray(value, float).tolist()


def _features(inner: keras.Model, output: Any) -> tuple[keras.KerasTensor, bool]:
    """The last features, and whether their first token is a class token.

    Of a pyramid it is the coarsest level. Further tokens that stand for no patch (registers,
    DeiT's distillation token) are cut out, so that tokens are [class, patches].
    """
    if isinstance(output, dict):
        output = list(output.values())[-1]
    leading = _leading(inner)
    if leading > 1:
        count = output.shape[1]
        first = keras.layers.Cropping1D((0, count - 1), name="class_token")(output)
        patches = keras.layers.Cropping1D((leading, 0), name="patch_tokens")(output)
        output = keras.layers.Concatenate(axis=1, name="tokens")([first, patches])
    return output, leading > 0


def _leading(inner: keras.Model) -> int:
    """How many tokens stand for no patch; they come first."""
    return {
        "ViTBackbone": int(getattr(inner, "use_class_token", True)),
        "DeiTBackbone": 2,
        "DINOV2Backbone": 1 + int(getattr(inner, "num_register_tokens", 0)),
        "DINOV3Backbone": 1 + int(getattr(inner, "num_register_tokens", 0)),
    }.get(type(inner).__name__, 0)


def _patches(inner: keras.Model, images: Any) -> Patches | None:
    """How a vision transformer runs on some of its patches.

    Not DINOv3, which adds positions in every layer by where a token is in its row. The layers are
    called in a graph of their own, since `inner` is a single layer of the backbone's model.

    Args:
        inner: KerasHub's backbone.
        images: what it is called on, (B, H, W, 3).
    """
    embedding = [layer for layer in inner.layers if type(layer).__name__ in _EMBEDDINGS]
    side: Any = getattr(inner, "patch_size", None)
    sides = set(np.ravel(side))
    if len(embedding) != 1 or len(sides) != 1:
        return None
    whole = keras.Model(inner.input, {"tokens": embedding[0].output, "features": inner.output})
    outputs = run_graph(whole, [images])
    return Patches(outputs["tokens"], outputs["features"], int(sides.pop()), _leading(inner))
