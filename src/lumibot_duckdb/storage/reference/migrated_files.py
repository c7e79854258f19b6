"""Which files of old caches are in the store already. Everything here runs inside one transaction of the caller."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lumibot_duckdb.storage.connection.store_connection import StoreCursor

_STILL_HERE = """
SELECT rows
FROM {db}.migrated_file
WHERE path = ? AND fingerprint = ?
    AND list_has_all((SELECT coalesce(list(current_version), []) FROM {db}.series), versions)
"""


def remember_file(
    cursor: StoreCursor, path: str, fingerprint: str, rows: int, versions: Sequence[int], now: datetime
) -> None:
    """Remember a file in place of what was known of it; `now` is UTC, naive."""
    cursor.execute("DELETE FROM {db}.migrated_file WHERE path = ?", [path])
    cursor.execute(
        "INSERT INTO {db}.migrated_file VALUES (?, ?, ?, ?, ?)", [path, fingerprint, rows, list(versions), now]
    )


def rows_of_file(cursor: StoreCursor, path: str, fingerprint: str) -> int | None:
    """Return how many rows a file in this state brought; None unless it did and they are in current versions still."""
    found = cursor.rows(_STILL_HERE, [path, fingerprint])
    return int(found[0][0]) if found else None
