"""Names from outside on a terminal and in tables: shown literally, and harmless."""

import csv
import io
import json
import subprocess
import sys
from unittest import mock

import pandas as pd
import pytest
from rich.console import Console

from fmkit.commands.runs import Rows
from fmkit.core import console, files, safe_io, sanitize
from fmkit.evaluation.write import write_table

NAMES = [
    *("\x1b]0;title\x07", "[red]x[/]", "[link=http://x]y[/link]", "a\nb", "a\tb", "a\r", "tail\\"),
    *("\\[b]", ":dog:", "=cmd|' /C calc'!A0", "+1", "-photo", "@x", "\u202egpj.exe", "\x9b31m"),
    *("<script>alert(1)</script>", "../../x", "a: !!python/name:x", "\x00", "Zoë 🙂", "'"),
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_terminal_shows_a_name_as_it_is_on_one_line(name, monkeypatch):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=200, emoji=False, highlight=False)
    terminal.print(console.escape_markup(name), end="")
    assert screen.getvalue() == sanitize.escape_invisible(name)
    assert not sanitize.INVISIBLE.search(screen.getvalue())


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_messages_and_tables_do_so_too(name, capsys):
    console.info(name)
    console.warning(name)
    console.error(name, name)
    console.stdout.print(Rows(name, ("name",), [[name]]))
    output = capsys.readouterr()
    for line in (output.out + output.err).splitlines():
        assert not sanitize.INVISIBLE.search(line)
    if "\n" not in name:
        assert output.err.splitlines()[0] == sanitize.escape_invisible(name)


def test_what_looks_like_a_secret_is_struck_out_of_messages(capsys):
    console.error("api_token=abc and 'password': 'x y' at https://me:pw@host/a", "key: b")
    output = capsys.readouterr().err
    assert not [each for each in ("abc", "x y", "pw@") if each in output]
    assert "key: b" in output


@pytest.mark.parametrize(
    "text", ["data.label_key=labels", "tokenizer=bert", "s3://bucket/x@2", "key=${oc.env:FMKIT_X}",
             "a class named token", "C:/Users/x", "runs/a@b:c"]
)  # fmt: skip
def test_what_is_no_secret_stays(text):
    assert sanitize.redact(text) == text


def test_a_table_for_people_holds_no_formula(tmp_path):
    columns = {"path": NAMES, "confidence": [-0.5] * len(NAMES)}
    write_table(tmp_path / "found.csv", columns)
    with (tmp_path / "found.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["confidence"] for row in rows] == ["-0.5"] * len(NAMES)
    for row, name in zip(rows, NAMES, strict=True):
        assert row["path"].removeprefix("'") == name.removeprefix("'")
        assert not row["path"].startswith(("=", "+", "-", "@", "\t"))
    write_table(tmp_path / "found.parquet", columns)
    assert list(pd.read_parquet(tmp_path / "found.parquet")["path"]) == NAMES


@pytest.mark.parametrize("name", [*NAMES, "\udcff", "\u2028"], ids=repr)
def test_json_holds_any_name(name, tmp_path):
    files.write_json(tmp_path / "x.json", {name: [name]})
    assert json.loads((tmp_path / "x.json").read_bytes()) == {name: [name]}
    files.append_json_line(tmp_path / "x.jsonl", {"name": name})
    assert list(safe_io.read_json_lines(tmp_path / "x.jsonl")) == [{"name": name}]


@pytest.mark.parametrize(
    ("is_terminal", "is_jupyter", "has_widgets", "expected"),
    [(True, False, False, True), (False, False, True, False), (False, True, True, True),
     (False, True, False, False)],
)  # fmt: skip
def test_a_bar_moves_on_a_terminal_and_in_a_notebook_with_widgets(
    is_terminal, is_jupyter, has_widgets, expected, monkeypatch
):
    shown = Console(force_terminal=is_terminal, force_jupyter=is_jupyter)
    monkeypatch.setattr(console, "stderr", shown)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if has_widgets else None)
    assert console.can_animate() == expected


_NATIVE = """
import os, pathlib, sys, warnings
from fmkit.core import console
with console.redirect_stderr(pathlib.Path("first.txt")):
    os.write(2, b"native 1\\n")
    console.info("ours 1")
    with console.redirect_stderr(pathlib.Path("second.txt")):
        os.write(2, b"native 2\\n")
        warnings.warn("of Python")
        console.warning("ours 2")
    os.write(2, b"native 3\\n")
    os.write(console.signals.message_descriptor, b"of a signal\\n")
os.write(2, b"native 4\\n")
console.error("ours 3")
"""


def test_what_libraries_write_goes_to_the_log_and_our_own_messages_do_not(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", _NATIVE], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stderr.splitlines() == [
        "ours 1", "warning: ours 2", "of a signal", "native 4", "error: ours 3"
    ]  # fmt: skip
    assert (tmp_path / "first.txt").read_text() == "native 1\n"
    second = (tmp_path / "second.txt").read_text()
    assert second.startswith("native 2\n")
    assert second.endswith("native 3\n")
    assert "UserWarning: of Python" in second


def test_a_slow_block_says_what_it_does_and_a_quick_one_nothing(monkeypatch, capsys):
    timer = mock.MagicMock()
    monkeypatch.setattr(console.threading, "Timer", timer)
    with console.announce_slow("loading") as done:
        _, function, arguments = timer.call_args.args
        function(*arguments)  # what the timer does when its time has come
        assert capsys.readouterr().err == "loading\n"
        timer().cancel.assert_not_called()
        done()
        timer().cancel.assert_called_once()
    timer().reset_mock()
    with pytest.raises(KeyError), console.announce_slow("loading"):
        raise KeyError
    timer().start.assert_called_once()
    timer().cancel.assert_called_once()
    timer().reset_mock()
    with console.announce_slow("loading", verbose=False):
        timer().start.assert_not_called()
