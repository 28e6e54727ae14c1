"""The guide on the terminal: its list, a page, and a page that does not exist."""

import io

import pytest
from rich.console import Console

from fmkit.cli import main
from fmkit.commands import guide
from fmkit.core import console


def test_every_page_is_listed_with_its_first_sentence(capsys):
    assert main(["guide"]) == 0
    lines = capsys.readouterr().out.splitlines()
    pages = guide.pages()
    assert len(pages) > 20
    for line, (topic, page) in zip(lines, pages.items(), strict=False):
        name, _, summary = line.partition(" ")
        assert name == topic
        assert page.title
        assert summary.strip() == page.summary
        assert page.summary.endswith((".", "`."))


def test_a_pipe_gets_the_page_as_it_is_written(capsys):
    assert main(["guide", "stages"]) == 0
    assert capsys.readouterr().out == guide.pages()["stages"].path.read_text(encoding="utf-8")


def test_a_terminal_gets_it_rendered(monkeypatch):
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=70, color_system=None)
    monkeypatch.setattr(console, "stdout", terminal)
    guide.show("stages")
    text = stream.getvalue()
    assert "# Stages" not in text
    assert "Stages" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "part"), [(["stage"], "Did you mean stages"), (["a", "b"], "one page")]
)
def test_a_page_that_does_not_exist(words, part, capsys):
    assert main(["guide", *words]) == 2
    assert part in capsys.readouterr().err
