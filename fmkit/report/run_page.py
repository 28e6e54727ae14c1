"""The report of one run: its page, its model card and its plots, made from what it recorded."""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from fmkit.core import atomic_dir
from fmkit.core.errors import ArtifactError
from fmkit.report import (
    background,
    charts,
    curves,
    evaluation_charts,
    evaluation_files,
    gallery,
    html,
    labels,
    model_card,
    page,
    results,
    samples,
    training,
)
from fmkit.report.charts import Chart
from fmkit.report.html import Section
from fmkit.report.record import RunRecord, finite, mapping
from fmkit.store import run_dir, run_index

_STATES = {run_dir.DONE: "good", run_dir.RUNNING: ""}


@dataclass
class Report:
    """What was written.

    Attributes:
        path: of the page.
        bytes: its size.
        model_card: the Markdown beside it, None where there is none.
        plots: the PNGs.
        problems: parts that could not be made, and why.
        seconds: that it took.
    """

    path: Path
    bytes: int = 0
    model_card: Path | None = None
    plots: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def write(
    folder: Path, log: Callable[[str], object] = lambda text: None, output: Path | None = None
) -> Report:
    """Write `report.html`, the model card and the plots into a run's folder.

    A part that fails is left out, and the page says so; see `Report.problems`.

    Args:
        folder: the run's.
        log: called with the traceback of a part that failed.
        output: another place for the page.

    Raises:
        ArtifactError: the folder has no run that can be read.
        OSError: a file cannot be written.
    """
    began = time.monotonic()
    record = _readable(folder)
    report = Report(output or folder / run_dir.REPORT)
    with charts.style():
        builder = _Builder(record, log)
        report.bytes = page.write(report.path, _rendered(builder, report.problems))
        report.plots = save_plots(builder.charts, folder / run_dir.PLOTS)
    report.problems += builder.problems
    try:
        report.model_card = model_card.write(record, [path.name for path in report.plots])
    except Exception as error:  # a run's files may be damaged in any way
        log(f"model card: {traceback.format_exc()}")
        report.problems.append(f"model card: {type(error).__name__}: {error}")
    report.seconds = time.monotonic() - began
    return report


def render(folder: Path) -> str:
    """The page of a run, of which nothing is written; errors as of `write`."""
    with charts.style():
        return _rendered(_Builder(_readable(folder), log=lambda text: None), [])


def _readable(folder: Path) -> RunRecord:
    record = RunRecord(folder)
    if record.summary.state == run_index.BROKEN:
        raise ArtifactError(f"run {folder}: {record.summary.reason}.")
    return record


def _rendered(builder: "_Builder", problems: list[str]) -> str:
    """The page, without its largest sections where it would be too large."""
    record, sections = builder.record, builder.sections()
    text = page.render(record.title, header(record), sections)
    if len(text.encode("utf-8", "backslashreplace")) > page.MAX_BYTES:
        sections = [section for section in sections if section.identity not in _LARGE]
        problems.append("pictures and texts of examples were left out for its size")
        text = page.render(record.title, header(record), sections)
    return text


_LARGE = ("examples", "labels", "batch")
"""Sections that are left out of a page that would be too large."""


def save_plots(shown: Sequence[Chart], folder: Path) -> list[Path]:
    """Write charts as PNGs in place of those that a folder had."""
    names = {charts.file_name(chart.name): chart for chart in shown}
    if not names:
        return []
    with atomic_dir.replacing(folder) as (temporary, _):
        for name, chart in names.items():
            charts.save(chart, temporary / f"{name}.png")
    return [folder / f"{name}.png" for name in names]


def header(record: RunRecord) -> Markup:
    """The title of a run with its state, what it was, and the figures that count most."""
    summary = record.summary
    stage = "+".join(map(str, summary.stage)) if isinstance(summary.stage, list) else summary.stage
    data = f"on {summary.data_label}" if summary.data_label else None
    facts = [summary.task, summary.model, data, stage, summary.started]  # fmt: skip
    state = html.element("span", summary.state, class_=f"state {_STATES.get(summary.state, 'bad')}")
    reason = html.element("p", summary.reason, class_="bad") if summary.reason else None
    tiles = [*results.headline(record), *_facts(record)]
    return html.element(
        "header",
        html.element("h1", html.name(record.title), state),
        html.element("p", html.join([html.name(fact) for fact in facts if fact], " · "),
                     class_="subtitle"),
        reason,
        html.element("dl", *(_tile(*tile) for tile in tiles), class_="tiles") if tiles else None,
        html.note(f"Figures of {record.split}; ranges are 95% intervals.") if tiles else None,
    )  # fmt: skip


def _tile(title: str, value: str, below: str) -> Markup:
    return html.element(
        "div",
        html.element("dt", title),
        html.element("dd", value, class_="value"),
        html.element("dd", below, class_="range") if below else None,
        class_="tile",
    )


def _facts(record: RunRecord) -> Iterator[tuple[str, str, str]]:
    count = record.metrics.get("n")
    if finite(count) is not None:
        yield "examples", html.number(count), record.split
    parameters = finite(record.status.get("parameters"))
    if parameters:
        yield (
            "parameters",
            f"{parameters / 1e6:.2f} M" if parameters >= 1e5 else f"{parameters:,.0f}",
            "",
        )
    seconds = record.status.get("total_seconds") or record.status.get("seconds")
    if finite(seconds):
        yield "time", training.duration(seconds), ""


class _Builder:
    """Makes the sections of a run's page, and collects its charts and what went wrong."""

    def __init__(self, record: RunRecord, log: Callable[[str], object]) -> None:
        self.record = record
        self.charts: list[Chart] = []
        self.problems: list[str] = []
        self._log = log

    def sections(self) -> list[Section]:
        """All sections that have content, in their order."""
        record = self.record
        parts: list[tuple[str, str, Callable[[], Any]]] = [
            ("curves", "Training curves", self._curves),
            ("results", "Results", lambda: results.figures(record)),
            ("confusion", "Confusions", self._confusions),
            ("calibration", "Calibration and errors", self._evaluation_charts),
            ("classes", self._by_what(), lambda: results.breakdowns(record)),
            ("slices", "In depth", lambda: evaluation_files.tables(record)),
            ("examples", "Mistakes and right answers", self._galleries),
            ("labels", "Labels", self._labels),
            ("batch", "What the network saw", self._batch),
            ("training", "Training", self._training),
            ("data", "Data", lambda: background.data_card(record)),
            ("settings", "Settings", lambda: background.settings(record)),
            ("exports", "Exports", lambda: background.exports(record)),
            ("environment", "Machine and versions", lambda: background.environment(record)),
            ("reproduce", "Make it again", lambda: background.reproduce(record)),
        ]
        made = (self._guarded(*part) for part in parts)
        return [section for section in made if section is not None]

    def _guarded(self, identity: str, title: str, make: Callable[[], Any]) -> Section | None:
        """A section; where it fails, one that says so: a run's files may be damaged in any way."""
        try:
            return html.section(identity, title, make())
        except Exception as error:
            self._log(f"report, {title}: {traceback.format_exc()}")
            reason = f"{type(error).__name__}: {error}"
            self.problems.append(f"{title}: {reason}")
            return html.section(
                identity, title, html.note(f"This part could not be made ({reason}).")
            )

    def _by_what(self) -> str:
        """Title of the section with a row per class, label or whatever the task has."""
        breakdowns = self.record.evaluator.breakdowns
        nouns = [noun for key, (noun, _) in breakdowns.items() if key in self.record.metrics]
        return f"By {nouns[0]}" if nouns else "By class"

    def _draw(self, shown: Sequence[Chart]) -> Markup | None:
        self.charts += shown
        return charts.grid(shown)

    def _predictions(self) -> Any:
        if not hasattr(self, "_table"):
            self._table = self.record.predictions(self.record.split) if self.record.split else None
        return self._table

    def _curves(self) -> Markup | None:
        record = self.record
        best = record.summary.best or {}
        shown = self._draw(curves.draw(record.rows, str(best.get("monitor", ""))))
        if shown is None:
            return None
        epochs = html.details("The same as a table", curves.as_table(record.rows))
        return html.join([shown, epochs])

    def _confusions(self) -> Markup | None:
        found = results.confusion_of(self.record, self._predictions())
        if found is None:
            return None
        chart = evaluation_charts.confusion(*found, self.record.split)
        self.charts.append(chart)
        return results.confusions(*found, chart)

    def _evaluation_charts(self) -> Markup | None:
        return self._draw([
            *results.evaluation_charts_of(self.record, self._predictions()),
            *evaluation_files.draw(self.record),
        ])  # fmt: skip

    def _galleries(self) -> Markup | None:
        content, words = (self._samples().get(key) for key in ("examples", "words"))
        shown = gallery.galleries(
            samples.choose(self._predictions()),
            content if isinstance(content, dict) else {},
            words if isinstance(words, dict) else None,
        )
        if shown is None or content:
            return shown
        missing = html.note(
            "The photos or texts themselves are not on record; the data could not be read."
        )
        has_words = "word" in self._predictions().columns
        return shown if has_words else html.join([missing, shown])

    def _labels(self) -> Markup | None:
        shown = mapping(self._samples().get("labels"))
        return labels.section(shown, mapping(shown.get("content")))

    def _batch(self) -> Markup | None:
        by_phase = self._samples().get("batch")
        if not isinstance(by_phase, dict):
            return None
        shown = gallery.batch(by_phase)
        if shown is None:
            return None
        about = "Examples of the first training batch of each phase, after augmentation."
        return html.join([html.note(about), shown])

    def _samples(self) -> Mapping[str, Any]:
        return self.record.json(run_dir.SAMPLES)

    def _training(self) -> Markup | None:
        titled = partial(html.element, "h3")
        parts = [
            ("", training.phases(self.record)),
            ("", training.solvers(self.record)),
            ("What was frozen", training.freezing(self.record)),
            ("Features computed once", training.feature_cache(self.record)),
        ]
        shown = [
            part
            for title, body in parts
            if body
            for part in (titled(title) if title else None, body)
        ]
        return html.join(shown) if shown else None
