"""Opens another store to read it: read-only, on a separate DuckDB instance, and with a check of everything in it.

The file comes from elsewhere, so nothing in it is trusted: tables and columns must be those of its schema, names of
series must be such as this package writes, and every value must be readable. It is never changed or upgraded.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, KnownActions, SeriesKey
from lumibot_duckdb.storage.bars.batches import in_batches
from lumibot_duckdb.storage.bars.checksums import checksums_of, differing
from lumibot_duckdb.storage.bars.columns import bar_columns, in_time_order, pinned_parts, stored_rows
from lumibot_duckdb.storage.bars.coverage import Covered
from lumibot_duckdb.storage.bars.coverage_records import stored_coverage
from lumibot_duckdb.storage.bars.layout import ColumnLayout, Layout, pandas_dtype
from lumibot_duckdb.storage.bars.newer_bars import last_restated
from lumibot_duckdb.storage.bars.version_state import VersionState
from lumibot_duckdb.storage.connection.cursor import Parameters, StoreCursor
from lumibot_duckdb.storage.connection.duckdb_errors import damage_reason
from lumibot_duckdb.storage.connection.engine import Engine
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import (
    InvalidBarsError,
    StorageError,
    StoreDamagedError,
    StoreNotFoundError,
    StoreVersionError,
)
from lumibot_duckdb.storage.identity import asset_of_published_name, key_to_write, published_name
from lumibot_duckdb.storage.reference.corporate_actions import Identity, in_order
from lumibot_duckdb.storage.reference.labels import STORED, Labels, labels_of_rows
from lumibot_duckdb.storage.reference.option_chains import ChainTexts
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_files import sql_file
from lumibot_duckdb.storage.sql_times import epoch_sql, starts_between
from lumibot_duckdb.storage.times import aware_utc, naive_utc, utc_now
from lumibot_duckdb.storage.upkeep import other_file
from lumibot_duckdb.storage.upkeep.file_kind import not_a_store
from lumibot_duckdb.storage.upkeep.series_union import SourceWrite, notes_of, writes_of

_REFERENCE = "reference"
_WAIT_SECONDS = 30.0
_NO_LIMIT = 2**31
_ROWS_AT_A_TIME = 2 * 122_880
_PLACE = re.compile(r"[a-z0-9_]+")
_UNITS = ("s", "ms", "us", "ns")
_CHECKS = (
    "bars_of_no_ingest",
    "bars_of_no_version",
    "current_versions",
    "doubled_identities",
    "metadata",
    "recorded_facts",
    "versions_of_no_series",
    "coverage_ranges",
)
_REFERENCE_CHECKS = {"corporate_actions": 2, "option_chains": 2, "labels": 9}
"""Further checks, by the first schema that has what they check."""
_WITH_REFERENCE_DATA = 2
_WITH_REQUEST_TIMES = 4
_WITH_CHECKSUMS = 7
_WITH_LABELS = 9
"""The first schemas with these tables."""
_NO_REQUEST_TIMES = "(SELECT 0 AS ingest_id, NULL::TIMESTAMP AS requested_at WHERE false)"
_COLUMNS = """
SELECT table_name, column_name, data_type FROM duckdb_columns()
WHERE database_name = ? AND table_oid IN (SELECT table_oid FROM duckdb_tables() WHERE database_name = ?)
"""
_SERIES = f"""
SELECT series.series_id, series.created_at, asset.name, asset.asset_type, asset.exchange, asset.symbol, asset.quote,
    asset.expiration, asset.strike, asset."right", asset.multiplier, asset.auto_expiry, series.source, series.timeframe,
    series.adjustment, series.current_version, latest.ingest_id, latest.layout_id, layout.definition,
    latest.version_rows, {epoch_sql("latest.version_first")}, {epoch_sql("latest.version_last")}, latest.on_minute
FROM {{db}}.series
JOIN {{db}}.asset USING (asset_id)
JOIN (
    SELECT version_id, unnest(arg_max(struct_pack(ingest_id, layout_id, version_rows, version_first, version_last,
        on_minute), ingest_id))
    FROM {{db}}.ingest GROUP BY version_id
) AS latest ON latest.version_id = series.current_version
LEFT JOIN {{db}}.layout ON layout.layout_id = latest.layout_id
ORDER BY series.series_id
"""
_ACTIONS = """
SELECT asset_symbol, asset_type, exchange, source, kind, checked_at, ex_date, split_from, split_to, amount
FROM {db}.corporate_action_check
LEFT JOIN {db}.corporate_action USING (asset_symbol, asset_type, exchange, source, kind)
ORDER BY ALL
"""
_CHAINS = """
SELECT chain_id, asset_symbol, asset_type, exchange, source, as_of, days_ahead, outline, stored_at
FROM {db}.option_chain ORDER BY chain_id
"""
_STRIKES = 'SELECT "right", expiration, strikes FROM {db}.option_chain_strikes WHERE chain_id = ?'

OnBars: TypeAlias = "Callable[[int], None]"
"""Receives how many more bars were read."""


@dataclass(frozen=True, slots=True)
class OtherSeries:
    """A series of the other store: its key, the state of its current version, and when it was created."""

    key: SeriesKey
    state: VersionState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OtherRecords:
    """What the other store has of a series besides its bars.

    `covered` has expired ranges, too; `restated` is when it was last restated (naive UTC), `writes` are those that
    brought its bars, and `notes` the answers without bars that have metadata, earliest first.
    """

    covered: list[Covered]
    restated: datetime | None
    writes: list[SourceWrite]
    notes: list[SourceWrite]


@dataclass(frozen=True, slots=True)
class OtherChain:
    """An option chain of the other store, in its stored form. `listed_at` is naive UTC."""

    underlying: AssetKey
    source: str
    as_of: date
    days_ahead: int | None
    texts: ChainTexts
    listed_at: datetime


class _Cursor(StoreCursor):
    """Runs SQL on the other store, also if it is older than the record of request times.

    Every write was requested when it was made then. What cannot be read raises `StoreDamagedError`.
    """

    def __init__(self, path: Path, duck: duckdb.DuckDBPyConnection) -> None:
        super().__init__(other_file.NAME, duck)
        self.path = path

    has_request_times = True

    def execute(self, sql: str, parameters: Parameters = None) -> duckdb.DuckDBPyConnection:
        with self._readable():
            return super().execute(self._adapted(sql), parameters)

    def arrow(self, sql: str, parameters: Parameters = None) -> pa.Table:
        with self._readable():
            return super().arrow(self._adapted(sql), parameters)

    def rows(self, sql: str, parameters: Parameters = None) -> list[tuple[Any, ...]]:
        with self._readable():
            return super().rows(sql, parameters)

    def _adapted(self, sql: str) -> str:
        return sql if self.has_request_times else sql.replace("{db}.ingest_request", _NO_REQUEST_TIMES)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.OutOfMemoryException, duckdb.InterruptException):
            raise
        except duckdb.Error as error:
            raise _damaged(self.path, damage_reason(error)) from error


class OtherStore:
    """Another store, open for reading. Get it from `opened`."""

    def __init__(self, path: Path, cursor: _Cursor) -> None:
        self.path = path
        self._cursor = cursor
        try:
            self.schema = migrations.state(cursor).schema_version
        except (StoreDamagedError, StoreVersionError) as error:
            raise type(error)(f"{path} cannot be merged: {error}") from error
        if self.schema == 0:
            raise StoreDamagedError(f"{path} is an empty database, not a store")
        cursor.has_request_times = self.schema >= _WITH_REQUEST_TIMES
        self._check_tables()

    @property
    def cursor(self) -> StoreCursor:
        """The cursor for reading."""
        return self._cursor

    # -- contents --------------------------------------------------------------------------------------------

    def series(self) -> list[OtherSeries]:
        """Return all series."""
        layouts: dict[int, Layout] = {}
        found = []
        for row in self._cursor.rows(_SERIES):
            series_id, created_at, name, asset_type, exchange, *rest = row
            symbol, quote, expiration, strike, right, multiplier, auto_expiry, source, timeframe, adjustment = rest[:10]
            version_id, ingest_id, layout_id, definition, *facts = rest[10:]
            fields = (symbol, asset_type, quote, exchange, expiration, strike, right, multiplier, auto_expiry)
            with self._understanding(f"the series {name!r}"):
                asset = AssetKey(*fields)
                key = key_to_write(asset, source, timeframe, adjustment)
                if key != SeriesKey(asset, source, timeframe, adjustment) or published_name(asset) != name:
                    raise ValueError("its name is not one that this package writes")
                if layout_id not in layouts:
                    layouts[layout_id] = self._layout(definition)
            state = VersionState(series_id, version_id, ingest_id, layout_id, layouts[layout_id], *facts)
            found.append(OtherSeries(key, state, created_at))
        return found

    def records(self, series: Sequence[OtherSeries]) -> dict[SeriesKey, OtherRecords]:
        """Return what there is of series besides their bars."""
        ids = [each.state.series_id for each in series]
        covered = stored_coverage(self._cursor, None, ids)
        restated = last_restated(self._cursor, ids)
        versions = [each.state.version_id for each in series]
        writes, notes = writes_of(self._cursor, versions), notes_of(self._cursor, versions)
        return {
            each.key: OtherRecords(
                covered.get(each.state.series_id, []),
                restated.get(each.state.series_id),
                writes.get(each.state.version_id, []),
                notes.get(each.state.version_id, []),
            )
            for each in series
        }

    def together(self, series: Sequence[OtherSeries]) -> Iterator[pa.Table]:
        """Yield the stored bars of one series in parts, or those of several short ones at once."""
        versions = is_one_of("version_id", [each.state.version_id for each in series])
        columns = [column for each in series for column in each.state.layout.columns]
        for part in parts_of(series[0]) if len(series) == 1 else [versions] * bool(series):
            yield stored_rows(self._cursor, columns, part, ("version_id", "ingest_id"))

    def bars(self, series: Sequence[OtherSeries]) -> Iterator[tuple[OtherSeries, Iterator[pa.Table]]]:
        """Yield series and their stored bars in the order of time: of one in parts, or of several short ones."""
        if len(series) == 1:
            yield series[0], (in_time_order(table)[0] for table in self.together(series))
            return
        for table in self.together(series):
            parts = dict(pinned_parts(table, {each.state.version_id: _NO_LIMIT for each in series}))
            for each in series:
                yield each, iter([in_time_order(parts[each.state.version_id])[0]])

    def actions(self) -> dict[tuple[AssetKey, str, str], KnownActions]:
        """Return the known splits and dividends, by asset, source and kind."""
        if self.schema < _WITH_REFERENCE_DATA:
            return {}
        found: dict[tuple[Identity, str, str], tuple[datetime, list[CorporateAction]]] = {}
        for name, asset_type, exchange, source, kind, checked_at, *action in self._cursor.rows(_ACTIONS):
            _, actions = found.setdefault(((name, asset_type, exchange), source, kind), (checked_at, []))
            if action[0] is not None:
                with self._understanding(f"a {kind} of {name!r}"):
                    actions.append(CorporateAction(*action))
        known = {}
        for (identity, source, kind), (checked_at, actions) in found.items():
            with self._understanding(f"the {kind}s of {identity[0]!r}"):
                asset = asset_of_published_name(*identity)
                known[asset, source, kind] = KnownActions(aware_utc(checked_at), in_order(actions))
        return known

    def chains(self) -> Iterator[OtherChain]:
        """Yield the option chains."""
        if self.schema < _WITH_REFERENCE_DATA:
            return
        for chain_id, name, asset_type, exchange, *rest in self._cursor.rows(_CHAINS):
            source, as_of, days_ahead, outline, listed_at = rest
            strikes = {(right, day): text for right, day, text in self._cursor.rows(_STRIKES, [chain_id])}
            with self._understanding(f"the option chain of {name!r} as of {as_of}"):
                underlying = asset_of_published_name(name, asset_type, exchange)
                texts = ChainTexts.of(underlying, ChainTexts(outline, strikes).chain())
                yield OtherChain(underlying, source, as_of, days_ahead, texts, listed_at)

    def labels(self) -> Labels:
        """Return the labels of assets."""
        if self.schema < _WITH_LABELS:
            return {}
        with self._understanding("a label"):
            return labels_of_rows(self._cursor.rows(STORED))

    # -- checks ----------------------------------------------------------------------------------------------

    def check(self, series: list[OtherSeries], on_bars: OnBars) -> None:
        """Read everything that will be merged. Raises `StoreDamagedError` if anything is wrong."""
        checks = [*_CHECKS, *(name for name, schema in _REFERENCE_CHECKS.items() if self.schema >= schema)]
        for name in checks:
            sql = sql_file(f"verify/{name}.sql").replace("{now}", f"TIMESTAMP '{naive_utc(utc_now())}'")
            sql = sql.replace("{repaired}", sql_file("repaired_versions.sql"))
            for what, *_ in self._cursor.rows(sql)[:1]:
                raise _damaged(self.path, what)
        for batch in in_batches(series, lambda each: each.state.rows):
            for each, tables in self.bars(batch):
                for table in tables:
                    self._check_bars(each, table)
                    on_bars(table.num_rows)
            if self.schema >= _WITH_CHECKSUMS:
                self._check_checksums(batch)
        for _ in self.chains():
            pass
        self.actions()
        self.labels()

    def _check_bars(self, series: OtherSeries, table: pa.Table) -> None:
        """Read bars as they will be read once they are merged."""
        from lumibot_duckdb.storage.bars import output  # imports pandas
        from lumibot_duckdb.storage.bars.input_checks import check_bars

        layout = series.state.layout
        with self._understanding(series.key.label()):
            rows, times = in_time_order(table)
            check_bars(series.key.label(), output.frame(rows, times, layout))

    def _check_checksums(self, series: Sequence[OtherSeries]) -> None:
        """Refuse damaged bars, which would count as sound here."""
        of_version = {each.state.version_id: each.key for each in series}
        try:
            found = list(checksums_of(self._cursor, {version: key.timeframe for version, key in of_version.items()}))
        except StoreDamagedError as error:
            raise _damaged(self.path, "some checksums cannot be read") from error
        for version, stored, computed in found:
            if any(differing(stored, computed)):
                raise _damaged(self.path, f"the bars of {of_version[version].label()} are not those that were stored")

    def _check_tables(self) -> None:
        """Compare the tables with those that a store of this schema has."""
        duck = duckdb.connect(":memory:", config=Engine.settings())
        try:
            duck.execute(f"ATTACH ':memory:' AS {_REFERENCE}")
            reference = StoreCursor(_REFERENCE, duck)
            for number, script in migrations.scripts():
                if number <= self.schema:
                    reference.execute(script)
            expected = set(reference.rows(_COLUMNS, [_REFERENCE, _REFERENCE]))
        finally:
            duck.close()
        there = set(self._cursor.rows(_COLUMNS, [other_file.NAME, other_file.NAME]))
        for table, column, data_type in sorted(expected - there):
            raise _damaged(self.path, f"it lacks the column {column} ({data_type}) of the table {table}")

    def _layout(self, definition: str) -> Layout:
        layout = Layout.from_json(definition)
        if layout.index_unit not in _UNITS:
            raise ValueError(f"{layout.index_unit!r} is not a unit of time")
        there = dict(bar_columns(self._cursor))
        for column in layout.columns:
            _check_column(column, there)
        return layout

    @contextmanager
    def _understanding(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, pa.ArrowException) as e:
            if isinstance(e, StorageError) and not isinstance(e, InvalidBarsError):
                raise
            raise _damaged(self.path, f"{what} cannot be read ({type(e).__name__}: {e})") from e


@contextmanager
def opened(path: Path) -> Iterator[OtherStore]:
    """Open another store for the block. It sees one state of the store, and programs that write to it have to wait.

    Raises `StoreNotFoundError`, `StoreDamagedError`, `StoreVersionError`, `StoreBusyError`.
    """
    if path.is_dir():
        raise StoreNotFoundError(not_a_store(path))
    if not path.is_file():
        raise StoreNotFoundError(f"there is no store at {path}: name the file of another store")
    StoreConnection.of(path).close()  # this process may have it open, too
    with _locked(path):
        _refuse_unfinished(path)
        with other_file.attached(path) as duck:
            yield OtherStore(path, _Cursor(path, duck))


def _refuse_unfinished(path: Path) -> None:
    """Refuse a store that a killed program was folding its log into. Only a writer may repair it."""
    if path.with_name(path.name + ".guard").exists():
        raise StoreDamagedError(
            f"a write to {path} was interrupted. Open it once as a store, which repairs it: "
            f"lumibot-duckdb status --store '{path}'"
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep programs that use the lock of the store from writing to it. Without lock files, none has used it."""
    if not path.with_name(path.name + ".lock").exists():
        yield
        return
    lock = StoreLock(path)
    lock.acquire(False, time.monotonic() + _WAIT_SECONDS)
    try:
        yield
    finally:
        lock.release()
        lock.close()


def _damaged(path: Path, what: str) -> StoreDamagedError:
    return StoreDamagedError(f"{path} is damaged: {what}. Merge an intact copy of it, or a backup")


def parts_of(series: OtherSeries) -> list[str]:
    """Return SQL conditions for the parts in which the bars of a series are read: of about equal lengths of time."""
    state = series.state
    version = f"version_id = {state.version_id}"
    if not state.rows or state.first is None or state.last is None:
        return []
    count = -(-state.rows // _ROWS_AT_A_TIME)
    cuts = [state.first + (state.last + 1 - state.first) * part // count for part in range(count + 1)]
    return [f"{version} AND {starts_between(start, end)}" for start, end in pairwise(cuts)]


def same_file(path: Path, other: Path) -> bool:
    """Return whether two paths name the same file."""
    with suppress(OSError):
        return path.samefile(other)
    return False


def _check_column(column: ColumnLayout, there: dict[str, str]) -> None:
    if not isinstance(column.name, str) or column.missing not in ("", "None", "nan", "NA"):
        raise ValueError(f"the column {column.name!r} is described wrongly")
    pandas_dtype(column.dtype)
    for name, sql_type in column.physical_columns():
        if not _PLACE.fullmatch(name) or there.get(name) != sql_type:
            raise ValueError(f"it needs a column {name!r} of type {sql_type}")
