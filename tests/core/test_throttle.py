"""An action happens at most once in an interval."""

import time

import pytest

from fmkit.core.throttle import Throttle


@pytest.fixture
def clock(monkeypatch):
    """A clock whose time the test sets."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def due_at(throttle, clock, times):
    """At which of some times the action is due."""
    due = []
    for clock[0] in times:
        if throttle.is_due():
            due.append(clock[0])
    return due


def test_an_interval_must_pass_before_the_action_and_between_two(clock):
    assert due_at(Throttle(10), clock, [101, 109.9, 110, 111, 119, 125, 134, 135]) == [
        110,
        125,
        135,
    ]


@pytest.mark.parametrize(
    ("delay", "due"), [(0, [100, 110]), (3, [103, 113])], ids=["at once", "soon"]
)
def test_the_first_may_have_another_delay(clock, delay, due):
    throttle = Throttle(10, delay=delay)
    assert due_at(throttle, clock, [100, 101, 103, 110, 113]) == due
