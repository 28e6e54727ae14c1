"""`fmkit resume`: its command line, and the run that is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fmkit.core import files
from fmkit.core.errors import ArtifactError, ConfigError, join_names, received
from fmkit.store import run_dir, run_index

OPTIONS = {
    "stage.PHASE.epochs": ("", "Train the last phase on until it has had this many; only more."),
    "allow_versions": ("false", "`true` goes on with other versions of fmkit, Keras, TensorFlow."),
    "plugins": ("", "The Python file with your MODELS, DATA or TASKS, if the run needs one."),
    "runs_dir": ("runs", "Folder that runs are looked for in."),
}
"""Keys of `fmkit resume`, each with its default and its meaning."""

_EPOCHS = re.compile(r"stage\.([^.=]+)\.epochs")


@dataclass(frozen=True)
class Request:
    """What a user typed after `fmkit resume`.

    Attributes:
        run: a run's folder, id or name, part of an id, or `last`.
        epochs: by phase, the new length.
    """

    run: str
    epochs: dict[str, str] = field(default_factory=dict)
    allow_versions: bool = False
    plugins: str | None = None
    runs_dir: Path = Path("runs")


def parse(arguments: Sequence[str]) -> Request:
    """Read the command line.

    Raises:
        ConfigError: not one run, or a key that cannot be changed.
    """
    words = [each for each in arguments if not re.match(r"[\w.]+=", each)]
    options = dict(each.split("=", 1) for each in arguments if each not in words)
    if len(words) != 1:
        came = " ".join(words)
        raise ConfigError(received("fmkit resume", came, "one run: its folder, its id, or `last`"))
    epochs = {}
    for key in [key for key in options if _EPOCHS.fullmatch(key)]:
        epochs[key.split(".")[1]] = options.pop(key)
    wrong = [key for key in options if key not in OPTIONS]
    if wrong:
        hint = "A resumed run is the same run; to change more, start another with init=RUN."
        raise ConfigError(received("fmkit resume", wrong[0], list(OPTIONS)), hint)
    allowed = options.get("allow_versions", "false").lower()
    if allowed not in ("true", "false"):
        raise ConfigError(received("allow_versions", allowed, ("true", "false")))
    return Request(
        words[0], epochs, allowed == "true", options.get("plugins"),
        Path(options.get("runs_dir", "runs")),
    )  # fmt: skip


def find(request: Request) -> Path:
    """The folder of the run to go on with; `last` is the newest that is neither done nor running.

    Raises:
        ArtifactError: there is no such run, there are several, or it is not one run.
    """
    root, text = request.runs_dir, request.run
    if text == run_index.LAST:
        open_ones = [each for each in run_index.runs(root) if each.state in _OPEN]
        if not open_ones:
            raise ArtifactError(
                f"no run in {files.absolute_path(root)} was stopped before its end."
            )
        return open_ones[0].folder
    folder = Path(text)
    if folder.is_dir() and not (folder / run_dir.STATUS).is_file():
        jobs = sorted(each.parent.name for each in folder.glob(f"*/{run_dir.STATUS}"))
        if jobs:
            raise ArtifactError(
                f"{files.display_path(folder)} is a sweep, with the jobs {join_names(jobs)}.",
                f"Resume one of them: fmkit resume {files.display_path(folder / jobs[0])}",
            )
        raise ArtifactError(
            f"{files.display_path(folder)} has no {run_dir.STATUS}: it is no run, or one that "
            "was stopped "
            "before it had begun.",
            "Start it anew.",
        )
    return run_index.resolve(text, root)


_OPEN = (run_index.DEAD, run_dir.FAILED, run_dir.INTERRUPTED)


def finished(folder: Path, request: Request) -> bool:
    """Whether there is nothing to do for a run, since it is done and is not to be made longer."""
    return run_index.read(folder).state == run_dir.DONE and not request.epochs
