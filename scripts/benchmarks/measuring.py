"""Seconds, turns, and tables of medians and ratios."""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH = 32
MOST_BY_OTHERS = 0.1
"""Share of the cores' time that other work may take in a round."""
_MOST_ROUNDS = 3  # for each that is wanted
_disturbed: list[float] = []
Contestants = dict[str, Callable[[], float]]
Figures = dict[str, list[float]]


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleaved(contestants: Contestants, repeats: int) -> Figures:
    """What each contestant returns, in turns, so that a slow minute of the machine hits all.

    A round in which other work took the cores is measured again; if the machine does not get quiet,
    the quietest rounds are taken, and `disturbance` says so.
    """
    rounds: list[tuple[float, dict[str, float]]] = []
    while len(rounds) < _MOST_ROUNDS * repeats:
        clock, figures = CoreClock(), {}
        for name, measure in contestants.items():
            figures[name] = measure()
            print(f"  {len(rounds) + 1} {name}: {figures[name]:.3f}", file=sys.stderr)
        rounds.append((clock.share_of_others(), figures))
        if rounds[-1][0] > MOST_BY_OTHERS:
            print(f"  other work took {rounds[-1][0]:.0%} of the cores: again", file=sys.stderr)
        if sum(share <= MOST_BY_OTHERS for share, _ in rounds) == repeats:
            break
    quietest = sorted(rounds, key=lambda pair: pair[0])[:repeats]
    _disturbed.extend(share for share, _ in quietest if share > MOST_BY_OTHERS)
    return {name: [figures[name] for _, figures in quietest] for name in contestants}


class CoreClock:
    """Time of the machine's cores since it was made: this process with its children, and all."""

    def __init__(self) -> None:
        self._began, self._own, self._all = time.perf_counter(), _own_seconds(), _all_seconds()

    def share_of_others(self) -> float:
        """The share of all cores' time that other processes took; 0 where Linux does not say."""
        if self._all is None:
            return 0.0
        available = (time.perf_counter() - self._began) * (os.cpu_count() or 1)
        others = (_all_seconds() or 0.0) - self._all - (_own_seconds() - self._own)
        return max(0.0, others / available)


def _own_seconds() -> float:
    """Of this process and of those children that it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _all_seconds() -> float | None:
    """Of all processes, and of those of the host that this machine waited for."""
    try:
        fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    except (OSError, ValueError):
        return None
    user, nice, system, _idle, _waits, interrupts, soft_interrupts, stolen = fields
    busy = user + nice + system + interrupts + soft_interrupts + stolen
    return busy / os.sysconf("SC_CLK_TCK")


def disturbance() -> str:
    """A sentence about rounds since the last call that other work disturbed; empty without any."""
    worst, count = max(_disturbed, default=0.0), len(_disturbed)
    _disturbed.clear()
    if not count:
        return ""
    rounds = "In 1 round" if count == 1 else f"In {count} rounds"
    return f"Not quiet: {rounds.lower()} other work took up to {worst:.0%} of the cores.\n"


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
