"""`StoredBarWriter`: the `BarWriter` of the DuckDB storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from lumibot_duckdb.storage.api import AssetLike, BarFrame, BarWriter, OnRows, SeriesKey, TimeRange, WriteResult
from lumibot_duckdb.storage.bars.batches import in_batches
from lumibot_duckdb.storage.bars.coverage_records import forget_coverage
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.restatement import restate
from lumibot_duckdb.storage.bars.snapshots import refuse_if_needed
from lumibot_duckdb.storage.bars.spool import SpooledWrite
from lumibot_duckdb.storage.bars.write_request import BarsWrite, checked_moment, checked_range
from lumibot_duckdb.storage.catalog import SeriesRecord
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.errors import StoreBusyError, StoreWriteError
from lumibot_duckdb.storage.identity import SeriesQuery, key_to_write
from lumibot_duckdb.storage.partial_work import partial_work

# Our own processes give way to each other sooner than that, unless a write takes long.
_WAIT_TO_SPOOL_SECONDS = 0.25


class StoredBarWriter(BarWriter):
    """Writes bars to the store."""

    _store: OpenStore

    def store_ohlcv_data(
        self,
        asset: AssetLike,
        data: BarFrame,
        source: str,
        timeframe: str,
        *,
        adjustment: str = "",
        exchange: str | None = None,
        covered: TimeRange | None = None,
        replace: bool = False,
        metadata: Mapping[str, Any] | None = None,
        onto: int | None = None,
        asked_at: datetime | None = None,
        also_covered: Sequence[TimeRange] = (),
        provisional: Sequence[TimeRange] | None = None,
        on_rows: OnRows | None = None,
        spool: bool = False,
    ) -> WriteResult:
        # Here, since both import pandas, which SQL does without.
        from lumibot_duckdb.storage.bars.input_checks import check_bars
        from lumibot_duckdb.storage.bars.tables import as_frame

        key = key_to_write(asset, source, timeframe, adjustment, exchange)
        bars = check_bars(key.label(), as_frame(key.label(), data))
        covered = None if covered is None else checked_range(key, "covered", covered)
        further = tuple(checked_range(key, "also_covered", piece) for piece in also_covered)
        if not len(bars) and covered is None:
            return WriteResult(key, None)
        unproven = None
        if provisional is not None:
            unproven = tuple(checked_range(key, "provisional", piece) for piece in provisional)
        requested_at = checked_moment(key, asked_at)
        write = BarsWrite(key, bars, covered, replace, metadata, onto, requested_at, further, unproven)
        try:
            with self._store.write(_WAIT_TO_SPOOL_SECONDS if spool else None) as cursor:
                result = self._store.write_to(cursor, key, on_rows).bars(write)
        except (StoreBusyError, StoreWriteError) as error:
            kept = SpooledWrite(write, self._store.catalog.store_id)
            if spool and isinstance(error, StoreBusyError):
                self._store.spool.keep_instead(error, kept)
                result = WriteResult(key, None, spooled=len(bars))
            elif covered is not None:
                raise self._store.spool.keep_after(error, kept) from error
            else:
                raise
        if on_rows is not None:
            on_rows(len(bars), len(bars))
        return result

    def merge_spooled(self) -> int:
        return self._store.merge_spooled()

    def record_coverage(
        self, asset: AssetLike, covered: TimeRange, source: str, timeframe: str, *, adjustment: str = ""
    ) -> None:
        key = key_to_write(asset, source, timeframe, adjustment, None)
        covered = checked_range(key, "covered", covered)
        with self._store.write() as cursor:
            self._store.write_to(cursor, key).empty_answer(covered)

    def forget_coverage(self, key: SeriesKey, within: TimeRange | None = None) -> None:
        self._change(key, lambda cursor, series_id: forget_coverage(cursor, series_id, within))

    def restate_series(self, asset: AssetLike, source: str, timeframe: str, *, adjustment: str = "") -> None:
        key = key_to_write(asset, source, timeframe, adjustment, None)
        self._change(key, lambda cursor, series_id: restate(cursor, [series_id], *self._store.next_ingest()))

    def _change(self, key: SeriesKey, change: Callable[[StoreCursor, int], None]) -> None:
        """Change a series in a transaction, by its id; do nothing if there is no such series.

        Spooled writes to it are merged first, since they may be what creates it.
        """
        store = self._store
        store.merge_spooled(only=key.__eq__)
        if store.refresh() and store.catalog.find(key) is not None:
            with store.write() as cursor:
                record = store.catalog.find(key)  # another process may have deleted it
                if record is not None:
                    change(cursor, record.series_id)

    def delete_series(
        self,
        asset: AssetLike,
        source: str | None = None,
        timeframe: str | None = None,
        *,
        adjustment: str | None = None,
    ) -> int:
        query = SeriesQuery.of(asset, timeframe, source)
        store = self._store

        def may_match(key: SeriesKey) -> bool:
            return (
                key.asset.symbol == query.asset.key.symbol
                and query.timeframe in (None, key.timeframe)
                and query.source in (None, key.source)
                and adjustment in (None, key.adjustment)
            )

        store.merge_spooled(only=may_match)
        if not store.connection.exists():
            return 0
        deleted = done = 0
        with partial_work("nothing was deleted") as work, deferred(), store.connection.burst():
            store.refresh()
            records = store.catalog.matching(query.asset, query.timeframe, query.source, adjustment)
            with store.read() as cursor:
                for record in records:  # before any is deleted
                    refuse_if_needed(cursor, record.series_id, record.key.label())
            for batch in in_batches(records, self._bars_of):
                with store.write() as cursor:
                    for write in store.writes_to(cursor, [record.key for record in batch]):
                        deleted += write.delete()
                done += len(batch)
                work.outcome = f"deleted {done:,} of {len(records):,} series; the others are unchanged"
        return deleted

    def _bars_of(self, record: SeriesRecord) -> int:
        head = self._store.catalog.head(record.series_id)
        return 0 if head is None else head.rows
