"""`fmkit runs where`, order and columns, jobs of a sweep, trees: as a user types them."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fmkit.cli import main
from fmkit.commands import run_tree
from fmkit.core import console
from fmkit.report import background
from fmkit.report.record import RunRecord

CONFIG = "model: {{name: small_cnn}}\noptimizer: {{learning_rate: {rate}}}\nname: {name}\n"


def make(folder, day, rate=0.001, **status):
    folder.mkdir(parents=True)
    started = f"2026-01-{day:02d}T00:00:00+00:00"
    content = {"state": "done", "started": started, **status}
    (folder / "status.json").write_text(json.dumps(content))
    (folder / "config.yaml").write_text(CONFIG.format(rate=rate, name=status.get("name")))
    return folder


@pytest.fixture
def runs(tmp_path, monkeypatch, capsys):
    """Four runs below runs/, and `fmkit runs` in that place: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    first = make(tmp_path / "runs/finetune/a", 1, test={"accuracy": 0.95}, name="=1+1")
    make(tmp_path / "runs/finetune/b", 2, 0.003, test={"accuracy": 0.5}, init=str(first))
    make(tmp_path / "runs/finetune/c", 3, state="failed", reason="x")
    sweep = tmp_path / "runs/sweeps/s"
    for job in ("0", "1"):
        folder = make(sweep / job, 4, f"{job}e-3", test={"accuracy": 0.25}, name=f"job {job}")
        (folder / ".hydra").mkdir()
        words = f"- data=digits\n- optimizer.learning_rate={job}e-3\n"
        (folder / ".hydra/overrides.yaml").write_text(words)

    def run(*words):
        code = main(["runs", *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def rows(text):
    lines = [line.split("\t") for line in text.splitlines()[1:]]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def test_where(runs):
    code, out, err = runs("where", "test.accuracy>0.4", "sort=-test.accuracy")
    assert code == 0
    assert [row["id"] for row in rows(out)] == ["a", "b"]
    assert err == "1 run without test.accuracy is left out.\n"
    assert runs("test.accuracy>0.4 and optimizer.learning_rate=3e-3")[1].count("\nb\t") == 1
    code, out, err = runs("where", "test.accuracy>2")
    assert (code, out) == (0, "")
    assert "None of the 5 runs" in err


def test_columns_order_and_limit(runs):
    words = ("columns=optimizer.learning_rate,test.accuracy", "sort=test.accuracy", "limit=4")
    out, err = runs("list", *words)[1:]
    assert list(rows(out)[0]) == ["id", "optimizer.learning_rate", "test.accuracy"]
    assert [row["test.accuracy"] for row in rows(out)] == ["0.25", "0.25", "0.5", "0.95"]
    assert "4 of 5 runs are shown" in err
    table = list(csv.DictReader(io.StringIO(runs("--csv", *words)[1])))
    assert [row["test.accuracy"] for row in table] == ["0.25", "0.25", "0.5", "0.95"]
    table = list(csv.DictReader(io.StringIO(runs("where", "model.name~cnn", "--csv")[1])))
    assert len(table) == 5
    assert {row["name"] for row in table} >= {"'=1+1"}  # no formula for a spreadsheet


def test_json_has_what_was_asked_for(runs):
    content = json.loads(runs("sort=-test.accuracy", "columns=model.name", "--json")[1])
    assert content["kind"] == "runs"
    assert content["matching"] == 5
    assert content["without_value"] == {"test.accuracy": 1}
    assert content["runs"][0]["values"] == {"test.accuracy": 0.95, "model.name": "small_cnn"}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["where"], "needs a condition"),
        (["limits=3"], "Did you mean limit?"),
        (["limit=0"], "1 or more"),
        (["where", "test.acc>0.9"], "test.accuracy"),
        (["where", "test.accuracy"], "in quotes"),
        (["sort=-test.acuracy"], "test.accuracy"),
        (["columns=nothing_like_it"], "nothing_like_it"),
        (["show", "a", "b"], "one run"),
        (["tree", "a", "b"], "no run, or one"),
        (["wher"], "Did you mean where?"),
        (["show", "a", "--csv"], "--json"),
    ],
    ids=" ".join,
)
def test_wrong_words_are_one_sentence(runs, words, part):
    code, out, err = runs(*words)
    assert (code, out) == (2, "")
    assert part in err
    assert err.startswith("error: ")


@pytest.mark.parametrize("value", ["0.9", "=0.9"])
def test_a_condition_that_the_shell_made_a_file_of(runs, tmp_path, value):
    """`fmkit runs where test.accuracy>0.9` without quotes."""
    program = [sys.executable, "-m", "fmkit", "runs", "where", "test.accuracy"]
    with (tmp_path / value).open("w") as stream:
        done = subprocess.run(program, stdout=stream, stderr=subprocess.PIPE, text=True,
                              check=False, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 2
    assert f"fmkit runs where 'test.accuracy>{value}'" in done.stderr
    assert "empty file" in done.stderr


@pytest.mark.parametrize("words", [["show", "s"], ["runs_dir=runs/sweeps/s"]], ids=" ".join)
def test_of_a_sweep_only_what_differs_is_a_column(runs, words):
    table = rows(runs(*words)[1])
    assert {row["id"]: row["optimizer.learning_rate"] for row in table} == {"0": "0", "1": "0.001"}
    assert not {"model.name", "overrides"} & table[0].keys()


def test_a_tree(runs, monkeypatch):
    out, err = runs("tree")[1:]
    table = rows(out)
    assert [(row["run"], row["from"]) for row in table] == [("a", "-"), ("└─ b", "init")]
    assert "3 runs have no parent and no child" in err
    content = json.loads(runs("tree", "b", "--json")[1])
    assert [(row["id"], row["parent"], row["depth"]) for row in content["runs"]] == [
        ("a", None, 0), ("b", "a", 1),
    ]  # fmt: skip
    assert rows(runs("tree", "c")[1])[0]["run"] == "c"
    assert runs("tree", "nothing")[0] == 4
    monkeypatch.setattr(console, "has_unicode", lambda: False)
    assert "`- b" in runs("tree")[1]
    assert run_tree._BRANCHES[False][0].isascii()


def test_how_often_a_run_was_resumed_and_from_where(runs):
    """Of 0.6 and before there is a step only; what is damaged is left out."""
    path = Path("runs/finetune/b/status.json")
    status = json.loads(path.read_text())
    now = {"time": "2026-12-01T03:00:00+00:00", "phase": "full", "epoch": 2, "step": 7}
    old = {"time": "2026-11-01T03:00:00+00:00", "step": 3, "host": "box"}
    status["resumes"] = [{"step": 0}, old, "?", {**now, "host": "[red]", "fmkit": "0.7.0"}]
    path.write_text(json.dumps(status))
    at = "from the beginning, step 3, step 7 (full, after epoch 2)"
    assert [row["resumed at"] for row in rows(runs("tree")[1])] == ["-", at]
    content = json.loads(runs("tree", "--json")[1])["runs"]
    assert content[0]["resumes"] == []
    assert [entry["step"] for entry in content[1]["resumes"]] == [0, 3, 7]
    assert content[1]["resumes"][1] == {**old, "phase": None, "epoch": None, "fmkit": None}
    shown = runs("show", "b")[1]
    assert "# resumes\ntime\tphase\tepoch\tstep\thost\tfmkit\n-\t-\t-\t0\t-\t-\n" in shown
    assert "\tfull\t2\t7\t[red]\t0.7.0\n" in shown
    page = str(background.reproduce(RunRecord(path.parent)))
    assert "step 7 (full, after epoch 2)" in page


def test_no_run_at_all(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in (["where", "test.accuracy>1"], ["tree"], ["sort=-test.accuracy"]):
        assert main(["runs", *words]) == 0
        assert "There is no run in" in capsys.readouterr().err
