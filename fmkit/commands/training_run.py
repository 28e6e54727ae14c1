"""What one job does, from a typed config to files on disk."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fmkit.commands import failures, result_tables, resumed_run
from fmkit.config import auto_recipe, objectives, saved_config
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.task import JointConfig
from fmkit.core import console, files, signals
from fmkit.core import machine as memory
from fmkit.core.errors import ConfigError, FmkitError, ResourceError
from fmkit.evaluation import write
from fmkit.store import run_dir
from fmkit.store.run_dir import Run
from fmkit.store.run_reader import RunReader

BOOTSTRAP = 1000
"""Resamples behind the 95% intervals of a run's own evaluation."""


def train(
    config: TrainConfig,
    run: Run,
    chosen: Collection[str] = (),
    again: resumed_run.ResumedRun | None = None,
) -> None:
    """One run from end to end: data, model, phases, the model file, the figures.

    Args:
        config: the typed config.
        run: its folder.
        chosen: keys that the user decided, which `recipe=auto` leaves alone.
        again: the run is not new; it goes on where it was stopped.
    """
    from fmkit.data import dataset, load

    began = time.monotonic()
    split_seed = _split_seed(config)
    report = run.folder / run_dir.DATA_REPORT  # before TensorFlow: a broken photo says so at once
    data = load.for_training(config.data, config.runtime, split_seed, report)
    others = _other_data(config, run, split_seed, data)
    if config.init is not None and data.spec.classes:
        data = dataset.align_classes_if_same(data, RunReader(Path(config.init)).classes())
    if config.init is not None and data.spec.annotations:
        data = dataset.align_annotations_if_same(data, RunReader(Path(config.init)).spec())
    _require_validation(config, data, others)
    if again is not None:
        again.require_same_data({"": data.spec, **{key: each.spec for key, each in others.items()}})
    _say(config, run, f"run: {files.display_path(run.folder)}")
    counts = ", ".join(f"{count} {split}" for split, count in data.spec.counts.items())
    _say(config, run, f"data: {config.data.name}, {_learned(data.spec)}{counts}")
    for name, each in others.items():
        shown = ", ".join(f"{count} {split}" for split, count in each.spec.counts.items())
        _say(config, run, f"data of {name}: {shown}")
    with console.redirect_stderr(run.folder / run_dir.LOG):
        with memory.gc_paused_imports():
            from fmkit.models import lora as adapters
            from fmkit.train import build_model, devices, loop

        signals.raise_if_stopped()  # an import may swallow what a signal raises
        machine = devices.prepare(config.runtime)
    if again is not None:
        began -= float(run.status["seconds"])
        count = again.training_examples(len(data.splits["train"]))
        again.begin(-(-count // config.data.batch_size))
    saved = None if again is None else again.saved
    if config.recipe == "auto" and (again is None or again.follows_recipe):
        _follow_recipe(config, run, data, machine, chosen)
    assembly = _assembled(config, run, data, machine, again, others)
    results = loop.train(assembly, run, saved)
    with signals.defer_signals(), assembly.scope():
        adapters.merge(assembly.learner)  # what is judged below is what is deployed
        learner, task = assembly.learner, assembly.task
        if assembly.parts:
            learner, task = assembly.parts[0].learner, assembly.parts[0].task
        run.save_model(build_model.inference_model(learner, task, config.data))
    signals.raise_if_stopped()
    figures = _judge(config, run, assembly)
    with signals.defer_signals():  # a run that is done is done
        run.finish(
            phases=[each.as_dict() for each in results],
            total_seconds=round(time.monotonic() - began, 3),
            **figures,
        )
        result_tables.result(run.folder, run.status)


def _learned(spec: Any) -> str:
    """How many classes, labels or numbers there are, in words ahead of other counts."""
    if spec.classes:
        return f"{len(spec.classes)} classes, "
    noun = {"sets": "label", "numbers": "number", "tags": "tag"}.get(spec.annotations, "name")
    count = len(spec.names)
    return f"{count} {noun}{'s' if count > 1 else ''}, " if count else ""


def _other_data(config: TrainConfig, run: Run, split_seed: int, data: Any) -> dict[str, Any]:
    """Of a joint run, the data of the objectives beside the primary one."""
    from fmkit.data import load

    if not isinstance(config.task, JointConfig):
        return {}
    first, found = objectives.primary(config.task), {}
    for name, each in config.task.objectives.items():
        if name == first:
            continue
        seed = split_seed if each.data.split_seed is None else each.data.split_seed
        alike = dataclasses.replace(each.data, batch_size=config.data.batch_size)
        if alike == config.data and seed == split_seed:  # looked at once is enough
            found[name] = data
            continue
        report = run.folder / f"{Path(run_dir.DATA_REPORT).stem}-{name}.json"
        found[name] = load.for_training(each.data, config.runtime, seed, report)
    return found


def _require_validation(config: TrainConfig, data: Any, others: Mapping[str, Any]) -> None:
    """Refuse to go by a validation split that is not there."""
    monitor, told = config.task.monitor, "data"
    if not monitor.startswith("val_"):
        return
    known = {"": data}
    if isinstance(config.task, JointConfig):
        known = {objectives.primary(config.task): data, **others}
        of_one = {key: each for key, each in known.items() if monitor.startswith(f"val_{key}_")}
        known = of_one or known
    for name, each in known.items():
        if not len(each.splits.get("val", ())):
            told = f"task.objectives.{name}.data" if name else "data"
            raise ConfigError(
                f"task.monitor={monitor} needs a validation split, and the data has none.",
                f"Set {told}.val_fraction above 0, or task.monitor=loss.",
            )


def _assembled(
    config: TrainConfig,
    run: Run,
    data: Any,
    machine: Any,
    again: resumed_run.ResumedRun | None,
    others: dict[str, Any],
) -> Any:
    """Everything the run needs, joined; a new run's record is written, an old one's is held to."""
    from fmkit.train import assemble, build_model

    saved = None if again is None else again.saved
    every = [data, *others.values()]
    sizes = [build_model.image_size(config.model, each.examples) for each in every]
    known = [each for each in sizes if each is not None]
    # One size of input for all.
    config.model.image_size = max(known) if len(known) == len(sizes) else None
    assembly = assemble.assemble(config, data, machine, saved, others)
    if again is not None:
        again.check(assembly)
    if again is not None and saved is not None:
        assembly.settings = again.settings
    else:
        split_seed = _split_seed(config)
        assembly.settings = resumed_run.settings(
            assemble.resolved_config(config, assembly, split_seed)
        )
        _record(config, run, assembly, split_seed)
    _describe(config, run, assembly, f"those of step {saved.step}" if saved else "")
    return assembly


def _say(config: TrainConfig, run: Run, line: str) -> None:
    run.log(line)
    if config.runtime.verbose:
        console.info(line)


def _follow_recipe(
    config: TrainConfig, run: Run, data: Any, machine: Any, chosen: Collection[str]
) -> None:
    """Let `recipe=auto` choose what the user left open; say and write down each choice."""
    from fmkit.train import recipe_facts

    rows = auto_recipe.apply(
        config, auto_recipe.choose(recipe_facts.facts(config, data, machine), chosen)
    )
    for row in rows:
        _say(config, run, f"recipe: {auto_recipe.format_choice(row)}")
    run.write_config(config)
    run.write_recipe(rows)  # after the config: where this is, that has what was chosen
    run.update(stage="+".join(config.stage))


def _split_seed(config: TrainConfig) -> int:
    """The seed of the splits: the one said, that of the run this one starts from, the run's."""
    if config.data.split_seed is not None:
        return config.data.split_seed
    if config.init is not None:
        before = saved_config.section(RunReader(Path(config.init)).config(), "data")
        if before.split_seed is not None:
            return int(before.split_seed)
    return config.runtime.seed


def _record(config: TrainConfig, run: Run, assembly: Any, split_seed: int) -> None:
    """Write down what was decided before anything trains."""
    from fmkit.train import assemble

    machine, backbone = assembly.devices, assembly.backbone
    shown = {"max_length": backbone.max_length, "texts": assembly.loader.describe()}
    if backbone.modality == "image":
        shown = {"image_size": backbone.image_size, "images": assembly.loader.describe()}
    run.write_config(assemble.resolved_config(config, assembly, split_seed))
    run.write_environment(
        devices=machine.as_dict(),
        seed=config.runtime.seed,
        data={"name": config.data.name, **assembly.spec.as_dict()},
        rows=len(assembly.splits["train"]),  # a step has a batch of these
        **_data_of_objectives(assembly),
        weights={**assembly.started_from, "fingerprint": assembly.backbone.fingerprint()},
        **({} if assembly.reference is None else {"reference": assembly.reference.record()}),
        **shown,
    )
    if assembly.backbone.tokenizer is not None:
        run.save_tokenizer(assembly.backbone.tokenizer)
    run.update(parameters=assembly.learner.count_params())


def _data_of_objectives(assembly: Any) -> dict[str, Any]:
    """Of a joint run, what it trains on by objective, but for the primary one's."""
    if not assembly.parts:
        return {}
    others = assembly.parts[1:]
    return {
        "objectives": {each.name: {"name": each.config.name, **each.spec.as_dict()}
                       for each in others}
    }  # fmt: skip


def _describe(config: TrainConfig, run: Run, assembly: Any, weights: str) -> None:
    """Say which model trains on which machine.

    Args:
        config: the run's.
        run: its folder.
        assembly: everything that it needs.
        weights: what to call them; empty means by what the backbone was loaded with.
    """
    from fmkit.models import lora as adapters

    machine, loader = assembly.devices, assembly.loader
    parameters = assembly.learner.count_params()
    backbone = assembly.backbone
    side = f"at {backbone.image_size} x {backbone.image_size}"
    if backbone.modality == "text":
        side = f"on texts of up to {backbone.max_length} tokens"
    _say(
        config,
        run,
        f"model: {config.model.name} {side}, {parameters:,} parameters, "
        f"weights: {weights or assembly.backbone.weights}",
    )
    if lora := adapters.describe(assembly.learner):
        _say(config, run, lora)
    if assembly.reference is not None:
        _say(config, run, assembly.reference.described())
    if not weights and assembly.backbone.weights == "none" and config.init is None:
        frozen = [name for name, each in config.stage.items() if each.batchnorm == "frozen"]
        if frozen:
            console.warning(
                f"the backbone is random, and phase {', '.join(frozen)} keeps BatchNorm or all of "
                "it frozen. stage=scratch trains a random backbone."
            )
    _say(
        config,
        run,
        f"machine: {len(machine.names)} {machine.kind}, {machine.precision}, "
        f"XLA {'on' if machine.jit_compile() else 'off'}; {loader.describe()}",
    )


def _judge(config: TrainConfig, run: Run, assembly: Any) -> dict[str, Any]:
    """Evaluate the final model on validation and test; the figures for the status."""
    from fmkit.evaluation import evaluator

    figures: dict[str, Any] = {}
    for number, each in enumerate(assembly.judged()):
        own: dict[str, Any] = {}
        of_validation: dict[str, Any] = {}
        for split in ("val", "test"):
            indices = each.splits.get(split)
            if indices is None or not len(indices):
                continue
            found, columns = evaluator.evaluate(
                evaluator.EvaluationInputs(
                    each.learner, each.loader, indices, each.examples, each.examples.labels,
                    each.spec.classes, each.task, BOOTSTRAP, config.runtime.seed,
                    None if split == "val" else of_validation,
                )
            )  # fmt: skip
            name = split if number == 0 else f"{split}-{each.name}"
            beside = evaluator.extra_files(each.task, columns)
            write.write_evaluation(run.folder, name, found, columns, beside)
            of_validation = found if split == "val" else of_validation
            own[split] = evaluator.summary_metrics(each.task, found)
        figures |= own if number == 0 else {}
        if each.name:
            figures.setdefault("objectives", {})[each.name] = own
    return figures


def as_fmkit_error(
    error: BaseException, folder: Path | None = None, config: Any = None
) -> FmkitError:
    """Any error as one that can be told: full disks, memory, signals, and defects of ours.

    Args:
        error: what was raised.
        folder: the run's, if there is a run.
        config: the typed config of a command that makes no run.
    """
    if isinstance(error, FmkitError):
        return error
    told: FmkitError
    if isinstance(error, KeyboardInterrupt):
        told = failures.interrupted(error, folder)
    elif failures.is_disk_full(error):
        told = ResourceError(f"the disk is full: {error}.", "Make room and start again.")
    elif failures.is_out_of_memory(error):
        told = failures.out_of_memory(folder, config)
    else:
        where = f"The traceback is in {folder / run_dir.LOG}. " if folder else ""
        first = (str(error).splitlines() or [""])[0]
        told = FmkitError(
            f"a defect of fmkit: {type(error).__name__}: {first}",
            f"{where}FMKIT_TRACEBACK=1 shows it here.",
        )
    told.__cause__ = error
    return told
