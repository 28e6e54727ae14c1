"""Plans the runs, makes each in a process of its own, and writes what came of it.

The processes are forked from one that has imported TensorFlow, as those of `torture`: the seconds
of a run are without the 5 s of imports.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from torture import runs, zygote

from quality import features, methods, own_head
from quality.datasets import DATASETS, root_of, table
from quality.results import Results, Row, key_of

CHOSEN_BY_RECIPE = ("data.augment", "model.image_size")
"""Settings of a source's own that `recipe=auto` would choose if the source was read directly."""


@dataclass(frozen=True)
class Job:
    """One run to make; `words` are its command line, empty for a peer."""

    data: str
    size: str
    method: str
    seed: int
    tag: str
    words: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The data set and its size, as `--only` has it."""
        return f"{self.data}@{self.size}"

    @property
    def cost(self) -> float:
        """Roughly the seconds of the data set and size; the order of the runs goes by it."""
        row = DATASETS[self.data]
        shots, _, is_shot = self.size.partition("-")
        count = 2000 if self.size == "all" else int(shots) * (20 if is_shot else 1)
        return row.cost * count

    def row(self, **values: Any) -> Row:
        """What is written of it."""
        empty = {
            "value": None,
            "metrics": {},
            "seconds": None,
            "processor_seconds": None,
            "own_head": None,
            "error": None,
        }
        head = {name: getattr(self, name) for name in ("data", "size", "method", "seed", "tag")}
        metric = methods.METRICS[DATASETS[self.data].task]
        return {**head, "metric": metric, "words": list(self.words), **empty, **values}


@dataclass(frozen=True)
class Settings:
    """How the runs are made.

    Attributes:
        folder: of tables, caches and runs.
        roots: by data set, its folder or file.
        threads: of TensorFlow in a run.
        timeout: seconds that a run may take.
        keep: run folders stay.
    """

    folder: Path
    roots: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    timeout: float = 7200.0
    keep: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Of a run's process."""
        number = str(self.threads)
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        return dict.fromkeys(names, number)


def plan(
    places: Sequence[tuple[str, str]],
    command_lines: Mapping[str, str],
    peers: Sequence[str],
    seeds: int,
    tag: str,
) -> list[Job]:
    """All runs, the cheap data sets first, and of each all methods of a seed before the next seed.

    Args:
        places: pairs of a data set and a size.
        command_lines: by method of fmkit, its settings.
        peers: names of peers; they run where their task is the data set's, and have no tag, since
            they do not depend on the code.
    """
    jobs = []
    for data, size in places:
        fitting = [name for name in peers if methods.PEERS[name].task == DATASETS[data].task]
        for seed in range(seeds):
            jobs += [
                Job(data, size, name, seed, tag, tuple(methods.command_line(text)))
                for name, text in command_lines.items()
            ]
            jobs += [Job(data, size, name, seed, "") for name in fitting]
    return sorted(jobs, key=lambda job: job.cost)


def run(
    jobs: Sequence[Job],
    results: Results,
    make: Callable[[Job], Row],
    minutes: float | None = None,
    retry: bool = False,
) -> Iterator[Row]:
    """Make what has no row yet, one after the other; yields the rows, each written already.

    Args:
        make: makes a run and returns its row; what it raises becomes the row's error.
        minutes: after these no run begins.
        retry: runs that failed are made again.
    """
    began = time.monotonic()
    for job in jobs:
        if key_of(job.row()) in results.done(with_failed=not retry):  # another process may add rows
            continue
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            return
        try:
            row = make(job)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            row = job.row(error=f"{type(error).__name__}: {error}")
        row["time"] = datetime.now().astimezone().isoformat(timespec="seconds")
        results.add(row)
        yield row


def make(job: Job, settings: Settings) -> Row:
    """Make one run in a process of its own."""
    root = root_of(settings.folder, job.data, settings.roots)
    data_words = table(settings.folder, job.data, job.size, job.seed, root)
    own_defaults = DATASETS[job.data].own_defaults.split()
    name = f"{job.seed}-{os.getpid()}"  # another process may make the same run
    folder = settings.folder / "runs" / job.place / job.method / name
    fixed = [f"runtime.seed={job.seed}", f"runtime.cache_dir={settings.folder / 'cache'}"]
    try:
        if not job.words:
            return _make_peer(job, [*data_words, *own_defaults, *fixed], folder, settings)
        if "recipe=auto" in job.words:
            own_defaults = [word for word in own_defaults if not word.startswith(CHOSEN_BY_RECIPE)]
        command, *method_words = job.words
        words = [command, *data_words, *own_defaults, *fixed, "runtime.verbose=false"]
        return _make_run(job, words, method_words, folder, settings)
    finally:
        if not settings.keep:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        error: its exit status and last messages; None where it is 0.
        times: `seconds` from start to end, and `processor_seconds` of all its threads, which other
            work on the machine hardly changes.
    """

    error: str | None
    times: dict[str, float]


def wait(victim: zygote.Victim, timeout: float) -> Ended:
    """Wait for a process; one that takes longer is ended."""
    before, began = _processor_seconds(), time.monotonic()
    code = victim.wait(timeout)
    times = {
        "seconds": round(time.monotonic() - began, 2),
        "processor_seconds": round(_processor_seconds() - before, 2),
    }
    lines = [line.strip() for line in victim.text().splitlines() if line.strip()]
    messages = [line for line in lines if line.lower().startswith("error")] or lines[-3:]
    return Ended(f"exit {code}: {' '.join(messages)[:500]}" if code else None, times)


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _make_run(
    job: Job, words: list[str], method_words: list[str], folder: Path, settings: Settings
) -> Row:
    run, ended = train([*words, *method_words], folder / "run", settings)
    if run is None or ended.error:
        return job.row(**ended.times, error=ended.error or "there is no run folder")
    test = own_head.test_metrics(run)
    row = job.row(
        value=test[methods.METRICS[DATASETS[job.data].task]],
        metrics=test,
        **ended.times,
        threads=settings.threads,
        phases=own_head.phases(run),
    )
    head_words = own_head.words_without_later_phases(run, method_words)
    if head_words is not None:
        head_run, ended = train([*words, *head_words], folder / "head", settings)
        row["own_head"] = {"error": ended.error}
        if head_run is not None and not ended.error:
            row["own_head"] = own_head.compare(run, head_run, row["metric"])
    return row


def train(words: Sequence[str], folder: Path, settings: Settings) -> tuple[Path | None, Ended]:
    """Run a command line; the run's folder, and how it ended."""
    victim = zygote.fmkit(words, folder, environment=settings.environment)
    ended = wait(victim, settings.timeout)
    return runs.only_run(folder), ended


def _make_peer(job: Job, words: list[str], folder: Path, settings: Settings) -> Row:
    """Fit a peer on the cached features, in a process of its own as a run is."""
    path = settings.folder / "features" / job.place / f"{job.seed}.npz"
    output = folder / "peer.json"

    def compute_features() -> None:
        features.save(words, path)

    def fit() -> None:
        output.write_text(json.dumps(_fit(job, path)), encoding="utf-8")

    for action in (compute_features, fit) if not path.exists() else (fit,):
        victim = zygote.Victim(action, folder, environment=settings.environment)
        ended = wait(victim, settings.timeout)
        if ended.error:
            return job.row(**ended.times, error=ended.error)
    scores = json.loads(output.read_text(encoding="utf-8"))
    value = scores[methods.METRICS[DATASETS[job.data].task]]
    return job.row(value=value, metrics=scores, **ended.times)


def _fit(job: Job, path: Path) -> dict[str, float]:
    peer = methods.PEERS[job.method]
    with np.load(path) as arrays:
        x, y, x_test, y_test = (arrays[name] for name in ("x", "y", "x_test", "y_test"))
    estimator, chosen = methods.fit(peer, x, y, job.seed)
    return {**methods.score(peer.task, estimator, x_test, y_test), **chosen}
