"""What a time limit leaves of a phase, without training."""

import dataclasses

import pytest

from fmkit.optim.windows import UpdateWindows
from fmkit.train.phases import Phase, Position
from fmkit.train.timing import time_limit
from fmkit.train.timing.time_limit import PhaseCost, Rest

PHASE = Phase("full", "all", "frozen", 0.1, steps=400, steps_per_epoch=10, patience=None)
COST = PhaseCost(begin=9.0, features=2.0, first_call=4.0, step=1.0, validation=3.0, epoch=2.0)


def phase(**changes):
    return dataclasses.replace(PHASE, **changes)


def seconds_of(length, step, epochs, refits):
    """A plain loop over the steps and epochs that are left, and over those of the refit."""
    seconds = 0.0
    for number in range(step + 1, length + 1):
        seconds += COST.step
        if number % 10 == 0 or number == length:
            seconds += COST.validation + COST.epoch
    for number in range(1, length + 1 if refits else 0):
        seconds += COST.step
        if number % 10 == 0 or number == length:
            seconds += COST.epoch
    return seconds


@pytest.mark.parametrize("refits", [False, True])
@pytest.mark.parametrize("step", [0, 7, 20])
@pytest.mark.parametrize("left", [20.0, 61.0, 173.5, 420.0])
def test_the_most_steps_that_fit(left, step, refits):
    position, rest = Position(step=step, epoch=step // 10), Rest(refits, 0, fixed=5.0)
    steps = time_limit.affordable_steps(PHASE, position, COST, rest, left)
    fitting = [
        length
        for length in range(step + 1, 400)
        if seconds_of(length, step, step // 10, refits) + 5.0 <= left
    ]
    if fitting:
        assert int(steps + 1e-9) == max(fitting)
        planned = phase(steps=max(fitting))
        seconds = time_limit.seconds_left(planned, position, COST, refits)
        assert seconds == pytest.approx(seconds_of(max(fitting), step, step // 10, refits))
    else:
        assert steps < step + 1


def test_phases_that_are_left_have_equal_shares():
    alone = time_limit.affordable_steps(PHASE, Position(), COST, Rest(fixed=20.0), 120.0)
    with_two = time_limit.affordable_steps(PHASE, Position(), COST, Rest(False, 2, 20.0), 320.0)
    assert alone == with_two


@pytest.mark.parametrize("size", [1, 3, 15])
@pytest.mark.parametrize("steps", [0, 4.7, 16.0, 39.0, 99.0, 117.0, 399.9])
def test_a_length_ends_with_an_update(size, steps):
    windows = UpdateWindows(size, 10, 400)
    length = time_limit.allowed_length(PHASE, steps, windows)
    assert length <= steps
    assert length % 10 == 0 or length < 100 or size > 10  # whole epochs where there are many
    if length:
        assert bool(windows.ends(length))
    longer = [at for at in range(length + 1, int(steps) + 1) if bool(windows.ends(at))]
    assert not longer or length >= 100
    whole = time_limit.allowed_length(PHASE, steps, windows, whole_epochs=True)
    assert whole % 10 == 0
    assert whole <= steps


def test_the_configured_length_stays_as_it_is():
    uneven = phase(steps=397)
    for size in (1, 3, 15):
        assert time_limit.allowed_length(uneven, 397.0, UpdateWindows(size, 10, 397)) == 397


def test_a_record_is_followed_up_to_where_the_run_is():
    changes = [
        {"phase": "head", "step": 20, "before": 400, "after": 100},
        {"phase": "full", "step": 30, "before": 400, "after": 200},
        {"phase": "full", "step": 50, "before": 200, "after": 180},
        {"phase": "refit", "step": 0, "before": 0, "after": 0},
    ]
    phases = [phase(name="head"), phase(name="full")]
    for _ in range(2):  # the second time as in a process that has run them before
        position = Position(step=140, phase_start=100, results=[{"name": "head"}])
        later = time_limit.apply_record(phases, changes, position, "full")
        assert [item.steps for item in phases] == [100, 200]
        assert [tuple(change) for change in phases[1].changes] == [(30, 400, 200)]
        assert [item.whole_length for item in phases] == [400, 400]
        assert later == changes[2:]


def test_a_refit_costs_what_is_not_on_disk():
    assert COST.again(steps=40, epochs=4) == 7.0 + 40.0 + 8.0


def test_lengths_in_words():
    assert time_limit.describe_length(400, 110, 10) == "from 40 to 11 epochs"
    assert time_limit.describe_length(20, 10, 10) == "from 2 to 1 epoch"
    assert time_limit.describe_length(400, 113, 10) == "from 400 to 113 steps"
    assert time_limit.describe_step(1.31) == "1.3 s a step"
    assert time_limit.describe_step(0.0123) == "12 ms a step"
