import json
import os
import socket
import subprocess
import sys

import pytest

from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.store import run_index


def make(root, identity, status=None, command="finetune"):
    folder = root / command / identity
    folder.mkdir(parents=True)
    if isinstance(status, bytes):
        (folder / "status.json").write_bytes(status)
    elif status is not None:
        (folder / "status.json").write_text(json.dumps(status))
    return folder


def done(started, **more):
    return {"state": "done", "started": started, **more}


def ended_process():
    """The id of a process that has ended, and that nothing else has taken meanwhile."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_newest_first_over_commands_and_sweeps(tmp_path):
    make(tmp_path, "2026-01-01_000000-aaaaaa", done("2026-01-01T00:00:00+00:00"), "pretrain")
    make(tmp_path, "2026-01-03_000000-cccccc", done("2026-01-03T00:00:00+00:00"))
    sweep = tmp_path / "sweeps"
    make(sweep, "0", done("2026-01-02T00:00:00+00:00"), "2026-01-02_000000-bbbbbb")
    # Later by the clock on the wall, earlier in truth.
    make(tmp_path, "2026-01-03_020000-dddddd", done("2026-01-03T02:00:00+05:00"))
    (tmp_path / "sweeps" / "2026-01-02_000000-bbbbbb" / "sweep.jsonl").write_text("")
    (tmp_path / "finetune" / ".trash-1").mkdir()
    (tmp_path / "notes.txt").write_text("")
    assert [run.id for run in run_index.runs(tmp_path)] == [
        "2026-01-03_000000-cccccc",
        "2026-01-03_020000-dddddd",
        "2026-01-02_000000-bbbbbb/0",
        "2026-01-01_000000-aaaaaa",
    ]


def test_a_run_says_what_its_status_says(tmp_path):
    status = done(
        "2026-01-01T00:00:00+01:00",
        command="finetune",
        name="first",
        seconds=12.5,
        phase="full",
        epoch=8,
        step=800,
        best={"phase": "full", "epoch": 7, "step": 700, "monitor": "val_loss", "value": 0.25},
        model="small_cnn",
        data="digits",
        stage="head+full",
        task="classification",
        test={"accuracy": 0.9},
        val=None,
        fmkit="0.1.0",
        key_of_a_later_version=1,
    )
    folder = make(tmp_path, "a", status)
    run = run_index.runs(tmp_path)[0]
    assert (run.folder, run.id, run.state) == (folder, "a", "done")
    for key, value in status.items():
        if key != "key_of_a_later_version":
            assert getattr(run, key) == value


def test_there_is_no_folder(tmp_path):
    assert run_index.runs(tmp_path / "nowhere") == []


BROKEN = {
    "no status": None,
    "empty": b"",
    "torn": b'{"state": "do',
    "no json": b"\x00\xff\xfe",
    "no mapping": b"[1, 2]",
    "too deep": b"[" * 100_000,
    "no state": {"command": "finetune"},
    "unknown state": {"state": "finished"},
    "state of a wrong type": {"state": ["done"]},
    "epoch of a wrong type": {"state": "done", "epoch": "three"},
    "epoch is a truth value": {"state": "done", "epoch": True},
    "test of a wrong type": {"state": "done", "test": 0.5},
    "no time": {"state": "done", "started": "yesterday"},
    "no process": {"state": "running", "pid": -1, "host": socket.gethostname()},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_run_is_shown_and_hides_no_other(tmp_path, kind):
    make(tmp_path, "good", done("2026-01-01T00:00:00+00:00"))
    make(tmp_path, "bad", BROKEN[kind])
    found = {run.id: run for run in run_index.runs(tmp_path)}
    assert found["good"].state == "done"
    assert found["bad"].state == "broken"
    assert "status.json" in found["bad"].reason
    assert run_index.resolve("last", tmp_path).name == "good"


def test_a_status_that_is_a_folder_is_broken(tmp_path):
    (make(tmp_path, "bad") / "status.json").mkdir()
    assert run_index.runs(tmp_path)[0].state == "broken"


def test_running_is_dead_when_its_process_is_gone_here(tmp_path):
    here, gone = socket.gethostname(), ended_process()
    make(tmp_path, "alive", {"state": "running", "pid": os.getpid(), "host": here})
    make(tmp_path, "dead", {"state": "running", "pid": gone, "host": here})
    make(tmp_path, "elsewhere", {"state": "running", "pid": gone, "host": f"not-{here}"})
    make(tmp_path, "unknown", {"state": "running"})
    make(tmp_path, "huge", {"state": "running", "pid": 10**30, "host": here})
    make(tmp_path, "finished", {"state": "done", "pid": gone, "host": here})
    assert {run.id: run.state for run in run_index.runs(tmp_path)} == {
        "alive": "running",
        "dead": "dead",
        "elsewhere": "running",
        "unknown": "running",
        "huge": "dead",
        "finished": "done",
    }


@pytest.fixture
def three(tmp_path):
    make(tmp_path, "2026-01-01_120000-abcdef", done("2026-01-01T12:00:00+00:00", name="cats"))
    make(tmp_path, "2026-01-02_120000-ghijkl", done("2026-01-02T12:00:00+00:00", name="dogs"))
    running = {"state": "running", "started": "2026-01-03T12:00:00+00:00", "name": "dogs"}
    make(tmp_path, "2026-01-03_120000-abcxyz", running)
    sweep = tmp_path / "sweeps"
    for job in ("0", "1"):
        make(sweep, job, done("2025-01-01T12:00:00+00:00"), "2025-01-01_120000-sweeps")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01_120000-abcdef", "abcdef"),
        ("2026-01-01", "abcdef"),
        ("abcdef", "abcdef"),
        ("xyz", "abcxyz"),
        ("cats", "abcdef"),
        ("last", "ghijkl"),
        ("2025-01-01_120000-sweeps/1", "1"),
        ("sweeps/1", "1"),
        (" 2026-01-02_120000-ghijkl/ ", "ghijkl"),
    ],
)
def test_finds_a_run(three, text, expected):
    assert run_index.resolve(text, three).name.endswith(expected)


def test_finds_a_run_by_its_folder_whatever_the_root(three, tmp_path, monkeypatch):
    folder = three / "finetune" / "2026-01-01_120000-abcdef"
    assert run_index.resolve(str(folder), tmp_path / "nowhere") == folder
    monkeypatch.chdir(three / "finetune")
    assert run_index.resolve("2026-01-01_120000-abcdef", "runs").name == folder.name


def test_names_all_candidates_when_a_text_is_ambiguous(three):
    for text, count in (("2026", 3), ("dogs", 2), ("2025-01-01_120000-sweeps", 2)):
        with pytest.raises(ArtifactError, match=f"matches {count} runs") as caught:
            run_index.resolve(text, three)
        assert caught.value.message.partition(" runs: ")[2].count("_120000-") == count


def test_names_the_nearest_when_there_is_none(three):
    for text, near in (
        ("2026-01-01_120000-abcdeg", "2026-01-01_120000-abcdef"),
        ("ghijkm", "2026-01-02_120000-ghijkl"),
        ("cat5", "cats"),
        ("", "Newest: 2026-01-03_120000-abcxyz"),
        ("something else", "Newest"),
    ):
        with pytest.raises(ArtifactError, match=near) as caught:
            run_index.resolve(text, three)
        assert repr(text) in str(caught.value)


def test_last_needs_a_run_that_is_done(tmp_path):
    with pytest.raises(ArtifactError, match="no run in"):
        run_index.resolve("last", tmp_path)
    make(tmp_path, "a", {"state": "failed"})
    make(tmp_path, "b", {"state": "interrupted"})
    with pytest.raises(ArtifactError, match=r"none in .* is: 1 \w+, 1 \w+"):
        run_index.resolve("last", tmp_path)


def test_ranks_by_a_figure_in_its_own_direction(tmp_path):
    for name, accuracy, loss in (("a", 0.7, 0.5), ("b", 0.9, 0.6), ("c", 0.8, 0.4)):
        status = done("2026-01-01T00:00:00+00:00", data="digits")
        make(tmp_path, name, {**status, "test": {"accuracy": accuracy, "loss": loss}})
    make(tmp_path, "other", {"state": "done", "data": "elpv", "test": {"accuracy": 0.95}})
    make(tmp_path, "unfinished", {"state": "failed", "test": None})
    make(tmp_path, "spoilt", {"state": "done", "test": {"accuracy": None, "loss": "low"}})
    make(tmp_path, "bad", b"{")
    assert [run.id for run in run_index.best(tmp_path)] == ["other", "b", "c", "a"]
    assert [run.id for run in run_index.best(tmp_path, data="digits")] == ["b", "c", "a"]
    assert [run.id for run in run_index.best(tmp_path, "test.loss", larger_is_better=False)] == [
        "c",
        "a",
        "b",
    ]
    with pytest.raises(ConfigError, match=r"Did you mean test\.accuracy"):
        run_index.best(tmp_path, "accuracy")
    with pytest.raises(ArtifactError, match="cifar"):
        run_index.best(tmp_path, data="cifar")


def test_lists_thousands(tmp_path):
    for number in range(2000):
        day, second = divmod(number, 100)
        started = f"2026-01-{day + 1:02d}T00:{second // 60:02d}:{second % 60:02d}+00:00"
        make(tmp_path, f"run-{number:04d}", done(started, test={"accuracy": number / 2000}))
    found = run_index.runs(tmp_path)
    assert [run.id for run in found] == [f"run-{number:04d}" for number in reversed(range(2000))]
    assert run_index.resolve("last", tmp_path).name == "run-1999"
    assert run_index.resolve("0042", tmp_path).name == "run-0042"
    assert run_index.best(tmp_path)[0].id == "run-1999"


def test_a_run_is_named_by_any_spelling_of_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = make(tmp_path / "runs", "2026-01-01_000000-aaaaaa", done("2026-01-01T00:00:00+00:00"))
    other = make(tmp_path / "runs", "2026-01-01_000000-bbbbbb", done("2026-01-02T00:00:00+00:00"))
    shown = folder.relative_to(tmp_path)
    for text in (f"~/{shown}", f"file://{folder}", "runs/finetune/*-aaaaaa"):
        assert run_index.resolve(text, tmp_path / "elsewhere") == folder
    assert run_index.resolve(str(shown), tmp_path / "elsewhere") == shown
    assert run_index.resolve("last", "~/runs") == other
