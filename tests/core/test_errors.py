"""Messages name the value, what is allowed and the nearest name, and are never too long."""

import pytest

from fmkit.core import errors


def test_the_message_of_a_value_that_is_not_allowed():
    assert errors.received("model", "resnet5", ["resnet50", "minilm"], "See fmkit models.") == (
        "model: received 'resnet5'. Did you mean resnet50? Allowed: resnet50, minilm. "
        "See fmkit models."
    )
    assert errors.received("size", -1, "a number above 0") == (
        "size: received -1. Expected a number above 0."
    )


def test_long_values_are_shortened():
    assert errors.short_repr("x" * 1000) == f"'{'x' * 59}...{'x' * 29}' (1,002 characters)"
    assert errors.short_repr(10**5000) == "an integer of 16610 bits"
    assert errors.short_repr(True) == "True"


@pytest.mark.parametrize(
    ("name", "close"),
    [("learnin_rate", ["learning_rate"]), ("rate", ["learning_rate"]), ("lr", []), ("x" * 101, [])],
)
def test_close_names(name, close):
    assert errors.closest_names(name, ["learning_rate", "clip_norm"]) == close


def test_counts_and_their_nouns():
    assert errors.plural(1, "photo") == "1 photo"
    assert errors.plural(2000, "photo") == "2,000 photos"
    assert errors.plural(2, "entry", "entries") == "2 entries"
    assert errors.join_names(["a", "b", "c"], 2) == "a, b and 1 more"


def test_several_problems_are_numbered_and_cut():
    assert errors.combine_messages(["one"]) == "one"
    assert errors.combine_messages(["one", "two"]) == "2 problems:\n1. one\n2. two"
    lines = errors.combine_messages([f"p{number}" for number in range(30)]).splitlines()
    assert (len(lines), lines[0], lines[-1]) == (11, "30 problems:", "... and 21 more.")
