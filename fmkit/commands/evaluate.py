"""`fmkit eval`: evaluate a finished run on a split of its data, or on other data."""

from collections.abc import Sequence
from typing import Any

from fmkit.commands import json_output, launch, result_tables
from fmkit.config import compatibility, saved_config
from fmkit.config.schema.commands import EvalConfig
from fmkit.config.schema.task import SelfSupervisedConfig
from fmkit.core import console
from fmkit.evaluation import write
from fmkit.store import run_index


def evaluate(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Evaluate a run; the figures, as `eval/<split>.json` has them."""
    return launch.run_command("eval", arguments, evaluate_run, inherited=("data",))


def evaluate_run(config: EvalConfig) -> dict[str, Any]:
    """Evaluate a run, write `eval/<split>.json` and `.parquet` into its folder, print a table."""
    from fmkit.data import dataset, load

    run = launch.open_run(config.run, config.runs_dir)
    task, objective = saved_config.task_of(
        saved_config.section(run.config(), "task"), config.objective
    )
    trained_on = saved_config.section(saved_config.for_objective(run.config(), objective), "data")
    is_new = (config.data.name, getattr(config.data, "root", None)) != (
        trained_on.name,
        getattr(trained_on, "root", None),
    )
    seed = trained_on.split_seed if config.data.split_seed is None else config.data.split_seed
    split = config.split or ("all" if is_new else "test")
    compatibility.resolve_labels(config.data, task.name)
    data = load.for_evaluation(config.data, config.runtime, seed or 0, split)
    fingerprint = data.spec.fingerprint
    name = "-".join(filter(None, [split, objective, fingerprint[:8] if is_new else ""]))
    if not is_new and split != "all" and fingerprint != run.data(objective).get("fingerprint"):
        console.warning(
            "the data has changed since the run was trained; its splits may have changed, too."
        )
    labels, spec = data.examples.labels, run.spec(objective)
    # Before TensorFlow is imported: a class that is missing is reported at once.
    if spec.classes and not isinstance(task, SelfSupervisedConfig):
        labels = dataset.match_classes(data.examples, spec.classes)
    if spec.annotations:
        data = dataset.align_annotations(data, spec)
    trained = launch.load_run(run, config.runtime, config.objective)
    from fmkit.evaluation import evaluator, load_run, reference_model
    from fmkit.train import build_model, task_data

    parts = (trained.task, trained.backbone)
    data = task_data.prepare_for_task(config.data, config.runtime, data, *parts)
    indices = data.splits[split]
    reference_model.set_reference(trained, config.data, config.runtime, data, {split: indices})
    loader = build_model.open_loader(config.data, config.runtime, data.examples, *parts)
    metrics, columns = evaluator.evaluate(
        evaluator.EvaluationInputs(
            trained.model, loader, indices, data.examples, labels, spec.classes, trained.task,
            config.bootstrap, config.runtime.seed,
            None if split == "val" and not is_new else load_run.validation(trained, objective),
        )
    )  # fmt: skip
    extra_files = evaluator.extra_files(trained.task, columns)
    path = write.write_evaluation(run.folder, name, metrics, columns, extra_files)
    root = getattr(config.data, "root", None)
    label = run_index.data_label(config.data.name, root) or ""
    json_output.show(
        "evaluation",
        {
            **{"run": run.folder.absolute(), "data": config.data.name, "data_root": root},
            **{"split": split, "metrics": metrics},
            **{"file": path, "table": path.with_suffix(".parquet")},
        },
        lambda: result_tables.evaluation(metrics, label, split, path),
    )
    return metrics
