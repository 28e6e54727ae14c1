import pytest

from fmkit.config.units import Duration, parse_duration
from fmkit.core.errors import ConfigError, short_repr


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("500 steps", "epochs", Duration(500, "steps")),
        ("1 step", "epochs", Duration(1, "steps")),
        ("10epochs", "steps", Duration(10, "epochs")),
        ("1 epoch", "steps", Duration(1, "epochs")),
        ("  0.5   Epochs ", "steps", Duration(0.5, "epochs")),
        ("5%", "steps", Duration(5, "%")),
        ("2.5 %", "steps", Duration(2.5, "%")),
        ("10", "epochs", Duration(10, "epochs")),
        (10, "steps", Duration(10, "steps")),
        (1.5, "epochs", Duration(1.5, "epochs")),
        (2.0, "steps", Duration(2, "steps")),
        (0, "steps", Duration(0, "steps")),
        ("4 epochs and at least 100 steps", "epochs", Duration(4, "epochs", 100)),
        ("0.5 and at least 1 step", "epochs", Duration(0.5, "epochs", 1)),
    ],
)
def test_reads_what_the_contract_names(value, unit, expected):
    assert parse_duration(value, unit) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ten",
        "-1 epochs",
        -1,
        "5 minutes",
        "5 % steps",
        "1.5 steps",
        1.5,
        "101%",
        "nan",
        float("nan"),
        float("inf"),
        "1e3",
        "1_000",
        "٣ epochs",
        True,
        None,
        "epochs",
        "10 epochs 5%",
        "10 steps and at least 20 steps",
        "5% and at least 20 steps",
        "4 epochs and at least 2 epochs",
        "4 epochs and at least 1.5 steps",
        "4 epochs and at least",
        "4 epochs and at least 2 steps and at least 3 steps",
        "9" * 400,
    ],
)
def test_refuses_everything_else_and_says_what_is_allowed(value):
    with pytest.raises(ConfigError, match="`500 steps`, `10 epochs`") as caught:
        parse_duration(value, "steps")
    assert short_repr(value) in str(caught.value)


def test_an_integer_too_large_for_a_float_is_refused():
    with pytest.raises(ConfigError):
        parse_duration(10**400, "steps")


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("7 steps", 7),
        ("3 epochs", 30),
        ("0.25 epochs", 3),  # 2.5, halves up
        ("0.24 epochs", 2),
        ("5%", 10),
        ("30%", 60),
        ("100%", 200),
        ("0%", 0),
        ("0.01 epochs", 1),  # never nothing
        ("0.1%", 1),
        ("2 epochs and at least 20 steps", 20),
        ("2 epochs and at least 21 steps", 30),  # whole epochs
        ("2 epochs and at least 1 step", 20),
    ],
)
def test_counts_steps(text, steps):
    assert parse_duration(text, "steps").steps(steps_per_epoch=10, total_steps=200) == steps


def test_a_share_needs_a_total():
    with pytest.raises(ConfigError, match="5%"):
        parse_duration("5%", "steps").steps(steps_per_epoch=10)


def test_reads_what_it_prints():
    for text in ("500 steps", "0.5 epochs", "5%", "4 epochs and at least 100 steps"):
        assert str(parse_duration(text, "steps")) == text
