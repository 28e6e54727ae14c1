"""Occlusion: how much the score of a target falls where a part of a photo is covered.

N photos, S side of a photo, G cells of a map on a side.
"""

import numpy as np

from fmkit.explain.maps import Maps, Settings
from fmkit.explain.network import Network, blank


def occlusion(
    network: Network, images: np.ndarray, targets: np.ndarray, settings: Settings
) -> Maps:
    """The fall of the score when a square of the photo gets the photo's mean colour.

    Zeiler and Fergus 2014, Visualizing and understanding convolutional networks, arXiv:1311.2901,
    section 4.2. Squares cover 2 x 2 cells and are moved by one; a cell has the mean of those that
    cover it.
    """
    cells = min(settings.cells, network.size // 2)
    edges = np.rint(np.linspace(0, network.size, cells + 1)).astype(int)
    places = [(row, column) for row in range(cells - 1) for column in range(cells - 1)]
    whole = network.scores(images, targets)
    plain = blank(images)
    values = np.zeros((len(images), cells, cells), np.float64)
    counts = np.zeros((cells, cells))
    for row, column in places:
        counts[row : row + 2, column : column + 2] += 1
    for number, image in enumerate(images):
        covered = np.repeat(np.asarray(image, np.float32)[None], len(places), axis=0)
        for picture, (row, column) in zip(covered, places, strict=True):
            part = (slice(edges[row], edges[row + 2]), slice(edges[column], edges[column + 2]))
            picture[part] = plain[number][part]
        scores = network.scores(covered, np.full(len(places), targets[number]))
        for (row, column), fall in zip(places, whole[number] - scores, strict=True):
            values[number, row : row + 2, column : column + 2] += fall
    return Maps((values / counts).astype(np.float32))
