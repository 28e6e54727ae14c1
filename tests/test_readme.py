"""The commands of the README and of the guide are commands that work, as they stand."""

import re
import shlex
from pathlib import Path

import pytest
from whole_runs import make_examples

from fmkit.cli import main
from fmkit.commands import cache, guide, report, resume, runs
from fmkit.config import command_line
from fmkit.config.schema.data import ImageData
from fmkit.config.schema.keys import key_infos
from fmkit.config.schema.optimizer import OptimizerConfig

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README": README} | {
    name: page.path.read_text(encoding="utf-8") for name, page in guide.pages().items()
}
LINES = [
    (name, re.split(r"\s{3,}|  #| > ", line.strip())[0])
    for name, text in PAGES.items()
    for line in text.splitlines()
    if line.startswith("    fmkit ")
]
TRAINING = [row for row in LINES if row[1].split()[1] in ("pretrain", "finetune")]
OTHERS = [row for row in LINES if row not in TRAINING]


def test_the_first_page_stays_short():
    assert len(README.splitlines()) <= 220, "the rest is for the pages of the guide"


@pytest.mark.parametrize(("page", "line"), TRAINING)
def test_training_commands_compose(page, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_examples(tmp_path)
    words = [
        word for word in shlex.split(line)[1:] if word != "--json" and not word.startswith("init=")
    ]
    if "-m" in words:  # one job of a sweep
        words = [re.sub(r",[^,=]+", "", word) for word in words if word != "-m"]
    assert main([*words, "--cfg", "job"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(("page", "line"), OTHERS)
def test_the_other_commands_are_read(page, line, capsys):
    command, *words = [
        word for word in shlex.split(line)[1:] if word not in ("--json", "--csv", "--yes")
    ]
    if command == "resume":
        assert resume.parse(words).run
    elif command == "report":
        assert report.parse(words)[0]
    elif command in ("runs", "cache"):
        verb, *rest = [word for word in words if not re.search("[=<>~]", word)] or ["list"]
        assert verb in (runs.VERBS if command == "runs" else cache._VERBS)
        least, most = (0, len(rest)) if command == "cache" else runs.VERBS[verb]
        assert least <= len(rest) <= most
    elif command in ("help", "guide", "schema", "doctor", "models", "data", "--help"):
        assert main([command, *words]) == 0, capsys.readouterr().err
    else:
        if command == "tokenizer":
            assert words.pop(0) == "train"
        read = command_line.parse(command, words)
        assert read.overrides or read.paths


def test_every_command_has_an_example():
    examples = {line.split()[1] for _, line in LINES}
    assert examples >= {"check", "eval", "generate", "predict", "resume", "runs", "tokenizer"}


def test_links_of_pages_lead_somewhere():
    for name, text in PAGES.items():
        folder = ROOT if name == "README" else ROOT / "fmkit" / "guide"
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if "://" not in target:
                assert (folder / target).exists(), f"{name}: {target}"


def test_the_set_up_is_what_ci_does():
    assert "pip install -e '.[demo]' && fmkit finetune" in README
    assert "pip install -e '.[test]' && pytest" in README
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install -q -e '.[test]'\npytest\npytest -m slow\n" in steps


def test_names_in_the_readme_are_allowed_ones():
    for config, key in ((ImageData, "augment"), (OptimizerConfig, "schedule")):
        for name in key_infos(config)[key].choices:
            assert f"`{name}`" in README
