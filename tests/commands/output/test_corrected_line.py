"""What a message proposes is repeated in the user's own line, whichever message it is."""

import json
import shlex

import pytest
from omegaconf import OmegaConf

from fmkit.cli import main
from fmkit.commands.output.corrected_line import add_corrected_line
from fmkit.config import command_line
from fmkit.config.saved_config import setting, shell_setting
from fmkit.core.errors import ConfigError, DataError, FmkitError, NonFiniteError

PHOTOS = ["finetune", "photos", "data.batch_size=64"]

PROPOSALS = {
    "a hint": (
        DataError("cut.jpg is damaged.", "Remove it, or leave it out: data.on_bad=skip"),
        "photos data.batch_size=64 data.on_bad=skip",
    ),
    "the message": (
        DataError("broken (1 file):\n   cut.jpg\n   Replace or remove them, or leave them out with "
                  "data.on_bad=skip."),
        "photos data.batch_size=64 data.on_bad=skip",
    ),
    "a setting of the user's": (
        ConfigError("memory ran out, with data.batch_size=64.", "Try data.batch_size=32; or less."),
        "photos data.batch_size=32",
    ),
    "the first of alternatives": (
        ConfigError("It needs labels. Take task=multi_label or task=regression."),
        "photos data.batch_size=64 task=multi_label",
    ),
    "two that belong together": (
        ConfigError("Unknown.", "Name both: data.label_columns=[a,b] and task.loss='mse'."),
        "photos data.batch_size=64 'data.label_columns=[a,b]' \"task.loss='mse'\"",
    ),
    "several problems": (
        ConfigError("2 problems:\n1. no labels. Take task=simclr.\n2. no stage. Choose one, such "
                    "as stage=lp_ft."),
        "photos data.batch_size=64 task=simclr stage=lp_ft",
    ),
    "other sources, which need other files": (
        ConfigError("It learns numbers. Use data=image_table or data=arrays; or "
                    "task=classification."),
        "photos data.batch_size=64 task=classification",
    ),
    "what a setting would do": (
        ConfigError("Not there.", "runtime.jit=false compiles nothing."),
        "photos data.batch_size=64 runtime.jit=false",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROPOSALS)
def test_the_line_is_repeated(name):
    error, line = PROPOSALS[name]
    hint = error.hint
    add_corrected_line(error, "finetune", PHOTOS)
    assert error.hint == f"{hint}\nType: fmkit finetune {line}".lstrip()


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("cannot read 'x'. Settings are written key=value, such as data.batch_size=6."),
        ConfigError("It has data.val_fraction=0, and stage.full.epochs=3 is for task=x."),
        ConfigError("No run.", "Name one: fmkit predict run=last input=photos"),
        ConfigError("Set data.batch_size=64."),  # as it is already
        ConfigError("Set stage.PHASE.epochs=3, or output=FILE."),  # not keys of this command
        ConfigError("data.root is missing. Say data.root=PATH, a folder."),
        NonFiniteError("NaN.", "Use runtime.precision=float32."),  # after hours of training
        FmkitError("a defect", "Set data.on_bad=skip."),
        DataError("2 problems:\n1. broken. Leave it out with data.on_bad=skip.\n2. None is left."),
    ],
    ids=[
        "syntax",
        "statements",
        "a whole line",
        "the same",
        "no key",
        "a placeholder",
        "later",
        "defect",
        "one of two",
    ],
)
def test_nothing_is_added(error):
    hint = error.hint
    add_corrected_line(error, "finetune", PHOTOS)
    assert error.hint == hint


COMMANDS = {
    "train photos": "Type: fmkit train photos data.on_bad=skip",
    "finetune data=digits model=small_cnn data.val_fraction=0":
        "Type: fmkit finetune data=digits model=small_cnn data.val_fraction=0 task.monitor=loss",
}  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS)
def test_what_the_commands_say(words, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (photos / "red" / "broken.png").write_bytes(b"x")
    assert main(words.split()) in (2, 3)
    assert COMMANDS[words] in " ".join(capsys.readouterr().err.split())


VALUES = [
    "plain", "Tag 1", "Which topics? (tick all; or none.) Say more", "it's", 'say "hi"', "a or b",
    "5 $ ${x}", "back\\slash\\", "C:\\new folder\\a's", "größe", "01", "1e3", "null", "True", "a=b",
    "[a]", "{b}", "a,b", "~x", "!", "#1", "'", '"',
]  # fmt: skip


def typed_value(line, key):
    """The value of a key on a command line, as a shell, Hydra and OmegaConf read it."""
    _, command, *words = shlex.split(line)
    return OmegaConf.create({"x": command_line.parse(command, words).value(key)}).x


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("write", [setting, shell_setting], ids=["for Hydra", "for a shell"])
def test_a_proposal_with_any_value_is_repeated_as_it_is_typed(value, write):
    key = "data.label_column"
    assert typed_value(f"fmkit check {shell_setting(key, value)}", key) == value
    error = DataError("Which?", f"Look. Say {write(key, value)} or data.on_bad=skip; or leave.")
    add_corrected_line(error, "check", ["check", "my table.csv", "data.label_column=x y"])
    line = error.hint.partition("\nType: ")[2]
    assert shlex.split(line)[:3] == ["fmkit", "check", "my table.csv"]
    assert typed_value(line, key) == value


@pytest.mark.parametrize("value", [value for value in VALUES if "\\" not in value])
def test_a_column_is_proposed_so_that_it_can_be_typed(value, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data.jsonl").write_text(
        "\n".join(
            json.dumps({"text": f"a text number {n}", value: "ab"[n % 2], "other": "cd"[n % 2]})
            for n in range(8)
        )
    )
    assert main(["check", "my data.jsonl"]) == 2
    hint = capsys.readouterr().err.partition("Say which: ")[2]
    assert "Type:" not in hint
    line = hint.replace("\n  ", " ").strip()
    assert shlex.split(line)[:3] == ["fmkit", "check", "my data.jsonl"]
    assert typed_value(line, "data.label_column") == value


def test_the_path_of_a_table_is_proposed_so_that_it_can_be_typed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables").mkdir()
    for name in ("one's (1).csv", "two.csv"):
        (tmp_path / "tables" / name).write_text("text,label\na text,a\nb text,b\n")
    for typed in (["tables"], ["data.root=tables"]):
        assert main(["check", *typed, "data.label_column=label"]) == 2
        line = capsys.readouterr().err.partition("Name the one to learn from: ")[2].strip()
        words = command_line.parse("check", shlex.split(line)[2:])
        assert (words.paths or [words.value("data.root")]) == ["tables/one's (1).csv"]
