"""Command lines run under an audit hook: `python watched.py ALLOWED_FOLDER... < lines`, JSON out.

It has a process of its own, since a hook stays, and what is imported is part of what is watched.
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
    roots = [os.path.realpath(each) for each in allowed] + [os.devnull]

    def inside(path: object) -> bool:
        if isinstance(path, int):  # a descriptor that was opened before
            return True
        place = os.path.realpath(os.fsdecode(path))
        return any(place == root or place.startswith(f"{root}{os.sep}") for root in roots)

    def hook(event: str, arguments: tuple) -> None:
        if event in WATCHED:
            events.append([event, repr(arguments[:2])[:200]])
        elif event == "open":
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not inside(arguments[0]):
                events.append(["written", str(arguments[0])])
        elif event in CHANGES and arguments[0] is not None and not inside(arguments[0]):
            events.append([event, str(arguments[0])])

    lines = [json.loads(line) for line in sys.stdin]
    sys.addaudithook(hook)
    from fmkit.cli import main as fmkit

    codes = []
    for words in lines:
        began = time.process_time()
        codes.append(fmkit([each.replace("LAST", _last()) for each in words]))
        print(words[:2], f"{time.process_time() - began:.1f} s", file=sys.stderr)
    sys.__stdout__.write("\n" + json.dumps({"codes": codes, "events": events}) + "\n")


def _last() -> str:
    """The newest run folder."""
    found = sorted(Path("runs").glob("[!s]*/*"), key=lambda each: each.name)
    return str(found[-1]) if found else "none"


if __name__ == "__main__":
    main(sys.argv[1:])
