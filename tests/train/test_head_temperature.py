"""What a head's logits are divided by before the whole network trains."""

import dataclasses

import numpy as np
import pytest
from small_runs import Trained, assembled, train
from test_head_solver import SOLVED, configured, features_of, noisy
from test_resume import assert_same, cut, snapshot

from fmkit.config import units
from fmkit.config.schema.stage import PhaseConfig
from fmkit.core.modalities import modality_entry
from fmkit.store import metrics_log, run_dir
from fmkit.train import head_temperature, loop
from fmkit.train.checkpoints import resume


def cross_entropy(logits, labels):
    logits = np.float64(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    of_label = shifted[np.arange(len(labels)), labels]
    return float((np.log(np.exp(shifted).sum(axis=1)) - of_label).mean())


def test_the_temperature_is_where_the_loss_is_that_out_of_fold():
    random = np.random.default_rng(0)
    labels = random.integers(4, size=30)
    logits = 6 * np.eye(4)[labels] + random.normal(size=(30, 4))

    def loss(scaled):
        return cross_entropy(scaled, labels)

    temperature = head_temperature.solve(loss, logits, 0.8)
    tried = np.geomspace(1, 100, 20_000)
    losses = np.array([loss(logits / value) for value in tried])
    assert temperature == pytest.approx(tried[np.abs(losses - 0.8).argmin()], rel=1e-3)
    assert head_temperature.solve(loss, logits, loss(logits) / 2) == 1.0
    assert head_temperature.solve(loss, logits, np.log(4) + 0.1) == head_temperature.HIGHEST


def test_only_the_last_layer_of_a_head_is_divided():
    weights = {
        "logits/kernel": np.float32([[2, 4]]), "logits/bias": np.float32([1, 3]),
        "head_hidden/kernel": np.float32([[5]]), "seed": np.uint32([7]),
    }  # fmt: skip
    divided = head_temperature.divided(weights, 2.0)
    assert {path: value.tolist() for path, value in divided.items()} == {
        "logits/kernel": [[1, 2]], "logits/bias": [0.5, 1.5], "head_hidden/kernel": [[5]],
        "seed": [7],
    }  # fmt: skip
    assert all(divided[path].dtype == value.dtype for path, value in weights.items())


@pytest.mark.parametrize("value", ["0.5", "inf", "warm"])
def test_a_temperature_is_a_number_of_1_or_more(value):
    assert "`auto`, or a number of 1 or more" in units.temperature_problem("key", value)
    assert not units.temperature_problem("key", "auto")
    assert not units.temperature_problem("key", "2.5")


def test_texts_have_it_and_photos_do_not():
    has = {name: modality_entry(name).has_head_temperature for name in ("image", "text")}
    assert has == {"image": False, "text": True}


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A run that hardly moves after its head, so that weights say what it was divided by."""
    parent = tmp_path_factory.mktemp("still")
    full = PhaseConfig(epochs="2", learning_rate=1e-12, interpolate="true", head_temperature="auto")
    config = configured(parent, {**SOLVED, "full": full}, runtime_keep=99, model_normalize="none")
    entry = dataclasses.replace(modality_entry("image"), has_head_temperature=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head_temperature, "modality_entry", lambda name: entry)
        yield train(parent, config, noisy())


def test_a_phase_begins_with_the_loss_out_of_fold(still):
    record, fitted = still.status["solvers"]["head"], still.assembly.splits["train"]
    features, labels = features_of(still)[fitted], still.assembly.examples.labels[fitted]

    def loss(step):
        weights = still.saved(step)
        return cross_entropy(features @ weights["logits/kernel"] + weights["logits/bias"], labels)

    goal = record["out_of_fold"]["loss"]
    assert loss(1) < 0.9 * goal  # of the head itself
    assert loss(5) == pytest.approx(goal, rel=1e-3)
    assert record["temperature"] > 1


def test_a_refit_divides_by_the_same_and_shares_are_on_the_line_from_there(still):
    head, full = still.phases[-2:]
    assert [head.name, full.name] == [f"{run_dir.REFIT}head", f"{run_dir.REFIT}full"]
    temperature = still.status["solvers"]["head"]["temperature"]
    before, after = still.saved(head.best["step"]), still.weights
    for path in ("logits/kernel", "logits/bias"):
        np.testing.assert_allclose(after[path], before[path] / temperature, rtol=1e-5)
    losses = dict(still.status["phases"][1]["best"]["loss_by_share"])
    # Factors on logits do not change a loss after temperature scaling, and nothing else moved.
    np.testing.assert_allclose(list(losses.values()), losses[0.0], rtol=1e-3)


@pytest.mark.parametrize("step", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 12))])
def test_a_run_that_divided_its_logits_resumes_bit_for_bit(step, still, tmp_path):
    """In the phase, after the head, and in the refit of the phase."""
    last = still.status["step"]
    run, again = cut(still, step, tmp_path), assembled(still.assembly.config, noisy())
    run.update(solvers=still.status["solvers"])  # a run that is resumed reads its status
    saved, problems = resume.find_state(run.checkpoints)
    assert not problems
    metrics_log.truncate(run.folder, saved.rows)
    resumed = Trained(again, run, loop.train(again, run, saved))
    assert_same(resumed, snapshot(still, last), last)
