"""What one job does, from a typed config to files on disk."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fmkit import again as reopened
from fmkit import console, failures, files, plugins, signals, tables
from fmkit.config import objectives, recipe, recorded
from fmkit.config.schema import (
    EvalConfig,
    GenerateConfig,
    JointConfig,
    PredictConfig,
    SelfSupervisedConfig,
    TrainConfig,
)
from fmkit.errors import ConfigError, DataError, FmkitError, ResourceError
from fmkit.store import index
from fmkit.store import run as names
from fmkit.store.finished import FinishedRun
from fmkit.store.run import Run

BOOTSTRAP = 1000
"""Resamples behind the 95% intervals of a run's own evaluation."""


def train(
    config: TrainConfig, run: Run, chosen: Collection[str] = (), again: reopened.Again | None = None
) -> None:
    """One run from end to end: data, model, phases, the model file, the figures.

    Args:
        config: the typed config.
        run: its folder.
        chosen: keys that the user decided, which `recipe=auto` leaves alone.
        again: the run is not new; it goes on where it was stopped.
    """
    from fmkit.data import admission, dataset

    began = time.monotonic()
    split_seed = _split_seed(config)
    report = run.folder / names.DATA_REPORT  # before TensorFlow: a broken photo says so at once
    data = admission.for_training(config.data, config.runtime, split_seed, report)
    others = _other_data(config, run, split_seed, data)
    if config.init is not None and data.spec.classes:
        data = dataset.in_order_of(data, FinishedRun(Path(config.init)).classes())
    _require_validation(config, data, others)
    if again is not None:
        again.require_same_data({"": data.spec, **{key: each.spec for key, each in others.items()}})
    _say(config, run, f"run: {files.short(run.folder)}")
    counts = ", ".join(f"{count} {split}" for split, count in data.spec.counts.items())
    classes = f"{len(data.spec.classes)} classes, " if data.spec.classes else ""
    _say(config, run, f"data: {config.data.name}, {classes}{counts}")
    for name, each in others.items():
        shown = ", ".join(f"{count} {split}" for split, count in each.spec.counts.items())
        _say(config, run, f"data of {name}: {shown}")
    with console.diverted(run.folder / names.LOG):
        from fmkit.models import adapters
        from fmkit.train import assemble, devices, loop

        signals.check()  # an import may swallow what a signal raises
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
    with signals.careful(), assembly.scope():
        adapters.merge(assembly.learner)  # what is judged below is what is deployed
        learner, task = assembly.learner, assembly.task
        if assembly.parts:
            learner, task = assembly.parts[0].learner, assembly.parts[0].task
        run.save_model(assemble.inference_model(learner, task, config.data))
    signals.check()
    figures = _judge(config, run, assembly)
    with signals.careful():  # a run that is done is done
        run.finish(
            phases=[each.as_dict() for each in results],
            total_seconds=round(time.monotonic() - began, 3),
            **figures,
        )
        tables.result(run.folder, run.status)


def _other_data(config: TrainConfig, run: Run, split_seed: int, data: Any) -> dict[str, Any]:
    """Of a joint run, the data of the objectives beside the primary one."""
    from fmkit.data import admission

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
        report = run.folder / f"{Path(names.DATA_REPORT).stem}-{name}.json"
        found[name] = admission.for_training(each.data, config.runtime, seed, report)
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
    again: reopened.Again | None,
    others: dict[str, Any],
) -> Any:
    """Everything the run needs, joined; a new run's record is written, an old one's is held to."""
    from fmkit.train import assemble

    saved = None if again is None else again.saved
    every = [data, *others.values()]
    sizes = [assemble.image_size(config.model, each.examples) for each in every]
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
        assembly.settings = reopened.settings(assemble.resolved(config, assembly, split_seed))
        _record(config, run, assembly, split_seed)
    _describe(config, run, assembly, f"those of step {saved.step}" if saved else "")
    return assembly


def _say(config: TrainConfig, run: Run, line: str) -> None:
    run.log(line)
    if config.runtime.verbose:
        console.say(line)


def _follow_recipe(
    config: TrainConfig, run: Run, data: Any, machine: Any, chosen: Collection[str]
) -> None:
    """Let `recipe=auto` choose what the user left open; say and write down each choice."""
    from fmkit.train import survey

    rows = recipe.apply(config, recipe.choose(survey.facts(config, data, machine), chosen))
    for row in rows:
        _say(config, run, f"recipe: {recipe.worded(row)}")
    run.write_config(config)
    run.write_recipe(rows)  # after the config: where this is, that has what was chosen
    run.update(stage="+".join(config.stage))


def _split_seed(config: TrainConfig) -> int:
    """The seed of the splits: the one said, that of the run this one starts from, the run's."""
    if config.data.split_seed is not None:
        return config.data.split_seed
    if config.init is not None:
        before = recorded.section(FinishedRun(Path(config.init)).config(), "data")
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
    run.write_config(assemble.resolved(config, assembly, split_seed))
    run.write_environment(
        devices=machine.as_dict(),
        seed=config.runtime.seed,
        data={"name": config.data.name, **assembly.spec.as_dict()},
        **_data_of_objectives(assembly),
        weights={**assembly.started_from, "fingerprint": assembly.backbone.fingerprint()},
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
    from fmkit.models import adapters

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
    if not weights and assembly.backbone.weights == "none" and config.init is None:
        frozen = [name for name, each in config.stage.items() if each.batchnorm == "frozen"]
        if frozen:
            console.warn(
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
    from fmkit.evaluate import judge, predict

    figures: dict[str, Any] = {}
    for number, each in enumerate(assembly.judged()):
        own = {}
        for split in ("val", "test"):
            indices = each.splits.get(split)
            if indices is None or not len(indices):
                continue
            found, columns = judge.judge(
                judge.Question(
                    each.learner, each.loader, indices, each.examples, each.examples.labels,
                    each.spec.classes, each.task, BOOTSTRAP, config.runtime.seed,
                )
            )  # fmt: skip
            name = split if number == 0 else f"{split}-{each.name}"
            predict.write_evaluation(run.folder, name, found, columns)
            own[split] = judge.headline(each.task, found)
        figures |= own if number == 0 else {}
        if each.name:
            figures.setdefault("objectives", {})[each.name] = own
    return figures


def evaluate(config: EvalConfig) -> None:
    """Judge a finished run on a split of its data, or on other data."""
    from fmkit.data import admission, dataset

    run = FinishedRun(index.trained(config.run, Path(config.runs_dir)))
    run.warn_if_unfinished()
    plugins.require(run, ("model", "task"), plugins.names())
    _, objective = recorded.task_of(recorded.section(run.config(), "task"), config.objective)
    before = recorded.section(recorded.of_objective(run.config(), objective), "data")
    place = [getattr(each, "root", None) for each in (before, config.data)]
    is_new = before.name != config.data.name or place[0] != place[1]
    seed = before.split_seed if config.data.split_seed is None else config.data.split_seed
    split = config.split or ("all" if is_new else "test")
    data = admission.for_evaluation(config.data, config.runtime, seed or 0, split)
    name = "-".join(filter(None, [split, objective, data.spec.fingerprint[:8] if is_new else ""]))
    known = run.data(objective).get("fingerprint")
    if not is_new and split != "all" and data.spec.fingerprint != known:
        console.warn("the data has changed since the run was trained; its splits may have, too.")
    labels = data.examples.labels
    task = recorded.section(run.config(), "task")
    learns_classes = not isinstance(task, SelfSupervisedConfig)
    if run.classes(objective) and learns_classes:  # before TensorFlow, too
        labels = dataset.match_classes(data.examples, run.classes(objective))
    with console.diverted(run.folder / names.LOG):
        from fmkit.evaluate import judge
        from fmkit.evaluate import predict as loaded

        trained = loaded.load(run, config.runtime, config.objective)
    data = loaded.as_read(config.data, config.runtime, data, trained)
    loader = loaded.open_data(config.data, config.runtime, data, trained)
    found, columns = judge.judge(
        judge.Question(
            trained.learner, loader, data.splits[split], data.examples, labels,
            trained.classes, trained.task, config.bootstrap, config.runtime.seed,
        )
    )  # fmt: skip
    path = loaded.write_evaluation(run.folder, name, found, columns)
    tables.evaluation(found, config.data.name, split, path)


def predict(config: PredictConfig) -> None:
    """Write a table of predictions for new photos or texts.

    Raises:
        DataError: none could be read; the table says why for each.
    """
    run = FinishedRun(index.trained(config.run, Path(config.runs_dir)))
    run.warn_if_unfinished()
    plugins.require(run, ("model", "task"), plugins.names())
    if not run.classes():  # a damaged run is told before TensorFlow is imported
        raise ConfigError(
            f"run {run.id} knows no classes, so it predicts none.",
            "A model that goes on with a text: fmkit generate run=RUN prompt=TEXT. One that "
            "classifies: fmkit finetune init=RUN data=...",
        )
    output = _output(config, run)
    if run.data().get("modality") == "text":
        columns, errors = _predict_texts(config, run)
    else:
        columns, errors = _predict_photos(config, run)
    with console.diverted(run.folder / names.LOG):
        from fmkit.evaluate import predict as loaded
    loaded.write_table(output, columns)
    for each in errors[:10]:
        console.warn(each)
    total = len(next(iter(columns.values())))
    if len(errors) == total:
        raise DataError(f"none of {total} examples could be read.", f"The reasons: {output}")
    tables.predictions(columns, len(errors), output)


def _predict_photos(config: PredictConfig, run: FinishedRun) -> tuple[dict[str, Any], list[str]]:
    """Columns of predictions, and a message for each photo that could not be read."""
    from fmkit.data import inputs

    paths = inputs.list_photos(Path(config.input), config.path_column)
    with console.diverted(run.folder / names.LOG):
        from fmkit.evaluate import predict as loaded

        trained = loaded.load(run, config.runtime)
    resize = recorded.section(run.config(), "data").resize
    return loaded.predict_files(trained, paths, resize, config.batch_size)


def _predict_texts(config: PredictConfig, run: FinishedRun) -> tuple[dict[str, Any], list[str]]:
    """Columns of predictions, and a message for each text that could not be read."""
    from fmkit.data import inputs

    before = recorded.section(run.config(), "data")
    found = inputs.list_texts(
        Path(config.input),
        config.text_column or str(getattr(before, "text_column", None) or "text"),
        config.pair_column or getattr(before, "pair_column", None),
        config.encoding,
        getattr(before, "quotes", True),
    )
    with console.diverted(run.folder / names.LOG):
        from fmkit.evaluate import predict as loaded

        trained = loaded.load(run, config.runtime)
    columns = loaded.predict_texts(trained, found, config.batch_size)
    return columns, [
        f"{name}: {why}" for name, why in zip(found.ids, found.errors, strict=True) if why
    ]


def generate(config: GenerateConfig) -> None:
    """Write a text to stdout as a causal language model goes on with it.

    Raises:
        ConfigError: the run is none of such a model, or the prompt cannot be read.
    """
    run = FinishedRun(index.trained(config.run, Path(config.runs_dir)))
    run.warn_if_unfinished()
    plugins.require(run, ("model", "task"), plugins.names())
    prompt = _prompt(config)
    if run.data().get("modality") != "text":
        raise ConfigError(f"run {run.id} reads photos, so it writes no text.")
    with console.diverted(run.folder / names.LOG):
        from fmkit.evaluate import generate as writing
        from fmkit.evaluate import predict as loaded

        trained = loaded.load(run, config.runtime)
    sampling = writing.Sampling(
        config.temperature, config.top_k, config.top_p, config.max_tokens, config.seed
    )
    for piece in writing.text(trained, prompt, sampling):
        signals.check()
        console.stream(piece)
    console.stream("\n")


def _prompt(config: GenerateConfig) -> str:
    """How the text begins.

    Raises:
        ConfigError: it was said twice.
        DataError: its file cannot be read.
    """
    if config.input is None:
        return config.prompt or ""
    if config.prompt is not None:
        raise ConfigError("prompt and input were both named: one of them is the prompt.")
    try:
        return Path(config.input).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise DataError(f"input: {config.input} cannot be read as UTF-8: {error}.") from error


def _output(config: PredictConfig, run: FinishedRun) -> Path:
    """The table to write, in a place that can be written."""
    output = run.folder / names.PREDICTIONS / f"{names.new_name()}.csv"
    if config.output is not None:
        output = Path(config.output).expanduser()
    if output.suffix not in (".csv", ".parquet"):
        raise ConfigError(
            f"output: received {config.output!r}. Expected a name in .csv or .parquet."
        )
    wrong = files.unwritable(output)
    if wrong:
        raise ConfigError(
            f"output: {output} cannot be written: {wrong}.",
            "Name a file in a folder that you may write: output=FILE",
        )
    if output.exists() and not config.overwrite:
        raise ConfigError(
            f"output: {output} is there already.", "Name another file, or add overwrite=true."
        )
    return output


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
        where = f"The traceback is in {folder / names.LOG}. " if folder else ""
        first = (str(error).splitlines() or [""])[0]
        told = FmkitError(
            f"a defect of fmkit: {type(error).__name__}: {first}",
            f"{where}FMKIT_TRACEBACK=1 shows it here.",
        )
    told.__cause__ = error
    return told
