"""A folder is complete or absent at every instant, and any change of it is detected."""

import errno
import json
import os

import pytest

from fmkit.core import atomic_dir, fault_injection

FILES = {"one.bin": b"weights" * 9, "two.bin": b"slots", "three.json": b'{"step": 1}\n'}
POINTS = [each for each in fault_injection.POINTS if each.startswith("save.")]


def write(folder, version, contents=FILES):
    pieces = {name: [memoryview(body[:3]), memoryview(body[3:])] for name, body in contents.items()}
    atomic_dir.write(folder, pieces, {"step": version})


def version(folder):
    return atomic_dir.manifest(folder)["step"]


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "a", 1)
    return tmp_path / "a"


def everything(parent):
    return {path.relative_to(parent): path.read_bytes()
            for path in parent.rglob("*") if path.is_file()}  # fmt: skip


def killed(work):
    """Do it in a child, which a fault ends."""
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9


@pytest.mark.parametrize("replacing", [False, True])
@pytest.mark.parametrize("point", [*POINTS, "rotate.mid"])
def test_a_kill_anywhere_leaves_the_old_or_the_new(tmp_path, monkeypatch, point, replacing):
    folder = tmp_path / "a"
    if replacing:
        write(folder, 1)
    monkeypatch.setenv(fault_injection.VARIABLE, f"{point}:1:kill")
    # Without a folder to replace there is nothing to delete, so nothing to be killed at.
    assert killed(lambda: write(folder, 2)) == (replacing or point != "rotate.mid")
    monkeypatch.delenv(fault_injection.VARIABLE)
    there = atomic_dir.folders_in(tmp_path)  # before anybody swept: those who only read do not
    is_new = point in ("save.after_rename", "rotate.mid")
    if replacing or is_new:
        assert atomic_dir.find_damage(there["a"]) == ""
        assert version(there["a"]) == (2 if is_new else 1)
    else:
        assert there == {}
    before = version(there["a"]) if there else None
    atomic_dir.remove_leftovers(tmp_path)
    assert atomic_dir.folders_in(tmp_path) == {name: tmp_path / name for name in there}
    assert not list(tmp_path.glob(".*"))
    assert (version(folder) if there else None) == before
    write(folder, 3)  # and the next one is not in the way of anything
    assert (version(folder), list(tmp_path.iterdir())) == (3, [folder])


def test_half_of_the_bytes_are_on_disk_in_the_middle(tmp_path, monkeypatch):
    monkeypatch.setenv(fault_injection.VARIABLE, "save.mid_write:1:kill")
    assert killed(lambda: write(tmp_path / "a", 1))
    (left,) = tmp_path.iterdir()
    written = sum(path.stat().st_size for path in left.iterdir())
    assert written == sum(map(len, FILES.values())) // 2


@pytest.mark.parametrize("kind", ["ENOSPC", "EDQUOT", "EIO"])
@pytest.mark.parametrize("point", POINTS[:-1])
def test_an_error_anywhere_leaves_what_was_there(folder, monkeypatch, point, kind):
    before = everything(folder.parent)
    monkeypatch.setattr(fault_injection, "_passed", {})
    monkeypatch.setenv(fault_injection.VARIABLE, f"{point}:1:{kind}")
    with pytest.raises(OSError, match=r"\[Errno") as error:
        write(folder, 2)
    assert error.value.errno == getattr(errno, kind)
    assert everything(folder.parent) == before


def test_what_the_disk_does_not_give_back_does_not_count(folder, monkeypatch):
    def forgets(path, content):
        path.write_bytes(content)
        (path.parent / "two.bin").write_bytes(b"")

    before = everything(folder.parent)
    monkeypatch.setattr(atomic_dir, "_write_synced", forgets)
    with pytest.raises(OSError, match=r"0 instead of 5 bytes"):
        write(folder, 2)
    assert everything(folder.parent) == before


def test_a_flipped_bit_anywhere_is_found(folder):
    for path in folder.iterdir():
        content = path.read_bytes()
        for bit in range(0, 8 * len(content), 5):  # each bit of a byte in turn
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            assert path.name in atomic_dir.find_damage(folder), (path.name, bit)
        path.write_bytes(content)
    assert atomic_dir.find_damage(folder) == ""


def test_without_the_hash_flips_would_be_missed(folder):
    """The control of the test above."""
    (folder / "two.bin").write_bytes(b"slotz")
    assert atomic_dir.find_damage(folder, deep=False) == ""
    assert atomic_dir.find_damage(folder) == "failed its checksum (two.bin)"


def test_every_truncation_and_every_filling_is_found(folder):
    for path in folder.iterdir():
        content = path.read_bytes()
        wrong = [content[:length] for length in range(len(content))]
        wrong += [bytes(len(content)), content + b"\0", content + content, b" " + content]
        for each in wrong:
            path.write_bytes(each)
            assert path.name in atomic_dir.find_damage(folder)
        path.write_bytes(content)


def test_files_that_are_missing_added_or_swapped_are_found(folder):
    one, two = folder / "one.bin", folder / "two.bin"
    one.rename(folder / "kept")
    assert "one.bin" in atomic_dir.find_damage(folder)
    two.rename(one)
    (folder / "kept").rename(two)
    assert "one.bin" in atomic_dir.find_damage(folder)
    write(folder, 2)
    (folder / "more.bin").write_bytes(b"")
    assert atomic_dir.find_damage(folder) == "has a file that is not in its manifest (more.bin)"
    write(folder, 2)
    one.rename(folder.parent / "one")
    one.symlink_to(folder.parent / "one")
    assert "has a link or a folder instead of a file (one.bin)" in atomic_dir.find_damage(folder)
    one.unlink()
    one.mkdir()
    assert "has a link or a folder instead of a file (one.bin)" in atomic_dir.find_damage(folder)


def test_a_folder_without_a_manifest_is_replaced_in_one_step_too(tmp_path):
    folder = tmp_path / "a"
    for content in ("old", "new"):
        with atomic_dir.replacing(folder) as (temporary, _):
            (temporary / "x").write_text(content)
            assert folder.exists() == (content == "new")
    assert everything(tmp_path) == {(folder / "x").relative_to(tmp_path): b"new"}

    def fail():
        with atomic_dir.replacing(folder) as (temporary, _):
            (temporary / "x").write_text("torn")
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert everything(tmp_path) == {(folder / "x").relative_to(tmp_path): b"new"}


def test_no_manifest_no_folder(folder, tmp_path):
    (folder / atomic_dir.MANIFEST).unlink()
    assert atomic_dir.find_damage(folder) == "has no manifest.json"
    assert "manifest.json" in atomic_dir.find_damage(tmp_path / "nowhere")


MANIFESTS = {
    "empty": b"",
    "a list": b"[]",
    "too deep": b"[" * 100_000,
    "too large": b" " * 2**21,
    "rows of a wrong type": json.dumps({"schema": 2, "files": {"one.bin": 3}}).encode(),
    "files of a wrong type": json.dumps({"schema": 2, "files": [1]}).encode(),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_broken_manifest_is_damage(folder, kind):
    (folder / atomic_dir.MANIFEST).write_bytes(MANIFESTS[kind])
    assert atomic_dir.find_damage(folder) == "failed its checksum (manifest.json)"


def test_a_manifest_of_another_version_is_damage(folder, monkeypatch):
    monkeypatch.setattr(atomic_dir, "_SCHEMA", 3)
    write(folder.with_name("later"), 1)
    monkeypatch.undo()
    found = atomic_dir.find_damage(folder.with_name("later"))
    assert found == "is of another version of fmkit (schema 3, not 2)"
