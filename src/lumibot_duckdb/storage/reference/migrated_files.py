"""`StoredMigratedFiles`: the record of migrated files in the DuckDB storage."""

from __future__ import annotations

from collections.abc import Sequence

from lumibot_duckdb.storage.api import MigratedFiles
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.times import naive_utc, utc_now

_STILL_HERE = """
SELECT rows
FROM {db}.migrated_file
WHERE path = ? AND fingerprint = ?
    AND list_has_all((SELECT coalesce(list(current_version), []) FROM {db}.series), versions)
"""


class StoredMigratedFiles(MigratedFiles):
    """Keeps the record in the store. Reading it does not upgrade a store of an older release."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store

    def remember(self, path: str, fingerprint: str, rows: int, versions: Sequence[int]) -> None:
        with self._store.write() as cursor:
            cursor.execute("DELETE FROM {db}.migrated_file WHERE path = ?", [_storable(path)])
            cursor.execute(
                "INSERT INTO {db}.migrated_file VALUES (?, ?, ?, ?, ?)",
                [_storable(path), fingerprint, rows, list(versions), naive_utc(utc_now())],
            )

    def rows(self, path: str, fingerprint: str) -> int | None:
        if not self._store.refresh(upgrade=False):
            return None
        with self._store.read() as cursor:
            found = cursor.rows(_STILL_HERE, [_storable(path), fingerprint])
        return int(found[0][0]) if found else None


def _storable(path: str) -> str:
    """Return a path as text: a name on disk may have bytes that are no UTF-8."""
    return path.encode(errors="backslashreplace").decode()
