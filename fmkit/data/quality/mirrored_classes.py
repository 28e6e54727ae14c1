"""Classes that a mirror turns into each other, such as arrows to the left and to the right.

Where a photo is flipped in training and keeps its label, such classes cannot be told apart. A
linear probe on small grey copies sees it without a model: it is fitted to four fifths of the
photos, and judges the others as they are and mirrored. Two classes are named where it tells them
apart, and most mirrored photos of each look like the other one. Both ways count, since what a
mirror makes of a digit or a shoe looks like anything.

Measured on 32 x 32 copies, the share that changes over (of the two ways the smaller one) and the
accuracy: generated arrows to the left and right .90 and .96, those up and down .05; the nearest two
classes of scikit-learn's digits .28, of MNIST .33, of Fashion-MNIST .09, two classes at random .50
and .50. A pretrained backbone sees less: it was trained with flips.

N photos, S side, D features, K classes.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from fmkit.core import machine
from fmkit.core.errors import join_names
from fmkit.data.findings import Finding

SIDE = 32
"""Side of the grey copies in pixels."""
LEAST_SHARE, LEAST_ACCURACY = 0.6, 0.65
"""Least share of both classes that changes over, and least accuracy of the probe in both."""

_PER_CLASS, _LEAST_PER_CLASS, _MOST = 100, 12, 1000
_FOLDS, _BINS, _CELLS = 5, 8, 4
_AT_ONCE = 50  # photos whose intermediate results stay in the processor's cache
_RIDGE = 0.1  # of the mean variance of a feature
_FLIPS = {"horizontal": ("horizontal",), "both": ("horizontal", "vertical")}
_AXES = {"horizontal": 2, "vertical": 1}


def sample(labels: np.ndarray, count: int) -> np.ndarray:
    """Positions of at most `_PER_CLASS` photos of each class, the same each time; empty where
    fewer than two classes have enough."""
    random = np.random.default_rng(0)
    members = [np.flatnonzero(labels == number) for number in range(count)]
    members = [own for own in members if len(own) >= _LEAST_PER_CLASS]
    if len(members) < 2:
        return np.zeros(0, np.int64)
    most = max(_LEAST_PER_CLASS, min(_PER_CLASS, _MOST // len(members)))
    return np.concatenate([random.permutation(own)[:most] for own in members])


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Grey copies (N, S, S) uint8 of images in memory, (N, H, W) or (N, H, W, C) uint8."""
    copies = np.zeros((len(pixels), SIDE, SIDE), np.uint8)
    for number, image in enumerate(pixels):
        photo = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
        small = photo.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        copies[number] = np.asarray(small)
    return copies


def mirrored_findings(
    copies: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], flip: str
) -> list[Finding]:
    """A finding for each axis of `data.flip` along which classes change over.

    Args:
        copies: grey, (N, S, S) uint8.
        labels: (N,).
        classes: K names.
        flip: `data.flip`.
    """
    findings = []
    for axis in _FLIPS.get(flip, ()):
        pairs = mirrored_pairs(copies, labels, len(classes), _AXES[axis])
        if not pairs:
            continue
        names = [
            f"{classes[one]!r} and {classes[other]!r} ({share:.0%})" for one, other, share in pairs
        ]
        why = (
            f"Photos that are flipped ({axis}) look like those of another class: "
            f"{join_names(names, 5)}. data.flip={flip} would train against the labels."
        )
        findings.append(Finding("mirrored_classes", "", why, count=len(pairs)))
    return findings


@machine.one_blas_thread()
def mirrored_pairs(
    copies: np.ndarray, labels: np.ndarray, count: int, axis: int
) -> list[tuple[int, int, float]]:
    """Classes that change over and the share that does, the largest share first.

    Args:
        copies: (N, S, S) uint8.
        labels: (N,).
        count: K.
        axis: of the photos that is mirrored, 1 or 2.
    """
    parts = [_cells(copies[start : start + _AT_ONCE]) for start in range(0, len(copies), _AT_ONCE)]
    cells, grey = map(np.concatenate, zip(*parts, strict=True))
    plain = _features(cells, grey)
    # The edges of a mirrored photo are mirrored edges: left and right, or up and down change over.
    turned = (_BINS // 2 * (axis - 1) - np.arange(_BINS)) % _BINS
    mirrored = _features(np.flip(cells, axis)[..., turned], np.flip(grey, axis))
    numbers, labels = np.unique(labels, return_inverse=True)
    fold = np.zeros(len(labels), np.int64)
    for number in range(len(numbers)):
        members = labels == number
        fold[members] = np.arange(members.sum()) % _FOLDS
    right, changed = np.zeros((2, len(numbers), len(numbers)))
    targets = np.eye(len(numbers), dtype=np.float32)[labels]
    for number in range(_FOLDS):
        held_out = fold == number
        probe = _fit(plain[~held_out], targets[~held_out])
        for table, features in ((right, plain), (changed, mirrored)):
            np.add.at(table, (labels[held_out], probe(features[held_out]).argmax(axis=1)), 1)
    sizes = np.bincount(labels)[:, None]
    accuracy, shares = np.diag(right / sizes), changed / sizes
    pairs = [
        (int(numbers[one]), int(numbers[other]), float(min(shares[one, other], shares[other, one])))
        for one in range(len(numbers))
        for other in range(one + 1, len(numbers))
        if min(accuracy[one], accuracy[other]) >= LEAST_ACCURACY
    ]
    return sorted((p for p in pairs if p[2] >= LEAST_SHARE), key=lambda pair: -pair[2])


def _cells(copies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges by their direction in 4 x 4 cells, (N, 4, 4, 8), and the grey values, (N, 16, 16).

    Histograms of oriented gradients (Dalal and Triggs 2005), here of the full circle: which side is
    the lighter one tells left from right.
    """
    grey = copies.astype(np.float32)
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    grey /= grey.std(axis=(1, 2), keepdims=True) + 1.0
    down, right = np.gradient(grey, axis=(1, 2))
    strength, angle = np.hypot(right, down), np.arctan2(down, right) / (2 * np.pi) * _BINS
    angle = np.where(angle < 0, angle + _BINS, angle)  # what a remainder is, at a tenth of its cost
    whole = np.floor(angle)
    low, share = whole.astype(np.int64), angle - whole
    rows, columns = np.indices(grey.shape[1:]) * _CELLS // grey.shape[1]
    places = np.arange(len(grey))[:, None, None] * _CELLS**2 + rows * _CELLS + columns
    places *= _BINS
    size = len(grey) * _CELLS**2 * _BINS
    edges = np.zeros(size)
    for number, weight in ((low, 1 - share), (low + 1, share)):
        bins = places + (number & (_BINS - 1))  # the last one is beside the first
        edges += np.bincount(bins.ravel(), (strength * weight).ravel(), size)
    small = grey.reshape(len(grey), SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4))
    return edges.reshape(-1, _CELLS, _CELLS, _BINS).astype(np.float32), small


def _features(cells: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Directions of edges in cells and in the whole, and grey values, (N, D) float32."""
    whole = cells.sum(axis=(1, 2))
    parts = (np.sqrt(cells), np.sqrt(whole), 0.5 * grey)
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _fit(features: np.ndarray, targets: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Ridge regression of targets (N, K): a function from features to scores."""
    mean, offset = features.mean(axis=0), targets.mean(axis=0)
    centred = features - mean
    # By the smaller of the two Gram matrices.
    if len(centred) < centred.shape[1]:
        gram = centred @ centred.T
        np.fill_diagonal(gram, gram.diagonal() + _RIDGE * gram.diagonal().mean())
        weights = centred.T @ np.linalg.solve(gram, targets - offset)
    else:
        gram = centred.T @ centred
        np.fill_diagonal(gram, gram.diagonal() + _RIDGE * gram.diagonal().mean())
        weights = np.linalg.solve(gram, centred.T @ (targets - offset))
    return lambda rows: (rows - mean) @ weights + offset
