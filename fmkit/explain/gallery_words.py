"""Scores of words for the galleries of a report, as many as some seconds allow.

N texts, n tokens, S points of a path.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

from fmkit.explain import word_attributions
from fmkit.explain.text_network import TextNetwork, Texts
from fmkit.explain.text_words import find_words

STEPS = 4
"""Points of a path: of a picture of words no more is to be seen."""
SHARE = 0.04
"""Of the run's time."""
_GRADIENTS = 3 * STEPS  # passes that a text takes, beside one through the network
_LEAST = 1e-3  # of the largest score: what is below is not kept

Marks = dict[str, list[tuple[int, int, float]]]
"""By the name of a text of an example (`text`, `pair`), where its words begin and end, in
characters, and their scores."""


Mark = Callable[[Mapping[str, Texts]], dict[str, Marks]]


def marker(assembly: Any, seconds: float, log: Callable[[str], object]) -> Mark | None:
    """What marks the words of a run's texts; None where its answers cannot be explained so.

    Args:
        assembly: of the run that is done, `train.assemble.Assembly`.
        seconds: that the run took.
        log: gets what went wrong; the page is made without marks then.
    """
    backbone, spec = assembly.backbone, assembly.spec
    has_answers = bool(spec.classes) or spec.annotations in ("sets", "numbers")
    is_read = backbone.tokenizer is not None and assembly.task.input_format == "examples"
    if assembly.objectives or not (has_answers and is_read) or len(assembly.devices.names) > 1:
        return None
    network = TextNetwork(assembly.model, backbone.tokenizer, backbone.max_length)

    def mark(texts: Mapping[str, Texts]) -> dict[str, Marks]:
        try:
            return marks(network, texts, spec.annotations == "numbers", SHARE * seconds)
        except Exception:  # a plugin's model may be of any kind
            log(f"report, words of texts: {traceback.format_exc()}")
            return {}

    return mark


def marks(
    network: TextNetwork, texts: Mapping[str, Texts], are_numbers: bool, seconds: float
) -> dict[str, Marks]:
    """What each word adds to the answer, by integrated gradients over a few points.

    Args:
        network: of the run.
        texts: by id, the most important ones first.
        are_numbers: whether the outputs are numbers, of which the first is explained; of others it
            is the largest.
        seconds: that it may take.

    Returns:
        By id, the marks of the texts that there was time for; none where the model cannot be
        explained so.
    """
    if word_attributions.embedding_problem(network.model):
        return {}
    began = time.monotonic()
    made: dict[str, Marks] = {}
    expected = 0.0  # seconds that the next text takes
    for name, parts in texts.items():
        outputs = network.outputs([parts])
        if not made:  # the first pass of all takes longer than later ones
            start = time.monotonic()
            network.outputs([parts])
            expected = _GRADIENTS * (time.monotonic() - start)
        if time.monotonic() - began + expected > seconds:
            break
        made[name] = _marks(network, parts, 0 if are_numbers else int(outputs[0].argmax()))
        expected = (time.monotonic() - began) / len(made)
    return made


def _marks(network: TextNetwork, texts: Texts, target: int) -> Marks:
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
