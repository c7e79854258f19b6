"""`StoredBarWriter`: the `BarWriter` of the DuckDB storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from lumibot_duckdb.storage.api import (
    AssetLike,
    BarFrame,
    BarWriter,
    BatchOutcome,
    BatchWrite,
    OnRows,
    SeriesKey,
    TimeRange,
    WriteResult,
)
from lumibot_duckdb.storage.bars import batch_writing
from lumibot_duckdb.storage.bars.batches import in_batches
from lumibot_duckdb.storage.bars.coverage_records import forget_coverage
from lumibot_duckdb.storage.bars.new_series import store_new_series
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.removal import delete_series
from lumibot_duckdb.storage.bars.restatement import restate
from lumibot_duckdb.storage.bars.snapshots import refuse_if_needed
from lumibot_duckdb.storage.bars.spool import SpooledWrite
from lumibot_duckdb.storage.bars.write_request import BarsWrite, checked_moment, checked_range
from lumibot_duckdb.storage.bars.writing import Write, first_write
from lumibot_duckdb.storage.catalog import SeriesRecord
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.errors import InvalidBarsError, StoreBusyError, StoreWriteError
from lumibot_duckdb.storage.identity import SeriesQuery, key_to_write
from lumibot_duckdb.storage.partial_work import partial_work
from lumibot_duckdb.storage.times import utc_now

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

    def store_many(
        self, bars: Mapping[SeriesKey, BarFrame], *, metadata: Mapping[str, Any] | None = None, spool: bool = False
    ) -> list[WriteResult]:
        # Here, since both import pandas, which SQL does without.
        from lumibot_duckdb.storage.bars.input_checks import check_bars
        from lumibot_duckdb.storage.bars.tables import as_frame

        writes: dict[SeriesKey, BarsWrite] = {}
        for given, data in bars.items():
            key = key_to_write(given.asset, given.source, given.timeframe, given.adjustment)
            if key in writes:
                raise InvalidBarsError(f"{key.label()} is given twice: store its bars together")
            checked = check_bars(key.label(), as_frame(key.label(), data))
            writes[key] = BarsWrite(key, checked, None, False, metadata, None, utc_now())
        try:
            with self._store.write(_WAIT_TO_SPOOL_SECONDS if spool else None) as cursor:
                stored = self._store_together(cursor, [write for write in writes.values() if len(write.bars)])
        except StoreBusyError as error:
            if not spool:
                raise
            for write in writes.values():
                self._store.spool.keep_instead(error, SpooledWrite(write, self._store.catalog.store_id))
            return [WriteResult(key, None, spooled=len(write.bars)) for key, write in writes.items()]
        results = {result.key: result for result in stored}
        return [results.get(key, WriteResult(key, None)) for key in writes]

    def _store_together(self, cursor: StoreCursor, writes: Sequence[BarsWrite]) -> list[WriteResult]:
        """Store the bars of different series: those that there are not yet together, since that is faster."""
        store = self._store
        first_id, now = store.next_ingest()
        states = {write.key: store.current_state(cursor, write.key) for write in writes}
        new = [write for write in writes if states[write.key] is None]
        stored = store_new_series(cursor, [first_write(cursor, write, now) for write in new], first_id, now)
        others = [write for write in writes if states[write.key] is not None]
        return stored + [
            Write(cursor, write.key, states[write.key], ingest_id, now).bars(write)
            for ingest_id, write in enumerate(others, first_id + len(new))
        ]

    def store_batch(self, batch: Sequence[BatchWrite]) -> list[BatchOutcome]:
        return batch_writing.store_batch(self._store, batch, _WAIT_TO_SPOOL_SECONDS)

    def merge_spooled(self) -> int:
        return self._store.merge_spooled()

    def record_coverage(
        self, asset: AssetLike, covered: TimeRange, source: str, timeframe: str, *, adjustment: str = ""
    ) -> None:
        key = key_to_write(asset, source, timeframe, adjustment, None)
        covered = checked_range(key, "covered", covered)
        with self._store.write() as cursor:
            self._store.write_to(cursor, key).empty_answer(covered)

    def forget_coverage(self, key: SeriesKey | Iterable[SeriesKey], within: TimeRange | None = None) -> None:
        keys = [key] if isinstance(key, SeriesKey) else list(key)
        self._change(keys, lambda cursor, series: forget_coverage(cursor, series, within))

    def restate_series(self, asset: AssetLike, source: str, timeframe: str, *, adjustment: str = "") -> None:
        key = key_to_write(asset, source, timeframe, adjustment, None)
        self._change([key], lambda cursor, series: restate(cursor, series, *self._store.next_ingest()))

    def _change(self, keys: Sequence[SeriesKey], change: Callable[[StoreCursor, list[int]], None]) -> None:
        """Change series in a transaction, by their ids; do nothing if there is none of them.

        Spooled writes to them are merged first, since they may be what creates one.
        """
        store = self._store
        store.merge_spooled(only=set(keys).__contains__)
        if store.refresh() and any(store.catalog.find(key) for key in keys):
            with store.write() as cursor:
                found = map(store.catalog.find, keys)  # another process may have deleted some
                change(cursor, [record.series_id for record in found if record is not None])

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
        if not store.refresh():
            return 0
        return self._delete(store.catalog.matching(query.asset, query.timeframe, query.source, adjustment))

    def delete_many(
        self, series: Iterable[SeriesKey], *, dry_run: bool = False, on_series: OnRows | None = None
    ) -> int:
        store, keys = self._store, dict.fromkeys(series)
        if not dry_run:
            store.merge_spooled(only=keys.__contains__)
        if not store.refresh():
            return 0
        records = [record for record in map(store.catalog.find, keys) if record is not None]
        return self._delete(records, dry_run=dry_run, on_series=on_series)

    def _delete(
        self, records: Sequence[SeriesRecord], *, dry_run: bool = False, on_series: OnRows | None = None
    ) -> int:
        """Delete series, in batches of one transaction, unless a snapshot has one; return how many bars they had."""
        store, deleted, done = self._store, 0, 0
        with store.read() as cursor:  # before any is deleted
            refuse_if_needed(cursor, {record.series_id: record.key.label() for record in records})
        if dry_run:
            return sum(map(self._bars_of, records))
        with partial_work("nothing was deleted") as work, deferred(), store.connection.burst():
            for batch in in_batches(records, self._bars_of):
                with store.write() as cursor:
                    found, now = store.removals(cursor, [record.key for record in batch])
                    deleted += delete_series(cursor, found, now)
                done += len(batch)
                rest = "delete again for the rest" if done < len(records) else "compact the store to return their space"
                work.outcome = f"deleted {done:,} of {len(records):,} series: {rest}"
                if on_series is not None:
                    on_series(done, len(records))
        return deleted

    def _bars_of(self, record: SeriesRecord) -> int:
        head = self._store.catalog.head(record.series_id)
        return 0 if head is None else head.rows
