"""Heat maps for the galleries of a report, all in one pass.

N photos, S their side, h w cells of a map.
"""

import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fmkit.core import registry
from fmkit.core.modalities import modality_entry
from fmkit.data.examples import Content
from fmkit.explain import grad_cam, pictures
from fmkit.explain.maps import Settings
from fmkit.explain.network import Network, feature_maps

Draw = Callable[[Sequence[int]], list[Any]]
"""From positions of photos in the data set to pictures of the heat maps over the first of them."""


SHARE = 0.04
"""Of the run's time."""
_FIRST = 4  # photos by which the time for the others is estimated


def drawer(assembly: Any, side: int, seconds: float, log: Callable[[str], object]) -> Draw | None:
    """What draws Grad-CAMs of a run's photos; None where its model or task has none.

    Args:
        assembly: of the run that is done, `train.assemble.Assembly`.
        side: of a picture, in pixels.
        seconds: that the run took.
        log: gets what went wrong; the page is made without maps then.
    """
    spec = assembly.spec
    has_answers = bool(spec.classes) or spec.annotations in ("sets", "numbers")
    is_plain = not assembly.objectives and len(assembly.devices.names) == 1
    if not (has_answers and is_plain) or assembly.backbone.image_size is None:
        return None

    def draw(positions: Sequence[int]) -> list[Any]:
        try:
            if not feature_maps(assembly.model):
                return []
            network = Network(assembly.model, spec.annotations or "classes")
            photos = _pixels(assembly.loader, positions)
            drawn = overlays(network, photos, side, SHARE * seconds)
            if assembly.config.data.resize == "squash":
                drawn = as_wide_as_photos(drawn, assembly.examples.content, positions, side)
            return drawn
        except Exception:  # a plugin's model may be of any kind
            log(f"report, heat maps of photos: {traceback.format_exc()}")
            return []

    return draw


def as_wide_as_photos(
    drawn: Sequence[Any], content: Content, positions: Sequence[int], side: int
) -> list[Any]:
    """Square pictures of photos that were squashed, at the shape that the photos have.

    Args:
        drawn: of the first photos.
        content: of the data set.
        positions: of the photos in it.
        side: the longer one, in pixels.
    """
    thumbnail = registry.load(modality_entry(content.modality).thumbnail)
    return [
        picture.resize(thumbnail(content, position, side).size)
        for picture, position in zip(drawn, positions, strict=False)
    ]


def overlays(network: Network, photos: np.ndarray, side: int, seconds: float) -> list[Any]:
    """Pictures of the heat maps over the first of some photos, as many as there is time for.

    Args:
        network: of the run.
        photos: (N, S, S, 3) uint8, the most important first.
        side: of a picture, in pixels.
        seconds: that it may take.
    """
    began = time.monotonic()
    made = _overlays(network, photos[:_FIRST], side)
    used = time.monotonic() - began
    room = int(len(made) * (seconds - used) / max(used, 1e-9))
    return made + _overlays(network, photos[_FIRST:][: max(0, room)], side)


def _overlays(network: Network, photos: np.ndarray, side: int) -> list[Any]:
    if not len(photos):
        return []
    targets = network.predicted(network.outputs(photos))
    heat = grad_cam.grad_cam(network, photos, targets, Settings()).values
    return [pictures.overlay(*pair, side) for pair in zip(photos, heat, strict=True)]


def _pixels(loader: Any, positions: Sequence[int]) -> np.ndarray:
    """The photos (N, S, S, 3) uint8 as the network reads them."""
    batches = loader.ordered(np.asarray(positions, np.int64)).as_numpy_iterator()
    images = np.concatenate([images for images, _ in batches])
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)
