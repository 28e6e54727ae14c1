"""Runs command lines under an audit hook: `python watched.py ALLOWED_FOLDER... < lines`, JSON out.

In a process of its own, since a hook cannot be removed and imports are watched, too.
"""

import json
import os
import sys
import time
from pathlib import Path

WATCHED = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"),
    *("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"),
    *("socket.bind", "urllib.Request", "http.client.connect", "pickle.find_class"),
)
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.symlink", "os.link")


def main(allowed: list[str]) -> None:
    events: list[list[str]] = []
    roots = [os.path.realpath(folder) for folder in allowed] + [os.devnull]

    def is_allowed(path: object) -> bool:
        if isinstance(path, int):  # a descriptor that is open already
            return True
        real = os.path.realpath(os.fsdecode(path))
        return any(real == root or real.startswith(f"{root}{os.sep}") for root in roots)

    def hook(event: str, arguments: tuple) -> None:
        if event in WATCHED:
            events.append([event, repr(arguments[:2])[:200]])
        elif event == "open":
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not is_allowed(arguments[0]):
                events.append(["written", str(arguments[0])])
        elif event in CHANGES and arguments[0] is not None and not is_allowed(arguments[0]):
            events.append([event, str(arguments[0])])

    lines = [json.loads(line) for line in sys.stdin]
    sys.addaudithook(hook)
    from fmkit.cli import main as fmkit

    codes = []
    for words in lines:
        start = time.process_time()
        codes.append(fmkit([word.replace("LAST", _newest_run()) for word in words]))
        print(words[:2], f"{time.process_time() - start:.1f} s", file=sys.stderr)
    sys.__stdout__.write("\n" + json.dumps({"codes": codes, "events": events}) + "\n")


def _newest_run() -> str:
    """The newest run folder."""
    runs = sorted(Path("runs").glob("[!s]*/*"), key=lambda run: run.name)
    return str(runs[-1]) if runs else "none"


if __name__ == "__main__":
    main(sys.argv[1:])
