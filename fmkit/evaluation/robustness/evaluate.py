"""Evaluates a model on corrupted examples; `corruptions` has what is done to them.

N examples, B batch, K outputs.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fmkit.core import registry
from fmkit.core.modalities import modality_entry
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.evaluation import evaluator
from fmkit.evaluation.diagnostics.results import Diagnostics
from fmkit.evaluation.evaluator import EvaluationInputs
from fmkit.evaluation.progress import Progress
from fmkit.evaluation.robustness.corruptions import OF_IMAGES, OF_TEXTS, SEVERITIES


def diagnostics(
    inputs: EvaluationInputs,
    metrics: Mapping[str, Any],
    names: Sequence[str],
    open_loader: Callable[[Examples], Any],
    verbose: bool,
) -> Diagnostics:
    """Metrics at each severity of each corruption, and their means.

    Args:
        inputs: of the evaluation of the examples as they are.
        metrics: what that came to.
        names: of the corruptions.
        open_loader: makes batches of other examples.
        verbose: whether progress is shown.
    """
    shown = [
        name
        for name, value in evaluator.summary_metrics(inputs.task, dict(metrics)).items()
        if name != "n" and isinstance(value, int | float)
    ]
    rows = [{"corruption": "", "severity": 0, **{name: metrics[name] for name in shown}}]
    passes = registry.load(modality_entry(inputs.examples.content.modality).corrupted_passes)
    total = len(names) * len(SEVERITIES) * len(inputs.indices)
    with Progress("corruptions", "examples", total, verbose=verbose) as progress:
        for name, severity, corrupted in passes(inputs, names, open_loader):
            own, _ = evaluator.evaluate(corrupted)
            progress.advance(len(inputs.indices))
            rows.append(
                {"corruption": name, "severity": severity, **{key: own[key] for key in shown}}
            )
    main = shown[0]
    means = {
        name: float(np.mean([row[main] for row in rows if row["corruption"] == name]))
        for name in names
    }
    summary = {
        "metric": main, "clean": metrics[main], "mean": float(np.mean([*means.values()])), **means
    }  # fmt: skip
    table = {key: [row[key] for row in rows] for key in rows[0]}
    return Diagnostics({"corruptions": summary}, tables={"corruptions": table})


def _random(inputs: EvaluationInputs, name: str, severity: int) -> np.random.Generator:
    return np.random.default_rng([inputs.seed, *name.encode(), severity])


Passes = Iterator[tuple[str, int, EvaluationInputs]]
"""Name and severity of a corruption, and what evaluates the examples so corrupted."""


def passes_over_images(
    inputs: EvaluationInputs, names: Sequence[str], open_loader: Callable[[Examples], Any]
) -> Passes:
    """Outputs for corrupted images, at the size that the network reads."""
    for name in names:
        for severity in SEVERITIES:
            random = _random(inputs, name, severity)
            outputs = _outputs(inputs, lambda images: OF_IMAGES[name](images, severity, random))  # noqa: B023 - it is called before the next
            yield name, severity, dataclasses.replace(inputs, out_of_fold=outputs, bootstrap=0)


def _outputs(inputs: EvaluationInputs, corrupt: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Outputs (N, K) for corrupted images."""
    inference: Any = inputs.inference
    loader, count = inputs.loader, len(inputs.indices)
    size = min(loader.ordered_batch_size, count)
    rows = []
    for start in range(0, count, size):
        images = corrupt(loader.pixels.read(inputs.indices[start : start + size]))
        batch = np.zeros((size, *images.shape[1:]), np.uint8)  # of one size, traced once
        batch[: len(images)] = images
        outputs = inference.choose(batch, count).run(batch)[0]
        rows.append(outputs[: len(images)])
    return np.concatenate(rows) / inputs.temperature


def passes_over_texts(
    inputs: EvaluationInputs, names: Sequence[str], open_loader: Callable[[Examples], Any]
) -> Passes:
    """Corrupted texts, and the loaders of these."""
    examples = inputs.examples.take(inputs.indices)
    content: Any = examples.content
    for name in names:
        for severity in SEVERITIES:
            random = _random(inputs, name, severity)
            texts, pairs = (
                column and tuple(OF_TEXTS[name](column, severity, random))
                for column in (content.texts, content.pairs)
            )
            corrupted = dataclasses.replace(examples, content=Texts(texts, pairs))
            yield name, severity, dataclasses.replace(
                inputs, examples=corrupted, loader=open_loader(corrupted), bootstrap=0,
                indices=np.arange(len(corrupted)), labels=inputs.labels[inputs.indices],
                callbacks=(),
            )  # fmt: skip
