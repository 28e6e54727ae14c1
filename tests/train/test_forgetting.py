"""Counts of forgetting events against a plain loop over predictions."""

import dataclasses

import keras
import numpy as np
import pytest
from small_runs import assembled, images, settings, train

from fmkit.config.schema.stage import PhaseConfig
from fmkit.store import forgetting as store
from fmkit.train import forgetting
from fmkit.train.checkpoints import checkpoint, variables


def plain_counts(history):
    """Of answers (epochs, N), right or not, by a loop over each example's own."""
    counts = {name: [] for name in store.COUNTS}
    for answers in history.T:
        counts["seen"].append(len(answers))
        counts["learned"].append(next((k for k, right in enumerate(answers, 1) if right), 0))
        counts["forgotten"].append(sum(a and not b for a, b in zip(answers, answers[1:])))  # noqa: B905, RUF007
        counts["right"].append(int(answers[-1]))
    return counts


def test_counts_are_those_of_a_plain_loop_whatever_the_order():
    random = np.random.default_rng(0)
    history, events = random.random((9, 40)) < 0.6, forgetting.ForgettingEvents(50)
    for answers in history:
        for part in np.array_split(random.permutation(40), 3):
            events.record(part, answers[part].astype(np.uint8))
    for name, values in plain_counts(history).items():
        assert events.counts[name][:40].tolist() == values
        assert not events.counts[name][40:].any()


def test_a_run_counts_the_answers_of_the_weights_before_each_step(tmp_path):
    """Whole batches: epoch k + 1 is answered by the weights after epoch k."""
    stage = {"full": PhaseConfig(epochs="6", batchnorm="freeze")}
    config = settings(stage, data_batch_size=64, optimizer_learning_rate=0.2, runtime_keep=99)
    examples = images()
    pixels = np.asarray(examples.content.pixels)
    first = assembled(config, examples)
    weights = [variables.arrays(first.model.variables)]
    done = train(tmp_path, config, examples)
    checkpoints = checkpoint.list_checkpoints(done.run.checkpoints)
    weights += map(checkpoint.read_weights, checkpoints[:-1])
    positions, counts = store.read(done.run.folder)
    assert positions.tolist() == done.assembly.splits["train"].tolist()
    history = []
    for arrays in weights:
        variables.assign(done.assembly.model, arrays)
        outputs = done.assembly.model(pixels[positions].astype(np.float32), training=False)
        history.append(np.argmax(outputs, axis=1) == examples.labels[positions])
    expected = plain_counts(np.array(history))
    assert sum(expected["forgotten"]) > 0
    assert {name: values.tolist() for name, values in counts.items()} == expected


def test_features_of_a_head_and_epochs_that_do_not_end_with_the_phase_count_too(tmp_path):
    stage = {"head": PhaseConfig(train="head", epochs="7 steps")}
    config = settings(stage, runtime_cache_dir=str(tmp_path / "cache"))
    done = train(tmp_path / "run", config)
    positions, counts = store.read(done.run.folder)
    assert len(positions) == 48
    # 7 steps of 16 are two epochs of 48 and a step.
    assert sorted(counts["seen"].tolist()) == [2] * 32 + [3] * 16
    assert counts["learned"].max() <= 3


def test_what_is_not_wanted_or_has_no_right_answer_is_not_counted(tmp_path):
    done = train(tmp_path, settings(runtime_forgetting=False))
    assert store.read(done.run.folder) is None
    assert done.assembly.model.training_answers.variables == []
    assembly = done.assembly
    assembly.config.runtime = dataclasses.replace(assembly.config.runtime, forgetting=True)
    assert forgetting.begin(assembly) is not None
    # A run that an earlier version began has no counts of the epochs before.
    assert forgetting.begin(assembly, {"optimizer/iteration": np.int64(3)}) is None


@pytest.fixture(autouse=True)
def clear():
    yield
    keras.backend.clear_session()
