"""The last training of a run, on training and validation examples together."""

import numpy as np
import pytest
from small_runs import Trained, assembled, folder, settings
from test_interpolation import mislabelled
from test_resume import assert_same, cut, snapshot

from fmkit.config.schema.stage import PhaseConfig
from fmkit.store import metrics_log, run_dir
from fmkit.train import interpolation, loop
from fmkit.train.checkpoints import resume

STAGE = {
    "head": PhaseConfig(train="head", epochs="8", learning_rate=0.05),
    "full": PhaseConfig(epochs="3", learning_rate=0.004, interpolate="true"),
}


@pytest.fixture(scope="module", autouse=True)
def one_share():
    """A share that is neither nothing nor all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpolation, "SHARES", (0.6,))
        yield


@pytest.fixture(scope="module")
def refitted(tmp_path_factory):
    """The run; the examples that each call for batches asked for, and the weights before it."""
    config = settings(STAGE, data_refit="true", model_dropout=0.3, runtime_keep=99)
    assembly = assembled(config, mislabelled())
    run, asked, before = folder(tmp_path_factory.mktemp("refit")), [], []
    make = assembly.training_batches
    assembly.training_batches = lambda phase, *rest: (
        asked.append((phase.name, assembly.examples_of(phase))), make(phase, *rest)
    )[1]  # fmt: skip
    trained = Trained(assembly, run, [])
    trained.phases = loop.train(assembly, run, before_refit=lambda: before.append(trained.weights))
    return trained, dict(asked), before


def test_it_trains_on_validation_examples_with_the_updates_and_rates_that_were_chosen(refitted):
    trained, asked, _ = refitted
    splits = trained.assembly.splits
    head, full, *again = trained.phases
    assert [phase.name for phase in again] == ["refit_head", "refit_full"]
    assert full.best["share"] == again[1].best["share"] == 0.6
    np.testing.assert_array_equal(asked["full"], splits["train"])
    np.testing.assert_array_equal(
        asked["refit_full"], np.sort(np.concatenate([splits["train"], splits["val"]]))
    )
    rows = {phase.name: [row for row in trained.rows if row["phase"] == phase.name]
            for phase in trained.phases}  # fmt: skip
    assert not any(key.startswith("val_") for row in rows["refit_full"] for key in row)
    ends = [full.best["step"], *(rows[phase.name][-1]["step"] for phase in again)]
    assert np.diff(ends).tolist() == [head.best["epoch"] * 3, full.best["epoch"] * 3]


def test_the_best_model_is_seen_before_and_the_refitted_one_is_left(refitted):
    trained, _, before = refitted
    full, last = trained.phases[1], trained.phases[-1]
    assert len(before) == 1
    for path, value in trained.saved(full.best["step"]).items():
        np.testing.assert_array_equal(before[0][path], value, err_msg=path)
    assert trained.status["best"]["step"] == last.best["step"]
    assert trained.status["best"]["value"] == full.best["value"]  # nothing else was validated
    for path, value in trained.saved(last.best["step"]).items():
        np.testing.assert_array_equal(trained.weights[path], value, err_msg=path)
    assert any(not np.array_equal(before[0][path], trained.weights[path]) for path in before[0])
    assert run_dir.is_refitted(trained.status)


@pytest.mark.parametrize("step", [24, 33, 40, 62])
def test_a_resumed_refit_is_equal_bit_for_bit(step, refitted, tmp_path):
    """After the head, after the last phase of the stage, in either phase of the refit."""
    trained = refitted[0]
    last = trained.status["step"] - 1  # the share is a step of its own, of weights alone
    expected = snapshot(trained, last)
    run, again = cut(trained, step, tmp_path), assembled(trained.assembly.config, mislabelled())
    saved, problems = resume.find_state(run.checkpoints)
    assert not problems
    metrics_log.truncate(run.folder, saved.rows)
    assert_same(Trained(again, run, loop.train(again, run, saved)), expected, last)
