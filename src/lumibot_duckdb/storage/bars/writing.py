"""One write to a series: adds bars to its current version, or writes a new version if stored bars change.

Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from lumibot_duckdb.storage.api import OnRows, SeriesKey, TimeRange, WriteResult
from lumibot_duckdb.storage.bars.bar_rows import (
    copy_sound_bars,
    copy_version,
    copy_with_changes,
    ensure_columns,
    insert_bars,
)
from lumibot_duckdb.storage.bars.checksums import (
    add_checksums,
    copy_checksums,
    store_checksums,
    sums_of_write,
)
from lumibot_duckdb.storage.bars.coverage import Covered, missing, not_covered_yet
from lumibot_duckdb.storage.bars.coverage_records import (
    add_coverage,
    coverage_rows,
    coverage_to_add,
    forget_coverage,
    restore_coverage,
    stored_coverage,
)
from lumibot_duckdb.storage.bars.difference import Difference, difference
from lumibot_duckdb.storage.bars.layout import (
    Layout,
    LayoutConflictError,
    combined,
    in_order_of,
    same_frame,
    with_room_for,
)
from lumibot_duckdb.storage.bars.new_series import NewSeries, NewWrite
from lumibot_duckdb.storage.bars.newer_bars import record_request, requested_earlier, was_restated_since, without_newer
from lumibot_duckdb.storage.bars.outline_upkeep import keep_outline, outline_version
from lumibot_duckdb.storage.bars.series_records import (
    Ingest,
    create_series,
    delete_versions,
    layout_id_of,
    new_version,
    record_ingests,
    supersede,
)
from lumibot_duckdb.storage.bars.snapshots import kept_versions
from lumibot_duckdb.storage.bars.version_state import VersionState, measured
from lumibot_duckdb.storage.bars.write_request import BarsWrite, metadata_text
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import HistoryRestatedError, InvalidBarsError
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import Int64Array, aware_utc

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.input_checks import InputBars


# What an index in nanoseconds can hold, in epoch seconds.
_FIRST_NS = -(2**63) // 10**9 + 1
_LAST_NS = 2**63 // 10**9 - 1


_LAST_METADATA = """
SELECT metadata FROM {db}.ingest
WHERE series_id = ? AND version_id = ? AND kind = 'coverage'
ORDER BY ingest_id DESC LIMIT 1
"""


def first_write(cursor: StoreCursor, given: BarsWrite, now: datetime) -> NewSeries:
    """Return the series that a write begins: a write of some bars that covers no more than these."""
    bars, stored_at = given.bars, aware_utc(now)
    covered = TimeRange(int(bars.times[0]), int(bars.times[-1]) + bar_seconds(given.key.timeframe))
    coverage = coverage_to_add(
        *(cursor, None, [covered], [], given.key.timeframe),
        asked_at=min(given.asked_at, stored_at),
        now=stored_at,
        starts=bars.times,
    )
    write = NewWrite("bars", metadata_text(given.key, given.metadata), requested_earlier(given, now))
    pieces = [(bars, np.zeros(len(bars), np.int64))]
    return NewSeries(given.key, bars.layout, [write], pieces, coverage)


class Write:
    """One write to one series, whose state is `before` (None: there is no such series). Use it once.

    `ingest_id` and `now` (naive UTC) are those of the write; both are above those of all earlier writes. `on_rows`
    receives how many of the bars are inserted.
    """

    def __init__(
        self,
        cursor: StoreCursor,
        key: SeriesKey,
        before: VersionState | None,
        ingest_id: int,
        now: datetime,
        on_rows: OnRows | None = None,
    ) -> None:
        self._cursor = cursor
        self._key = key
        self._before = before
        self._ingest_id = ingest_id
        self._now = now
        self._on_rows = on_rows

    # -- the kinds of write ----------------------------------------------------------------------------------

    def bars(self, given: BarsWrite) -> WriteResult:
        """Store bars and what they cover. Raises `HistoryRestatedError` if they are meant for another version."""
        if given.onto is not None:
            self._refuse_unless_onto(given.onto)
        if given.yields:
            self._refuse_if_restated_since(given.asked_at)
        bars, covered = given.bars, given.covered
        metadata = metadata_text(self._key, given.metadata)
        if len(bars) and covered is None:
            covered = TimeRange(int(bars.times[0]), int(bars.times[-1]) + bar_seconds(self._key.timeframe))
        before = self._before
        if before is not None and before.rows:
            result, after = self._into_existing(before, given, covered if given.replace else None)
        else:
            result, after = self._first(before, bars)
        asked = [piece for piece in (covered, *given.also_covered) if piece is not None]
        provisional = given.provisional
        if provisional is None:
            provisional = () if len(bars) else tuple(asked)
        proven = [part for piece in asked for part in missing(piece, provisional)]
        fresh = self._coverage_to_add(proven, provisional, given.asked_at, given.closed_at, bars.times)
        if after is None and not fresh and not self._is_news(bars, metadata):
            return replace(result, version_id=before.version_id if before is not None else None)
        kind = "coverage" if after is None else "bars"
        after = after or before or self._created(bars.layout)
        self._record(kind, result, after, metadata)
        record_request(self._cursor, self._ingest_id, given, self._now)
        add_coverage(self._cursor, [(after.series_id, self._ingest_id, *covered) for covered in fresh])
        return replace(result, ingest_id=self._ingest_id, version_id=after.version_id)

    def empty_answer(self, covered: TimeRange) -> None:
        """Record that a range was requested and that the source had nothing."""
        fresh = self._coverage_to_add([], [covered], aware_utc(self._now))
        if not fresh:
            return
        self._cover(fresh)

    def covering(self, ranges: Sequence[Covered]) -> None:
        """Record ranges that are covered in another store, as long as they are there."""
        before = self._before
        known = (
            [] if before is None else stored_coverage(self._cursor, None, [before.series_id]).get(before.series_id, [])
        )
        fresh = not_covered_yet(known, ranges)
        if fresh:
            self._cover(fresh)

    def is_onto(self, version_id: int, *, last_write: int | None = None) -> bool:
        """Return whether a version is the current one, and `last_write` (None: any) the last write to the series."""
        before = self._before
        return before is not None and before.version_id == version_id and last_write in (None, before.ingest_id)

    def repair(
        self, dropped: Int64Array, forgotten: Sequence[TimeRange], what: Sequence[str], *, lacks_bars: bool
    ) -> tuple[int, int]:
        """Begin a version with each bar once, without those at the `dropped` times.

        The coverage of the `forgotten` ranges is removed, and what is derived from the bars is computed again. If the
        current version `lacks_bars`, it is deleted, unless a snapshot needs it: pins of it must not show fewer bars.
        Returns the id of this write, and how many bars fewer there are than recorded.
        """
        before, version = self._before, self._ingest_id
        assert before is not None
        note = {
            "repaired_version": before.version_id,
            "repairs": list(what),
            "coverage": coverage_rows(self._cursor, before.series_id),
            "lacks_bars": lacks_bars,
        }
        copy_sound_bars(
            self._cursor, old_version=before.version_id, new_version=version, ingest_id=version, dropped=dropped
        )
        supersede(self._cursor, [(before, version)], self._now)
        (after,) = measured(self._cursor, [replace(before, version_id=version)])
        store_checksums(self._cursor, version, self._key.timeframe)
        outline_version(self._cursor, self._key, after)
        for piece in forgotten:
            forget_coverage(self._cursor, [before.series_id], piece)
        if lacks_bars and before.version_id not in kept_versions(self._cursor, [before.series_id]):
            delete_versions(self._cursor, [before.version_id])
        removed = max(0, before.rows - after.rows)
        result = WriteResult(self._key, None, removed=removed)
        self._record("repair", result, after, metadata_text(self._key, note))
        return version, removed

    def record_coverage(self, what: Sequence[str]) -> int | None:
        """Record the coverage, which a repair is about to change; return the id of this write."""
        before = self._before
        if before is None:
            return None
        # Empty ranges mean nothing, and are not put back.
        rows = [row for row in coverage_rows(self._cursor, before.series_id) if row[1] < row[2]]  # type: ignore[operator]
        note = {"repairs": list(what), "coverage": rows}
        self._record("repair", WriteResult(self._key, None), before, metadata_text(self._key, note))
        return self._ingest_id

    def undo_repair_of_coverage(self, repair_id: int, coverage: Sequence[list[Any]]) -> None:
        """Put back the coverage from before a repair."""
        before = self._before
        assert before is not None
        restore_coverage(self._cursor, before.series_id, coverage)
        self._record("repair", WriteResult(self._key, None), before, metadata_text(self._key, {"undone": repair_id}))

    def undo_repair(self, repaired: VersionState, repair_id: int, coverage: Sequence[list[Any]]) -> None:
        """Begin a version with the bars of the one that a repair superseded, damaged ones included, and its coverage.

        The earlier version itself stays superseded: the ids of the versions of a series are in their order in time.
        """
        before, version = self._before, self._ingest_id
        assert before is not None
        copy_version(self._cursor, repaired.version_id, version)
        copy_checksums(self._cursor, repaired.version_id, version, np.empty(0, np.int64), self._key.timeframe)
        supersede(self._cursor, [(before, version)], self._now)
        restore_coverage(self._cursor, before.series_id, coverage)
        result = WriteResult(self._key, None, added=max(0, repaired.rows - before.rows))
        after = replace(repaired, version_id=version)
        self._record("repair", result, after, metadata_text(self._key, {"undone": repair_id}))

    def drop_superseded(self, version_id: int, what: Sequence[str]) -> None:
        """Delete a damaged version that is not the current one, or record that it is damaged if a snapshot needs it."""
        before = self._before
        assert before is not None
        if version_id not in kept_versions(self._cursor, [before.series_id]):
            delete_versions(self._cursor, [version_id])
            return
        note = {"repaired_version": version_id, "repairs": list(what)}
        self._record("repair", WriteResult(self._key, None), before, metadata_text(self._key, note))

    # -- bars ------------------------------------------------------------------------------------------------

    def _refuse_unless_onto(self, version_id: int) -> None:
        if self._before is None or self._before.version_id != version_id:
            raise HistoryRestatedError(
                f"the history of {self._key.label()} has been restated meanwhile (a split, a correction or a "
                f"deletion). The new bars continue its version {version_id} and do not fit the current one, so none "
                "was stored. Run the backtest again"
            )

    def _refuse_if_restated_since(self, asked_at: datetime) -> None:
        if self._before is not None and was_restated_since(self._cursor, self._before.series_id, asked_at):
            raise HistoryRestatedError(
                f"the history of {self._key.label()} has been restated since these bars were requested, so none was "
                "stored"
            )

    def _first(self, before: VersionState | None, bars: InputBars) -> tuple[WriteResult, VersionState | None]:
        """Store the first bars of a series."""
        if not len(bars):
            return WriteResult(self._key, None), None
        start = before or self._created(bars.layout)
        self._insert(bars, start.version_id)
        after = replace(start, layout=bars.layout, rows=len(bars), **_facts_of(bars.times))
        keep_outline(self._cursor, self._key, None, after, bars.times)
        return WriteResult(self._key, None, added=len(bars)), after

    def _into_existing(
        self, before: VersionState, given: BarsWrite, replaced: TimeRange | None
    ) -> tuple[WriteResult, VersionState | None]:
        """Store bars into a series that has some; with `replaced`, stored bars in that range that are missing go."""
        if not len(given.bars) and replaced is None:
            return WriteResult(self._key, None), None
        bars = given.bars.laid_out_like(before.layout)
        differs = difference(self._cursor, before, bars, replaced)
        if given.yields:
            bars, differs = without_newer(self._cursor, before, bars, differs, given.asked_at)
        added, changed = int(differs.added.sum()), int(differs.changed.sum())
        result = WriteResult(
            self._key,
            None,
            added=added,
            changed=changed,
            removed=len(differs.removed),
            unchanged=len(bars) - added - changed,
            new_version=differs.rewrites,
        )
        layout = self._layout_after(before, bars, differs, whole_rows=replaced is not None)
        if differs.rewrites:
            return result, self._rewritten(before, bars, differs, layout, whole_rows=replaced is not None)
        if added:
            return result, self._extended(before, bars.rows(differs.added), layout)
        other_columns = not same_frame(layout, before.layout)
        return result, replace(before, layout=layout) if other_columns else None

    def _layout_after(self, before: VersionState, bars: InputBars, differs: Difference, *, whole_rows: bool) -> Layout:
        """Return the layout that the series needs afterwards."""
        if not len(bars):
            return before.layout
        kept_rows = before.rows - len(differs.removed) - int((~differs.added).sum())
        lost_columns = {c.name for c in before.layout.columns} - {c.name for c in bars.layout.columns}
        if kept_rows == 0 and (whole_rows or not lost_columns):
            return in_order_of(bars.layout, before.layout)
        if not differs.added.any() and not differs.rewrites:
            return before.layout
        try:
            new_rows = whole_rows or bool(differs.added.any())
            layout = combined(before.layout, bars.layout, new_rows=new_rows)
        except LayoutConflictError as error:
            raise InvalidBarsError(
                f"{self._key.label()}: {error}; first row: {np.datetime64(int(bars.times[0]), 's')} UTC. Convert the "
                "column, or delete the series and store it again"
            ) from None
        return with_room_for(layout, (before.first, before.last, int(bars.times[0]), int(bars.times[-1])))

    def _extended(self, before: VersionState, news: InputBars, layout: Layout) -> VersionState:
        """Add bars to the current version."""
        ensure_columns(self._cursor, layout)
        self._insert(news, before.version_id)
        facts = _facts_of(news.times)
        after = replace(
            before,
            layout=layout,
            rows=before.rows + len(news),
            first=facts["first"] if before.first is None else min(before.first, facts["first"]),
            last=facts["last"] if before.last is None else max(before.last, facts["last"]),
            on_minute=before.on_minute and facts["on_minute"],
        )
        keep_outline(self._cursor, self._key, before, after, news.times)
        return after

    def _insert(self, bars: InputBars, version_id: int) -> None:
        insert_bars(self._cursor, bars, version_id, self._ingest_id, self._on_rows)
        add_checksums(self._cursor, {version_id: sums_of_write(bars, self._ingest_id, self._key.timeframe)})

    def _rewritten(
        self, before: VersionState, bars: InputBars, differs: Difference, layout: Layout, *, whole_rows: bool
    ) -> VersionState:
        """Write a new version, complete with the bars that stay, and make it the current one."""
        version = self._ingest_id
        news = bars.rows(differs.added | differs.changed)
        copy_with_changes(
            self._cursor,
            old_version=before.version_id,
            new_version=version,
            ingest_id=self._ingest_id,
            layout=layout,
            news=news,
            touched=np.concatenate([bars.times[differs.changed], differs.removed]),
            whole_rows=whole_rows,
        )
        touched = np.union1d(news.times, differs.removed)
        copy_checksums(self._cursor, before.version_id, version, touched, self._key.timeframe)
        supersede(self._cursor, [(before, version)], self._now)
        (after,) = measured(self._cursor, [replace(before, version_id=version, layout=layout)])
        keep_outline(self._cursor, self._key, None, after, bars.times)
        return after

    def _cover(self, fresh: Sequence[Covered]) -> None:
        """Record covered ranges alone."""
        after = self._before or self._created(Layout("ns"))
        self._record("coverage", WriteResult(self._key, None), after, None)
        add_coverage(self._cursor, [(after.series_id, self._ingest_id, *covered) for covered in fresh])

    # -- records ---------------------------------------------------------------------------------------------

    def _created(self, layout: Layout) -> VersionState:
        create_series(self._cursor, [(self._key, self._ingest_id, self._now)], self._now)
        return new_version(self._ingest_id, layout)

    def _record(self, kind: str, result: WriteResult, after: VersionState, metadata: str | None) -> None:
        layout_id = self._layout_id(after.layout)
        record_ingests(self._cursor, [Ingest(self._ingest_id, kind, result, after, layout_id, metadata)], self._now)

    def _is_news(self, bars: InputBars, metadata: str | None) -> bool:
        """Return whether a response without bars came with other metadata than the last such response."""
        if len(bars) or metadata is None or self._before is None:
            return False
        last = self._cursor.rows(_LAST_METADATA, [self._before.series_id, self._before.version_id])
        return last != [(metadata,)]

    def _layout_id(self, layout: Layout) -> int:
        if self._before is not None and layout == self._before.layout:
            return self._before.layout_id
        ensure_columns(self._cursor, layout)  # those without a value, too: reads name all columns
        return layout_id_of(self._cursor, layout, self._ingest_id)

    def _coverage_to_add(
        self,
        proven: Sequence[TimeRange],
        provisional: Sequence[TimeRange],
        asked_at: datetime,
        closed_at: datetime | None = None,
        starts: Int64Array | None = None,
    ) -> list[Covered]:
        series = None if self._before is None else self._before.series_id
        now = aware_utc(self._now)
        return coverage_to_add(
            *(self._cursor, series, proven, provisional, self._key.timeframe),
            asked_at=min(asked_at, now),
            now=now,
            closed_at=min(closed_at or asked_at, now),
            starts=starts,
        )


def _facts_of(times: Int64Array) -> dict[str, Any]:
    return {"first": int(times[0]), "last": int(times[-1]), "on_minute": bool((times % 60 == 0).all())}
