"""Amounts of memory are read as written, and a share is taken of what is really free."""

import pytest

from fmkit.data.memory import available, parse_memory
from fmkit.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "amount"),
    [("4 GiB", 2**32), ("500 MiB", 500 * 2**20), ("1.5gb", 1_500_000_000), ("0 MiB", 0)],
)
def test_amounts(text, amount):
    assert parse_memory(text) == amount


def test_shares():
    assert 0 < parse_memory("25%") < parse_memory("100 %")
    assert parse_memory("0%") == 0


@pytest.mark.parametrize("text", ["", "much", "4", "-1 GiB", "120%", "4 GiG", "1e9 B", "nan%"])
def test_nonsense_is_refused(text):
    with pytest.raises(ConfigError, match=r"runtime\.memory_budget"):
        parse_memory(text)


def system(tmp_path, cgroup, **files):
    proc, control = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    (proc / "self" / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = control / name.replace("__", "/").replace("-", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return available(proc, control)


def test_without_a_group_the_machine_counts(tmp_path):
    assert system(tmp_path, "0::/\n") == 8000 * 1024


def test_a_group_above_counts(tmp_path):
    files = {
        "a__memory-max": "3000000\n",
        "a__memory-current": "2500000\n",
        "a__memory-stat": "anon 7\ninactive_file 100000\n",
        "a__b__memory-max": "max\n",
        "a__b__memory-current": "1\n",
        "a__b__memory-stat": "inactive_file 0\n",
    }
    assert system(tmp_path, "0::/a/b\n", **files) == 600_000


def test_the_first_version_of_groups_counts(tmp_path):
    files = {
        "memory__memory-limit_in_bytes": "4000000\n",
        "memory__memory-usage_in_bytes": "1000000\n",
        "memory__memory-stat": "total_inactive_file 5\n",
    }
    assert system(tmp_path, "5:cpu,memory:/docker/x\n", **files) == 3_000_005
