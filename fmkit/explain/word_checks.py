"""Checks of scores of words: do the words that they name decide the answer?

As for photos, by deletion and insertion (Petsiuk et al. 2018) with words in the place of pixels,
and by randomised weights (Adebayo et al. 2018). Words are left out of a text, the strongest first,
or put back into an empty one; random scores are the same ones in another order of the words.

N texts, W words of one, F shares of the words, K outputs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmkit.evaluation.progress import Progress
from fmkit.explain import deletion_insertion, randomised_weights
from fmkit.explain.answers import Answers
from fmkit.explain.deletion_insertion import RANDOM_MAPS, STEPS
from fmkit.explain.methods import Request
from fmkit.explain.text_network import TextNetwork
from fmkit.explain.text_words import TextWords

CHECKED = 32
"""Texts that a check is made of, at most."""
_LEAST_WORDS = 2  # of one word there is no other order


@dataclass(frozen=True)
class ScoredText:
    """A text with what was found about it.

    Attributes:
        words: of the text.
        is_read: which of them the model reads, (W,) bool.
        target: the output that was explained.
        scores: of the words, (W,).
    """

    words: TextWords
    is_read: np.ndarray
    target: int
    scores: np.ndarray


def evaluate(
    request: Request, network: TextNetwork, texts: Sequence[ScoredText],
    compute: Callable[[TextNetwork, TextWords, int], Any],
) -> dict[str, Any] | None:  # fmt: skip
    """Figures of both checks, for JSON; None where no text has two words.

    Args:
        request: says which run, and the seed.
        network: of the run.
        texts: the first `CHECKED` that have two words are taken.
        compute: makes the attributions of a text anew.
    """
    texts = [text for text in texts if text.is_read.sum() >= _LEAST_WORDS][:CHECKED]
    if not texts:
        return None
    runtime, blocks = request.config.runtime, request.trained.backbone.blocks
    answers, generator = Answers.of_run(request.trained), np.random.default_rng(runtime.seed)
    total = len(texts) * (1 + randomised_weights.passes(blocks))
    with Progress("check", "texts", total, verbose=runtime.verbose) as progress:
        curves: dict[str, list[np.ndarray]] = {"deletion": [], "insertion": []}
        for text in texts:
            for kind, rows in text_curves(network, answers, text, generator).items():
                curves[kind].append(rows)
            progress.advance(1)

        def again() -> list[np.ndarray]:
            made = (compute(network, text.words, text.target).scores for text in texts)
            return [scores[text.is_read] for scores, text in zip(made, texts, strict=True)]

        before = [text.scores[text.is_read] for text in texts]
        sanity = randomised_weights.evaluate(
            network.model, blocks, again, before, runtime.seed, progress.advance
        )
    return {
        "texts": len(texts),
        "shares": np.linspace(0, 1, STEPS + 1).round(4).tolist(),
        **{
            kind: deletion_insertion.summary(np.stack(rows), kind, runtime.seed)
            for kind, rows in curves.items()
        },
        "randomised_weights": sanity,
    }


def text_curves(
    network: TextNetwork, answers: Answers, text: ScoredText, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """What the network says of the target without, and with only, a share of the words.

    Returns:
        Curves (1 + R, F) of `deletion` and `insertion`: by the scores, and by R random orders.
    """
    words, read = text.words.cut(text.is_read), np.flatnonzero(text.is_read)
    order = read[np.argsort(-text.scores[read], kind="stable")]
    orders = [order, *(generator.permutation(read) for _ in range(RANDOM_MAPS))]
    counts = np.rint(np.linspace(0, 1, STEPS + 1) * len(read)).astype(int)
    curves = {}
    for kind, edit in (("deletion", words.without), ("insertion", words.only)):
        changed = [edit(one[:count].tolist()) for one in orders for count in counts]
        outputs = network.outputs(changed)
        values = answers.values(outputs, np.full(len(outputs), text.target))
        curves[kind] = values.reshape(len(orders), len(counts))
    return curves
