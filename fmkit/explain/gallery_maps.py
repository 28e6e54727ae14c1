"""Heat maps for the galleries of a report, all in one pass.

N photos, S their side, h w cells of a map.
"""

import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fmkit.explain import grad_cam, pictures
from fmkit.explain.maps import Settings
from fmkit.explain.network import Network, feature_maps

Draw = Callable[[Sequence[int]], list[Any]]
"""From positions of photos in the data set to pictures of their heat maps over them."""


def drawer(assembly: Any, side: int, log: Callable[[str], object]) -> Draw | None:
    """What draws Grad-CAMs of a run's photos; None where its model or task has none.

    Args:
        assembly: of the run that is done, `train.assemble.Assembly`.
        side: of a picture, in pixels.
        log: gets what went wrong; the page is made without maps then.
    """
    spec = assembly.spec
    has_answers = bool(spec.classes) or spec.annotations in ("sets", "numbers")
    is_plain = not assembly.objectives and len(assembly.devices.names) == 1
    if not (has_answers and is_plain) or assembly.backbone.image_size is None:
        return None

    def draw(positions: Sequence[int]) -> list[Any]:
        try:
            return _draw(assembly, np.asarray(positions, np.int64), side)
        except Exception:  # a plugin's model may be of any kind
            log(f"report, heat maps of photos: {traceback.format_exc()}")
            return []

    return draw


def _draw(assembly: Any, positions: np.ndarray, side: int) -> list[Any]:
    if not len(positions) or not feature_maps(assembly.model):
        return []
    network = Network(assembly.model, assembly.spec.annotations or "classes")
    batches = assembly.loader.ordered(positions).as_numpy_iterator()
    made: list[Any] = []
    for images, _ in batches:
        targets = network.predicted(network.outputs(images))
        heat = grad_cam.grad_cam(network, images, targets, Settings()).values
        pixels = np.clip(np.rint(images), 0, 255).astype(np.uint8)
        made += [pictures.overlay(*pair, side) for pair in zip(pixels, heat, strict=True)]
    return made
