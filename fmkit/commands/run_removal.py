"""`fmkit runs rm` and `fmkit runs clean`: show what would go, ask, then remove it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmkit.commands.output import json_output
from fmkit.commands.output.run_tables import Rows
from fmkit.core import console, files
from fmkit.core.errors import ArtifactError, ConfigError, join_names, plural
from fmkit.store import run_index, run_removal
from fmkit.store.run_index import RunSummary
from fmkit.store.run_removal import Candidate


def remove(words: Sequence[str], runs_dir: Path, is_confirmed: bool) -> None:
    """Remove runs, or all jobs of a sweep, by folder, id or name.

    Args:
        is_confirmed: the user has said `--yes`.

    Raises:
        ArtifactError: there is no such run, or it is in use.
        ConfigError: nobody has confirmed it.
    """
    all_runs = run_index.runs(runs_dir)
    chosen: dict[Path, RunSummary] = {}
    for word in words:
        for run in run_removal.jobs_of_sweep(word, runs_dir) or [_find(word, runs_dir, all_runs)]:
            chosen[run.folder.resolve()] = run
    _confirm_and_remove(run_removal.candidates([*chosen.values()], all_runs), [], is_confirmed)


def clean(runs_dir: Path, is_confirmed: bool) -> None:
    """Remove the runs that ended before they saved anything; arguments and errors as `remove`."""
    all_runs = run_index.runs(runs_dir)
    chosen, staying = run_removal.useless(all_runs)
    _confirm_and_remove(run_removal.candidates(chosen, all_runs), staying, is_confirmed)


def _find(word: str, runs_dir: Path, all_runs: Sequence[RunSummary]) -> RunSummary:
    folder = run_index.resolve(word, runs_dir)
    same = [run for run in all_runs if run.folder.resolve() == folder.resolve()]
    return same[0] if same else run_index.read(folder)


def _confirm_and_remove(
    candidates: Sequence[Candidate], staying: Sequence[RunSummary], is_confirmed: bool
) -> None:
    total = sum(candidate.bytes for candidate in candidates)
    summary = f"{plural(len(candidates), 'run')}, {files.format_bytes(total)}"
    content: dict[str, Any] = {
        "runs": [
            {**vars(candidate), "folder": candidate.folder.absolute()} for candidate in candidates
        ],
        "staying": [run.id for run in staying],
        "bytes": total,
        "removed": [],
    }
    json_output.show("removal", content, lambda: _print(candidates, summary))
    if staying:
        names = join_names([run.id for run in staying], 5)
        console.info(
            f"not listed, since they have a checkpoint to go on from: {names}. To remove one: "
            "fmkit runs rm ID"
        )
    if not candidates:
        return
    if not is_confirmed and not _ask(f"Remove {summary}?"):
        console.info("nothing was removed")
        return
    problems: list[ArtifactError] = []
    for candidate in candidates:
        try:
            run_removal.remove(candidate)
            content["removed"].append(candidate.id)
        except ArtifactError as error:
            problems.append(error)
    removed = plural(len(content["removed"]), "run")
    json_output.show("removal", content, lambda: console.stdout.print(f"removed {removed}"))
    if problems:
        raise ArtifactError(" ".join(error.message for error in problems), problems[0].hint)


def _ask(question: str) -> bool:
    """Ask on the terminal.

    Raises:
        ConfigError: there is no terminal to ask on.
    """
    if json_output.is_on() or not (sys.stdin.isatty() and console.stderr.is_terminal):
        raise ConfigError(
            "nothing was removed: there is no terminal to ask on.", "To remove them, add --yes."
        )
    console.stderr.print(f"{question} \\[y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print(candidates: Sequence[Candidate], summary: str) -> None:
    if not candidates:
        console.info("There is nothing to remove.")
        return
    columns = ("id", "state", "data", "started", "size", "needed by")
    rows = []
    for run in candidates:
        needed = ", ".join(run.needed_by)
        size = files.format_bytes(run.bytes)
        rows.append((run.id, run.state, run.data, run.started, size, needed))
    console.stdout.print(Rows(f"to remove: {summary}", columns, rows))
    for run in candidates:
        if run.needed_by:
            names = join_names(run.needed_by, 3)
            verb = "needs" if len(run.needed_by) == 1 else "need"
            console.warning(f"{names} started from {run.id} (init=), and {verb} it to be resumed.")
