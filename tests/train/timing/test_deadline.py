"""When a run is to have ended, over several processes."""

from fmkit.core import machine
from fmkit.train.timing.deadline import TimeLimit


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def limit(text, used=0.0, **settings):
    clock = Clock()
    clock.now += used
    made = TimeLimit(text, 0.0, clock=clock, contention=lambda: 1.0, **settings)
    made.deadline = 1000.0 + made.seconds
    return made


def test_a_margin_before_and_one_after():
    start = limit("10 min")
    assert 570 < start.left < 595
    assert 600 < start.hard_seconds < 630  # within 5%, the end of the process included
    short = limit("20 s")  # the process has to end, too
    assert 18 < short.hard_seconds < 20
    assert limit("10 min", used=590.0).left < 0 < limit("10 min", used=590.0).hard_seconds


def test_on_a_busy_machine_the_margin_is_larger(monkeypatch):
    quiet = limit("10 min").left
    for load, cores, times in ((1.0, 2, 1.0), (6.0, 2, 3.0), (999.0, 2, 5.0), (6.0, None, 5.0)):
        monkeypatch.setattr(machine.os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        monkeypatch.setattr(machine.os, "cpu_count", lambda cores=cores: cores)
        assert machine.contention() == times
    busy = limit("10 min")
    busy.contention = machine.contention
    assert quiet - busy.left == 4.0


def test_what_is_left_counts_the_time_of_all_processes():
    record = limit("10 min", used=4.0).to_record(seconds=3.0)
    assert record["used_before"] == -1.0  # the run's folder came a second after its command
    rest = TimeLimit.remaining(record, seconds=99.0)
    assert 0 <= rest.deadline - rest.clock() - 500.0 + 1e-3 < 1.0
    assert TimeLimit.remaining(record, seconds=598.0) is None
    assert TimeLimit.remaining(record, seconds=2000.0) is None
