import keras
import numpy as np
import pytest

from fmkit.config.schema.optimizer import AdamConfig
from fmkit.core.errors import ConfigError
from fmkit.optim.schedules import KINDS, Schedule, from_config


def values(schedule, steps):
    return np.array([float(schedule(step)) for step in steps])


def test_cosine_agrees_with_keras_after_the_warm_up():
    ours = Schedule(0.3, total_steps=100, warmup_steps=10, final_fraction=0.1)
    theirs = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=90, alpha=0.1, warmup_target=0.3, warmup_steps=10
    )
    steps = range(10, 120)
    np.testing.assert_allclose(values(ours, steps), values(theirs, steps), rtol=1e-5)
    # Keras starts the warm-up at 0, which wastes an update; ours is one update ahead.
    np.testing.assert_allclose(values(ours, range(9)), values(theirs, range(1, 10)), rtol=1e-6)


def test_cosine_agrees_with_keras_without_warm_up():
    ours = Schedule(1e-3, total_steps=37)
    theirs = keras.optimizers.schedules.CosineDecay(1e-3, decay_steps=37)
    np.testing.assert_allclose(values(ours, range(40)), values(theirs, range(40)), atol=1e-9)


def test_linear_is_a_straight_line():
    schedule = Schedule(2.0, total_steps=50, warmup_steps=10, kind="linear", final_fraction=0.25)
    expected = [2.0 * (1 - 0.75 * (step - 10) / 40) for step in range(10, 51)]
    np.testing.assert_allclose(values(schedule, range(10, 51)), expected, rtol=1e-6)


def test_step_drops_on_the_step_it_says_and_not_before():
    schedule = Schedule(1.0, total_steps=100, kind="step", step_every=30, step_factor=0.5)
    steps = [0, 29, 30, 59, 60, 89, 90, 99]
    assert values(schedule, steps).tolist() == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


@pytest.mark.parametrize("kind", KINDS)
def test_ends_are_exact(kind):
    schedule = Schedule(
        0.5, total_steps=64, warmup_steps=8, kind=kind, final_fraction=0.125, step_every=32
    )
    assert float(schedule(0)) == 0.5 / 8
    assert float(schedule(7)) == 0.5
    assert float(schedule(8)) == 0.5
    ends = {"cosine": 0.0625, "linear": 0.0625, "constant": 0.5, "step": 0.5 * 0.1**2}
    assert float(schedule(64)) == pytest.approx(ends[kind], rel=1e-6)
    if kind != "step":
        assert float(schedule(64)) == float(schedule(10**9)) == ends[kind]


def test_the_first_update_is_never_lost_and_the_last_one_neither():
    schedule = Schedule(1.0, total_steps=20, warmup_steps=5)
    assert (values(schedule, range(20)) > 0).all()


def test_a_warm_up_as_long_as_the_phase_ends_at_the_peak():
    schedule = Schedule(1.0, total_steps=4, warmup_steps=4)
    assert values(schedule, range(4)).tolist() == [0.25, 0.5, 0.75, 1.0]


def test_takes_variables_as_an_optimizer_passes_them():
    schedule = Schedule(1.0, total_steps=10, warmup_steps=2, kind="linear")
    count = keras.Variable(0, dtype="int", trainable=False)
    assert float(schedule(count)) == 0.5
    count.assign(6)
    assert float(schedule(count)) == 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_survives_serialisation(kind):
    schedule = Schedule(
        0.1, total_steps=90, warmup_steps=9, kind=kind, final_fraction=0.2, step_every=20
    )
    saved = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(saved)
    assert values(again, range(95)).tolist() == values(schedule, range(95)).tolist()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kind": "cosin"}, "Did you mean cosine"),
        ({"total_steps": 0}, "total_steps"),
        ({"warmup_steps": 11}, "warmup_steps"),
        ({"warmup_steps": -1}, "warmup_steps"),
        ({"step_every": 0}, "step_every"),
    ],
)
def test_refuses_what_makes_no_schedule(wrong, named):
    with pytest.raises(ConfigError, match=named):
        Schedule(**{"peak": 0.1, "total_steps": 10, **wrong})


def config(**changes):
    return AdamConfig(name="adamw", **changes)


def test_config_durations_are_of_the_phase():
    for warmup, expected in [("5%", 10), ("30 steps", 30), ("1 epoch", 50), ("7", 7), ("0", 0)]:
        made = from_config(config(warmup=warmup), 0.1, total_steps=200, steps_per_epoch=50)
        assert (made.total_steps, made.warmup_steps) == (200, expected)


def test_with_accumulation_batches_become_updates():
    settings = config(accumulation=4, warmup="21 steps", schedule="step", step_every="1 epochs")
    made = from_config(settings, 0.1, total_steps=50, steps_per_epoch=10)
    assert (made.total_steps, made.warmup_steps, made.step_every) == (50, 6, 10)


@pytest.mark.parametrize("total", [1, 2, 3, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_fit_the_shortest_phases(total, kind):
    made = from_config(config(schedule=kind), 0.1, total_steps=total, steps_per_epoch=total)
    assert float(made(0)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"warmup": "201 steps"}, "optimizer.warmup: received '201 steps'"),
        ({"warmup": "5 epochs"}, "optimizer.warmup"),
        ({"warmup": "801 steps", "accumulation": 4}, "at most 800 steps"),
        ({"schedule": "step", "step_every": "0%"}, "optimizer.step_every"),
        ({"warmup": "soon"}, "soon"),
    ],
)
def test_refuses_a_config_that_does_not_fit_the_phase(changes, named):
    with pytest.raises(ConfigError, match=named):
        from_config(config(**changes), 0.1, total_steps=200, steps_per_epoch=50)
