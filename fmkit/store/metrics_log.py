"""The numbers of a run: metrics.jsonl is the truth, CSV and TensorBoard are made from it."""

from __future__ import annotations

import csv
import io
import json
import math
import numbers
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from fmkit.core import files, safe_io
from fmkit.core.errors import ArtifactError
from fmkit.store import run_dir
from fmkit.store.tensorboard import EventsFile

_TABLE_SECONDS = 1.0
_FIRST_COLUMNS = ("phase", "epoch", "step")


class MetricsLog:
    """Writes a row an epoch (and every so many steps) in all three forms.

    metrics.jsonl has every row at once. The CSV is made anew from all rows, so it waits while less
    than a second has gone by since the last time; closing writes it.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._rows = folder / run_dir.METRICS
        self._table = folder / run_dir.METRICS_TABLE
        self._events = EventsFile(folder / run_dir.TENSORBOARD)
        self._table_written = -_TABLE_SECONDS
        self._table_is_behind = False
        self._seen: list[dict[str, Any]] = (
            list(safe_io.read_json_lines(self._rows)) if self._rows.exists() else []
        )

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._table_is_behind:
            self._write_table()
        self._events.close()

    def append(self, row: dict[str, Any], end_of_epoch: bool = True) -> None:
        """Write one row; at the end of an epoch, so do the CSV and TensorBoard."""
        files.append_json_line(self._rows, row, "metrics.mid_line")
        self._seen.append(row)
        self._add_events(row)
        self._table_is_behind = True
        if end_of_epoch and time.monotonic() - self._table_written >= _TABLE_SECONDS:
            self._write_table()
            self._events.flush()

    def sync(self) -> int:
        """Make all rows survive a power failure; how many there are, for a checkpoint's state."""
        if self._rows.exists():
            files.sync_file(self._rows)
        return len(self._seen)

    def _write_table(self) -> None:
        files.write_text(self._table, as_csv(self._seen))
        self._table_written, self._table_is_behind = time.monotonic(), False

    def _add_events(self, row: dict[str, Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=tag, simple_value=float(value))
            for tag, value in row.items()
            if isinstance(value, numbers.Real)
            and math.isfinite(value)
            and tag not in _FIRST_COLUMNS
        ]
        event = Event(wall_time=time.time(), step=int(row["step"]), summary=Summary(value=values))
        self._events.add(event)


def truncate(folder: Path, rows: int) -> int:
    """Take back the rows that came after a checkpoint, in all three forms.

    Args:
        folder: the run's folder.
        rows: how many to keep, as `MetricsLog.sync` told it when the checkpoint was saved.

    Returns:
        How many rows there are now: fewer than were asked for where the file has lost some.

    Raises:
        ArtifactError: one of the rows to keep is damaged.
    """
    path = folder / run_dir.METRICS
    content = path.read_bytes() if path.exists() else b""
    lines = [line for line in content.split(b"\n") if line.strip()]
    kept: list[dict[str, Any]] = []
    for number, line in enumerate(lines[:rows], start=1):
        try:
            kept.append(dict(json.loads(line)))
        except (ValueError, TypeError, RecursionError) as error:
            if number == len(lines):  # torn by a crash
                break
            raise ArtifactError(f"{path}, line {number}, is damaged.") from error
    files.write_bytes(path, b"".join(line + b"\n" for line in lines[: len(kept)]))
    files.write_text(folder / run_dir.METRICS_TABLE, as_csv(kept))
    _restart_events(folder / run_dir.TENSORBOARD, kept)
    return len(kept)


def _restart_events(folder: Path, kept: list[dict[str, Any]]) -> None:
    """Have TensorBoard forget what came after the last row that is kept."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    step = int(kept[-1].get("step", 0)) + 1 if kept else 0
    start = SessionLog(status=SessionLog.START)
    events = EventsFile(folder)
    events.add(Event(wall_time=time.time(), step=step, session_log=start))
    events.close()


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV with all columns there ever were, in the order in which they came up."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(files.nonfinite_to_none(row) for row in rows)
    return stream.getvalue()
