"""A run folder: names of its files, its creation, and writing of status, log and config.

`store/metrics_log` has metrics.jsonl and metrics.csv.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import os
import re
import secrets
import socket
import time
import traceback
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fmkit.core import atomic_dir, console, files, machine, safe_io, sanitize
from fmkit.core.errors import ArtifactError, ConfigError, FmkitError, Interrupted
from fmkit.core.types import Tokenizer
from fmkit.core.version import VERSION
from fmkit.store import environment, lock

CONFIG = "config.yaml"
HYDRA = ".hydra"
RECIPE = "recipe.json"
STATUS = "status.json"
ENVIRONMENT = "environment.json"
TENSORBOARD = "tensorboard"
CHECKPOINTS = "checkpoints"
MANIFEST = "manifest.json"
FREEZE = "freeze.json"
MODEL = "model.keras"
TOKENIZER = "tokenizer"
EVALUATION = "eval"
OUT_OF_FOLD = "out_of_fold.npz"
DISTRIBUTION = "feature_distribution.npz"
FORGETTING = "forgetting.npz"
PREDICTIONS = "predictions"
EXPLANATIONS = "explain"
EXPORT = "export"
PARITY = "parity.json"
DATA_REPORT = "data_report.json"
CONTACT_SHEET = "suspects.png"
REPORT = "report.html"
MODEL_CARD = "README.md"
PLOTS = "plots"
SAMPLES = "samples.json"
LOGGERS = "loggers"
LOG = "log.txt"
LOCK = "run.lock"
NONFINITE = "nonfinite.json"

REFIT = "refit_"
"""How the name of a phase begins that repeats one on training and validation examples together."""

_NAME = re.compile(r"\d{4}-\d\d-\d\d_\d{6}-[a-z2-7]{6}")
"""What `new_name` makes."""

RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"


def is_refitted(status: Mapping[str, Any]) -> bool:
    """Whether a run's final model has learned from its validation split, too."""
    return any(phase["name"].startswith(REFIT) for phase in status.get("phases") or ())


def new_name() -> str:
    """A new folder name: date, time and 6 random letters, so that names sort by time."""
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H%M%S")
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return f"{stamp}-{''.join(secrets.choice(letters) for _ in range(6))}"


def is_output(folder: Path) -> bool:
    """Whether a folder is one that fmkit writes to: runs, whatever it is called, or `checks`.

    It may lie in the folder of the data, and its pictures are not examples.
    """
    places = [folder / kind for kind in ("finetune", "pretrain", "sweeps")]
    places += [folder] if folder.name == "checks" else []
    with contextlib.suppress(OSError):  # it is reported where it is listed
        return any(
            _NAME.fullmatch(name)
            for place in places
            if os.path.isdir(place)  # noqa: PTH112 - pathlib raises where it may not look
            for name in os.listdir(place)  # noqa: PTH208
        )
    return False


def claim(runs_dir: Path, kind: str) -> Path:
    """Create a new folder `runs_dir/kind/<date>_<time>-<id>`, unique to this process.

    Raises:
        ConfigError: the runs folder cannot be written.
    """
    while True:
        try:
            (runs_dir / kind).mkdir(parents=True, exist_ok=True)
            folder = runs_dir / kind / new_name()
            folder.mkdir()  # fails if it exists: two launches never share a folder
            return folder
        except OSError as error:
            # A name that is taken is tried again, unless a file is where the folder must be.
            if isinstance(error, FileExistsError) and (runs_dir / kind).is_dir():
                continue
            raise ConfigError(
                "runs_dir: cannot create a run folder in "
                f"{files.absolute_path(runs_dir)}: {error.strerror}.",
                "Name a folder that you may write: runs_dir=DIR",
            ) from error


class RunWriter:
    """Writes a run folder: config, status, log, environment and the finished model.

    The `status` is as it was written last; `after_failure` is called once the status says that the
    run has failed or was stopped.
    """

    def __init__(self, folder: Path, command: str) -> None:
        self.folder = folder
        self._lock: lock.RunLock | None = None
        self._began = time.monotonic()
        self._from_environment: dict[str, str] = {}
        self.after_failure: list[Callable[[], object]] = []
        self.status: dict[str, Any] = {
            "state": RUNNING,
            "reason": None,
            "command": command,
            "name": None,
            "fmkit": VERSION,
            "started": machine.local_time(),
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

    @classmethod
    def reopen(cls, folder: Path) -> RunWriter:
        """A stopped run, locked, to continue it; temporary files of a killed process are deleted.

        Raises:
            ArtifactError: it is in use, or its status cannot be read.
        """
        run = cls(folder, "")
        run.acquire_lock()
        try:
            status = safe_io.read_json_object(folder / STATUS)
            seconds = float(status["seconds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            run.release_lock()
            raise ArtifactError(f"run {folder}: {STATUS} cannot be used: {error}.") from error
        new = {key: run.status[key] for key in ("state", "reason", "ended", "pid", "host")}
        run.status |= {**status, **new}
        run._began -= seconds
        files.remove_temporaries(folder)
        for parent in (folder, run.checkpoints):
            atomic_dir.remove_leftovers(parent)
        return run

    def acquire_lock(self) -> None:
        """Lock the run until it or this process ends; ArtifactError where another one has it."""
        if self._lock is None:
            self._lock = lock.acquire_run_lock(self.folder / LOCK)

    def release_lock(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def begin(
        self,
        config: Any,
        summary: dict[str, Any],
        from_environment: Mapping[str, str] | None = None,
    ) -> None:
        """Lock the run, write the config and the first status.

        Args:
            config: the typed config.
            summary: status keys that say what the run is (name, model, data, ...).
            from_environment: by config key, the reference such as `${oc.env:FMKIT_DATA}` that is
                recorded instead of a value that came from an environment variable.
        """
        self.acquire_lock()
        (self.folder / LOG).touch()
        self._from_environment = dict(from_environment or {})
        for path in (self.folder / HYDRA).glob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            if (redacted := sanitize.redact(text)) != text:
                files.write_text(path, redacted)
        self.write_config(config)
        self.update(**summary)

    def write_config(self, config: Any) -> None:
        """Write the typed config as YAML for OmegaConf, where `\\${` is a literal `${`.

        References are resolved, except those to environment variables; secrets are redacted.
        """
        from omegaconf import OmegaConf

        values = _escape_and_redact(dataclasses.asdict(config))
        for key, reference in self._from_environment.items():
            *parents, name = key.split(".")
            node: Any = values
            for parent in parents:
                node = node.get(parent) if isinstance(node, dict) else None
            if isinstance(node, dict) and name in node:
                node[name] = reference
        files.write_text(self.folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(values)))

    def update(self, **changes: Any) -> None:
        """Change keys of the status and write it."""
        for key in ("name", "reason"):
            if isinstance(changes.get(key), str):
                changes[key] = sanitize.redact(changes[key])
        self.status.update(changes)
        self.status.update(lock.heartbeat())
        self.status["seconds"] = round(time.monotonic() - self._began, 3)
        files.write_json(self.folder / STATUS, self.status, "status.write")

    def update_throttled(self, **changes: Any) -> None:
        """Change keys of the status, and write it at most once a second."""
        self.status.update(changes)
        if time.monotonic() - self._began - self.status["seconds"] >= 1:
            self.update()

    def finish(self, **changes: Any) -> None:
        """Mark the run as done."""
        self.update(state=DONE, ended=machine.local_time(), **changes)
        self.release_lock()

    def fail(self, error: BaseException) -> None:
        """Mark the run as failed or interrupted, and log the traceback."""
        message = error.message if isinstance(error, FmkitError) else repr(error)
        state = INTERRUPTED if isinstance(error, Interrupted | KeyboardInterrupt) else FAILED
        with contextlib.suppress(OSError):  # a full disk must not hide the error itself
            self.log("".join(traceback.format_exception(error)))
        with contextlib.suppress(OSError):
            self.update(
                state=state, reason=message or type(error).__name__, ended=machine.local_time()
            )
        self.release_lock()
        while self.after_failure:
            self.after_failure.pop()()

    def log(self, text: str) -> None:
        """Append an entry to log.txt with the time; further lines of a text are indented.

        Escaped and indented, no text from outside can pass for an entry or control a terminal.
        """
        clean = console.clean(text.rstrip()).replace("\n", "\n    ")
        entry = f"{machine.local_time()} {clean}\n"
        files.append(self.folder / LOG, entry.encode("utf-8", "backslashreplace"))

    def write_environment(self, **facts: Any) -> None:
        """Write versions, hardware, git commit and further facts."""
        files.write_json(self.folder / ENVIRONMENT, {**environment.current(), **facts})

    def save_model(self, model: Any) -> None:
        """Write the finished Keras model as `model.keras`, in one step."""
        with files.replacing(self.folder / MODEL, "model.write") as temporary:
            model.save(temporary)
            if not zipfile.is_zipfile(temporary):  # Keras does not report every failed write
                raise OSError(errno.EIO, "the file is not whole")

    def save_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Write the tokenizer of a text model, in one step."""
        folder = self.folder / TOKENIZER
        if not folder.exists():
            with atomic_dir.replacing(folder) as (temporary, _):
                tokenizer.save(temporary)


def _escape_and_redact(value: Any) -> Any:
    """The same values, with `${` escaped for OmegaConf and secrets redacted in texts."""
    if isinstance(value, dict):
        return {key: _escape_and_redact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escape_and_redact(item) for item in value]
    if isinstance(value, str):
        text = sanitize.redact(value)
        return re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + "\\${", text)
    return value
