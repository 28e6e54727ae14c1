"""Amounts of memory are read as written, and a share is taken of what is really free."""

import pytest

from fmkit.cli import main
from fmkit.config.units import parse_bytes
from fmkit.core import machine
from fmkit.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "amount"),
    [("4 GiB", 2**32), ("500 MiB", 500 * 2**20), ("1.5gb", 1_500_000_000), ("0 MiB", 0)],
)
def test_amounts(text, amount):
    assert parse_bytes(text) == amount


def test_shares():
    assert 0 < parse_bytes("25%") < parse_bytes("100 %")
    assert parse_bytes("0%") == 0


@pytest.mark.parametrize("text", ["", "much", "4", "-1 GiB", "120%", "4 GiG", "1e9 B", "nan%"])
def test_nonsense_is_refused(text):
    with pytest.raises(ConfigError, match=r"runtime\.memory_budget"):
        parse_bytes(text)


def test_a_share_of_what_no_system_tells(monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: None)
    with pytest.raises(ConfigError, match="4 GiB"):
        parse_bytes("25%")


@pytest.mark.parametrize(
    "word", ["runtime.memory_budget=much", "runtime.cache_limit=25%", "runtime.cache_limit=4"]
)
def test_nonsense_is_told_before_anything_runs(word, capsys):
    assert main(["finetune", word, "--cfg", "job"]) == 2
    assert word.replace("=", ": received '") in capsys.readouterr().err
