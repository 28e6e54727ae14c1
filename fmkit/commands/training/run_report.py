"""The page at the end of a run, and what to do next."""

import contextlib
import shlex
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from fmkit.commands.training.run_description import log
from fmkit.config.schema.commands import TrainConfig
from fmkit.core import console, files
from fmkit.store.run_dir import RunWriter
from fmkit.train.timing.deadline import REPORT_TAKES, TimeLimit

REPORTED_SECONDS = 30.0
"""Runs that took less have no report by default: it takes at most three, a tenth of them."""


def write(
    config: TrainConfig, run: RunWriter, assembly: Any, limit: TimeLimit | None = None
) -> Path | None:
    """Write the page about a run that is done, if it is wanted; a failure is only a warning."""
    setting, seconds = config.runtime.report, float(run.status["seconds"])
    if setting == "false" or (setting == "auto" and seconds < REPORTED_SECONDS):
        return None
    if setting == "auto" and limit is not None and limit.left < REPORT_TAKES * limit.contention():
        folder = shlex.quote(files.display_path(run.folder))
        log(config, run, f"the time limit leaves no time for a report: fmkit report {folder}")
        return None
    try:
        from fmkit.explain import gallery_maps, gallery_words
        from fmkit.report import labels, run_page, samples

        with console.announce_slow("writing the report", config.runtime.verbose):
            batches = {} if assembly.objectives else samples.batches_seen(assembly)
            mark = gallery_words.marker(assembly, seconds, run.log)
            draw = gallery_maps.drawer(assembly, samples.SIDE, seconds, run.log)
            judge = None
            if not assembly.objectives:
                judge = partial(labels.judge, splits=assembly.splits)
            samples.keep(run.folder, assembly.examples, batches, mark, draw, judge)
            report = run_page.write(run.folder, run.log)
    except Exception as error:  # the run is done, whatever happens to the page about it
        with contextlib.suppress(OSError):
            run.log("".join(traceback.format_exception(error)))
        console.warning(
            f"the report could not be written: {type(error).__name__}: {error}. "
            f"`fmkit report {shlex.quote(files.display_path(run.folder))}` tries it again."
        )
        return None
    run.log(f"report: {report.bytes:,} bytes in {report.seconds:.1f} s")
    for problem in report.problems:
        console.warning(f"report: {problem}")
    return report.path


def next_commands(run: RunWriter, assembly: Any, page: Path | None) -> list[str]:
    """What to do with the trained model, as commands."""
    spec, task = assembly.spec, assembly.task
    if assembly.objectives:
        task = assembly.objectives[0].task
    folder = shlex.quote(files.display_path(run.folder))
    commands = []
    if spec.classes or spec.annotations:
        commands = [f"fmkit predict run={folder} input=PATH", f"fmkit eval run={folder}"]
    if task.next_token_model is not None:
        commands = [f"fmkit generate run={folder} prompt=TEXT"]
    commands = commands or [f"fmkit finetune init={folder} data=... data.root=..."]
    return commands if page is not None else [*commands, f"fmkit report {folder}"]
