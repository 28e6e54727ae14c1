"""`fmkit runs rm` and `clean`: what goes is shown first, and nothing else ever goes."""

import json
import os
import subprocess
import sys
import time

import pytest

from fmkit.cli import main
from fmkit.commands import run_removal
from fmkit.store import lock

NAMES = {
    "done": "2026-01-01_120000-aaaaaa",
    "failed": "2026-01-02_120000-bbbbbb",
    "saved": "2026-01-03_120000-cccccc",  # failed, after its first checkpoint
    "dead": "2026-01-04_120000-dddddd",
    "empty": "2026-01-05_120000-eeeeee",
}


def make(folder, state, has_checkpoint=False, **status):
    folder.mkdir(parents=True)
    status = {"state": state, "started": f"{folder.name[:10]}T12:00:00+00:00", **status}
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "log.txt").write_text("x" * 1000)
    if has_checkpoint:
        (folder / "checkpoints" / "step-00000007").mkdir(parents=True)
        (folder / "checkpoints" / "step-00000007" / "model.safetensors").write_bytes(b"x" * 5000)
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finetune = tmp_path / "runs" / "finetune"
    make(finetune / NAMES["done"], "done", True)
    make(finetune / NAMES["failed"], "failed")
    make(finetune / NAMES["saved"], "failed", True)
    dead = make(finetune / NAMES["dead"], "running", pid=2**30, host="elsewhere")
    (dead / "run.lock").touch()
    status = json.loads((dead / "status.json").read_text())
    del status["host"]
    (dead / "status.json").write_text(json.dumps(status))
    (finetune / NAMES["empty"]).mkdir()
    os.utime(finetune / NAMES["empty"], (0, time.time() - 3600))
    return finetune


def names(root):
    return {path.name for path in root.iterdir()}


def test_clean_shows_what_would_go_and_removes_nothing_by_itself(root, capsys):
    before = names(root)
    assert main(["runs", "clean"]) == 2
    output = capsys.readouterr()
    for kind in ("failed", "dead", "empty"):
        assert NAMES[kind] in output.out
    assert NAMES["saved"] not in output.out
    assert NAMES["saved"] in output.err  # it stays, which is said
    assert NAMES["done"] not in output.out + output.err
    assert "--yes" in output.err
    assert names(root) == before


def test_clean_removes_what_saved_nothing(root, capsys):
    assert main(["runs", "clean", "--yes"]) == 0
    assert names(root) == {NAMES["done"], NAMES["saved"]}
    assert "removed 3 runs" in capsys.readouterr().out
    assert main(["runs", "clean", "--yes"]) == 0
    assert "nothing to remove" in capsys.readouterr().err


def test_rm_removes_the_runs_that_were_named(root, capsys):
    assert main(["runs", "rm", "aaaaaa", NAMES["saved"], "--yes"]) == 0
    assert names(root) == {NAMES[kind] for kind in ("failed", "dead", "empty")}
    assert "12" in capsys.readouterr().out  # kB: 2 x (1,000 + 5,000 + status.json)


@pytest.mark.parametrize(("words", "code"), [([], 2), (["nowhere"], 4), (["2026"], 4)])
def test_a_word_that_is_not_one_run_removes_nothing(words, code, root):
    before = names(root)
    assert main(["runs", "rm", "--yes", *words]) == code
    if words:
        assert main(["runs", "rm", "--yes", NAMES["done"], *words]) == code
    assert names(root) == before


HOLD = "import sys; from fmkit.store import lock; from pathlib import Path\n" \
    "held = lock.acquire_run_lock(Path(sys.argv[1])); print('held', flush=True)\n" \
    "sys.stdin.read()"  # fmt: skip


@pytest.mark.parametrize("kind", ["failed", "dead"])
def test_a_run_in_use_stays(kind, root, capsys):
    """One that is being resumed: its status is still that of the failure."""
    path = root / NAMES[kind] / "run.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline()
        try:
            assert main(["runs", "rm", NAMES["done"], NAMES[kind], "--yes"]) == 4
            assert f"pid {process.pid}" in capsys.readouterr().err
            assert NAMES["done"] in names(root)
            assert main(["runs", "clean", "--yes"]) == 0
            assert NAMES[kind] in names(root)
        finally:
            process.stdin.close()


def test_a_run_that_another_process_takes_meanwhile_stays(root, monkeypatch):
    def take(question):
        monkeypatch.setattr(run_removal.run_removal.lock, "acquire_run_lock", refuse)
        return True

    def refuse(path):
        raise run_removal.ArtifactError("run is in use by pid 7")

    monkeypatch.setattr(run_removal, "_ask", take)
    assert main(["runs", "rm", NAMES["failed"]]) == 4
    assert NAMES["failed"] in names(root)


def test_a_run_that_is_just_starting_stays(root):
    (root / "2026-01-06_120000-ffffff").mkdir()
    assert main(["runs", "clean", "--yes"]) == 0
    assert "2026-01-06_120000-ffffff" in names(root)


def test_what_is_not_a_run_stays(root, capsys):
    notes = root / "my notes"
    notes.mkdir()
    (notes / "thesis.txt").write_text("years of work")
    os.utime(notes, (0, time.time() - 3600))
    assert main(["runs", "clean", "--yes"]) == 0
    assert (notes / "thesis.txt").exists()
    assert main(["runs", "rm", "my notes", "--yes"]) == 4
    assert (notes / "thesis.txt").exists()
    assert "is not a run" in capsys.readouterr().err


def test_what_other_runs_started_from_is_told(root, capsys):
    later = root / "2026-01-07_120000-gggggg"
    make(later, "interrupted", True, init=str(root / NAMES["done"]))
    assert main(["runs", "rm", NAMES["done"]]) == 2
    output = capsys.readouterr()
    assert f"{later.name} started from {NAMES['done']}" in output.err
    assert later.name in output.out
    assert main(["runs", "rm", NAMES["done"], later.name]) == 2
    assert "started from" not in capsys.readouterr().err  # they go together


def test_a_sweep_goes_with_its_last_job(root):
    sweep = root.parent / "sweeps" / "2026-01-08_120000-hhhhhh"
    for job in ("0", "1", "2"):
        make(sweep / job, "done", True)
    (sweep / "multirun.yaml").write_text("")
    assert main(["runs", "rm", f"{sweep.name}/0", "--yes"]) == 0
    assert {path.name for path in sweep.iterdir()} == {"1", "2", "multirun.yaml"}
    assert main(["runs", "rm", sweep.name, "--yes"]) == 0
    assert not sweep.exists()
    assert (root / NAMES["done"]).exists()


def test_a_link_to_a_run_goes_and_not_the_run(root, tmp_path):
    run = make(tmp_path / "disk" / "2026-01-09_120000-iiiiii", "failed")
    (root / run.name).symlink_to(run)
    assert main(["runs", "rm", run.name, "--yes"]) == 0
    assert run.name not in names(root)
    assert (run / "log.txt").exists()


@pytest.mark.parametrize(("answer", "is_gone"), [("y\n", True), ("\n", False), ("", False)])
def test_on_a_terminal_it_asks(answer, is_gone, root):
    import pty

    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fmkit", "runs", "rm", NAMES["failed"]],
        stdin=terminal, stdout=subprocess.DEVNULL, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    printed = b""
    while b"[y/N]" not in printed:
        printed += os.read(controller, 1000)
    os.write(controller, answer.encode() or b"\x04")
    process.wait(60)
    os.close(controller)
    assert b"Remove 1 run" in printed
    assert (NAMES["failed"] not in names(root)) == is_gone


def test_json_says_what_went(root, capsys):
    assert main(["runs", "clean", "--json"]) == 2
    content = json.loads(capsys.readouterr().out)
    assert content["kind"] == "removal"
    assert content["removed"] == []
    assert content["error"]["exit_code"] == 2
    assert {run["state"] for run in content["runs"]} == {"failed", "dead", "broken"}
    assert content["bytes"] == sum(run["bytes"] for run in content["runs"]) > 2000
    assert main(["runs", "clean", "--json", "--yes"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert set(content["removed"]) == {NAMES[kind] for kind in ("failed", "dead", "empty")}
    assert content["staying"] == [NAMES["saved"]]


def test_locks_are_released(root):
    before = set(lock._open_locks)  # another test's may not be collected yet
    assert main(["runs", "clean", "--yes"]) == 0
    assert set(lock._open_locks) <= before
