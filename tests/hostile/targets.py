"""Callables that a hostile config names by `_target_`, in every position where it could be."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hostile.cli_runner import Case, CliResult, find_fault, run_case, run_cli, write_files

TARGETS = (
    *("os.system", "os.popen", "os.execv", "os.execvp", "os.spawnl", "os.posix_spawn", "os.fork"),
    *("os.remove", "os.rmdir", "os.rename", "os.kill", "os._exit", "os.putenv", "posix.system"),
    *("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_output"),
    *("subprocess.getoutput", "pty.spawn", "commands.getoutput", "shutil.rmtree", "shutil.move"),
    *("builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__", "builtins.open"),
    *("builtins.getattr", "builtins.breakpoint", "builtins.input", "eval", "exec"),
    *("importlib.import_module", "importlib.reload", "runpy.run_path", "runpy.run_module"),
    *("pickle.loads", "pickle.load", "marshal.loads", "shelve.open", "joblib.load", "torch.load"),
    *("numpy.load", "pandas.read_pickle", "code.interact", "codeop.compile_command", "pdb.run"),
    *("timeit.timeit", "cProfile.run", "ctypes.CDLL", "ctypes.cdll.LoadLibrary", "cffi.FFI"),
    *("multiprocessing.Process", "threading.Thread", "asyncio.create_subprocess_shell"),
    *("socket.create_connection", "urllib.request.urlopen", "http.client.HTTPConnection"),
    *("smtplib.SMTP", "ftplib.FTP", "webbrowser.open", "pip.main", "antigravity.geohash"),
    *("operator.attrgetter", "functools.partial", "types.FunctionType", "pydoc.locate"),
    *("hydra.utils.instantiate", "hydra._internal.utils._locate", "keras.models.load_model"),
    *("keras.layers.Lambda", "tensorflow.py_function", "tensorflow.keras.utils.get_file"),
)
"""Callables; some exist everywhere, some nowhere."""

KEYS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")

ADDITIONS = (
    *("os.", "subprocess.", "socket.", "pty.", "shutil.", "ctypes.", "webbrowser.", "urllib."),
    *("smtplib.", "ftplib.", "http.", "marshal.", "pickle.", "code.", "cpython.run_"),
)
"""Prefixes of audit events that show an effect."""

HARMLESS = ("os.listdir", "os.scandir", "os.putenv", "os.unsetenv")
"""Reading a folder of configs, and the environment variables that `main` sets."""

_seen: list[str] | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _seen is None:
        return
    if event == "import":
        _seen.append(f"import {arguments[0]}")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & 0b11:
        _seen.append(f"write {arguments[0]}")
    elif event.startswith(ADDITIONS) and event not in HARMLESS:
        _seen.append(f"{event} {arguments!r:.80}")


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """What is imported, written or executed inside, from the interpreter's own audit events."""
    global _seen
    if not getattr(sys, "_fmkit_hostile_hook", False):
        sys.addaudithook(_hook)  # it cannot be removed again
        sys._fmkit_hostile_hook = True
    _seen = []
    try:
        yield _seen
    finally:
        _seen = None


def cases(target: str) -> dict[str, Case]:
    """A config with a target at the top, inside a group, inside a list, and as an override."""
    words = ("finetune", "--config-dir=@", "experiment=mine")
    head = "# @package _global_\n"
    texts = {
        "top": f"_target_: {target}\n_args_: [id]\n",
        "nested": f"optimizer: {{epsilon: 1e-8, hook: {{_target_: {target}, command: id}}}}\n",
        "list": f"callbacks:\n- {{name: x}}\n- {{_target_: {target}, _partial_: true}}\n",
    }
    configs = {
        place: Case(words, "_target_ is refused", {"experiment/mine.yaml": (head + text).encode()})
        for place, text in texts.items()
    }
    override = ("finetune", f"+model.hook={{_target_:{target},_args_:[id]}}")
    return {**configs, "override": Case(override, "_target_ is refused")}


def refused() -> tuple[int, int, list[str]]:
    """Try every target in every position: how many were refused without any effect, of how many."""
    faults: list[str] = []
    total = 0
    with tempfile.TemporaryDirectory() as scratch:
        run_case(cases("warm.up")["top"], Path(scratch))  # imports what reporting an error takes
        run_case(cases("warm.up")["override"], Path(scratch))
        for target in TARGETS:
            for place, case in cases(target).items():
                folder = Path(scratch) / "now"
                total += 1
                result, events = _run_watched(case, folder)
                fault = find_fault(result, case.expected)
                if fault or events:
                    faults.append(f"{target} in {place}: {fault} {events}")
    return total - len(faults), total, faults


def _run_watched(case: Case, folder: Path) -> tuple[CliResult, list[str]]:
    write_files(folder, case.files)
    arguments = tuple(word.replace("=@", f"={folder}") for word in case.arguments)
    with watched() as events:
        result = run_cli(arguments)
    return result, events
