"""Preference tuning through the real loop: what it compares with is kept, and always the start."""

import dataclasses
import json

import numpy as np
import pytest
from small_runs import assembled, settings, train
from test_resume import assert_same, cut, go_on, snapshot

from fmkit.config.schema.data import PreferencesData
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import DpoConfig
from fmkit.core.types import Message
from fmkit.data import splits
from fmkit.data.content.texts import Pair, Preferences
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.train import assemble, devices
from fmkit.train.checkpoints import resume


def pairs(count=40):
    """Yes is preferred to no, in answers of many lengths."""
    drawn, rows = np.random.default_rng(0), []
    for number in range(count):
        more = " ".join(drawn.choice(["indeed", "so", "then", "now"], drawn.integers(1, 4)))
        rows.append(Pair(f"Question {number}:", f" yes {more}", f" no {more}"))
    return Examples(
        ids=tuple(f"row-{each:06d}" for each in range(count)),
        labels=np.zeros(count, np.int32),
        classes=(),
        content=Preferences(tuple(rows)),
        splits=np.where(np.arange(count) % 5 == 4, "val", "train"),
    )


def preference_settings(cache, stage=None, rank=0, **changes):
    stage = stage or {"all": PhaseConfig(train="all", epochs="2")}
    config = settings(
        stage, runtime_cache_dir=str(cache), runtime_save_every="1 steps", runtime_keep=99,
        **changes,
    )  # fmt: skip
    config.data = PreferencesData(root="unread", batch_size=8)
    config.model = ModelConfig("small_gpt", "none", max_length=48, lora_rank=rank)
    config.task = DpoConfig(beta=0.3)
    return config


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    place = tmp_path_factory.mktemp("untouched")
    return train(place, preference_settings(place / "cache"), pairs())


def test_preferred_answers_are_rewarded_and_stay_apart(untouched):
    first, last = untouched.rows[0], untouched.rows[-1]
    assert last["step"] == 8
    assert last["val_margin"] > first["val_margin"] > 0
    assert last["val_loss"] < first["val_loss"] < np.log(2)
    assert last["val_accuracy"] == 1
    assert last["val_rewards_chosen"] > last["val_rewards_rejected"]
    margin = last["val_rewards_chosen"] - last["val_rewards_rejected"]
    assert last["val_margin"] == pytest.approx(margin, abs=1e-4)


def test_the_first_batch_has_the_loss_of_a_coin(tmp_path):
    config = preference_settings(tmp_path / "cache", {"all": PhaseConfig(epochs="1 steps")})
    config.data.batch_size = 32
    (row,) = train(tmp_path, config, pairs()).rows
    assert row["loss"] == pytest.approx(np.log(2), abs=2e-5)
    assert row["accuracy"] == 0.5
    assert row["val_loss"] < np.log(2)


@pytest.mark.parametrize("step", [3, 5])
def test_a_resumed_run_is_equal_bit_for_bit(untouched, tmp_path, step):
    expected = snapshot(untouched)
    assert_same(go_on(cut(untouched, step, tmp_path), untouched.assembly), expected)


@pytest.mark.slow
def test_a_run_that_lost_the_cache_compares_with_the_start_all_the_same(untouched, tmp_path):
    """With weights of the start: those of the checkpoint are others by then."""
    run, config = cut(untouched, 5, tmp_path), preference_settings(tmp_path / "new")
    saved, _ = resume.find_state(run.checkpoints)
    examples = pairs()
    found = splits.make_splits(examples, 0.2, 0.0, 0)
    data = Dataset(examples, found, splits.describe(examples, found))
    again = assemble.assemble(config, data, devices.prepare(config.runtime), saved)
    before, now = untouched.assembly.reference, again.reference
    assert (before.computed, before.read) == (40, 0)
    assert (now.computed, now.read, now.weights) == (40, 0, before.weights)
    assert_same(go_on(run, again), snapshot(untouched))


def asked(config):
    """How many pairs a run asks its model about, how many the cache has, and the targets."""
    assembly = assembled(config, pairs())
    return (
        assembly.reference.computed,
        assembly.reference.read,
        assembly.task.targets(assembly.examples),
    )


def test_a_second_run_reads_what_the_first_has_kept(untouched):
    cache = untouched.run.folder.parent / "cache"
    entries = sorted((cache / "features").glob("*/manifest.json"))
    assert len(entries) == 2
    config = preference_settings(cache)
    config.task = DpoConfig(loss_type="ipo", beta=0.5)  # whatever is made of it
    computed, read, targets = asked(config)
    assert (computed, read) == (0, 40)
    expected = untouched.assembly.task.targets(untouched.assembly.examples)
    np.testing.assert_array_equal(targets, expected)
    assert sorted((cache / "features").glob("*/manifest.json")) == entries
    config.runtime = dataclasses.replace(config.runtime, seed=1)  # other weights
    assert asked(config)[:2] == (40, 0)


def test_without_a_cache_it_is_computed_all_the_same(untouched, tmp_path, capsys):
    expected = untouched.assembly.task.targets(untouched.assembly.examples)
    config = preference_settings(tmp_path / "cache", runtime_cache="never")
    computed, read, targets = asked(config)
    assert (computed, read) == (40, 0)
    np.testing.assert_array_equal(targets, expected)
    assert not (tmp_path / "cache").exists()
    (tmp_path / "cache").write_text("in the way")
    np.testing.assert_array_equal(asked(preference_settings(tmp_path / "cache"))[2], expected)
    assert "cannot be written" in capsys.readouterr().err


def test_adapters_alone_train_and_the_start_is_the_model_below_them(untouched, tmp_path):
    stage = {"head": PhaseConfig(train="head"), "lora": PhaseConfig(train="lora", epochs="2")}
    config = preference_settings(untouched.run.folder.parent / "cache", stage, rank=2)
    done = train(tmp_path, config, pairs())
    assert [each.skipped for each in done.phases] == ["the head has no weights of its own", ""]
    assert done.rows[-1]["val_loss"] < np.log(2)
    record = json.loads((done.run.folder / "freeze.json").read_text())
    (row,) = [e for e in record["phases"][-1]["blocks"] if e["block"] == "transformer_layer_0"]
    assert 0 < row["trainable_parameters"] < row["parameters"] / 10
    first, last = (done.saved(step) for step in (1, done.status["step"]))
    moved = {path for path, value in first.items() if not np.array_equal(value, last[path])}
    assert moved
    assert all("lora" in path for path in moved)


def test_a_run_on_messages_records_how_they_are_written(untouched, tmp_path):
    """By which `fmkit generate` answers as the run was trained."""
    config = preference_settings(tmp_path / "cache")
    talks = tuple(
        Pair(
            (Message("user", f"Question {each}?"),),
            (Message("assistant", "Yes."),),
            (Message("assistant", "No."),),
        )
        for each in range(10)
    )
    plain = pairs(10)
    assembly = assembled(config, dataclasses.replace(plain, content=Preferences(talks)))
    assert assemble.resolved_config(config, assembly, 0).model.chat_template == "plain"
    row = assembly.loader.rows.read(np.array([0]))[0]
    text = assembly.backbone.tokenizer.decode(row[:, 0])
    assert text == "User: Question 0?\nAssistant: Yes."
    before = untouched.assembly
    assert assemble.resolved_config(before.config, before, 0).model.chat_template == "auto"
