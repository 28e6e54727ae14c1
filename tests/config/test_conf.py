"""Every option of every group composes into its dataclass."""

import os

import pytest

from fmkit.config import command_line, compose
from fmkit.config.preflight import check
from fmkit.config.registry import BASES, COMMANDS, GROUPS, all_config_classes, config_class
from fmkit.config.schema.keys import key_infos
from fmkit.config.schema.stage import PhaseConfig
from fmkit.data.sources import registry as source_registry
from fmkit.models import registry as model_registry
from fmkit.tasks import registry as task_registry

NAMES = {
    "model.name": model_registry.names(),
    "data.name": source_registry.names(),
    "task.name": task_registry.names(),
}
FILES = sorted((group, name) for group in GROUPS for name in compose.option_names(group))
NEEDS = {
    "image_folder": ["data.root=photos"],
    "photos": ["data.root=photos", "task=simclr"],
    "text_files": ["data.root=texts", "task=masked_lm", "model=small_bert"],
    "text_lines": ["data.root=texts.txt", "task=causal_lm", "model=small_gpt"],
    "masked_lm": ["data=text_files", "data.root=texts", "model=small_bert"],
    "causal_lm": ["data=text_lines", "data.root=texts.txt", "model=small_gpt"],
    "squad": ["data.root=train.json", "task=question_answering", "model=small_bert"],
    "question_answering": ["data=squad", "data.root=train.json", "model=small_bert"],
    "preferences": ["data.root=pairs.jsonl", "task=dpo", "model=small_gpt"],
    "dpo": ["data=preferences", "data.root=pairs.jsonl", "model=small_gpt"],
    "chat": ["data.root=chats.jsonl", "task=instruction", "model=small_gpt"],
    "instruction": ["data=chat", "data.root=chats.jsonl", "model=small_gpt"],
    "smollm2_instruct": ["data.root=chats.jsonl"],
    "image_table": ["data.root=photos.csv"],
    "conll": ["data.root=words.txt", "task=token_classification", "model=small_bert"],
    "token_table": ["data.root=words.csv", "task=token_classification", "model=small_bert"],
    "token_classification": ["data=conll", "data.root=words.txt", "model=small_bert"],
    "text_folder": ["data.root=texts"],
    "text_table": ["data.root=texts.csv"],
    "arrays": ["data.root=photos.npz"],
    "hub": ["model.preset=resnet_18_imagenet"],
    "solar_cells": ["data.root=photos"],
    "multi_label": ["data=text_table", "data.root=texts.csv", "model=small_bert"],
    "regression": ["data=image_table", "data.root=photos.csv"],
    "joint": ["task.objectives.one.task=classification", "task.objectives.two={}"],
}


def checked(command, *words):
    return check(command_line.parse(command, words), NAMES)


def test_every_file_is_seen():
    found = sum(len(names) for _, _, names in os.walk(compose.conf_dir()))
    assert found == len(FILES) + len(COMMANDS)


@pytest.mark.parametrize(("group", "name"), FILES)
def test_every_option_composes(group, name):
    config = checked("finetune", f"{group}={name}", *NEEDS.get(name, []))
    if group in BASES:
        assert isinstance(getattr(config, group), config_class(group, name))


@pytest.mark.parametrize("name", model_registry.names())
def test_every_model_is_an_option(name):
    assert checked("finetune", f"model={name}", *NEEDS.get(name, [])).model.name == name


def test_lp_ft_scales_the_second_rate_with_the_first():
    stage = checked("finetune", "optimizer.learning_rate=0.02").stage
    assert list(stage) == ["head", "full"]
    assert stage["head"].learning_rate is None
    assert stage["full"].learning_rate == pytest.approx(0.002)


def test_rates_by_block_are_set_from_the_command_line_and_from_a_file(tmp_path):
    words = ["stage.full.rates={stem:0.1}", "stage.full.rates.head=2"]
    assert checked("finetune", *words).stage["full"].rates == {"stem": 0.1, "head": 2.0}
    (tmp_path / "stage").mkdir()
    text = "full: {train: all, rates: {'block_[0-3]|a.b': 0.5}}\n"
    (tmp_path / "stage" / "mine.yaml").write_text(text)
    words = [f"--config-dir={tmp_path}", "stage=mine", "stage.full.rates={stem:0.1}"]
    rates = checked("finetune", *words).stage["full"].rates
    assert rates == {"block_[0-3]|a.b": 0.5, "stem": 0.1}


def test_a_phase_can_be_dropped():
    assert list(checked("finetune", "~stage.full").stage) == ["head"]


def test_a_stage_of_ones_own_has_any_phases(tmp_path):
    (tmp_path / "stage").mkdir()
    text = "warm: {train: head, epochs: 1}\nthird: {train: all, epochs: 20 steps}\n"
    (tmp_path / "stage" / "mine.yaml").write_text(text)
    stage = checked("finetune", f"--config-dir={tmp_path}", "stage=mine", "stage.third.patience=2")
    assert list(stage.stage) == ["warm", "third"]
    assert stage.stage["third"] == PhaseConfig(train="all", epochs="20 steps", patience=2)


def test_every_field_says_what_it_means():
    classes = {each for group in BASES for each in all_config_classes(group)}
    for kind in {*classes, *COMMANDS.values(), PhaseConfig}:
        assert all(info.help for info in key_infos(kind).values()), kind


@pytest.mark.parametrize(
    ("words", "rank"),
    [
        ([], 0),
        (["stage=lora"], 8),
        (["stage.full.train=lora"], 8),
        (["stage=lora", "model.lora_rank=4"], 4),
        (["model.lora_rank=4"], 4),
    ],
)
def test_adapters_have_a_rank_unless_one_is_set(words, rank):
    assert checked("finetune", *words).model.lora_rank == rank
