"""Deletion and insertion: do the places that a heat map names decide the prediction?

Petsiuk et al. 2018, RISE, arXiv:1806.07421, section 4.3. Pixels are taken from the photo in the
order of the map, most important first, and the target's probability (a number, of regression) is
followed: it should fall fast. Or they are put into a blurred photo, where it should rise fast.
A score is the area under that curve. A map means something if its area beats that of random maps
that are just as coarse: the same values in cells that were shuffled.

N photos, S their side, h w cells of a map, F shares of the pixels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from scipy.integrate import trapezoid

from fmkit.core.bootstrap import mean_intervals
from fmkit.explain.maps import resized
from fmkit.explain.network import Network, blank

STEPS = 16
RANDOM_MAPS = 3
_BLUR = 1 / 12  # of the side: radius of the blur that insertion starts from
_RESAMPLES = 1000


def evaluate(
    network: Network, images: np.ndarray, targets: np.ndarray, heat: np.ndarray, seed: int,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:  # fmt: skip
    """Areas of both curves, of maps and of random maps, for JSON.

    Args:
        network: the model.
        images: (N, S, S, 3) uint8.
        targets: (N,).
        heat: the maps, (N, h, w).
        seed: of the random maps and the intervals.
        advance: called with the number of photos that are done.
    """
    generator = np.random.default_rng(seed)
    curves: dict[str, list[Any]] = {"deletion": [], "insertion": []}
    for image, target, values in zip(images, targets, heat, strict=True):
        maps = [values, *(_shuffled(values, generator) for _ in range(RANDOM_MAPS))]
        ranks = np.stack([_ranks(one, network.size, generator) for one in maps])
        for kind, rows in curves.items():
            rows.append(_curves(network, image, int(target), ranks, kind))
        advance(1)
    shares = np.linspace(0, 1, STEPS + 1)
    return {
        "shares": shares.round(4).tolist(),
        **{kind: summary(np.stack(rows), kind, seed) for kind, rows in curves.items()},
    }


def summary(curves: np.ndarray, kind: str, seed: int) -> dict[str, Any]:
    """Figures of curves (N, 1 + R, F), the map's own before those of random ones."""
    areas = trapezoid(curves, dx=1 / STEPS, axis=-1)
    own, others = areas[:, 0], areas[:, 1:].mean(axis=1)
    better = others - own if kind == "deletion" else own - others
    return {
        "area": float(own.mean()),
        "random_area": float(others.mean()),
        "better_by": float(better.mean()),
        "interval": mean_intervals({"better_by": better}, _RESAMPLES, seed)["better_by"],
        "share_better": float((better > 0).mean()),
        "curve": curves[:, 0].mean(axis=0).tolist(),
        "random_curve": curves[:, 1:].mean(axis=(0, 1)).tolist(),
    }


def _curves(
    network: Network, image: np.ndarray, target: int, ranks: np.ndarray, kind: str
) -> np.ndarray:
    """What the network says of the target for each map and share of the pixels, (M, F).

    Args:
        ranks: of each pixel for each map, (M, S, S), 0 for the most important.
    """
    photo = image.astype(np.float32)
    under = blank(photo[None])[0] if kind == "deletion" else _blurred(image)
    limits = np.rint(np.linspace(0, 1, STEPS + 1) * ranks[0].size)
    is_taken = ranks[:, None] < limits[None, :, None, None]  # (M, F, S, S)
    over, below = (under, photo) if kind == "deletion" else (photo, under)
    pictures = np.where(is_taken[..., None], over, below).reshape(-1, *photo.shape)
    outputs = network.outputs(pictures)
    values = network.shown(outputs, np.full(len(outputs), target))
    return values.reshape(is_taken.shape[:2])


def _ranks(values: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """The rank of each pixel (S, S) by a map (h, w), 0 for the most important.

    Equal places, such as all where nothing speaks for the target, come in the order of a random map
    that is as coarse.
    """
    chance = resized(generator.random(values.shape)[None], size)[0]
    order = np.lexsort((-chance.ravel(), -resized(values[None], size)[0].ravel()))
    ranks = np.empty(size * size, np.int64)
    ranks[order] = np.arange(size * size)
    return ranks.reshape(size, size)


def _shuffled(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return generator.permutation(values.ravel()).reshape(values.shape)


def _blurred(image: np.ndarray) -> np.ndarray:
    radius = len(image) * _BLUR
    blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred, np.float32)
