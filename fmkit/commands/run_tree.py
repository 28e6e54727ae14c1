"""`fmkit runs tree`: runs below those that they started from, later evaluations and resumes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmkit.commands.output import json_output
from fmkit.commands.output.run_tables import Rows
from fmkit.core import console, files
from fmkit.core.errors import plural
from fmkit.store import run_content, run_dir, run_index, run_lineage
from fmkit.store.run_lineage import Node
from fmkit.store.run_table import RunTable

_BRANCHES = {True: ("├─ ", "└─ ", "│  "), False: ("|- ", "`- ", "|  ")}
"""Before a run, before the last one of its parent, and past runs in between; without Unicode."""
_COLUMNS = ("run", "state", "from", "test accuracy", "name", "data", "model", "stage", "evaluated",
            "resumed at")  # fmt: skip


def show(text: str | None, runs_dir: Path) -> None:
    """Show the runs that are related, or the relatives of one.

    Raises:
        ArtifactError: there is no such run.
    """
    run = None if text is None else run_index.resolve(text, runs_dir)
    table = RunTable(runs_dir)
    if run is not None:  # as the table names it
        run = next((one.folder for one in table.runs if one.folder.samefile(run)), run)
    nodes = list(run_lineage.tree(table, run))
    rows = [_object(node) for node in nodes]
    alone = len(table.runs) - len(nodes)

    def view() -> None:
        if rows:
            console.stdout.print(Rows("runs", _COLUMNS, _cells(nodes, rows)))
        if run is None and alone:
            verb = "has" if alone == 1 else "have"
            console.info(f"{plural(alone, 'run')} {verb} no parent and no child (init=).")
        elif run is None and not rows:
            console.info(f"There is no run in {files.absolute_path(runs_dir)} yet.")

    json_output.show("tree", {"runs": rows, "without_relatives": alone}, view)


def _object(node: Node) -> dict[str, Any]:
    run, link = node.run, node.link
    status = run_content.json_or_empty(run.folder / run_dir.STATUS)
    phases = status.get("phases")
    names = [str(row.get("name")) for row in phases or () if isinstance(row, dict)]
    others = [
        split for split in run_content.evaluations(run.folder, run) if split not in ("val", "test")
    ]
    parent = None if link is None else link.parent
    return {
        "id": run.id, "folder": run.folder.absolute(), "depth": node.depth, "state": run.state,
        "parent": None if parent is None else parent.id,
        "parent_path": None if link is None else link.path,
        "by": None if link is None else link.key,
        "is_refitted": any(name.startswith(run_dir.REFIT) for name in names),
        "evaluated": others, "resumes": run_lineage.resumes(status),
        "name": run.name, "data": run.data_label, "model": run.model,
        "stage": run.stage, "test": run.test, "val": run.val,
    }  # fmt: skip


def _cells(nodes: Sequence[Node], rows: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """A row per run, whose id stands behind the branches that lead to it."""
    branch, last, past = _BRANCHES[console.has_unicode()]
    cells, open_levels = [], list[bool]()
    for node, row in zip(nodes, rows, strict=True):
        del open_levels[max(node.depth - 1, 0) :]
        before = "".join(past if is_open else "   " for is_open in open_levels)
        if node.depth:
            before += last if node.is_last else branch
            open_levels.append(not node.is_last)
        source = None
        if node.link is not None:
            gone = "" if node.link.parent else f" {files.display_path(node.link.path)}, elsewhere"
            source = f"{node.link.key}{gone}"
        stage = row["stage"] if isinstance(row["stage"], str) else None
        stage = f"{stage or ''} + refit" if row["is_refitted"] else stage
        accuracy = run_index.metrics(node.run).get("test.accuracy")
        cells.append([
            f"{before}{row['id']}", row["state"], source, accuracy, row["name"], row["data"],
            row["model"], stage, ", ".join(row["evaluated"]) or None,
            ", ".join(map(run_lineage.describe_resume, row["resumes"])) or None,
        ])  # fmt: skip
    return cells
