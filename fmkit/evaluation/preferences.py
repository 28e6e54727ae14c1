"""Preferences judged: how much more a model rewards the answers that were preferred.

A reward is beta times how much likelier an answer is than by the model of the start (DPO, Rafailov
et al. 2023, equation 5, up to what depends on the prompt alone).

N pairs, B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fmkit.core import files
from fmkit.evaluation.evaluator import EvaluationInputs, EvaluationResult

_AT_ONCE = 64  # resamples: with 100,000 pairs 51 MB of whole numbers


def preferences(question: EvaluationInputs) -> EvaluationResult:
    """Means over pairs with 95% intervals, and a row a pair.

    `accuracy` is the share of pairs whose preferred answer has the larger reward, a tie counting
    half, and `margin` the mean difference of rewards. The table has log-probabilities in nats,
    `logp_...` by the model and `reference_...` by that of the start, and tokens of the answers.
    """
    task, indices = question.task, question.indices
    outputs = question.learner.predict(question.loader.ordered(indices), verbose=0)
    outputs = np.asarray(outputs, np.float32)
    targets = task.targets(question.examples)[indices]
    judged = task.per_example_metrics(targets, outputs)
    means = {name: float(values.mean()) for name, values in judged.items()}
    found = intervals(judged, question.bootstrap, question.seed)
    names = ("chosen", "rejected")
    columns: dict[str, Any] = {"id": [question.examples.ids[each] for each in indices]}
    for name, values in judged.items():
        columns[name.replace("rewards", "reward")] = values
    for number, name in enumerate(names):
        columns[f"logp_{name}"] = outputs[:, number]
        columns[f"reference_{name}"] = targets[:, number]
        columns[f"tokens_{name}"] = targets[:, 2 + number].astype(np.int64)
    return files.nonfinite_to_none({"n": len(indices), **means, "intervals": found}), columns


def intervals(
    columns: Mapping[str, np.ndarray], resamples: int, seed: int
) -> dict[str, list[float] | None]:
    """95% percentile intervals of means by bootstrap over pairs (Efron and Tibshirani 1993).

    Args:
        columns: (N,) each, resampled together.
        resamples: B; 0 makes every interval None.
        seed: of the resamples.
    """
    if not resamples:
        return dict.fromkeys(columns)
    drawn, count = np.random.default_rng(seed), len(next(iter(columns.values())))
    values = np.stack(list(columns.values()), axis=1)  # (N, columns)
    means = []
    for start in range(0, resamples, _AT_ONCE):
        some = min(_AT_ONCE, resamples - start)
        weights = drawn.multinomial(count, np.full(count, 1 / count), size=some)  # (B, N)
        means.append(weights @ values / count)
    ends = np.percentile(np.concatenate(means), [2.5, 97.5], axis=0)  # (2, columns)
    return {name: ends[:, each].tolist() for each, name in enumerate(columns)}
