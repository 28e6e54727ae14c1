"""Shell completion: the candidates for a line, and scripts that a shell can read."""

import subprocess

import pytest

from fmkit.cli import ALIASES, COMMANDS, main
from fmkit.commands.completion import candidates


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fmkit fine", ["finetune "]),
        ("fmkit train mod", ["model=", "model."]),
        ("fmkit finetune model=mobilenet_v3", ["model=mobilenet_v3_large ",
                                               "model=mobilenet_v3_small "]),
        ("fmkit finetune optimizer.le", ["optimizer.learning_rate="]),
        ("fmkit finetune optimizer=sgd optimizer.nest", ["optimizer.nesterov="]),
        ("fmkit finetune optimizer.nest", []),
        ("fmkit finetune data=text_table data.text", ["data.text_column="]),
        ("fmkit finetune stage=lora stage.adapters.ep", ["stage.adapters.epochs="]),
        ("fmkit finetune data.flip=h", ["data.flip=horizontal "]),
        ("fmkit finetune runtime.deterministic=", ["runtime.deterministic=true ",
                                                   "runtime.deterministic=false "]),
        ("fmkit finetune experiment=solar_cells_", ["experiment=solar_cells_small "]),
        ("fmkit finetune photos recipe=a", ["recipe=auto "]),
        ("fmkit eval run=", ["run=last "]),
        ("fmkit runs be", ["best "]),
        ("fmkit completion f", ["fish "]),
        ("fmkit guide gett", ["getting-started "]),
        ("fmkit doctor x", []),
    ],
)  # fmt: skip
def test_candidates(line, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert candidates(line) == expected


def test_every_command_is_a_candidate():
    assert {name.strip() for name in candidates("fmkit ")} == {*COMMANDS, *ALIASES, "help"}


def test_bash_completes_what_follows_an_equals_sign(tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    fake = tmp_path / "fmkit"
    fake.write_text("#!/bin/sh\nprintf 'data=digits \\ndata=elpv \\n'\n")
    fake.chmod(0o755)
    test = f"""{script}
PATH={tmp_path}:$PATH COMP_LINE="fmkit finetune data=" COMP_POINT=20
_fmkit; printf '<%s>' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", test], capture_output=True, text=True, check=True)
    assert done.stdout == "<digits ><elpv >"


def test_another_shell_is_refused(capsys):
    assert main(["completion", "tcsh"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err
