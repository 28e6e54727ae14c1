"""One run folder: every path in it has its name here and nowhere else."""

from __future__ import annotations

import datetime
import os
import platform
import secrets
import socket
import subprocess
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

import fmkit
from fmkit import files
from fmkit.errors import ConfigError, FmkitError, Interrupted

CONFIG = "config.yaml"
RECIPE = "recipe.json"
STATUS = "status.json"
ENVIRONMENT = "environment.json"
METRICS = "metrics.jsonl"
METRICS_TABLE = "metrics.csv"
TENSORBOARD = "tensorboard"
CHECKPOINTS = "checkpoints"
FREEZE = "freeze.json"
MODEL = "model.keras"
EVALUATION = "eval"
PREDICTIONS = "predictions"
DATA_REPORT = "data_report.json"
CONTACT_SHEET = "suspects.png"
LOG = "log.txt"

RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"


def now() -> str:
    """The local time with its zone, ISO 8601, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def new_name() -> str:
    """A folder's name: date, time and 6 random letters, so that names sort by time."""
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H%M%S")
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return f"{stamp}-{''.join(secrets.choice(letters) for _ in range(6))}"


def claim(runs_dir: Path, kind: str) -> Path:
    """Make a fresh folder `runs_dir/kind/<date>_<time>-<id>` that nobody else has.

    Raises:
        ConfigError: the runs folder cannot be written.
    """
    while True:
        try:
            return files.claim_folder(runs_dir / kind, new_name())
        except FileExistsError as error:
            if not (runs_dir / kind).is_dir():  # a file stands where a folder must be
                raise _unwritable(runs_dir, error) from error
        except OSError as error:
            raise _unwritable(runs_dir, error) from error


def _unwritable(runs_dir: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"runs_dir: cannot make a run folder in {files.absolute(runs_dir)}: {error.strerror}.",
        "Name a folder that you may write: runs_dir=DIR",
    )


class Run:
    """A run folder that is being written.

    Args:
        folder: the claimed folder.
        command: `pretrain` or `finetune`.
    """

    def __init__(self, folder: Path, command: str) -> None:
        self.folder = folder
        self._began = time.monotonic()
        self._status: dict[str, Any] = {
            "state": RUNNING,
            "reason": None,
            "command": command,
            "name": None,
            "fmkit": fmkit.__version__,
            "started": now(),
            "ended": None,
            "seconds": 0.0,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "phase": None,
            "epoch": 0,
            "step": 0,
            "best": None,
            "test": None,
        }

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / CHECKPOINTS

    @property
    def status(self) -> dict[str, Any]:
        """The status as last written."""
        return self._status

    def begin(self, config: Any, described: dict[str, Any]) -> None:
        """Write the config and the first status.

        Args:
            config: the typed config.
            described: status keys that say what the run is (name, model, data, ...).
        """
        (self.folder / LOG).touch()
        self.write_config(config)
        self.update(**described)

    def write_config(self, config: Any) -> None:
        """Write the typed config as YAML, whole and resolved."""
        from omegaconf import OmegaConf

        files.write_text(self.folder / CONFIG, OmegaConf.to_yaml(OmegaConf.structured(config)))

    def update(self, **changes: Any) -> None:
        """Change the status and write it."""
        self._status.update(changes)
        self._status["seconds"] = round(time.monotonic() - self._began, 3)
        files.write_json(self.folder / STATUS, self._status)

    def update_soon(self, **changes: Any) -> None:
        """Change the status, and write it unless that was done in this second already."""
        self._status.update(changes)
        if time.monotonic() - self._began - self._status["seconds"] >= 1:
            self.update()

    def finish(self, **changes: Any) -> None:
        """Mark the run as done."""
        self.update(state=DONE, ended=now(), **changes)

    def fail(self, error: BaseException) -> None:
        """Mark the run as failed or interrupted and keep the traceback in its log."""
        message = error.message if isinstance(error, FmkitError) else repr(error)
        stopped = isinstance(error, Interrupted | KeyboardInterrupt)
        text = "".join(traceback.format_exception(error))
        try:
            self.log(text)
            state = INTERRUPTED if stopped else FAILED
            self.update(state=state, reason=message or type(error).__name__, ended=now())
        except OSError:  # a full disk must not hide the error that is being told
            return

    def log(self, text: str) -> None:
        """Append to log.txt, with the time."""
        with (self.folder / LOG).open("a", encoding="utf-8") as stream:
            stream.write(f"{now()} {text.rstrip()}\n")

    def write_recipe(self, rows: list[dict[str, Any]]) -> None:
        """Record what `recipe=auto` chose, and what it left since the user had decided it."""
        files.write_json(self.folder / RECIPE, rows)

    def write_environment(self, **facts: Any) -> None:
        """Record versions, hardware, git commit and what else is known."""
        files.write_json(self.folder / ENVIRONMENT, {**machine(), **facts})

    def save_model(self, model: Any) -> None:
        """Write the finished Keras model as `model.keras`, whole or not at all."""
        temporary = self.folder / f".{os.getpid()}.{MODEL}"
        model.save(temporary)
        temporary.replace(self.folder / MODEL)


def machine() -> dict[str, Any]:
    """Versions, hardware and the git commit of the current folder."""
    packages = ("tensorflow", "keras", "keras-hub", "hydra-core", "omegaconf", "numpy", "pillow")
    versions: dict[str, str | None] = {
        "python": platform.python_version(),
        "fmkit": fmkit.__version__,
    }
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "versions": versions,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "git": _git_commit(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


def _git_commit() -> dict[str, Any] | None:
    def git(*words: str) -> str:
        done = subprocess.run(  # noqa: S603 - fixed words
            ["git", *words], capture_output=True, text=True, timeout=5, check=True
        )
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
