"""Times with their units: a number alone is refused, with what to write."""

import pytest

from fmkit.cli import main
from fmkit.config import units
from fmkit.config.units import parse_time
from fmkit.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20 min", 1200), ("90s", 90), ("1h 30m", 5400), ("0.5 h", 1800), ("1 h 30 min", 5400),
        ("2 hours", 7200), ("1 minute 5 seconds", 65), (" 45 SEC ", 45), ("1d2h", 93600),
        ("1.5 days", 129600), (".5h", 1800), ("90 mins", 5400), ("3 hrs", 10800),
    ],
)  # fmt: skip
def test_times(text, seconds):
    assert parse_time(text) == seconds
    assert units.time_problem("runtime.time_limit", text) == ""


@pytest.mark.parametrize(
    "text", ["", "20", "min", "0 min", "-5 min", "5 parsecs", "30 min 1 h", "1 h 1 h", "1 h, 5 min",
             "1:30", "5 min x", "1e3 s", "nan s", "9" * 400 + " h"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConfigError):
        parse_time(text)
    assert "runtime.time_limit: received" in units.time_problem("runtime.time_limit", text)


def test_a_number_is_refused_with_the_unit_to_write(capsys):
    assert main(["finetune", "runtime.time_limit=20", "--cfg", "job"]) == 2
    message = capsys.readouterr().err
    assert "runtime.time_limit: received 20." in message
    assert "runtime.time_limit='20 min'" in message
    assert main(["finetune", "runtime.time_limit=1h 30m", "--cfg", "job"]) == 0
    assert "time_limit: 1h 30m" in capsys.readouterr().out


def test_times_for_people():
    assert units.format_time(3.21) == "3.2 s"
    assert units.format_time(245) == "4 min 05 s"
    assert units.format_time(7380) == "2 h 03 min"
