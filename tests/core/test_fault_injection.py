"""Faults happen where and when they were asked for, and never otherwise."""

import signal
import subprocess
import sys

import pytest

from fmkit.core import fault_injection

PASSES = """
from fmkit.core import fault_injection
for number in range(3):
    fault_injection.point("train.step")
    print(number)
"""


def passes(fault):
    environment = {fault_injection.VARIABLE: fault} if fault else {}
    return subprocess.run(
        [sys.executable, "-c", PASSES], capture_output=True, text=True, env=environment
    )


def test_no_variable_no_fault():
    assert passes(None).stdout.split() == ["0", "1", "2"]


def test_the_second_pass_is_killed():
    done = passes("train.step:2:kill")
    assert done.returncode == -signal.SIGKILL


def test_another_point_is_left_alone():
    assert passes("save.mid_write:1:kill").stdout.split() == ["0", "1", "2"]


def test_an_error_of_the_system():
    assert "No space left" in passes("train.step:1:ENOSPC").stderr


@pytest.mark.parametrize(
    "fault", ["train.step", "nowhere:1:kill", "train.step:x:kill", "train.step:1:burn"]
)
def test_an_invalid_fault_is_an_error(fault):
    assert fault_injection.VARIABLE in passes(fault).stderr
