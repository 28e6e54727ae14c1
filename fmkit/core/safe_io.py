"""Files that somebody else may have written: regular files of bounded size, JSON of bounded
depth. Everything is checked before it is allocated.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

MAX_JSON = 4 * 2**20
"""Bytes of a JSON file; a status has some 2,000, a list of 20,000 class names 600,000."""
MAX_FIGURES = 16 * 2**20
"""Bytes of a JSON file with a confusion matrix: 1,000 classes take 10 million."""
_MAX_BRACKETS = 200_000
_MAX_COMMAS = 2_000_000
_MAX_FILES = 20_000
_LONGEST_LINE = 2**20


class NotRegular(ValueError):
    """A path leads to a folder, a FIFO or a device, or to a file that is too large."""


def open_regular(path: Path, most: int | None = None) -> BinaryIO:
    """Open a regular file for reading; a FIFO or a device is refused, and never waited for.

    Args:
        path: the file; links are followed.
        most: largest size in bytes.

    Raises:
        OSError: it cannot be opened.
        NotRegular: it is no regular file, or too large.
    """
    # Without O_NONBLOCK the opening of a FIFO waits until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    stream = None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise NotRegular(f"it is {what}")
        if most is not None and found.st_size > most:
            raise NotRegular(f"it has {found.st_size:,} bytes, and {most:,} are allowed")
        stream = os.fdopen(descriptor, "rb")
    finally:
        if stream is None:
            os.close(descriptor)
    return stream


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or too large.
    """
    with open_regular(path, most) as stream:
        content = stream.read(most + 1)  # a file in /proc says 0 bytes and has more
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content


def read_json(path: Path, most: int = MAX_JSON) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or too large or too deep to be a record of fmkit's.
    """
    return parse_json(read_bytes(path, most))


def parse_json(content: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, or too large or too deep to be a record of fmkit's.
    """
    # An empty list takes 2 bytes of text and some 60 of memory.
    if content.count(b"[") + content.count(b"{") > _MAX_BRACKETS:
        raise ValueError("it has too many lists and mappings")
    if content.count(b",") > _MAX_COMMAS:
        raise ValueError("it has too many values")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def json_lines(path: Path) -> Iterator[Any]:
    """The values of a JSON-lines file, one line in memory at a time.

    A last line that was torn by a crash is left out.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or a line is no JSON or too long.
    """
    with open_regular(path) as stream:
        while line := stream.readline(_LONGEST_LINE):
            if not line.endswith(b"\n"):
                if len(line) == _LONGEST_LINE:
                    raise ValueError(f"a line has more than {_LONGEST_LINE:,} bytes")
                return
            if line.strip():
                yield parse_json(line)


def check_tree(folder: Path, root: Path) -> None:
    """Refuse a folder with links out of a root, or with anything but files and folders in it.

    Args:
        folder: what is going to be read; it may be absent.
        root: what a link may not leave.

    Raises:
        OSError: a folder cannot be read.
        ValueError: with the name of what is wrong.
    """
    outside = Path(os.path.realpath(root))
    waiting = [folder]
    count = 0
    while waiting:
        path = waiting.pop()
        count += 1
        if count > _MAX_FILES:
            raise ValueError(f"{folder.name} holds too many files")
        target = Path(os.path.realpath(path))  # unlike Path.resolve, it takes a loop of links
        if path.is_symlink() and not target.is_relative_to(outside):
            raise ValueError(f"{path.relative_to(root)} is a link to outside the run")
        if path.is_dir():
            waiting.extend(path.iterdir())
        elif (path.is_symlink() or path.exists()) and not path.is_file():
            raise ValueError(f"{path.relative_to(root)} is no regular file")


class NotAFile(OSError):
    """A FIFO, a socket, a device or a folder where a file should be.

    Attributes:
        mode: what it is, as `stat` tells it.
    """

    def __init__(self, path: str | bytes, mode: int) -> None:
        super().__init__(f"{path!r} is no regular file")
        self.mode = mode


def open_file(path: str | bytes) -> IO[bytes]:
    """A regular file, for reading. A FIFO without a writer would block an ordinary `open`.

    Raises:
        NotAFile: it is something else.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise NotAFile(path, mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
