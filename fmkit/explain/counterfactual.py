"""Whether an answer turns without some parts of an input, and the fewest that do it.

N sets of parts, K outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fmkit.evaluation.load_run import LoadedRun
from fmkit.explain.answers import Answers
from fmkit.explain.smallest_change import Change, Parts, search


def problem(trained: LoadedRun) -> str:
    """Why a run's answers cannot be turned; empty where they can."""
    if trained.spec.annotations == "numbers":
        return "a number is not an answer that turns into another one."
    return ""


def smallest_change(
    answers: Answers, outputs: Callable[[Sequence[Parts]], np.ndarray], parts: int, most: int,
    target: int | None, groups: Sequence[int] | None = None, costs: Sequence[float] | None = None,
) -> tuple[Change, dict[str, Any]]:  # fmt: skip
    """Search for the fewest parts whose removal turns the answer, and make the answer of them.

    Args:
        answers: how outputs are read.
        outputs: of the network, (N, K), for the input without each of some sets of parts.
        parts: how many there are.
        most: that may be removed.
        target: what the answer is to turn into; see `Answers.margins`.
        groups, costs: of the parts; see `smallest_change.search`.

    Returns:
        The change, and for JSON: the answer and its `value`, a probability, whether it `turned`,
        what it `becomes`, and `value_after`, the probability of the first answer then.
    """
    first = outputs([frozenset()])
    if answers.kind == "classes" and target == int(first[0].argmax()):
        target = None  # it is that class already: away from it

    def margins(sets: Sequence[Parts]) -> np.ndarray:
        return answers.margins(outputs(sets), first[0], target)

    change = search(parts, margins, most, groups, costs)
    last = outputs([frozenset(change.parts)])
    # Asked once more, as the changed input alone: the answer that a user would get for it.
    explained = answers.targets(first, target if answers.kind == "sets" else None)
    turned = change.turned and answers.in_words(last) != answers.in_words(first)
    return change, {
        **answers.row(first[0], int(explained[0])),
        "turned": turned,
        "becomes": answers.in_words(last)[0],
        "value_after": float(answers.values(last, explained)[0]),
        "is_smallest": change.is_smallest,
        "tried": change.tried,
    }
