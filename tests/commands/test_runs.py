import csv
import io
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.stats import binomtest

from fmkit.cli import main
from fmkit.commands import runs
from fmkit.commands.output import run_tables
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.store import run_query
from fmkit.store.run_query import Query
from fmkit.store.run_table import RunTable

FIRST = "2026-01-01_120000-abcdef"
SECOND = "2026-01-02_120000-ghijkl"
CONFIG = """
model: {{name: small_cnn, dropout: 0.1}}
optimizer: {{learning_rate: {rate}}}
stage: {{head: {{epochs: '10'}}}}
name: {name}
"""


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def root(tmp_path):
    for identity, rate, accuracy in ((FIRST, 0.001, 0.8), (SECOND, 0.003, 0.9)):
        folder = tmp_path / "runs" / "finetune" / identity
        status = {
            "state": "done",
            "started": f"{identity[:10]}T12:00:00+00:00",
            "name": f"rate {rate}",
            "data": "digits",
            "seconds": 12.25,
            "best": {"phase": "head", "epoch": 2, "monitor": "val_loss", "value": 0.5},
            "phases": [{"name": "head", "skipped": "", "epochs": 2, "seconds": 12.0}],
            "test": {"accuracy": accuracy, "loss": 0.3},
            "val": {"accuracy": 0.7},
        }
        write(folder, "status.json", status)
        write(folder, "config.yaml", CONFIG.format(rate=rate, name=f"rate {rate}"))
        rows = [
            {"phase": "head", "epoch": epoch, "step": step, "loss": loss, **more}
            for epoch, step, loss, more in (
                (1, 5, 0.9, {}),
                (1, 10, 0.8, {"val_loss": 0.7}),
                (2, 20, 0.6, {"val_loss": 0.5}),
            )
        ]
        write(folder, "metrics.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
        evaluation = {"n": 50, "accuracy": accuracy, "intervals": {"accuracy": [0.75, 0.95]}}
        write(folder, "eval/test.json", evaluation)
        write(folder, "checkpoints/20/weights.bin", "x" * 100)
    return tmp_path / "runs"


def printed(capsys, *arguments):
    runs.runs([*arguments])
    return capsys.readouterr().out


def table(text, title):
    """The rows of one table of the plain output, as mappings."""
    lines = text.split(f"# {title}", 1)[1].split("\n\n")[0].splitlines()[1:]
    header = lines[0].split("\t")
    rows = [line.split("\t") for line in lines[1:]]
    assert all(len(row) == len(header) for row in rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_list(root, capsys):
    rows = table(printed(capsys, f"runs_dir={root}"), "runs")
    assert [row["id"] for row in rows] == [SECOND, FIRST]
    assert rows[0]["test accuracy"] == "0.9"
    assert rows[0]["model"] == "-"


def test_nothing_to_list(tmp_path, capsys):
    runs.runs(["list", f"runs_dir={tmp_path}"])
    output = capsys.readouterr()
    assert output.out == ""
    assert "no run in" in output.err


def test_show(root, capsys):
    text = printed(capsys, "show", "abcdef", f"runs_dir={root}")
    status = {row["key"]: row["value"] for row in table(text, "status")}
    assert status["state"] == "done"
    assert status["best.value"] == "0.5"
    assert table(text, "phases")[0]["epochs"] == "2"
    epochs = table(text, "epochs")
    assert [(row["epoch"], row["step"], row["val_loss"]) for row in epochs] == [
        ("1", "10", "0.7"),
        ("2", "20", "0.5"),
    ]
    figures = {row["split"]: row for row in table(text, "figures")}
    assert figures["test"]["n"] == "50"
    assert figures["test"]["accuracy 95% interval"] == "0.75 to 0.95"
    assert figures["val"]["accuracy"] == "0.7"
    sizes = {row["name"]: row["bytes"] for row in table(text, "files")}
    assert sizes["checkpoints/"] == "100"


def test_show_of_a_damaged_run(root, capsys):
    folder = root / "finetune" / FIRST
    write(folder, "status.json", "{")
    write(folder, "metrics.jsonl", '{"phase": "head", "epoch": 1}\nnonsense\n{}\n')
    write(folder, "eval/test.json", "[")
    text = printed(capsys, "show", FIRST, f"runs_dir={root}")
    status = {row["key"]: row["value"] for row in table(text, "status")}
    assert status["state"] == "broken"
    assert "status.json" in status["reason"]
    assert len(table(text, "epochs")) == 1


def test_compare(root, capsys):
    text = printed(capsys, "compare", "abcdef", "ghijkl", f"runs_dir={root}")
    settings = {row["key"]: list(row.values())[1:] for row in table(text, "settings that differ")}
    assert settings == {
        "optimizer.learning_rate": ["0.001", "0.003"],
        "name": ["rate 0.001", "rate 0.003"],
    }
    figures = {row["figure"]: list(row.values())[1:] for row in table(text, "figures")}
    assert figures["test.accuracy"] == ["0.8", "0.9", "0.1"]


def predictions(folder, predicted, labels):
    """The table and the config of a run that predicts two classes."""
    probabilities = np.eye(2)[predicted] * 0.8 + 0.1
    columns = {"id": [f"row-{n}" for n in range(len(labels))], "label": ["ab"[k] for k in labels]}
    columns |= {"prediction": ["ab"[k] for k in predicted], "confidence": probabilities.max(axis=1)}
    columns |= {"probability_a": probabilities[:, 0], "probability_b": probabilities[:, 1]}
    pd.DataFrame(columns).to_parquet(folder / "eval" / "test.parquet")
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(f"{config}task: {{name: classification}}\n")


def test_compare_pairs_the_predictions(root, capsys):
    labels = np.array([0, 1] * 20)
    first, second = labels.copy(), labels.copy()
    first[:12] = 1 - first[:12]
    second[11:14] = 1 - second[11:14]
    for identity, predicted in ((FIRST, first), (SECOND, second)):
        predictions(root / "finetune" / identity, predicted, labels)
    words = ("compare", "abcdef", "ghijkl", f"runs_dir={root}")
    text = printed(capsys, *words)
    assert "# test, 40 examples that both runs have" in text
    accuracy = next(line for line in text.splitlines() if line.startswith("accuracy\t"))
    assert accuracy.split("\t")[1:4] == ["0.7", "0.925", "0.225"]
    test = text.split("# McNemar's exact test\n")[1].splitlines()[1].split("\t")
    assert test[:4] == ["26", "2", "11", "1"]
    assert float(test[4]) == pytest.approx(binomtest(2, 13).pvalue, rel=1e-4)
    listed = text.split("# disagreements\n")[1].splitlines()
    assert len(listed) == 1 + 13
    assert listed[1] == "row-12\ta\ta\tb\tfirst"
    assert main(["runs", *words, "--json"]) == 0
    paired = json.loads(capsys.readouterr().out)["paired"]
    assert paired["split"] == "test"
    assert paired["mcnemar"]["only_second_right"] == 11
    assert main(["runs", *words, "split=val"]) == 2
    assert "val.parquet is missing" in " ".join(capsys.readouterr().err.split())


def test_compare_of_other_examples_says_so(root, capsys):
    labels = np.array([0, 1] * 20)
    predictions(root / "finetune" / FIRST, labels, labels)
    predictions(root / "finetune" / SECOND, labels, 1 - labels)
    assert main(["runs", "compare", "abcdef", "ghijkl", f"runs_dir={root}"]) == 0
    shown = capsys.readouterr()
    assert "not the same examples" in " ".join(shown.err.split())
    assert "McNemar" not in shown.out


def test_compare_shows_keys_of_one_side_and_other_data(root, capsys):
    folder = root / "finetune" / SECOND
    write(folder, "config.yaml", "model: {name: small_cnn}\nname: null\n")
    for each, fingerprint in ((FIRST, "1a"), (SECOND, "2b")):
        write(root / "finetune" / each, "environment.json", {"data": {"fingerprint": fingerprint}})
    text = printed(capsys, "compare", "abcdef", "ghijkl", f"runs_dir={root}")
    settings = {row["key"]: list(row.values())[1:] for row in table(text, "settings that differ")}
    assert settings["model.dropout"] == ["0.1", "(absent)"]
    assert settings["name"] == ["rate 0.001", "-"]
    assert settings["(data fingerprint)"] == ["1a", "2b"]


BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)


@pytest.mark.parametrize("config", [None, "a: [", "- 1", BOMB, "a: &a {b: *a}\n"])
def test_compare_refuses_a_config_that_is_none(root, config):
    path = root / "finetune" / FIRST / "config.yaml"
    path.unlink() if config is None else path.write_text(config)
    with pytest.raises(ArtifactError, match=r"config"):
        runs.runs(["compare", "abcdef", "ghijkl", f"runs_dir={root}"])


def test_best(root, capsys):
    text = printed(capsys, "best", f"runs_dir={root}")
    assert [row["id"] for row in table(text, "best by test.accuracy")] == [SECOND, FIRST]
    text = printed(capsys, "best", f"runs_dir={root}", "metric=test.loss", "data=digits")
    assert [row["test.loss"] for row in table(text, "best by test.loss")] == ["0.3", "0.3"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["lst"], "Did you mean list"),
        (["show"], "one run"),
        (["compare", "a"], "two runs"),
        (["best", "test.loss"], "no run"),
        (["rundir=x"], "rundir=x"),
    ],
)
def test_refuses_what_it_does_not_know(arguments, named):
    with pytest.raises(ConfigError, match=named):
        runs.runs(arguments)


HOSTILE = "a\x1b[31mb\tc\nd [bold]e[/] :dog: \\[f]\\"


def test_names_reach_the_output_as_they_are_and_control_characters_do_not(root, capsys):
    write(root / "finetune" / FIRST, "status.json", {"state": "failed", "name": HOSTILE})
    rows = table(printed(capsys, f"runs_dir={root}"), "runs")
    assert [row["name"] for row in rows if row["id"] == FIRST] == [
        r"a\x1b[31mb\tc\nd [bold]e[/] :dog: \[f]" + "\\"
    ]


def on_terminal(renderable, width):
    stream = io.StringIO()
    Console(file=stream, force_terminal=True, width=width, color_system=None).print(renderable)
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 60, 200])
def test_a_terminal_gets_a_table_with_whole_ids(root, width):
    write(root / "finetune" / FIRST, "status.json", {"state": "failed", "name": HOSTILE})
    text = on_terminal(run_tables.listing(run_query.select(RunTable(root), Query())), width)
    assert FIRST in text
    assert SECOND in text
    assert "\x1b[31m" not in text


def test_a_pipe_gets_whole_lines_however_narrow_the_terminal(root):
    code = "import sys; from fmkit.commands import runs; runs.runs(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, "list", f"runs_dir={root}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "60"},
    )
    rows = table(done.stdout, "runs")
    assert [row["id"] for row in rows] == [SECOND, FIRST]
    assert done.stdout.isascii()


@pytest.mark.parametrize("command", ["runs", "guide"])
def test_what_composes_no_config_loads_neither_hydra_nor_numpy(command, root):
    code = (
        "import sys; from fmkit.cli import main; assert main(sys.argv[1:]) == 0; "
        "heavy = {'hydra', 'omegaconf', 'numpy', 'pandas', 'PIL'}; "
        "sys.exit(', '.join(heavy & {*sys.modules}) or 0)"
    )
    words = [command, *([f"runs_dir={root}"] if command == "runs" else [])]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_names_every_key(capsys):
    assert main(["runs", "--help"]) == 0
    told = capsys.readouterr().out.partition("Settings:")[2]
    for key in runs.OPTIONS:
        assert f"  {key}" in told


def test_csv_has_all_columns_and_exact_numbers(root, capsys):
    write(root / "finetune" / FIRST, "status.json", {"state": "failed", "name": "=cmd()"})
    write(
        root / "finetune" / SECOND,
        "status.json",
        {"state": "done", "name": "a,b", "test": {"accuracy": 1 / 3}},
    )
    rows = list(csv.DictReader(printed(capsys, f"runs_dir={root}", "--csv").splitlines()))
    by_id = {row["id"]: row for row in rows}
    assert by_id[FIRST]["name"] == "'=cmd()"  # no spreadsheet runs it
    assert by_id[SECOND]["name"] == "a,b"
    assert float(by_id[SECOND]["test.accuracy"]) == 1 / 3
    ranked = list(csv.DictReader(printed(capsys, "best", f"runs_dir={root}", "--csv").splitlines()))
    assert [row["id"] for row in ranked] == [SECOND]
    with pytest.raises(ConfigError, match="--csv"):
        runs.runs(["show", FIRST, f"runs_dir={root}", "--csv"])


@pytest.fixture
def own_data(root):
    """Two runs on folders of the user's."""
    for identity, name in ((FIRST, "cats"), (SECOND, "dogs")):
        path = root / "finetune" / identity / "status.json"
        status = json.loads(path.read_text())
        status |= {"data": "image_folder", "data_root": f"/home/me/{name}"}
        path.write_text(json.dumps(status))
    return root


def test_data_of_ones_own_has_its_name(own_data, capsys):
    rows = table(printed(capsys, f"runs_dir={own_data}"), "runs")
    assert [row["data"] for row in rows] == ["dogs", "cats"]
    title = "best by test.accuracy; runs on different data do not compare, add data=NAME"
    assert table(printed(capsys, "best", f"runs_dir={own_data}"), title)
    for word in ("cats", "/home/me/cats"):
        text = printed(capsys, "best", f"runs_dir={own_data}", f"data={word}")
        assert [row["data"] for row in table(text, "best by test.accuracy")] == ["cats"]


def test_in_the_folder_of_a_sweep_its_jobs_are_listed(root, capsys, monkeypatch):
    sweep = root / "sweeps" / "2026-01-03_120000-mnopqr"
    for job in ("0", "1"):
        write(sweep / job, "status.json", {"state": "done", "test": {"accuracy": 0.5}})
        write(sweep / job, ".hydra/overrides.yaml", f"- data=digits\n- runtime.seed={job}\n")
    write(sweep, "multirun.yaml", "")
    monkeypatch.chdir(sweep)
    jobs = table(printed(capsys), "runs")
    assert {row["id"]: row["overrides"] for row in jobs} == {
        "0": "runtime.seed=0", "1": "runtime.seed=1",
    }  # fmt: skip
    assert {row["id"] for row in table(printed(capsys, "best"), "best by test.accuracy")} == {
        "0", "1",
    }  # fmt: skip
    assert "state\tdone" in printed(capsys, "show", "1")
    monkeypatch.chdir(root)
    rows = table(printed(capsys), "runs")
    assert len(rows) == 4
    assert "overrides" not in rows[0]
    text = printed(capsys, f"runs_dir={sweep}")
    assert {row["id"] for row in table(text, "runs")} == {"0", "1"}


def test_folders_of_something_else_are_not_taken_for_runs(tmp_path, capsys, monkeypatch):
    write(tmp_path / "photos" / "cats", "status.json", {"battery": 3})
    monkeypatch.chdir(tmp_path)
    assert printed(capsys) == ""


@pytest.mark.parametrize(("verb", "needed"), [("rm", "one or more runs"), ("compare", "two runs")])
def test_a_verb_without_its_runs_says_what_it_needs(verb, needed, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["runs", verb]) == 2
    assert f"fmkit runs {verb} needs {needed}." in capsys.readouterr().err
