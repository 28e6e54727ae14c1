"""Atomic file writes (temporary file, fsync, rename), JSON, hashes, paths and free disk space."""

import contextlib
import errno
import glob
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
from urllib.parse import unquote

from fmkit.core import fault_injection

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, an exhausted quota, and a file that may not grow any more."""

_IGNORED = (
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "#recycle", "$recycle.bin",
    "system volume information", "__pycache__",
)  # fmt: skip
"""Names, in lower case, of what operating systems, storage devices and Python leave in folders."""


def absolute_path(path: str | Path) -> str:
    """A path from the root, without `..`, `~` and `file:`; links stay as they are."""
    text = str(path)
    if text[:5].lower() == "file:":  # as file managers and browsers copy the place of a file
        text = unquote(re.sub("^/+(localhost/+)?", "/", text[5:]))
    return os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 - never an error


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is not data, and nothing in it: hidden, or a system's.

    Names that begin with a dot are hidden; those with `~$` are locks of office programs.
    """
    return name.startswith((".", "~$")) or name.lower() in _IGNORED


def matching_paths(path: str | Path) -> list[str]:
    """Absolute paths that a path names: one, or what fits its `*`, `?`, `[...]` and `**`, sorted.

    A path that exists as it stands is that one, whatever characters its name has, and so is a
    pattern that nothing fits. What is not data (see `is_ignored`) fits no pattern.
    """
    literal = absolute_path(path)
    if os.path.lexists(literal) or not glob.has_magic(literal):
        return [literal]
    fixed = next(index for index, part in enumerate(Path(literal).parts) if glob.has_magic(part))
    matches = {Path(path) for path in glob.glob(literal, recursive=True)}  # noqa: PTH207
    data = {path for path in matches if not any(map(is_ignored, path.parts[fixed:]))} or matches
    outermost = {path for path in data if data.isdisjoint(path.parents)}  # `**` fits what is below
    return sorted(map(str, outermost)) or [literal]


def input_path(path: str | Path) -> str:
    """The absolute path that a config key names; a pattern that fits several stays a pattern."""
    paths = matching_paths(path)
    return paths[0] if len(paths) == 1 else absolute_path(path)


def cache_folder(cache_dir: str | None = None) -> Path:
    """`cache_dir` of a config, else `$XDG_CACHE_HOME/fmkit`, else `~/.cache/fmkit`."""
    xdg_cache = os.environ.get("XDG_CACHE_HOME")
    try:
        if cache_dir:
            return Path(cache_dir).expanduser()
        return (Path(xdg_cache) if xdg_cache else Path("~/.cache").expanduser()) / "fmkit"
    except RuntimeError:  # a user without a home, as in some containers
        return Path(tempfile.gettempdir()) / f"fmkit-{os.getuid()}"


def display_path(path: str | Path) -> str:
    """A path as a user would type it: relative to the current folder where it is inside that."""
    full, current = Path(absolute_path(path)), Path.cwd()
    return str(full.relative_to(current)) if full.is_relative_to(current) else str(full)


def why_not_writable(path: Path) -> str:
    """Why a file cannot be written at a path, missing folders included; empty when it can.

    Raises:
        OSError: the disk is full, which is nothing wrong with the path.
    """
    if path.is_dir():
        return "it is a folder"
    folder = path
    try:
        folder = next(parent for parent in Path(absolute_path(path)).parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        if error.errno in DISK_FULL_ERRORS:
            raise
        return f"no file can be made in {folder} ({error.strerror or type(error).__name__})"


def format_bytes(size: int) -> str:
    """Bytes for a message: `83 MB`, `1.2 GB`, `4 kB`."""
    for factor, unit in ((10**9, "GB"), (10**6, "MB")):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size / 1000:.3g} kB"


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder, which need not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    usage = shutil.disk_usage(existing)
    return usage.free if usage.total else sys.maxsize  # some file systems report 0 for everything


def require_free_space(folder: Path, bytes_needed: int) -> None:
    """Fail before anything is written to a disk that is too small for it.

    Raises:
        OSError: fewer bytes are free.
    """
    if free_bytes(folder) < bytes_needed:
        raise OSError(errno.ENOSPC, "too little space is free", str(folder))


def remove_temporaries(folder: Path) -> None:
    """Delete the temporary files of killed writers. Only for the holder of the folder's lock."""
    for path in folder.iterdir():
        if re.fullmatch(r"\..+\.\d+\.[0-9a-f]{8}(\.\w+)?", path.name) and path.is_file():
            path.unlink()


@contextlib.contextmanager
def replacing(path: Path, fault: str = "") -> Iterator[Path]:
    """A temporary path to write a file to, which replaces `path` at the end of the block.

    A reader sees the old content or the new one, whole, whatever instant a process is killed at.

    Args:
        path: the file. The temporary one is beside it and has the same suffix, by which libraries
            choose a format.
        fault: point of fault injection before the new content takes its place.

    Raises:
        OSError: the disk is full or refuses; it names the file, which is as it was.
    """
    # `remove_temporaries` recognises the name.
    name = f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}{path.suffix}"
    temporary = path.with_name(name)
    try:
        yield temporary
        sync_file(temporary)
        fault_injection.point(fault)
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        _set_filename(error, path)
        raise


def _set_filename(error: BaseException, path: Path) -> None:
    """Name the file in an OSError: one of a write to a full disk has no file name."""
    if isinstance(error, OSError) and error.errno is not None:
        error.filename = str(path)


def write_bytes(path: Path, content: bytes, fault: str = "") -> None:
    """Replace a file in one step; see `replacing`."""
    with replacing(path, fault) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Replace a UTF-8 text file in one step."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any, fault: str = "") -> None:
    """Replace a JSON file in one step; see `replacing`."""
    write_bytes(path, to_json(value, indent=2), fault)


def to_json(value: Any, indent: int | None = None) -> bytes:
    """A value as UTF-8 JSON with a line end; NaN and infinities become null."""
    finite = nonfinite_to_none(value)
    try:
        return f"{json.dumps(finite, indent=indent, ensure_ascii=False)}\n".encode()
    except UnicodeEncodeError:  # a lone surrogate: Python's form of a file name that is not UTF-8
        return f"{json.dumps(finite, indent=indent)}\n".encode()


def nonfinite_to_none(value: Any) -> Any:
    """The same value with NaN and infinities as None, which JSON does not have."""
    if isinstance(value, dict):
        return {str(key): nonfinite_to_none(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [nonfinite_to_none(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy number
        value = value.item()
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    return value


def append(path: Path, content: bytes, fault: str = "") -> None:
    """Append to a file in a single write; where that fails, the file is as it was.

    Args:
        path: the file; it is created where it is missing.
        fault: point of fault injection in the middle of the write.

    Raises:
        OSError: the disk is full or refuses; it names the file.
    """
    try:
        with path.open("ab", buffering=0) as stream:
            size_before = stream.tell()
            try:
                for number, piece in enumerate(fault_injection.split_content(fault, content)):
                    if number:
                        fault_injection.point(fault)
                    if stream.write(piece) != len(piece):  # a full disk takes a part of it
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                stream.truncate(size_before)
                raise
    except OSError as error:
        _set_filename(error, path)
        raise


def append_json_line(path: Path, row: dict[str, Any], fault: str = "") -> None:
    """Append one row to a JSON-lines file; see `append`."""
    append(path, to_json(row), fault)


def sync_file(path: Path) -> None:
    """Flush a file to the disk (fsync), so that it survives a power failure."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder to the disk (fsync), so that renames in it survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
