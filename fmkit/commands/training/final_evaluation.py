"""What a training run evaluates of its own model, and what it keeps for later predictions."""

import contextlib
import traceback
from collections.abc import Sequence
from typing import Any

from fmkit.config.schema.commands import TrainConfig
from fmkit.core import console, safe_io, signals
from fmkit.core.errors import ConfigError
from fmkit.store import out_of_fold, run_dir
from fmkit.store.run_dir import RunWriter

BOOTSTRAP = 1000
"""Resamples behind the 95% intervals of a run's own evaluation."""


def evaluate(
    config: TrainConfig, run: RunWriter, assembly: Any, splits: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate the model as it is on validation, test or both.

    Returns:
        The summary metrics for the status, and all metrics of the test split, or else of
        validation; of a joint run those of the primary objective.
    """
    from fmkit.evaluation import evaluator, record

    summary: dict[str, Any] = {}
    last: dict[str, Any] = {}
    for number, part in enumerate(assembly.evaluated()):
        has_features = number == 0 and "test" in splits  # of the final network
        largest = max((len(part.data.splits.get(split, ())) for split in splits), default=0)
        inference = _inference(config, assembly, part, largest if has_features else None)
        by_split: dict[str, Any] = {}
        features: Any = None
        validation: dict[str, Any] = {}
        if "val" not in splits:  # evaluated before the refit
            path = run.folder / run_dir.EVALUATION / "val.json"
            validation = last = safe_io.read_json_object(path)
        data = part.data.examples
        for split in splits:
            indices, outputs = part.data.splits.get(split), None
            if split == "val" and (judged := out_of_fold.read(run.folder, run.status)):
                indices, outputs = judged
            if indices is None or not len(indices):
                continue
            metrics, columns = evaluator.evaluate(
                evaluator.EvaluationInputs(
                    part.model, part.loader, indices, data, data.labels, part.data.spec.classes,
                    part.task, BOOTSTRAP, config.runtime.seed,
                    None if split == "val" else validation, inference=inference,
                    out_of_fold=outputs,
                )
            )  # fmt: skip
            if outputs is not None:
                metrics["out_of_fold"] = True
            elif split == "val" and inference.others:
                features = inference.others[0]
            name = split if number == 0 else f"{split}-{part.name}"
            objective = part.name if number else None
            recorded = record.record(
                run.folder, part.task, name, (metrics, columns), split, objective
            )
            metrics = recorded.metrics
            validation = metrics if split == "val" else validation
            last = metrics if number == 0 else last
            by_split[split] = evaluator.summary_metrics(part.task, metrics)
        summary |= by_split if number == 0 else {}
        if part.name:
            summary.setdefault("objectives", {})[part.name] = by_split
        if has_features:
            _keep_distribution(config, run, assembly, part, inference, features)
    return summary, last


def _inference(config: TrainConfig, assembly: Any, part: Any, examples: int | None) -> Any:
    """What evaluates the network of an objective.

    Args:
        part: the objective.
        examples: that have to fit into memory with their features, which come beside the outputs
            then, where the task has such: out-of-distribution scores need no pass of their own.
            None: no features.
    """
    from fmkit.evaluation import features, out_of_distribution
    from fmkit.evaluation.inference import Inference

    machine, network = assembly.devices, part.model
    has_scores = examples is not None and out_of_distribution.has_scores(part.task)
    if has_scores and len(machine.names) == 1:
        # Of a plugin's network there may be none.
        with contextlib.suppress(ConfigError):
            both = features.with_outputs(part.model, part.task, assembly.backbone)
            if (examples or 0) * both.outputs[-1].shape[-1] <= out_of_distribution.MOST_VALUES:
                network = both
    return Inference(network, config.runtime.extractor, machine.kind, machine.precision)


def _keep_distribution(
    config: TrainConfig, run: RunWriter, assembly: Any, part: Any, inference: Any, features: Any
) -> None:
    """Keep how features of validation examples are distributed, for out-of-distribution scores.

    Args:
        part: the primary objective.
        inference: what has evaluated its final network.
        features: those of all validation examples by the final network; None: it has not seen them.
    """
    from fmkit.evaluation import out_of_distribution
    from fmkit.evaluation.features import evenly_spaced

    indices = part.data.splits.get("val", ())
    try:
        if features is None and len(indices):
            # Validation was judged out of fold, before the refit, or is too large.
            if config.runtime.time_limit is not None:
                return  # which has no room for another pass; `ood=true` makes up for it
            indices = evenly_spaced(indices, out_of_distribution.MOST)
            if len(inference.model.outputs) == 1:
                inference = _inference(config, assembly, part, len(indices))
            if len(inference.model.outputs) > 1:
                features = inference.all_outputs(part.loader, indices)[1]
        if features is not None:
            out_of_distribution.keep(run.folder, features, part.data.examples, indices)
    except Exception as error:  # the model is trained and saved, whatever happens to the scores
        signals.raise_if_stopped()
        with contextlib.suppress(OSError):
            run.log("".join(traceback.format_exception(error)))
        console.warning(
            f"what {out_of_distribution.OOD_SCORE} needs could not be kept: "
            f"{type(error).__name__}: {error}. `fmkit predict ood=true` tries it again."
        )
