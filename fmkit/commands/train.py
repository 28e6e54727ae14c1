"""One short function a sub-command. What is heavy is imported inside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.commands import check as checkup
from fmkit.commands import evaluate as uses
from fmkit.commands import plugins, result_tables, resumed_run, training_run
from fmkit.commands import resume as reopen
from fmkit.commands import tokenizer as vocabulary
from fmkit.config import (
    command_line,
    compatibility,
    compose,
    interpolation,
    objectives,
    user_overrides,
)
from fmkit.config.command_line import CommandLine
from fmkit.config.preflight import check
from fmkit.config.registry import COMMAND_WORDS
from fmkit.config.saved_config import for_objective, overrides, quote
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.task import JointConfig
from fmkit.core import console, signals
from fmkit.core.errors import ConfigError, FmkitError, Interrupted, received
from fmkit.store import run_index
from fmkit.store.run_dir import Run, claim
from fmkit.store.run_reader import RunReader


def pretrain(arguments: Sequence[str]) -> int:
    """Train the head on a frozen backbone."""
    return _train("pretrain", arguments)


def finetune(arguments: Sequence[str]) -> int:
    """Train the head, then everything."""
    return _train("finetune", arguments)


def resume(arguments: Sequence[str]) -> int:
    """Go on with a run that was stopped."""
    request = reopen.parse(arguments)
    folder = reopen.find(request)
    if reopen.finished(folder, request):
        console.info(f"run {folder.name} is finished: nothing to do")
        return 0
    again = resumed_run.open_again(folder, request)
    try:
        with signals.signal_handlers():
            training_run.train(again.config, again.run, again.chosen, again)
    except BaseException as error:
        if not again.has_begun:
            again.run.release()
            raise
        return _ended_badly(again.run, error).exit_code
    return 0


def evaluate(arguments: Sequence[str]) -> int:
    """Judge a finished run on a split, or on new data."""
    line = command_line.parse("eval", arguments)
    names = plugins.names(line.value("plugins"))
    return _launch_plain(_inherit(line, names, "run", ("data",)), names, uses.evaluate)


def predict(arguments: Sequence[str]) -> int:
    """Predict new photos with a finished run."""
    line = command_line.parse("predict", arguments)
    return _launch_plain(line, plugins.names(line.value("plugins")), uses.predict)


def generate(arguments: Sequence[str]) -> int:
    """Go on with a text, by a causal language model."""
    line = command_line.parse("generate", [_literal(each) for each in arguments])
    return _launch_plain(line, plugins.names(line.value("plugins")), uses.generate)


def _literal(word: str) -> str:
    """A prompt as it was typed: Hydra would take a comma or a bracket in it for something else."""
    key, _, text = word.partition("=")
    if key not in ("prompt", "system") or not text or text[0] in "'\"":
        return word
    return f"{key}={quote(text)}"


def check_data(arguments: Sequence[str]) -> int:
    """Look at a data set, and write a report."""
    line = command_line.parse("check", arguments)
    return _launch_plain(line, plugins.names(line.value("plugins")), checkup.check_data)


def tokenizer(arguments: Sequence[str]) -> int:
    """Make a vocabulary of texts.

    Raises:
        ConfigError: the word after the command's name is not `train`.
    """
    word, *rest = [*arguments, ""]
    if word != "train":
        raise ConfigError(
            received("fmkit tokenizer", word, ("train",)),
            "fmkit tokenizer train data=text_files data.root=DIR output=DIR",
        )
    line = command_line.parse("tokenizer", rest[:-1])
    return _launch_plain(line, plugins.names(line.value("plugins")), vocabulary.train)


def runs(arguments: Sequence[str]) -> int:
    """List, show, compare and rank runs."""
    from fmkit.commands import runs as show

    return show.command(list(arguments))


def cache(arguments: Sequence[str]) -> int:
    """List and clear the feature cache."""
    from fmkit.commands import cache as cached

    return cached.command(arguments)


@dataclass
class _Outcome:
    """How one job ended."""

    overrides: list[str]
    run: Run
    error: FmkitError | None = None


def _train(command: str, arguments: Sequence[str]) -> int:
    line = command_line.parse(command, arguments)
    names = plugins.names(line.value("plugins"))
    line = _inherit(line, names, "init", ("model", "data"))
    config = check(line, names)
    if line.shows_only:
        compose.launch(line, lambda _: None)
        return 0
    folder = claim(Path(config.runs_dir), "sweeps" if line.multirun else command)
    outcomes: list[_Outcome] = []
    stopped: FmkitError | None = None

    def job(composed: Any) -> None:
        signals.raise_if_stopped()
        outcomes.append(_train_job(line, composed, names))
        if isinstance(outcomes[-1].error, Interrupted):  # which ends the whole sweep
            raise signals.SignalReceived(outcomes[-1].error.exit_code - 128)

    try:
        compose.launch(line, job, _hydra_folders(folder, line.multirun))
    except KeyboardInterrupt as error:
        if not outcomes:
            raise
        stopped = training_run.as_fmkit_error(error)
    finally:
        if not outcomes:
            with contextlib.suppress(OSError):  # nothing ran: leave nothing, unless it has files
                folder.rmdir()
    if line.multirun:
        result_tables.sweep(folder, [(each.overrides, each.run) for each in outcomes])
    failed = [each for each in (stopped, *(one.error for one in outcomes)) if each is not None]
    return failed[0].exit_code if failed else 0


def _hydra_folders(folder: Path, multirun: bool) -> list[str]:
    path = quote(str(folder.absolute()))
    if multirun:
        return [f"hydra.sweep.dir={path}", "hydra.sweep.subdir='${hydra:job.num}'"]
    return [f"hydra.run.dir={path}"]


def _train_job(line: CommandLine, composed: Any, names: dict[str, list[str]]) -> _Outcome:
    """One job: it never raises, and leaves a run folder that says how it ended."""
    from hydra.core.hydra_config import HydraConfig

    settings = HydraConfig.get()
    run = Run(Path(settings.runtime.output_dir), line.command)
    outcome = _Outcome(list(settings.overrides.task), run)
    try:
        config = compose.to_typed(composed, line.command, names, {})
        config, told = objectives.to_single_objective(config)
        kept = interpolation.from_environment(compose.unresolved(composed))
        job = command_line.parse(line.command, [*line.flags, *outcome.overrides])
        decided = user_overrides.keys_set_by_user(job)
        described = {**_described(config), **_shown_names(kept), "chosen": sorted(decided)}
        run.begin(config, described, kept)
        if told:
            run.log(told)
            console.info(told)
        training_run.train(config, run, decided)
    except BaseException as error:
        outcome.error = _ended_badly(run, error)
    return outcome


def _ended_badly(run: Run, error: BaseException) -> FmkitError:
    """Write down and tell why a run ended before its end."""
    told = training_run.as_fmkit_error(error, run.folder)
    run.fail(told)
    console.error(told.message, told.hint)
    if console.wants_traceback():
        console.stderr.print_exception()
    return told


def _described(config: TrainConfig) -> dict[str, Any]:
    """What the list of runs shows, so that it reads one small file a run."""
    return {
        "name": config.name,
        "model": config.model.name,
        "data": config.data.name,
        "optimizer": config.optimizer.name,
        "stage": "+".join(config.stage),
        "task": config.task.name,
        "seed": config.runtime.seed,
        "init": config.init,
    }


def _shown_names(from_environment: dict[str, str]) -> dict[str, str]:
    """What the list of runs shows of the keys that came from environment variables."""
    shown = {"name": "name", "init": "init", "model.name": "model", "data.name": "data"}
    return {key: from_environment[full] for full, key in shown.items() if full in from_environment}


def _launch_plain(
    line: CommandLine, names: dict[str, list[str]], job: Callable[[Any], None]
) -> int:
    """A command that makes no run folder of its own."""
    if line.multirun:
        typed = COMMAND_WORDS.get(line.command, line.command)
        raise ConfigError(f"fmkit {typed} takes no -m: call it once for each run.")
    check(line, names)
    errors: list[FmkitError] = []

    def guarded(composed: Any) -> None:
        config = None
        try:
            config = compose.to_typed(composed, line.command, names, {})
            job(config)
        except Exception as error:
            errors.append(training_run.as_fmkit_error(error, config=config))
            console.error(errors[-1].message, errors[-1].hint)
            if console.wants_traceback():
                console.stderr.print_exception()

    compose.launch(line, (lambda _: None) if line.shows_only else guarded)
    return errors[0].exit_code if errors else 0


def _inherit(
    line: CommandLine, names: dict[str, list[str]], key: str, groups: tuple[str, ...]
) -> CommandLine:
    """With `init=RUN` or `run=RUN`, that run's groups stand where the user names none.

    They become overrides ahead of the user's own, so that Hydra's record shows them, too.
    """
    value = line.value(key)
    if value is None or value == "":
        return line
    root = Path(str(line.value("runs_dir") or "runs"))
    run = RunReader(run_index.trained(str(value), root, key))
    keys, choices = user_overrides.keys_set_by_experiment(line)
    spared = line.named() | keys | set(choices)
    taken = [group for group in groups if group not in spared]
    plugins.require(run, taken, names)
    added = [f"{key}={quote(str(run.folder.absolute()))}"]
    if "data.root" in spared:  # other data is not to be cut to the size of the run's
        spared |= {"data.limit"}
    task = run.config().get("task")
    if isinstance(task, dict) and task.get("name") not in (
        *compatibility.LABELS,
        JointConfig.name,
    ):
        spared |= {"data.labels"}  # of which that run has learned nothing
    objective = line.value("objective")  # whose data are meant
    known = for_objective(run.config(), None if objective is None else str(objective))
    for group in taken:
        added.extend(overrides(known, group, spared | {"model.weights"}))
    if "model" in taken and "model.weights" not in spared:
        added.append("model.weights=none")  # the run has them all
    if taken and not line.shows_only:
        console.info(f"{' and '.join(taken)} as in run {run.id}")
    kept = [
        word
        for word, override in zip(line.words, line.overrides, strict=True)
        if override.key_or_group != key
    ]
    return command_line.parse(line.command, [*line.flags, *added, *kept])
