"""Finds series: the one that the arguments of a call mean, its pins and facts, listings, and what is covered."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.storage.api import (
    AsOf,
    AssetLike,
    BarReader,
    ColumnSpec,
    ProvisionalRange,
    SeriesFacts,
    SeriesInfo,
    SeriesKey,
    SeriesPin,
    TimeRange,
)
from lumibot_duckdb.storage.bars.coverage import Covered, merged, missing, provisional_parts
from lumibot_duckdb.storage.bars.coverage_records import stored_coverage
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.snapshots import writes_as_of
from lumibot_duckdb.storage.catalog import SeriesRecord
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from lumibot_duckdb.storage.identity import SeriesQuery, asset_query, canonical_source, key_to_write
from lumibot_duckdb.storage.sql_times import epoch_sql
from lumibot_duckdb.storage.timeframes import canonical_timeframe
from lumibot_duckdb.storage.times import naive_utc, utc_now

if TYPE_CHECKING:
    import pandas as pd

_STATES_OF_SERIES = f"""
SELECT ingest.series_id, version_id, version_rows, {epoch_sql("version_first")}, {epoch_sql("version_last")}
FROM {{db}}.ingest
JOIN (SELECT max(ingest_id) AS ingest_id FROM {{db}}.ingest WHERE series_id {{which}} GROUP BY series_id)
    USING (ingest_id)
WHERE kind <> 'delete'
"""


class SeriesLookup(BarReader):
    """The part of a `BarReader` that finds series."""

    _store: OpenStore

    def pin(
        self,
        asset: AssetLike | SeriesKey,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> SeriesPin:
        record = self._resolve(asset, timeframe, source, adjustment)
        self._store.last_use.record(record.series_id)
        if as_of is not None and not self._is_of_snapshot(as_of):
            return self._unchanged_since(record, as_of) or self._pin_as_of(record, as_of)
        pin = self._current_pin(record)
        if pin is None:
            raise SeriesNotFoundError(f"{record.key.label()} was deleted just now")
        return pin

    def check_as_of(self, as_of: AsOf) -> None:
        self._store.require()
        with self._store.read() as cursor:
            writes_as_of(cursor, as_of)

    def facts(self, pin: SeriesPin) -> SeriesFacts:
        state = self._store.state(pin)
        return SeriesFacts(
            columns=tuple(ColumnSpec(c.name, c.dtype, c.has_nulls, c.mixed) for c in state.layout.columns),
            index_unit=state.layout.index_unit,
            rows=state.rows,
            first=state.first,
            last=state.last,
            on_minute=state.on_minute,
        )

    def list_series(
        self, asset: AssetLike | None = None, source: str | None = None, timeframe: str | None = None
    ) -> list[SeriesInfo]:
        wanted_timeframe = None if timeframe is None else canonical_timeframe(timeframe)
        wanted_source = None if source is None else canonical_source(source)
        if not self._store.refresh():
            return []
        catalog = self._store.catalog
        if asset is None:
            records = catalog.everything(wanted_timeframe, wanted_source)
        else:
            records = catalog.matching(asset_query(asset), wanted_timeframe, wanted_source, None)
        with self._store.read() as cursor:
            if asset is None:
                found = described(cursor, records)
            else:
                found = [info for record in records for info in described(cursor, [record])]
        return sorted(found, key=lambda info: listing_order(info.key))

    def series(
        self, asset: AssetLike | None = None, source: str | None = None, timeframe: str | None = None
    ) -> pd.DataFrame:
        from lumibot_duckdb.storage.bars.series_frame import series_frame  # imports pandas, which SQL does without

        return series_frame(self.list_series(asset, source, timeframe))

    def coverage(
        self,
        asset: AssetLike | SeriesKey,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        permanent_only: bool = False,
        include_expired: bool = False,
        as_of: datetime | None = None,
    ) -> list[TimeRange]:
        try:
            record = self._resolve(asset, timeframe, source, adjustment)
            known = self._covered(record, as_of)
        except SeriesNotFoundError:
            return []
        now = as_of or utc_now()
        return merged(
            piece
            for piece, until in known
            if until is None or (not permanent_only and (include_expired or until > now))
        )

    def missing_ranges(
        self,
        asset: AssetLike | SeriesKey,
        wanted: TimeRange,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
    ) -> list[TimeRange]:
        return missing(wanted, self.coverage(asset, timeframe, source, adjustment=adjustment))

    def _resolve(
        self, asset: AssetLike | SeriesKey, timeframe: str, source: str | None, adjustment: str | None
    ) -> SeriesRecord:
        if isinstance(asset, SeriesKey):
            return self._exactly(asset)
        query = SeriesQuery.of(asset, timeframe, source)
        if not self._store.refresh():
            label = query.asset.key.label()
            raise SeriesNotFoundError(f"there is no store at {self._store.path} yet, so no bars of {label}")
        return self._store.catalog.resolve(query.asset, query.timeframe, query.source, adjustment)

    def _exactly(self, key: SeriesKey) -> SeriesRecord:
        key = key_to_write(key.asset, key.source, key.timeframe, key.adjustment, None)
        record = self._store.catalog.find(key) if self._store.refresh() else None
        if record is None:
            raise SeriesNotFoundError(f"the store has no {key.label()}")
        return record

    def _current_pin(self, record: SeriesRecord) -> SeriesPin | None:
        head = self._store.catalog.head(record.series_id)
        if head is None:
            return None
        return SeriesPin(record.key, record.series_id, head.version_id, head.ingest_id, head.ingested_at)

    def _unchanged_since(self, record: SeriesRecord, as_of: AsOf) -> SeriesPin | None:
        """Return the pin of a moment without a query, if nothing was written to the series since; else None."""
        pin = self._current_pin(record)
        if pin is None or pin.ingested_at is None or not isinstance(as_of, datetime) or as_of.tzinfo is None:
            return None
        return pin if pin.ingested_at <= naive_utc(as_of) else None

    def _covered(self, record: SeriesRecord, as_of: datetime | None) -> list[Covered]:
        """Return all covered ranges of a series, also expired ones: of now, or those that were recorded by a moment."""
        if as_of is not None and self._unchanged_since(record, as_of) is None:
            series_id, pin = record.series_id, self._pin_as_of(record, as_of)
            with self._store.read() as cursor:
                found = stored_coverage(cursor, None, [series_id], up_to={series_id: pin.ingest_id})
            return found.get(series_id, [])
        page = self._store.head_page(record.series_id)
        return page.coverage(record.series_id) if page is not None else []

    def _is_of_snapshot(self, as_of: AsOf) -> bool:
        """Return whether a moment is that of the published snapshot that this store is: it has no other bars."""
        return self._store.snapshot is not None and as_of == self._store.snapshot.as_of

    def _pin_as_of(self, record: SeriesRecord, as_of: AsOf) -> SeriesPin:
        with self._store.read() as cursor:
            seen, last = writes_as_of(cursor, as_of)
            found = cursor.rows(
                "SELECT version_id, ingest_id, ingested_at FROM {db}.ingest "
                f"WHERE series_id = ? AND {seen} ORDER BY ingest_id DESC LIMIT 1",
                [record.series_id, last],
            )
            if not found:
                raise SeriesNotFoundError(f"{record.key.label()} were not stored yet as of {as_of}")
            pin = SeriesPin(record.key, record.series_id, *found[0])
            self._store.refuse_if_gone(cursor, pin)
        return pin


def described(cursor: StoreCursor, records: list[SeriesRecord]) -> list[SeriesInfo]:
    """Return the listing of one series, or of all that there are."""
    one = records[0].series_id if len(records) == 1 else None
    covered = stored_coverage(cursor, utc_now(), None if one is None else [one])
    states = {
        series_id: facts
        for series_id, *facts in cursor.rows(_STATES_OF_SERIES.replace("{which}", f"= {one}" if one else "> 0"))
    }
    found = []
    for record in records:
        if record.series_id in states:  # it may have been deleted just now
            version_id, rows, first, last = states[record.series_id]
            known = covered.get(record.series_id, [])
            pieces = tuple(merged(piece for piece, _ in known))
            provisional = tuple(ProvisionalRange(*part) for part in provisional_parts(known))
            found.append(SeriesInfo(record.key, record.series_id, version_id, rows, first, last, pieces, provisional))
    return found


def listing_order(key: SeriesKey) -> tuple[Any, ...]:
    """Return what series are sorted by in a listing."""
    asset = key.asset
    contract = (asset.expiration or date.min, asset.strike or 0.0, asset.right or "", asset.quote or "")
    return asset.symbol, key.source, key.timeframe, asset.asset_type, contract, asset.exchange, key.adjustment
