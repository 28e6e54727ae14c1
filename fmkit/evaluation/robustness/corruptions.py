"""Robustness: metrics on examples that were corrupted in named ways, at five severities.

Noise, blur, JPEG, contrast and brightness are as in ImageNet-C (Hendrycks and Dietterich 2019,
arXiv:1903.12261), at the size that the model gets.

B images, S pixels on a side.
"""

import io
import string
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from fmkit.core import registry
from fmkit.core.errors import ConfigError, received
from fmkit.core.modalities import modality_entry

SEVERITIES = range(1, 6)

Images = np.ndarray
"""(B, S, S, 3) uint8."""

_NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)
"""Standard deviations, of a range of 1."""
_BLUR = (0.005, 0.01, 0.015, 0.02, 0.03)
"""Standard deviations of a Gaussian, as shares of the side, above half a pixel."""
_JPEG = (25, 18, 15, 10, 7)
_CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)
_BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
_OCCLUSION = (0.2, 0.3, 0.4, 0.5, 0.6)
"""Sides of a grey square, as shares of the side."""
_ROTATION = (5, 10, 20, 30, 45)
"""Degrees, to either side."""
_TYPING = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of the letters."""
_CASING = (0.2, 0.4, 0.6, 0.8, 1.0)
_DROPPED = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of the words."""


def noise(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Gaussian noise."""
    drawn = random.normal(0.0, _NOISE[severity - 1], images.shape)
    return _as_pixels(images / 255 + drawn)


def blur(images: Images, severity: int, random: np.random.Generator) -> Images:
    """A Gaussian blur."""
    from scipy.ndimage import gaussian_filter

    sigma = 0.5 + _BLUR[severity - 1] * images.shape[1]
    blurred = gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="nearest")
    return _as_pixels(blurred / 255)


def jpeg(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Strong JPEG compression."""
    from PIL import Image

    compressed = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=_JPEG[severity - 1])
        compressed.append(np.asarray(Image.open(stream)))
    return np.stack(compressed)


def contrast(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Less contrast around the mean colour of each image."""
    means = images.mean(axis=(1, 2), keepdims=True)
    return _as_pixels(((images - means) * _CONTRAST[severity - 1] + means) / 255)


def brightness(images: Images, severity: int, random: np.random.Generator) -> Images:
    """A larger value of each pixel in HSV, of the same hue and saturation."""
    scaled = images / 255
    value = scaled.max(axis=3, keepdims=True)
    brighter = np.minimum(value + _BRIGHTNESS[severity - 1], 1.0)
    is_black = value == 0
    return _as_pixels(
        np.where(is_black, brighter, scaled * brighter / np.where(is_black, 1, value))
    )


def occlusion(images: Images, severity: int, random: np.random.Generator) -> Images:
    """A grey square anywhere in each image."""
    hidden, side = images.copy(), images.shape[1]
    width = max(1, round(_OCCLUSION[severity - 1] * side))
    corners = random.integers(0, side - width + 1, (len(images), 2))
    for image, (top, left) in zip(hidden, corners, strict=True):
        image[top : top + width, left : left + width] = 128
    return hidden


def rotation(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Turned to the left or the right; the edges go on outside."""
    from scipy.ndimage import rotate

    turned, is_left = images.copy(), random.random(len(images)) < 0.5
    for side, sign in ((is_left, 1), (~is_left, -1)):
        if side.any():
            angle = sign * _ROTATION[severity - 1]
            turned[side] = rotate(
                images[side], angle, axes=(2, 1), reshape=False, order=1, mode="nearest"
            )
    return turned


def _as_pixels(values: np.ndarray) -> Images:
    """Values from 0 to 1 as uint8."""
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {
    letter: [*row[max(0, k - 1) : k], *row[k + 1 : k + 2]]
    for row in _ROWS
    for k, letter in enumerate(row)
}
"""The keys beside each, on one row of a keyboard."""


def typing_errors(texts: Sequence[str], severity: int, random: np.random.Generator) -> list[str]:
    """Letters that are missing, doubled, exchanged with the next, or the key beside."""
    return [_mistyped(text, _TYPING[severity - 1], random) for text in texts]


def _mistyped(text: str, share: float, random: np.random.Generator) -> str:
    letters = list(text)
    for place in np.flatnonzero(random.random(len(letters)) < share):
        letter = letters[place]
        if letter not in string.ascii_letters:
            continue
        kind = random.integers(4)
        if kind == 0:
            letters[place] = ""
        elif kind == 1:
            letters[place] = letter * 2
        elif kind == 2 and place + 1 < len(letters):
            letters[place], letters[place + 1] = letters[place + 1], letter
        else:
            letters[place] = str(random.choice(_NEIGHBOURS[letter.lower()]))
    return "".join(letters)


def casing(texts: Sequence[str], severity: int, random: np.random.Generator) -> list[str]:
    """Words in capitals, and those in capitals without."""

    def changed(words: list[str]) -> Iterable[str]:
        for word, number in zip(words, random.random(len(words)), strict=True):
            is_changed = number < _CASING[severity - 1]
            yield word if not is_changed else word.lower() if word.isupper() else word.upper()

    return [" ".join(changed(text.split(" "))) for text in texts]


def dropped_words(texts: Sequence[str], severity: int, random: np.random.Generator) -> list[str]:
    """Words that are missing; one of each text stays."""
    shortened = []
    for text in texts:
        words = text.split()
        stays = random.random(len(words)) >= _DROPPED[severity - 1]
        if words and not stays.any():
            stays[random.integers(len(words))] = True
        shortened.append(" ".join(word for word, kept in zip(words, stays, strict=True) if kept))
    return shortened


OF_IMAGES: dict[str, Callable[[Images, int, np.random.Generator], Images]] = {
    function.__name__: function
    for function in (noise, blur, jpeg, contrast, brightness, occlusion, rotation)
}
OF_TEXTS: dict[str, Callable[[Sequence[str], int, np.random.Generator], list[str]]] = {
    function.__name__: function for function in (typing_errors, casing, dropped_words)
}
ALL = "all"


def names_of(wanted: Sequence[str], modality: str) -> list[str]:
    """The names of corruptions for examples of a modality; `all` means each.

    Raises:
        ConfigError: there is none for such examples, or no such name.
    """
    entry = modality_entry(modality)
    if not entry.corruptions:
        raise ConfigError(f"corruptions: there are none for {entry.plural}.")
    known = list(registry.load(entry.corruptions))
    unknown = [name for name in wanted if name not in (ALL, *known)]
    if unknown:
        raise ConfigError(received("corruptions", unknown[0], [ALL, *known]))
    return known if ALL in wanted else list(wanted)
