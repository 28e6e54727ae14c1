"""The local page in a real Chromium: quiet, readable, live, and hostile names are text."""

import json
import os
import shutil
import socket
import threading
import time

import pytest
from chromium import Page
from hostile_run import CLASSES, with_hostile_names
from kept_runs import kept_run

from fmkit.serve import local_http
from fmkit.serve.runs_site import RunsSite

pytestmark = pytest.mark.slow


def row(step):
    phase = "head" if step <= 6 else "<b>full</b>"
    return {"phase": phase, "epoch": step, "step": step, "loss": 1 / step, "val_loss": 2 / step,
            "accuracy": 1 - 1 / step, "learning_rate": 0.01}  # fmt: skip


def add_rows(folder, *steps):
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.writelines(f"{json.dumps(row(step))}\n" for step in steps)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    page = Page(tmp_path_factory.mktemp("profile"))
    yield page
    page.close()


@pytest.fixture(scope="module")
def root(browser, tmp_path_factory):
    whole = kept_run("images", tmp_path_factory.mktemp("images"))
    root = tmp_path_factory.mktemp("served") / "runs"
    shutil.copytree(whole, root / "finetune/images")
    shutil.copytree(whole, root / "finetune/second")
    with_hostile_names(shutil.copytree(whole, root / "finetune/hostile"))
    live = root / "finetune/live"
    live.mkdir()
    started = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    status = {"state": "running", "started": started, "pid": os.getpid(), "name": "live one",
              "host": socket.gethostname(), "phase": "head", "epoch": 3}  # fmt: skip
    (live / "status.json").write_text(json.dumps(status))
    add_rows(live, 1, 2, 3)
    return root


@pytest.fixture(scope="module")
def url(root):
    token = local_http.new_token()
    server = local_http.open_server(None, 0, token, RunsSite(root, token))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.url
    server.shutdown()
    server.server_close()


def until(browser, script, seconds=20):
    deadline = time.monotonic() + seconds
    while not browser.run(script) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert browser.run(script)


def is_quiet(browser, url):
    others = [one for one in browser.requests if not one.startswith((url, "data:"))]
    return browser.logs == [] and others == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
@pytest.mark.parametrize("path", ["", "?q=test.acuracy%3E1", "run/finetune/live"])
def test_pages_are_quiet_and_fit(browser, url, path, width, dark):
    browser.open(url + path, width, dark=dark)
    assert browser.run("document.querySelector('h1').textContent.length > 3")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert is_quiet(browser, url)


def test_curves_grow_while_a_run_trains(browser, url, root):
    live = root / "finetune/live"
    browser.open(f"{url}run/finetune/live")
    until(browser, "document.querySelectorAll('.live figure').length === 3")
    titles = "[...document.querySelectorAll('.live figcaption')].map((f) => f.textContent)"
    assert browser.run(titles) == ["loss", "accuracy", "learning rate"]
    add_rows(live, *range(4, 9))
    until(browser, "document.querySelectorAll('.live figure circle').length === 8 * 4")
    browser.run("document.querySelector('.live .frame').focus()")
    browser.press("End")
    output = browser.run("document.querySelector('.live output').textContent")
    assert output == "<b>full</b>, epoch 8, step 8   training 0.125   validation 0.25"
    status = json.loads((live / "status.json").read_text())
    (live / "status.json").write_text(json.dumps({**status, "state": "done"}))
    until(browser, "document.querySelector('#state').textContent === 'done'")
    assert is_quiet(browser, url)
    (live / "status.json").write_text(json.dumps(status))


def test_runs_are_filtered_sorted_and_compared(browser, url):
    browser.open(url)
    browser.run("document.querySelector('[name=q]').value = \"state=done name='images'\"")
    browser.run("document.querySelector('.query button').click()")
    until(browser, "location.search.includes('state') && document.readyState === 'complete'")
    until(browser, "document.querySelectorAll('tbody tr').length === 2")
    browser.run("document.querySelectorAll('thead a')[2].click()")  # test.accuracy
    until(browser, "location.search.includes('sort=-test.accuracy')")
    until(browser, "document.querySelectorAll('tbody input').length === 2")
    browser.run("document.querySelectorAll('tbody input').forEach((box) => box.click())")
    browser.run("document.querySelector('.above button').click()")
    until(browser, "location.pathname.endsWith('compare') && document.readyState === 'complete'")
    until(browser, "!!document.querySelector('#disagreements')")
    assert is_quiet(browser, url)


def test_a_report_opens(browser, url):
    browser.open(f"{url}report/finetune/images")
    until(browser, "document.querySelectorAll('figure[data-hover] output').length > 0")
    assert is_quiet(browser, url)


def test_hostile_names_run_nothing(browser, url):
    for path in ("?q=id%3Dhostile", "run/finetune/hostile", "report/finetune/hostile"):
        browser.open(url + path)
        until(browser, f"document.body.textContent.includes({json.dumps(CLASSES[0])})")
        assert browser.run("document.scripts.length") == 1
        assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
        assert is_quiet(browser, url)
