"""Small real data, and the command line run in this process."""

import gc
import os
import threading

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
from whole_runs import make_photos

from fmkit.cli import main
from fmkit.core import registry


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests that share a module's fixture go to one worker, which makes it once."""
    for item in items:
        known = item._fixtureinfo.name2fixturedefs
        shared = [name for name, found in known.items() if found[-1].scope == "module"]
        if shared:
            chosen = getattr(item, "callspec", None)
            kind = [str(chosen.params[name]) for name in shared if chosen and name in chosen.params]
            item.add_marker(pytest.mark.xdist_group("-".join([item.module.__name__, *kind])))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """What a file of tests has left for good is looked through once: every run collects garbage,
    and to look through all that was ever imported and traced took a fifth of the suite's time."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """No test reads or fills the feature cache of whoever runs it."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _no_run_stays_locked():
    """A run that stays locked in this process could not be resumed from it, as from a notebook."""
    before = set(threading.enumerate())
    yield
    beating = {thread for thread in threading.enumerate() if thread.name == "heartbeat"}
    assert not beating - before, "the test left a run locked"


@pytest.fixture(autouse=True)
def _no_plugins_of_another_test():
    """What a plugin file brought in is known to the process from then on."""
    yield
    for known in registry._from_plugin_file.values():
        known.clear()


@pytest.fixture
def photos(tmp_path):
    """A folder of 3 classes of 16 coloured squares each, told apart by their colour."""
    return make_photos(tmp_path / "photos")


@pytest.fixture
def fmkit(tmp_path, monkeypatch, capsys):
    """Run a command line from an empty folder: returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run
