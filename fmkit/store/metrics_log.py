"""A run's metrics: metrics.jsonl is the source; metrics.csv and TensorBoard are derived from it."""

from __future__ import annotations

import csv
import io
import json
import math
import numbers
import time
from pathlib import Path
from typing import Any

from fmkit.core import files, safe_io
from fmkit.core.errors import ArtifactError
from fmkit.core.throttle import Throttle
from fmkit.store import run_dir
from fmkit.store.tensorboard import EventsFile

METRICS = "metrics.jsonl"
METRICS_TABLE = "metrics.csv"
_CSV_SECONDS = 1.0
_NOT_PLOTTED = ("phase", "epoch", "step")


class MetricsLog:
    """Writes a row per epoch (and every N steps) to metrics.jsonl, metrics.csv and TensorBoard.

    metrics.jsonl gets every row at once. The CSV is rewritten as a whole, since columns may be
    added, so that happens at most once a second, and at the end.
    """

    def __init__(self, folder: Path) -> None:
        self._jsonl = folder / METRICS
        self._csv = folder / METRICS_TABLE
        self._events = EventsFile(folder / run_dir.TENSORBOARD)
        self._csv_throttle = Throttle(_CSV_SECONDS, delay=0)
        self._csv_is_stale = False
        self._rows: list[dict[str, Any]] = []
        if self._jsonl.exists():
            self._rows += safe_io.read_json_lines(self._jsonl)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *error: object) -> None:
        if self._csv_is_stale:
            self._write_csv()
        self._events.close()

    def append(self, row: dict[str, Any], end_of_epoch: bool = True) -> None:
        """Write one row; at the end of an epoch, so do the CSV and TensorBoard."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        files.append_json_line(self._jsonl, row, "metrics.mid_line")
        self._rows.append(row)
        self._csv_is_stale = True
        values = [
            Summary.Value(tag=tag, simple_value=float(value))
            for tag, value in row.items()
            if isinstance(value, numbers.Real) and math.isfinite(value) and tag not in _NOT_PLOTTED
        ]
        summary = Summary(value=values)
        self._events.add(Event(wall_time=time.time(), step=int(row["step"]), summary=summary))
        if end_of_epoch and self._csv_throttle.is_due():
            self._write_csv()
            self._events.flush()

    def sync(self) -> int:
        """Make all rows survive a power failure; returns their count, for a checkpoint's state."""
        if self._jsonl.exists():
            files.sync_file(self._jsonl)
        return len(self._rows)

    def _write_csv(self) -> None:
        files.write_text(self._csv, to_csv(self._rows))
        self._csv_is_stale = False


def truncate(folder: Path, rows: int) -> int:
    """Discard the rows after a checkpoint from metrics.jsonl, metrics.csv and TensorBoard.

    Args:
        folder: the run's folder.
        rows: how many to keep: what `MetricsLog.sync` returned when the checkpoint was saved.

    Returns:
        How many rows there are now: fewer than `rows` where the file has lost some.

    Raises:
        ArtifactError: one of the rows to keep is damaged.
    """
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    path = folder / METRICS
    content = path.read_bytes() if path.exists() else b""
    lines = [line for line in content.split(b"\n") if line.strip()]
    rows_to_keep: list[dict[str, Any]] = []
    for number, line in enumerate(lines[:rows], start=1):
        try:
            rows_to_keep.append(dict(json.loads(line)))
        except (ValueError, TypeError, RecursionError) as error:
            if number == len(lines):  # torn by a crash
                break
            raise ArtifactError(f"{path}, line {number}, is damaged.") from error
    files.write_bytes(path, b"".join(line + b"\n" for line in lines[: len(rows_to_keep)]))
    files.write_text(folder / METRICS_TABLE, to_csv(rows_to_keep))
    step = int(rows_to_keep[-1].get("step", 0)) + 1 if rows_to_keep else 0
    restart = SessionLog(
        status=SessionLog.START
    )  # TensorBoard discards the events from its step on
    events = EventsFile(folder / run_dir.TENSORBOARD)
    events.add(Event(wall_time=time.time(), step=step, session_log=restart))
    events.close()
    return len(rows_to_keep)


def to_csv(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV with the columns of all rows, in the order of their first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(files.nonfinite_to_none(row) for row in rows)
    return stream.getvalue()
