"""SQLite files that cache what can be computed again: a damaged or older one is replaced."""

import sqlite3
from pathlib import Path


def connect(path: Path, schema: str, version: int, probe: str) -> sqlite3.Connection:
    """Open a cache, replaced if it is damaged or of another version.

    Args:
        path: the file; its folder exists.
        schema: statements that make the tables of a new one.
        version: of the schema.
        probe: a query that works if the file has these tables.

    Raises:
        sqlite3.Error: it cannot be used, by us or at all.
        OSError: the old one cannot be removed.
    """
    connection, is_usable, is_new = sqlite3.connect(path, timeout=5), False, False
    try:
        current = connection.execute("PRAGMA user_version").fetchone()[0]
        is_usable = current == version
        if is_usable:
            connection.execute(probe)
        elif current == 0:
            is_new = not connection.execute("SELECT * FROM sqlite_master").fetchall()
    except sqlite3.OperationalError:  # locked, or may not be written: not ours to remove
        connection.close()
        raise
    except sqlite3.DatabaseError:
        is_usable = False
    if not is_usable and not is_new:
        connection.close()
        path.unlink()
        connection = sqlite3.connect(path, timeout=5)
    if not is_usable:
        connection.executescript(f"{schema}\nPRAGMA user_version = {version};")
    return connection
