"""Pages in a real Chromium: nothing is logged or asked for, and they fit, sort and can be read."""

import pytest
from chromium import Page
from hostile_run import CLASSES, with_hostile_names
from kept_runs import kept_run

from fmkit.report import run_page

CONTRAST = """(() => {
  const light = (c) => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(Number).map((x) => x / 255)
    .map((x) => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
    return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
  const ground = (e) => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor; if (!/, 0\\)|transparent/.test(c)) return c; }
    return "rgb(255, 255, 255)"; };
  const worst = [];
  for (const e of document.querySelectorAll("main *, header *, nav *, footer *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const s = getComputedStyle(e), inSvg = e.namespaceURI.endsWith("svg");
    const a = light(inSvg ? s.fill : s.color), b = light(ground(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) worst.push([e.tagName, e.textContent.slice(0, 30), ratio]);
  }
  return worst;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    page = Page(tmp_path_factory.mktemp("profile"))
    yield page
    page.close()


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    return run_page.write(kept_run("images", tmp_path_factory.mktemp("images"))).path


@pytest.fixture(scope="module")
def hostile(browser, tmp_path_factory):
    folder = with_hostile_names(kept_run("images", tmp_path_factory.mktemp("hostile")))
    return run_page.write(folder).path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_a_page_is_quiet_fits_and_can_be_read(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    assert browser.logs == []
    assert [url for url in browser.requests if not url.startswith(("data:", page.as_uri()))] == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(CONTRAST) == []


def test_hostile_names_run_nothing(browser, hostile):
    browser.open(hostile)
    assert browser.logs == []
    assert [
        url for url in browser.requests if not url.startswith(("data:", hostile.as_uri()))
    ] == []
    assert browser.run("document.querySelector('h1 bdi').textContent") == CLASSES[0]
    assert browser.run("document.scripts.length") == 1


def test_a_table_sorts_by_a_click(browser, page):
    browser.open(page)
    values = (
        "[...document.querySelectorAll('#classes tbody tr')].map((r) => +r.cells[3].dataset.value)"
    )
    button = "document.querySelectorAll('#classes th button')[3]"
    browser.run(f"{button}.click()")
    falling = browser.run(values)
    assert falling == sorted(falling, reverse=True)
    browser.run(f"{button}.click()")
    assert browser.run(values) == sorted(falling)
    assert browser.run(f"{button}.parentElement.getAttribute('aria-sort')") == "ascending"


def test_curves_are_read_by_keys_and_pointer(browser, page):
    browser.open(page)
    browser.run("document.querySelector('#curves figure .frame').focus()")
    for key in ("End", "Home", "ArrowRight"):
        browser.press(key)
    output = "document.querySelector('#curves figure output').textContent"
    assert browser.run(output).startswith("head, epoch 2")
    browser.press("Escape")
    assert browser.run(output) == ""
    frame = "document.querySelector('#curves .frame').getBoundingClientRect()"
    x, y = browser.run(f"(({{x, y, width, height}}) => [x + width * .9, y + height / 2])({frame})")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert "full, epoch 2" in browser.run(output)
