"""`fmkit resume`: continue an interrupted run, or train a finished one longer."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from fmkit.commands.options import parse_words
from fmkit.commands.output import failures, json_output
from fmkit.commands.training import resumed_run, training_run
from fmkit.commands.training.resumed_run import Request
from fmkit.config import units
from fmkit.core import console, files, signals
from fmkit.core.errors import ArtifactError, ConfigError, join_names, received
from fmkit.store import run_dir, run_index

_TIME_LIMIT = "runtime.time_limit"
OPTIONS = {
    "run": ("", "The run, where it is not given as a word: its folder, its id, or `last`."),
    "stage.PHASE.epochs": ("", "New length of the last phase; it can only be made longer."),
    _TIME_LIMIT: ("", "Time for what is left, `20 min`; `none` ends the run's own limit."),
    "allow_versions": ("false", "`true`: go on with other versions of fmkit, Keras, TensorFlow."),
    "plugins": ("", "The Python file with your MODELS, DATA or TASKS, if the run needs one."),
    "runs_dir": ("runs", "Folder that the run is looked for in."),
}
"""Keys of `fmkit resume`, each with its default and its meaning."""

_EPOCHS = re.compile(r"stage\.([^.=]+)\.epochs")
_UNFINISHED = (run_index.DEAD, run_dir.FAILED, run_dir.INTERRUPTED)


def resume(arguments: Sequence[str]) -> Path:
    """Go on with a run that was stopped; its folder."""
    request = parse(arguments)
    folder = _find(request.run, request.runs_dir)
    if run_index.read(folder).state == run_dir.DONE and not request.epochs:
        text = f"run {folder.name} is finished: nothing to do"
        json_output.show("run", run_index.record(folder), lambda: console.info(text))
        return folder
    resumed = resumed_run.open_run(folder, request)
    try:
        with signals.signal_handlers():
            training_run.train(resumed.config, resumed.run, resumed.chosen, resumed)
    except BaseException as error:
        if not resumed.has_begun:
            resumed.run.release_lock()
            raise
        failure = failures.record(resumed.run, error)
        json_output.show("run", run_index.record(folder), lambda: None)
        raise failure from error
    return folder


def parse(arguments: Sequence[str]) -> Request:
    """Read the command line.

    Raises:
        ConfigError: not one run, or a key that cannot be changed.
    """
    hint = "A resumed run keeps its config; to change more, start another with init=RUN."
    keys = [word.partition("=")[0] for word in arguments]
    phases = {key: match[1] for key in keys if (match := _EPOCHS.fullmatch(key))}
    words, options = parse_words("fmkit resume", arguments, [*OPTIONS, *phases], hint)
    if len(words) != 1:
        expected = "one run: its folder, its id, or `last`"
        if not words:
            raise ConfigError(f"fmkit resume needs {expected}.", "Such as: fmkit resume last")
        raise ConfigError(received("fmkit resume", " ".join(words), expected))
    epochs = {phase: options[key] for key, phase in phases.items() if key in options}
    allow_versions = options.get("allow_versions", "false").lower()
    if allow_versions not in ("true", "false"):
        raise ConfigError(received("allow_versions", allow_versions, ("true", "false")))
    time_limit = options.get(_TIME_LIMIT)
    if time_limit in ("null", "~"):
        time_limit = resumed_run.NO_LIMIT
    is_time = time_limit not in (None, resumed_run.NO_LIMIT)
    if is_time and (problem := units.time_problem(_TIME_LIMIT, time_limit)):
        raise ConfigError(problem)
    return Request(
        words[0], epochs, time_limit, allow_versions == "true", options.get("plugins"),
        Path(options.get("runs_dir", "runs")),
    )  # fmt: skip


def _newest_unfinished(runs_dir: Path) -> Path:
    """The newest run that was stopped and has a checkpoint; newer ones without one are named."""
    unfinished = [run for run in run_index.runs(runs_dir) if run.state in _UNFINISHED]
    if not unfinished:
        raise ArtifactError(
            f"no run in {files.absolute_path(runs_dir)} was stopped before its end."
        )
    for number, run in enumerate(unfinished):
        if run_index.has_checkpoint(run.folder):
            if number:
                names = join_names([f"{run.id} ({run.state})" for run in unfinished[:number]], 3)
                console.info(f"not resumed, since they have no checkpoint: {names}")
            return run.folder
    newest = unfinished[0]
    raise ArtifactError(
        f"no run in {files.absolute_path(runs_dir)} was stopped after its first checkpoint; the "
        f"newest unfinished one, {newest.id}, is {newest.state}"
        f"{f': {newest.reason.splitlines()[0]}' if newest.reason else '.'}",
        f"To start it again from the beginning: fmkit resume {newest.id}",
    )


def _find(text: str, runs_dir: Path) -> Path:
    """The folder of the run to resume; `last` is the newest with something to go on from."""
    runs_dir = run_index.find_root(str(runs_dir))
    if text == run_index.LAST:
        return _newest_unfinished(runs_dir)
    folder = Path(text)
    if folder.is_dir() and not (folder / run_dir.STATUS).is_file():
        jobs = sorted(path.parent.name for path in folder.glob(f"*/{run_dir.STATUS}"))
        shown = files.display_path(folder)
        if jobs:
            raise ArtifactError(
                f"{shown} is a sweep, with the jobs {join_names(jobs)}.",
                f"Resume one of them: fmkit resume "
                f"{shlex.quote(files.display_path(folder / jobs[0]))}",
            )
        raise ArtifactError(
            f"{shown} has no {run_dir.STATUS}: it is not a run, or the run was stopped before it "
            "began.",
            "Start a new run.",
        )
    return run_index.resolve(text, runs_dir)
