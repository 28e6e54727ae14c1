"""Help fits on two screens, comes at once, and explains every group and key."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from whole_runs import make_examples

from fmkit.cli import COMMANDS, SUMMARIES, main
from fmkit.commands import guide, help
from fmkit.commands.command_help import COMMAND_HELP
from fmkit.config import command_line, suggest
from fmkit.config.registry import COMMANDS as COMPOSED


def told(capsys, *words):
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_the_overview_names_every_command(capsys):
    text = told(capsys, "--help")
    for name, summary in SUMMARIES.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", text, re.MULTILINE)
    assert text == told(capsys) == told(capsys, "help")
    assert max(map(len, text.splitlines())) <= help.WIDTH


def test_train_is_another_word_for_finetune(capsys):
    assert told(capsys, "train", "--help") == told(capsys, "finetune", "--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_fits_on_two_screens(name, capsys):
    text = told(capsys, name, "--help")
    if name != "data":  # the group has that word
        assert text == told(capsys, "help", name)
    lines = text.splitlines()
    assert len(lines) <= 48
    assert max(map(len, lines)) <= help.WIDTH
    assert lines[0] == f"fmkit {name}: {SUMMARIES[name]}."
    assert "Examples:" in lines


@pytest.mark.parametrize(
    "name", [each for each in COMPOSED if each not in ("pretrain", "finetune")]
)
def test_every_key_of_a_command_is_on_its_screens(name, capsys):
    text = told(capsys, name, "--help")
    for key in help._own_keys(name):
        assert f"  {key.assigned}" in text


EXAMPLES = [words for content in COMMAND_HELP.values() for words in content.examples]


@pytest.mark.parametrize("words", EXAMPLES)
def test_examples_are_read(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_examples(tmp_path)
    _, name, *rest = shlex.split(words)
    if name in ("finetune", "pretrain") and "init=last" not in rest:
        one_job = [
            re.sub(r",[^,=]+", "", word) for word in rest if word not in ("-m", "--cfg", "job")
        ]
        one_job = [word for word in one_job if not word.startswith("model.tokenizer=")]
        assert main([name, *one_job, "--cfg", "job"]) == 0, capsys.readouterr().err
    elif name in COMPOSED:
        line = command_line.parse(name, [word for word in rest if word != "train"])
        assert line.overrides or line.paths


def test_a_group_has_all_its_keys_and_options(capsys):
    text = told(capsys, "help", "data")
    assert told(capsys, "finetune", "--help", "data") == text
    for key in ("data.batch_size=32", "data.label_column=label", "data.root", "data.image_key"):
        assert f"  {key}" in text
    assert "With data=image_table" in text
    assert "image_folder" in text
    assert "See also: fmkit guide data" in text
    assert "head.epochs=4" in told(capsys, "help", "stage")
    assert "task.objectives.NAME.weight" in told(capsys, "help", "task")


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("model.lora_rank", ["model.lora_rank=null", "LoRA"]),
        ("data.augment", ["Augmentation preset", "Allowed: none, light, medium, strong"]),
        ("model.image_size", ["from 8 to 4096 pixels"]),
        ("stage.full.epochs", ["stage.PHASE.epochs=10", "number of epochs"]),
        ("task.objectives.both.weight", ["task.objectives.NAME.weight"]),
        ("task.beta", ["task.beta=0.1", "With task=dpo"]),
        ("recipe", ["recipe=none", "auto"]),
        ("runtime.wandb.mode", ["runtime.wandb.mode=null", "Allowed: online, offline"]),
        ("bootstrap", ["bootstrap=1000"]),
    ],
)
def test_one_key_is_explained(key, parts, capsys):
    text = told(capsys, "help", key)
    for part in parts:
        assert part in text
    assert told(capsys, "finetune", "--help", key) == text


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("page", "called 'page'"),
        ("data.page", "called 'data.page'"),
        ("colum", "data.label_column"),
        ("batchsiz", "Did you mean data.batch_size?"),
        ("excel", "In the guide: fmkit guide "),
        ("moment", "In the meaning of: optimizer."),
    ],
)
def test_a_word_without_a_topic_lists_no_hundreds(word, said, capsys):
    assert main(["help", word]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err) < 600
    assert "fmkit guide" in err


def test_all_has_every_key(capsys):
    text = told(capsys, "finetune", "--help", "all")
    for key in ("recipe=none", "model.lora_rank=null", "optimizer.nesterov", "runtime.keep=1"):
        assert f"  {key}" in text
    assert "bootstrap" not in text
    assert "bootstrap" in told(capsys, "help", "all")


def test_a_page_of_the_guide_is_a_topic(capsys):
    text = guide.pages()["stages"].path.read_text(encoding="utf-8")
    assert told(capsys, "help", "stages") == text


@pytest.mark.parametrize(
    ("topic", "near"),
    [
        ("model.lora_rnk", "model.lora_rank"),
        ("lora_rnk", "model.lora_rank"),
        ("optimiser", "optimizer"),
        ("stages2", "stages"),
    ],
)
def test_an_unknown_topic_gets_the_nearest_names(topic, near, capsys):
    assert main(["help", topic]) == 2
    assert near in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ("lr", "optimizer.learning_rate=0.001 stage.PHASE.learning_rate=null"),
        ("wd", "optimizer.weight_decay=0.0"),
        ("bs", "batch_size=32 data.batch_size=32"),
        ("epochs", "stage.PHASE.epochs=10"),
        ("Batch", "data.batch_size=32"),
        ("gpu", "runtime.devices=one"),
        ("fp16", "runtime.precision=auto"),
        ("dropout", "model.dropout=0.1"),
        ("seed", "runtime.seed=0"),
        ("report_to", "runtime.loggers=null"),
        ("checkpoint", "init=null runtime.keep=1"),
    ],
)
def test_usual_words_of_the_field_find_the_keys(word, keys, capsys):
    lines = told(capsys, "help", word).splitlines()
    assert set(keys.split()) <= set(lines)
    assert max(map(len, lines)) <= help.WIDTH


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("early stopping", "stage.PHASE.patience"), ("learning rate", "optimizer.learning_rate"),
        ("data augment", "data.augment"), ("frozen features", "# Frozen features"),
        ("model resnet", "model=OPTION"),
    ],
)  # fmt: skip
def test_several_words_are_one_topic(words, said, capsys):
    assert main(["help", *words.split()]) == 0
    assert said in capsys.readouterr().out


def test_several_unknown_words_are_looked_for_together(capsys):
    assert main(["help", "calibration", "erorr"]) == 2
    assert "called 'calibration erorr'" in capsys.readouterr().err


def test_a_key_of_a_command_says_of_which(capsys):
    text = told(capsys, "help", "seed")
    assert "Seed of the sampling.\n    Of fmkit generate.\n" in text


def test_every_usual_word_stands_for_a_key():
    for word in suggest.SYNONYMS:
        assert help._called(word), word


def test_the_list_of_commands_does_not_load_numpy():
    code = (
        "import sys; from fmkit.cli import main; main(['--help'])\n"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'hydra', 'yaml')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_help_takes_less_than_a_second_and_imports_no_framework():
    code = (
        "import sys; from fmkit.cli import main; main(['finetune', '--help'])\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'pandas')))"
    )
    before = os.times()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    spent = os.times()
    seconds = sum(spent[2:4]) - sum(before[2:4])  # of children: other work does not count
    assert seconds < 1
