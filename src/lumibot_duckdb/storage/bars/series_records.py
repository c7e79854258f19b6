"""The records of a write beside its bars: asset, series, versions, layouts and the list of ingests.

Everything here runs inside one transaction of the caller. Times are naive UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass
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

_ASSETS = pa.schema(
    [
        ("asset_id", pa.int32()),
        ("name", pa.string()),
        ("symbol", pa.string()),
        ("asset_type", pa.string()),
        ("quote", pa.string()),
        ("exchange", pa.string()),
        ("expiration", pa.date32()),
        ("strike", pa.float64()),
        ("right", pa.string()),
        ("multiplier", pa.float64()),
        ("auto_expiry", pa.string()),
    ]
)
_SERIES = pa.schema(
    [
        ("series_id", pa.int32()),
        ("asset_id", pa.int32()),
        ("source", pa.string()),
        ("timeframe", pa.string()),
        ("adjustment", pa.string()),
        ("current_version", pa.int32()),
        ("created_at", pa.timestamp("us")),
    ]
)
_VERSIONS = pa.schema(
    [
        ("version_id", pa.int32()),
        ("series_id", pa.int32()),
        ("created_at", pa.timestamp("us")),
        ("superseded_at", pa.timestamp("us")),
    ]
)
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


def create_series(cursor: StoreCursor, series: Sequence[tuple[SeriesKey, int, datetime]], now: datetime) -> None:
    """Create series, each with a new id and the time at which it was created, and with a version without bars.

    The id becomes that of everything that is new.
    """
    if not series:
        return
    assets = asset_ids(cursor, [(key.asset, new_id) for key, new_id, _ in series])
    rows = [
        (new_id, assets[key.asset], key.source, key.timeframe, key.adjustment, new_id, created_at)
        for key, new_id, created_at in series
    ]
    insert_rows(cursor, "series", _SERIES, rows)
    insert_rows(cursor, "series_version", _VERSIONS, [(new_id, new_id, now, None) for _, new_id, _ in series])


def new_version(new_id: int, layout: Layout) -> VersionState:
    """Return the state of a series that was created under an id, for bars of a layout."""
    return VersionState(new_id, new_id, new_id, new_id, layout, 0, None, None, True)


def supersede(cursor: StoreCursor, changes: Sequence[tuple[VersionState, int]], now: datetime) -> None:
    """Make other versions the current ones of series: each in the place of the one of a state."""
    if not changes:
        return
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


def asset_ids(cursor: StoreCursor, assets: Sequence[tuple[AssetKey, int]]) -> dict[AssetKey, int]:
    """Return the ids of assets; one that is new is stored under the first id that it comes with."""
    names = {asset: published_name(asset) for asset, _ in assets}
    which = f"name IN ({', '.join('?' * len(names))})"
    found = cursor.rows(
        f"SELECT name, asset_type, exchange, asset_id FROM {{db}}.asset WHERE {which}", list(names.values())
    )
    known = {(name, asset_type, exchange): asset_id for name, asset_type, exchange, asset_id in found}
    rows = []
    for asset, new_id in assets:
        identity = (names[asset], asset.asset_type, asset.exchange)
        if identity not in known:
            known[identity] = new_id
            rows.append((new_id, names[asset], *astuple(asset)))
    insert_rows(cursor, "asset", _ASSETS, rows)
    return {asset: known[name, asset.asset_type, asset.exchange] for asset, name in names.items()}
