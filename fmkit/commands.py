"""One short function a sub-command. What is heavy is imported inside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit import checkup, console, jobs, plugins, tables
from fmkit.config import chosen, command_line, compose
from fmkit.config.check import check
from fmkit.config.command_line import CommandLine
from fmkit.config.recorded import overrides, quoted
from fmkit.config.schema import TrainConfig
from fmkit.errors import ConfigError, FmkitError, Interrupted
from fmkit.store import index
from fmkit.store.finished import FinishedRun
from fmkit.store.run import Run, claim


def pretrain(arguments: Sequence[str]) -> int:
    """Train the head on a frozen backbone."""
    return _train("pretrain", arguments)


def finetune(arguments: Sequence[str]) -> int:
    """Train the head, then everything."""
    return _train("finetune", arguments)


def evaluate(arguments: Sequence[str]) -> int:
    """Judge a finished run on a split, or on new data."""
    line = command_line.parse("eval", arguments)
    names = plugins.names(line.value("plugins"))
    return _launch_plain(_inherit(line, names, "run", ("data",)), names, jobs.evaluate)


def predict(arguments: Sequence[str]) -> int:
    """Predict new photos with a finished run."""
    line = command_line.parse("predict", arguments)
    return _launch_plain(line, plugins.names(line.value("plugins")), jobs.predict)


def check_data(arguments: Sequence[str]) -> int:
    """Look at a data set, and write a report."""
    line = command_line.parse("check", arguments)
    return _launch_plain(line, plugins.names(line.value("plugins")), checkup.check_data)


def runs(arguments: Sequence[str]) -> int:
    """List, show, compare and rank runs."""
    from fmkit.store import show

    return show.command(list(arguments))


def cache(arguments: Sequence[str]) -> int:
    """List and clear the feature cache."""
    from fmkit.store import cached

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

    def job(composed: Any) -> None:
        outcomes.append(_train_job(line, composed, names))
        if isinstance(outcomes[-1].error, Interrupted):
            raise KeyboardInterrupt  # ends the whole sweep

    try:
        compose.launch(line, job, _hydra_folders(folder, line.multirun))
    except KeyboardInterrupt:
        if not outcomes:
            raise
    finally:
        if not outcomes:
            with contextlib.suppress(OSError):  # nothing ran: leave nothing, unless it has files
                folder.rmdir()
    if line.multirun:
        tables.sweep(folder, [(each.overrides, each.run) for each in outcomes])
    failed = [each.error for each in outcomes if each.error is not None]
    return failed[0].exit_code if failed else 0


def _hydra_folders(folder: Path, multirun: bool) -> list[str]:
    path = quoted(str(folder.absolute()))
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
        with jobs.termination():
            config = compose.typed(composed, line.command, names, {})
            run.begin(config, _described(config))
            job = command_line.parse(line.command, [*line.flags, *outcome.overrides])
            jobs.train(config, run, chosen.by_user(job))
    except BaseException as error:
        outcome.error = jobs.as_fmkit_error(error, run.folder)
        run.fail(outcome.error)
        console.complain(outcome.error.message, outcome.error.hint)
        if console.wants_traceback():
            console.err.print_exception()
    return outcome


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


def _launch_plain(
    line: CommandLine, names: dict[str, list[str]], job: Callable[[Any], None]
) -> int:
    """A command that makes no run folder of its own."""
    if line.multirun:
        raise ConfigError(f"fmkit {line.command} takes no -m: call it once for each run.")
    check(line, names)
    errors: list[FmkitError] = []

    def guarded(composed: Any) -> None:
        try:
            job(compose.typed(composed, line.command, names, {}))
        except Exception as error:
            errors.append(jobs.as_fmkit_error(error))
            console.complain(errors[-1].message, errors[-1].hint)
            if console.wants_traceback():
                console.err.print_exception()

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
    run = FinishedRun(index.trained(str(value), root, key))
    keys, choices = chosen.set_by_experiment(line)
    spared = line.named() | keys | set(choices)
    taken = [group for group in groups if group not in spared]
    plugins.require(run, taken, names)
    added = [f"{key}={quoted(str(run.folder.absolute()))}"]
    if "data.root" in spared:  # other data is not to be cut to the size of the run's
        spared |= {"data.limit"}
    for group in taken:
        added.extend(overrides(run.config(), group, spared | {"model.weights"}))
    if "model" in taken and "model.weights" not in spared:
        added.append("model.weights=none")  # the run has them all
    if taken and not line.shows_only:
        console.say(f"{' and '.join(taken)} as in run {run.id}")
    kept = [
        word
        for word, override in zip(line.words, line.overrides, strict=True)
        if override.key_or_group != key
    ]
    return command_line.parse(line.command, [*line.flags, *added, *kept])
