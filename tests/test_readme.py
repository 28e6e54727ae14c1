"""The README's commands are commands that work, as they stand."""

import re
import shlex
from pathlib import Path

import pytest

from fmkit.cli import main
from fmkit.commands import resume
from fmkit.config import command_line
from fmkit.config.schema.data import ImageData
from fmkit.config.schema.keys import key_infos
from fmkit.config.schema.optimizer import OptimizerConfig

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
INDENTED = [line.strip() for line in README.splitlines() if line.startswith("    fmkit ")]
COMMANDS = [re.split(r"\s{3,}", line)[0] for line in INDENTED]
TRAINING = [each for each in COMMANDS if each.split()[1] in ("pretrain", "finetune")]


@pytest.mark.parametrize("line", TRAINING)
def test_training_commands_compose(line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [word for word in shlex.split(line)[1:] if word != "init=last"]
    if "-m" in words:  # one job of a sweep
        words = [re.sub(r",[^,=]+", "", word) for word in words if word != "-m"]
    assert main([*words, "--cfg", "job"]) == 0, capsys.readouterr().err


def test_the_other_commands_are_read():
    others = [shlex.split(each)[1:] for each in COMMANDS if each not in TRAINING]
    told = {words[0] for words in others} - {"tokenizer"}
    assert told == {"check", "eval", "generate", "predict", "resume", "runs"}
    for words in others:
        if words[:2] == ["tokenizer", "train"]:
            words = ["tokenizer", *words[2:]]
        if words[0] == "resume":
            assert resume.parse(words[1:]).run
        elif words[0] != "runs":
            assert command_line.parse(words[0], words[1:]).overrides


def test_the_set_up_is_what_ci_does():
    assert "pip install -e '.[demo]' && fmkit finetune" in README
    assert "pip install -e '.[test]' && pytest" in README
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install -q -e '.[test]'\npytest" in steps


def test_names_in_the_readme_are_allowed_ones():
    for config, key in ((ImageData, "augment"), (OptimizerConfig, "schedule")):
        for name in key_infos(config)[key].choices:
            assert f"`{name}`" in README
