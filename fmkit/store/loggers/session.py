"""Sends a run to one tracker: what its folder has and the tracker lacks, at any time.

`loggers/NAME.json` of the run folder says which record that is and how far it has got, so that a
resumed run goes on with it, and what a tracker missed is sent later. A row that a resumed run has
trained again is equal to the one that was sent, and is not sent twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fmkit.core import files
from fmkit.store import metrics_log, run_content, run_dir
from fmkit.store.loggers import tracker as trackers
from fmkit.store.loggers.tracker import Tracker

_MOST_ROWS = 500
"""Rows that are sent at once, before it is recorded that they were."""


class Session:
    """A run, and its record in one tracker.

    Args:
        folder: the run's.
        name: of the tracker.
        tracker: not open yet.
        with_model: send the model and the best checkpoint at the end, too.
    """

    def __init__(self, folder: Path, name: str, tracker: Tracker, with_model: bool = False) -> None:
        self._folder, self._tracker, self._with_model = folder, tracker, with_model
        self._path = record_path(folder, name)
        self._record = run_content.json_or_empty(self._path)
        self._is_open = False
        rows = self._record.get("rows")
        self.rows = rows if type(rows) is int and rows >= 0 else 0

    @property
    def url(self) -> str | None:
        """Where the record can be looked at, or what is to be sent from where."""
        return self._tracker.url

    @property
    def place(self) -> str | None:
        """What the record is kept in."""
        return self._tracker.place

    def send(self) -> None:
        """Send the rows that are new; the first call opens the record.

        Raises:
            Exception: whatever the tracker's client raises; a later call goes on from there.
        """
        if not self._is_open:
            facts = trackers.facts(self._folder)
            before = self._record.get("id"), self._record.get("place")
            self._tracker.open(facts, *(text if isinstance(text, str) else None for text in before))
            self._is_open = True
            if before[0] != self._tracker.identity:
                self.rows = 0  # it is another record than the one before
            self._save(state=run_dir.RUNNING)
        rows = trackers.read_rows(self._folder / metrics_log.METRICS)
        phases = list(dict.fromkeys(str(row.get("phase")) for row in rows))
        while self.rows < len(rows):
            part = rows[self.rows : self.rows + _MOST_ROWS]
            self._tracker.log_rows(part, self.rows, phases)
            self.rows += len(part)
            if not self._tracker.confirms_at_end:
                self._save()

    def finish(self) -> None:
        """Send what is missing, the figures and the files, and end the record.

        Raises:
            Exception: whatever the tracker's client raises.
        """
        self.send()
        summary = trackers.summary(self._folder, self._with_model)
        self._tracker.log_summary(summary)
        self._tracker.close(summary)
        self._save(state=summary.state)

    def _save(self, **changes: Any) -> None:
        tracker = self._tracker
        known = {"id": tracker.identity, "url": tracker.url, "place": tracker.place}
        rows = self.rows
        if tracker.confirms_at_end and changes.get("state", run_dir.RUNNING) == run_dir.RUNNING:
            rows = self._record.get("rows") or 0
        self._record |= {**known, "rows": rows, **changes}
        self._path.parent.mkdir(exist_ok=True)
        files.write_json(self._path, self._record)


def record_path(folder: Path, name: str) -> Path:
    """The file that says how far a run's record in a tracker has got."""
    return folder / run_dir.LOGGERS / f"{name}.json"


def records(folder: Path) -> dict[str, dict[str, Any]]:
    """By tracker, a run's record in it as its file has it."""
    paths = sorted((folder / run_dir.LOGGERS).glob("*.json"))
    return {path.stem: run_content.json_or_empty(path) for path in paths}
