"""Adds bars of another series to a series: those of a series that is renamed, or those of another store.

Both series stay in the database while they are joined, a stretch of time after the other, so that any number of bars
takes little memory. Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import SeriesKey, TimeRange, WriteResult
from lumibot_duckdb.storage.bars.bar_rows import ensure_columns
from lumibot_duckdb.storage.bars.checksums import add_checksums, checksums_where, copy_checksums
from lumibot_duckdb.storage.bars.coverage import Covered, merged
from lumibot_duckdb.storage.bars.coverage_records import add_coverage, forget_coverage, stored_coverage
from lumibot_duckdb.storage.bars.layout import Layout, combined, placed_like, same_frame, with_room_for
from lumibot_duckdb.storage.bars.outline_records import has_outline
from lumibot_duckdb.storage.bars.outline_upkeep import keep_outline
from lumibot_duckdb.storage.bars.row_inserts import insert_rows, rows_of
from lumibot_duckdb.storage.bars.series_records import (
    Ingest,
    create_series,
    layout_ids,
    new_version,
    record_ingests,
    supersede,
)
from lumibot_duckdb.storage.bars.version_state import VersionState, measured
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_times import epoch_sql, timestamp_literal
from lumibot_duckdb.storage.times import EpochSeconds, Int64Array

REQUESTED = """(
    SELECT ingest_id, coalesce(requested_at, ingested_at) AS requested_at
    FROM {db}.ingest LEFT JOIN {db}.ingest_request USING (ingest_id)
)"""
"""SQL for when the bars of each write were requested."""

_ROWS_AT_A_TIME = 2 * 122_880
_EXAMPLES = 5
_WRITES = "lumibot_duckdb_writes"
_WRITE_COLUMNS = pa.schema([("place", pa.int32()), ("source_id", pa.int32()), ("ingest_id", pa.int32())])
_REQUESTS = pa.schema([("ingest_id", pa.int32()), ("requested_at", pa.timestamp("us"))])


@dataclass(frozen=True, slots=True)
class SourceWrite:
    """A write that brought bars, or (kind "coverage") an answer without bars. Its time is naive UTC."""

    ingest_id: int
    kind: str
    requested_at: datetime
    metadata: str | None


@dataclass(frozen=True, slots=True)
class Incoming:
    """Bars to add to a series.

    `relation` is SQL for a table with `place`, `ts`, `ingest_id`, `requested_at` and the stored columns of `layout`,
    which are placed like those of the series. The bars are those at `place`, a number; others may be there, too.
    `writes` has the writes that brought the bars, by id, and `notes` are answers without bars whose metadata is to be
    kept.
    """

    relation: str
    place: int
    layout: Layout
    rows: int
    first: EpochSeconds | None
    last: EpochSeconds | None
    writes: Mapping[int, SourceWrite]
    notes: Sequence[SourceWrite] = ()


@dataclass(frozen=True, slots=True)
class DifferingBar:
    """A bar that both series have, with other values: the first column that differs, and its stored values."""

    time: EpochSeconds
    column: str
    stored: Any
    incoming: Any


@dataclass(slots=True)
class Comparison:
    """How incoming bars differ from those of a series.

    `added` are at new times, and `conflicts` have other values than the stored bar at their time. Of these, `won`
    replace it. `completed` keep it, and add values in columns that the series lacks. `layout` is that of all bars, and
    `writes` are the source's ids of the writes whose bars are stored.
    """

    layout: Layout
    added: int = 0
    completed: int = 0
    conflicts: int = 0
    won: int = 0
    writes: set[int] = field(default_factory=set)
    examples: list[DifferingBar] = field(default_factory=list)

    @property
    def changes_bars(self) -> bool:
        """Whether stored bars change."""
        return self.completed > 0 or self.won > 0


class IngestNumbers:
    """The ids of the writes of a transaction, and its time (naive UTC)."""

    def __init__(self, first_id: int, now: datetime) -> None:
        self.now = now
        self._next = first_id

    def take(self, count: int = 1) -> int:
        """Return the first of so many new ids."""
        first = self._next
        self._next += count
        return first


@dataclass(frozen=True, slots=True)
class KnownRecords:
    """The coverage of a series, and the metadata of answers without bars to its current version."""

    covered: list[Covered]
    notes: frozenset[str | None]

    def lacks(self, covered: Iterable[Covered]) -> bool:
        """Return whether ranges add anything to the coverage."""
        return joined([*self.covered, *covered]) != joined(self.covered)


def known_records(cursor: StoreCursor, states: Sequence[VersionState]) -> dict[int, KnownRecords]:
    """Return the records of series, by their ids."""
    covered = stored_coverage(cursor, None, [state.series_id for state in states])
    notes = notes_of(cursor, [state.version_id for state in states])
    return {
        state.series_id: KnownRecords(
            covered.get(state.series_id, []), frozenset(note.metadata for note in notes.get(state.version_id, ()))
        )
        for state in states
    }


class SeriesUnion:
    """The union of a series, whose state is `before` (None: there is none), and incoming bars.

    Where both have a bar with other values, the one that was requested later is kept; of two that were requested at the
    same time, the one with the greater values. So the result does not depend on which of the two is incoming.
    `incoming_is_older` puts the columns of the incoming bars first. `there` are the columns of `bar`.
    """

    def __init__(
        self,
        cursor: StoreCursor,
        key: SeriesKey,
        before: VersionState | None,
        incoming: Incoming,
        there: Collection[str],
        known: KnownRecords | None = None,
        *,
        incoming_is_older: bool = False,
    ) -> None:
        self._cursor = cursor
        self._key = key
        self._before = before
        self._incoming = incoming
        self._known = known or KnownRecords([], frozenset())
        self._incoming_is_older = incoming_is_older
        stored = Layout("s") if before is None else before.layout
        self._stored = {c.name: [n for n, _ in c.physical_columns() if n in there] for c in stored.columns}
        self._arriving = {c.name: [n for n, _ in c.physical_columns()] for c in incoming.layout.columns}

    # -- comparing -------------------------------------------------------------------------------------------

    def compare(self) -> Comparison:
        """Compare the bars. Raises `LayoutConflictError` if their columns cannot be combined."""
        (found,) = compare_together(self._cursor, [self])
        return found

    def refuse_conflict(self) -> None:
        """Raise `LayoutConflictError` if the columns cannot be combined."""
        if self._needs_comparison():
            self._layout(new_rows=True, old_rows=True)

    def _needs_comparison(self) -> bool:
        return self._before is not None and self._before.rows > 0 and self._incoming.rows > 0

    def _begun(self) -> Comparison:
        """Return what is known of the comparison without reading bars."""
        before, incoming = self._before, self._incoming
        if self._needs_comparison():
            return Comparison(self._layout(new_rows=True, old_rows=True))
        layout = incoming.layout if before is None or incoming.rows else before.layout
        return Comparison(layout, added=incoming.rows, writes=set(incoming.writes) if incoming.rows else set())

    def _ended(self, found: Comparison) -> Comparison:
        """Return a comparison with the layout that all bars need."""
        assert self._before is not None
        alone = self._before.rows - (self._incoming.rows - found.added)
        return replace(found, layout=self._layout(new_rows=found.added > 0, old_rows=alone > 0))

    def _layout(self, *, new_rows: bool, old_rows: bool) -> Layout:
        assert self._before is not None
        old, new = self._before.layout, self._incoming.layout
        found = combined(old, new, new_rows=new_rows, old_rows=old_rows)
        if self._incoming_is_older:
            first = combined(new, old, new_rows=old_rows, old_rows=new_rows)
            places = {column.name: column for column in found.columns}
            columns = (replace(c, physical=places[c.name].physical, bits=places[c.name].bits) for c in first.columns)
            found = replace(first, columns=tuple(columns))
        times = (self._before.first, self._before.last, self._incoming.first, self._incoming.last)
        return with_room_for(found, times)

    def _compared(self, unions: Sequence[SeriesUnion], within: str) -> str:
        """Return SQL for the incoming bars of a stretch of time, and how they compare with the stored ones.

        They are those of unions with the same columns as this one.
        """
        return (
            f"SELECT i.place, i.ingest_id, t.ts IS NOT NULL AS known, {self._differs()} AS differs, "
            f"{self._wins()} AS wins, {self._completes()} AS completes "
            f"FROM {_incoming_bars(unions, within)} AS i LEFT JOIN {_stored_bars(unions, within)} AS t "
            "ON t.place = i.place AND t.ts = i.ts"
        )

    def _examples(self, within: str) -> list[DifferingBar]:
        shared = self._shared()
        values = "".join(f", {side}" for pair in shared for side in pair[1:])
        rows = self._cursor.rows(
            f"SELECT {epoch_sql('i.ts')}{values} "
            f"FROM {_incoming_bars([self], within)} AS i JOIN {_stored_bars([self], within)} AS t ON t.ts = i.ts "
            f"WHERE {self._differs()} ORDER BY i.ts LIMIT {_EXAMPLES}"
        )
        return [_differing_bar(time, [name for name, _, _ in shared], found) for time, *found in rows]

    def _shared(self) -> list[tuple[str, str, str]]:
        """Return the columns that both have, in order of their names: name, SQL of the stored and the incoming value.

        A column whose values need their bits is there twice.
        """
        shared = []
        for name in sorted(self._stored.keys() & self._arriving.keys()):
            stored, arriving = self._stored[name], self._arriving[name]
            for place in dict.fromkeys([*stored, *arriving]):
                shared.append((name, _value("t", place, stored), _value("i", place, arriving)))
        return shared

    def _differs(self) -> str:
        return _any(["t.ts IS NOT NULL"], [f"{stored} IS DISTINCT FROM {new}" for _, stored, new in self._shared()])

    def _wins(self) -> str:
        shared = self._shared()
        stored, arriving = (", ".join(pair[side] for pair in shared) for side in (1, 2))
        greater = f"row({arriving}) > row({stored})" if shared else "false"
        later = f"(i.requested_at > t.requested_at OR (i.requested_at = t.requested_at AND {greater}))"
        return f"({self._differs()} AND {later})"

    def _completes(self) -> str:
        new = [place for name, places in self._arriving.items() if name not in self._stored for place in places]
        return _any(["t.ts IS NOT NULL"], [f'i."{place}" IS NOT NULL' for place in new])

    def _stretches(self) -> Iterator[str]:
        """Yield SQL conditions for stretches of time with about so many bars that are compared at a time."""
        before, incoming = self._before, self._incoming
        rows = incoming.rows + (before.rows if before is not None else 0)
        bounds = [incoming.first, incoming.last, *((before.first, before.last) if before is not None else ())]
        times = [time for time in bounds if time is not None]
        parts = -(-rows // _ROWS_AT_A_TIME)
        if parts <= 1:
            yield "true"
            return
        start, end = min(times), max(times) + 1
        cuts = [start + (end - start) * part // parts for part in range(parts + 1)]
        for one, other in pairwise(cuts):
            yield f"ts >= {timestamp_literal(one)} AND ts < {timestamp_literal(other)}"

    # -- writing ---------------------------------------------------------------------------------------------

    def write(
        self,
        comparison: Comparison,
        numbers: IngestNumbers,
        kind: str,
        metadata: str | None = None,
        covered: Iterable[Covered] = (),
    ) -> VersionState | None:
        """Store the union, and what the incoming bars cover; return the state after it (None: nothing has changed).

        `kind` and `metadata` are those of the write itself. Bars belong to copies of the writes that brought them.
        """
        (after,) = write_together(self._cursor, [(self, comparison, list(covered))], numbers, kind, metadata)
        return after

    def is_news(self, comparison: Comparison, covered: Sequence[Covered]) -> bool:
        """Return whether anything is to be stored."""
        return (
            self._before is None
            or comparison.added > 0
            or comparison.changes_bars
            or not same_frame(comparison.layout, self._before.layout)
            or len(self._new_notes()) > 0
            or self._known.lacks(covered)
        )

    def _new_notes(self) -> list[SourceWrite]:
        return [note for note in self._incoming.notes if note.metadata not in self._known.notes]

    def _write_changed(self, before: VersionState, version_id: int, layout: Layout) -> None:
        """Store all bars in a new version, with their checksums."""
        for within in self._stretches():
            self._insert_union(version_id, layout, within)
        copy_checksums(self._cursor, before.version_id, version_id, self._incoming_hours(), self._key.timeframe)

    def _incoming_hours(self) -> Int64Array:
        """Return the first and the last second of each hour with incoming bars: fewer times on the same days."""
        hour = epoch_sql("date_trunc('hour', ts::TIMESTAMP)")
        hours = self._cursor.arrow(f"SELECT DISTINCT {hour} AS start FROM {_incoming_bars([self], 'true')}")
        starts: Int64Array = hours["start"].to_numpy()
        return np.union1d(starts, starts + 3_599)

    def _insert_union(self, version_id: int, layout: Layout, within: str) -> None:
        """Insert all bars: the stored ones, the incoming ones, and what is kept of two at the same time."""
        values = []
        for column in layout.columns:
            stored, arriving = self._stored.get(column.name), self._arriving.get(column.name)
            for place, _ in column.physical_columns():
                old, new = _value("t", place, stored or ()), _value("i", place, arriving or ())
                both = stored is not None and arriving is not None
                values.append(f"CASE WHEN taken THEN {new} ELSE {old} END" if both else old if stored else new)
        names = [name for name, _ in layout.physical()]
        self._cursor.execute(
            f"INSERT INTO {{db}}.bar (version_id, ts, ingest_id{_listed(names)})\n"
            "SELECT * EXCLUDE (taken) FROM (\n"
            f"SELECT i.ts IS NOT NULL AND (t.ts IS NULL OR {self._wins()}) AS taken, {version_id}, "
            "coalesce(i.ts, t.ts) AS ts, CASE WHEN taken THEN written.ingest_id ELSE t.ingest_id END"
            f"{''.join(f', {value}' for value in values)}\n"
            f"FROM {_stored_bars([self], within)} AS t FULL JOIN {_incoming_bars([self], within)} AS i ON i.ts = t.ts\n"
            f"LEFT JOIN {_WRITES} AS written ON written.place = i.place AND written.source_id = i.ingest_id\n"
            ") ORDER BY ts"
        )


def compare_together(cursor: StoreCursor, unions: Sequence[SeriesUnion], examples: int = _EXAMPLES) -> list[Comparison]:
    """Compare the bars of one union, or of several short ones with the same columns.

    There are so many `examples` at most. Raises `LayoutConflictError` if columns cannot be combined.
    """
    found = {union._incoming.place: union._begun() for union in unions}
    compared = [union for union in unions if union._needs_comparison()]
    for within in compared[0]._stretches() if len(compared) == 1 else ["true"] * bool(compared):
        query = (
            "SELECT place, count(*) FILTER (NOT known), count(*) FILTER (differs), count(*) FILTER (wins), "
            "count(*) FILTER (completes AND NOT wins), list(DISTINCT ingest_id) FILTER (NOT known OR wins) "
            f"FROM ({compared[0]._compared(compared, within)}) GROUP BY place"
        )
        of_place = {union._incoming.place: union for union in compared}
        for place, added, conflicts, won, completed, writes in cursor.rows(query):
            comparison = found[place]
            comparison.added += added
            comparison.conflicts += conflicts
            comparison.won += won
            comparison.completed += completed
            comparison.writes.update(writes or ())
            if conflicts and examples > 0:
                more = of_place[place]._examples(within)[:examples]
                comparison.examples += more
                examples -= len(more)
    for union in compared:
        found[union._incoming.place] = union._ended(found[union._incoming.place])
    return [found[union._incoming.place] for union in unions]


@dataclass(slots=True)
class _Written:
    """A union that is stored: its write, the state before it, the version after it, and the writes that it copies."""

    union: SeriesUnion
    comparison: Comparison
    covered: list[Covered]
    first_id: int
    before: VersionState
    version_id: int
    copies: list[tuple[int, SourceWrite]]

    @classmethod
    def of(cls, union: SeriesUnion, comparison: Comparison, covered: list[Covered], numbers: IngestNumbers) -> _Written:
        first_id = numbers.take()
        before = union._before or new_version(first_id, comparison.layout)
        brought = [union._incoming.writes[each] for each in sorted(comparison.writes)]
        copies = [(numbers.take(), write) for write in [*brought, *union._new_notes()]]
        version_id = first_id if comparison.changes_bars else before.version_id
        return cls(union, comparison, covered, first_id, before, version_id, copies)


def write_together(
    cursor: StoreCursor,
    unions: Sequence[tuple[SeriesUnion, Comparison, list[Covered]]],
    numbers: IngestNumbers,
    kind: str,
    metadata: str | None = None,
) -> list[VersionState | None]:
    """Store one union, or several short ones with the same columns; see `SeriesUnion.write`."""
    now = numbers.now
    written = [_Written.of(*each, numbers) for each in unions if each[0].is_news(*each[1:])]
    if not written:
        return [None] * len(unions)
    create_series(cursor, [(one.union._key, one.first_id, now) for one in written if one.union._before is None], now)
    for layout in {one.comparison.layout for one in written}:
        ensure_columns(cursor, layout)
    places = [(one.union._incoming.place, write.ingest_id, number) for one in written for number, write in one.copies]
    cursor.register(_WRITES, rows_of(_WRITE_COLUMNS, places))
    changed = [one for one in written if one.comparison.changes_bars]
    _insert_new(cursor, [one for one in written if one.comparison.added and not one.comparison.changes_bars])
    for one in changed:
        one.union._write_changed(one.before, one.version_id, one.comparison.layout)
    cursor.unregister(_WRITES)
    supersede(cursor, [(one.before, one.version_id) for one in changed], now)
    stored = [replace(one.before, version_id=one.version_id, layout=one.comparison.layout) for one in written]
    states = dict(zip((one.union._key for one in written), measured(cursor, stored), strict=True))
    layouts = layout_ids(cursor, [(states[one.union._key].layout, one.first_id) for one in written])
    records = []
    for one in written:
        comparison, after = one.comparison, states[one.union._key]
        layout_id = layouts[after.layout]
        changes = comparison.won + comparison.completed
        result = WriteResult(one.union._key, None, added=comparison.added, changed=changes)
        records.append(Ingest(one.first_id, kind, result, after, layout_id, metadata))
        records += copies_of(one.copies, one.union._key, after, layout_id)
        if has_outline(after.rows) and (comparison.added or comparison.changes_bars):
            earlier = None if comparison.changes_bars else one.union._before
            keep_outline(cursor, one.union._key, earlier, after, _times_since(cursor, one.version_id, one.first_id))
    record_ingests(cursor, records, now)
    record_requests(cursor, [copy for one in written for copy in one.copies])
    covered = [one for one in written if one.union._known.lacks(one.covered)]
    forget_coverage(cursor, [one.before.series_id for one in covered], None)
    add_coverage(
        cursor,
        [
            (one.before.series_id, one.first_id, *each)
            for one in covered
            for each in joined([*one.union._known.covered, *one.covered])
        ],
    )
    return [states.get(union._key) for union, *_ in unions]


def _insert_new(cursor: StoreCursor, written: Sequence[_Written]) -> None:
    """Insert the incoming bars at times without a stored one, and store their checksums."""
    if not written:
        return
    unions = [one.union for one in written]
    names = [name for places in unions[0]._arriving.values() for name in places]
    pairs = ", ".join(str((one.version_id, one.union._incoming.place)) for one in written)
    known = any(union._before is not None for union in unions)
    for within in unions[0]._stretches() if len(unions) == 1 else ["true"]:
        lacking = f"ANTI JOIN {_stored_bars(unions, within)} AS t ON t.place = i.place AND t.ts = i.ts" if known else ""
        cursor.execute(
            f"INSERT INTO {{db}}.bar (version_id, ts, ingest_id{_listed(names)})\n"
            f"SELECT pair.version_id, i.ts, written.ingest_id{_listed(names)}\n"
            f"FROM {_incoming_bars(unions, within)} AS i\n"
            f"JOIN (VALUES {pairs}) AS pair(version_id, place) ON pair.place = i.place\n"
            f"JOIN {_WRITES} AS written ON written.place = i.place AND written.source_id = i.ingest_id\n"
            f"{lacking} ORDER BY pair.version_id, i.ts"
        )
        timeframes = {one.version_id: one.union._key.timeframe for one in written}
        first_id = min(one.first_id for one in written)
        add_checksums(cursor, checksums_where(cursor, timeframes, f"{within} AND ingest_id >= {first_id}"))


def _incoming_bars(unions: Sequence[SeriesUnion], within: str) -> str:
    """Return SQL for the incoming bars of unions in a stretch of time."""
    places = is_one_of("place", [union._incoming.place for union in unions])
    return f"(SELECT * FROM {unions[0]._incoming.relation} WHERE {places} AND {within})"


def _stored_bars(unions: Sequence[SeriesUnion], within: str) -> str:
    """Return SQL for the stored bars of unions in a stretch of time, each with the place of the incoming ones."""
    versions = {union._before.version_id: union._incoming.place for union in unions if union._before is not None}
    pairs = ", ".join(map(str, versions.items()))
    return (
        f"(SELECT bar.*, requested_at, pair.place FROM {{db}}.bar AS bar "
        f"JOIN (VALUES {pairs}) AS pair(version_id, place) USING (version_id) JOIN {REQUESTED} USING (ingest_id) "
        f"WHERE {is_one_of('version_id', versions)} AND {within})"
    )


def placed(layout: Layout, before: VersionState | None) -> Layout:
    """Return the layout of incoming bars in the columns of the series that they are added to."""
    return placed_like(layout, Layout("s") if before is None else before.layout)


def writes_of(cursor: StoreCursor, versions: Iterable[int], condition: str = "true") -> dict[int, list[SourceWrite]]:
    """Return the writes that brought bars of versions (those that meet a condition), by version, earliest first."""
    return _by_version(
        cursor,
        f"SELECT version_id, ingest_id, kind, requested_at, metadata FROM (SELECT DISTINCT version_id, ingest_id "
        f"FROM {{db}}.bar WHERE {is_one_of('version_id', versions)} AND {condition}) AS brought "
        f"JOIN (SELECT ingest_id, kind, metadata FROM {{db}}.ingest) AS ingest USING (ingest_id) "
        f"JOIN {REQUESTED} USING (ingest_id)",
    )


def notes_of(cursor: StoreCursor, versions: Iterable[int]) -> dict[int, list[SourceWrite]]:
    """Return the answers without bars to versions that have metadata, by version, earliest first."""
    return _by_version(
        cursor,
        f"SELECT version_id, ingest_id, kind, requested_at, metadata FROM {{db}}.ingest JOIN {REQUESTED} "
        f"USING (ingest_id) WHERE kind = 'coverage' AND metadata IS NOT NULL AND {is_one_of('version_id', versions)}",
    )


def _by_version(cursor: StoreCursor, query: str) -> dict[int, list[SourceWrite]]:
    found: dict[int, list[SourceWrite]] = {}
    for version_id, *row in cursor.rows(f"{query} ORDER BY version_id, ingest_id"):
        found.setdefault(version_id, []).append(SourceWrite(*row))
    return found


def copies_of(
    copies: Iterable[tuple[int, SourceWrite]], key: SeriesKey, after: VersionState, layout_id: int
) -> list[Ingest]:
    """Return the records of copies of writes, by their new ids, as writes to another version."""
    nothing = WriteResult(key, None)
    return [Ingest(number, write.kind, nothing, after, layout_id, write.metadata) for number, write in copies]


def record_requests(cursor: StoreCursor, copies: Iterable[tuple[int, SourceWrite]]) -> None:
    """Record when the bars of copies of writes were requested."""
    insert_rows(cursor, "ingest_request", _REQUESTS, [(number, write.requested_at) for number, write in copies])


def clipped(covered: Iterable[Covered], within: TimeRange) -> list[Covered]:
    """Return the parts of covered ranges that are in a range."""
    parts = ((max(piece.start, within.start), min(piece.end, within.end), until) for piece, until in covered)
    return [(TimeRange(start, end), until) for start, end, until in parts if start < end]


def joined(covered: Iterable[Covered]) -> list[Covered]:
    """Return covered ranges with those joined that touch and expire at the same time."""
    by_expiry: dict[datetime | None, list[TimeRange]] = {}
    for piece, until in covered:
        by_expiry.setdefault(until, []).append(piece)
    proven = by_expiry.pop(None, [])
    return [
        *((piece, None) for piece in merged(proven)),
        *((piece, until) for until in sorted(by_expiry) for piece in merged(by_expiry[until])),  # type: ignore[type-var]
    ]


def _times_since(cursor: StoreCursor, version_id: int, ingest_id: int) -> Int64Array:
    times = cursor.arrow(
        f"SELECT {epoch_sql('ts')} AS ts FROM {{db}}.bar WHERE version_id = {version_id} AND ingest_id >= {ingest_id} "
        "ORDER BY ts"
    )
    found: Int64Array = times["ts"].to_numpy()
    return found


def _value(side: str, place: str, places: Sequence[str]) -> str:
    return f'{side}."{place}"' if place in places else "NULL"


def _any(needed: Sequence[str], conditions: Sequence[str]) -> str:
    either = " OR ".join(conditions) or "false"
    return f"({' AND '.join([*needed, f'({either})'])})"


def _listed(names: Sequence[str]) -> str:
    return "".join(f', "{name}"' for name in names)


def _differing_bar(time: EpochSeconds, names: Sequence[str], values: Sequence[Any]) -> DifferingBar:
    pairs = [(name, *values[2 * at : 2 * at + 2]) for at, name in enumerate(names)]
    differing = (pair for pair in pairs if repr(pair[1]) != repr(pair[2]))
    return DifferingBar(time, *next(differing, pairs[0]))
