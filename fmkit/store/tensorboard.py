"""A file of TensorBoard's events, whose name comes after those of all files written before it."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

_VERSION = "brain.Event:2"  # what the first event of a file has to say
_NAME = re.compile(r"events\.out\.tfevents\.(\d{10,19})(?!\d)")


class EventsFile:
    """Writes events to a new file of a folder.

    TensorBoard reads the files of a folder in the order of their names, and it is that order which
    lets a resumed run take back what came after its checkpoint. TensorBoard's own writer names a
    file by the second and a plain count, so that the tenth file of a process comes before its
    ninth; it also writes in a thread of its own, where a full disk ends nothing. Here nanoseconds
    make the order, later than the newest file even where a clock went back, and an error is the
    caller's.

    Args:
        folder: where to write; it is made where it is missing.

    Raises:
        OSError: the file cannot be written; so do `add`, `flush` and `close`.
    """

    def __init__(self, folder: Path) -> None:
        # Not at the top: only training needs it.
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        stamp = max(time.time_ns(), _newest(folder) + 1)
        name = f"events.out.tfevents.{stamp:019d}.{socket.gethostname()}.{os.getpid()}"
        self._records = RecordWriter((folder / name).open("xb"))
        self.add(Event(wall_time=time.time(), file_version=_VERSION))
        self.flush()

    def add(self, event: Event) -> None:
        """Write one event; it reaches the disk at the next flush at the latest."""
        self._records.write(event.SerializeToString())

    def flush(self) -> None:
        """Let TensorBoard see what has been written so far."""
        self._records.flush()

    def close(self) -> None:
        """Write what is left; closing a second time does nothing."""
        self._records.close()


def _newest(folder: Path) -> int:
    """The time in the name of the newest file: nanoseconds, 0 where there is none."""
    names = (_NAME.match(path.name) for path in folder.iterdir())
    return max((int(name[1].ljust(19, "9")) for name in names if name), default=0)
