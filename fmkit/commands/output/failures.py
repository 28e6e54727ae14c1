"""Any error as an `FmkitError`: signals, full disks, memory that ran out, and defects."""

import contextlib
import errno
import os
import shlex
import signal
from pathlib import Path
from typing import Any

from fmkit.core import console, files, signals
from fmkit.core.errors import (
    ArtifactError,
    ConfigError,
    FmkitError,
    Interrupted,
    ResourceError,
    causes,
)
from fmkit.store import run_dir
from fmkit.store.run_dir import RunWriter
from fmkit.store.run_reader import RunReader

_NO_MEMORY = (
    "OOM when allocating",
    "RESOURCE_EXHAUSTED",
    "ResourceExhaustedError",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "std::bad_alloc",
    "MemoryError",
)
"""How native code, and Python inside of it, says that there is no memory left."""
_NO_SPACE = ("No space left on device", "Disk quota exceeded", "errno = 28")
"""The same for a full disk; HDF5 says it in the last of these ways."""
_FREE_SPACE = "Free some space and start again."
_SMALLEST_SIDE = 32


def as_fmkit_error(
    error: BaseException, folder: Path | None = None, config: Any = None
) -> FmkitError:
    """The same failure as an error with a message, a remedy and an exit status.

    Args:
        folder: the run's, if there is a run.
        config: the typed config of a command that makes no run.
    """
    failure: FmkitError
    if isinstance(error, FmkitError):
        if _has_disk_full_errno(error) and error.exit_code != ResourceError.exit_code:
            failure = ResourceError(error.message, _FREE_SPACE)
            failure.__cause__ = error
            return failure
        return error
    number = signals.raised_signal()  # also where a library has made another error of it
    if isinstance(error, KeyboardInterrupt):
        number = error.number if isinstance(error, signals.SignalReceived) else signal.SIGINT
    if number is not None:
        hint = (
            f"Go on with: fmkit resume {shlex.quote(files.display_path(folder))}" if folder else ""
        )
        message = f"stopped by {signals.name_of(number)}{_position(folder)}."
        failure = Interrupted(message, hint, number)
    elif isinstance(error, FileNotFoundError) and _is_folder_gone():
        failure = ConfigError(
            "the current folder no longer exists.", "Change into another, and type the line again."
        )
    elif is_disk_full(error):
        failure = ResourceError(f"the disk is full: {error}.", _FREE_SPACE)
    elif is_out_of_memory(error):
        failure = _out_of_memory(folder, config)
    else:
        log = f"The traceback is in {folder / run_dir.LOG}. " if folder else ""
        first_line = (str(error).splitlines() or [""])[0]
        failure = FmkitError(
            f"a defect of fmkit: {type(error).__name__}: {first_line}",
            f"{log}FMKIT_TRACEBACK=1 shows it here.",
        )
    failure.__cause__ = error  # so that tracebacks in the log show what was raised first
    return failure


def _is_folder_gone() -> bool:
    """Whether the current folder was removed, so that no relative path means anything."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def record(run: RunWriter, error: BaseException) -> FmkitError:
    """Write into a run's status and log why it ended early; the error for the user."""
    failure = as_fmkit_error(error, run.folder)
    run.fail(failure)
    return failure


def report(error: FmkitError) -> None:
    """Print an error's message and remedy, and its traceback where the user wants tracebacks."""
    console.error(error.message, error.hint)
    if os.environ.get("FMKIT_TRACEBACK", "") not in ("", "0"):
        from rich.traceback import Traceback

        trace = Traceback.from_exception(type(error), error, error.__traceback__)
        console.stderr.print(trace)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one behind it, says that the disk is full."""
    return _has_disk_full_errno(error) or any(
        sign in str(cause) for sign in _NO_SPACE for cause in causes(error)
    )


def _has_disk_full_errno(error: BaseException) -> bool:
    return any(
        isinstance(cause, OSError) and cause.errno in files.DISK_FULL_ERRORS
        for cause in causes(error)
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one behind it, says that memory ran out."""
    return not is_disk_full(error) and any(
        isinstance(cause, MemoryError)
        or (isinstance(cause, OSError) and cause.errno == errno.ENOMEM)
        or any(sign in f"{type(cause).__name__}: {cause}" for sign in _NO_MEMORY)
        for cause in causes(error)
    )


def _out_of_memory(folder: Path | None, config: Any) -> ResourceError:
    """Memory ran out: where, with which sizes, and which smaller ones to try."""
    key, batch, side = "data.batch_size", None, None
    if folder is not None:
        with contextlib.suppress(ArtifactError, KeyError, TypeError):
            recorded = RunReader(folder).config()
            batch, side = recorded["data"]["batch_size"], recorded["model"]["image_size"]
    elif hasattr(config, "data"):
        batch = config.data.batch_size
    else:
        key, batch = "batch_size", getattr(config, "batch_size", None)
    named = ((key, batch), ("model.image_size", side))
    sizes = " and ".join(f"{name}={value}" for name, value in named if value)
    advice = []
    if batch and batch > 1:
        advice.append(f"try {key}={batch // 2}")
        if folder is not None:
            advice.append("optimizer.accumulation=2 beside it keeps the examples per update")
    if side and side > _SMALLEST_SIDE:
        smaller = max(_SMALLEST_SIDE, side * 3 // 4 // 32 * 32)
        advice.append(f"model.image_size={smaller} takes about half")
    hint = "; ".join(advice) or f"a smaller {key} takes less"
    suffix = f", with {sizes}" if sizes else ""
    return ResourceError(
        f"memory ran out{_position(folder)}{suffix}.", f"{hint[0].upper()}{hint[1:]}."
    )


def _position(folder: Path | None) -> str:
    """The step that a run had reached by its status, as ` at step 7 (phase full)`."""
    if folder is None:
        return ""
    try:
        status = RunReader(folder).json(run_dir.STATUS)
    except ArtifactError:
        return ""
    phase = status.get("phase")
    return f" at step {status.get('step')} (phase {phase})" if phase else " before the first phase"
