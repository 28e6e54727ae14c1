"""Photos as the input of a deployed model: decoded and resized by Pillow, as fmkit does.

B batch, S side of the network's input in pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fmkit.core.errors import DataError
from fmkit.data.examples import Examples
from fmkit.data.predict_photos import PhotoInputs, photos_of_examples
from fmkit.evaluation import new_inputs
from fmkit.evaluation.load_run import LoadedRun
from fmkit.export.inputs import DeployedInput, Sample

_READ = '''\
def read(paths):
    """Photos as the model takes them, (photos, {size}, {size}, 3) float32, RGB, 0 to 255."""
    return np.stack([read_photo(path) for path in paths])


def read_photo(path):
    with Image.open(path) as image:
        image.draft(None, {draft})  # large JPEGs are decoded smaller
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # grey of 16 bits
        low, high = {grey_range}
        levels = (np.asarray(image, np.float64) - low) * (255 / (high - low))
        image = Image.fromarray(np.rint(levels.clip(0, 255)).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
{square}
    return np.asarray(image, np.float32)
'''
_SQUASH = """\
    image = image.resize(({size}, {size}), Image.Resampling.BILINEAR, reducing_gap=3.0)"""
_CROP = """\
    side = min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    box = (left, top, left + side, top + side)
    image = image.resize(({size}, {size}), Image.Resampling.BILINEAR, box, reducing_gap=3.0)"""
_PAD = """\
    inner = [max(1, round(length * ({size} / max(image.size)))) for length in image.size]
    content = image.resize(inner, Image.Resampling.BILINEAR, reducing_gap=3.0)
    image = Image.new("RGB", ({size}, {size}))
    image.paste(content, [({size} - length) // 2 for length in inner])"""
_SQUARES = {"squash": _SQUASH, "crop": _CROP, "pad": _PAD}
"""By `data.resize`; see `data/images/decode.py`, which these lines repeat."""
_WHOLE = "({double}, {double})"
_INSIDE = "[max(1, int(n * ({size} / max(image.size) * 2))) for n in image.size]"


class Photos(DeployedInput):
    """RGB images, 0 to 255."""

    name = "images"
    phrase = "RGB, 0 to 255"
    install = "pillow"
    imports = "from PIL import Image, ImageOps"
    argument = "PHOTO"

    def inputs(self, examples: Examples) -> PhotoInputs:
        """The photos."""
        return photos_of_examples(examples)

    def sample(self, trained: LoadedRun, inputs: Any, limit: int, batch_size: int) -> Sample:
        """The first photos that can be read, decoded as for `fmkit predict`."""
        errors, pixels = list(inputs.errors), []
        for numbers, images in new_inputs.decode_photos(trained, inputs, errors, batch_size):
            pixels += list(images[: len(numbers)])
            if len(pixels) >= limit:
                break
        if not pixels:
            raise DataError("none of the images could be read.", next(filter(None, errors), ""))
        pixels = pixels[:limit]
        starts = range(0, len(pixels), batch_size)
        return Sample([np.stack(pixels[start : start + batch_size]) for start in starts])

    def shape(self, model_shape: Sequence[Any]) -> list[Any]:
        """Height and width where they are free."""
        batch, *sides, channels = super().shape(model_shape)
        names = zip(sides, ("height", "width"), strict=True)
        return [batch, *(name if side is None else side for side, name in names), channels]

    def metadata(self, trained: LoadedRun, data: Any) -> dict[str, Any]:
        """Size, resize, resampling and colour."""
        grey_range = trained.spec.grey_range
        return {
            "image_size": trained.backbone.image_size,
            "resize": data.resize,
            "resampling": "bilinear with antialiasing (Pillow's BILINEAR, reducing_gap=3)",
            "colour": "RGB",
            "range": [0, 255],
            "grey_range": list(grey_range) if grey_range else [0.0, 65535.0],
            "transparent": "white",
            "exif_orientation": "applied",
        }

    def reader(self, trained: LoadedRun, data: Any) -> str:
        """Decoding as `fmkit predict` does it."""
        size = trained.backbone.image_size or 0
        draft = _INSIDE if data.resize == "pad" else _WHOLE
        return _READ.format(
            size=size, draft=draft.format(size=size, double=2 * size),
            square=_SQUARES[data.resize].format(size=size),
            grey_range=trained.spec.grey_range or (0.0, 65535.0),
        )  # fmt: skip


PHOTOS = Photos()
