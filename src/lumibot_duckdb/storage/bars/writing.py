"""One write of bars: compares with what is stored, then adds to the current version or writes a new one.

Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lumibot_duckdb.storage.api import SeriesKey, TimeRange, WriteResult
from lumibot_duckdb.storage.bars import coverage as ranges
from lumibot_duckdb.storage.bars.columns import bar_columns, stored_rows
from lumibot_duckdb.storage.bars.input_checks import InputBars, InputColumn
from lumibot_duckdb.storage.bars.layout import (
    ALWAYS_THERE,
    ColumnLayout,
    Layout,
    LayoutConflictError,
    combined,
    in_order_of,
    same_frame,
)
from lumibot_duckdb.storage.bars.output import in_time_order
from lumibot_duckdb.storage.connection.store_connection import StoreCursor
from lumibot_duckdb.storage.errors import HistoryRestatedError, InvalidBarsError
from lumibot_duckdb.storage.identity import published_name
from lumibot_duckdb.storage.sql_times import epoch_seconds, timestamp_literal
from lumibot_duckdb.storage.timeframes import bar_seconds

# As many rows as DuckDB keeps in a row group, so that it can work on several at a time.
_BATCH_ROWS = 122_880
_INCOMING = "lumibot_duckdb_incoming"
_TOUCHED = "lumibot_duckdb_touched"

Times = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class BarsWrite:
    """What is to be written: the arguments of `store_ohlcv_data`, checked. `asked_at` (UTC) is when it was called."""

    key: SeriesKey
    bars: InputBars
    covered: TimeRange | None
    replace: bool
    metadata: Mapping[str, Any] | None
    onto: int | None
    asked_at: datetime
    also_covered: tuple[TimeRange, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionState:
    """A version of a series after an ingest."""

    series_id: int
    version_id: int
    ingest_id: int
    layout_id: int
    layout: Layout
    rows: int
    first: int | None
    last: int | None
    on_minute: bool


@dataclass(frozen=True, slots=True)
class _Difference:
    """How bars that came in differ from those stored. Masks run over the incoming bars."""

    added: Mask
    changed: Mask
    removed: Times

    @property
    def rewrites(self) -> bool:
        """Whether stored bars change or go."""
        return bool(self.changed.any()) or len(self.removed) > 0


_STATE = f"""
SELECT series_id, version_id, ingest_id, layout_id, layout.definition, version_rows,
    {epoch_seconds("version_first")}, {epoch_seconds("version_last")}, on_minute
FROM {{db}}.ingest JOIN {{db}}.layout USING (layout_id)
WHERE ingest_id = ?
"""


def version_state(cursor: StoreCursor, ingest_id: int) -> VersionState | None:
    """Return the state that an ingest left behind; None if there is no such ingest."""
    found = cursor.rows(_STATE, [ingest_id])
    if not found:
        return None
    series_id, version_id, ingest_id, layout_id, definition, *facts = found[0]
    return VersionState(series_id, version_id, ingest_id, layout_id, Layout.from_json(definition), *facts)


class Write:
    """One write to one series, which is as `before` says (None: not there). Use it once.

    `ingest_id` and `now` (UTC, naive) are those of the write; both are above those of all earlier writes.
    """

    def __init__(
        self, cursor: StoreCursor, key: SeriesKey, before: VersionState | None, ingest_id: int, now: datetime
    ) -> None:
        self._cursor = cursor
        self._key = key
        self._before = before
        self._ingest_id = ingest_id
        self._now = now

    def _refuse_unless_onto(self, version_id: int) -> None:
        if self._before is None or self._before.version_id != version_id:
            raise HistoryRestatedError(
                f"the history of {self._key.label()} was restated meanwhile (a split, a correction, a deletion): bars "
                f"meant for its version {version_id} do not go with what is there now, and none was stored. Run the "
                "backtest again"
            )

    # -- the kinds of write ----------------------------------------------------------------------------------

    def bars(self, given: BarsWrite) -> WriteResult:
        """Store bars and what they cover. Raises `HistoryRestatedError` if they are meant for another version."""
        if given.onto is not None:
            self._refuse_unless_onto(given.onto)
        bars, covered = given.bars, given.covered
        text = metadata_text(self._key, given.metadata)
        if len(bars) and covered is None:
            covered = TimeRange(int(bars.times[0]), int(bars.times[-1]) + bar_seconds(self._key.timeframe))
        before = self._before
        if before is not None and before.rows:
            result, after = self._onto(before, bars, covered if given.replace else None)
        else:
            result, after = self._first(before, bars)
        asked = [piece for piece in (covered, *given.also_covered) if piece is not None]
        fresh = self._coverage_to_add(asked, given.asked_at, empty=len(bars) == 0)
        if after is None and not fresh:
            return replace(result, version_id=before.version_id if before is not None else None)
        kind = "coverage" if after is None else "bars"
        after = after or before or self._nothing_yet(bars.layout)
        self._record(kind, result, after, text)
        for piece in fresh:
            self._add_coverage(after.series_id, *piece)
        return replace(result, ingest_id=self._ingest_id, version_id=after.version_id)

    def empty_answer(self, covered: TimeRange) -> None:
        """Remember that a range was asked for and that there was nothing."""
        fresh = self._coverage_to_add([covered], self._now.replace(tzinfo=timezone.utc), empty=True)
        for piece in fresh:
            after = self._before or self._nothing_yet(Layout("ns"))
            self._record("coverage", WriteResult(self._key, None), after, None)
            self._add_coverage(after.series_id, *piece)

    def delete(self) -> int:
        """Delete the series with all its versions; return how many bars its current version had."""
        before = self._before
        if before is None:
            return 0
        series = [before.series_id]
        versions = "SELECT version_id FROM {db}.series_version WHERE series_id = ?"
        self._cursor.execute("DELETE FROM {db}.bar WHERE version_id IN (" + versions + ")", series)
        self._cursor.execute("DELETE FROM {db}.series_version WHERE series_id = ?", series)
        self._cursor.execute("DELETE FROM {db}.coverage WHERE series_id = ?", series)
        self._cursor.execute("DELETE FROM {db}.series WHERE series_id = ?", series)
        self._cursor.execute("DELETE FROM {db}.asset WHERE asset_id NOT IN (SELECT asset_id FROM {db}.series)")
        gone = replace(before, rows=0, first=None, last=None)
        self._record("delete", WriteResult(self._key, None, removed=before.rows), gone, None)
        return before.rows

    # -- bars ------------------------------------------------------------------------------------------------

    def _first(self, before: VersionState | None, bars: InputBars) -> tuple[WriteResult, VersionState | None]:
        """Store the first bars of a series."""
        if not len(bars):
            return WriteResult(self._key, None), None
        start = before or self._nothing_yet(bars.layout)
        self._insert(start.version_id, bars)
        after = replace(start, layout=bars.layout, rows=len(bars), **_facts_of(bars.times))
        return WriteResult(self._key, None, added=len(bars)), after

    def _onto(
        self, before: VersionState, bars: InputBars, replaced: TimeRange | None
    ) -> tuple[WriteResult, VersionState | None]:
        """Store bars into a series that has some; with `replaced`, stored bars in that range that are missing go."""
        if not len(bars) and replaced is None:
            return WriteResult(self._key, None), None
        bars = bars.laid_out_like(before.layout)
        difference = self._difference(before, bars, replaced)
        added, changed = int(difference.added.sum()), int(difference.changed.sum())
        result = WriteResult(
            self._key,
            None,
            added=added,
            changed=changed,
            removed=len(difference.removed),
            unchanged=len(bars) - added - changed,
            new_version=difference.rewrites,
        )
        layout = self._layout_after(before, bars, difference, whole_rows=replaced is not None)
        if not added and not difference.rewrites:
            renewed = not same_frame(layout, before.layout)
            return result, replace(before, layout=layout) if renewed else None
        if difference.rewrites:
            return result, self._rewrite(before, bars, difference, layout, whole_rows=replaced is not None)
        news = _rows_of(bars, difference.added)
        self._ensure_columns(layout)
        self._insert(before.version_id, news)
        facts = _facts_of(news.times)
        after = replace(
            before,
            layout=layout,
            rows=before.rows + added,
            first=min(int(before.first or 0), facts["first"]) if before.first is not None else facts["first"],
            last=max(int(before.last or 0), facts["last"]) if before.last is not None else facts["last"],
            on_minute=before.on_minute and facts["on_minute"],
        )
        return result, after

    def _difference(self, before: VersionState, bars: InputBars, replaced: TimeRange | None) -> _Difference:
        """Compare with the stored bars of the same stretch of time."""
        bounds = [int(t) for t in bars.times[[0, -1]]] if len(bars) else []
        if replaced is not None and replaced.start < replaced.end:
            bounds += [replaced.start, replaced.end - 1]
        if (
            not bounds
            or before.first is None
            or before.last is None
            or not (min(bounds) <= before.last and max(bounds) >= before.first)
        ):
            return _Difference(np.ones(len(bars), bool), np.zeros(len(bars), bool), np.empty(0, np.int64))
        columns = before.layout.columns
        condition = (
            f"version_id = {before.version_id} AND ts >= {timestamp_literal(min(bounds))} "
            f"AND ts <= {timestamp_literal(max(bounds))}"
        )
        stored, times = in_time_order(stored_rows(self._cursor, columns, condition))
        at = np.minimum(np.searchsorted(times, bars.times), max(len(times) - 1, 0))
        known = times[at] == bars.times if len(times) else np.zeros(len(bars), bool)
        changed = known.copy()
        if known.any():
            old = stored.take(pa.array(at[known]))
            changed[known] = self._differing(old, before.layout, bars, known, whole_rows=replaced is not None)
        removed = np.empty(0, np.int64)
        if replaced is not None:
            inside = times[(times >= replaced.start) & (times < replaced.end)]
            removed = inside[~np.isin(inside, bars.times, assume_unique=True)]
        return _Difference(~known, changed, removed)

    def _differing(self, old: pa.Table, layout: Layout, bars: InputBars, known: Mask, *, whole_rows: bool) -> Mask:
        """Tell which stored rows differ from the incoming ones (`known` picks those) in a column that came in.

        A column that did not come in stays as it is, except that with `whole_rows` it is to be empty.
        """
        differs = np.zeros(old.num_rows, bool)
        incoming = {column.layout.name: column for column in bars.columns}
        pick = pa.array(known)
        for name in {column.name for column in layout.columns} | set(incoming):
            there, here = layout.column(name), incoming.get(name)
            if here is None and not whole_rows:
                continue
            differs |= ~_same_values(old, there, here, pick)
        return differs

    def _layout_after(
        self, before: VersionState, bars: InputBars, difference: _Difference, *, whole_rows: bool
    ) -> Layout:
        """Return the layout that the series needs afterwards."""
        if not len(bars):
            return before.layout
        kept_rows = before.rows - len(difference.removed) - int((~difference.added).sum())
        lost_columns = {c.name for c in before.layout.columns} - {c.name for c in bars.layout.columns}
        if kept_rows == 0 and (whole_rows or not lost_columns):
            return in_order_of(bars.layout, before.layout)
        if not difference.added.any() and not difference.rewrites:
            return before.layout
        try:
            new_rows = whole_rows or bool(difference.added.any())
            layout = combined(before.layout, bars.layout, new_rows=new_rows)
        except LayoutConflictError as error:
            raise InvalidBarsError(
                f"{self._key.label()}: {error}; first row: {np.datetime64(int(bars.times[0]), 's')} UTC. Convert the "
                "column, or delete the series and store it anew"
            ) from None
        times = (before.first, before.last, int(bars.times[0]), int(bars.times[-1]))
        if layout.index_unit == "ns" and any(t is not None and not _FIRST_NS <= t <= _LAST_NS for t in times):
            layout = replace(layout, index_unit="us")
        return layout

    def _rewrite(
        self, before: VersionState, bars: InputBars, difference: _Difference, layout: Layout, *, whole_rows: bool
    ) -> VersionState:
        """Write a complete new version; rows that stay keep the ingest that brought them."""
        self._ensure_columns(layout)
        news = _rows_of(bars, difference.added | difference.changed)
        touched = np.concatenate([bars.times[difference.changed], difference.removed])
        version = self._ingest_id
        here = news.physical()
        columns = [name for name, _ in layout.physical()]
        # A changed row keeps what is stored in columns that did not come in.
        arriving = {c.layout.name for c in bars.columns}
        kept = {
            p for c in layout.columns if c.name not in arriving and not whole_rows for p in (c.physical, c.bits) if p
        }

        def source(name: str) -> str:
            return f'news."{name}"' if name in here else f'old."{name}"' if name in kept else "NULL"

        self._cursor.register(_INCOMING, _incoming_table(news))
        self._cursor.register(_TOUCHED, pa.table({"ts": _timestamps(touched)}))
        self._cursor.execute(
            f"INSERT INTO {{db}}.bar (version_id, ts, ingest_id{_quoted_after_comma(columns)})\n"
            f"SELECT {version}, * FROM (\n"
            f"SELECT ts, ingest_id{_quoted_after_comma(columns)} FROM {{db}}.bar\n"
            f"WHERE version_id = {before.version_id} AND ts NOT IN (SELECT ts FROM {_TOUCHED})\n"
            f"UNION ALL\n"
            f"SELECT news.ts, {self._ingest_id}{''.join(f', {source(name)}' for name in columns)}\n"
            f"FROM {_INCOMING} AS news\n"
            f"LEFT JOIN (SELECT * FROM {{db}}.bar WHERE version_id = {before.version_id}) AS old ON old.ts = news.ts\n"
            ") ORDER BY ts"
        )
        self._cursor.unregister(_INCOMING)
        self._cursor.unregister(_TOUCHED)
        self._cursor.execute(
            "UPDATE {db}.series_version SET superseded_at = ? WHERE version_id = ?", [self._now, before.version_id]
        )
        self._cursor.execute(
            "INSERT INTO {db}.series_version VALUES (?, ?, ?, NULL)", [version, before.series_id, self._now]
        )
        self._cursor.execute(
            "UPDATE {db}.series SET current_version = ? WHERE series_id = ?", [version, before.series_id]
        )
        return self._measured(replace(before, version_id=version, layout=layout))

    def _measured(self, version: VersionState) -> VersionState:
        """Return the facts of a version, read from its rows."""
        stored = [c for c in version.layout.columns if c.physical is not None]
        counts = "".join(f', count("{c.physical}")' for c in stored)
        (row,) = self._cursor.rows(
            f"SELECT count(*), {epoch_seconds('min(ts)')}, {epoch_seconds('max(ts)')}, "
            f"coalesce(bool_and(second(ts::TIMESTAMP) = 0), true){counts} "
            f"FROM {{db}}.bar WHERE version_id = {version.version_id}"
        )
        rows, first, last, on_minute, *present = row
        has_nulls = {c.name: rows > count for c, count in zip(stored, present, strict=True)}
        columns = tuple(replace(c, has_nulls=has_nulls.get(c.name, rows > 0)) for c in version.layout.columns)
        return replace(
            version,
            layout=replace(version.layout, columns=columns),
            rows=rows,
            first=first,
            last=last,
            on_minute=on_minute,
        )

    def _insert(self, version_id: int, bars: InputBars) -> None:
        self._ensure_columns(bars.layout)
        table = _incoming_table(bars)
        names = table.column_names
        self._cursor.register(_INCOMING, table)
        self._cursor.execute(
            f"INSERT INTO {{db}}.bar (version_id, ingest_id{_quoted_after_comma(names)})\n"
            f"SELECT {version_id}, {self._ingest_id}{_quoted_after_comma(names)} FROM {_INCOMING}"
        )
        self._cursor.unregister(_INCOMING)

    def _ensure_columns(self, layout: Layout) -> None:
        """Add the columns that the table lacks."""
        further = [(name, sql_type) for name, sql_type in layout.physical() if name not in ALWAYS_THERE]
        if not further:
            return
        known = {name for name, _ in bar_columns(self._cursor)}
        for name, sql_type in further:
            if name not in known:
                self._cursor.execute(f'ALTER TABLE {{db}}.bar ADD COLUMN "{name}" {sql_type}')

    # -- records ---------------------------------------------------------------------------------------------

    def _nothing_yet(self, layout: Layout) -> VersionState:
        """Make the series, with a version without bars."""
        key, new_id = self._key, self._ingest_id
        asset = key.asset
        name = published_name(asset)
        known = self._cursor.rows(
            "SELECT asset_id FROM {db}.asset WHERE name = ? AND asset_type = ? AND exchange = ?",
            [name, asset.asset_type, asset.exchange],
        )
        asset_id = known[0][0] if known else new_id
        if not known:
            self._cursor.execute(
                "INSERT INTO {db}.asset VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    asset_id,
                    name,
                    asset.symbol,
                    asset.asset_type,
                    asset.quote,
                    asset.exchange,
                    asset.expiration,
                    asset.strike,
                    asset.right,
                    asset.multiplier,
                    asset.auto_expiry,
                ],
            )
        self._cursor.execute(
            "INSERT INTO {db}.series VALUES (?, ?, ?, ?, ?, ?, ?)",
            [new_id, asset_id, key.source, key.timeframe, key.adjustment, new_id, self._now],
        )
        self._cursor.execute("INSERT INTO {db}.series_version VALUES (?, ?, ?, NULL)", [new_id, new_id, self._now])
        return VersionState(new_id, new_id, new_id, new_id, layout, 0, None, None, True)

    def _record(self, kind: str, result: WriteResult, after: VersionState, metadata: str | None) -> None:
        self._cursor.execute(
            f"INSERT INTO {{db}}.ingest VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {_literal_or_null(after.first)}, "
            f"{_literal_or_null(after.last)}, ?, ?)",
            [
                self._ingest_id,
                after.series_id,
                after.version_id,
                self._now,
                kind,
                result.added,
                result.changed,
                result.removed,
                self._layout_id(after.layout),
                after.rows,
                after.on_minute,
                metadata,
            ],
        )

    def _layout_id(self, layout: Layout) -> int:
        if self._before is not None and layout == self._before.layout:
            return self._before.layout_id
        self._ensure_columns(layout)  # those without a value, too: whoever reads names all columns
        definition = layout.to_json()
        known = self._cursor.rows("SELECT layout_id FROM {db}.layout WHERE definition = ?", [definition])
        if known:
            return int(known[0][0])
        self._cursor.execute("INSERT INTO {db}.layout VALUES (?, ?)", [self._ingest_id, definition])
        return self._ingest_id

    # -- coverage --------------------------------------------------------------------------------------------

    def _coverage_to_add(
        self, asked: Sequence[TimeRange], asked_at: datetime, *, empty: bool
    ) -> list[tuple[TimeRange, datetime | None]]:
        """Return what of some ranges is newly covered, and until when to believe it.

        What had not closed when it was asked for is not covered, however late the answer is written.
        """
        if not asked:
            return []
        now = self._now.replace(tzinfo=timezone.utc)
        asked_at = min(asked_at, now)
        lasting: list[TimeRange] = []
        if self._before is not None:
            known = stored_coverage(self._cursor, now, self._before.series_id).get(self._before.series_id, [])
            lasting = ranges.merged(piece for piece, bound in known if empty or bound is None)
        fresh: list[tuple[TimeRange, datetime | None]] = []
        for piece in asked:
            closed = ranges.closed_part(piece, self._key.timeframe, int(asked_at.timestamp()))
            if closed is None or not ranges.missing(closed, lasting):
                continue
            until = ranges.believed_until(closed, asked_at) if empty else None
            if until is None or until > now:
                fresh.append((closed, None if until is None else until.replace(tzinfo=None)))
        return fresh

    def _add_coverage(self, series_id: int, covered: TimeRange, believed_until: datetime | None) -> None:
        self._cursor.execute(
            f"INSERT INTO {{db}}.coverage VALUES (?, ?, {timestamp_literal(covered.start)}, "
            f"{timestamp_literal(covered.end)}, ?)",
            [series_id, self._ingest_id, believed_until],
        )


def stored_coverage(
    cursor: StoreCursor, now: datetime, series_id: int | None = None
) -> dict[int, list[tuple[TimeRange, datetime | None]]]:
    """Return the covered ranges of a series (None: of all) that are (still) believed, as they were recorded."""
    found: dict[int, list[tuple[TimeRange, datetime | None]]] = {}
    which = "" if series_id is None else f"AND series_id = {series_id}"
    for series, start, end, until in cursor.rows(
        f"SELECT series_id, {epoch_seconds('range_start')}, {epoch_seconds('range_end')}, believed_until "
        f"FROM {{db}}.coverage WHERE (believed_until IS NULL OR believed_until > ?) {which}",
        [now.replace(tzinfo=None)],
    ):
        found.setdefault(series, []).append((TimeRange(start, end), until))
    return found


# What an index in nanoseconds can hold.
_FIRST_NS = -(2**63) // 10**9 + 1
_LAST_NS = 2**63 // 10**9 - 1


def _literal_or_null(time: int | None) -> str:
    return "NULL" if time is None else timestamp_literal(time)


def metadata_text(key: SeriesKey, metadata: Mapping[str, Any] | None) -> str | None:
    """Return metadata as it is stored; raise `InvalidBarsError` if it cannot be."""
    if not metadata:
        return None
    try:
        return json.dumps(dict(metadata), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidBarsError(f"{key.label()}: the metadata cannot be written as JSON: {error}") from None


def _facts_of(times: Times) -> dict[str, Any]:
    return {"first": int(times[0]), "last": int(times[-1]), "on_minute": bool((times % 60 == 0).all())}


def _rows_of(bars: InputBars, mask: Mask) -> InputBars:
    if mask.all():
        return bars
    pick = pa.array(mask)

    def picked(values: pa.Array | None) -> pa.Array | None:
        return None if values is None else values.filter(pick)

    columns = tuple(InputColumn(c.layout, picked(c.values), picked(c.bits)) for c in bars.columns)
    return InputBars(bars.times[mask], bars.index_unit, columns)


def _incoming_table(bars: InputBars) -> pa.Table:
    table = pa.table({"ts": _timestamps(bars.times), **bars.physical()})
    return pa.Table.from_batches(table.to_batches(max_chunksize=_BATCH_ROWS), table.schema)


def _timestamps(times: Times) -> pa.Array:
    return pa.array(times).cast(pa.timestamp("s"))


def _quoted_after_comma(names: list[str]) -> str:
    return "".join(f', "{name}"' for name in names)


def _same_values(old: pa.Table, there: ColumnLayout | None, here: InputColumn | None, pick: pa.Array) -> Mask:
    """Tell in which rows a stored column and the picked incoming one hold the same, to the bit."""
    rows = old.num_rows
    stored = _part(old, there.physical if there else None)
    stored_bits = _part(old, there.bits if there else None)
    incoming = here.values.filter(pick) if here is not None and here.values is not None else None
    incoming_bits = here.bits.filter(pick) if here is not None and here.bits is not None else None
    return _same_array(stored, incoming, rows) & _same_array(stored_bits, incoming_bits, rows)


def _part(table: pa.Table, name: str | None) -> pa.Array | None:
    if name is None:
        return None
    combined_chunks = table[name].combine_chunks()
    return combined_chunks.chunk(0) if isinstance(combined_chunks, pa.ChunkedArray) else combined_chunks


def _same_array(one: pa.Array | None, other: pa.Array | None, rows: int) -> Mask:
    if one is None or other is None:
        given = one if one is not None else other
        return np.ones(rows, bool) if given is None else _mask(given.is_null())
    if one.type != other.type:
        return _mask(one.is_null()) & _mask(other.is_null())
    both_null = _mask(one.is_null()) & _mask(other.is_null())
    equal = _mask(pc.fill_null(pc.equal(one, other), False))
    if pa.types.is_floating(one.type):
        equal |= _mask(pc.fill_null(pc.and_(pc.is_nan(one), pc.is_nan(other)), False))
    return both_null | equal


def _mask(values: pa.Array) -> Mask:
    found: Mask = values.to_numpy(zero_copy_only=False)
    return found
