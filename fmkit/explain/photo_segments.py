"""Segments of a photo that look alike, and the photo without some of them.

H W pixels of a photo, P segments.
"""

from collections.abc import Collection

import numpy as np

SEGMENTS = 48
"""About as many as a photo is divided into."""
_SIDE = 96  # of the reduced photo that is divided, in pixels
_COMPACTNESS = 60.0
"""Levels of colour that count as much as the distance between two neighbouring segments."""
_ROUNDS = 10
_BLUR = 0.12  # radius, as a share of the photo's side


def segments(photo: np.ndarray, count: int = SEGMENTS) -> np.ndarray:
    """The segment of each pixel, (H, W) int64: numbers from 0 to P - 1, all of which occur.

    Superpixels by the distance of SLIC (Achanta et al. 2012, SLIC superpixels compared to
    state-of-the-art superpixel methods), of colour and of place; they begin as a grid.

    Args:
        photo: (H, W, 3), 0 to 255.
        count: about as many segments.
    """
    from PIL import Image
    from sklearn.cluster import KMeans

    height, width = photo.shape[:2]
    size = min(_SIDE, width), min(_SIDE, height)
    picture = Image.fromarray(np.clip(np.rint(photo), 0, 255).astype(np.uint8)).resize(size)
    colours = np.asarray(picture, np.float64)
    rows, columns = np.mgrid[: size[1], : size[0]]
    across = max(1, round((count * size[0] / size[1]) ** 0.5))
    down = max(1, round(count / across))
    step = (size[0] * size[1] / (across * down)) ** 0.5
    places = np.stack([rows, columns], axis=-1) * (_COMPACTNESS / step)
    points = np.concatenate([colours, places], axis=-1)  # (h, w, 5)
    grid = np.ix_(
        ((np.arange(down) + 0.5) * size[1] / down).astype(int),
        ((np.arange(across) + 0.5) * size[0] / across).astype(int),
    )
    begin = points[grid].reshape(-1, 5)
    means = KMeans(len(begin), init=begin, n_init=1, max_iter=_ROUNDS, random_state=0)
    labels = means.fit_predict(points.reshape(-1, 5)).reshape(size[1], size[0])
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    down_of, across_of = np.arange(height) * size[1] // height, np.arange(width) * size[0] // width
    return np.asarray(labels[np.ix_(down_of, across_of)], np.int64)


def blurred(photo: np.ndarray) -> np.ndarray:
    """A photo out of focus, (H, W, 3) float32: what a removed segment is replaced by."""
    from scipy.ndimage import gaussian_filter

    radius = _BLUR * max(photo.shape[:2])
    return np.asarray(gaussian_filter(photo.astype(np.float32), (radius, radius, 0)))


def without(
    photo: np.ndarray, replacement: np.ndarray, labels: np.ndarray, removed: Collection[int]
) -> np.ndarray:
    """A photo with some of its segments replaced, (H, W, 3) in the dtype of the photo."""
    gone = np.isin(labels, list(removed))[..., None]
    return np.where(gone, replacement, photo).astype(photo.dtype)
