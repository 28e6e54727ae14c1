"""Files that are whole or absent: write then rename, exclusive claims, hashes, JSON lines."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def absolute(path: str | Path) -> str:
    """A path from the root, without `..` and `~`; links stay as they are."""
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100


def short(path: str | Path) -> str:
    """A path as a user would type it: from the current folder, where that is above it."""
    full, here = Path(absolute(path)), Path.cwd()
    return str(full.relative_to(here)) if full.is_relative_to(here) else str(full)


def unwritable(path: Path) -> str:
    """Why no file can be written at a path, folders on the way included; empty when one can."""
    if path.is_dir():
        return "it is a folder"
    there = path
    try:
        there = next(each for each in Path(absolute(path)).parents if each.exists())
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return f"no file can be made in {there} ({error.strerror or type(error).__name__})"


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old content or the new one, whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Replace a UTF-8 text file in one step."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step. Numbers that are not finite become null."""
    write_bytes(path, as_json(value, indent=2))


def as_json(value: Any, indent: int | None = None) -> bytes:
    """A value as one JSON text that ends its line; a name that is not UTF-8 comes back as it was.

    Numbers that are not finite become null.
    """
    try:
        return (json.dumps(finite(value), indent=indent, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # half a pair of surrogates: how Python has a byte that is no UTF-8
        return (json.dumps(finite(value), indent=indent) + "\n").encode()


def finite(value: Any) -> Any:
    """The same value with NaN and infinities as None, since JSON has no word for them."""
    if isinstance(value, dict):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy number
        value = value.item()
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    return value


def append_json_line(path: Path, row: dict[str, Any]) -> None:
    """Append one row to a JSON-lines file in a single write."""
    with path.open("ab", buffering=0) as stream:
        stream.write(as_json(row))


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
