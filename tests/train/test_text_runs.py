"""Runs on texts hold what runs on images hold: cache, resume, proof, adapters, solver."""

import json

import keras
import numpy as np
import pytest
from small_runs import settings, train
from test_cache import assert_same as assert_same_on_features
from test_resume import assert_same, cut, go_on, snapshot

from fmkit.config.schema.data import TextTableData
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.core.errors import ConfigError
from fmkit.data import splits
from fmkit.data.content.texts import Texts
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.models.tokenizers import tokenizer as tokenizers
from fmkit.train import assemble, build_model, devices

CLASSES = ("fruit", "metal", "river")
WORDS = (("apple", "plum", "pear"), ("iron", "zinc", "gold"), ("rhine", "nile", "loire"))
HEAD = {"head": PhaseConfig(train="head", epochs="3")}


def texts(count=60, pairs=False):
    """A class's words among others, of many lengths."""
    drawn, labels = np.random.default_rng(0), np.arange(count) % 3
    whole = [
        " ".join(drawn.choice([*WORDS[label] * 3, "and", "so", "it"], drawn.integers(1, 12)))
        for label in labels
    ]
    return Examples(
        ids=tuple(f"row-{each:06d}" for each in range(count)),
        labels=labels.astype(np.int32),
        classes=CLASSES,
        content=Texts(tuple(whole), tuple(reversed(whole)) if pairs else None),
        splits=np.where(np.arange(count) % 5 == 4, "val", "train"),
    )


def text_settings(stage=None, name="small_bert", **changes):
    """As `settings`, for texts; `model_...` keys change the model."""
    model = {key: changes.pop(key) for key in list(changes) if key.startswith("model_")}
    config = settings(stage or {"full": PhaseConfig(epochs="2")}, **changes)
    config.data = TextTableData(root="unread", batch_size=16)
    config.model = ModelConfig(
        name, "none", dropout=0.0, max_length=32, **{key[6:]: model[key] for key in model}
    )
    return config


def run_texts(parent, stage=None, examples=None, **changes):
    return train(parent, text_settings(stage, **changes), examples or texts())


@pytest.mark.parametrize("name", ["small_bert", "small_gpt"])
def test_a_frozen_phase_is_the_same_on_cached_features(name, tmp_path):
    live = run_texts(tmp_path / "live", HEAD, name=name, runtime_cache="never")
    cache = str(tmp_path / "cache")
    kept = run_texts(tmp_path / "kept", HEAD, name=name, runtime_cache_dir=cache)
    assert "features" not in live.status
    assert kept.status["features"]["head"]["computed"] == 60
    assert_same_on_features(live, kept)
    again = run_texts(tmp_path / "again", HEAD, name=name, runtime_cache_dir=cache)
    assert again.status["features"]["head"]["computed"] == 0


def test_other_texts_and_another_length_are_computed_anew(tmp_path):
    def computed(number, examples=None, **changes):
        options = {"runtime_cache_dir": str(tmp_path / "cache"), **changes}
        done = run_texts(tmp_path / str(number), HEAD, examples, **options)
        return done.status["features"]["head"]["computed"]

    assert computed(0) == 60
    other = texts()
    changed = ("a text of its own", *other.content.texts[1:])
    other = Examples(other.ids, other.labels, CLASSES, Texts(changed), other.splits)
    assert computed(1, other) == 48  # the split that it is in
    assert computed(2) == 0


def test_a_resumed_run_is_equal_bit_for_bit(tmp_path):
    options = {
        "runtime_save_every": "1 steps", "runtime_keep": 99, "optimizer_ema": 0.8,
        "model_pooling": "attention",
    }  # fmt: skip
    done = run_texts(tmp_path / "whole", **options)
    assert done.status["step"] == 6
    expected = snapshot(done)
    for step in (2, 3):  # within an epoch, and at its end
        assert_same(go_on(cut(done, step, tmp_path / str(step)), done.assembly), expected)


def test_a_model_of_texts_learns_them_by_full_training_by_lora_and_by_a_solved_head(tmp_path):
    full = run_texts(tmp_path / "full", {"full": PhaseConfig(epochs="8")})
    assert full.rows[-1]["val_accuracy"] >= 0.9
    lora = run_texts(
        tmp_path / "lora", {"lora": PhaseConfig(train="lora", epochs="2")}, model_lora_rank=2
    )
    record = json.loads((lora.run.folder / "freeze.json").read_text())
    layers = [row for row in record["phases"][0]["blocks"] if "layer" in row["block"]]
    assert all(0 < row["trainable_parameters"] < row["parameters"] / 10 for row in layers)
    solved = run_texts(
        tmp_path / "solved", {"head": PhaseConfig(train="head", solver="lbfgs")},
        runtime_cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    assert solved.rows[-1]["accuracy"] > 0.6


def test_pairs_are_read_as_pairs(tmp_path):
    done = run_texts(tmp_path, {"full": PhaseConfig(epochs="1")}, texts(pairs=True))
    tokenizer = done.assembly.backbone.tokenizer
    tokens, _ = next(iter(done.assembly.ordered("val").as_numpy_iterator()))
    assert ((tokens == tokenizer.end).sum(1) == 2).all()


def test_the_deployed_model_gives_the_same_and_its_tokenizer_lies_beside_it(tmp_path):
    done = run_texts(tmp_path)
    model, task, data = done.assembly.model, done.assembly.task, done.assembly.config.data
    done.run.save_model(build_model.inference_model(model, task, data, "text"))
    done.run.save_tokenizer(done.assembly.backbone.tokenizer)
    loaded = keras.saving.load_model(done.run.folder / "model.keras")
    kept = tokenizers.load(done.run.folder / "tokenizer")
    rows, _ = kept.encode(["iron and gold", "so it is the loire"], None, 32)
    tokens = np.full((2, 32), -1, np.int32)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row
    logits = np.asarray(model.predict_on_batch(tokens))
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(loaded.predict_on_batch(tokens), expected, atol=1e-5)


def test_a_model_of_images_is_refused_for_texts_and_the_other_way_round():
    for config, examples in (
        (settings(), texts()),
        (text_settings(), None),
    ):
        from small_runs import images

        examples = examples or images()
        found = splits.make_splits(examples, 0.15, 0.0, 0)
        data = Dataset(examples, found, splits.describe(examples, found))
        with pytest.raises(ConfigError, match=r"reads (image|text)s, and the data are"):
            assemble.assemble(config, data, devices.prepare(config.runtime))
