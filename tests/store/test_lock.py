"""A run belongs to one process, and its lock shows whether that process is alive."""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from fmkit.core.errors import ArtifactError
from fmkit.store import lock, run_index

HOLDS = """
import os, subprocess, sys, time
from pathlib import Path
from fmkit.store import lock
held = lock.acquire_run_lock(Path(sys.argv[1]))
"""
WORKERS = {
    "none": "",
    "forked": "if not os.fork(): time.sleep(60)\n",
    "started": "subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL)\n",
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.lock"


@pytest.fixture
def few_tries(monkeypatch):
    monkeypatch.setattr(lock, "_TRIES", 2)


def holder(path, script):
    """A process of its own group that runs a script with the lock's path and says when it is."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{script}print('here', flush=True)\ntime.sleep(60)", str(path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout.readline() == b"here\n"
    return process


def end(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("worker", WORKERS)
def test_a_kill_frees_the_lock_whatever_workers_are_left(path, worker, few_tries):
    process = holder(path, HOLDS + WORKERS[worker])
    try:
        assert lock.is_free(path) is False
        with pytest.raises(ArtifactError, match=f"in use by pid {process.pid} on host"):
            lock.acquire_run_lock(path)
        process.kill()
        process.wait()
        assert lock.is_free(path) is True
        lock.acquire_run_lock(path).close()
    finally:
        end(process)


def test_a_plain_lock_would_stay_with_a_forked_worker(path):
    """The control of the test above: it must see what it is there to see."""
    plain = "import fcntl, os, sys, time\nf = open(sys.argv[1], 'w')\nfcntl.flock(f, 2)\n"
    process = holder(path, plain + WORKERS["forked"])
    try:
        process.kill()
        process.wait()
        assert lock.is_free(path) is False
    finally:
        end(process)


def test_one_process_cannot_take_a_run_twice(path, few_tries):
    first = lock.acquire_run_lock(path)
    with pytest.raises(ArtifactError, match=f"pid {os.getpid()} on host {socket.gethostname()}"):
        lock.acquire_run_lock(path)
    first.close()
    lock.acquire_run_lock(path).close()


def test_those_who_look_hinder_nobody_who_starts(path):
    path.touch()
    ended = threading.Event()

    def look():
        while not ended.is_set():
            lock.is_free(path)

    looking = [threading.Thread(target=look) for _ in range(2)]
    for each in looking:
        each.start()
    try:
        for _ in range(50):
            lock.acquire_run_lock(path).close()
    finally:
        ended.set()
        for each in looking:
            each.join()


def test_a_file_system_without_locks_stops_no_run(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock.acquire_run_lock(path):
        assert lock.is_free(path) is None


def test_the_record_beats_and_goes_with_a_clean_end(path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    held = lock.acquire_run_lock(path)
    first = lock.read_record(path)
    assert (first["pid"], first["host"]) == (os.getpid(), socket.gethostname())
    assert 0 < first["rss_bytes"] < first["memory_limit_bytes"]
    monkeypatch.setattr(lock, "heartbeat", lambda: {"heartbeat": "later"})
    while lock.read_record(path)["heartbeat"] != "later":
        pass
    held.close()
    assert lock.read_record(path) == {}
    assert "heartbeat" not in {each.name for each in threading.enumerate()}


def moment(seconds_ago):
    then = datetime.datetime.now().astimezone() - datetime.timedelta(seconds=seconds_ago)
    return then.isoformat(timespec="seconds")


def record(**more):
    here = {"pid": 7, "host": socket.gethostname(), "boot_id": lock.boot_id()}
    return {**here, "started": moment(900), "heartbeat": moment(600), **more}


GIB = 2**30
DEATHS = {
    "killed, or the machine lost power": lambda: record(rss_bytes=GIB, memory_limit_bytes=23 * GIB),
    "probably out of memory: it used 21.4 of 23.0 GiB; try a smaller data.batch_size": lambda: (
        record(rss_bytes=int(21.4 * GIB), memory_limit_bytes=23 * GIB)
    ),
    "the machine was restarted while it ran": lambda: record(boot_id="another"),
    # Another container of this machine: its kernel is ours, so the lock decides.
    "killed": lambda: record(host="container", heartbeat=moment(1)),
    "no sign of life from host elsewhere since": lambda: record(
        host="elsewhere", boot_id="another"
    ),
    "": lambda: record(host="elsewhere", boot_id="another", heartbeat=moment(5)),
}


@pytest.mark.parametrize("reason", DEATHS)
def test_why_a_run_is_dead(tmp_path, reason):
    folder = tmp_path / "finetune" / "a"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"state": "running"}))
    (folder / "run.lock").write_text(json.dumps(DEATHS[reason]()))
    (found,) = run_index.runs(tmp_path)
    assert found.state == ("dead" if reason else "running")
    assert (found.reason or "").startswith(reason)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x", "heartbeat": 5}', "\x00" * 512])
def test_a_record_that_makes_no_sense_hides_no_death(tmp_path, content):
    (tmp_path / "run.lock").write_text(content)
    (tmp_path / "status.json").write_text(json.dumps({"state": "running", **record()}))
    assert run_index.read(tmp_path).state == "dead"


def test_a_run_that_is_held_is_running(tmp_path):
    (tmp_path / "status.json").write_text(json.dumps({"state": "running", "pid": 2**22 + 1}))
    with lock.acquire_run_lock(tmp_path / "run.lock"):
        assert run_index.read(tmp_path).state == "running"
    assert run_index.read(tmp_path).state == "dead"


def test_a_run_that_ends_while_it_is_looked_at_is_done(tmp_path, monkeypatch):
    (tmp_path / "status.json").write_text(json.dumps({"state": "running"}))

    def ends(path, status):
        (tmp_path / "status.json").write_text(json.dumps({"state": "done"}))
        return "killed"

    monkeypatch.setattr(lock, "why_dead", ends)
    assert run_index.read(tmp_path).state == "done"


def test_a_run_that_beats_on_another_machine_is_left_alone(path):
    """The lock looks free where a shared disk keeps locks for each machine on its own."""
    path.write_text(json.dumps(record(host="elsewhere", boot_id="another", heartbeat=moment(5))))
    with pytest.raises(ArtifactError, match="in use by pid 7 on host elsewhere"):
        lock.acquire_run_lock(path)
    path.write_text(json.dumps(record(host="elsewhere", boot_id="another", heartbeat=moment(300))))
    lock.acquire_run_lock(path).close()
