"""A run folder: claimed by one process, written atomically, reopened by one process."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from full_disks import largest_file

from fmkit.core import fault_injection, files, safe_io
from fmkit.core.errors import ArtifactError, ResourceError
from fmkit.store import lock, run_index
from fmkit.store.run_dir import RunWriter

MANY = """
import os, random, sys
from pathlib import Path
from fmkit.store import run_dir as run
# So few names that most of the starts meet: a clock and six letters hardly ever do.
run.new_name = lambda: f"name-{random.randrange(60)}"
taken = {}
if sys.argv[2] == "careless":
    run.claim = lambda root, kind: root / kind / run.new_name()
for _ in range(50):
    read, write = os.pipe()
    if not os.fork():
        random.seed(os.getpid())
        os.write(write, run.claim(Path(sys.argv[1]), "finetune").name.encode())
        os._exit(0)
    os.close(write)
    taken[read] = None
print(len({os.read(each, 100) for each in taken}))
"""


@pytest.mark.parametrize("way", ["claimed", "careless"])
def test_fifty_starts_at_once_get_fifty_folders(tmp_path, way):
    words = [sys.executable, "-c", MANY, str(tmp_path), way]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    distinct = int(done.stdout)
    if way == "careless":  # the control: the names do meet
        assert distinct < 50
    else:
        assert distinct == len(list((tmp_path / "finetune").iterdir())) == 50


@pytest.fixture
def run(tmp_path):
    run = RunWriter(tmp_path, "finetune")
    run.acquire_lock()
    run.update(name="first", step=3)
    yield run
    run.release_lock()


def status(folder):
    return json.loads((folder / "status.json").read_text())


def test_the_status_shows_signs_of_life(run):
    before = status(run.folder)
    assert 0 < before["rss_bytes"] < before["memory_limit_bytes"]
    assert before["boot_id"] == lock.boot_id()
    assert before["heartbeat"] >= before["started"]


def test_a_run_in_use_is_not_reopened(run, monkeypatch):
    monkeypatch.setattr(lock, "_TRIES", 2)
    with pytest.raises(ArtifactError, match=f"in use by pid {os.getpid()}"):
        RunWriter.reopen(run.folder)
    assert run_index.read(run.folder).state == "running"


def test_a_dead_run_is_reopened_where_it_stopped(run):
    run.update(seconds=0.0)
    run.release_lock()  # as the kernel does
    before = {**status(run.folder), "seconds": 100.0, "pid": 1}
    (run.folder / "status.json").write_text(json.dumps(before))
    (run.folder / ".status.77.0123abcd.json").write_text("{")
    (run.folder / ".notes").write_text("mine")
    (run.checkpoints / ".tmp-step-00000004-77").mkdir(parents=True)
    assert run_index.read(run.folder).state == "dead"
    reopened = RunWriter.reopen(run.folder)
    reopened.update(step=4)
    found = status(run.folder)
    assert run_index.read(run.folder).state == "running"
    assert (found["name"], found["step"], found["started"]) == ("first", 4, before["started"])
    assert found["pid"] == os.getpid()
    assert 100 < found["seconds"] < 200
    assert [each.name for each in run.folder.glob(".*")] == [".notes"]
    assert list(run.checkpoints.iterdir()) == []
    reopened.finish()
    assert run_index.read(run.folder).state == "done"
    assert lock.is_free(run.folder / "run.lock")


def test_one_of_many_processes_that_reopen_a_run_at_once_gets_it(run, monkeypatch):
    run.release_lock()
    monkeypatch.setattr(lock, "_TRIES", 3)
    read, write = os.pipe()
    children = []
    for _ in range(12):
        children.append(os.fork())
        if not children[-1]:
            try:
                reopened = RunWriter.reopen(run.folder)
            except BaseException as error:
                os.write(write, b"n" if isinstance(error, ArtifactError) else b"?")
            else:
                os.write(write, b"y")
                while reopened:  # hold it until all have tried
                    time.sleep(1)
            os._exit(0)
    answers = b""
    while len(answers) < len(children):
        answers += os.read(read, 100)
    for each in children:
        os.kill(each, signal.SIGKILL)
        os.waitpid(each, 0)
    assert sorted(answers) == sorted(b"y" + b"n" * 11)
    RunWriter.reopen(run.folder).release_lock()  # at once after the kill


def test_a_run_that_failed_is_free(run):
    run.fail(ResourceError("the disk is full."))
    assert run_index.read(run.folder).reason == "the disk is full."
    assert lock.is_free(run.folder / "run.lock")


def test_a_folder_without_a_status_is_not_a_run(tmp_path):
    with pytest.raises(ArtifactError, match=r"status\.json"):
        RunWriter.reopen(tmp_path)
    assert lock.is_free(tmp_path / "run.lock")


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_full_disk_leaves_all_that_was_written(run, share):
    files.append_json_line(run.folder / "metrics.jsonl", {"step": 1})
    run.log("as it was")
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    writers = {
        "status.json": lambda: run.update(name="x" * 2000),
        "metrics.jsonl": lambda: files.append_json_line(run.folder / "metrics.jsonl", {"a": "b"}),
        "log.txt": lambda: run.log("more"),
    }
    for name, write in writers.items():
        size = len(before[name])
        room = int(share * size) if name == "status.json" else size + int(share * 10)
        with largest_file(room), pytest.raises(OSError, match=f"{name}'$") as error:
            write()
        assert error.value.errno in (errno.ENOSPC, errno.EFBIG)
    del before["run.lock"]
    assert before == {
        path.name: path.read_bytes() for path in run.folder.iterdir() if path.name in before
    }
    assert len(list(run.folder.iterdir())) == len(before) + 1


def test_a_full_disk_does_not_hide_the_error_that_ended_a_run(run):
    with largest_file(0):
        run.fail(ResourceError("memory ran out."))
    assert lock.is_free(run.folder / "run.lock")


KILLED = {
    "status.write": lambda run: run.update(step=4),
    "metrics.mid_line": lambda run: files.append_json_line(
        run.folder / "metrics.jsonl", {"step": 2}, "metrics.mid_line"
    ),
    "model.write": lambda run: run.save_model(_Model()),
}


class _Model:
    def save(self, path):
        import zipfile

        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")


@pytest.mark.parametrize("point", KILLED)
def test_a_kill_leaves_the_old_content_or_the_new_one(run, point, monkeypatch):
    files.append_json_line(run.folder / "metrics.jsonl", {"step": 1})
    (run.folder / "model.keras").write_text("old")
    monkeypatch.setenv(fault_injection.VARIABLE, f"{point}:1:kill")
    child = os.fork()
    if not child:
        KILLED[point](run)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    monkeypatch.delenv(fault_injection.VARIABLE)
    assert status(run.folder)["step"] == 3
    assert (run.folder / "model.keras").read_text() == "old"
    assert list(safe_io.read_json_lines(run.folder / "metrics.jsonl")) == [{"step": 1}]
    left = [each.name for each in run.folder.glob(".*")]
    assert len(left) == (point != "metrics.mid_line")
    torn = (run.folder / "metrics.jsonl").read_bytes().split(b"\n")[-1]
    assert bool(torn) == (point == "metrics.mid_line")
    run.release_lock()
    RunWriter.reopen(run.folder).release_lock()
    assert not list(run.folder.glob(".*"))
    KILLED[point](run)
