"""An entry of the feature cache is whole or absent, computed once, and goes when room is needed."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from fmkit.store import array_cache
from fmkit.store.array_cache import ArrayCache

KEY, OTHER = "a" * 32, "b" * 32


def batches(rows=10, seed=0):
    noise = np.random.default_rng(seed)
    left = rows
    while left:
        count = min(4, left)
        left -= count
        yield [noise.normal(size=(count, 3)).astype("f4"), np.full((count, 2, 2), left, "f4")]


def write(store, key=KEY, rows=10, dtype="float32"):
    with store.lock(key, exclusive=True):
        return store.write(key, {"what": key}, {"engine": "test"}, dtype, batches(rows))


def whole(rows=10):
    return [np.concatenate(parts) for parts in zip(*batches(rows), strict=True)]


@pytest.fixture
def store(tmp_path):
    return ArrayCache(tmp_path, limit_bytes=10**9)


@pytest.fixture
def _small_shards(monkeypatch):
    monkeypatch.setattr(array_cache, "_SHARD_BYTES", 100)


@pytest.mark.usefixtures("_small_shards")
@pytest.mark.parametrize("budget", [0, 10**9])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0), ("float16", 2e-3)])
def test_what_is_written_comes_back_row_by_row(store, budget, dtype, tolerance):
    write(store, rows=23, dtype=dtype)
    lock = store.lock(KEY, exclusive=False)
    found = store.find(KEY)
    assert (found.rows, found.shapes, found.dtype) == (23, ((3,), (2, 2)), dtype)
    assert len(found.shards) > 1
    arrays = found.arrays(budget, lock)
    assert arrays.in_memory == (budget > 0)
    rows = np.array([22, 0, 7, 7, 13, 4])
    for came, expected in zip(arrays.read(rows), whole(23), strict=True):
        assert came.dtype == np.float32
        np.testing.assert_allclose(came, expected[rows], atol=tolerance)
    with array_cache.Lock(store.folder / f"{KEY}.lock") as other:  # mapped files stay protected
        assert other.try_acquire(exclusive=True) == arrays.in_memory


def test_every_damage_is_found_and_the_entry_goes(store):
    names = sorted(path.name for path in write(store).folder.iterdir())
    assert len(names) == 3
    for name in names:
        path = write(store).folder / name
        for damage in (bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:],
                       path.read_bytes()[:-2], None):  # fmt: skip
            write(store)
            if damage is None:
                path.unlink()
            else:
                path.write_bytes(damage)
            assert store.find(KEY) is None, (name, damage)
            assert not path.parent.exists()
    assert write(store).rows == 10


def test_two_that_need_the_same_compute_it_once(store):
    computed, waited, found = [], [], []

    def job():
        with store.lock(KEY, exclusive=True, on_wait=lambda: waited.append(1)):
            entry = store.find(KEY)
            if entry is None:
                computed.append(1)
                time.sleep(0.3)  # the other one comes meanwhile
                entry = store.write(KEY, {}, {}, "float32", batches())
            found.append(entry.rows)

    threads = [threading.Thread(target=job) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(computed), found) == (1, [10, 10, 10])
    assert waited


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from fmkit.store.array_cache import ArrayCache
store = ArrayCache(Path(sys.argv[1]), 10**9)
def slow():
    while True:
        yield [np.zeros((2**22, 5), "f4")]  # more than a shard
        print("written", flush=True)
with store.lock("a" * 32, exclusive=True):
    store.write("a" * 32, {}, {}, "float32", slow())
"""


def test_a_killed_extraction_leaves_nothing_that_is_trusted(store, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = list(store.folder.glob(".tmp-*"))
    assert left
    assert any(left[0].iterdir())
    assert store.entries() == []
    with store.lock(KEY, exclusive=True):
        assert store.find(KEY) is None
    store.make_room(0)
    assert not list(store.folder.glob(".tmp-*"))


def test_what_was_not_used_for_longest_goes_first(store):
    keys = [str(number) * 32 for number in range(4)]
    for number, key in enumerate(keys):
        entry = write(store, key)
        os.utime(entry.folder / array_cache.MANIFEST, (1000 + number, 1000 + number))
    with store.lock(keys[0], exclusive=False):
        assert store.find(keys[0]) is not None  # used now, so it is the newest
    one = store.entries()[0].bytes
    small = ArrayCache(store.folder.parent, limit_bytes=3 * one)
    with store.lock(keys[1], exclusive=False):  # in use: never removed
        small.make_room(one)
    assert {each.key for each in small.entries()} == {keys[0], keys[1]}


def test_a_failed_write_leaves_nothing(store):
    def broken():
        yield from batches(4)
        raise OSError(28, "No space left on device")

    with store.lock(KEY, exclusive=True), pytest.raises(OSError, match="No space"):
        store.write(KEY, {}, {}, "float32", broken())
    assert [path.name for path in store.folder.iterdir()] == [f"{KEY}.lock"]


def test_the_key_depends_on_every_fact():
    facts = {"weights": "x", "view": {"seed": 1}, "size": 224}
    assert array_cache.key_of(facts) == array_cache.key_of(dict(reversed(facts.items())))
    for changed in ({"weights": "y"}, {"view": {"seed": 2}}, {"view": None}, {"size": 225}):
        assert array_cache.key_of(facts) != array_cache.key_of({**facts, **changed})


def test_the_command_lists_and_clears(store, fmkit):
    place = f"cache_dir={store.folder.parent}"
    code, _, err = fmkit("cache", place)
    assert (code, "is empty" in err) == (0, True)
    write(store)
    write(store, OTHER)
    code, out, _ = fmkit("cache", place)
    assert code == 0
    assert KEY[:12] in out
    assert "10\t3 + 2x2" in out
    assert fmkit("cache", "clear", "bbbb", place)[0] == 0
    assert [each.key for each in store.entries()] == [KEY]
    with store.lock(KEY, exclusive=False):
        code, _, err = fmkit("cache", "clear", place)
        assert (code, "in use" in err) == (0, True)
        assert [each.key for each in store.entries()] == [KEY]
    assert fmkit("cache", "clear", place)[0] == 0
    assert store.entries() == []
    for words in (["claer"], ["clear", "zz"], ["list", "x"], ["cach_dir=x"]):
        assert fmkit("cache", *words, place)[0] == 2
