"""The tables on stdout: they fit the terminal, and show the worst classes first."""

import pytest

from fmkit.commands.output import history, result_tables
from fmkit.core import console


def per_class(**rows):
    keys = ("precision", "recall", "f1", "support", "predicted")
    return {name: dict(zip(keys, row, strict=True)) for name, row in rows.items()}


METRICS = {
    "n": 270,
    "accuracy": 0.75,
    "macro_f1": 0.5,
    "loss": 1.25,
    "intervals": {"accuracy": [0.7, 0.8]},
    "per_class": per_class(
        cat=(1.0, 0.8, 0.9, 100, 80), dog=(0.0, 0.0, 0.0, 90, 0), emu=(0.5, 0.7, 0.6, 80, 190)
    ),
}
STATUS = {
    "phases": [
        {"name": "head", "skipped": "", "epochs": 3, "seconds": 1.0,
         "best": {"epoch": 2, "monitor": "val_loss", "value": 0.5}}
    ],
    "val": METRICS, "test": METRICS, "total_seconds": 3.0,
}  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 200])
def test_tables_fit_the_terminal(width, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(console.stdout, "width", width)
    result_tables.result(tmp_path, STATUS, METRICS, [])
    result_tables.evaluation(METRICS, "photos", "test", tmp_path / "test.json", {}, {})
    output = capsys.readouterr().out
    paths = ("run:", "model:", "metrics:", "table:")  # to be copied, so in one line
    lines = [line for line in output.splitlines() if not line.startswith(paths)]
    assert max(map(len, lines)) <= width
    for value in ("0.7500", "0.7000 to 0.8000", "1.2500", "macro F1", "log loss", "val_loss"):
        assert value in output  # none broken in two


def test_the_worst_classes_come_first_and_those_never_predicted_are_named(tmp_path, capsys):
    result_tables.result(tmp_path, STATUS, METRICS, ["fmkit predict run=x", "fmkit eval run=x"])
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in
             METRICS["per_class"]]  # fmt: skip
    assert names == ["dog", "emu", "cat"]
    assert "never predicted: dog" in lines
    assert f"model: {tmp_path / 'model.keras'}" in lines
    assert lines[-2:] == ["next: fmkit predict run=x", "      fmkit eval run=x"]


def test_of_many_classes_the_ten_worst_are_shown(tmp_path, capsys):
    rows = {f"class{number}": (0.5, 0.5, number / 20, 5, 5) for number in range(20)}
    result_tables.result(tmp_path, STATUS, METRICS | {"per_class": per_class(**rows)}, [])
    output = capsys.readouterr().out
    assert "class9" in output
    assert "class10" not in output
    assert "the 10 worst of 20" in output


@pytest.mark.parametrize(
    ("count", "unread", "said"),
    [
        (11, 1, "11 texts, 1 of them could not be read; 10 are shown, the table has all 11"),
        (10, 0, "10 texts"),
        (1_200, 0, "1,200 texts; 10 are shown, the table has all 1,200"),
    ],
)
def test_the_count_of_predictions_says_what_is_shown(count, unread, said, tmp_path, capsys):
    columns = {"id": [f"row-{n}" for n in range(count)], "prediction": ["a"] * count}
    result_tables.predictions(columns, "text", unread, tmp_path / "p.csv")
    assert said in capsys.readouterr().out.splitlines()


def test_the_classes_that_are_confused_most(tmp_path, capsys):
    counts = [[5, 3, 0], [1, 9, 0], [0, 2, 8]]
    classes = ["cat", "dog", "[red]emu"]
    metrics = METRICS | {"confusion": counts, "confusion_classes": classes}
    result_tables.result(tmp_path, STATUS, metrics, [])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    start = lines.index(["class", "taken", "for", "examples", "of", "the", "class"])
    assert lines[start + 2 : start + 5] == [
        ["cat", "dog", "3", "37.5%"], ["[red]emu", "dog", "2", "20.0%"],
        ["dog", "cat", "1", "10.0%"],
    ]  # fmt: skip
    metrics |= {"confusion": [[5, 3], [1, 9]], "confusion_classes": ["cat", "dog"]}
    result_tables.result(tmp_path, STATUS, metrics, [])
    assert "taken for" not in capsys.readouterr().out  # precision and recall say it


def epochs(**phases):
    return [
        {"phase": phase, "epoch": number, "val_loss": value, "loss": 1.0}
        for phase, values in phases.items()
        for number, value in enumerate(values, start=1)
    ]


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ({"head": [0.9, 0.2, 0.5]}, "val_loss: head █▁▄ 0.9 to 0.5"),
        ({"head": [1.0, 0.5], "full": [0.0]}, "val_loss: head █▅ 1 to 0.5, full ▁ 0"),
        ({"head": [1.0, float("nan"), 1.0, 1]}, "val_loss: head ▁▁▁ 1 to 1"),
        ({"head": [1.0, 0.5]}, None),
        ({"head": [None] * 4}, "loss: head ▁▁▁▁ 1 to 1"),
    ],
)
def test_a_line_of_history(phases, expected):
    written = [expected] if expected else []
    assert history.lines(epochs(**phases), "", with_unicode=True) == written
    plain = history.lines(epochs(**phases), "", with_unicode=False)
    assert all(line.isascii() for line in plain)
    assert len(plain) == len(written)


def test_a_long_history_is_thinned_and_has_both_metrics():
    rows = [row | {"val_f1": row["val_loss"]} for row in epochs(full=[*range(999), 2000])]
    first, second = history.lines(rows, "val_f1", with_unicode=True)
    assert first.endswith("█ 0 to 2000")
    assert second.startswith("val_f1: full ▁")
    assert len(first) < 50
