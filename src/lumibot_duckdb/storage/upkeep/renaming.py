"""Renames assets: a symbol has changed, as FB became META, or was wrong.

A series whose new name is free keeps its versions, bars and history, and only gets the new name. Else, or if only the
bars before a date are renamed, the bars are added to the other series, and the old one continues without them in a new
version. Everything happens in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey, AssetLike, EpochSeconds, SeriesKey, TimeRange, WriteResult
from lumibot_duckdb.storage.bars.bar_rows import Cut, copy_since
from lumibot_duckdb.storage.bars.checksums import copy_checksums_since
from lumibot_duckdb.storage.bars.columns import bar_columns
from lumibot_duckdb.storage.bars.coverage import Covered
from lumibot_duckdb.storage.bars.coverage_records import add_coverage, forget_coverage, stored_coverage
from lumibot_duckdb.storage.bars.layout import LayoutConflictError
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.outline_upkeep import keep_outline
from lumibot_duckdb.storage.bars.row_inserts import rows_of
from lumibot_duckdb.storage.bars.series_records import (
    Ingest,
    asset_ids,
    delete_unused_assets,
    layout_id_of,
    record_ingests,
    supersede,
)
from lumibot_duckdb.storage.bars.snapshots import snapshots_of
from lumibot_duckdb.storage.bars.version_state import VersionState, measured
from lumibot_duckdb.storage.catalog import SeriesRecord
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import SeriesNotFoundError, UpkeepRefusedError
from lumibot_duckdb.storage.identity import (
    EXPIRING_TYPES,
    AssetQuery,
    SeriesQuery,
    asset_key,
    asset_of_published_name,
    asset_query,
    canonical_source,
)
from lumibot_duckdb.storage.sql_files import sql_file
from lumibot_duckdb.storage.sql_times import epoch_sql, timestamp_literal
from lumibot_duckdb.storage.timeframes import bar_seconds, canonical_timeframe
from lumibot_duckdb.storage.times import (
    NEW_YORK,
    SECONDS_PER_DAY,
    UTC,
    date_of,
    epoch_seconds_ceiling,
    midnight,
    moment_of,
    new_york_timestamp,
)
from lumibot_duckdb.storage.upkeep.label_renaming import move_labels
from lumibot_duckdb.storage.upkeep.reference_renaming import identities_of, move_reference_data
from lumibot_duckdb.storage.upkeep.series_union import (
    REQUESTED,
    DifferingBar,
    Incoming,
    IngestNumbers,
    SeriesUnion,
    clipped,
    copies_of,
    known_records,
    notes_of,
    placed,
    record_requests,
    writes_of,
)

_ALWAYS = 2**62
_RENAMED = "lumibot_duckdb_renamed"
_RENAMED_COLUMNS = pa.schema(
    [
        ("series_id", pa.int32()),
        ("delete_id", pa.int32()),
        ("new_id", pa.int32()),
        ("asset_id", pa.int32()),
        ("now", pa.timestamp("us")),
    ]
)


@dataclass(frozen=True, slots=True)
class RenamedSeries:
    """A series that was renamed, or a part of it.

    Attributes:
        old: The series before.
        new: The series that its bars belong to now.
        bars: How many bars were renamed.
        kept: How many bars `old` keeps, because they are not before the date.
        joined: Whether `new` had been in the store before, so that it has the bars of both now.
        stays: Whether `old` stays in the store without bars, because a snapshot has it.
    """

    old: SeriesKey
    new: SeriesKey
    bars: int
    kept: int = 0
    joined: bool = False
    stays: bool = False


@dataclass(frozen=True, slots=True)
class RenameReport:
    """What a rename did, or would do.

    Attributes:
        series: The renamed series.
        actions: How many splits and dividends were renamed.
        option_chains: How many option chains were renamed.
        labels: How many labels were renamed.
        dry_run: Whether nothing was changed.
    """

    series: tuple[RenamedSeries, ...]
    actions: int = 0
    option_chains: int = 0
    labels: int = 0
    dry_run: bool = False

    @property
    def bars(self) -> int:
        """How many bars were renamed."""
        return sum(each.bars for each in self.series)


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of `rename`, checked. `cut` is None if everything is renamed."""

    old: AssetLike | tuple[AssetKey, ...]
    new: AssetLike
    cut: EpochSeconds | None
    source: str | None
    timeframe: str | None
    adjustment: str | None

    @classmethod
    def of(
        cls,
        old: AssetLike | Sequence[AssetKey],
        new: AssetLike,
        from_date: date | datetime | str | None,
        source: str | None,
        timeframe: str | None,
        adjustment: str | None,
    ) -> Request:
        """Return the checked arguments. Raises ValueError."""
        cut = None if from_date is None else epoch_seconds_ceiling(new_york_timestamp(from_date))
        return cls(
            tuple(old) if isinstance(old, list) else old,  # type: ignore[arg-type]
            new,
            cut,
            None if source is None else canonical_source(source),
            None if timeframe is None else canonical_timeframe(timeframe),
            adjustment,
        )

    @property
    def symbol(self) -> str | None:
        """The symbol, if every asset that has it is renamed."""
        is_symbol = isinstance(self.old, str) and "/" not in self.old
        return asset_query(self.old).key.symbol if is_symbol else None  # type: ignore[arg-type]

    @property
    def has_whole_assets(self) -> bool:
        """Whether all timeframes and adjustments are renamed, so that splits, option chains and labels are, too."""
        return self.timeframe is None and self.adjustment is None


def rename(store: OpenStore, request: Request, *, dry_run: bool) -> RenameReport:
    """Rename series. Raises `SeriesNotFoundError`, `UpkeepRefusedError`, ValueError."""
    symbols = {asset_query(each).key.symbol for each in _olds(request)} | {_new_symbol(request)}
    store.merge_spooled(only=lambda key: key.asset.symbol in symbols)
    store.require()
    if dry_run:
        store.refresh()
        with store.read() as cursor:
            return _Rename(store, cursor, request, dry_run=True).run()
    with store.write() as cursor:
        return _Rename(store, cursor, request, dry_run=False).run()


def _after(state: VersionState) -> EpochSeconds:
    """Return a time after the last bar."""
    return 0 if state.last is None else state.last + 1


def _olds(request: Request) -> Sequence[AssetLike]:
    return request.old if _is_list(request.old) else [request.old]  # type: ignore[return-value, list-item]


def _is_list(old: object) -> bool:
    return isinstance(old, tuple) and all(isinstance(each, AssetKey) for each in old)


def _new_symbol(request: Request) -> str:
    return asset_query(request.new).key.symbol


def _refuse_foreign_fields(asset: AssetKey) -> None:
    """Raise `UpkeepRefusedError` for an asset such as a stock with a strike, which no backtest could ask for."""
    if asset.asset_type != "option" and (asset.strike is not None or asset.right is not None):
        wrong = "strike or right"
    elif asset.expiration is not None and asset.asset_type not in EXPIRING_TYPES:
        wrong = "expiration"
    else:
        return
    raise UpkeepRefusedError(f"{asset.label()} is no asset, because type {asset.asset_type} has no {wrong}")


class _Rename:
    """One rename, in a transaction (or, for a dry run, in a block that reads)."""

    def __init__(self, store: OpenStore, cursor: StoreCursor, request: Request, *, dry_run: bool) -> None:
        self._store = store
        self._cursor = cursor
        self._request = request
        self._dry_run = dry_run
        self._numbers = IngestNumbers(*store.next_ingest())
        self._free: list[tuple[SeriesRecord, SeriesKey]] = []
        self._staying: set[tuple[AssetKey, str]] = set()  # assets and sources with series that keep their name

    def run(self) -> RenameReport:
        """Rename everything that the request means."""
        records = self._records()
        names = self._new_names(dict.fromkeys(record.key.asset for record in records))
        found = [moved for record in records for moved in self._renamed(record, names[record.key.asset])]
        actions = chains = labels = 0
        if self._request.has_whole_assets:
            unstored = {old: replace(old, symbol=_new_symbol(self._request)) for old in self._unstored(names)}
            names |= unstored
            days = None if self._request.cut is None else date_of(self._request.cut, NEW_YORK)
            actions, chains = move_reference_data(
                self._cursor, names, self._request.source, days, staying=self._staying, dry_run=self._dry_run
            )
            moved = {each.old.asset for each in found} | (set() if self._request.cut else unstored.keys())
            new_names = {old: new for old, new in names.items() if old in moved}
            labels = move_labels(self._cursor, new_names, self._remaining(records, found), dry_run=self._dry_run)
        if not found and not actions and not chains:
            raise SeriesNotFoundError(
                f"nothing of {_named(self._request)} is from before "
                f"{moment_of(self._request.cut or 0, NEW_YORK):%Y-%m-%d %H:%M}, so there is nothing to rename"
            )
        self._give_names()
        return RenameReport(tuple(found), actions, chains, labels, self._dry_run)

    # -- what is meant ---------------------------------------------------------------------------------------

    def _records(self) -> list[SeriesRecord]:
        request, catalog = self._request, self._store.catalog
        wanted = (request.timeframe, request.source, request.adjustment)
        if request.symbol is not None:
            everything = catalog.everything(request.timeframe, request.source)
            found = [record for record in everything if record.key.asset.symbol == request.symbol]
            found = [record for record in found if request.adjustment in (None, record.key.adjustment)]
        else:
            found = [record for old in _olds(request) for record in catalog.matching(asset_query(old), *wanted)]
        if not found:
            query = SeriesQuery.of(_olds(request)[0], request.timeframe, request.source)
            catalog.resolve(query.asset, *wanted)  # raises an error that lists what there is
            raise SeriesNotFoundError(f"the store has no bars of {_named(request)}")
        return sorted(found, key=lambda record: record.series_id)

    def _new_names(self, olds: Mapping[AssetKey, None]) -> dict[AssetKey, AssetKey]:
        """Return the new name of each asset."""
        request = self._request
        if isinstance(request.new, str) and "/" not in request.new:
            names = {old: asset_key(replace(old, symbol=_new_symbol(request))) for old in olds}
        elif len(olds) > 1:
            raise UpkeepRefusedError(
                f"{_named(request)} means {len(olds)} assets ({', '.join(old.label() for old in [*olds][:5])}), which "
                f"cannot all become {asset_key(request.new).label()}: pass a symbol as their new name, or one asset"
            )
        else:
            (old,) = olds
            new = asset_key(request.new)
            if new.asset_type != old.asset_type:
                raise UpkeepRefusedError(
                    f"{old.label()} cannot become {new.label()}, which is another type of asset: its bars mean "
                    "something else. Store them again under the right type, and delete the old ones"
                )
            _refuse_foreign_fields(new)
            names = {old: new}
        for old, new in names.items():
            if old == new:
                raise UpkeepRefusedError(f"{old.label()} has that name already: pass another one")
        return names

    def _unstored(self, names: Mapping[AssetKey, AssetKey]) -> Iterator[AssetKey]:
        """Yield further assets of the symbol, of which only splits, dividends or option chains are stored."""
        if self._request.symbol is None:
            return
        for name, asset_type, exchange in identities_of(self._cursor):
            asset = asset_of_published_name(name, asset_type, exchange)
            if asset.symbol == self._request.symbol and asset not in names:
                yield asset

    def _remaining(self, records: Sequence[SeriesRecord], found: Sequence[RenamedSeries]) -> set[AssetKey]:
        """Return the assets of which series with bars remain under the old name."""
        catalog, renamed = self._store.catalog, {record.key for record in records}
        of_assets = (AssetQuery(old, typed=True, lenient=False) for old in {each.old.asset for each in found})
        others = (record.key for query in of_assets for record in catalog.matching(query, None, None, None))
        return {asset for asset, _ in self._staying} | {key.asset for key in others if key not in renamed}

    # -- series ----------------------------------------------------------------------------------------------

    def _renamed(self, record: SeriesRecord, new_asset: AssetKey) -> Iterator[RenamedSeries]:
        """Rename a series, or the part of it before the date; yield what was done."""
        old, new = record.key, replace(record.key, asset=new_asset)
        state = self._store.current_state(self._cursor, old)
        target = self._store.current_state(self._cursor, new)
        if state is None:
            return
        covered = stored_coverage(self._cursor, None, [state.series_id]).get(state.series_id, [])
        cut = self._cut(state, old)
        if cut == _ALWAYS or _all_before(state, covered, cut):
            in_snapshot = bool(snapshots_of(self._cursor, state.series_id))
            if target is None and not in_snapshot:
                self._free.append((record, new))
                yield RenamedSeries(old, new, state.rows)
                return
            bars = self._unite(state, old, target, new, "true", covered)
            if target is None or in_snapshot:  # stays, without bars, since snapshots show it under its old name
                self._keep_rest(state, old, _after(state), ())
            else:
                self._retire(state, old, target)
            yield RenamedSeries(old, new, bars, joined=target is not None, stays=in_snapshot)
            return
        self._staying.add((old.asset, old.source))
        condition = f"ts < {timestamp_literal(cut)}"
        parts = clipped(covered, TimeRange(-_ALWAYS, cut))
        if not parts and (state.first is None or state.first >= cut):
            return
        bars = self._unite(state, old, target, new, condition, parts)
        self._keep_rest(state, old, cut, covered)
        yield RenamedSeries(old, new, bars, kept=state.rows - bars, joined=target is not None)

    def _cut(self, state: VersionState, key: SeriesKey) -> EpochSeconds:
        """Return when the new name begins.

        Some sources stamp daily bars at midnight UTC: a date means their midnight then, not New York's.
        """
        cut = self._request.cut
        if cut is None:
            return _ALWAYS
        day = date_of(cut, NEW_YORK)
        is_utc = state.first is not None and state.first % SECONDS_PER_DAY == 0
        if bar_seconds(key.timeframe) >= SECONDS_PER_DAY and is_utc and cut == midnight(day, NEW_YORK):
            return midnight(day, UTC)
        return cut

    def _unite(
        self,
        state: VersionState,
        old: SeriesKey,
        target: VersionState | None,
        new: SeriesKey,
        condition: str,
        covered: Sequence[Covered],
    ) -> int:
        """Add bars of a series to another one, and their coverage; return how many bars these are."""
        cursor = self._cursor
        layout = placed(state.layout, target)
        there = {name for name, _ in bar_columns(cursor)}
        places = zip(state.layout.physical(), layout.physical(), strict=True)
        values = ((f'"{stored}"' if stored in there else "NULL", here) for (stored, _), (here, _) in places)
        columns = "".join(f', {value} AS "{here}"' for value, here in values)
        of_series = f"version_id = {state.version_id} AND {condition}"
        relation = (
            f"(SELECT version_id AS place, ts, ingest_id, requested_at{columns} "
            f"FROM {{db}}.bar JOIN {REQUESTED} USING (ingest_id) WHERE {of_series})"
        )
        ((rows, first, last),) = cursor.rows(
            f"SELECT count(*), {epoch_sql('min(ts)')}, {epoch_sql('max(ts)')} FROM {{db}}.bar WHERE {of_series}"
        )
        version_id = state.version_id
        writes = {write.ingest_id: write for write in writes_of(cursor, [version_id], condition).get(version_id, ())}
        notes = notes_of(cursor, [version_id]).get(version_id, [])
        incoming = Incoming(relation, version_id, layout, rows, first, last, writes, notes)
        known = None if target is None else known_records(cursor, [target])[target.series_id]
        union = SeriesUnion(cursor, new, target, incoming, there, known)
        try:
            comparison = union.compare()
        except LayoutConflictError as error:
            raise UpkeepRefusedError(
                f"{old.label()} cannot become {new.label()}, which is in the store already: {error}. Delete one of "
                "them, or store it again with that column converted"
            ) from None
        if comparison.conflicts:
            raise UpkeepRefusedError(_conflict(old, new, comparison.conflicts, comparison.examples[0]))
        if not self._dry_run:
            union.write(comparison, self._numbers, "rename", _origin(old), covered)
        return int(rows)

    def _retire(self, state: VersionState, key: SeriesKey, target: VersionState) -> None:
        """End a series whose bars are all in another one. Its versions are kept for pins, as earlier ones of that."""
        if self._dry_run:
            return
        cursor, now = self._cursor, self._numbers.now
        cursor.execute(
            "UPDATE {db}.series_version SET series_id = ?, superseded_at = coalesce(superseded_at, ?) "
            "WHERE series_id = ?",
            [target.series_id, now, state.series_id],
        )
        cursor.execute("DELETE FROM {db}.coverage WHERE series_id = ?", [state.series_id])
        cursor.execute("DELETE FROM {db}.series WHERE series_id = ?", [state.series_id])
        delete_unused_assets(cursor)
        number = self._numbers.take()
        gone = replace(state, version_id=number, rows=0, first=None, last=None)
        result = WriteResult(key, None, removed=state.rows)
        record_ingests(cursor, [Ingest(number, "delete", result, gone, state.layout_id)], now)

    def _keep_rest(self, state: VersionState, key: SeriesKey, cut: EpochSeconds, covered: Sequence[Covered]) -> None:
        """Begin a new version of a series, with the bars and the coverage from the date on."""
        if self._dry_run:
            return
        cursor = self._cursor
        notes = notes_of(cursor, [state.version_id]).get(state.version_id, [])
        version_id = self._numbers.take()
        part = Cut(state.version_id, version_id, cut, key.timeframe)
        copy_since(cursor, [part])
        copy_checksums_since(cursor, [part])
        supersede(cursor, [(state, version_id)], self._numbers.now)
        (after,) = measured(cursor, [replace(state, version_id=version_id)])
        layout_id = layout_id_of(cursor, after.layout, version_id)
        result = WriteResult(key, None, removed=state.rows - after.rows)
        copies = [(self._numbers.take(), note) for note in notes]
        records = [Ingest(version_id, "rename", result, after, layout_id), *copies_of(copies, key, after, layout_id)]
        record_ingests(cursor, records, self._numbers.now)
        record_requests(cursor, copies)
        keep_outline(cursor, key, None, after, np.empty(0, np.int64))
        forget_coverage(cursor, [state.series_id], None)
        left = clipped(covered, TimeRange(cut, _ALWAYS))
        add_coverage(cursor, [(state.series_id, version_id, *piece) for piece in left])

    def _give_names(self) -> None:
        """Give series their new names, which are free. Each gets a new id, since processes know series by id."""
        if self._dry_run or not self._free:
            return
        numbers = [(self._numbers.take(), self._numbers.take()) for _ in self._free]
        named = list(zip(self._free, numbers, strict=True))
        assets = asset_ids(self._cursor, [(new.asset, new_id) for (_, new), (_, new_id) in named])
        rows = [
            (record.series_id, delete_id, new_id, assets[new.asset], self._numbers.now)
            for (record, new), (delete_id, new_id) in named
        ]
        self._cursor.register(_RENAMED, rows_of(_RENAMED_COLUMNS, rows))
        self._cursor.execute(sql_file("rename_series.sql"))
        self._cursor.unregister(_RENAMED)
        delete_unused_assets(self._cursor)


def _all_before(state: VersionState, covered: Sequence[Covered], cut: EpochSeconds) -> bool:
    return (state.last is None or state.last < cut) and all(piece.end <= cut for piece, _ in covered)


def _origin(old: SeriesKey) -> str:
    return json.dumps({"renamed_from": old.asset.label()})


def _named(request: Request) -> str:
    return " and ".join(dict.fromkeys(_text(old) for old in _olds(request)))


def _text(asset: AssetLike) -> str:
    return asset if isinstance(asset, str) else asset_query(asset).key.label()


def _conflict(old: SeriesKey, new: SeriesKey, count: int, first: DifferingBar) -> str:
    bars = "1 bar differs" if count == 1 else f"{count:,} bars differ"
    return (
        f"{old.label()} cannot become {new.asset.label()}, because {bars} from bars of {new.asset.label()} at the same "
        f"time. The first is at {moment_of(first.time):%Y-%m-%d %H:%M:%S} UTC: {first.column} is {first.incoming} for "
        f"{old.asset.label()} and {first.stored} for {new.asset.label()}. Rename only the bars before a date "
        "(from_date), or delete the wrong ones first"
    )
