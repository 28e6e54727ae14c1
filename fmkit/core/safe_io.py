"""Safe reading of files from outside: regular files of bounded size, JSON of bounded depth.

Whatever a path leads to is checked before memory is allocated for it.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

MAX_JSON = 4 * 2**20
"""Bytes of a JSON file: a status has some 2,000, a list of 20,000 class names 600,000."""
MAX_EVALUATION_JSON = 16 * 2**20
"""Bytes of a JSON file with a confusion matrix: that of 1,000 classes takes 10 million."""
_MAX_BRACKETS = 200_000
_MAX_COMMAS = 2_000_000
_MAX_FILES = 20_000
_MAX_LINE = 2**20


class RefusedFile(OSError, ValueError):
    """A path leads to a folder, a FIFO or a device, or to a file that is too large.

    Both an OSError and a ValueError, as `io.UnsupportedOperation` is: opening failed, and the path
    is not of the kind that was expected.

    Args:
        reason: the rest of a sentence that begins with `it`.
        mode: file type and permissions, as in `os.stat_result.st_mode`.
    """

    def __init__(self, path: str | bytes | Path, reason: str, mode: int) -> None:
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        super().__init__(code, f"it {reason}", os.fsdecode(path))
        self.mode = mode

    def __str__(self) -> str:
        return str(self.strerror)


class UnsafeContent(ValueError):
    """Why the content of a file is refused, in words that complete `FILE was refused: ...`."""


def open_regular(path: str | bytes | Path, max_bytes: int | None = None) -> BinaryIO:
    """Open a regular file for reading; a FIFO or a device is refused, and never waited for.

    Links are followed.

    Raises:
        RefusedFile: it is not a regular file, or it is too large.
        OSError: it cannot be opened.
    """
    # Without O_NONBLOCK, opening a FIFO would wait until another process writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            reason = "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
            raise RefusedFile(path, reason, status.st_mode)
        if max_bytes is not None and status.st_size > max_bytes:
            reason = f"has {status.st_size:,} bytes; at most {max_bytes:,} are allowed"
            raise RefusedFile(path, reason, status.st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | Path, max_bytes: int) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it cannot be read, is not a regular file (`RefusedFile`) or is too large.
        ValueError: it is larger than its size says.
    """
    with open_regular(path, max_bytes) as stream:
        content = stream.read(max_bytes + 1)  # a file in /proc has size 0 and more content
    if len(content) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    return content


def read_json(path: Path, max_bytes: int = MAX_JSON) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON, or too large or too deep for a record that fmkit wrote.
    """
    return parse_json(read_bytes(path, max_bytes))


def read_json_object(path: Path, max_bytes: int = MAX_JSON) -> dict[str, Any]:
    """The mapping in a JSON file; errors as of `read_json`."""
    value = read_json(path, max_bytes)
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def parse_json(content: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, or too large or too deep for a record that fmkit wrote.
    """
    # An empty list takes 2 bytes of text and some 60 of memory.
    if content.count(b"[") + content.count(b"{") > _MAX_BRACKETS:
        raise ValueError("it has too many lists and mappings")
    if content.count(b",") > _MAX_COMMAS:
        raise ValueError("it has too many values")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json_lines(path: Path) -> Iterator[Any]:
    """The values of a JSON-lines file, one line in memory at a time.

    A last line without a line end was torn by a crash and is left out.

    Raises:
        OSError: it cannot be read, or is not a regular file (`RefusedFile`).
        ValueError: a line is not JSON, or too long.
    """
    with open_regular(path) as stream:
        while line := stream.readline(_MAX_LINE):
            if not line.endswith(b"\n"):
                if len(line) == _MAX_LINE:
                    raise ValueError(f"a line has more than {_MAX_LINE:,} bytes")
                return
            if line.strip():
                yield parse_json(line)


def check_tree(folder: Path, root: Path) -> None:
    """Refuse a folder with links that leave a root, or with anything but files and folders.

    Args:
        folder: the folder to be read; it may be absent.
        root: the folder that no link may leave.

    Raises:
        OSError: a folder cannot be read.
        ValueError: the name of what is wrong, and why.
    """
    real_root = Path(os.path.realpath(root))
    pending = [folder]
    count = 0
    while pending:
        path = pending.pop()
        count += 1
        if count > _MAX_FILES:
            raise ValueError(f"{folder.name} holds too many files")
        target = Path(os.path.realpath(path))  # Path.resolve would raise on a loop of links
        if path.is_symlink() and not target.is_relative_to(real_root):
            raise ValueError(f"{path.relative_to(root)} is a link to outside the run")
        if path.is_dir():
            pending.extend(path.iterdir())
        elif (path.is_symlink() or path.exists()) and not path.is_file():
            raise ValueError(f"{path.relative_to(root)} is not a regular file")
