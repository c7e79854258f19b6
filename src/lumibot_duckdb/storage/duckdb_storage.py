"""`DuckDBDataStorage`: the store of bars in one DuckDB file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lumibot_duckdb.storage import migrations, readonly_sql
from lumibot_duckdb.storage.api import (
    AssetKey,
    AssetLike,
    BarArrays,
    ColumnSpec,
    CorporateAction,
    DataStorageInterface,
    EpochSeconds,
    IngestInfo,
    KnownActions,
    OptionChain,
    SeriesFacts,
    SeriesInfo,
    SeriesKey,
    SeriesPin,
    StorageUse,
    StoreStatistics,
    TimeRange,
    WriteResult,
)
from lumibot_duckdb.storage.bars import coverage as ranges
from lumibot_duckdb.storage.bars import output as bars_output
from lumibot_duckdb.storage.bars.columns import over_bars, stored_rows
from lumibot_duckdb.storage.bars.ingests import empty_answers_of, ingests_of
from lumibot_duckdb.storage.bars.input_checks import check_bars
from lumibot_duckdb.storage.bars.layout import ColumnLayout, Kind
from lumibot_duckdb.storage.bars.restatement import renew
from lumibot_duckdb.storage.bars.result_cache import ResultCache
from lumibot_duckdb.storage.bars.spool import Spool, SpoolContents, SpooledWrite
from lumibot_duckdb.storage.bars.writing import (
    BarsWrite,
    VersionState,
    Write,
    stored_coverage,
    version_state,
)
from lumibot_duckdb.storage.catalog import Catalog, SeriesRecord
from lumibot_duckdb.storage.connection.engine import check_environment
from lumibot_duckdb.storage.connection.store_connection import StoreConnection, StoreCursor
from lumibot_duckdb.storage.counters import Counters
from lumibot_duckdb.storage.errors import (
    HistoryRestatedError,
    InvalidBarsError,
    InvalidRecordError,
    SeriesNotFoundError,
    StoreBusyError,
    StoreNotFoundError,
    StoreWriteError,
    VersionGoneError,
)
from lumibot_duckdb.storage.identity import asset_key, asset_query, canonical_source
from lumibot_duckdb.storage.location import ensure_folder, store_path
from lumibot_duckdb.storage.reference import corporate_actions, migrated_files, option_chains
from lumibot_duckdb.storage.sql_times import epoch_seconds, timestamp_literal
from lumibot_duckdb.storage.timeframes import canonical_timeframe
from lumibot_duckdb.storage.upkeep import compaction, verification

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

DEFAULT_CACHE_BYTES = 64 * 2**20
# What is known of pinned versions, about so much each.
_STATE_BYTES = 2_000
_STATES_BYTES = 10_000 * _STATE_BYTES
_WEEK = 7 * 86_400

_EARLIEST = pd.Timestamp(datetime(1, 1, 3))
_LATEST = pd.Timestamp(datetime(9999, 12, 29))

_STATES_OF_SERIES = f"""
SELECT ingest.series_id, version_id, version_rows, {epoch_seconds("version_first")}, {epoch_seconds("version_last")}
FROM {{db}}.ingest
JOIN (SELECT max(ingest_id) AS ingest_id FROM {{db}}.ingest WHERE series_id {{which}} GROUP BY series_id)
    USING (ingest_id)
WHERE kind <> 'delete'
"""


class DuckDBDataStorage(DataStorageInterface):
    """A store of bars in one DuckDB file, for any number of threads and processes.

    `cache_dir` is a folder, or a file whose name ends in `.duckdb`; by default the environment variable
    `LUMIBOT_DUCKDB_PATH`, and else the folder `duckdb` in Lumibot's cache folder. The file is made by the first write.
    `threads` and `memory_limit` (such as "512MB") bound DuckDB in this process. `cache_bytes` bounds the memory for
    answers of earlier reads. Raises ValueError for settings, of the environment too, that are not understood.
    """

    def __init__(
        self,
        cache_dir: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        memory_limit: str | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        check_environment()
        self._path = store_path(cache_dir)
        self._connection = StoreConnection.of(self._path, threads=threads, memory_limit=memory_limit)
        self._spool = Spool(self._connection.path)
        self._catalog = Catalog()
        self._cache = ResultCache(cache_bytes)
        self._states = ResultCache(_STATES_BYTES)
        self._counters = Counters()

    @property
    def path(self) -> Path:
        """Path of the store file, which need not exist yet."""
        return self._path

    @property
    def _log(self) -> Path:
        return self._path.with_name(self._path.name + ".wal")

    def __repr__(self) -> str:
        return f"DuckDBDataStorage({str(self._path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies, and storages sent to other processes, are storages on the same file.
        return _open, (str(self._path), self._cache.capacity)

    # -- writing ---------------------------------------------------------------------------------------------

    def store_ohlcv_data(
        self,
        asset: AssetLike,
        data: pd.DataFrame,
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
    ) -> WriteResult:
        """Store bars; see the interface. Columns that `data` lacks keep their stored values unless `replace`.

        Bars that say what they cover are a download. If the store is held by others for too long (`StoreBusyError`) or
        the disk is full (`StoreWriteError`), they are kept beside the store until the next write by any process; the
        error is raised all the same, and says so.
        """
        key = _key_to_write(asset, source, timeframe, adjustment, exchange)
        bars = check_bars(key.label(), data)
        if not len(bars) and covered is None:
            return WriteResult(key, None)
        write = BarsWrite(key, bars, covered, replace, metadata, onto, _asked_at(key, asked_at), tuple(also_covered))
        try:
            with self._write() as cursor:
                return self._write_to(cursor, key).bars(write)
        except (StoreBusyError, StoreWriteError) as error:
            if covered is None:
                raise
            raise self._spool.keep_after(error, SpooledWrite(write, self._catalog.store_id)) from error

    def merge_spooled(self) -> int:
        """Write what downloads had to leave beside the store, as every write does first; see the interface."""
        return self._spool.merge(self._merge)

    def record_coverage(
        self, asset: AssetLike, covered: TimeRange, source: str, timeframe: str, *, adjustment: str = ""
    ) -> None:
        """Remember that a range was asked for and that the answer was empty. Believed for a limited time only."""
        key = _key_to_write(asset, source, timeframe, adjustment, None)
        with self._write() as cursor:
            self._write_to(cursor, key).empty_answer(covered)

    def renew_series(self, asset: AssetLike, source: str, timeframe: str, *, adjustment: str = "") -> None:
        """Begin a new version of a series, without bars and with nothing covered; see the interface."""
        key = _key_to_write(asset, source, timeframe, adjustment, None)
        self.merge_spooled()
        if self._refresh() and self._catalog.find(key) is not None:
            with self._write() as cursor:
                record = self._catalog.find(key)
                if record is not None:
                    renew(cursor, [record.series_id], *self._next_ingest())

    def record_corporate_actions(
        self,
        asset: AssetLike,
        actions: Sequence[CorporateAction],
        source: str,
        kind: str = "split",
        *,
        restates: Sequence[str] = (),
        checked_at: datetime | None = None,
    ) -> bool:
        """Remember what a source says of an asset's splits or dividends; see the interface."""
        key, source = _record_key(asset, source)
        corporate_actions.refuse_unusable(key, actions, kind, checked_at)
        with self._write() as cursor:
            first_id, now = self._next_ingest()
            checked_at = checked_at or datetime.now(timezone.utc)
            differs = corporate_actions.remember_actions(cursor, key, actions, source, kind, checked_at)
            if differs and restates:
                series = corporate_actions.restated_series(cursor, key.symbol, source, restates)
                renew(cursor, series, first_id, now)
        return differs

    def store_option_chain(
        self,
        underlying: AssetLike,
        chain: Mapping[str, Any],
        source: str,
        as_of: date,
        *,
        days_ahead: int | None = None,
    ) -> None:
        """Store the options on an underlying as of a date; see the interface."""
        key, source = _record_key(underlying, source)
        texts = option_chains.ChainTexts.of(key, chain)
        with self._write() as cursor:
            now = datetime.now(timezone.utc).replace(tzinfo=None)
            option_chains.keep_chain(cursor, key, texts, source, as_of, days_ahead, now)

    def remember_migrated(self, path: str, fingerprint: str, rows: int, versions: Sequence[int]) -> None:
        """Remember that a file of an old cache is in the store; see the interface."""
        with self._write() as cursor:
            now = datetime.now(timezone.utc).replace(tzinfo=None)
            migrated_files.remember_file(cursor, path, fingerprint, rows, versions, now)

    def is_outdated(self) -> bool:
        """Tell whether an older release made the store; see the interface."""
        return self._connection.exists() and not self._refresh(upgrade=False)

    def migrated_rows(self, path: str, fingerprint: str) -> int | None:
        """Return how many rows a file of an old cache brought, if the store has them still; see the interface."""
        if not self._refresh(upgrade=False):
            return None
        with self._read() as cursor:
            return migrated_files.rows_of_file(cursor, path, fingerprint)

    def delete_series(
        self,
        asset: AssetLike,
        source: str | None = None,
        timeframe: str | None = None,
        *,
        adjustment: str | None = None,
    ) -> int:
        """Delete the matching series with all their versions; return how many bars of current versions went."""
        query, wanted_timeframe, wanted_source = _looked_for(asset, timeframe, source)
        self.merge_spooled()
        if not self._connection.exists():
            return 0
        deleted = 0
        with self._connection.burst():
            self._refresh()
            for record in self._catalog.matching(query, wanted_timeframe, wanted_source, adjustment):
                with self._write() as cursor:
                    deleted += self._write_to(cursor, record.key).delete()
        return deleted

    # -- reading ---------------------------------------------------------------------------------------------

    def get_historical_prices(
        self,
        asset: AssetLike,
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: datetime | None = None,
    ) -> pd.DataFrame:
        """Return the bars with `start <= time < end` as they went in; see the interface. The frame is the caller's."""
        pin = self.pin(asset, timeframe, source, adjustment=adjustment, as_of=as_of)
        state = self._state(pin)
        within = _range_of(start, end, state)
        return self._read_frame(pin, within, state)

    def read_pandas(self, pin: SeriesPin, within: TimeRange | None = None) -> pd.DataFrame:
        """Return pinned bars as the frame that `get_historical_prices` gives."""
        return self._read_frame(pin, within, self._state(pin))

    def read_arrow(self, pin: SeriesPin, within: TimeRange | None = None) -> pa.Table:
        """Return pinned bars as an Arrow table: `datetime` (UTC) and the series' columns; what is missing is null."""
        layout = self._state(pin).layout
        table, _ = self._read_stored(pin, within, layout.columns)
        return bars_output.arrow_table(table, layout)

    def read_polars(self, pin: SeriesPin, within: TimeRange | None = None) -> pl.DataFrame:
        """Return pinned bars as a polars frame: `datetime` (UTC) and the series' columns; what is missing is null."""
        import polars as pl

        table = pl.from_arrow(self.read_arrow(pin, within))
        assert isinstance(table, pl.DataFrame)
        return table

    def read_bars(
        self,
        pin: SeriesPin,
        within: TimeRange | None = None,
        columns: Sequence[str] | None = None,
        *,
        remember: bool = True,
    ) -> BarArrays:
        """Return pinned bars as read-only NumPy arrays; `columns=[]` gives the times alone; see the interface.

        Nullable columns with gaps and texts come as object arrays, times of a tz-aware column as UTC.
        Raises KeyError for a column that the series does not have, `VersionGoneError`.
        """
        bars, _ = self._bars(pin, within, columns, self._state(pin), remember=remember)
        bars_output.protect(bars)
        return bars

    def ingests(self, pin: SeriesPin, within: Sequence[TimeRange] | None = None) -> tuple[IngestInfo, ...]:
        """Return the writes that brought the pinned bars (those in `within`), earliest first; see the interface."""
        with self._read() as cursor:
            found = ingests_of(cursor, pin, within)
            if not found:
                _refuse_if_gone(cursor, pin)
        return found

    def empty_answers(self, pin: SeriesPin) -> tuple[IngestInfo, ...]:
        """Return the writes to the pinned version that brought no bars, just what was covered, earliest first."""
        with self._read() as cursor:
            return empty_answers_of(cursor, pin)

    def corporate_actions(self, asset: AssetLike, source: str, kind: str = "split") -> KnownActions | None:
        """Return the actions of a kind that a source last had for exactly this asset; None: it was never asked."""
        key, source = _record_key(asset, source)
        if not self._refresh():
            return None
        with self._read() as cursor:
            return corporate_actions.known_actions(cursor, key, source, kind)

    def option_chain(
        self, underlying: AssetLike, source: str, earliest: date, latest: date, *, days_ahead: int | None = None
    ) -> OptionChain | None:
        """Return the newest chain of exactly this bound with `earliest <= as_of <= latest`, if there is one."""
        key, source = _record_key(underlying, source)
        if not self._refresh():
            return None
        with self._read() as cursor:
            return option_chains.newest_chain(cursor, key, source, earliest, latest, days_ahead)

    def last_time_at_or_before(
        self, pin: SeriesPin, time: EpochSeconds, column: str | None = None
    ) -> EpochSeconds | None:
        """Return the start of the last pinned bar at or before `time` (where `column` is not null), if any."""
        state = self._state(pin)
        if state.first is None or time < state.first:
            return None
        condition = ""
        named: tuple[ColumnLayout, ...] = ()
        if column is not None:
            named = (chosen,) = bars_output.chosen(state.layout, [column])
            if chosen.physical is None:
                return None
            condition = f' AND "{chosen.physical}" IS NOT NULL'
            if chosen.kind is Kind.NUMBER:
                condition += f' AND NOT isnan("{chosen.physical}")'
        # It nearly always is in the last week; only a search that fails there looks through everything before.
        near = time - _WEEK
        for stretch in (
            f"ts > {timestamp_literal(near)} AND ts <= {timestamp_literal(time)}",
            f"ts <= {timestamp_literal(near)}",
        ):
            query = f"SELECT {epoch_seconds('max(ts)')} FROM {{bar}} WHERE {_pinned(pin)} AND {stretch}{condition}"
            with self._read() as cursor:
                ((found,),) = over_bars(cursor, cursor.rows, query, named)
                if found is None:
                    _refuse_if_gone(cursor, pin)
            if found is not None:
                return int(found)
        return None

    def session_bounds(self, pin: SeriesPin) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return, a row for each New York calendar day with bars, its first and its last bar start (int64, n x 2)."""
        asked = ("sessions", pin.version_id, pin.ingest_id)
        held = self._cache.get(asked)
        if held is None:
            with self._counters.timing():
                _, times = self._read_stored(pin, None, ())
                held = bars_output.session_bounds(times)
            self._cache.put(asked, held, held.nbytes)
        answer: np.ndarray[Any, np.dtype[np.int64]] = held
        return answer

    # -- looking up ------------------------------------------------------------------------------------------

    def pin(
        self,
        asset: AssetLike | SeriesKey,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: datetime | None = None,
    ) -> SeriesPin:
        """Pin the current version of a series (or the one of `as_of`); see the interface."""
        record = self._resolve(asset, timeframe, source, adjustment)
        if as_of is not None:
            return self._pin_as_of(record, as_of)
        head = self._catalog.head(record.series_id)
        if head is None:
            raise SeriesNotFoundError(f"{record.key.label()} was deleted just now")
        return SeriesPin(record.key, record.series_id, head.version_id, head.ingest_id)

    def facts(self, pin: SeriesPin) -> SeriesFacts:
        """Return columns, dtypes, number of rows, first and last bar of a pinned series."""
        state = self._state(pin)
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
        """Return the series that match, sorted by symbol, source and timeframe. Coverage is included."""
        wanted_timeframe = None if timeframe is None else canonical_timeframe(timeframe)
        wanted_source = None if source is None else canonical_source(source)
        if not self._refresh():
            return []
        if asset is None:
            records = self._catalog.everything(wanted_timeframe, wanted_source)
        else:
            records = self._catalog.matching(asset_query(asset), wanted_timeframe, wanted_source, None)
        with self._read() as cursor:
            if asset is None:
                found = self._described(cursor, records)
            else:
                found = [info for record in records for info in self._described(cursor, [record])]
        return sorted(found, key=lambda info: _listing_order(info.key))

    def coverage(
        self,
        asset: AssetLike | SeriesKey,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        for_good: bool = False,
    ) -> list[TimeRange]:
        """Return the ranges that were asked for and answered, sorted and merged; see the interface."""
        try:
            record = self._resolve(asset, timeframe, source, adjustment)
        except SeriesNotFoundError:
            return []
        with self._read() as cursor:
            found = stored_coverage(cursor, datetime.now(timezone.utc), record.series_id)
        known = found.get(record.series_id, [])
        return ranges.merged(piece for piece, until in known if until is None or not for_good)

    def missing_ranges(
        self,
        asset: AssetLike | SeriesKey,
        wanted: TimeRange,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
    ) -> list[TimeRange]:
        """Return what of `wanted` is not covered. An unknown series is missing all of it."""
        return ranges.missing(wanted, self.coverage(asset, timeframe, source, adjustment=adjustment))

    def statistics(self) -> StoreStatistics:
        """Return the size and contents of the store, and what was done with it through this storage."""
        use = self._counters.use
        series = versions = rows = 0
        if self._refresh():
            with self._connection.read() as cursor:  # a look at the numbers is none of them
                ((series, versions, rows),) = cursor.rows(
                    "SELECT (SELECT count(*) FROM {db}.series), (SELECT count(*) FROM {db}.series_version), "
                    "(SELECT count(*) FROM {db}.bar)"
                )
        spooled = self._spool.contents()
        return StoreStatistics(
            path=str(self._path),
            bytes_on_disk=sum(file.stat().st_size for file in (self._path, self._log) if file.exists()),
            series=series,
            versions=versions,
            rows=rows,
            reads=use.reads,
            rows_read=use.rows_read,
            cache_hits=self._cache.hits,
            cache_bytes=self._cache.bytes,
            seconds_in_storage=use.seconds,
            bytes_read=use.bytes_read,
            downloads=use.downloads,
            bars_downloaded=use.bars_downloaded,
            seconds_downloading=use.seconds_downloading,
            details={**self._counters.others(), **({} if spooled == SpoolContents() else {"spooled": spooled})},
        )

    def usage(self) -> StorageUse:
        """Return what was done through this storage so far, without a look at the store."""
        return self._counters.use

    def count_download(self, bars: int, seconds: float) -> None:
        """Count an answer of a source, and how long it was waited for, in `usage`."""
        self._counters.downloaded(bars, seconds)

    def count_also(self, name: str, numbers: Any) -> None:
        """Show a dataclass of numbers in the details of `statistics`; see the interface."""
        self._counters.also(name, numbers)

    def sql(
        self,
        query: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        max_rows: int | None = None,
    ) -> pa.Table:
        """Run one read-only statement over the store (`ohlcv_data` is the published view); see the interface."""
        if not self._refresh():
            raise self._no_store()
        with self._read() as cursor:
            return readonly_sql.run(cursor, query, parameters, max_rows)

    # -- keeping ---------------------------------------------------------------------------------------------

    def compact(self, grace: timedelta = compaction.DEFAULT_GRACE) -> compaction.CompactionReport:
        """Rewrite the file: small, and in the order in which bars are read.

        Versions that were superseded longer than `grace` ago go for good; a backtest that still reads one of them gets
        `VersionGoneError`. Other processes wait only at the end. Needs as much free disk space as the store has bytes.
        Raises `StoreNotFoundError`, `StoreWriteError` (the store is then as it was).
        """
        self.merge_spooled()
        if not self._refresh():
            raise self._no_store()
        return compaction.compact(self._connection, grace)

    def verify(self) -> verification.VerificationReport:
        """Check the whole store, and report what is damaged and which bars are implausible. Changes nothing."""
        if not self._refresh():
            raise self._no_store()
        return verification.verify(self._connection)

    def close(self) -> None:
        """Let go of the file. The storage may be used again; it opens by itself."""
        self._connection.close()

    # -- inside ----------------------------------------------------------------------------------------------

    def _no_store(self) -> StoreNotFoundError:
        return StoreNotFoundError(f"there is no store at {self._path} yet; store some bars first")

    @contextmanager
    def _read(self) -> Iterator[StoreCursor]:
        """Give a cursor for reading; the time is counted."""
        with self._counters.timing(), self._connection.read() as cursor:
            yield cursor

    @contextmanager
    def _write(self) -> Iterator[StoreCursor]:
        """Give a cursor for one transaction, after those that merge what waits in the spool."""
        ensure_folder(self._path)
        self.merge_spooled()
        with self._transaction() as cursor:
            yield cursor

    @contextmanager
    def _transaction(self) -> Iterator[StoreCursor]:
        """Give a cursor for one transaction on a store of the newest schema, with the catalog up to date."""
        with self._counters.timing(), self._connection.write() as cursor:
            self._see(cursor, migrations.migrate(cursor))
            yield cursor

    def _write_to(self, cursor: StoreCursor, key: SeriesKey) -> Write:
        """Return the one write that a `_write` block makes."""
        record = self._catalog.find(key)
        head = self._catalog.head(record.series_id) if record is not None else None
        before = self._state_after(cursor, head.ingest_id) if head is not None else None
        return Write(cursor, key, before, *self._next_ingest())

    def _merge(self, kept: SpooledWrite, file: Path) -> bool:
        """Write what a file of the spool holds, unless another process did just now; tell whether that was done."""
        write = kept.write
        with self._transaction() as cursor:
            if not file.exists():
                return False
            if write.onto is not None and kept.store_id not in ("", self._catalog.store_id):
                raise HistoryRestatedError(f"the store was replaced by another, without version {write.onto}")
            self._write_to(cursor, write.key).bars(write)
            return True

    def _next_ingest(self) -> tuple[int, datetime]:
        """Return id and time (UTC, naive) of the next ingest, inside a `_write` block."""
        # The time of a write is now, but never before an earlier write's, whatever the clocks say.
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        return self._catalog.last_ingest + 1, max(now, self._catalog.last_ingested_at + timedelta(microseconds=1))

    def _described(self, cursor: StoreCursor, records: list[SeriesRecord]) -> list[SeriesInfo]:
        """Return what a listing says of some series: of one, or of all that there are."""
        one = records[0].series_id if len(records) == 1 else None
        covered = stored_coverage(cursor, datetime.now(timezone.utc), one)
        states = {
            series_id: facts
            for series_id, *facts in cursor.rows(_STATES_OF_SERIES.replace("{which}", f"= {one}" if one else "> 0"))
        }
        found = []
        for record in records:
            if record.series_id in states:  # it may have been deleted just now
                version_id, rows, first, last = states[record.series_id]
                pieces = tuple(ranges.merged(piece for piece, _ in covered.get(record.series_id, [])))
                found.append(SeriesInfo(record.key, record.series_id, version_id, rows, first, last, pieces))
        return found

    def _see(self, cursor: StoreCursor, state: migrations.StoreState) -> None:
        if self._catalog.refresh(cursor, state, self._connection.generation()):
            self._forget_answers()

    def _forget_answers(self) -> None:
        self._cache.clear()
        self._states.clear()

    def _refresh(self, *, upgrade: bool = True) -> bool:
        """Bring the catalog up to what is committed; tell whether there is a store at all.

        One of an older schema is brought up to date for that. Without `upgrade` it is left as it is and counts as none.
        """
        if not self._connection.exists():
            self._catalog.clear()
            self._forget_answers()
            return False
        if self._connection.generation() == self._catalog.generation:
            return True
        with self._read() as cursor:
            state = migrations.state(cursor)
            if state.schema_version == migrations.newest():
                self._see(cursor, state)
                return True
        if state.schema_version == 0 or not upgrade:
            return False
        with self._transaction():
            return True

    def _resolve(
        self, asset: AssetLike | SeriesKey, timeframe: str, source: str | None, adjustment: str | None
    ) -> SeriesRecord:
        if isinstance(asset, SeriesKey):
            return self._exactly(asset)
        query, wanted_timeframe, wanted_source = _looked_for(asset, timeframe, source)
        if not self._refresh():
            raise SeriesNotFoundError(f"there is no store at {self._path} yet, so no bars of {query.key.label()}")
        return self._catalog.resolve(query, wanted_timeframe, wanted_source, adjustment)

    def _exactly(self, key: SeriesKey) -> SeriesRecord:
        key = _key_to_write(key.asset, key.source, key.timeframe, key.adjustment, None)
        record = self._catalog.find(key) if self._refresh() else None
        if record is None:
            raise SeriesNotFoundError(f"the store has no {key.label()}")
        return record

    def _pin_as_of(self, record: SeriesRecord, as_of: datetime) -> SeriesPin:
        moment = _instant(as_of).tz_convert("UTC").tz_localize(None).to_pydatetime()
        with self._read() as cursor:
            found = cursor.rows(
                "SELECT version_id, ingest_id FROM {db}.ingest WHERE series_id = ? AND ingested_at <= ? "
                "ORDER BY ingest_id DESC LIMIT 1",
                [record.series_id, moment],
            )
            if not found:
                raise SeriesNotFoundError(f"{record.key.label()} was not stored yet as of {as_of}")
            pin = SeriesPin(record.key, record.series_id, *found[0])
            _refuse_if_gone(cursor, pin)
        return pin

    def _state(self, pin: SeriesPin) -> VersionState:
        """Return what the pinned version was like after the pinned ingest. That never changes."""
        held: VersionState | None = self._states.get(pin.ingest_id)
        if held is None:
            with self._read() as cursor:
                held = self._state_after(cursor, pin.ingest_id)
        if held is None:
            raise _gone(pin)
        return held

    def _state_after(self, cursor: StoreCursor, ingest_id: int) -> VersionState | None:
        held: VersionState | None = self._states.get(ingest_id)
        if held is None and (held := version_state(cursor, ingest_id)) is not None:
            self._states.put(ingest_id, held, _STATE_BYTES)
        return held

    def _read_frame(self, pin: SeriesPin, within: TimeRange | None, state: VersionState) -> pd.DataFrame:
        bars, shared = self._bars(pin, within, None, state, remember=True)
        return bars_output.frame(bars, state.layout, copy=shared)  # what the cache holds stays as it is

    def _bars(
        self,
        pin: SeriesPin,
        within: TimeRange | None,
        columns: Sequence[str] | None,
        state: VersionState,
        *,
        remember: bool,
    ) -> tuple[BarArrays, bool]:
        """Return pinned bars, and whether the cache holds them too."""
        wanted = bars_output.chosen(state.layout, columns)
        asked = ("bars", pin.version_id, pin.ingest_id, within, None if columns is None else tuple(columns))
        held: BarArrays | None = self._cache.get(asked)
        if held is not None:
            return held, True
        with self._counters.timing():
            table, times = self._read_stored(pin, within, wanted)
            bars = bars_output.bar_arrays(table, times, wanted)
        size = bars_output.size_in_bytes(bars)
        shared = remember and self._cache.takes(size)
        if shared:
            self._cache.put(asked, bars, size)
        return bars, shared

    def _read_stored(
        self, pin: SeriesPin, within: TimeRange | None, columns: Sequence[ColumnLayout]
    ) -> tuple[pa.Table, np.ndarray[Any, np.dtype[np.int64]]]:
        """Return pinned rows as they are stored, in the order of time, and their bar starts in epoch seconds."""
        condition = _pinned(pin)
        if within is not None:
            condition += f" AND ts >= {timestamp_literal(within.start)} AND ts < {timestamp_literal(within.end)}"
        with self._read() as cursor:
            table = stored_rows(cursor, columns, condition)
            if table.num_rows == 0:
                _refuse_if_gone(cursor, pin)
        self._counters.read(table.num_rows, table.nbytes)
        return bars_output.in_time_order(table)


def _open(path: str, cache_bytes: int) -> DuckDBDataStorage:
    return DuckDBDataStorage(path, cache_bytes=cache_bytes)


def _key_to_write(asset: AssetLike, source: str, timeframe: str, adjustment: str, exchange: str | None) -> SeriesKey:
    try:
        return SeriesKey(
            asset_key(asset, exchange), canonical_source(source), canonical_timeframe(timeframe), adjustment
        )
    except ValueError as error:
        raise InvalidBarsError(str(error)) from None


def _record_key(asset: AssetLike, source: str) -> tuple[AssetKey, str]:
    try:
        return asset_key(asset), canonical_source(source)
    except ValueError as error:
        raise InvalidRecordError(str(error)) from None


def _asked_at(key: SeriesKey, asked_at: datetime | None) -> datetime:
    """Return when a source answered, in UTC."""
    if asked_at is None:
        return datetime.now(timezone.utc)
    if asked_at.tzinfo is None:
        raise InvalidBarsError(f"{key.label()}: asked_at, {asked_at}, has no time zone; give one that has")
    return asked_at.astimezone(timezone.utc)


def _looked_for(asset: AssetLike, timeframe: str | None, source: str | None) -> tuple[Any, str | None, str | None]:
    return (
        asset_query(asset),
        None if timeframe is None else canonical_timeframe(timeframe),
        None if source is None else canonical_source(source),
    )


def _pinned(pin: SeriesPin) -> str:
    return f"version_id = {pin.version_id} AND ingest_id <= {pin.ingest_id}"


def _refuse_if_gone(cursor: StoreCursor, pin: SeriesPin) -> None:
    if not cursor.rows("SELECT 1 FROM {db}.series_version WHERE version_id = ?", [pin.version_id]):
        raise _gone(pin)


def _gone(pin: SeriesPin) -> VersionGoneError:
    return VersionGoneError(
        f"version {pin.version_id} of {pin.key.label()} was replaced or deleted and is no longer in the store; "
        "pin the series again (a longer grace period for compact() keeps old versions longer)"
    )


def _instant(time: datetime | date | str) -> pd.Timestamp:
    """Return a moment. A naive time is New York's, read as Lumibot reads it: standard time where there are two."""
    stamp: pd.Timestamp = pd.Timestamp(time)
    if pd.isna(stamp):
        raise ValueError(f"{time!r} is no time")
    if stamp.tzinfo is None:
        # datetime.min and datetime.max have no time in other zones.
        stamp = min(max(stamp, _EARLIEST), _LATEST)
        stamp = stamp.tz_localize(bars_output.NEW_YORK, ambiguous=False, nonexistent=timedelta(hours=1))
    return stamp


def _range_of(
    start: datetime | date | str | None, end: datetime | date | str | None, state: VersionState
) -> TimeRange | None:
    """Return the range that a caller means; None for all there is."""
    if start is None and end is None:
        return None
    first = _ceiled(_instant(start)) if start is not None else state.first or 0
    after = _ceiled(_instant(end)) if end is not None else (state.last or 0) + 1
    return TimeRange(first, max(first, after))


def _ceiled(stamp: pd.Timestamp) -> EpochSeconds:
    exact = stamp.tz_convert("UTC").tz_localize(None).asm8
    whole = exact.astype("M8[s]")
    return int(whole.astype(np.int64)) + int(whole.astype(exact.dtype) < exact)


def _listing_order(key: SeriesKey) -> tuple[Any, ...]:
    asset = key.asset
    contract = (asset.expiration or date.min, asset.strike or 0.0, asset.right or "", asset.quote or "")
    return asset.symbol, key.source, key.timeframe, asset.asset_type, contract, asset.exchange, key.adjustment
