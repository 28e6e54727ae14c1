"""One training run from a typed config to files on disk: data, model, phases, metrics."""

import dataclasses
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fmkit.commands import launch
from fmkit.commands.output import json_output, result_tables
from fmkit.commands.training import (
    final_evaluation,
    resumed_run,
    run_description,
    run_loggers,
    run_report,
)
from fmkit.commands.training.resumed_run import ResumedRun, settings
from fmkit.commands.training.run_description import log
from fmkit.config import auto_recipe, objectives, saved_config, solvers
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.task import JointConfig
from fmkit.core import console, files, machine, safe_io, signals
from fmkit.core.errors import ConfigError
from fmkit.core.modalities import modality_entry
from fmkit.store import run_dir, run_index
from fmkit.store.run_dir import RunWriter
from fmkit.store.run_reader import RunReader
from fmkit.train.timing.deadline import RECORD, TimeLimit


def train(
    config: TrainConfig,
    run: RunWriter,
    user_keys: Collection[str] = (),
    resumed: ResumedRun | None = None,
    began: float | None = None,
) -> None:
    """One run from end to end: data, model, phases, the model file, the metrics.

    Args:
        config: the typed config.
        run: its folder.
        user_keys: keys that the user set, which `recipe=auto` leaves alone.
        resumed: the run is not new; it goes on where it was stopped.
        began: monotonic time from which a time limit counts, if not from now.
    """
    limit = _time_limit(config, run, resumed, time.monotonic() if began is None else began)
    try:
        with signals.deadline(None if limit is None else limit.hard_seconds):
            _train(config, run, user_keys, resumed, limit)
    except BaseException as error:
        has_saved = any(run.checkpoints.glob("step-*"))
        if limit is None or not signals.has_met_deadline() or has_saved:
            raise
        phase = run.status["phase"]
        reached = f"before phase {phase} had anything to save" if phase else "before any training"
        raise limit.too_short(f"it was over {reached}", limit.seconds) from error


def _train(
    config: TrainConfig,
    run: RunWriter,
    user_keys: Collection[str],
    resumed: ResumedRun | None,
    limit: TimeLimit | None,
) -> None:
    began = time.monotonic()
    with console.redirect_stderr(run.folder / run_dir.LOG):  # TensorFlow's warnings, to the end
        # Before TensorFlow is imported, which takes seconds: a broken photo is reported at once.
        data, others = _load_data(config, run, resumed, user_keys)
        with (
            console.announce_slow("loading TensorFlow", config.runtime.verbose),
            machine.gc_paused_imports(),
        ):
            launch.import_keras()
            from fmkit.evaluation.label_quality import forgetting
            from fmkit.train import devices, loop

        signals.raise_if_stopped()  # an import may swallow what a signal raises
        prepared = devices.prepare(config.runtime)
        if resumed is not None:
            began -= float(run.status["seconds"])
            resumed.begin(len(data.splits["train"]))
        if limit is not None:
            _record_limit(config, run, limit)
        saved = None if resumed is None else resumed.saved
        # Once the file exists, the config holds the recipe's choices.
        if config.recipe == "auto" and not (run.folder / run_dir.RECIPE).exists():
            _follow_recipe(config, run, data, prepared, user_keys, limit)
            # As if nothing had been measured: Keras numbers the seed states of dropout through a
            # process, and a run that is resumed measures nothing.
            prepared = devices.prepare(config.runtime)
        assembly = _assemble(config, run, data, prepared, resumed, others, user_keys)
        loggers = run_loggers.start(config, run)
        results = loop.train(
            assembly, run, saved,
            before_refit=lambda: run.update(
                **final_evaluation.evaluate(config, run, assembly, ("val",))[0]
            ),
            limit=limit,
        )  # fmt: skip
        with signals.defer_signals(), assembly.scope():
            _save_model(config, run, assembly)
        signals.raise_if_stopped()
        if line := forgetting.write(run.folder, assembly.examples):
            log(config, run, line)
        splits = ("test",) if run_dir.is_refitted(run.status) else ("val", "test")
        summary, metrics = final_evaluation.evaluate(config, run, assembly, splits)
        with signals.defer_signals():  # a signal no longer changes that the run is done
            signals.end_deadline()
            run.finish(
                phases=[dataclasses.asdict(result) for result in results],
                total_seconds=round(time.monotonic() - began, 3),
                **summary,
            )
            page = run_report.write(config, run, assembly, limit)
            following = run_report.next_commands(run, assembly, page)
            logged = loggers.close(None if limit is None else limit.left)
            _show_result(run, metrics, following, page, logged)


def _show_result(
    run: RunWriter, metrics: dict[str, Any], following: Any, page: Any, logged: Any
) -> None:
    """Print what the run came to, as tables or as JSON."""
    record = {"report": page, "next": following, **({"loggers": logged} if logged else {})}
    json_output.show(
        "run",
        {**run_index.record(run.folder), **record},
        lambda: result_tables.result(run.folder, run.status, metrics, following, page, logged),
    )


def _time_limit(
    config: TrainConfig, run: RunWriter, resumed: ResumedRun | None, began: float
) -> TimeLimit | None:
    """The time limit of this process; None: there is none, or an earlier process has used it up."""
    text = config.runtime.time_limit
    if resumed is None:
        return None if text is None else TimeLimit.starting(text, began)
    if resumed.request.time_limit is not None:
        new = resumed.request.time_limit
        return None if new == resumed_run.NO_LIMIT else TimeLimit.starting(new, began, replans=True)
    record = run.status.get(RECORD)
    if record is None:
        return None
    limit = TimeLimit.remaining(record, run.status["seconds"])
    if limit is None:
        console.info(
            f"the time limit of {record['limit']} is used up: the run goes on without one, with "
            "the lengths that it was planned to have"
        )
    return limit


def _record_limit(config: TrainConfig, run: RunWriter, limit: TimeLimit) -> None:
    """Record the limit, and what it means for who wants equal runs."""
    run.update()  # its seconds
    record = run.status.get(RECORD) or {}
    run.update(**{RECORD: {**record, **limit.to_record(run.status["seconds"])}})
    if config.runtime.deterministic:
        log(
            config, run,
            "runtime.deterministic: equal commands give equal runs only where the time limit "
            "shortens nothing; status.json has what it changed",
        )  # fmt: skip


def _load_data(
    config: TrainConfig, run: RunWriter, resumed: ResumedRun | None, user_keys: Collection[str]
) -> tuple[Any, dict[str, Any]]:
    """The checked and split dataset, and of a joint run those of its other objectives."""
    from fmkit.data import dataset, load
    from fmkit.data.content.images import describe_grey_range
    from fmkit.data.sources import relabel

    split_seed = _split_seed(config)
    report = run.folder / run_dir.DATA_REPORT
    data = load.for_training(config.data, config.runtime, split_seed, report)
    others = _load_other_data(config, run, split_seed, data)
    if config.init is not None and data.spec.classes:
        data = dataset.align_classes_if_same(data, RunReader(Path(config.init)).classes())
    if config.init is not None and data.spec.annotations:
        data = dataset.align_annotations_if_same(data, RunReader(Path(config.init)).spec())
    if not solvers.solves_all(config, user_keys):
        _require_validation(config, data, others)
    if resumed is not None:
        resumed.require_same_data({"": data, **others})
    counts = {
        name: ", ".join(f"{count} {split}" for split, count in dataset.spec.counts.items())
        for name, dataset in {"": data, **others}.items()
    }
    log(config, run, f"data: {run_description.describe_data(config, data.spec)}{counts.pop('')}")
    for name, text in counts.items():
        log(config, run, f"data of {name}: {text}")
    for part in (data, *others.values()):
        if changes := relabel.describe(part.examples.findings):
            log(config, run, f"data: {changes}")
    for grey_range in dict.fromkeys(part.spec.grey_range for part in (data, *others.values())):
        if grey_range is not None:
            what = describe_grey_range(grey_range)
            log(config, run, f"grey photos of more than 8 bits: {what}")
    return data, others


def _load_other_data(
    config: TrainConfig, run: RunWriter, split_seed: int, data: Any
) -> dict[str, Any]:
    """Of a joint run, the data of the objectives other than the primary one."""
    from fmkit.data import load

    if not isinstance(config.task, JointConfig):
        return {}
    primary, others = objectives.primary(config.task), {}
    for name, objective in config.task.objectives.items():
        if name == primary:
            continue
        own_seed = objective.data.split_seed
        seed = split_seed if own_seed is None else own_seed
        with_batch_size = dataclasses.replace(objective.data, batch_size=config.data.batch_size)
        if with_batch_size == config.data and seed == split_seed:  # no need to check it twice
            others[name] = data
            continue
        report = run.folder / f"{Path(run_dir.DATA_REPORT).stem}-{name}.json"
        others[name] = load.for_training(objective.data, config.runtime, seed, report)
    return others


def _require_validation(config: TrainConfig, data: Any, others: Mapping[str, Any]) -> None:
    """Refuse to monitor a validation split that does not exist."""
    monitor = config.task.monitor
    if not monitor.startswith("val_"):
        return
    datasets = {"": data}
    if isinstance(config.task, JointConfig):
        datasets = {objectives.primary(config.task): data, **others}
        monitored = {name for name in datasets if monitor.startswith(f"val_{name}_")}
        datasets = {name: datasets[name] for name in monitored or datasets}
    for name, dataset in datasets.items():
        if not len(dataset.splits.get("val", ())):
            key = f"task.objectives.{name}.data" if name else "data"
            raise ConfigError(
                f"task.monitor={monitor} needs a validation split, and the data has none.",
                f"Set {key}.val_fraction above 0, or task.monitor=loss.",
            )


def _assemble(
    config: TrainConfig,
    run: RunWriter,
    data: Any,
    prepared: Any,
    resumed: ResumedRun | None,
    others: dict[str, Any],
    user_keys: Collection[str],
) -> Any:
    """Everything the run needs, joined; a new run's record is written, an old one's is checked."""
    from fmkit.train import assemble, build_model, solver_choice

    saved = None if resumed is None else resumed.saved
    sizes = [
        build_model.image_size(config.model, dataset.examples)
        for dataset in (data, *others.values())
    ]
    # One input size for all objectives, since they share the backbone.
    config.model.image_size = None if None in sizes else max(filter(None, sizes))
    step = f"building {config.model.preset or config.model.name}"
    if saved is not None or config.init is not None or config.model.weights != "none":
        step += " and reading its weights"
    with console.announce_slow(step, config.runtime.verbose):
        assembly = assemble.assemble(config, data, prepared, saved, others, resumed is None)
        choices = solver_choice.settle(assembly, user_keys)
    if resumed is not None:
        resumed.check(assembly)
    if resumed is not None and saved is not None:
        assembly.flat_config = resumed.settings
    else:
        split_seed = _split_seed(config)
        resolved = assemble.resolved_config(config, assembly, split_seed)
        assembly.flat_config = settings(resolved)
        _record(config, run, assembly, resolved)
    # Not before now: a run that is refused until here leaves no folder.
    log(config, run, f"run: {files.display_path(run.folder)}")
    weights = f"those of step {saved.step}" if saved else ""
    if saved is None and config.init is not None:
        weights = f"those of run {RunReader(Path(config.init)).id}"
    run_description.log_model(config, run, assembly, weights)
    if line := run_description.describe_augmentation(assembly):
        log(config, run, f"augmentation: {line}")
    for line in choices:
        log(config, run, line)
    for task in [part.task for part in assembly.objectives] or [assembly.task]:
        for line in task.row_findings:
            run.log(f"data: {line}")
            console.warning(f"data: {line}")
    return assembly


def _follow_recipe(
    config: TrainConfig,
    run: RunWriter,
    data: Any,
    prepared: Any,
    user_keys: Collection[str],
    limit: TimeLimit | None,
) -> None:
    """Let `recipe=auto` choose what the user left open; log and record each choice."""
    from fmkit.train import recipe_facts

    report = safe_io.read_json(run.folder / run_dir.DATA_REPORT)
    findings = [finding["kind"] for finding in report["findings"]]
    facts = recipe_facts.facts(config, data, prepared, findings, limit)
    rows = auto_recipe.apply(config, auto_recipe.choose(facts, user_keys))
    for row in rows:
        log(config, run, f"recipe: {auto_recipe.format_choice(row)}")
    run.write_config(config)
    # After the config: where this file exists, that has the choices.
    files.write_json(run.folder / run_dir.RECIPE, rows)
    run.update(stage="+".join(config.stage))


def _split_seed(config: TrainConfig) -> int:
    """The seed of the splits: 1. `data.split_seed`, 2. that of the run in `init`, 3. the run's."""
    if config.data.split_seed is not None:
        return config.data.split_seed
    if config.init is not None:
        earlier = saved_config.section(RunReader(Path(config.init)).config(), "data")
        if earlier.split_seed is not None:
            return int(earlier.split_seed)
    return config.runtime.seed


def _record(config: TrainConfig, run: RunWriter, assembly: Any, resolved: TrainConfig) -> None:
    """Write the resolved config, the environment and the tokenizer, before anything trains."""
    backbone = assembly.backbone
    entry = modality_entry(backbone.modality)
    inputs = {entry.record_key or entry.plural: assembly.loader.describe()}
    if entry.input_size:
        inputs = {entry.input_size: getattr(backbone, entry.input_size), **inputs}
    others = {
        part.name: {"name": part.config.name, **part.data.spec.as_dict()}
        for part in assembly.objectives[1:]  # the first is the primary one
    }
    run.write_config(resolved)
    run.write_environment(
        devices={
            **dataclasses.asdict(assembly.devices),
            "jit_compile": assembly.devices.jit_compile(),
        },
        seed=config.runtime.seed,
        data={"name": config.data.name, **assembly.spec.as_dict()},
        rows=len(assembly.splits["train"]),  # what `resume` counts the steps of an epoch by
        **({"objectives": others} if others else {}),
        weights={**assembly.started_from, "fingerprint": backbone.fingerprint()},
        **({} if assembly.reference is None else {"reference": assembly.reference.record()}),
        **inputs,
    )
    if backbone.tokenizer is not None:
        run.save_tokenizer(backbone.tokenizer)
    run.update(parameters=assembly.model.count_params())


def _save_model(config: TrainConfig, run: RunWriter, assembly: Any) -> None:
    """Write the model file; of a joint run, that of the primary objective."""
    from fmkit.models import lora
    from fmkit.train import build_model

    lora.merge_adapters(assembly.model)  # what is evaluated after this is what is deployed
    model, task = assembly.model, assembly.task
    if assembly.objectives:
        model, task = assembly.objectives[0].model, assembly.objectives[0].task
    run.save_model(
        build_model.inference_model(model, task, config.data, assembly.backbone.modality)
    )
