"""Atomic folders: written under a temporary name, checksummed in a manifest, then renamed.

    <parent>/<name>/                  a complete folder
        manifest.json                 written last: size and SHA-256 of every file, and of itself
    <parent>/.tmp-<name>-<pid>/       a folder that is being written
    <parent>/.old-<name>/             a folder that is being replaced; it is valid until then
    <parent>/.trash-<name>-<id>/      a folder that is being deleted

Whatever instant a process is killed at, a folder is complete or absent. Checkpoints, cached arrays
and the tokenizers of runs are such folders (the last without a manifest).
"""

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
_MAX_MANIFEST_BYTES = 2**20  # fmkit writes a few kB
_OLD, _TEMPORARY, _TRASH = ".old-", ".tmp-", ".trash-"
_SYNC_BYTES = 2**24  # fsync after so many bytes, while the next ones are written

FileRows = dict[str, dict[str, Any]]
"""By file name: size in `bytes`, and `sha256` in hexadecimal."""


@contextlib.contextmanager
def replacing(
    folder: Path, facts: Mapping[str, Any] | None = None, fault: str = ""
) -> Iterator[tuple[Path, FileRows]]:
    """A temporary folder to write files into, which becomes `folder` at the end of the block.

    Args:
        folder: the final name; an existing folder is replaced.
        facts: JSON for the manifest, which may be filled in the block; None writes no manifest.
        fault: operation whose faults a test can inject (`core.fault_injection`).

    Yields:
        The temporary folder, and the manifest's rows: a file whose row the caller does not fill is
        synced and hashed at the end.

    Raises:
        OSError: the disk is full or refuses, or a file does not have the size that was written. An
            existing folder is unchanged.
    """
    temporary = folder.with_name(f"{_TEMPORARY}{folder.name}-{os.getpid()}")
    old = folder.with_name(_OLD + folder.name)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        fault_injection.point(fault and f"{fault}.before_write")
        rows: FileRows = {}
        yield temporary, rows
        for path in temporary.rglob("*"):
            name = path.relative_to(temporary).as_posix()
            if path.is_file() and name not in rows:
                files.sync_file(path)
                size, digest = path.stat().st_size, files.sha256_file(path)
                rows[name] = {"bytes": size, "sha256": digest}
        fault_injection.point(fault and f"{fault}.before_manifest")
        if facts is not None:
            content = _encode_manifest({"schema": _SCHEMA, **facts, "files": rows})
            _write_synced(temporary / MANIFEST, content)
            if damage := find_damage(temporary, deep=False):
                raise OSError(errno.EIO, f"what was written {damage}", str(temporary))
        files.sync_folder(temporary)
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
    """Write a folder from memory, pieces of bytes by file name; see `replacing`."""
    # Bytes are hashed and synced by threads while the next are written: one after the other took
    # half as long again.
    until_half = sum(piece.nbytes for pieces in contents.values() for piece in pieces) // 2
    with (
        replacing(folder, facts, "save") as (temporary, rows),
        contextlib.ExitStack() as stack,
        ThreadPoolExecutor(1) as hashing,
        ThreadPoolExecutor(1) as syncing,
    ):
        hashes = {name: hashlib.sha256() for name in contents}
        hashed = [
            hashing.submit(hashes[name].update, piece)
            for name in contents
            for piece in contents[name]
        ]
        syncs: list[Future[None]] = []
        for name, pieces in contents.items():
            stream, unsynced = stack.enter_context((temporary / name).open("wb")), 0
            for piece in pieces:
                if 0 <= until_half < piece.nbytes:
                    stream.write(piece[:until_half])
                    stream.flush()
                    fault_injection.point("save.mid_write")
                    stream.write(piece[until_half:])
                else:
                    stream.write(piece)
                until_half -= piece.nbytes
                unsynced += piece.nbytes
                if unsynced >= _SYNC_BYTES:
                    stream.flush()
                    syncs.append(syncing.submit(os.fsync, stream.fileno()))
                    unsynced = 0
            stream.flush()
            syncs.append(syncing.submit(os.fsync, stream.fileno()))
        for future in (*syncs, *hashed):
            future.result()
        for name, pieces in contents.items():
            size = sum(piece.nbytes for piece in pieces)
            rows[name] = {"bytes": size, "sha256": hashes[name].hexdigest()}


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _encode_manifest(facts: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest, which include their own hash, so that any change is detected."""
    plain = json.dumps(facts, sort_keys=True).encode()
    content = {**facts, "sha256": hashlib.sha256(plain).hexdigest()}
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder.

    Raises:
        ValueError: it is missing or damaged; the message is the rest of a sentence.
    """
    path = folder / MANIFEST
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > _MAX_MANIFEST_BYTES:
            raise ValueError(f"failed its checksum ({MANIFEST})")
        content = path.read_bytes()
        loaded = json.loads(content)
        facts = {key: value for key, value in loaded.items() if key != "sha256"}
        schema, rows = loaded["schema"], loaded["files"]
        are_valid = all(
            type(row["bytes"]) is int and isinstance(row["sha256"], str) for row in rows.values()
        )
        if _encode_manifest(facts) != content or not are_valid:
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


def find_damage(folder: Path, deep: bool = True) -> str:
    """What is wrong with a folder, as the rest of a sentence; empty when it is intact.

    Args:
        deep: hash every file, too, instead of only comparing names and sizes.
    """
    try:
        rows = manifest(folder)["files"]
        names = {path.name for path in folder.iterdir()} - {MANIFEST}
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    missing, added = sorted(set(rows) - names), sorted(names - set(rows))
    if missing:
        return f"lacks a file ({join_names(missing, 3)})"
    if added:
        return f"has a file that is not in its manifest ({join_names(added, 3)})"
    for name, row in rows.items():
        path, damage = folder / name, ""
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                damage = "has a link or a folder instead of a file"
            elif status.st_size != row["bytes"]:
                damage = f"has a file of {status.st_size} instead of {row['bytes']} bytes"
            elif deep and files.sha256_file(path) != row["sha256"]:
                damage = "failed its checksum"
        except OSError as error:
            damage = f"cannot be read: {error.strerror}"
        if damage:
            return f"{damage} ({name})"
    return ""


def remove(folder: Path) -> None:
    """Delete a folder if it exists; it is renamed first, so that no reader sees a half of it."""
    trash = folder.with_name(f"{_TRASH}{folder.name}-{secrets.token_hex(4)}")
    try:
        folder.rename(trash)
    except FileNotFoundError:
        return
    fault_injection.point("rotate.mid")
    shutil.rmtree(trash, ignore_errors=True)


def folders_in(parent: Path) -> dict[str, Path]:
    """Folders and files of a parent by name; `.old-NAME` counts as NAME where that is absent."""
    if not parent.is_dir():
        return {}
    folders = {}
    for path in sorted(parent.iterdir()):  # `.old-NAME` comes before NAME, which overwrites it
        if path.name.startswith(_OLD) or not path.name.startswith("."):
            folders[path.name.removeprefix(_OLD)] = path
    return folders


def remove_leftovers(parent: Path) -> None:
    """Delete what killed writers left. Only for the holder of the lock on the parent."""
    if not parent.is_dir():
        return
    for path in list(parent.iterdir()):
        if path.name.startswith((_TEMPORARY, _TRASH)):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith(_OLD):
            final = parent / path.name.removeprefix(_OLD)
            if final.exists():
                remove(path)
            else:
                path.rename(final)
