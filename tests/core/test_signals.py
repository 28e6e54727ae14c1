"""Signals: at once, deferred to the end of a block, a second one, and in other processes."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fmkit.core import signals
from fmkit.core.signals import SignalReceived

ENDS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture
def handlers():
    with signals.signal_handlers():
        yield


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_comes_at_once(number, handlers):
    with pytest.raises(SignalReceived) as error:
        signal.raise_signal(number)
    assert error.value.number == number
    assert isinstance(error.value, KeyboardInterrupt)  # no library's `except Exception` has it
    assert not isinstance(error.value, Exception)


def test_a_deferred_signal_waits_for_the_end_of_the_block(handlers, capfd):
    with signals.defer_signals():
        with signals.defer_signals():
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # as `timeout` sends it: two at once are one
        assert signals.stop_signal() == signal.SIGTERM
    assert "SIGTERM: stopping after this step" in capfd.readouterr().err
    with pytest.raises(SignalReceived, match="SIGTERM"):
        signals.raise_if_stopped()
    with pytest.raises(SignalReceived), signals.defer_signals():
        raise AssertionError("nothing new is begun")


def test_a_second_signal_ends_the_block_under_the_name_of_the_first(handlers):
    with signals.defer_signals():
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.25)  # so that it does not belong to the first
        with pytest.raises(SignalReceived, match="SIGTERM"):
            signal.raise_signal(signal.SIGINT)


def test_a_deadline_stops_as_a_signal_does_and_can_be_forgotten(handlers, capfd):
    with signals.deadline(600.0):
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 600
        with signals.defer_signals():
            signal.raise_signal(signal.SIGALRM)
        assert "the time limit: stopping after this step" in capfd.readouterr().err
        with pytest.raises(SignalReceived):
            signals.raise_if_stopped()
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signals.has_met_deadline()
    assert signals.is_deadline(142)
    signals.forget_deadline()  # and the next job of a sweep runs
    signals.raise_if_stopped()
    with pytest.raises(SignalReceived) as error:
        signal.raise_signal(signal.SIGTERM)
    signals.forget_deadline()
    assert signals.stop_signal() == error.value.number == signal.SIGTERM


def test_a_deadline_does_not_hurry_what_stops_already(handlers):
    with signals.defer_signals():
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.25)  # so that it does not belong to the first
        signal.raise_signal(signal.SIGALRM)  # a checkpoint may be on its way to the disk
        assert signals.stop_signal() == signal.SIGINT


def test_a_requested_save_stops_nothing(handlers):
    assert not signals.take_save_request()
    signal.raise_signal(signal.SIGUSR1)
    assert signals.stop_signal() is None
    assert signals.take_save_request()
    assert not signals.take_save_request()


def test_handlers_are_given_back_and_the_inner_ones_are_the_outer_ones(handlers):
    ours = signal.getsignal(signal.SIGTERM)
    with signals.signal_handlers():
        assert signal.getsignal(signal.SIGTERM) == ours
    assert signal.getsignal(signal.SIGTERM) == ours


def test_nothing_stays_behind():
    before = [signal.getsignal(number) for number in (*ENDS, signal.SIGUSR1)]
    with signals.signal_handlers():
        assert any(each.name == "fmkit-signals" for each in threading.enumerate())
    assert [signal.getsignal(number) for number in (*ENDS, signal.SIGUSR1)] == before
    deadline = time.monotonic() + 10
    while any(each.name == "fmkit-signals" for each in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_another_thread_leaves_signals_to_the_main_one():
    seen = []

    def work():
        with signals.signal_handlers(), signals.defer_signals():
            seen.append(signals.stop_signal())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


def test_a_hang_up_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.signal_handlers():
            signal.raise_signal(signal.SIGHUP)
            assert signals.stop_signal() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_forked_worker_does_not_handle_signals(handlers):
    child = os.fork()
    if child == 0:
        quiet = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGUSR1)]
        plain = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)]
        fine = set(quiet) == {signal.SIG_IGN} and set(plain) == {signal.SIG_DFL}
        os._exit(0 if fine and signals.stop_signal() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


STUCK = """
import hashlib
import sys
import fmkit.cli
from fmkit.core import signals

def command(words):
    with signals.defer_signals():
        print("ready", flush=True)
        # Minutes of native code that no signal cuts short; Python's handlers wait for its end.
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)

fmkit.cli._run = command
sys.exit(fmkit.cli.main())
"""


def test_a_second_signal_ends_what_is_stuck_in_native_code():
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):  # it waits for the end of the block
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 143
    finally:
        process.kill()
        process.communicate()
