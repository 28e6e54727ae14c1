"""The pages of `fmkit runs serve`: all runs, one run with its curves, a message."""

import functools
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from fmkit.core.errors import FmkitError, plural
from fmkit.report import html, page
from fmkit.report.html import Cell
from fmkit.report.page import Extras
from fmkit.store import lock, run_dir, run_index, run_query, run_table
from fmkit.store.run_index import RunSummary
from fmkit.store.run_query import Selection

ROWS = 100
"""Runs on a page."""

_FOLDER = Path(__file__).parent
_COLUMNS = ("test.accuracy", "val.accuracy", "data", "model", "stage", "started")
_CLASSES = {run_dir.DONE: "good", run_dir.RUNNING: None}
_EXAMPLE = "test.accuracy>0.9 model.name=small_cnn age<2d"


@dataclass(frozen=True)
class Request:
    """What a list of runs is asked for, as it was typed."""

    text: str = ""
    sort: str = ""
    columns: str = ""
    number: int = 1

    def address(self, base: str) -> str:
        """The address of this list."""
        values = {"q": self.text, "sort": self.sort, "columns": self.columns,
                  "page": "" if self.number == 1 else str(self.number)}  # fmt: skip
        query = urllib.parse.urlencode({key: value for key, value in values.items() if value})
        return f"{base}?{query}" if query else base


@functools.cache
def _extras() -> Extras:
    script, style = (
        (_FOLDER / name).read_text(encoding="utf-8") for name in ("runs.js", "runs.css")
    )
    about = "Only this machine can see it, and nothing is changed by it."
    return Extras(script, style, "connect-src 'self'; form-action 'self'", about)


def policy() -> str:
    """The content security policy of these pages."""
    return page.policy(_extras())


def address(base: str, kind: str, key: str) -> str:
    """A path of this site."""
    return f"{base}{kind}/{urllib.parse.quote(key, safe='/', errors='surrogateescape')}"


def all_runs(
    selection: Selection | None,
    request: Request,
    keys: Mapping[Path, str],
    folder: str,
    base: str,
    problem: FmkitError | None,
) -> str:
    """The list.

    Args:
        selection: the runs on all of its pages; None with a problem.
        request: what it is asked for.
        keys: what addresses call each run, by its folder.
        folder: of the runs, for people.
        base: of all addresses.
        problem: why there is no selection.
    """
    parts: list[Any] = [_form(request, base)]
    count = 0
    if problem is not None:
        parts.append(html.element("p", problem.message, " ", problem.hint, class_="bad"))
    if selection is not None:
        count = selection.matching
        parts.append(_table(selection, request, keys, base))
    header = html.element(
        "header",
        html.element("h1", "Runs"),
        html.element("p", plural(count, "run"), " in ", html.code(folder), class_="subtitle"),
    )
    section = html.section("runs", "All runs" if not request.text else "Matching runs", *parts)
    return page.render("Runs", header, [section], _extras())


def _form(request: Request, base: str) -> Markup:
    fields = [
        ("q", "Conditions", request.text, _EXAMPLE),
        ("sort", "Sort by", request.sort, "-test.accuracy"),
        ("columns", "Columns", request.columns, "model.name,optimizer.learning_rate"),
    ]
    labels = [
        html.element("label", title, html.element(
            "input", type="text", name=name, value=value, placeholder=example,
            spellcheck="false", autocomplete="off"))
        for name, title, value, example in fields
    ]  # fmt: skip
    button = html.element("button", "Show", type="submit")
    return html.element("form", *labels, button, class_="query", action=base, method="get")


def _table(selection: Selection, request: Request, keys: Mapping[Path, str], base: str) -> Markup:
    first = (request.number - 1) * ROWS
    shown = selection.runs[first : first + ROWS]
    chosen = run_query.parse_keys(request.columns)
    asked = [key for key in selection.values if key not in ("id", "name", "state")]
    columns = chosen or list(dict.fromkeys([*asked, *_COLUMNS]))
    rows = [
        [
            _choice(run, keys[run.folder], base),
            _state(run),
            *(_cell(run, key, selection.values, first + number) for key in columns),
            html.element("a", "report", href=address(base, "report", keys[run.folder]))
            if run.state != run_dir.RUNNING else "",
        ]
        for number, run in enumerate(shown)
    ]  # fmt: skip
    heads = [
        _head("name", "run", request, base), _head("state", "state", request, base),
        *(_head(key, key, request, base) for key in columns), Markup(""),
    ]  # fmt: skip
    numeric = {
        k for k, key in enumerate(columns, start=2)
        if any(isinstance(value, int | float) for value in _values(selection, key, shown, first))
    }  # fmt: skip
    texts = [k for k in range(len(heads)) if k not in numeric]
    table = html.table(heads, rows, texts=texts)
    remarks = [f"{remark}." for remark in selection.remarks]
    pages = _pages(selection.matching, request, base)
    above = html.element(
        "div",
        html.element("button", "Compare two", type="submit"),
        pages,
        html.element("p", " ".join(remarks), class_="note") if remarks else None,
        class_="above",
    )
    nothing = html.note("No run matches." if request.text else "There is no run yet.")
    content = html.join([above, table, pages]) if table is not None else nothing
    return html.element("form", content, id="runs-table", action=f"{base}compare", method="get")


def _choice(run: RunSummary, key: str, base: str) -> Markup:
    """A run's name with a box by which it is chosen for a comparison."""
    box = html.element(
        "input", type="checkbox", name="run", value=key, aria_label=f"Compare {run.id}"
    )
    link = html.element(
        "a", html.name(run.name or run.id), title=run.id, href=address(base, "run", key)
    )
    return html.join([box, link], " ")


def _values(selection: Selection, key: str, shown: Sequence[RunSummary], first: int) -> list[Any]:
    if key in selection.values:
        return selection.values[key][first : first + len(shown)]
    return [run_index.row(run).get(key) for run in shown]


def _cell(run: RunSummary, key: str, values: Mapping[str, Sequence[Any]], number: int) -> Any:
    row = run_index.row(run) | {"data": run.data_label}
    value = values[key][number] if key in values else row.get(key)
    if value is None:
        return html.NOTHING
    if key == run_table.AGE:
        return Cell(run_query.age_text(value), value)
    if key == "started":
        return str(value)[:16].replace("T", " ")
    if isinstance(value, float):
        return Cell(f"{value:.5g}", value)
    return value if isinstance(value, int) and not isinstance(value, bool) else html.name(value)


def _head(key: str, title: str, request: Request, base: str) -> Markup:
    """A column's title, by which the list is sorted; once more turns the order round."""
    falls, rises = f"-{key}", key
    order = rises if request.sort == falls else falls
    arrow = {falls: " ↓", rises: " ↑"}.get(request.sort, "")
    target = replace(request, sort=order, number=1).address(base)
    return html.element("a", title, arrow, href=target)


def _state(run: RunSummary) -> Markup:
    state = html.element("span", run.state, class_=_CLASSES.get(run.state, "bad"))
    reason = run.reason or ""
    return html.element("span", state, title=html.shorten(reason)) if reason else state


def _pages(count: int, request: Request, base: str) -> Markup | None:
    last = -(-count // ROWS)
    if last < 2:
        return None
    parts: list[Any] = []
    for text, number in (
        ("← previous page", request.number - 1),
        ("next page →", request.number + 1),
    ):
        if 1 <= number <= last:
            target = replace(request, number=number).address(base)
            parts.append(html.element("a", text, href=target))
    here = f"page {request.number} of {last:,}"
    return html.element("p", html.join([here, *parts], " · "))


def progress(run: RunSummary) -> str:
    """Where a run is, in words."""
    parts = [f"phase {run.phase}" if run.phase else "", f"epoch {run.epoch}" if run.epoch else "",
             f"step {run.step:,}" if run.step else ""]  # fmt: skip
    started = lock.timestamp(run.started)
    if run.state == run_dir.RUNNING and started is not None:
        parts.append(f"for {run_query.age_text(time.time() - started)}")
    return ", ".join(part for part in parts if part)


def one_run(run: RunSummary, key: str, base: str) -> str:
    """The page of a run, whose curves grow while it trains."""
    facts = [run.id, run.task, run.model, run.data_label and f"on {run.data_label}", run.started]
    subtitle = html.join([html.name(fact) for fact in facts if fact], " · ")
    links = [html.element("a", "← all runs", href=base),
             html.element("a", "report", href=address(base, "report", key))]  # fmt: skip
    kind = _CLASSES.get(run.state, "bad") or ""
    state = html.element("span", run.state, id="state", class_=f"state {kind}".strip())
    header = html.element(
        "header",
        html.element("p", html.join(links, " · ")),
        html.element("h1", html.name(run.name or run.id), state),
        html.element("p", subtitle, class_="subtitle"),
        html.element("p", run.reason, class_="bad") if run.reason else None,
        html.element("p", progress(run), id="progress", class_="note"),
    )
    waiting = html.note("No epoch is recorded yet.")
    curves = html.element("div", waiting, class_="charts live",
                          data_metrics=address(base, "metrics", key))  # fmt: skip
    figures = [
        [name, html.Cell(f"{value:.5g}", value)] for name, value in run_index.metrics(run).items()
    ]
    sections = [
        html.section("curves", "Curves", curves),
        html.section("figures", "Figures", html.table(["figure", "value"], figures)),
    ]
    return page.render(run.name or run.id, header, sections, _extras())


def refusal(error: FmkitError, base: str) -> str:
    """A page with a message."""
    header = html.element("header", html.element("h1", "This page cannot be shown"))
    back = html.element("p", html.element("a", "← all runs", href=base))
    section = html.section("message", "Why", html.element("p", str(error), class_="bad"), back)
    return page.render("Not shown", header, [section], _extras())
