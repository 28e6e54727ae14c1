"""A plugin file: the smallest network and data that have all that a resume can lose.

BatchNorm (moving statistics), two blocks (so that a part can be frozen) and few operations: what
a victim costs is almost all tracing.
"""

import keras
import numpy as np

from fmkit.data.content.images import ImageArray
from fmkit.data.examples import from_names
from fmkit.models.backbone import Backbone
from fmkit.models.blocks import blocks_by_name
from fmkit.models.vision.preprocessing import image_input, preprocess

SIDE = 8
EXAMPLES = 80


def stripes(config):
    """80 noisy squares of 8 pixels, striped across or down: 56 for training, 12 and 12 beside."""
    noise = np.random.default_rng(0).integers(0, 100, (EXAMPLES, SIDE, SIDE))
    pixels = noise.astype(np.uint8)
    pixels[::2, ::2] += 100
    pixels[1::2, :, ::2] += 100
    names = ["across" if number % 2 == 0 else "down" for number in range(EXAMPLES)]
    return from_names([f"{each:03d}" for each in range(EXAMPLES)], names, ImageArray(pixels))


def two_convolutions(config):
    """(B, 8, 8, 3) -> (B, 4, 4, 6)."""
    images = image_input(SIDE)
    x = preprocess(images, "tf")
    for name, stride in (("stem", 2), ("block1", 1)):
        x = keras.layers.Conv2D(6, 3, stride, "same", use_bias=False, name=f"{name}_conv")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    model = keras.Model(images, x, name="two_convolutions")
    blocks = blocks_by_name(model, ((r"(stem|block1)_.*", r"\1"),))
    return Backbone(config.name, model, SIDE, blocks, "map")


MODELS = {"two_convolutions": two_convolutions}
DATA = {"stripes": stripes}
