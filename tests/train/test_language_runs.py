"""Language models through the real loop: they learn, and a resumed run is equal bit for bit."""

import json

import numpy as np
import pytest
from small_runs import train
from test_resume import assert_same, cut, go_on, snapshot
from test_text_runs import text_settings, texts

from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import CausalLmConfig, MaskedLmConfig
from fmkit.core.errors import ConfigError

TASKS = {
    "masked_lm": (MaskedLmConfig(mask_rate=0.3, whole_words=True), "small_bert"),
    "causal_lm": (CausalLmConfig(), "small_gpt"),
}


def language_settings(name, cache, **changes):
    task, model = TASKS[name]
    stage = {"all": PhaseConfig(train="all", epochs="3")}
    config = text_settings(
        stage, name=model, runtime_cache_dir=str(cache), runtime_save_every="1 steps",
        runtime_keep=99, **changes,
    )  # fmt: skip
    config.task = task
    return config


@pytest.fixture(scope="module", params=list(TASKS))
def untouched(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("untouched")
    return train(place, language_settings(request.param, place / "cache"), texts(200))


def test_the_loss_of_the_held_out_texts_falls(untouched):
    rows = untouched.rows
    losses = [row["val_loss"] for row in rows]
    assert losses[-1] < losses[0] < np.log(260)
    for row in rows:
        assert row["val_perplexity"] == pytest.approx(np.exp(row["val_loss"]), rel=1e-4)
        assert row["perplexity"] == pytest.approx(np.exp(row["loss"]), rel=1e-4)


@pytest.mark.parametrize("step", [4, 7])
def test_a_resumed_run_is_equal_bit_for_bit(untouched, tmp_path, step):
    """Inside an epoch, and later."""
    steps = [row["step"] for row in untouched.rows]
    assert step not in steps
    assert steps[-1] > 7
    expected = snapshot(untouched)
    assert_same(go_on(cut(untouched, step, tmp_path), untouched.assembly), expected)


def test_a_second_run_reads_the_tokens_that_the_first_has_kept(untouched, tmp_path):
    cache = untouched.run.folder.parent / "cache" / "features"
    (manifest,) = cache.glob("*/manifest.json")
    name = untouched.assembly.task.name
    train(tmp_path, language_settings(name, cache.parent), texts(200))
    assert list(cache.glob("*/manifest.json")) == [manifest]
    assert json.loads(manifest.read_text())["dtype"] == "uint16"


def test_a_figure_that_the_task_has_not_is_no_monitor(tmp_path):
    config = language_settings("causal_lm", tmp_path / "cache", task_monitor="val_loss")
    config.task = CausalLmConfig(monitor="val_macro_f1")
    with pytest.raises(ConfigError, match="val_perplexity"):
        train(tmp_path, config, texts())
