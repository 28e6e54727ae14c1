"""The rows of a run's metrics.jsonl from a position on, while the run writes more."""

from pathlib import Path
from typing import Any

from fmkit.core import safe_io
from fmkit.store import metrics_log

_AT_ONCE = 2**20  # bytes


def read(folder: Path, offset: int) -> dict[str, Any]:
    """The rows that are whole, from a byte on.

    Args:
        folder: the run's.
        offset: `next` of the answer before, or 0.

    Returns:
        `rows`; `next`, where to go on; `more`, whether there are more already; and `restarted`,
        whether it is another file than before, since the run was resumed from a
        checkpoint, so that these rows are from its beginning on.
    """
    path, restarted = folder / metrics_log.METRICS, False
    try:
        with safe_io.open_regular(path) as stream:
            size = stream.seek(0, 2)
            stream.seek(max(offset - 1, 0))
            if offset > size or (offset and stream.read(1) != b"\n"):
                offset, restarted = 0, True
            stream.seek(offset)
            content = stream.read(_AT_ONCE)
    except OSError:
        return {"rows": [], "next": 0, "more": False, "restarted": offset > 0}
    end = content.rfind(b"\n") + 1
    if not end and len(content) == _AT_ONCE:  # a line that fmkit did not write
        end = len(content)
    after = offset + end
    return {
        "rows": [row for line in content[:end].splitlines() for row in _row(line)],
        "next": after, "more": bool(end) and after < size, "restarted": restarted,
    }  # fmt: skip


def _row(line: bytes) -> list[dict[str, Any]]:
    """A line's row; none of one that is damaged."""
    try:
        value = safe_io.parse_json(line)
    except ValueError:
        return []
    return [value] if isinstance(value, dict) else []
