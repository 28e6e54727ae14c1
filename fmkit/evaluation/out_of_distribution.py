"""Out-of-distribution scores of a run: the distribution that it keeps, and what is said of scores.

N examples, D features.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core import console, files, npz
from fmkit.core.errors import ArtifactError, ConfigError, plural
from fmkit.core.safe_io import UnsafeContent
from fmkit.data.examples import Examples
from fmkit.evaluation import evaluator, feature_distribution
from fmkit.evaluation.feature_distribution import OOD_SCORE, FeatureDistribution
from fmkit.evaluation.features import FeatureExtractor, evenly_spaced
from fmkit.evaluation.load_run import LoadedRun
from fmkit.store import run_dir

MOST = 1000
"""Validation examples that a distribution is fitted on, evenly spaced; more change little."""
MOST_VALUES = 2**26
"""Numbers in the features of a split that a run's own evaluation holds: 256 MiB."""
_CHANCE = 0.001
"""A share of inputs above the threshold is reported if it is less likely than this by chance."""


def has_scores(task: Any) -> bool:
    """Whether a task predicts an example from one vector of features."""
    is_single = task.input_format == "examples" and task.features is None
    return is_single and bool(evaluator.evaluator_of(task).predict_outputs)


def with_scores(
    trained: LoadedRun, setting: str, runtime: RuntimeConfig, count: int = 0
) -> LoadedRun:
    """A run whose predictions have scores, where the setting asks for them and they can be had.

    Args:
        trained: the run.
        setting: `true`; `auto`, where the run keeps a distribution; or `false`.
        runtime: for reading the validation examples, where `true` needs them.
        count: inputs to score; with `auto` their features must not need much memory.

    Raises:
        ConfigError: `true`, and the task has no features, or there are too few validation examples.
        ArtifactError: `true`, and the file is damaged.
    """
    folder = trained.run.folder
    if setting == "false" or (setting == "auto" and not (folder / run_dir.DISTRIBUTION).exists()):
        return trained
    if not has_scores(trained.task):
        if setting == "auto":
            return trained
        raise ConfigError(
            f"ood=true: task={trained.task.name} has no single vector of features for an example.",
            "Out-of-distribution scores are for classification, multi_label and regression.",
        )
    extractor = FeatureExtractor(trained, outputs_too=True)
    if setting == "auto" and count * extractor.width > 2 * MOST_VALUES:
        size = files.format_bytes(count * extractor.width * np.dtype(np.float64).itemsize)
        console.info(f"no {OOD_SCORE}: the features would need {size} of memory (ood=true)")
        return trained
    try:
        distribution = read(folder, extractor.width) or compute(trained, extractor, runtime)
    except ArtifactError as error:
        if setting == "true":
            raise
        console.warning(f"{error.message.rstrip('.')}: no {OOD_SCORE}. {error.hint}")
        return trained
    return dataclasses.replace(trained, inference=extractor.inference, distribution=distribution)


def save(folder: Path, distribution: FeatureDistribution) -> None:
    """Write a distribution into a run's folder, in one step."""
    arrays = {
        name: np.asarray(value, np.float32 if np.ndim(value) else None)
        for name, value in vars(distribution).items()
    }
    with files.replacing(folder / run_dir.DISTRIBUTION) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def read(folder: Path, width: int) -> FeatureDistribution | None:
    """The distribution that a run keeps; None: it keeps none.

    Args:
        folder: of the run.
        width: D.

    Raises:
        ArtifactError: the file is damaged, or is of another network.
    """
    path = folder / run_dir.DISTRIBUTION
    if not path.exists():
        return None
    try:
        with npz.open_npz(path) as arrays:
            names = [field.name for field in dataclasses.fields(FeatureDistribution)]
            values: dict[str, Any] = {name: arrays.read(name) for name in names}
    except (OSError, UnsafeContent, KeyError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", _hint(path)) from error
    means, axes, variances = (values[name] for name in ("means", "axes", "variances"))
    numbers = [float(values.pop(name)) for name in ("other_variance", "threshold", "examples")]
    fits = means.ndim == axes.ndim == 2 and variances.ndim == 1 and len(means)
    fits = fits and means.shape[1] == len(axes) == width and axes.shape[1] == len(variances)
    is_finite = all(np.isfinite(array).all() for array in (means, axes, variances, numbers))
    if not fits or not is_finite or not (variances > 0).all() or not numbers[1] > 0:
        raise ArtifactError(f"{path} does not fit the run's network.", _hint(path))
    return FeatureDistribution(means, axes, variances, numbers[0], numbers[1], int(numbers[2]))


def _hint(path: Path) -> str:
    return f"Remove {path.name}; with ood=true it is made anew from the validation examples."


def compute(
    trained: LoadedRun, extractor: FeatureExtractor, runtime: RuntimeConfig
) -> FeatureDistribution:
    """The distribution of a run that keeps none, of its validation examples; it is kept, too.

    Raises:
        ConfigError: there are too few validation examples.
        DataError: the data of the run cannot be read any more.
    """
    split = extractor.of_split("val", runtime, limit=MOST)
    labels = split.examples.labels if trained.spec.classes else None
    distribution = feature_distribution.fit(split.values, labels)
    if distribution is None:
        has, needed = (
            plural(len(split.values), "validation example"),
            feature_distribution.MIN_EXAMPLES,
        )
        raise ConfigError(
            f"ood=true: run {trained.run.id} has {has}, and needs {needed} to know what is unusual."
        )
    try:
        save(trained.run.folder, distribution)
    except OSError:  # of somebody else, to be read only
        console.info(f"ood: {trained.run.folder} cannot be written, so the scores are made anew")
    return distribution


def summary(scores: np.ndarray, distribution: FeatureDistribution) -> dict[str, Any]:
    """How many scores are above 1, ready for JSON; NaN does not count."""
    finite = scores[np.isfinite(scores)]
    above = int((finite > 1).sum())
    return {
        "n": len(finite),
        "above": above,
        "share": above / len(finite) if len(finite) else None,
        "expected": round(1 - feature_distribution.QUANTILE, 4),
        "p_value": feature_distribution.chance_of_share(above, len(finite), distribution.examples),
    }


def sentence(facts: dict[str, Any], noun: str, several: str) -> str | None:
    """What a reader has to know of a `summary`; None: no more is unusual than by chance."""
    if not facts["n"] or facts["p_value"] > _CHANCE:
        return None
    verb = "looks" if facts["above"] == 1 else "look"
    of = plural(facts["n"], noun, several)
    return (
        f"{facts['above']:,} of {of} ({facts['share']:.0%}) {verb} unlike the training data "
        f"({OOD_SCORE} above 1; of data like it {facts['expected']:.0%} would): their predictions "
        "may mean nothing."
    )


def add(
    metrics: dict[str, Any], columns: dict[str, Any], trained: LoadedRun, noun: str, several: str
) -> None:
    """Add the scores of the examples that were just evaluated, and how many are above 1.

    Args:
        metrics: of the evaluation.
        columns: of its table.
        trained: the run, whose `inference` has just given the outputs.
        noun: an example.
        several: examples.
    """
    features = trained.inference.others
    if trained.distribution is None or not features or len(features[0]) != len(columns["id"]):
        return
    columns[OOD_SCORE] = trained.distribution.scores(features[0])
    metrics["out_of_distribution"] = summary(columns[OOD_SCORE], trained.distribution)
    if text := sentence(metrics["out_of_distribution"], noun, several):
        console.warning(text)


def keep(folder: Path, features: np.ndarray, examples: Examples, indices: np.ndarray) -> None:
    """Keep the distribution of validation examples in a run's folder, if they are enough.

    Args:
        folder: of the run.
        features: of the examples at `indices`, (N, D).
        examples: the data set.
        indices: positions of validation examples, (N,).
    """
    chosen = evenly_spaced(np.arange(len(indices)), MOST)
    labels = examples.labels[indices[chosen]] if examples.classes else None
    distribution = feature_distribution.fit(features[chosen], labels)
    if distribution is not None:
        save(folder, distribution)
