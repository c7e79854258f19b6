"""The records of a write beside its bars: asset, series, versions, layouts and the list of ingests.

Everything here runs inside one transaction of the caller. Times are naive UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey, SeriesKey, WriteResult
from lumibot_duckdb.storage.bars.layout import Layout
from lumibot_duckdb.storage.bars.row_inserts import insert_rows, rows_of
from lumibot_duckdb.storage.bars.version_state import VersionState
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.identity import published_name
from lumibot_duckdb.storage.sql_conditions import is_one_of

_OF_VERSION = ("bar", "outline", "repeated_bar", "bar_checksum")
"""Tables that have the bars of versions, and what is derived from them."""

_INCOMING = "lumibot_duckdb_superseded"
_SUPERSEDED = pa.schema([("series_id", pa.int32()), ("old_version", pa.int32()), ("new_version", pa.int32())])
_INGESTS = pa.schema(
    [
        ("ingest_id", pa.int32()),
        ("series_id", pa.int32()),
        ("version_id", pa.int32()),
        ("ingested_at", pa.timestamp("us")),
        ("kind", pa.string()),
        ("rows_added", pa.int64()),
        ("rows_changed", pa.int64()),
        ("rows_removed", pa.int64()),
        ("layout_id", pa.int32()),
        ("version_rows", pa.int64()),
        ("version_first", pa.timestamp("s")),
        ("version_last", pa.timestamp("s")),
        ("on_minute", pa.bool_()),
        ("metadata", pa.string()),
    ]
)


def create_series(cursor: StoreCursor, key: SeriesKey, layout: Layout, new_id: int, now: datetime) -> VersionState:
    """Create a series with a version that has no bars. `new_id` becomes the id of everything that is new."""
    asset_id = asset_id_of(cursor, key.asset, new_id)
    cursor.execute(
        "INSERT INTO {db}.series VALUES (?, ?, ?, ?, ?, ?, ?)",
        [new_id, asset_id, key.source, key.timeframe, key.adjustment, new_id, now],
    )
    cursor.execute("INSERT INTO {db}.series_version VALUES (?, ?, ?, NULL)", [new_id, new_id, now])
    return VersionState(new_id, new_id, new_id, new_id, layout, 0, None, None, True)


def supersede(cursor: StoreCursor, changes: Sequence[tuple[VersionState, int]], now: datetime) -> None:
    """Make other versions the current ones of series: each in the place of the one of a state."""
    rows = [(old.series_id, old.version_id, new_version) for old, new_version in changes]
    cursor.register(_INCOMING, rows_of(_SUPERSEDED, rows))
    cursor.execute(
        f"UPDATE {{db}}.series_version SET superseded_at = ? FROM {_INCOMING} WHERE version_id = old_version", [now]
    )
    cursor.execute(f"INSERT INTO {{db}}.series_version SELECT new_version, series_id, ?, NULL FROM {_INCOMING}", [now])
    cursor.execute(
        f"UPDATE {{db}}.series SET current_version = new_version FROM {_INCOMING} AS changed "
        "WHERE series.series_id = changed.series_id"
    )
    cursor.unregister(_INCOMING)


def delete_superseded(cursor: StoreCursor, series: Collection[int], kept: Collection[int]) -> None:
    """Delete the superseded versions of series with their bars, without those that are kept."""
    which = is_one_of("series_id", series)
    found = cursor.rows(f"SELECT version_id FROM {{db}}.series_version WHERE superseded_at IS NOT NULL AND {which}")
    delete_versions(cursor, [version_id for (version_id,) in found if version_id not in kept])


def delete_versions(cursor: StoreCursor, versions: Collection[int]) -> None:
    """Delete versions with their bars. None is the current one of a series that stays."""
    for table in (*_OF_VERSION, "series_version"):
        cursor.execute(f"DELETE FROM {{db}}.{table} WHERE {is_one_of('version_id', versions)}")


def delete_records(cursor: StoreCursor, series: Collection[int]) -> None:
    """Delete series with all their versions and bars; their ingests stay."""
    which = is_one_of("series_id", series)
    versions = cursor.rows(f"SELECT version_id FROM {{db}}.series_version WHERE {which}")
    delete_versions(cursor, [version_id for (version_id,) in versions])
    cursor.execute(f"DELETE FROM {{db}}.coverage WHERE {which}")
    cursor.execute(f"DELETE FROM {{db}}.series WHERE {which}")
    delete_unused_assets(cursor)


def delete_unused_assets(cursor: StoreCursor) -> None:
    """Delete the assets that have no series."""
    cursor.execute("DELETE FROM {db}.asset WHERE asset_id NOT IN (SELECT asset_id FROM {db}.series)")


@dataclass(frozen=True, slots=True)
class Ingest:
    """The record of a write: what it did (`kind`, `result`), and the state of the series after it."""

    ingest_id: int
    kind: str
    result: WriteResult
    after: VersionState
    layout_id: int
    metadata: str | None = None


def record_ingests(cursor: StoreCursor, ingests: Sequence[Ingest], now: datetime) -> None:
    """Record writes."""
    rows = [
        (
            each.ingest_id,
            each.after.series_id,
            each.after.version_id,
            now,
            each.kind,
            each.result.added,
            each.result.changed,
            each.result.removed,
            each.layout_id,
            each.after.rows,
            each.after.first,
            each.after.last,
            each.after.on_minute,
            each.metadata,
        )
        for each in ingests
    ]
    insert_rows(cursor, "ingest", _INGESTS, rows)


def layout_id_of(cursor: StoreCursor, layout: Layout, new_id: int) -> int:
    """Return the id of a layout, which is stored under `new_id` if it is new."""
    definition = layout.to_json()
    known = cursor.rows("SELECT layout_id FROM {db}.layout WHERE definition = ?", [definition])
    if known:
        return int(known[0][0])
    cursor.execute("INSERT INTO {db}.layout VALUES (?, ?)", [new_id, definition])
    return new_id


def layout_ids(cursor: StoreCursor, layouts: Iterable[tuple[Layout, int]]) -> dict[Layout, int]:
    """Return the ids of layouts; one that is new is stored under the first id that it comes with."""
    found: dict[Layout, int] = {}
    for layout, new_id in layouts:
        if layout not in found:
            found[layout] = layout_id_of(cursor, layout, new_id)
    return found


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
