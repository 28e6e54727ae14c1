"""Memory and cores by control groups of both versions; no garbage collection during imports."""

import gc
import importlib
import sys
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


@pytest.mark.parametrize(
    ("cgroup", "files", "cores"),
    [
        ("0::/a/b\n", {"a__cpu-max": "250000 100000\n", "a__b__cpu-max": "max 100000\n"}, 3),
        ("0::/\n", {"cpu-max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu-max": "6400000 100000\n"}, 8),
        ("0::/\n", {}, 8),
        (
            "4:cpu,cpuacct:/x\n",
            {"cpu__x__cpu-cfs_quota_us": "200000\n", "cpu__x__cpu-cfs_period_us": "100000\n"},
            2,
        ),
        (
            "4:cpu,cpuacct:/x\n",
            {"cpu__x__cpu-cfs_quota_us": "-1\n", "cpu__x__cpu-cfs_period_us": "100000\n"},
            8,
        ),
    ],
)
def test_cores_are_those_that_the_groups_give_time_for(tmp_path, monkeypatch, cgroup, files, cores):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: range(8))
    system(tmp_path, cgroup, **files)
    assert machine.available_cores(tmp_path / "proc", tmp_path / "cgroup") == cores


@pytest.mark.parametrize(("cores", "threads"), [(2, "2"), (8, None)])
def test_tensorflow_starts_no_more_threads_than_there_is_time_for(monkeypatch, cores, threads):
    monkeypatch.setattr(machine, "available_cores", lambda: cores)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: range(8))
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    for name in names:
        monkeypatch.setenv(name, "")  # put back afterwards
        monkeypatch.delenv(name)
    machine.set_library_defaults()
    assert [machine.os.environ.get(name) for name in names] == [threads, threads]
    monkeypatch.setenv(names[0], "5")
    machine.set_library_defaults()
    assert machine.os.environ[names[0]] == "5"


def test_hidden_modules_are_not_found_until_the_end(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with machine.hidden_modules("colorsys", "gc"):
        import gc as imported_before

        assert imported_before is gc
        with pytest.raises(ImportError):
            importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").rgb_to_hsv(0, 0, 0) == (0, 0, 0)
