"""What the kernel tells of memory, with control groups of both versions."""

from fmkit.core import machine


def test_this_process_holds_some_and_may_hold_more():
    assert 0 < machine.resident_bytes() < machine.memory_limit()


def system(tmp_path, cgroup, **files):
    proc, control = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    (proc / "self" / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = control / name.replace("__", "/").replace("-", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return machine.free_memory(proc, control), machine.memory_limit(proc, control)


def test_without_a_group_the_machine_counts(tmp_path):
    assert system(tmp_path, "0::/\n") == (8000 * 1024, 9000 * 1024)


def test_a_group_above_counts(tmp_path):
    files = {
        "a__memory-max": "3000000\n",
        "a__memory-current": "2500000\n",
        "a__memory-stat": "anon 7\ninactive_file 100000\n",
        "a__b__memory-max": "max\n",
        "a__b__memory-current": "1\n",
        "a__b__memory-stat": "inactive_file 0\n",
    }
    assert system(tmp_path, "0::/a/b\n", **files) == (600_000, 3_000_000)


def test_the_first_version_of_groups_counts(tmp_path):
    files = {
        "memory__memory-limit_in_bytes": "4000000\n",
        "memory__memory-usage_in_bytes": "1000000\n",
        "memory__memory-stat": "total_inactive_file 5\n",
    }
    assert system(tmp_path, "5:cpu,memory:/docker/x\n", **files) == (3_000_005, 4_000_000)
