"""Files that are whole or absent: write then rename, exclusive claims, hashes, JSON lines."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fmkit.core import fault_injection

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a full disk, an exhausted quota, and a file that may not grow."""


def absolute_path(path: str | Path) -> str:
    """A path from the root, without `..` and `~`; links stay as they are."""
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100


def display_path(path: str | Path) -> str:
    """A path as a user would type it: from the current folder, where that is above it."""
    full, here = Path(absolute_path(path)), Path.cwd()
    return str(full.relative_to(here)) if full.is_relative_to(here) else str(full)


def why_not_writable(path: Path) -> str:
    """Why no file can be written at a path, folders on the way included; empty when one can."""
    if path.is_dir():
        return "it is a folder"
    there = path
    try:
        there = next(each for each in Path(absolute_path(path)).parents if each.exists())
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return f"no file can be made in {there} ({error.strerror or type(error).__name__})"


def format_bytes(size: int) -> str:
    """Bytes for a message: `83 MB`, `1.2 GB`, `4 kB`."""
    for factor, unit in ((10**9, "GB"), (10**6, "MB")):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size / 1000:.3g} kB"


def free_bytes(folder: Path) -> int:
    """What can be written in a folder, which need not be there yet."""
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    usage = shutil.disk_usage(place)
    return usage.free if usage.total else sys.maxsize  # a file system that does not tell


def require_free_space(folder: Path, needed: int) -> None:
    """Fail before anything is written to a disk that is too small for it.

    Raises:
        OSError: less than so many bytes are free.
    """
    if free_bytes(folder) < needed:
        raise OSError(errno.ENOSPC, "too little space is free", str(folder))


def temporary_path(path: Path) -> Path:
    """A name beside a file for what is to replace it; `clear_temporaries` knows it again."""
    return path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}{path.suffix}")


def clear_temporaries(folder: Path) -> None:
    """Delete what killed processes were about to put in place. Only for who holds the folder."""
    for each in folder.iterdir():
        if re.fullmatch(r"\..+\.\d+\.[0-9a-f]{8}(\.\w+)?", each.name) and each.is_file():
            each.unlink()


def write_bytes(path: Path, content: bytes, point: str = "") -> None:
    """Replace a file in one step: a reader sees the old content or the new one, whole.

    Args:
        path: the file.
        content: all of it.
        point: the fault that a test can have before the new content takes its place.

    Raises:
        OSError: the disk is full or refuses; it names the file, which is as it was.
    """
    written = temporary_path(path)
    try:
        with written.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        fault_injection.point(point)
        written.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            written.unlink()
        _name(error, path)
        raise


def _name(error: BaseException, path: Path) -> None:
    """Have an error of the system tell the file: a write on a full disk does not."""
    if isinstance(error, OSError) and error.errno is not None:
        error.filename = str(path)


def write_text(path: Path, text: str) -> None:
    """Replace a UTF-8 text file in one step."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any, point: str = "") -> None:
    """Replace a JSON file in one step (see `write_bytes`)."""
    write_bytes(path, to_json(value, indent=2), point)


def to_json(value: Any, indent: int | None = None) -> bytes:
    """A value as one JSON text that ends its line; a name that is not UTF-8 comes back as it was.

    Numbers that are not finite become null.
    """
    try:
        return (
            json.dumps(nonfinite_to_none(value), indent=indent, ensure_ascii=False) + "\n"
        ).encode()
    except UnicodeEncodeError:  # half a pair of surrogates: how Python has a byte that is no UTF-8
        return (json.dumps(nonfinite_to_none(value), indent=indent) + "\n").encode()


def nonfinite_to_none(value: Any) -> Any:
    """The same value with NaN and infinities as None, since JSON has no word for them."""
    if isinstance(value, dict):
        return {str(key): nonfinite_to_none(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [nonfinite_to_none(each) for each in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy number
        value = value.item()
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    return value


def append(path: Path, content: bytes, point: str = "") -> None:
    """Append to a file in a single write; where that fails, the file is as it was.

    Args:
        path: the file, which is made where it is missing.
        content: what comes after what is there.
        point: the fault that a test can have in the middle.

    Raises:
        OSError: the disk is full or refuses; it names the file.
    """
    try:
        with path.open("ab", buffering=0) as stream:
            before = stream.tell()
            try:
                for number, piece in enumerate(fault_injection.halves(point, content)):
                    if number:
                        fault_injection.point(point)
                    if stream.write(piece) != len(piece):  # the disk took some of it
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                stream.truncate(before)
                raise
    except OSError as error:
        _name(error, path)
        raise


def append_json_line(path: Path, row: dict[str, Any], point: str = "") -> None:
    """Append one row to a JSON-lines file (see `append`)."""
    append(path, to_json(row), point)


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines file; a last line that was torn by a crash is left out."""
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except ValueError:
            if number < len(lines) - 1:
                raise
            return


def claim_folder(parent: Path, name: str) -> Path:
    """Make `parent/name`, or fail if somebody has it: two launches never share a folder.

    Raises:
        FileExistsError: the folder is there already.
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / name
    folder.mkdir()
    return folder


def sync_file(path: Path) -> None:
    """Make what was written to a file survive a power failure."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
