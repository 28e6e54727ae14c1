"""What a message proposes is repeated in the user's own line, whichever message it is."""

import pytest

from fmkit.cli import main
from fmkit.commands.output.corrected_line import add_corrected_line
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
        "photos data.batch_size=64 'data.label_columns=[a,b]' 'task.loss='\"'\"'mse'\"'\"''",
    ),
    "several problems": (
        ConfigError("2 problems:\n1. no labels. Take task=simclr.\n2. no stage. Choose one, such "
                    "as stage=lp_ft."),
        "photos data.batch_size=64 task=simclr stage=lp_ft",
    ),
    "what a setting would do": (
        ConfigError("Not there.", "runtime.jit=false compiles nothing."),
        "photos data.batch_size=64 runtime.jit=false",
    ),
    "a placeholder": (
        ConfigError("data.root is missing. Say data.root=PATH, a folder."),
        "photos data.batch_size=64 data.root=PATH",
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
