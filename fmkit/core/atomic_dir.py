"""Folders that are whole or absent: files, then a manifest over them, then one rename.

    <parent>/<name>/                  a folder that is whole
        manifest.json                 written last: size and SHA-256 of every file, and of itself
    <parent>/.tmp-<name>-<pid>/       one that is being written
    <parent>/.old-<name>/             one that is being replaced; it counts until then
    <parent>/.trash-<name>-<id>/      one that is being deleted

Whatever instant a process is killed at, a folder is there as it was written or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fmkit.core import fault_injection, files
from fmkit.core.errors import join_names

MANIFEST = "manifest.json"
_SCHEMA = 2
_MAX_BYTES = 2**20  # of a manifest; a larger one is none of ours
_OLD, _TEMPORARY, _TRASH = ".old-", ".tmp-", ".trash-"


FileRows = dict[str, dict[str, Any]]
"""By file name: size in `bytes` and `sha256` in hexadecimal."""


@contextlib.contextmanager
def replacing(
    folder: Path, facts: Mapping[str, Any], fault: str = ""
) -> Iterator[tuple[Path, FileRows]]:
    """A temporary folder to write files into, which becomes `folder` at the end of the block.

    Args:
        folder: the final name; a folder that is there already is replaced.
        facts: JSON for the manifest; it may be filled while files are written.
        fault: name of the operation whose faults a test can ask for (`core.fault_injection`).

    Yields:
        The temporary folder, and the manifest's rows: a file whose row the caller does not fill is
        synced and hashed at the end.

    Raises:
        OSError: the disk is full or refuses, or does not give back what was written. What was
            there before is there still.
    """
    temporary = folder.with_name(f"{_TEMPORARY}{folder.name}-{os.getpid()}")
    old = folder.with_name(_OLD + folder.name)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        fault_injection.point(fault and f"{fault}.before_write")
        rows: FileRows = {}
        yield temporary, rows
        for path in temporary.iterdir():
            if path.name not in rows:
                files.sync_file(path)
                rows[path.name] = {
                    "bytes": path.stat().st_size,
                    "sha256": files.sha256_file(path),
                }
        fault_injection.point(fault and f"{fault}.before_manifest")
        _write_through(temporary / MANIFEST, _encoded({"schema": _SCHEMA, **facts, "files": rows}))
        files.sync_folder(temporary)
        damage = find_damage(temporary, deep=False)
        if damage:
            raise OSError(errno.EIO, f"what was written {damage}", str(temporary))
        if folder.exists():
            remove(old)
            folder.rename(old)
        fault_injection.point(fault and f"{fault}.before_rename")
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if not folder.exists():
            with contextlib.suppress(OSError):
                old.rename(folder)
        raise
    fault_injection.point(fault and f"{fault}.after_rename")
    files.sync_folder(folder.parent)
    remove(old)


def write(
    folder: Path, contents: Mapping[str, Sequence[memoryview]], facts: Mapping[str, Any]
) -> None:
    """Write a folder from memory and make it durable; see `replacing`.

    Args:
        folder: the final name.
        contents: pieces of bytes by file name.
        facts: JSON for the manifest.
    """
    with replacing(folder, facts, "save") as (temporary, rows):
        rows.update(_write_files(temporary, contents))


_SYNCED_BYTES = 2**24
"""After so many bytes the disk gets them, while more are written."""


def _write_files(folder: Path, contents: Mapping[str, Sequence[memoryview]]) -> FileRows:
    """Write files; a row of the manifest for each.

    Bytes are hashed and brought to the disk while the next are written: one after the other took
    half as long again.
    """
    left = sum(piece.nbytes for pieces in contents.values() for piece in pieces) // 2
    with (
        contextlib.ExitStack() as opened,
        ThreadPoolExecutor(1) as hashing,
        ThreadPoolExecutor(1) as syncing,
    ):
        hashes = {name: hashing.submit(_hashed, pieces) for name, pieces in contents.items()}
        synced: list[Future[None]] = []
        for name, pieces in contents.items():
            stream, waiting = opened.enter_context((folder / name).open("wb")), 0
            for piece in pieces:
                if 0 <= left < piece.nbytes:
                    stream.write(piece[:left])
                    stream.flush()
                    fault_injection.point("save.mid_write")
                    stream.write(piece[left:])
                else:
                    stream.write(piece)
                left -= piece.nbytes
                waiting += piece.nbytes
                if waiting >= _SYNCED_BYTES:
                    stream.flush()
                    synced.append(syncing.submit(os.fsync, stream.fileno()))
                    waiting = 0
            stream.flush()
            synced.append(syncing.submit(os.fsync, stream.fileno()))
        for each in synced:
            each.result()
        return {
            name: {
                "bytes": sum(piece.nbytes for piece in contents[name]),
                "sha256": each.result(),
            }
            for name, each in hashes.items()
        }


def _hashed(pieces: Sequence[memoryview]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _encoded(facts: Mapping[str, Any]) -> bytes:
    """A manifest as it stands on disk, to the byte: any change of it is known by its own hash."""
    plain = json.dumps(facts, sort_keys=True).encode()
    content = {**facts, "sha256": hashlib.sha256(plain).hexdigest()}
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder.

    Raises:
        ValueError: there is none, or it is not what was written; the words say what it is.
    """
    path = folder / MANIFEST
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > _MAX_BYTES:
            raise ValueError(f"failed its checksum ({MANIFEST})")
        content = path.read_bytes()
        loaded = json.loads(content)
        facts = {key: value for key, value in loaded.items() if key != "sha256"}
        schema, rows = loaded["schema"], loaded["files"]
        if _encoded(facts) != content or not all(_is_row(each) for each in rows.values()):
            raise ValueError(f"failed its checksum ({MANIFEST})")
    except FileNotFoundError as error:
        raise ValueError(f"has no {MANIFEST}") from error
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror} ({MANIFEST})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"failed its checksum ({MANIFEST})") from error
    if schema != _SCHEMA:
        raise ValueError(f"is of another version of fmkit (schema {schema}, not {_SCHEMA})")
    return facts


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and type(row.get("bytes")) is int
        and isinstance(row.get("sha256"), str)
    )


def find_damage(folder: Path, deep: bool = True) -> str:
    """What is wrong with a folder, as the rest of a sentence; empty where it is as it was written.

    Args:
        folder: a folder that `write` made.
        deep: read and hash every file, too, and not only look at names and sizes.
    """
    try:
        rows = manifest(folder)["files"]
        there = {each.name for each in folder.iterdir()} - {MANIFEST}
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    lost, added = sorted(set(rows) - there), sorted(there - set(rows))
    if lost:
        return f"has lost a file ({join_names(lost, 3)})"
    if added:
        return f"has a file that was not written with it ({join_names(added, 3)})"
    for name, row in rows.items():
        try:
            wrong = _damage_of(folder / name, row, deep)
        except OSError as error:
            wrong = f"cannot be read: {error.strerror}"
        if wrong:
            return f"{wrong} ({name})"
    return ""


def _damage_of(path: Path, row: Mapping[str, Any], deep: bool) -> str:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        return "has something else in the place of a file"
    if found.st_size != row["bytes"]:
        return f"has a file of {found.st_size} instead of {row['bytes']} bytes"
    if deep and files.sha256_file(path) != row["sha256"]:
        return "failed its checksum"
    return ""


def remove(folder: Path) -> None:
    """Delete a folder, if it is there: renamed first, so that no reader meets half of it."""
    trash = folder.with_name(f"{_TRASH}{folder.name}-{secrets.token_hex(4)}")
    try:
        folder.rename(trash)
    except FileNotFoundError:
        return
    fault_injection.point("rotate.mid")
    shutil.rmtree(trash, ignore_errors=True)


def folders_in(parent: Path) -> dict[str, Path]:
    """The folders and files of a parent by name; one that was being replaced has its old name."""
    if not parent.is_dir():
        return {}
    found = {}
    for each in sorted(parent.iterdir()):  # `.old-` comes first, and the new one takes its place
        if each.name.startswith(_OLD) or not each.name.startswith("."):
            found[each.name.removeprefix(_OLD)] = each
    return found


def remove_leftovers(parent: Path) -> None:
    """Clear away what killed processes left. Only for whoever holds the lock over the parent."""
    if not parent.is_dir():
        return
    for each in list(parent.iterdir()):
        if each.name.startswith((_TEMPORARY, _TRASH)):
            shutil.rmtree(each, ignore_errors=True)
        elif each.name.startswith(_OLD):
            final = parent / each.name.removeprefix(_OLD)
            if final.exists():
                remove(each)
            else:
                each.rename(final)
