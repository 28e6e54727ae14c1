"""Garbage is not looked for while libraries are loaded, and is found afterwards as before."""

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
