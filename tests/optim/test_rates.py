import pytest

from fmkit.core.errors import ConfigError
from fmkit.optim.rates import multipliers

BLOCKS = ("stem", "block_1", "block_10", "top")


def test_layers_decay_from_the_head_down():
    found = multipliers(BLOCKS, 0.5, {})
    assert list(found.items()) == [
        ("stem", 0.0625), ("block_1", 0.125), ("block_10", 0.25), ("top", 0.5), ("head", 1.0),
    ]  # fmt: skip
    assert set(multipliers(BLOCKS, 1.0, {}).values()) == {1.0}


def test_rates_come_on_top_and_the_first_pattern_that_fits_a_whole_name_counts():
    found = multipliers(BLOCKS, 0.5, {"block_1": 3.0, "block_.*|stem": 2.0, "head": 10.0})
    assert found == {"stem": 0.125, "block_1": 0.375, "block_10": 0.5, "top": 0.5, "head": 10.0}


def test_a_pattern_without_a_block_is_refused():
    with pytest.raises(ConfigError, match=r"stage\.x\.rates: .*'block'.*stem, block_1.*head"):
        multipliers(BLOCKS, 1.0, {"top": 1.0, "block": 0.1}, "stage.x.rates")
