"""The sanity check by randomised weights: does a heat map depend on what the network has learned?

Adebayo et al. 2018, Sanity checks for saliency maps, arXiv:1810.03292, section 3: weights are
randomised from the top layer down. A map that stays as it was shows the photo, such as its edges,
and not the network. Compared is the rank correlation of the map before and after.

N photos, S their side, h w cells of a map.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.stats import rankdata

from fmkit.models.backbone import Block

SEEDS = 2
LIMIT = 0.5
"""Mean rank correlation that a map must stay below, with all weights randomised."""
Explanations = np.ndarray | Sequence[np.ndarray]
"""Maps (N, h, w), or scores of N texts, of any length."""
_PARTS = 3  # of the backbone, which are randomised one after the other


def evaluate(
    model: keras.Model,
    blocks: Sequence[Block],
    explain: Callable[[], Explanations],
    heat: Explanations,
    seed: int,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """Rank correlations of maps before and after, for JSON; the weights are put back.

    Args:
        model: the network.
        blocks: of its backbone, from stem to top; other weights are the head's.
        explain: makes the maps anew, N of any shape.
        heat: the maps before.
        seed: of the random weights.
        advance: called with the number of maps that are done.
    """
    stages = list(_stages(model, blocks))
    saved = [(weight, ops.convert_to_numpy(weight)) for weight in model.weights]
    correlations = np.zeros((SEEDS, len(stages), len(heat)))
    try:
        for run in range(SEEDS):
            generator = np.random.default_rng((seed, run))
            for stage, (_, weights) in enumerate(stages):
                _shuffle(weights, generator)
                correlations[run, stage] = rank_correlations(heat, explain())
                advance(len(heat))
            _restore(saved)
    finally:
        _restore(saved)
    means = correlations.mean(axis=(0, 2))
    return {
        "randomised": [name for name, _ in stages],
        "rank_correlations": means.tolist(),
        "limit": LIMIT,
        "passed": bool(means[-1] < LIMIT),
        "head_matters": bool(means[0] < 1 - 1e-6),
    }


def passes(blocks: Sequence[Block]) -> int:
    """How often `evaluate` makes all maps anew."""
    return SEEDS * (1 + min(_PARTS, len(blocks)))


def _stages(
    model: keras.Model, blocks: Sequence[Block]
) -> Iterator[tuple[str, list[keras.Variable]]]:
    """What is randomised one after the other: the head, and parts of the backbone from the top."""
    in_blocks = {
        id(weight) for block in blocks for layer in block.layers for weight in layer.weights
    }
    yield "head", [weight for weight in model.weights if id(weight) not in in_blocks]
    downwards = list(reversed(blocks))
    parts = np.array_split(np.arange(len(downwards)), min(_PARTS, len(downwards)))
    for part in parts:
        weights = [w for k in part for layer in downwards[k].layers for w in layer.weights]
        yield f"and down to {downwards[part[-1]].name}", weights


def _shuffle(weights: Sequence[keras.Variable], generator: np.random.Generator) -> None:
    """Randomise kernels by shuffling them, which leaves their scale: networks stay alive."""
    for weight in weights:
        if len(weight.shape) > 1:
            values = ops.convert_to_numpy(weight)
            weight.assign(generator.permutation(values.ravel()).reshape(values.shape))


def _restore(saved: Sequence[tuple[keras.Variable, np.ndarray]]) -> None:
    for weight, value in saved:
        weight.assign(value)


def rank_correlations(first: Explanations, second: Explanations) -> np.ndarray:
    """Spearman's correlation of maps or scores, any shapes, example by example, (N,); 0 where one
    is flat."""
    correlations = np.zeros(len(first))
    for number, pair in enumerate(zip(first, second, strict=True)):
        ranks = [rankdata(values.ravel()) for values in pair]
        left, right = (rank - rank.mean() for rank in ranks)
        norm = np.sqrt((left**2).sum() * (right**2).sum())
        correlations[number] = (left * right).sum() / norm if norm > 0 else 0.0
    return correlations
