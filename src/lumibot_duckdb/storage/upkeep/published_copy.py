"""Makes the file of a snapshot that is published: the store or some of its series, as they are or were at a moment.

It is compact, since it has one version of each series, and complete in itself: a store that is only read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import AsOf, AssetKey, OnRows, TimeRange
from lumibot_duckdb.storage.bars.checksums import store_checksums
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.outline_records import has_outline, store_outline
from lumibot_duckdb.storage.bars.repeats import may_repeat, store_repeats
from lumibot_duckdb.storage.bars.snapshots import writes_as_of
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.errors import SeriesNotFoundError, VersionGoneError
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_times import epoch_sql
from lumibot_duckdb.storage.times import aware_utc, utc_now
from lumibot_duckdb.storage.upkeep.store_copy import NO_END, copy_most, copy_rest, new_file

_STATES = """
SELECT series_id, ingest.version_id, ingest.ingest_id, stored.version_id IS NOT NULL
FROM {db}.ingest
JOIN {db}.series USING (series_id)
LEFT JOIN {db}.series_version AS stored ON stored.version_id = ingest.version_id
WHERE ingest.ingest_id <= {last} AND {which}
QUALIFY row_number() OVER (PARTITION BY series_id ORDER BY ingest.ingest_id DESC) = 1
"""
_PUBLISHED = "lumibot_duckdb_published"
_COLUMNS = pa.schema([("series_id", pa.int32()), ("version_id", pa.int32())])
_CONTINUED = f"""
SELECT DISTINCT version_id FROM {{db}}.bar
WHERE ingest_id > {{last}} AND version_id IN (SELECT version_id FROM {_PUBLISHED})
"""
_TIMES = f"""
SELECT version_id, timeframe, asset_type, count(*), {epoch_sql("min(ts)")}, {epoch_sql("max(ts)")}
FROM {{db}}.bar JOIN {{db}}.series ON current_version = version_id JOIN {{db}}.asset USING (asset_id)
WHERE {{which}} GROUP BY ALL
"""


@dataclass(frozen=True, slots=True)
class PublishedCopy:
    """What the file of a snapshot has: the bars as of a moment (UTC)."""

    as_of: datetime
    schema: int
    series: int
    rows: int


@dataclass(slots=True)
class _Choice:
    """The series that are published (None: all), up to a write; and which versions had later ones."""

    series: Collection[int] | None
    up_to: int
    continued: list[int] = field(default_factory=list)

    def states(self, cursor: StoreCursor) -> list[tuple[int, int]]:
        """Return each series and its version."""
        which = "true" if self.series is None else is_one_of("series_id", self.series)
        found = cursor.rows(_STATES.replace("{last}", str(self.up_to)).replace("{which}", which))
        gone = [series_id for series_id, _, _, there in found if not there]
        if gone:
            raise VersionGoneError(
                f"{len(gone)} of the series had versions then that are no longer in the store: publish a later moment, "
                "or others (a snapshot keeps the versions that it needs)"
            )
        return [(series_id, version_id) for series_id, version_id, _, _ in found]

    def versions(self, cursor: StoreCursor) -> set[int]:
        """Return the versions that are published."""
        return {version_id for _, version_id in self.states(cursor)}

    def conditions(self, old: StoreCursor) -> Mapping[str, str]:
        """Return which rows of other tables are published, in SQL on the store `old`.

        Rows that are deleted later would stay in the file, though no query returns them. What is of use only to the
        store itself is left out: its snapshots and settings, and the paths of migrated files.
        """
        of_the_store = {"snapshot": "false", "setting": "false", "migrated_file": "false"}
        if self.series is None and self.up_to == NO_END:
            return of_the_store
        states = self.states(old)
        ids = ([series_id for series_id, _ in states], [version_id for _, version_id in states])
        old.register(_PUBLISHED, pa.table(dict(zip(("series_id", "version_id"), ids, strict=True)), schema=_COLUMNS))
        series = f"series_id IN (SELECT series_id FROM {_PUBLISHED})"
        found = old.rows(_CONTINUED.replace("{last}", str(self.up_to)))
        self.continued = [version_id for (version_id,) in found]
        # The bars of a renamed series keep the writes that stored them, of the series that it was before.
        writes = f"ingest_id <= {self.up_to} AND ({series} OR ingest_id IN (SELECT DISTINCT ingest_id FROM new.bar))"
        of_writes = f"(SELECT ingest_id FROM old.ingest WHERE {writes})"
        assets = f"asset_id IN (SELECT asset_id FROM old.series WHERE {series})"
        # Those of what options are on, too, whose names are the options' symbols.
        named = f"asset_symbol IN (SELECT unnest([name, symbol]) FROM old.asset WHERE {assets})"
        return {
            "series": series,
            "asset": assets,
            "coverage": f"{series} AND ingest_id <= {self.up_to}",
            "ingest": writes,
            "ingest_request": f"ingest_id IN {of_writes}",
            "layout": f"layout_id IN (SELECT layout_id FROM old.ingest WHERE {writes})",
            "corporate_action": named,
            "corporate_action_check": named,
            "option_chain": named,
            "option_chain_strikes": f"chain_id IN (SELECT chain_id FROM old.option_chain WHERE {named})",
            "asset_label": named,
            **of_the_store,
        }


def write_published_copy(
    store: OpenStore,
    file: Path,
    location: str,
    *,
    series: Collection[int] | None = None,
    as_of: AsOf | None = None,
    on_rows: OnRows | None = None,
) -> PublishedCopy:
    """Write a new file with the series of some ids (None: all), for publication to a location.

    Raises `SeriesNotFoundError` if there is none, `VersionGoneError`, `SnapshotNotFoundError`, `ReplicaError`, and
    ValueError if `as_of` is no time.
    """
    choice, moment = _chosen(store, series, as_of)
    with deferred(), new_file(file) as new:
        copied = copy_most(store.connection, new, choice.versions, on_rows, up_to=choice.up_to)
        with store.connection.unchanging() as live:
            now = utc_now()
            done = copy_rest(new, live, choice.versions, copied, up_to=choice.up_to, conditions_of=choice.conditions)
        new.duck.begin()
        _describe(new.cursor, choice)
        migrations.begin_publication(new.cursor, location)
        new.duck.commit()
        ((of_all,),) = new.cursor.rows("SELECT count(*) FROM {db}.series")
        if not of_all:
            raise SeriesNotFoundError("there are no series to publish" + (f" as of {as_of}" if as_of else ""))
        new.detach()
        return PublishedCopy(min(moment or now, now), migrations.newest(), of_all, done.rows)


def _chosen(store: OpenStore, series: Collection[int] | None, as_of: AsOf | None) -> tuple[_Choice, datetime | None]:
    """Return what is published, and the moment that `as_of` means."""
    if as_of is None:
        return _Choice(series, NO_END), None
    with store.read() as cursor:
        seen, value = writes_as_of(cursor, as_of)
        ((last,),) = cursor.rows(f"SELECT coalesce(max(ingest_id), 0) FROM {{db}}.ingest WHERE {seen}", [value])
        if isinstance(value, datetime):
            return _Choice(series, last), aware_utc(value)
        ((made_at,),) = cursor.rows("SELECT created_at FROM {db}.snapshot WHERE name = ?", [as_of])
        return _Choice(series, last), aware_utc(made_at)


def _describe(cursor: StoreCursor, choice: _Choice) -> None:
    """Make the copied versions the current ones, and describe those again that lack their latest bars."""
    current = dict(cursor.rows("SELECT series_id, current_version FROM {db}.series"))
    for series_id, version_id in choice.states(cursor):
        if version_id != current[series_id]:
            cursor.execute(f"UPDATE {{db}}.series SET current_version = {version_id} WHERE series_id = {series_id}")
    cursor.execute("UPDATE {db}.series_version SET superseded_at = NULL WHERE superseded_at IS NOT NULL")
    which = is_one_of("version_id", choice.continued)
    for table in ("outline", "repeated_bar", "bar_checksum"):
        cursor.execute(f"DELETE FROM {{db}}.{table} WHERE {which}")
    for version_id, timeframe, asset_type, rows, first, last in cursor.rows(_TIMES.replace("{which}", which)):
        store_checksums(cursor, version_id, timeframe)
        if has_outline(rows):
            store_outline(cursor, version_id, first, last)
            if may_repeat(AssetKey("-", asset_type)):
                store_repeats(cursor, version_id, timeframe, TimeRange(first, last + 1))
