"""Seconds, turns, and tables of medians and ratios."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

BATCH = 32
Contestants = dict[str, Callable[[], float]]
Figures = dict[str, list[float]]


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleaved(contestants: Contestants, repeats: int) -> Figures:
    """What each contestant returns, in turns, so that a slow minute of the machine hits all."""
    figures: Figures = {name: [] for name in contestants}
    for number in range(repeats):
        for name, measure in contestants.items():
            figures[name].append(measure())
            print(f"  {number + 1}/{repeats} {name}: {figures[name][-1]:.3f}", file=sys.stderr)
    return figures


def table(title: str, unit: str, rows: dict[str, Figures], limits: str = "") -> str:
    """Rows of medians and of fmkit's ratio to each other column, as Markdown."""
    others = [name for name in next(iter(rows.values())) if name != "fmkit"]
    head = ["", f"fmkit, {unit}", *others, *(f"fmkit / {name}" for name in others)]
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row, figures in rows.items():
        medians = [_short(statistics.median(figures[name])) for name in ("fmkit", *others)]
        ratios = [f"{ratio(figures, name):.3g}" for name in others]
        lines.append("| " + " | ".join([row, *medians, *ratios]) + " |")
    return "\n".join([*lines, "", limits]).rstrip() + "\n"


def ratio(figures: Figures, other: str) -> float:
    """The median over the repeats of fmkit's figure to another's."""
    pairs = zip(figures["fmkit"], figures[other], strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
