"""Memory by control groups of both versions; garbage collection is off only during imports."""

import gc
import weakref

import pytest

from fmkit.core import machine


class Ring:
    def __init__(self):
        self.itself = self


@pytest.fixture
def _nothing_loaded(monkeypatch):
    monkeypatch.setattr(machine, "_has_loaded", False)
    yield
    gc.unfreeze()
    assert gc.isenabled()


@pytest.mark.usefixtures("_nothing_loaded")
def test_what_is_loaded_stays_and_later_garbage_goes():
    with machine.gc_paused_imports():
        assert not gc.isenabled()
        kept = weakref.ref(Ring())
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    later = weakref.ref(Ring())
    gc.collect()
    assert kept() is not None
    assert later() is None


@pytest.mark.usefixtures("_nothing_loaded")
def test_an_import_that_fails_leaves_the_collector_on():
    with pytest.raises(ImportError), machine.gc_paused_imports():
        raise ImportError
    assert gc.isenabled()


@pytest.mark.usefixtures("_nothing_loaded")
def test_only_the_first_job_of_a_sweep_loads():
    with machine.gc_paused_imports():
        pass
    with machine.gc_paused_imports():
        assert gc.isenabled()
        left = weakref.ref(Ring())
    gc.collect()
    assert left() is None


@pytest.mark.usefixtures("_nothing_loaded")
def test_who_has_turned_the_collector_off_finds_it_off():
    gc.disable()
    try:
        with machine.gc_paused_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


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
