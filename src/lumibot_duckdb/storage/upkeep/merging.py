"""Merges another store into this one: series with their coverage, splits and dividends, option chains, and labels.

The other store is read a part at a time into a temporary table, where its bars are compared with the stored ones; see
`series_union`. Each series is one transaction, small ones are one with others, so that other processes can write in
between, and an interrupted merge can be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey, CorporateAction, EpochSeconds, KnownActions, OnRows, SeriesKey
from lumibot_duckdb.storage.bars.batches import in_batches
from lumibot_duckdb.storage.bars.columns import bar_columns, single_array
from lumibot_duckdb.storage.bars.input_checks import InputBars, InputColumn
from lumibot_duckdb.storage.bars.layout import ColumnLayout, Layout, LayoutConflictError
from lumibot_duckdb.storage.bars.new_series import NewSeries, NewWrite, store_new_series
from lumibot_duckdb.storage.bars.newer_bars import last_restated
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.restatement import restate
from lumibot_duckdb.storage.bars.row_inserts import rows_of
from lumibot_duckdb.storage.bars.version_state import VersionState, head_after, version_state
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.errors import UpkeepRefusedError
from lumibot_duckdb.storage.partial_work import PartialWork, partial_work
from lumibot_duckdb.storage.reference.corporate_actions import known_actions, remember_actions
from lumibot_duckdb.storage.reference.labels import newer_labels, set_labels
from lumibot_duckdb.storage.reference.option_chains import keep_chain, newest_chain
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.times import Int64Array, aware_utc, moment_of
from lumibot_duckdb.storage.upkeep.other_store import (
    OtherChain,
    OtherRecords,
    OtherSeries,
    OtherStore,
    opened,
    same_file,
)
from lumibot_duckdb.storage.upkeep.series_union import (
    REQUESTED,
    Comparison,
    Incoming,
    IngestNumbers,
    SeriesUnion,
    compare_together,
    joined,
    known_records,
    placed,
    write_together,
)

_EXAMPLES = 10
_ARRIVED = "lumibot_duckdb_arrived"
_PART = "lumibot_duckdb_part"
_CREATED = "lumibot_duckdb_created"
_CREATED_COLUMNS = pa.schema([("created_at", pa.timestamp("us")), ("series_id", pa.int32())])
_REQUESTS = "lumibot_duckdb_requests"
_REQUEST_COLUMNS = pa.schema([("ingest_id", pa.int32()), ("requested_at", pa.timestamp("us"))])
_STALE = f"""
SELECT 1 FROM {{db}}.bar JOIN {REQUESTED} USING (ingest_id) WHERE version_id = ? AND requested_at <= ? LIMIT 1
"""
_FOLLOW_SPLITS = ("stock", "option")


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """A bar with other values in both stores: its start, the first column that differs, and the two stored values."""

    key: SeriesKey
    time: EpochSeconds
    column: str
    here: Any
    there: Any


@dataclass(slots=True)
class MergeReport:
    """What a merge did, or would do.

    Attributes:
        series: How many series the other store has.
        series_added: How many of them are new here.
        series_changed: How many others got bars, columns or coverage.
        bars_added: Bars at times at which this store had none.
        bars_changed: Bars that were replaced, because the other store requested them later, or that got values in
            columns which this store lacked.
        conflicts: How many bars have other values in both stores.
        examples: The first conflicts.
        left_out: Series of which one store's bars were left out, and why.
        actions: How many assets got other splits or dividends.
        option_chains: How many option chains were added or replaced.
        labels: How many labels were added or replaced.
        dry_run: Whether nothing was changed.
    """

    series: int = 0
    series_added: int = 0
    series_changed: int = 0
    bars_added: int = 0
    bars_changed: int = 0
    conflicts: int = 0
    examples: list[MergeConflict] = field(default_factory=list)
    left_out: list[tuple[SeriesKey, str]] = field(default_factory=list)
    actions: int = 0
    option_chains: int = 0
    labels: int = 0
    dry_run: bool = False


def merge(
    store: OpenStore, path: Path, refuse_conflicts: bool, *, dry_run: bool, on_rows: OnRows | None
) -> MergeReport:
    """Merge the store at `path`; see `Upkeep.merge`."""
    path = path.expanduser().resolve()
    if same_file(path, store.path):
        raise UpkeepRefusedError(f"{path} is this store itself: name another one")
    with partial_work("nothing was merged") as work, opened(path) as other:
        series = other.series()
        passes = 3 if refuse_conflicts and not dry_run else 2
        progress = _Counted(passes * sum(each.state.rows for each in series), on_rows)
        other.check(series, progress)
        store.merge_spooled()
        if refuse_conflicts:
            found = _Merge(store, other, series, progress, dry_run=True).run()
            if found.conflicts:
                raise UpkeepRefusedError(_refusal(path, found))
            if dry_run:
                return found
        with deferred():
            return _Merge(store, other, series, progress, dry_run=dry_run, work=work).run()


class _Counted:
    """Counts the bars that were read."""

    def __init__(self, total: int, on_rows: OnRows | None) -> None:
        self._done, self._total, self._on_rows = 0, total, on_rows

    def __call__(self, bars: int) -> None:
        self._done += bars
        if self._on_rows is not None:
            self._on_rows(min(self._done, self._total), self._total)


class _Merge:
    """One pass over the other store, which writes unless it is a dry run."""

    def __init__(
        self,
        store: OpenStore,
        other: OtherStore,
        series: list[OtherSeries],
        on_bars: Callable[[int], None],
        *,
        dry_run: bool,
        work: PartialWork | None = None,
    ) -> None:
        self._work = work or PartialWork()
        self._store = store
        self._other = other
        self._series = series
        self._on_bars = on_bars
        self._dry_run = dry_run
        self._report = MergeReport(series=len(series), dry_run=dry_run)
        self._actions = other.actions()
        self._labels = other.labels()
        self._note = json.dumps({"merged_from": other.path.name})

    def run(self) -> MergeReport:
        """Merge everything. Splits and dividends come last: until then they show which bars they have changed."""
        exists = self._store.refresh(upgrade=not self._dry_run)
        merged = 0
        for batch in in_batches(self._series, lambda each: each.state.rows):
            if not self._dry_run:
                with self._store.write() as cursor:
                    self._merge_batch(cursor, batch)
                merged += len(batch)
                self._work.outcome = f"merged {merged:,} of {len(self._series):,} series: merge again for the rest"
            elif exists:
                with self._store.read() as cursor:
                    self._merge_batch(cursor, batch)
            else:
                for each in batch:
                    self._count(each.key, None, Comparison(each.state.layout, added=each.state.rows))
                    self._on_bars(each.state.rows)
        chains = list(self._other.chains())
        if self._dry_run and not exists:
            self._report.actions = len({asset for asset, _, _ in self._actions})
            self._report.option_chains = len(chains)
            self._report.labels = sum(map(len, self._labels.values()))
        elif self._dry_run:
            with self._store.read() as cursor:
                self._merge_reference_data(cursor, chains)
        elif self._actions or chains or self._labels:
            with self._store.write() as cursor:
                self._merge_reference_data(cursor, chains)
        return self._report

    # -- series ----------------------------------------------------------------------------------------------

    def _merge_batch(self, cursor: StoreCursor, batch: Sequence[OtherSeries]) -> None:
        numbers = IngestNumbers(*self._store.next_ingest())
        states = {each.key: self._store.current_state(cursor, each.key) for each in batch}
        self._add_new(cursor, [each for each in batch if states[each.key] is None], numbers)
        self._unite(cursor, [(each, state) for each in batch if (state := states[each.key]) is not None], numbers)

    def _add_new(self, cursor: StoreCursor, series: Sequence[OtherSeries], numbers: IngestNumbers) -> None:
        """Store series that this store lacks, or count them."""
        if not series:
            return
        for each in series:
            self._count(each.key, None, Comparison(each.state.layout, added=each.state.rows))
        if self._dry_run:
            self._on_bars(sum(each.state.rows for each in series))
            return
        records = self._other.records(series)
        new = [self._as_new(each, records[each.key], tables) for each, tables in self._other.bars(series)]
        first_id = numbers.take(sum(len(each.writes) for each in new))
        store_new_series(cursor, new, first_id, numbers.now)

    def _as_new(self, series: OtherSeries, records: OtherRecords, tables: Iterable[pa.Table]) -> NewSeries:
        """Return a series to store, with the writes that it has in the other store after that of the merge itself."""
        writes = sorted([*records.writes, *records.notes], key=lambda write: write.ingest_id)
        recorded = [NewWrite("merge", self._note)]
        recorded += [NewWrite(each.kind, each.metadata, aware_utc(each.requested_at)) for each in writes]
        if records.restated is not None:  # for later merges
            recorded.append(NewWrite("renewal", None, aware_utc(records.restated)))
        ids = np.array([write.ingest_id for write in writes], np.int64)
        places = list(zip(series.state.layout.columns, placed(series.state.layout, None).columns, strict=True))
        empty = replace(series.state.layout, columns=tuple(replace(new, has_nulls=False) for _, new in places))

        def pieces() -> Iterator[tuple[InputBars, Int64Array]]:
            for table in tables:
                columns = tuple(_input_column(table, there, here) for there, here in places)
                times = single_array(table["ts"]).view(pa.int64()).to_numpy()
                numbers = np.searchsorted(ids, single_array(table["ingest_id"]).to_numpy()) + 1
                yield InputBars(times, series.state.layout.index_unit, columns), numbers
                self._on_bars(table.num_rows)

        return NewSeries(series.key, empty, recorded, pieces(), joined(records.covered), series.created_at)

    def _unite(
        self, cursor: StoreCursor, both: Sequence[tuple[OtherSeries, VersionState]], numbers: IngestNumbers
    ) -> None:
        """Merge series that both stores have: those with the same columns together."""
        if not both:
            return
        records = self._other.records([series for series, _ in both])
        restated_here = last_restated(cursor, [state.series_id for _, state in both])
        alike: dict[tuple[Layout, Layout | None], list[tuple[OtherSeries, VersionState | None]]] = {}
        for series, state in both:
            before: VersionState | None = state
            restated = records[series.key].restated
            stale = self._stale_side(cursor, state, series, restated_here.get(state.series_id), restated)
            if stale == "there":
                reason = "its history was restated in this store after it was requested"
                self._report.left_out.append((series.key, reason))
                self._on_bars(series.state.rows)
                continue
            if stale == "here":
                reason = "this store's bars are from before a restatement in the other one"
                self._report.left_out.append((series.key, reason))
                before = self._restated(cursor, state, numbers, restated)
            layouts = (series.state.layout, None if before is None else before.layout)
            alike.setdefault(layouts, []).append((series, before))
        for members in alike.values():
            self._unite_alike(cursor, members, records, numbers)

    def _unite_alike(
        self,
        cursor: StoreCursor,
        members: Sequence[tuple[OtherSeries, VersionState | None]],
        records: Mapping[SeriesKey, OtherRecords],
        numbers: IngestNumbers,
    ) -> None:
        """Merge series that all have the same columns in this store, and the same in the other one."""
        states = [before for _, before in members if before is not None]
        known = known_records(cursor, states)
        created = self._created(cursor, states)
        there = {name for name, _ in bar_columns(cursor)}
        layout = placed(members[0][0].state.layout, members[0][1])
        self._copy_incoming(cursor, [series for series, _ in members], records, layout)
        unions: list[tuple[OtherSeries, VersionState | None, SeriesUnion]] = []
        for series, before in members:
            state, of_series = series.state, records[series.key]
            writes = {write.ingest_id: write for write in of_series.writes}
            facts = (layout, state.rows, state.first, state.last, writes, of_series.notes)
            incoming = Incoming(f"temp.{_ARRIVED}", state.version_id, *facts)
            union = SeriesUnion(
                cursor,
                series.key,
                before,
                incoming,
                there,
                None if before is None else known[before.series_id],
                incoming_is_older=before is not None and _is_older(series, before, created[before.series_id]),
            )
            try:
                union.refuse_conflict()
            except LayoutConflictError as error:
                reason = f"its columns do not fit those of this store: {error}"
                self._report.left_out.append((series.key, reason))
            else:
                unions.append((series, before, union))
        room = _EXAMPLES - len(self._report.examples)
        comparisons = compare_together(cursor, [union for *_, union in unions], room)
        merged = [
            (union, comparison, records[series.key].covered)
            for (series, _, union), comparison in zip(unions, comparisons, strict=True)
        ]
        if self._dry_run:
            changed = [union.is_news(comparison, covered) for union, comparison, covered in merged]
        else:
            states_after = write_together(cursor, merged, numbers, "merge", self._note)
            changed = [after is not None for after in states_after]
            earlier = [
                (series.created_at, after.series_id)
                for (series, *_), after in zip(unions, states_after, strict=True)
                if after is not None and series.created_at < created[after.series_id]
            ]
            self._set_created(cursor, earlier)
        for (series, before, _), comparison, has_changed in zip(unions, comparisons, changed, strict=True):
            self._count(series.key, before, comparison, changed=has_changed)

    def _set_created(self, cursor: StoreCursor, created: Sequence[tuple[datetime, int]]) -> None:
        """Set when series were created: of both stores, the one that had it first counts."""
        cursor.register(_CREATED, rows_of(_CREATED_COLUMNS, created))
        cursor.execute(
            f"UPDATE {{db}}.series SET created_at = earlier.created_at FROM {_CREATED} AS earlier "
            "WHERE series.series_id = earlier.series_id"
        )
        cursor.unregister(_CREATED)

    def _created(self, cursor: StoreCursor, states: Sequence[VersionState]) -> dict[int, datetime]:
        """Return when series were created (naive UTC), by their ids."""
        which = is_one_of("series_id", [state.series_id for state in states])
        return dict(cursor.rows(f"SELECT series_id, created_at FROM {{db}}.series WHERE {which}"))

    def _count(
        self, key: SeriesKey, before: VersionState | None, comparison: Comparison, *, changed: bool = True
    ) -> None:
        report = self._report
        report.series_added += before is None
        report.series_changed += before is not None and changed
        report.bars_added += comparison.added
        report.bars_changed += comparison.won + comparison.completed
        report.conflicts += comparison.conflicts
        room = _EXAMPLES - len(report.examples)
        report.examples += [
            MergeConflict(key, each.time, each.column, each.stored, each.incoming)
            for each in comparison.examples[:room]
        ]

    def _stale_side(
        self,
        cursor: StoreCursor,
        before: VersionState,
        series: OtherSeries,
        restated_here: datetime | None,
        restated_there: datetime | None,
    ) -> str | None:
        """Return which store's bars are from before the other one restated the series, if any are."""
        if restated_here is not None and self._other.cursor.rows(_STALE, [series.state.version_id, restated_here]):
            return "there"
        if restated_there is not None and cursor.rows(_STALE, [before.version_id, restated_there]):
            return "here"
        return self._side_with_older_splits(cursor, series.key)

    def _side_with_older_splits(self, cursor: StoreCursor, key: SeriesKey) -> str | None:
        """Return which store has adjusted bars of a series from before a split that the other one knows."""
        if not key.adjustment or key.asset.asset_type not in _FOLLOW_SPLITS:
            return None
        stock = AssetKey(key.asset.symbol, exchange=key.asset.exchange)
        there = self._actions.get((stock, key.source, "split"))
        here = known_actions(cursor, stock, key.source, "split")
        if here is None or there is None or here.actions == there.actions:
            return None
        return "here" if _is_newer(there, here) else "there"

    def _restated(
        self, cursor: StoreCursor, before: VersionState, numbers: IngestNumbers, restated: datetime | None
    ) -> VersionState | None:
        """Begin a new version of a series without bars, as the other store did."""
        if self._dry_run:
            return None
        version_id = numbers.take()
        restate(cursor, [before.series_id], version_id, numbers.now)
        if restated is not None:
            cursor.execute("INSERT INTO {db}.ingest_request VALUES (?, ?)", [version_id, restated])
        found = head_after(cursor, version_id)
        return None if found is None else version_state(cursor, *found, {})

    def _copy_incoming(
        self,
        cursor: StoreCursor,
        series: Sequence[OtherSeries],
        records: Mapping[SeriesKey, OtherRecords],
        layout: Layout,
    ) -> None:
        """Copy the bars of series into a temporary table: those of a long one a part at a time."""
        columns = "".join(f', "{name}" {sql_type}' for name, sql_type in layout.physical())
        cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE {_ARRIVED} (place INTEGER, ts TIMESTAMP_S, ingest_id INTEGER, "
            f"requested_at TIMESTAMP{columns})"
        )
        places = zip(series[0].state.layout.physical(), layout.physical(), strict=True)
        values = "".join(f', "{there}" AS "{here}"' for (there, _), (here, _) in places)
        writes = {each.ingest_id: each.requested_at for one in series for each in records[one.key].writes}
        cursor.register(_REQUESTS, rows_of(_REQUEST_COLUMNS, list(writes.items())))
        for table in self._other.together(series):
            cursor.register(_PART, table)
            cursor.execute(
                f"INSERT INTO {_ARRIVED} SELECT version_id, ts, ingest_id, requested_at{values} "
                f"FROM {_PART} JOIN {_REQUESTS} USING (ingest_id) ORDER BY version_id, ts"
            )
            cursor.unregister(_PART)
            self._on_bars(table.num_rows)
        cursor.unregister(_REQUESTS)

    # -- reference data --------------------------------------------------------------------------------------

    def _merge_reference_data(self, cursor: StoreCursor, chains: list[OtherChain]) -> None:
        changed: set[AssetKey] = set()
        for (asset, source, kind), there in self._actions.items():
            here = known_actions(cursor, asset, source, kind)
            if here is not None and not _is_newer(there, here):
                continue
            if here is None or here.actions != there.actions:
                changed.add(asset)
            if not self._dry_run:
                remember_actions(cursor, asset, there.actions, source, kind, there.checked_at)
        self._report.actions = len(changed)
        for chain in chains:
            self._merge_chain(cursor, chain)
        labels = newer_labels(cursor, self._labels)
        self._report.labels = len(labels)
        if not self._dry_run:
            set_labels(cursor, labels)

    def _merge_chain(self, cursor: StoreCursor, chain: OtherChain) -> None:
        """Store an option chain, unless there is one for the same date that was listed later."""
        stored = newest_chain(cursor, chain.underlying, chain.source, chain.as_of, chain.as_of, chain.days_ahead)
        if stored is not None:
            parsed = stored.of(chain.underlying, chain.source, chain.days_ahead)
            here = (stored.listed_at, json.dumps(parsed.chain))
            if (chain.listed_at, json.dumps(chain.texts.chain())) <= here:
                return
        self._report.option_chains += 1
        if not self._dry_run:
            days = (chain.as_of, chain.days_ahead)
            keep_chain(cursor, chain.underlying, chain.texts, chain.source, *days, chain.listed_at)


def _is_newer(one: KnownActions, other: KnownActions) -> bool:
    """Return whether one list of actions was requested later; of two from the same time, which is greater."""
    return (one.checked_at, _comparable(one.actions)) > (other.checked_at, _comparable(other.actions))


def _comparable(actions: tuple[CorporateAction, ...]) -> list[str]:
    return [repr(action) for action in actions]


def _input_column(table: pa.Table, there: ColumnLayout, here: ColumnLayout) -> InputColumn:
    """Return a column of the other store as one to store: `there` and `here` are its layouts in the two stores."""
    values, bits = (None if place is None else single_array(table[place]) for place in (there.physical, there.bits))
    gaps = table.num_rows > 0 if values is None else values.null_count > 0
    return InputColumn(replace(here, has_nulls=gaps), values, bits)


def _is_older(series: OtherSeries, before: VersionState, created_at: datetime) -> bool:
    """Return whether the other store had a series first; its columns come first then."""
    here, there = (created_at, _names(before.layout)), (series.created_at, _names(series.state.layout))
    return there < here


def _names(layout: Layout) -> str:
    return json.dumps([(column.name, column.dtype, column.missing) for column in layout.columns])


def _refusal(path: Path, found: MergeReport) -> str:
    first = found.examples[0]
    bars = "1 bar has" if found.conflicts == 1 else f"{found.conflicts:,} bars have"
    return (
        f"{path} was not merged, because {bars} other values there. The first is that of {first.key.label()} at "
        f"{moment_of(first.time):%Y-%m-%d %H:%M:%S} UTC: {first.column} is {first.here} here and {first.there} there. "
        "Without --refuse-conflicts, the bar that was requested later is kept"
    )
