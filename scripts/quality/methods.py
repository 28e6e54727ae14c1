"""The methods: fmkit with different settings, and what people would run instead on its features.

A row of `METHODS` is a line of settings; one of `PEERS` an estimator of scikit-learn with a grid
that 5-fold cross-validation over all labelled examples chooses from.

N examples, D features.
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

METHODS = {
    "head": "finetune stage=frozen",
    "default": "finetune",
    "auto": "finetune recipe=auto",
    "full": "finetune stage=unfrozen",
    "lp_ft": "finetune stage=lp_ft stage.head.solver=gradient stage.head.epochs=4 "
    "stage.full.epochs=4 stage.full.learning_rate=3e-4 stage.full.interpolate=false "
    "data.refit=false",
}
"""By name, the command line without data and seed; `lp_ft` is the default of 0.3."""

METRICS = {
    "classification": "accuracy",
    "regression": "r2",
    "multi_label": "mean_average_precision",
}
"""By task, the metric of the tables; of each, more is better."""


def command_line(text: str) -> list[str]:
    """The words of a row; `finetune` may be left out."""
    words = shlex.split(text)
    return words if words[:1] in (["finetune"], ["pretrain"]) else ["finetune", *words]


@dataclass(frozen=True)
class Peer:
    """A row of `PEERS`.

    Attributes:
        task: that it is for.
        estimator: makes it, without the scaling.
        grid: by parameter, the values to choose from; those of `gamma` are multiples of
            scikit-learn's `scale`, 1 / (D times the variance of the scaled features).
        scaling: of the features: `none`, `standard` (by the training examples) or `unit` length.
    """

    task: str
    estimator: Callable[[], Any]
    grid: Mapping[str, Sequence[float]] = field(default_factory=dict)
    scaling: str = "none"


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=2000)


def _one_vs_rest() -> Any:
    from sklearn.multiclass import OneVsRestClassifier

    return OneVsRestClassifier(_logistic())


def _ridge() -> Any:
    from sklearn.linear_model import Ridge

    return Ridge()


def _svm() -> Any:
    from sklearn.svm import SVC

    return SVC(cache_size=500)


def _svr() -> Any:
    from sklearn.svm import SVR

    return SVR(cache_size=500)


_C = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3)
_SVM = {"C": (1.0, 10.0, 100.0), "gamma": (0.1, 1.0, 10.0)}

PEERS = {
    "logistic_cv": Peer("classification", _logistic, {"C": _C}),
    "logistic_cv_standard": Peer("classification", _logistic, {"C": _C}, "standard"),
    "logistic_cv_unit": Peer("classification", _logistic, {"C": _C}, "unit"),
    "svm_rbf": Peer("classification", _svm, _SVM, "standard"),
    "svm_rbf_unit": Peer("classification", _svm, _SVM, "unit"),
    "ridge_cv": Peer("regression", _ridge, {"alpha": (1.0, 10.0, 100.0, 1e3, 1e4)}, "standard"),
    "svr": Peer("regression", _svr, {"C": (0.1, 1.0, 10.0), "gamma": (0.1, 1.0, 10.0)}, "standard"),
    "one_vs_rest_cv": Peer("multi_label", _one_vs_rest, {"estimator__C": _C}, "unit"),
}
"""By name; a line for one more."""


def fit(peer: Peer, x: np.ndarray, y: np.ndarray, seed: int) -> tuple[Any, dict[str, float]]:
    """The estimator with the best cross-validated score, fitted to all, and what was chosen.

    Args:
        x: (N, D).
        y: class numbers (N,), numbers (N,), or 0 and 1 (N, K).
    """
    from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

    scaler = {"none": FunctionTransformer, "standard": StandardScaler, "unit": Normalizer}
    estimator = peer.estimator()
    pipeline = make_pipeline(scaler[peer.scaling](), estimator)
    step = type(estimator).__name__.lower()
    variance = float(pipeline[0].fit_transform(x).var())
    units = {"gamma": 1 / (x.shape[1] * variance)}
    grid = {
        f"{step}__{name}": [value * units.get(name, 1.0) for value in values]
        for name, values in peer.grid.items()
    }
    folds = StratifiedKFold if peer.task == "classification" else KFold
    search = GridSearchCV(
        pipeline,
        grid,
        scoring=_SCORERS[peer.task],
        cv=folds(5, shuffle=True, random_state=seed),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rare classes that a fold lacks, or slow convergence
        search.fit(x, y)
    chosen = {name.rpartition("__")[2]: value for name, value in search.best_params_.items()}
    return search.best_estimator_, chosen


def _mean_average_precision(estimator: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Over the labels that occur, as fmkit's own."""
    from sklearn.metrics import average_precision_score

    occur = y.any(axis=0)
    scores = estimator.predict_proba(x)
    return float(average_precision_score(y[:, occur], scores[:, occur], average="macro"))


_SCORERS: dict[str, Any] = {
    "classification": "accuracy",
    "regression": "r2",
    "multi_label": _mean_average_precision,
}


def score(task: str, estimator: Any, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The metric of the task on a test split, and the mean absolute error of numbers."""
    from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score

    if task == "multi_label":
        return {METRICS[task]: _mean_average_precision(estimator, x, y)}
    predicted = estimator.predict(x)
    if task == "regression":
        return {
            "r2": float(r2_score(y, predicted)),
            "mae": float(mean_absolute_error(y, predicted)),
        }
    return {"accuracy": float(accuracy_score(y, predicted))}
