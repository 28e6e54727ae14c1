"""Scores of words for the galleries of a report, as many as some seconds allow.

N texts, n tokens, S points of a path.
"""

import time
from collections.abc import Mapping
from typing import Any

from keras import ops

from fmkit.explain import word_attributions
from fmkit.explain.text_network import TextNetwork, Texts
from fmkit.explain.text_words import find_words

STEPS = 4
"""Points of a path: of a picture of words no more is to be seen."""
_LEAST = 1e-3  # of the largest score: what is below is not kept

Marks = dict[str, list[tuple[int, int, float]]]
"""By the name of a text of an example (`text`, `pair`), where its words begin and end, in
characters, and their scores."""


def marks(
    network: TextNetwork, texts: Mapping[str, Texts], are_numbers: bool, seconds: float
) -> dict[str, Marks]:
    """What each word adds to the answer, by integrated gradients over a few points.

    Args:
        network: of the run.
        texts: by id, the most important ones first.
        are_numbers: whether the outputs are numbers, of which the first is explained; of others it
            is the largest.
        seconds: after which no other text is begun.

    Returns:
        By id, the marks of the texts that there was time for; none where the model cannot be
        explained so.
    """
    if word_attributions.embedding_problem(network.model):
        return {}
    began = time.monotonic()
    made: dict[str, Marks] = {}
    for name, parts in texts.items():
        used = time.monotonic() - began
        if made and used + used / len(made) > seconds:
            break
        made[name] = _marks(network, parts, are_numbers)
    return made


def _marks(network: TextNetwork, texts: Texts, are_numbers: bool) -> Marks:
    target = 0 if are_numbers else int(network.outputs([texts])[0].argmax())
    words = find_words(texts)
    tokens, owners = network.tokens(words)

    def score(outputs: Any) -> Any:
        return ops.convert_to_tensor(outputs)[:, target]

    scores = word_attributions.integrated_gradients(
        network.model, tokens, owners, len(words), score, STEPS, STEPS
    ).scores
    least = _LEAST * max(abs(scores).max(initial=0.0), 1e-30)
    names = ("text", "pair")[: len(texts)]
    result: Marks = {name: [] for name in names}
    for word, score_of_word in zip(words.words, scores.tolist(), strict=True):
        if abs(score_of_word) >= least:
            result[names[word.text]].append((word.begin, word.end, round(score_of_word, 6)))
    return result
