"""One run folder: every path in it has its name here and nowhere else."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import json
import os
import re
import secrets
import socket
import time
import traceback
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fmkit
from fmkit.core import atomic_dir, console, files, sanitize
from fmkit.core.errors import ArtifactError, ConfigError, FmkitError, Interrupted
from fmkit.core.types import Tokenizer
from fmkit.store import environment, lock

CONFIG = "config.yaml"
HYDRA = ".hydra"
RECIPE = "recipe.json"
STATUS = "status.json"
ENVIRONMENT = "environment.json"
METRICS = "metrics.jsonl"
METRICS_TABLE = "metrics.csv"
TENSORBOARD = "tensorboard"
CHECKPOINTS = "checkpoints"
MANIFEST = "manifest.json"
FREEZE = "freeze.json"
MODEL = "model.keras"
TOKENIZER = "tokenizer"
EVALUATION = "eval"
PREDICTIONS = "predictions"
DATA_REPORT = "data_report.json"
CONTACT_SHEET = "suspects.png"
LOG = "log.txt"
LOCK = "run.lock"
NONFINITE = "nonfinite.json"

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
        f"runs_dir: cannot make a run folder in {files.absolute_path(runs_dir)}: {error.strerror}.",
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
        self._lock: lock.RunLock | None = None
        self._began = time.monotonic()
        self._from_environment: dict[str, str] = {}
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

    @classmethod
    def reopen(cls, folder: Path) -> Run:
        """A run that was stopped, to go on with; nobody else can write it from here on.

        What a killed process left half done is cleared away.

        Raises:
            ArtifactError: it is in use, or has no status that can be read.
        """
        run = cls(folder, "")
        run.hold()
        try:
            before = json.loads((folder / STATUS).read_bytes())
            seconds = float(before["seconds"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            run.release()
            raise ArtifactError(f"run {folder}: {STATUS} cannot be used: {error}.") from error
        fresh = {key: run._status[key] for key in ("state", "reason", "ended", "pid", "host")}
        run._status |= {**before, **fresh}
        run._began -= seconds
        files.remove_temporaries(folder)
        for parent in (folder, run.checkpoints):
            atomic_dir.remove_leftovers(parent)
        return run

    def hold(self) -> None:
        """Take the run's lock, until the run ends or this process does.

        Raises:
            ArtifactError: another process has it.
        """
        if self._lock is None:
            self._lock = lock.acquire_run_lock(self.folder / LOCK)

    def release(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def begin(
        self,
        config: Any,
        described: dict[str, Any],
        from_environment: Mapping[str, str] | None = None,
    ) -> None:
        """Take the run's lock, write the config and the first status.

        Args:
            config: the typed config.
            described: status keys that say what the run is (name, model, data, ...).
            from_environment: by key, what stands in the record in place of values that came from
                environment variables, such as `${oc.env:FMKIT_DATA}`.
        """
        self.hold()
        (self.folder / LOG).touch()
        self._from_environment = dict(from_environment or {})
        for path in (self.folder / HYDRA).glob("*.yaml"):
            kept = path.read_text(encoding="utf-8")
            if (shown := sanitize.redact(kept)) != kept:
                files.write_text(path, shown)
        self.write_config(config)
        self.update(**described)

    def write_config(self, config: Any) -> None:
        """Write the typed config as YAML, as OmegaConf reads it: `\\${` in a text is `${`.

        All is looked up but what came from environment variables, and secrets are struck out.
        """
        from omegaconf import OmegaConf

        values = _recordable(dataclasses.asdict(config))
        for key, text in self._from_environment.items():
            *path, name = key.split(".")
            held: Any = values
            for each in path:
                held = held.get(each) if isinstance(held, dict) else None
            if isinstance(held, dict) and name in held:
                held[name] = text
        files.write_text(self.folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(values)))

    def update(self, **changes: Any) -> None:
        """Change the status and write it."""
        for key in ("name", "reason"):
            if isinstance(changes.get(key), str):
                changes[key] = sanitize.redact(changes[key])
        self._status.update(changes)
        self._status.update(lock.heartbeat())
        self._status["seconds"] = round(time.monotonic() - self._began, 3)
        files.write_json(self.folder / STATUS, self._status, "status.write")

    def update_soon(self, **changes: Any) -> None:
        """Change the status, and write it unless that was done in this second already."""
        self._status.update(changes)
        if time.monotonic() - self._began - self._status["seconds"] >= 1:
            self.update()

    def finish(self, **changes: Any) -> None:
        """Mark the run as done."""
        self.update(state=DONE, ended=now(), **changes)
        self.release()

    def fail(self, error: BaseException) -> None:
        """Mark the run as failed or interrupted and keep the traceback in its log."""
        message = error.message if isinstance(error, FmkitError) else repr(error)
        stopped = isinstance(error, Interrupted | KeyboardInterrupt)
        text = "".join(traceback.format_exception(error))
        state = INTERRUPTED if stopped else FAILED
        with contextlib.suppress(OSError):  # a full disk must not hide the error that is told
            self.log(text)
        with contextlib.suppress(OSError):
            self.update(state=state, reason=message or type(error).__name__, ended=now())
        self.release()

    def log(self, text: str) -> None:
        """Append to log.txt, with the time; further lines of a text are indented.

        So no text from outside can pass for an entry, or for what a terminal obeys.
        """
        told = console.escape_text(sanitize.redact(text.rstrip())).replace("\n", "\n    ")
        line = f"{now()} {told}\n"
        files.append(self.folder / LOG, line.encode("utf-8", "backslashreplace"))

    def write_recipe(self, rows: list[dict[str, Any]]) -> None:
        """Record what `recipe=auto` chose, and what it left since the user had decided it."""
        files.write_json(self.folder / RECIPE, rows)

    def write_environment(self, **facts: Any) -> None:
        """Record versions, hardware, git commit and what else is known."""
        files.write_json(self.folder / ENVIRONMENT, {**environment.current(), **facts})

    def save_model(self, model: Any) -> None:
        """Write the finished Keras model as `model.keras`, whole or not at all.

        Raises:
            OSError: the disk is full or refuses; it names the file.
        """
        with files.replacing(self.folder / MODEL, "model.write") as temporary:
            model.save(temporary)
            if not zipfile.is_zipfile(temporary):  # Keras does not report every failed write
                raise OSError(errno.EIO, "the file is not whole")

    def save_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Write what a model of texts makes tokens with, whole or not at all.

        Raises:
            OSError: the disk is full or refuses.
        """
        folder = self.folder / TOKENIZER
        if not folder.exists():
            with atomic_dir.replacing(folder) as (temporary, _):
                tokenizer.save(temporary)


def _recordable(value: Any) -> Any:
    """The same values, texts as OmegaConf reads them back, without secrets."""
    if isinstance(value, dict):
        return {key: _recordable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_recordable(each) for each in value]
    if isinstance(value, str):
        text = sanitize.redact(value)
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", text)
    return value
