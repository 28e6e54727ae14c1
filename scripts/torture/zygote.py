"""Victims: real processes that run a command line, forked from a parent that has imported all.

Importing TensorFlow takes 6 s and a tiny run 4, so the parent imports it once and `fork`s. That is
safe as long as the parent runs no operation: TensorFlow makes its threads at the first one.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import io
import multiprocessing
import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_LIBRARIES = (
    "tensorflow", "keras", "keras_hub", "h5py", "pandas", "hydra", "pyarrow.parquet",
    "pyarrow.pandas_compat", "safetensors.numpy", "sklearn.linear_model", "sklearn.metrics",
    "tensorboard.summary.writer.event_file_writer", "tensorflow.python.data.ops.range_op",
    "antlr4.LL1Analyzer",
)  # fmt: skip
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR", "TF_ENABLE_ONEDNN_OPTS": "1"}
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
"""Tiny operations gain nothing by more, and two victims share the machine's cores."""
_DIES_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


def warm_up() -> None:
    """Import what victims need, and compose a config once; no operation runs."""
    os.environ.update(_QUIET | _ONE_THREAD)
    with _stderr_to(os.devnull):
        for name in _LIBRARIES:
            importlib.import_module(name)
        import fmkit.cli

        for module in pkgutil.walk_packages(fmkit.__path__, "fmkit."):
            importlib.import_module(module.name)
        with contextlib.redirect_stdout(io.StringIO()):
            fmkit.cli.main(["finetune", "--cfg", "job", "data=digits", "model=small_cnn"])
    gc.collect()
    gc.freeze()  # else a victim's first collection copies every page


@contextlib.contextmanager
def _stderr_to(path: str) -> Iterator[None]:
    kept, target = os.dup(2), os.open(path, os.O_WRONLY)
    try:
        os.dup2(target, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(target)


class Victim:
    """A forked process.

    Args:
        action: what it does; its result is the exit status.
        folder: where it works and where `output` is written.
        environment: added to the environment.
        before: called in the victim first; it may patch what it likes.
        output: file of what the victim prints.
    """

    def __init__(
        self,
        action: Callable[[], int | None],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
        output: str = "out.txt",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.output = folder / output
        self.began = time.monotonic()
        self.code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._live(action, folder, environment or {}, before)

    def _live(
        self,
        action: Callable[[], int | None],
        folder: Path,
        environment: Mapping[str, str],
        before: Callable[[], None] | None,
    ) -> None:
        code = 70
        try:
            ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.chdir(folder)
            os.environ.update(environment)
            with self.output.open("ab") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            if before is not None:
                before()
            code = action() or 0
            sys.stdout.flush()
            sys.stderr.flush()
        except KeyboardInterrupt:
            code = 130
        except BaseException:
            with contextlib.suppress(BaseException):
                traceback.print_exc()
                sys.stderr.flush()
        finally:
            os._exit(code)

    def poll(self) -> int | None:
        """The exit status, negative for a signal, or None while it lives."""
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, timeout: float = 180.0) -> int:
        """Wait for the end; one that takes longer is killed, and 99 comes back."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                self.send(signal.SIGKILL)
                os.waitpid(self.pid, 0)
                self.code = 99
                break
            time.sleep(0.004)
        return int(self.code or 0)

    def send(self, number: int) -> None:
        """Send a signal, if it still lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def text(self) -> str:
        """What it printed."""
        return self.output.read_text(encoding="utf-8", errors="replace")


def fmkit(words: Sequence[str], folder: Path, **options: Any) -> Victim:
    """A victim that runs `fmkit WORDS` in a folder; options are `Victim`'s."""
    import fmkit.cli

    return Victim(lambda: fmkit.cli.main(list(words)), folder, **options)


def spread(trial: Callable[[Any], Any], arguments: Iterable[Any], workers: int) -> Iterator[Any]:
    """Results of trials as they come, from forked workers."""
    tasks = list(arguments)
    if workers < 2 or len(tasks) < 2:
        yield from map(trial, tasks)
        return
    with multiprocessing.get_context("fork").Pool(workers, _ignore_interrupts) as pool:
        yield from pool.imap_unordered(trial, tasks)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
