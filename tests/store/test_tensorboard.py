"""TensorBoard reads the files of a run in the order in which they were written."""

import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from fmkit.store.tensorboard import EventsFile


def scalar(step, value):
    summary = Summary(value=[Summary.Value(tag="loss", simple_value=value)])
    return Event(wall_time=time.time(), step=step, summary=summary)


def write(folder, *events):
    file = EventsFile(folder)
    for event in events:
        file.add(event)
    file.close()


def losses(folder):
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return [(each.step, each.value) for each in accumulator.Scalars("loss")]


def test_many_files_of_one_second_are_read_in_their_order(tmp_path):
    for step in range(25):
        write(tmp_path, scalar(step, step / 2))
    assert losses(tmp_path) == [(step, step / 2) for step in range(25)]


@pytest.mark.parametrize("clock", ["stands still", "goes back"])
def test_a_clock_does_not_change_the_order(tmp_path, monkeypatch, clock):
    start = time.time_ns()
    times = iter([start - 10**10 * turn * (clock == "goes back") for turn in range(3)])
    monkeypatch.setattr(time, "time_ns", lambda: next(times))
    write(tmp_path, scalar(1, 1.0), scalar(2, 9.0))
    write(tmp_path, Event(step=2, session_log=SessionLog(status=SessionLog.START)))
    write(tmp_path, scalar(2, 2.0))
    assert losses(tmp_path) == [(1, 1.0), (2, 2.0)]


def test_it_comes_after_a_file_of_tensorboards_own_writer(tmp_path):
    (tmp_path / f"events.out.tfevents.{int(time.time()) + 60}.host.1.0").write_bytes(b"")
    write(tmp_path, scalar(1, 1.0))
    first, second = sorted(path.name for path in tmp_path.iterdir())
    assert first.endswith("host.1.0")
    assert len(second.split(".")[3]) == 19


def test_what_is_flushed_is_seen_before_the_end(tmp_path):
    file = EventsFile(tmp_path)
    file.add(scalar(1, 1.0))
    file.flush()
    assert losses(tmp_path) == [(1, 1.0)]
    file.close()
