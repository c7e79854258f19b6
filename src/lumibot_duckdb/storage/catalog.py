"""The series of the store, in memory: a look-up among 100,000 takes microseconds.

The whole catalog is read once, as columns. The series of a symbol become objects when the symbol is first looked up.
After further commits, only what they added is read, by id.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey, EpochSeconds, SeriesKey
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import AmbiguousSeriesError, SeriesNotFoundError
from lumibot_duckdb.storage.identity import AssetQuery, contract
from lumibot_duckdb.storage.migrations import StoreState
from lumibot_duckdb.storage.sql_times import epoch_sql

_NAMED_IN_ERRORS = 8
_SORTED_IN_ERRORS = 200
_LONG_AGO = datetime(1970, 1, 1)
_NONE = -(2**63)
"""Stands for no time in arrays."""

_SERIES = """
SELECT series.series_id, asset.symbol, asset.asset_type, asset.quote, asset.exchange, asset.expiration, asset.strike,
    asset."right", asset.multiplier, asset.auto_expiry, series.source, series.timeframe, series.adjustment
FROM {db}.series JOIN {db}.asset USING (asset_id)
"""
_ALL_SERIES = _SERIES + " ORDER BY asset.symbol, series.series_id"
_SERIES_SINCE = _SERIES + " WHERE series.series_id > ? ORDER BY series.series_id"
_HEADS = f"""
SELECT series_id, max(ingest_id) AS ingest_id, unnest(arg_max(struct_pack(
    deleted := kind = 'delete', version_id, ingested_at, layout_id, "rows" := version_rows,
    "first" := {epoch_sql("version_first")}, "last" := {epoch_sql("version_last")}, on_minute
), ingest_id))
FROM {{db}}.ingest WHERE ingest_id > ? GROUP BY series_id ORDER BY series_id
"""
_PAGE = 32
"""How many series are on a page."""

_TIME_OF = "SELECT ingested_at FROM {db}.ingest WHERE ingest_id = ?"


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series and its id."""

    series_id: int
    key: SeriesKey


@dataclass(frozen=True, slots=True)
class Head:
    """The current version of a series, its last ingest, when that was (naive UTC), and the state of the version."""

    version_id: int
    ingest_id: int
    ingested_at: datetime
    layout_id: int
    rows: int
    first: EpochSeconds | None
    last: EpochSeconds | None
    on_minute: bool


class _Symbol:
    """The series of one symbol, by asset and by contract: an index may have tens of thousands of contracts."""

    def __init__(self) -> None:
        self.series: dict[AssetKey, list[SeriesRecord]] = {}
        self._contracts: dict[Hashable, list[AssetKey]] = {}

    def add(self, record: SeriesRecord) -> None:
        asset = record.key.asset
        if asset not in self.series:
            self.series[asset] = []
            self._contracts.setdefault(contract(asset), []).append(asset)
        self.series[asset].append(record)

    def drop(self, record: SeriesRecord) -> None:
        asset = record.key.asset
        self.series[asset].remove(record)
        if not self.series[asset]:
            del self.series[asset]
            self._contracts[contract(asset)].remove(asset)

    def matching(self, query: AssetQuery) -> Iterable[SeriesRecord]:
        """Return the series of the exact asset if there is one, else of all assets that match."""
        if query.key in self.series:
            return self.series[query.key]
        if not query.lenient:
            return ()
        assets: Iterable[AssetKey] = self._contracts.get(contract(query.key), ()) if query.typed else self.series
        return (record for asset in assets if query.matches(asset) for record in self.series[asset])

    def all(self) -> Iterator[SeriesRecord]:
        return chain.from_iterable(self.series.values())


class Catalog:
    """The series of one store. Thread-safe; it never returns to an older state than it has seen."""

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._forget()

    def _forget(self) -> None:
        self.store_id = ""
        self.generation: int | None = None
        self.last_ingest = 0
        self.last_ingested_at = _LONG_AGO
        self._by_symbol: dict[str, _Symbol] = {}
        self._records: dict[int, SeriesRecord] = {}
        self._unread: dict[str, tuple[int, int]] = {}
        self._columns: pa.Table | None = None
        self._head_ids = np.empty(0, np.int64)
        self._paged_ids = array("q")
        self._heads: list[np.ndarray[Any, Any]] = []
        self._changed_heads: dict[int, Head] = {}
        self._deleted: set[int] = set()

    def clear(self) -> None:
        """Forget everything, since there is no store (any more)."""
        with self._guard:
            self._forget()

    def refresh(self, cursor: StoreCursor, state: StoreState, generation: int) -> bool:
        """Read what was committed since the last call; return whether another store, or history, is at the path now.

        `generation` is that of the state which `cursor` sees.
        """
        with self._guard:
            another = self.store_id not in ("", state.store_id) or not self.is_continued(cursor)
            if another or self.store_id != state.store_id:
                self._forget()
                self._read_whole(cursor)
                self.store_id = state.store_id
            else:
                self._read_changes(cursor)
            self.generation = generation
            return another

    def is_continued(self, cursor: StoreCursor) -> bool:
        """Return whether the open store still has the last write that was seen: a backup of it may lack that.

        Ids alone do not tell, since writes after a backup was restored use the same ones.
        """
        with self._guard:
            if not self.last_ingest:
                return True
            return cursor.rows(_TIME_OF, [self.last_ingest]) == [(self.last_ingested_at,)]

    # -- looking up ------------------------------------------------------------------------------------------

    def find(self, key: SeriesKey) -> SeriesRecord | None:
        """Return the series with exactly this key."""
        with self._guard:
            for record in self._symbol(key.asset.symbol).series.get(key.asset, ()):
                if record.key == key:
                    return record
        return None

    def resolve(
        self, query: AssetQuery, timeframe: str | None, source: str | None, adjustment: str | None
    ) -> SeriesRecord:
        """Return the one series that matches. Raises `SeriesNotFoundError`, `AmbiguousSeriesError`."""
        found = self.matching(query, timeframe, source, adjustment)
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousSeriesError(_ambiguity(found))
        raise SeriesNotFoundError(self._nothing(query, timeframe, source, adjustment))

    def matching(
        self, query: AssetQuery, timeframe: str | None, source: str | None, adjustment: str | None
    ) -> list[SeriesRecord]:
        """Return the series that match; None matches anything."""
        with self._guard:
            return [
                record
                for record in self._symbol(query.key.symbol).matching(query)
                if (timeframe is None or record.key.timeframe == timeframe)
                and (source is None or record.key.source == source)
                and (adjustment is None or record.key.adjustment == adjustment)
            ]

    def everything(self, timeframe: str | None, source: str | None) -> list[SeriesRecord]:
        """Return all series of a timeframe and a source; None matches any."""
        with self._guard:
            self._make_all()
            return [
                record
                for symbol in self._by_symbol.values()
                for record in symbol.all()
                if timeframe in (None, record.key.timeframe) and source in (None, record.key.source)
            ]

    def record(self, series_id: int) -> SeriesRecord | None:
        """Return a series by its id; None if it is unknown or deleted."""
        with self._guard:
            if series_id not in self._records and self._columns is not None:
                for row in np.flatnonzero(self._columns["series_id"].to_numpy() == series_id).tolist():
                    self._symbol(self._columns["symbol"][row].as_py())
            return self._records.get(series_id)

    def head(self, series_id: int) -> Head | None:
        """Return the head of a series; None if it is unknown or deleted."""
        with self._guard:
            if series_id in self._deleted:
                return None
            changed = self._changed_heads.get(series_id)
            if changed is not None:
                return changed
            at = int(np.searchsorted(self._head_ids, series_id))
            if at == len(self._head_ids) or self._head_ids[at] != series_id:
                return None
            return self._head_at(at)

    def page_of(self, series_id: int) -> tuple[int, ...]:
        """Return a series and others that were first stored around the same time, by their ids.

        The pages of two series are the same or have nothing in common.
        """
        with self._guard:
            ids = self._paged_ids
            first = bisect_left(ids, series_id) // _PAGE * _PAGE
            page = tuple(ids[first : first + _PAGE])
            if not self._deleted.isdisjoint(page):
                page = tuple(each for each in page if each not in self._deleted)
            return page if series_id in page else (series_id,)

    def _head_at(self, place: int) -> Head:
        version_id, ingest_id, ingested_at, layout_id, rows, first, last, on_minute = (
            column[place].item() for column in self._heads
        )
        return Head(version_id, ingest_id, ingested_at, layout_id, rows, _known(first), _known(last), on_minute)

    # -- reading the store -----------------------------------------------------------------------------------

    def _read_whole(self, cursor: StoreCursor) -> None:
        columns = cursor.arrow(_ALL_SERIES).combine_chunks()
        symbols = columns["symbol"].to_pylist()
        starts = [i for i, symbol in enumerate(symbols) if i == 0 or symbol != symbols[i - 1]]
        stops = [*starts, len(symbols)][1:]
        self._unread = {symbols[start]: (start, stop) for start, stop in zip(starts, stops, strict=False)}
        self._columns = columns
        heads = cursor.arrow(_HEADS, [0]).combine_chunks()
        alive = ~heads["deleted"].to_numpy()
        self._head_ids = heads["series_id"].to_numpy()[alive]
        self._paged_ids = array("q", self._head_ids.astype(np.int64).tobytes())
        self._heads = [
            heads[field.name].fill_null(_NONE).to_numpy()[alive]
            if field.name in ("first", "last")
            else heads[field.name].to_numpy()[alive]
            for field in fields(Head)
        ]
        if heads.num_rows:
            self.last_ingest = int(heads["ingest_id"].to_numpy().max())
            self.last_ingested_at = heads["ingested_at"].to_numpy().astype("M8[us]").max().item()

    def _read_changes(self, cursor: StoreCursor) -> None:
        changed = cursor.rows(_HEADS, [self.last_ingest])
        if not changed:
            return
        # A series has the id of the ingest that created it, so new series are those after the last ingest seen.
        if any(series_id > self.last_ingest for series_id, *_ in changed):
            new = cursor.arrow(_SERIES_SINCE, [self.last_ingest]).to_pylist()
            for record in map(_record, new):
                self._add(self._symbol(record.key.asset.symbol), record)
                self._paged_ids.append(record.series_id)
        for series_id, ingest_id, deleted, version_id, ingested_at, *state in changed:
            if deleted:
                self._drop(series_id)
            else:
                self._changed_heads[series_id] = Head(version_id, ingest_id, ingested_at, *state)
            self.last_ingest = max(self.last_ingest, ingest_id)
            self.last_ingested_at = max(self.last_ingested_at, ingested_at)

    def _drop(self, series_id: int) -> None:
        self._deleted.add(series_id)
        self._changed_heads.pop(series_id, None)
        record = self._records.pop(series_id, None)
        if record is not None:
            self._by_symbol[record.key.asset.symbol].drop(record)

    def _symbol(self, symbol: str) -> _Symbol:
        """Return the series of a symbol, as objects."""
        found = self._by_symbol.get(symbol)
        if found is None:
            found = self._by_symbol[symbol] = _Symbol()
            span = self._unread.pop(symbol, None)
            if span is not None and self._columns is not None:
                self._add_rows(found, self._columns.slice(span[0], span[1] - span[0]).to_pylist())
        return found

    def _make_all(self) -> None:
        """Turn everything that is left into objects at once."""
        if self._unread and self._columns is not None:
            rows = self._columns.to_pylist()
            for symbol, (start, stop) in self._unread.items():
                self._add_rows(self._by_symbol.setdefault(symbol, _Symbol()), rows[start:stop])
            self._unread = {}
            self._columns = None

    def _add_rows(self, symbol: _Symbol, rows: list[dict[str, Any]]) -> None:
        for record in map(_record, rows):
            if record.series_id not in self._deleted:
                self._add(symbol, record)

    def _add(self, symbol: _Symbol, record: SeriesRecord) -> None:
        symbol.add(record)
        self._records[record.series_id] = record

    # -- error messages --------------------------------------------------------------------------------------

    def _nothing(self, query: AssetQuery, timeframe: str | None, source: str | None, adjustment: str | None) -> str:
        kind = f"{timeframe} bars" if timeframe else "bars"
        asset = query.key.label() if query.typed or query.key.quote else query.key.symbol
        origin = (f" from {source}" if source else "") + (f" ({adjustment})" if adjustment else "")
        related = self.matching(query, None, None, None)
        if not related:
            with self._guard:
                related = list(islice(self._symbol(query.key.symbol).all(), _SORTED_IN_ERRORS))
        there = f"; it has: {_listed(related)}" if related else ""
        return f"the store has no {kind} of {asset}{origin}{there}"


def _known(time: EpochSeconds) -> EpochSeconds | None:
    return None if time == _NONE else time


def _record(row: dict[str, Any]) -> SeriesRecord:
    asset = AssetKey(
        symbol=row["symbol"],
        asset_type=row["asset_type"],
        quote=row["quote"],
        exchange=row["exchange"],
        expiration=row["expiration"],
        strike=row["strike"],
        right=row["right"],
        multiplier=row["multiplier"],
        auto_expiry=row["auto_expiry"],
    )
    return SeriesRecord(row["series_id"], SeriesKey(asset, row["source"], row["timeframe"], row["adjustment"]))


def _ambiguity(found: list[SeriesRecord]) -> str:
    keys = [record.key for record in found]
    if len({key.asset for key in keys}) > 1:
        advice = "state which asset is meant, for example with its type, quote or contract"
    elif len({key.source for key in keys}) > 1:
        advice = f"pass source=, one of {', '.join(sorted({key.source for key in keys}))}"
    else:
        advice = f"pass adjustment=, one of {', '.join(sorted(repr(key.adjustment) for key in keys))}"
    return f"several series match: {_listed(found)}; {advice}"


def _listed(records: list[SeriesRecord]) -> str:
    labels = sorted(record.key.label() for record in records)
    more = "; and more" if len(labels) > _NAMED_IN_ERRORS else ""
    return "; ".join(labels[:_NAMED_IN_ERRORS]) + more
