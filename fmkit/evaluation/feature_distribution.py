"""Out-of-distribution scores: how far features are from those of held-out examples of training.

The score is a Mahalanobis distance (Lee et al. 2018, arXiv:1807.03888): a Gaussian for each class,
all with one covariance, and the distance to the nearest. The features have length 1 (Mueller and
Hein 2025, arXiv:2505.18032), the covariance is that of Ledoit and Wolf (scikit-learn), of which the
largest axes are kept and one variance for all others. It is fitted on validation examples, which
the network has not learned, and so is its threshold, out of fold.

N examples, C classes, D features, R axes.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln

QUANTILE = 0.95
"""Share of held-out examples below the threshold: the true positive rate in the literature."""
MIN_EXAMPLES = 50
"""With fewer validation examples there is no score."""
OOD_SCORE = "ood_score"
"""The column of the scores."""
_AXES = 64  # 16 find a little less, 256 find no more; a run keeps D of each
_FOLDS = 5
_MIN_OF_CLASS = 5  # a class with fewer shares the mean of all
_SHORTEST = 1e-6  # length, and distance behind the threshold
_SMALLEST = 1e-14  # variance: features have length 1 and single precision


@dataclass(frozen=True)
class FeatureDistribution:
    """The distribution of features, and the threshold of distances from it.

    Attributes:
        means: of the classes, (C, D).
        axes: of the largest variances, (D, R), orthonormal.
        variances: along the axes, (R,).
        other_variance: along each direction that none of the axes has; 0 where there is none.
        threshold: distance that the share `QUANTILE` of held-out examples is below.
        examples: that it was fitted on.
    """

    means: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    other_variance: float
    threshold: float
    examples: int

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Distances of features (N, D) in thresholds, (N,): above 1 is unlike the training data.

        NaN where the features are.
        """
        distances: np.ndarray = self._distances(_unit(features)) / self.threshold
        return distances

    def _distances(self, units: np.ndarray) -> np.ndarray:
        """Distances of features of length 1, (N, D), from the nearest class, (N,)."""
        squares = np.full(len(units), np.inf)
        for mean in self.means:
            centred = units - mean
            along = centred @ self.axes
            square = (along**2 / self.variances).sum(axis=1)
            if self.other_variance > 0:
                rest = (centred**2).sum(axis=1) - (along**2).sum(axis=1)
                square += np.maximum(rest, 0.0) / self.other_variance
            squares = np.minimum(squares, square)
        return np.asarray(np.sqrt(squares))


def fit(
    features: np.ndarray, labels: np.ndarray | None = None, seed: int = 0
) -> FeatureDistribution | None:
    """The distribution of features of held-out examples; None: there are too few.

    The distances behind the threshold are those of examples from distributions that were fitted
    without them, in 5 folds.

    Args:
        features: (N, D), finite.
        labels: the class of each, (N,); None: there are none, and one Gaussian is for all.
        seed: of the folds.
    """
    count = len(features)
    if count < MIN_EXAMPLES:
        return None
    units = _unit(features)
    classes = np.zeros(count, np.int64) if labels is None else np.asarray(labels)
    fold_of = np.random.default_rng(seed).permutation(np.arange(count) % _FOLDS)
    held_out = np.empty(count)
    for fold in range(_FOLDS):
        rows = fold_of == fold
        held_out[rows] = _fit(units[~rows], classes[~rows])._distances(units[rows])
    threshold = float(np.sort(held_out)[threshold_rank(count) - 1])
    return _fit(units, classes, max(threshold, _SHORTEST))


def threshold_rank(examples: int) -> int:
    """Rank of the threshold among the distances of so many held-out examples, from 1.

    A new example of the same distribution is above it with a probability of at most 1 - `QUANTILE`,
    as in split conformal prediction.
    """
    return min(int(np.ceil(QUANTILE * (examples + 1))), examples)


def chance_of_share(above: int, count: int, examples: int) -> float:
    """The probability of so many scores above 1, or more, among inputs like the training data.

    The threshold is itself an estimate: how many of `count` inputs exceed the k-th of n distances
    is beta-binomial with n + 1 - k and k.

    Args:
        above: inputs with a score above 1.
        count: inputs.
        examples: that the distribution was fitted on.
    """
    rank = threshold_rank(examples)
    a, b = examples + 1 - rank, rank
    k = np.arange(above, count + 1)
    # Of scipy.special: importing scipy.stats for it would take longer than predicting a photo.
    logarithms = betaln(k + a, count - k + b) - betaln(a, b)
    logarithms -= np.log(count + 1) + betaln(count - k + 1, k + 1)  # the binomial coefficients
    return min(1.0, float(np.exp(logarithms).sum()))


def _unit(features: np.ndarray) -> np.ndarray:
    values = np.asarray(features, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(lengths, _SHORTEST))


def _fit(units: np.ndarray, classes: np.ndarray, threshold: float = 1.0) -> FeatureDistribution:
    """The distribution of features of length 1, (N, D)."""
    mean = units.mean(axis=0)
    names, positions, counts = np.unique(classes, return_inverse=True, return_counts=True)
    means = np.stack([units[positions == k].mean(axis=0) for k in range(len(names))])
    is_rare = counts < _MIN_OF_CLASS
    means[is_rare] = mean
    axes, variances, other_variance = _covariance(units - means[positions])
    if is_rare.any():
        means = np.concatenate([means[~is_rare], mean[None]])
    return FeatureDistribution(means, axes, variances, other_variance, threshold, len(units))


def _covariance(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The largest axes of the Ledoit-Wolf covariance of centred features (N, D).

    That of scikit-learn takes N D^2 steps and its axes D^3; these are N D min(N, D), by the
    products of features or of examples, whichever are fewer: both have the same eigenvalues.

    Returns:
        Axes (D, R), the variances along them (R,) and the mean variance along all others.
    """
    from scipy.linalg import eigh

    count, width = centred.shape
    is_wide = width > count
    products = centred @ centred.T if is_wide else centred.T @ centred
    lengths = (centred**2).sum(axis=1)
    mean = lengths.sum() / count / width  # variance
    norm = (products**2).sum() / count**2  # of the covariance, squared
    spread = norm - width * mean**2
    noise = ((lengths**2).sum() / count - norm) / count
    shrinkage = min(noise, spread) / spread if spread > 0 and noise > 0 else 0.0
    size = len(products)
    largest, axes = eigh(products, subset_by_index=(max(size - _AXES, 0), size - 1))
    is_positive = largest > _SMALLEST * count
    largest, axes = largest[is_positive], axes[:, is_positive]
    if is_wide:
        axes = centred.T @ axes / np.sqrt(largest)
    variances = (1 - shrinkage) * largest / count + shrinkage * mean
    others = width - len(variances)
    rest = max((width * mean - variances.sum()) / others, _SMALLEST) if others else 0.0
    return axes, variances, float(rest)
