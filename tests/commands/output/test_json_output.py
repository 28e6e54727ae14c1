"""`--json`: one object on stdout, whatever the command does, and nothing else."""

import datetime
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from whole_runs import QUICK

from fmkit.cli import main
from fmkit.commands.output import json_output
from fmkit.core.errors import DataError
from fmkit.store.array_cache import ArrayCache


def result(text: str) -> dict:
    """The one object of a command's stdout; nothing but it is there, and it is strict JSON."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    content = json.loads(text, parse_constant=refuse)
    assert content["version"] == json_output.VERSION
    return content


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with one run of 200 digits, and the object that training it ended with."""
    folder = tmp_path_factory.mktemp("json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = [*QUICK, "stage.full.epochs=1", "data=digits", "data.limit=200", "--json"]
        process = subprocess.run(
            [sys.executable, "-m", "fmkit", "finetune", *words],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    return folder, result(process.stdout), process.stderr


@pytest.fixture
def fmkit(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained[0])

    def run(*words):
        code = main([*words, "--json"])
        return code, result(capsys.readouterr().out)

    return run


def test_training_ends_with_its_run(trained):
    folder, run, messages = trained
    assert run["kind"] == "run"
    assert run["state"] == "done"
    assert Path(run["folder"]).parent == folder / "runs" / "finetune"
    status = json.loads((Path(run["folder"]) / "status.json").read_text())
    assert {key: run[key] for key in status} == status
    assert "full 1/1" in messages  # progress


@pytest.mark.parametrize(
    ("words", "kind", "keys"),
    [
        (["runs"], "runs", ["folder", "runs"]),
        (["runs", "list"], "runs", ["folder", "runs"]),
        (["runs", "show", "last"], "run", ["epochs", "evaluations", "files", "state"]),
        (["runs", "best"], "ranking", ["metric", "larger_is_better", "runs"]),
        (["runs", "compare", "last", "last"], "comparison", ["runs", "settings", "metrics"]),
        (["eval", "run=last"], "evaluation", ["run", "split", "metrics", "file", "table"]),
        (["check", "data=digits"], "data_report", ["findings", "classes", "report", "suspects"]),
        (["cache"], "cache", ["folder", "entries"]),
        (["cache", "clear"], "cache_cleared", ["folder", "removed", "in_use"]),
        (["guide"], "guide", ["pages"]),
        (["guide", "runs"], "guide_page", ["name", "title", "summary", "text"]),
        (["resume", "RUN"], "run", ["state", "folder"]),
        (["--version"], "text", ["text"]),
        (["help", "data.batch_size"], "text", ["text"]),
        (["finetune", *QUICK, "data=digits", "--cfg", "job"], "text", ["text"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_every_command_answers_with_one_object(words, kind, keys, fmkit, trained):
    words = [trained[1]["folder"] if word == "RUN" else word for word in words]
    code, content = fmkit(*words)
    assert code == 0
    assert content["kind"] == kind
    assert content.keys() >= {*keys}


def test_the_object_has_what_the_files_have(fmkit, trained):
    run = Path(trained[1]["folder"])
    _, evaluation = fmkit("eval", "run=last", "split=val")
    assert evaluation["metrics"] == json.loads((run / "eval/val.json").read_text())
    assert Path(evaluation["file"]) == run / "eval/val.json"
    _, shown = fmkit("runs", "show", "last")
    assert shown["evaluations"]["test"] == json.loads((run / "eval/test.json").read_text())
    (listed,) = fmkit("runs")[1]["runs"]
    assert listed["test"] == shown["test"]
    assert listed["folder"] == str(run)


def test_predictions(fmkit, trained, photos, tmp_path):
    table = tmp_path / "labels.csv"
    code, content = fmkit("predict", "run=last", f"input={photos}", f"output={table}")
    assert code == 0
    assert content["kind"] == "predictions"
    assert content["rows"] == 48
    assert content["table"] == str(table)
    header, first = table.read_text().splitlines()[:2]
    assert content["columns"] == header.split(",")
    assert content["first"]["prediction"][0] in first


def test_a_sweep_is_one_object_and_its_failed_job_is_in_it(fmkit, photos):
    (photos / "red" / "broken.png").write_bytes(b"x")
    words = ["finetune", "-m", *QUICK, "stage.full.epochs=1", "data=image_folder"]
    code, content = fmkit(*words, f"data.root={photos}", "data.on_bad=error,skip")
    assert code == 3
    assert content["kind"] == "sweep"
    failed, done = content["jobs"]
    assert (failed["state"], done["state"]) == ("failed", "done")
    assert "broken.png" in failed["reason"]
    assert done["data_root"] == str(photos)
    assert "data.on_bad=skip" in done["overrides"]
    assert failed["id"] == f"{Path(content['folder']).name}/0"
    assert content["error"]["exit_code"] == 3


def test_a_run_that_fails_says_where_it_is(fmkit):
    words = ["data=digits", "optimizer=sgd", "optimizer.clip_norm=null"]
    words += ["optimizer.learning_rate=1e30", "optimizer.warmup=0%"]
    code, content = fmkit("finetune", *QUICK, *words)
    assert code == content["error"]["exit_code"] == 5
    assert (content["kind"], content["state"]) == ("run", "failed")
    assert json.loads((Path(content["folder"]) / "status.json").read_text())["state"] == "failed"


def test_a_run_that_is_refused_leaves_no_folder(fmkit, photos):
    (photos / "red" / "broken.png").write_bytes(b"x")
    before = fmkit("runs")
    code, content = fmkit("finetune", *QUICK, "data=image_folder", f"data.root={photos}")
    assert code == content["error"]["exit_code"] == 3
    assert content["kind"] == "error"
    assert "broken.png" in content["error"]["message"]
    assert fmkit("runs") == before


def test_a_tokenizer(fmkit, tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat\n" * 50)
    words = ["data=text_lines", f"data.root={tmp_path}", f"output={tmp_path / 'tokens'}"]
    code, content = fmkit("tokenizer", "train", *words, "size=280", "min_frequency=1")
    assert code == 0
    assert content["kind"] == "tokenizer"
    assert content["folder"] == str(tmp_path / "tokens")
    assert content["record"]["figures"]["words"] > 0


def test_an_entry_of_the_cache(fmkit, tmp_path):
    store, key = ArrayCache(tmp_path, limit_bytes=2**20), "a" * 32
    with store.lock(key, exclusive=True):
        store.write(key, {}, {"model": "small_cnn"}, "float32", [[np.zeros((3, 2), np.float32)]])
    _, content = fmkit("cache", f"cache_dir={tmp_path}")
    (entry,) = content["entries"]
    assert (entry["key"], entry["rows"], entry["shapes"]) == (key, 3, [[2]])
    assert entry["provenance"] == {"model": "small_cnn"}
    assert datetime.datetime.fromisoformat(entry["used"]).tzinfo is not None


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["finetune", "data.rot=x"], 2, "data.rot"),
        (["nonsense"], 2, "nonsense"),
        (["runs", "show", "nowhere"], 4, "nowhere"),
        (["runs", "shw"], 2, "show"),
        (["guide", "nowhere"], 2, "nowhere"),
        (["check", "data=image_folder", "data.root=/nowhere"], 3, "/nowhere"),
        (["resume", "last"], 4, "first checkpoint"),
    ],
)
def test_an_error_is_an_object_too(words, code, part, fmkit, capsys):
    exit_code, content = fmkit(*words)
    assert exit_code == content["error"]["exit_code"] == code
    assert content["kind"] == "error"
    assert part in content["error"]["message"]
    assert set(content["error"]) == {"message", "hint", "exit_code"}


def test_a_report_stays_where_the_data_are_refused(fmkit, photos):
    (photos / "red" / "broken.png").write_bytes(b"x")
    code, content = fmkit("check", "data=image_folder", f"data.root={photos}")
    assert code == content["error"]["exit_code"] == 3
    assert content["kind"] == "data_report"
    assert content["errors"] > 0


def test_secrets_of_an_error_are_redacted(capsys):
    with pytest.raises(DataError):
        json_output.run(_raise_secret)
    assert "hunter2" not in capsys.readouterr().out


def _raise_secret():
    raise DataError("no answer from https://me:hunter2@example.org/")


def test_nothing_else_reaches_stdout():
    code = (
        "import os\nfrom fmkit.commands.output import json_output\n"
        "def command():\n"
        "    print('by Python'); os.write(1, b'by native code')\n"
        "    json_output.show('test', {'value': 1}, lambda: None)\n"
        "json_output.run(command)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result(done.stdout) == {"version": 1, "kind": "test", "value": 1}
    assert "by Python" in done.stderr
    assert "by native code" in done.stderr


@pytest.mark.parametrize(
    ("redirection", "code"), [("> /dev/full", 6), (">&-", 0), ("| head -c 1; exit 0", 0)]
)
def test_a_stdout_that_takes_nothing(redirection, code, tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m fmkit guide --json {redirection}"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == code
    assert "defect" not in done.stderr
    assert "Traceback" not in done.stderr


@dataclass
class Point:
    x: float
    folder: Path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        (np.float32("inf"), None),
        (np.array([1.0, np.nan]), [1.0, None]),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (Path("a/b"), str(Path.cwd() / "a" / "b")),
        (datetime.date(2026, 1, 31), "2026-01-31"),
        (datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC), "2026-01-31T12:00:00+00:00"),
        (np.datetime64("2026-01-31"), "2026-01-31"),
        (Point(float("nan"), Path("/c")), {"x": None, "folder": "/c"}),
        ({1: (2, {3})}, {"1": [2, [3]]}),
        ("인천 \x1b[31m \udcff", "인천 \x1b[31m \udcff"),
    ],
    ids=str,
)
def test_values(value, expected, capsys):
    json_output.run(lambda: json_output.show("test", {"value": value}, lambda: None))
    text = capsys.readouterr().out
    assert text.isascii()
    assert "\x1b" not in text
    assert result(text)["value"] == expected
