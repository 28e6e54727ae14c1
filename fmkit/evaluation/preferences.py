"""Evaluation of preference tuning: how much more the preferred answers are rewarded.

A reward is beta times how much likelier an answer is than by the reference model (DPO, Rafailov et
al. 2023, equation 5, up to a term that depends on the prompt alone).

N pairs.
"""

from typing import Any

import numpy as np

from fmkit.core import files
from fmkit.core.bootstrap import mean_intervals
from fmkit.evaluation.evaluator import EvaluationInputs, EvaluationResult


def evaluate(inputs: EvaluationInputs) -> EvaluationResult:
    """Means over pairs with 95% intervals, and a row per pair.

    `accuracy` is the share of pairs whose preferred answer has the larger reward, where a tie
    counts half, and `margin` the mean difference of rewards. The table has log-probabilities in
    nats, `logp_...` by the model and `reference_...` by the reference model, and the tokens of the
    answers.
    """
    task, indices = inputs.task, inputs.indices
    outputs = np.asarray(inputs.predict(), np.float32)
    targets = task.targets(inputs.examples)[indices]
    metrics = {
        name: np.asarray(values, np.float64)
        for name, values in task.per_example_metrics(targets, outputs).items()
    }
    # Again in double precision: the two are close to each other.
    metrics["margin"] = metrics["rewards_chosen"] - metrics["rewards_rejected"]
    columns: dict[str, Any] = {"id": inputs.ids}
    for name, values in metrics.items():
        columns[name.replace("rewards", "reward")] = values
    for number, answer in enumerate(("chosen", "rejected")):
        columns[f"logp_{answer}"] = outputs[:, number]
        columns[f"reference_{answer}"] = targets[:, number]
        columns[f"tokens_{answer}"] = targets[:, 2 + number].astype(np.int64)
    means = {name: float(values.mean()) for name, values in metrics.items()}
    intervals = mean_intervals(metrics, inputs.bootstrap, inputs.seed)
    return files.nonfinite_to_none({"n": len(indices), **means, "intervals": intervals}), columns
