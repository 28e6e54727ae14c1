"""`optimizer.ema`: raw weights train, their moving average is judged, saved and kept."""

import os
import shutil
import signal
import threading
import time

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import assembled, folder, settings, train

from fmkit.config.schema.stage import PhaseConfig
from fmkit.core import safe_io
from fmkit.core.errors import Interrupted
from fmkit.evaluation import classification
from fmkit.store import metrics_log
from fmkit.train import ema, freeze, loop
from fmkit.train.checkpoints import checkpoint, resume, variables

DECAY = 0.6
STAGE = {"full": PhaseConfig(epochs="3", batchnorm="train")}
PLAIN = {"optimizer_schedule": "constant", "optimizer_clip_norm": None}


def averaged(**changes):
    return settings(STAGE, optimizer_ema=DECAY, runtime_keep=9, **PLAIN, **changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("average"), averaged())


def statistics(model):
    names = ("moving_mean", "moving_variance")
    return [v for v in model.non_trainable_variables if v.path.endswith(names)]


@pytest.fixture(scope="module")
def slow():
    """The raw weights and their average after each step of a plain Keras loop."""
    assembly = assembled(averaged())
    model = assembly.model
    freeze.apply(model, assembly.backbone, assembly.phases[0])
    model.compile(optimizer=keras.optimizers.Adam(0.01), jit_compile=False)
    # BatchNorm's statistics belong to the weights with which they were collected.
    averaged_variables = [*model.trainable_variables, *statistics(model)]
    raw = variables.arrays(averaged_variables)
    mean, steps = dict(raw), [(raw, dict(raw))]
    for number, batch in enumerate(
        assembly.training_batches(assembly.phases[0], 0, assembly.phases[0].steps)
    ):
        model.train_on_batch(*batch)
        raw = variables.arrays(averaged_variables)
        decay = DECAY if number else 0.0  # as in Keras, the first update is the first average
        mean = {path: decay * mean[path] + (1 - decay) * raw[path] for path in raw}
        steps.append((raw, mean))
    return steps


def training_file(trained, step):
    place = trained.run.checkpoints / checkpoint.folder_name(step) / checkpoint.TRAINING
    return {path.removeprefix("raw/"): value for path, value in load_file(place).items()
            if path.startswith("raw/")}  # fmt: skip


@pytest.mark.parametrize("step", [3, 6, 9])
def test_a_checkpoint_has_the_average_and_training_goes_on_from_the_raw(step, trained, slow):
    raw, mean = slow[step]
    saved, saved_raw = trained.saved(step), training_file(trained, step)
    assert saved_raw.keys() == raw.keys() == mean.keys()
    for path in raw:
        np.testing.assert_allclose(saved_raw[path], raw[path], atol=2e-5, err_msg=path)
        np.testing.assert_allclose(saved[path], mean[path], atol=2e-5, err_msg=path)
    for kind in ("kernel", "moving_mean", "moving_variance"):
        paths = [path for path in raw if path.endswith(kind)]
        apart = max(np.abs(raw[path] - mean[path]).max() for path in paths)
        assert apart > 1e-3  # so that the two are told apart above


def test_the_average_is_what_is_validated_and_what_stays_in_the_model(trained):
    assembly = trained.assembly
    truth = assembly.examples.labels[assembly.splits["val"]]
    for row in trained.rows:
        variables.assign(assembly.model, trained.saved(row["step"]))
        found = classification.to_probabilities(
            assembly.model.predict(assembly.ordered("val"), verbose=0)
        )
        loss = -np.log(found[np.arange(len(truth)), truth]).mean()
        assert row["val_loss"] == pytest.approx(loss, rel=1e-4)


def test_the_model_is_left_with_the_average_of_the_best_epoch(tmp_path):
    done = train(tmp_path, averaged())
    best = done.saved(done.status["best"]["step"])
    for path, value in done.weights.items():
        np.testing.assert_array_equal(value, best[path], err_msg=path)


def test_validation_does_not_touch_a_bit_of_the_raw_weights():
    model = assembled(settings()).model
    model.compile(optimizer=keras.optimizers.Adam(0.01, use_ema=True))
    model.optimizer.build(model.trainable_variables)
    model.update_rule.optimizers = {"": model.optimizer}
    noise = np.random.default_rng(0)
    for variable, mean in ema.pairs(model.optimizers):
        variable.assign(noise.normal(size=variable.shape))
        mean.assign(noise.normal(scale=1e-4, size=variable.shape))
    raw = variables.arrays(model.trainable_variables)
    means = [np.asarray(mean) for _, mean in ema.pairs(model.optimizers)]
    callback = ema.EmaEvaluation()
    callback.set_model(model)
    callback.on_test_begin()
    during = variables.arrays(model.trainable_variables)
    for value, mean in zip(during.values(), means, strict=True):
        np.testing.assert_array_equal(value, mean)
    callback.on_test_end()
    after = variables.arrays(model.trainable_variables)
    for path, value in raw.items():
        np.testing.assert_array_equal(value, after[path], err_msg=path)
    for mean, (_, again) in zip(means, ema.pairs(model.optimizers), strict=True):
        np.testing.assert_array_equal(mean, np.asarray(again))


def test_a_signal_saves_the_raw_weights_beside_the_average(tmp_path):
    stage = {"full": PhaseConfig(epochs="9999", batchnorm="train")}
    assembly = assembled(settings(stage, optimizer_ema=0.9, runtime_log_every=1))
    run = folder(tmp_path)

    def stop():
        rows = run.folder / "metrics.jsonl"
        while not (rows.exists() and len(list(safe_io.read_json_lines(rows))) > 4):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(Interrupted) as error:
        loop.train(assembly, run)
    assert error.value.exit_code == 143
    newest = checkpoint.list_checkpoints(run.checkpoints)[-1]
    assert not checkpoint.find_damage(newest)
    assert f"at step {newest.step} " in str(error.value)
    weights = checkpoint.read_weights(newest)
    raw = load_file(newest.folder / checkpoint.TRAINING)
    assert np.abs(raw["raw/logits/kernel"] - weights["logits/kernel"]).max() > 1e-5


def test_statistics_that_a_phase_freezes_are_not_averaged(tmp_path):
    stage = {"full": PhaseConfig(epochs="1", batchnorm="frozen")}
    done = train(tmp_path, settings(stage, optimizer_ema=0.5))
    averaged_paths = {variable.path for variable, _ in ema.pairs(done.assembly.model.optimizers)}
    assert averaged_paths == {v.path for v in done.assembly.model.trainable_variables}


@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_average_that_is_longer_than_its_phase_warms_up(accumulation, tmp_path, capsys):
    """9 batches of 3 epochs; a decay of 0.9999 would keep 99.9% of the weights of the start."""
    config = settings(
        STAGE, optimizer_ema=0.9999, optimizer_accumulation=accumulation, runtime_keep=99,
        runtime_save_every="1 steps", runtime_verbose=True,
    )  # fmt: skip
    done = train(tmp_path, config)
    mean, update = None, 0
    for step in range(1, 10):
        raw, saved = training_file(done, step), done.saved(step)
        in_epoch = (step - 1) % 3 + 1
        if in_epoch % accumulation == 0 or in_epoch == 3:
            share = (1 + update) / (10 + update) if update else 0.0
            mean = {path: share * (mean or raw)[path] + (1 - share) * raw[path] for path in raw}
            update += 1
        for path, value in (mean or {}).items():
            np.testing.assert_allclose(saved[path], value, atol=1e-6, err_msg=f"{step} {path}")
    updates = 9 if accumulation == 1 else 6
    assert update == updates
    shown = capsys.readouterr().err
    assert shown.count("optimizer.ema=0.9999 averages over about 10,000 updates") == 1
    assert f"the phase has {updates}" in shown


def test_a_short_average_does_not_warm_up(tmp_path, capsys):
    train(tmp_path, averaged(runtime_verbose=True))
    assert "warms up" not in capsys.readouterr().err


@pytest.mark.parametrize("step", [4, 6])
def test_a_checkpoint_of_an_older_version_is_resumed(step, tmp_path):
    """It has no averages of statistics, and not the weight of a window that was begun."""
    config = settings(
        STAGE, optimizer_ema=0.6, optimizer_accumulation=3, runtime_keep=99,
        runtime_save_every="1 steps",
    )  # fmt: skip
    done = train(tmp_path, config)
    parent = done.run.checkpoints
    chosen = checkpoint.best_or_newest(parent, step)
    training, state = checkpoint.read_training(chosen), checkpoint.read_state(chosen)
    older = {
        path: value
        for path, value in training.items()
        if "moving_" not in path and not path.endswith("window_weight")
    }
    statistics_now = {
        path.removeprefix("raw/"): value
        for path, value in training.items()
        if path.startswith("raw/") and "moving_" in path
    }
    assert len(training) - len(older) == 2 * len(statistics_now) + 1 > 1
    weights = {**checkpoint.read_weights(chosen), **statistics_now}
    expected = training_file(done, 9)
    for saved in checkpoint.list_checkpoints(parent):
        if saved.step >= step:
            shutil.rmtree(saved.folder)
    checkpoint.save(parent, step, weights, older, state)
    saved_state, problems = resume.find_state(parent)
    assert (saved_state.step, problems) == (step, [])
    metrics_log.truncate(done.run.folder, saved_state.rows)
    loop.train(done.assembly, done.run, saved_state)
    # The raw weights go on as if nothing had happened.
    again = training_file(done, 9)
    assert again.keys() == expected.keys()
    for path, value in again.items():
        np.testing.assert_array_equal(value, expected[path], err_msg=path)
