"""A TensorBoard event file whose name sorts after those of all files written before it."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

_VERSION = "brain.Event:2"  # TensorBoard expects it in the first event of a file
_NAME = re.compile(r"events\.out\.tfevents\.(\d{10,19})(?!\d)")


class EventsFile:
    """Writes events to a new file of a folder.

    TensorBoard reads the files of a folder in the order of their names, and that order lets a
    resumed run discard what came after its checkpoint. TensorBoard's own writer names a file by the
    second and a plain count, so that the tenth file of a process sorts before its ninth; it also
    writes in another thread, where an error of a full disk is lost. Here the name has nanoseconds,
    later than the newest file even after a clock went back, and errors reach the caller.

    Args:
        folder: where to write; it is created where it is missing.

    Raises:
        OSError: the file cannot be written; so do `add`, `flush` and `close`.
    """

    def __init__(self, folder: Path) -> None:
        # Importing it takes a while, and only training needs it.
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        # Names of other writers have seconds: the last nanosecond of that second.
        matches = (_NAME.match(path.name) for path in folder.iterdir())
        newest = max((int(match[1].ljust(19, "9")) for match in matches if match), default=0)
        stamp = max(time.time_ns(), newest + 1)
        name = f"events.out.tfevents.{stamp:019d}.{socket.gethostname()}.{os.getpid()}"
        self._records = RecordWriter((folder / name).open("xb"))
        self.add(Event(wall_time=time.time(), file_version=_VERSION))
        self.flush()

    def add(self, event: Event) -> None:
        """Write one event; it reaches the disk with the next flush at the latest."""
        self._records.write(event.SerializeToString())

    def flush(self) -> None:
        """Make what was written so far visible to TensorBoard."""
        self._records.flush()

    def close(self) -> None:
        """Flush and close the file; closing a second time does nothing."""
        self._records.close()
