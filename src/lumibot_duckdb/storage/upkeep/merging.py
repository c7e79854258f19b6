"""Merges another store into this one: series with their coverage, splits and dividends, and option chains.

The other store is read a part at a time into a temporary table, where its bars are compared with the stored ones; see
`series_union`. Each series is one transaction, small ones are one with others, so that other processes can write in
between, and an interrupted merge can be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from lumibot_duckdb.storage.api import AssetKey, CorporateAction, EpochSeconds, KnownActions, OnRows, SeriesKey
from lumibot_duckdb.storage.bars.batches import in_batches
from lumibot_duckdb.storage.bars.layout import Layout, LayoutConflictError
from lumibot_duckdb.storage.bars.newer_bars import last_restated
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.restatement import restate
from lumibot_duckdb.storage.bars.version_state import VersionState, head_after, version_state
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.errors import UpkeepRefusedError
from lumibot_duckdb.storage.partial_work import PartialWork, partial_work
from lumibot_duckdb.storage.reference.corporate_actions import known_actions, remember_actions
from lumibot_duckdb.storage.reference.option_chains import keep_chain, newest_chain
from lumibot_duckdb.storage.times import moment_of, naive_utc
from lumibot_duckdb.storage.upkeep.other_store import OtherChain, OtherSeries, OtherStore, opened, parts_of, same_file
from lumibot_duckdb.storage.upkeep.series_union import (
    REQUESTED,
    Comparison,
    Incoming,
    IngestNumbers,
    SeriesUnion,
    adds_coverage,
    notes_of,
    placed,
    writes_of,
)

_EXAMPLES = 10
_ARRIVED = "lumibot_duckdb_arrived"
_PART = "lumibot_duckdb_part"
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
    dry_run: bool = False


def merge(
    store: OpenStore, path: Path, refuse_conflicts: bool, *, dry_run: bool, on_rows: OnRows | None
) -> MergeReport:
    """Merge the store at `path`; see `Upkeep.merge`."""
    path = path.expanduser().resolve()
    if same_file(path, store.path):
        raise UpkeepRefusedError(f"{path} is this store itself: name another one")
    with opened(path) as other:
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
        with partial_work("nothing was merged") as work, deferred():
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
        elif self._dry_run:
            with self._store.read() as cursor:
                self._merge_reference_data(cursor, chains)
        elif self._actions or chains:
            with self._store.write() as cursor:
                self._merge_reference_data(cursor, chains)
        return self._report

    # -- series ----------------------------------------------------------------------------------------------

    def _merge_batch(self, cursor: StoreCursor, batch: Sequence[OtherSeries]) -> None:
        numbers = IngestNumbers(*self._store.next_ingest())
        for series in batch:
            self._merge_series(cursor, series, numbers)

    def _merge_series(self, cursor: StoreCursor, series: OtherSeries, numbers: IngestNumbers) -> None:
        key, state = series.key, series.state
        before = self._store.current_state(cursor, key)
        restated = self._other.last_restated(series)
        if before is not None:
            stale = self._stale_side(cursor, before, series, restated)
            if stale == "there":
                self._report.left_out.append((key, "its history was restated in this store after it was requested"))
                self._on_bars(state.rows)
                return
            if stale == "here":
                self._report.left_out.append((key, "this store's bars are from before a restatement in the other one"))
                before = self._restated(cursor, before, numbers, restated)
        incoming = self._incoming(cursor, series, before)
        union = SeriesUnion(cursor, key, before, incoming, incoming_is_older=self._is_older(cursor, before, series))
        try:
            comparison = union.compare()
        except LayoutConflictError as error:
            self._report.left_out.append((key, f"its columns do not fit those of this store: {error}"))
            return
        covered = self._other.covered(series)
        if self._dry_run:
            changed = comparison.added or comparison.changes_bars
            adds = before is not None and adds_coverage(cursor, before.series_id, covered)
            self._count(key, before, comparison, changed=bool(changed or adds))
            return
        note = json.dumps({"merged_from": self._other.path.name})
        after = union.write(comparison, numbers, "merge", note, covered)
        if before is None and restated is not None and after is not None:
            self._record_restatement(cursor, after, numbers, restated)
        if after is not None:
            cursor.execute(
                "UPDATE {db}.series SET created_at = least(created_at, ?) WHERE series_id = ?",
                [series.created_at, after.series_id],
            )
        self._count(key, before, comparison, changed=after is not None)

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
        self, cursor: StoreCursor, before: VersionState, series: OtherSeries, restated_there: datetime | None
    ) -> str | None:
        """Return which store's bars are from before the other one restated the series, if any are."""
        restated_here = last_restated(cursor, before.series_id)
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

    def _record_restatement(
        self, cursor: StoreCursor, after: VersionState, numbers: IngestNumbers, restated: datetime
    ) -> None:
        """Remember when the other store restated a series that is new here, for later merges."""
        cursor.execute(
            "INSERT INTO {db}.ingest SELECT * REPLACE (CAST(? AS INTEGER) AS ingest_id, 'renewal' AS kind, "
            "0 AS rows_added, 0 AS rows_changed, NULL AS metadata) FROM {db}.ingest "
            "WHERE version_id = ? ORDER BY ingest_id DESC LIMIT 1",
            [number := numbers.take(), after.version_id],
        )
        cursor.execute("INSERT INTO {db}.ingest_request VALUES (?, ?)", [number, restated])

    def _is_older(self, cursor: StoreCursor, before: VersionState | None, series: OtherSeries) -> bool:
        """Return whether the other store had the series first; its columns come first then."""
        if before is None:
            return False
        ((created_at,),) = cursor.rows("SELECT created_at FROM {db}.series WHERE series_id = ?", [before.series_id])
        here, there = (created_at, _names(before.layout)), (series.created_at, _names(series.state.layout))
        return bool(there < here)

    def _incoming(self, cursor: StoreCursor, series: OtherSeries, before: VersionState | None) -> Incoming:
        """Copy the bars of a series into a temporary table, a part at a time."""
        state = series.state
        layout = placed(state.layout, before)
        columns = "".join(f', "{name}" {sql_type}' for name, sql_type in layout.physical())
        cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE {_ARRIVED} (ts TIMESTAMP_S, ingest_id INTEGER, requested_at TIMESTAMP"
            f"{columns})"
        )
        places = zip(state.layout.physical(), layout.physical(), strict=True)
        values = "".join(f', "{there}" AS "{here}"' for (there, _), (here, _) in places)
        for part in parts_of(series):
            rows = self._other.cursor.arrow(
                f"SELECT ts, ingest_id, requested_at{values} FROM {{db}}.bar JOIN {REQUESTED} USING (ingest_id) "
                f"WHERE {part} ORDER BY ts"
            )
            cursor.register(_PART, rows)
            cursor.execute(f"INSERT INTO {_ARRIVED} FROM {_PART}")
            cursor.unregister(_PART)
            self._on_bars(rows.num_rows)
        there = self._other.cursor
        writes, notes = writes_of(there, state.version_id), notes_of(there, state.version_id)
        return Incoming(f"temp.{_ARRIVED}", layout, state.rows, state.first, state.last, writes, notes)

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

    def _merge_chain(self, cursor: StoreCursor, chain: OtherChain) -> None:
        """Store an option chain, unless there is one for the same date that was listed later."""
        stored = newest_chain(cursor, chain.underlying, chain.source, chain.as_of, chain.as_of, chain.days_ahead)
        if stored is not None:
            here = (naive_utc(stored.listed_at), json.dumps(stored.chain))
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
