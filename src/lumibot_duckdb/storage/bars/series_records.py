"""The records of a write beside its bars: asset, series, versions, layouts and the list of ingests.

Everything here runs inside one transaction of the caller. Times are naive UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from lumibot_duckdb.storage.api import AssetKey, SeriesKey, WriteResult
from lumibot_duckdb.storage.bars.layout import Layout
from lumibot_duckdb.storage.bars.version_state import VersionState
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.identity import published_name
from lumibot_duckdb.storage.sql_times import timestamp_literal
from lumibot_duckdb.storage.times import EpochSeconds

_OF_VERSION = ("bar", "outline", "repeated_bar", "bar_checksum")
"""Tables that have the bars of versions, and what is derived from them."""


def create_series(cursor: StoreCursor, key: SeriesKey, layout: Layout, new_id: int, now: datetime) -> VersionState:
    """Create a series with a version that has no bars. `new_id` becomes the id of everything that is new."""
    asset_id = asset_id_of(cursor, key.asset, new_id)
    cursor.execute(
        "INSERT INTO {db}.series VALUES (?, ?, ?, ?, ?, ?, ?)",
        [new_id, asset_id, key.source, key.timeframe, key.adjustment, new_id, now],
    )
    cursor.execute("INSERT INTO {db}.series_version VALUES (?, ?, ?, NULL)", [new_id, new_id, now])
    return VersionState(new_id, new_id, new_id, new_id, layout, 0, None, None, True)


def supersede(cursor: StoreCursor, old: VersionState, new_version: int, now: datetime) -> None:
    """Make another version the current one of a series."""
    cursor.execute("UPDATE {db}.series_version SET superseded_at = ? WHERE version_id = ?", [now, old.version_id])
    cursor.execute("INSERT INTO {db}.series_version VALUES (?, ?, ?, NULL)", [new_version, old.series_id, now])
    cursor.execute("UPDATE {db}.series SET current_version = ? WHERE series_id = ?", [new_version, old.series_id])


def delete_superseded(cursor: StoreCursor, series_id: int, kept: Iterable[int]) -> None:
    """Delete the superseded versions of a series with their bars, without those that are kept."""
    stays = set(kept)
    found = cursor.rows(
        "SELECT version_id FROM {db}.series_version WHERE series_id = ? AND superseded_at IS NOT NULL", [series_id]
    )
    for version_id in [version_id for (version_id,) in found if version_id not in stays]:
        delete_version(cursor, version_id)


def delete_version(cursor: StoreCursor, version_id: int) -> None:
    """Delete a superseded version with its bars."""
    for table in (*_OF_VERSION, "series_version"):
        cursor.execute(f"DELETE FROM {{db}}.{table} WHERE version_id = {version_id}")


def delete_records(cursor: StoreCursor, series_id: int) -> None:
    """Delete a series with all its versions and bars; its ingests stay."""
    series = [series_id]
    versions = "SELECT version_id FROM {db}.series_version WHERE series_id = ?"
    for table in _OF_VERSION:
        cursor.execute(f"DELETE FROM {{db}}.{table} WHERE version_id IN (" + versions + ")", series)
    cursor.execute("DELETE FROM {db}.series_version WHERE series_id = ?", series)
    cursor.execute("DELETE FROM {db}.coverage WHERE series_id = ?", series)
    cursor.execute("DELETE FROM {db}.series WHERE series_id = ?", series)
    delete_unused_assets(cursor)


def delete_unused_assets(cursor: StoreCursor) -> None:
    """Delete the assets that have no series."""
    cursor.execute("DELETE FROM {db}.asset WHERE asset_id NOT IN (SELECT asset_id FROM {db}.series)")


def record_ingest(
    cursor: StoreCursor,
    ingest_id: int,
    now: datetime,
    kind: str,
    result: WriteResult,
    after: VersionState,
    layout_id: int,
    metadata: str | None,
) -> None:
    """Record a write: what it did, and the state of the series after it."""
    cursor.execute(
        f"INSERT INTO {{db}}.ingest VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {_literal_or_null(after.first)}, "
        f"{_literal_or_null(after.last)}, ?, ?)",
        [
            ingest_id,
            after.series_id,
            after.version_id,
            now,
            kind,
            result.added,
            result.changed,
            result.removed,
            layout_id,
            after.rows,
            after.on_minute,
            metadata,
        ],
    )


def layout_id_of(cursor: StoreCursor, layout: Layout, new_id: int) -> int:
    """Return the id of a layout, which is stored under `new_id` if it is new."""
    definition = layout.to_json()
    known = cursor.rows("SELECT layout_id FROM {db}.layout WHERE definition = ?", [definition])
    if known:
        return int(known[0][0])
    cursor.execute("INSERT INTO {db}.layout VALUES (?, ?)", [new_id, definition])
    return new_id


def asset_id_of(cursor: StoreCursor, asset: AssetKey, new_id: int) -> int:
    """Return the id of an asset, which is stored under `new_id` if it is new."""
    name = published_name(asset)
    known = cursor.rows(
        "SELECT asset_id FROM {db}.asset WHERE name = ? AND asset_type = ? AND exchange = ?",
        [name, asset.asset_type, asset.exchange],
    )
    if known:
        return int(known[0][0])
    cursor.execute(
        "INSERT INTO {db}.asset VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            new_id,
            name,
            asset.symbol,
            asset.asset_type,
            asset.quote,
            asset.exchange,
            asset.expiration,
            asset.strike,
            asset.right,
            asset.multiplier,
            asset.auto_expiry,
        ],
    )
    return new_id


def _literal_or_null(time: EpochSeconds | None) -> str:
    return "NULL" if time is None else timestamp_literal(time)
