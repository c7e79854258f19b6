"""Checksums of bars: sums over the bars of a segment of days, one for each column.

The sum of a column is that of `value * weight` modulo 2**64, where the odd weight depends on the start of the bar. So
one changed value always changes it, and so do exchanged ones. Values are taken as bits, folded once so that the low
bits of the product differ, too. Sums do not depend on the order of the bars, and a write adds the sums of its bars
without a look at others. DuckDB's own `hash` may be another one in another release.

A segment has as many calendar days of New York as an outline's block. Bars of a day or longer have larger ones, since
the checksums would take more space than the bars otherwise.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.bar_rows import Cut
from lumibot_duckdb.storage.bars.columns import bar_columns, by_version, in_time_order, single_array
from lumibot_duckdb.storage.bars.outline import DAYS_PER_BLOCK, Days, midnights
from lumibot_duckdb.storage.bars.row_inserts import insert_rows, rows_of
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_times import epoch_sql, starts_between
from lumibot_duckdb.storage.stored_values import reading
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, Int64Array

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.input_checks import InputBars

Words: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"

_WEIGHT = np.uint64(0x9E3779B97F4A7C15)
_PRESENT = 0xD6E8FEB86659FD93
"""What distinguishes a value of zero from none."""

_AT_A_TIME = 16_384
"""Bars whose numbers fit into the cache of a processor core."""

_HALF, _ONE = np.uint64(32), np.uint64(1)
_MODULUS = 2**64
_DAYS_OF_DAILY_BARS = 4_096
_MOST_ROWS = 500_000
"""Up to so many bars of a version are read at once."""

_ALWAYS = TimeRange(-(2**40), 2**40)
_UNCHECKED = "unchecked_to"
_WANTED = "lumibot_duckdb_wanted"
_WANTED_COLUMNS = pa.schema(
    [("version_id", pa.int32()), ("range_start", pa.timestamp("s")), ("range_end", pa.timestamp("s"))]
)
_COLUMNS = pa.schema(
    [
        ("version_id", pa.int32()),
        ("segment", pa.int32()),
        ("bars", pa.int32()),
        ("columns", pa.string()),
        ("sums", pa.binary()),
    ]
)
_STORED = "SELECT version_id, segment, bars, columns, sums FROM {db}.bar_checksum WHERE {which} ORDER BY ALL"
_SIZE = f"SELECT count(*), {epoch_sql('min(ts)')}, {epoch_sql('max(ts)')} FROM {{db}}.bar WHERE version_id = ?"


@dataclass(slots=True)
class SegmentSums:
    """How many bars a segment has, and the sum of each column that has a value."""

    bars: int = 0
    sums: dict[str, int] = field(default_factory=dict)

    def add(self, bars: int, sums: Mapping[str, int]) -> None:
        """Add further bars."""
        self.bars += bars
        for name, value in sums.items():
            self.sums[name] = (self.sums.get(name, 0) + value) % _MODULUS

    def without(self, other: SegmentSums) -> SegmentSums:
        """Return the sums of the bars that are not among some of them."""
        names = dict.fromkeys([*self.sums, *other.sums])
        left = {name: (self.sums.get(name, 0) - other.sums.get(name, 0)) % _MODULUS for name in names}
        return SegmentSums(self.bars - other.bars, left)

    def differing(self, other: SegmentSums) -> list[str]:
        """Return the columns whose sums differ."""
        names = dict.fromkeys([*self.sums, *other.sums])
        return [name for name in names if self.sums.get(name, 0) != other.sums.get(name, 0)]


Checksums: TypeAlias = "dict[int, SegmentSums]"
"""The checksums of a version, by segment."""


def segment_days(timeframe: str) -> int:
    """Return how many days a segment of bars of a length has."""
    return DAYS_PER_BLOCK if bar_seconds(timeframe) < SECONDS_PER_DAY else _DAYS_OF_DAILY_BARS


def segment_range(segment: int, days: int) -> TimeRange:
    """Return the range of time of a segment of so many days."""
    return TimeRange(*midnights(np.array([segment * days, (segment + 1) * days])).tolist())


def sums_of(times: Int64Array, columns: Mapping[str, pa.Array], days: int) -> Checksums:
    """Return the checksums of bars, given their sorted starts and their values in columns of `bar`.

    A segment has so many days.
    """
    if not len(times):
        return {}
    there = Days.of(times)
    stops = np.cumsum(there.bars)
    segments, first_days = np.unique(there.numbers // days, return_index=True)
    starts = (stops - there.bars)[first_days].tolist()
    found: Checksums = {}
    values = {name: _Values.of(column) for name, column in columns.items() if column.null_count < len(column)}
    for segment, start, stop in zip(segments.tolist(), starts, [*starts[1:], len(times)], strict=True):
        found[segment] = SegmentSums()
        for at in range(start, stop, _AT_A_TIME):
            part = slice(at, min(stop, at + _AT_A_TIME))
            weights = _weights(times[part])
            sums = {name: column.sum(part, weights) for name, column in values.items()}
            found[segment].add(len(weights), {"ts": int(weights.sum()), **sums})
    return found


def sums_of_write(bars: InputBars, ingest_id: int, timeframe: str) -> Checksums:
    """Return the checksums of the bars of a write."""
    found = sums_of(bars.times, bars.physical(), segment_days(timeframe))
    for segment in found.values():  # an id has no upper half to fold
        segment.sums["ingest_id"] = (ingest_id + _PRESENT) * segment.sums["ts"] % _MODULUS
    return found


def add_checksums(cursor: StoreCursor, found: Mapping[int, Checksums]) -> None:
    """Store the checksums of bars that are added to versions."""
    rows = [
        (version_id, number, segment.bars, ",".join(segment.sums), _packed(segment.sums))
        for version_id, of_version in found.items()
        for number, segment in sorted(of_version.items())
    ]
    insert_rows(cursor, "bar_checksum", _COLUMNS, rows)


def copy_checksums(
    cursor: StoreCursor, old_version: int, new_version: int, touched: Int64Array, timeframe: str
) -> None:
    """Store the checksums of a new version: an old one, with other bars at the sorted `touched` times.

    Segments without such bars keep their checksums, so that the copy of a damaged bar still counts as damaged.
    """
    if old_version <= unchecked_to(cursor):  # those of the old one are incomplete
        store_checksums(cursor, new_version, timeframe)
        return
    days = segment_days(timeframe)
    segments = set((Days.of(touched).numbers // days).tolist())
    old = stored_checksums(cursor, old_version)
    kept = {number: sums for number, sums in old.items() if number not in segments}
    for number in sorted(segments):
        kept |= read_checksums(cursor, new_version, days, segment_range(number, days))
    add_checksums(cursor, {new_version: kept})


def copy_checksums_since(cursor: StoreCursor, cuts: Sequence[Cut]) -> None:
    """Store the checksums of new versions: the bars of old ones that start at a time or later.

    Those of the bars that are left out are subtracted, so that the copy of a damaged bar still counts as damaged.
    """
    unchecked = unchecked_to(cursor)
    complete = {cut.old_version: cut for cut in cuts if cut.old_version > unchecked}
    for cut in cuts:
        if cut.old_version not in complete:
            store_checksums(cursor, cut.new_version, cut.timeframe)
    dropped = _checksums_within(cursor, {version: _cut_off(cut) for version, cut in complete.items()}, unchecked)
    kept: dict[int, Checksums] = {}
    for version, found in _added_up(cursor, is_one_of("version_id", complete)):
        cut, days = complete[version], segment_days(complete[version].timeframe)
        kept[cut.new_version] = {}
        for number, sums in found.items():
            within = segment_range(number, days)
            if within.start < cut.start < within.end:
                sums = sums.without(dropped.get(version, {}).get(number, SegmentSums()))
            if cut.start < within.end and sums.bars:
                kept[cut.new_version][number] = sums
    add_checksums(cursor, kept)


def _cut_off(cut: Cut) -> tuple[TimeRange, int]:
    """Return the part that is left out of the segment in which a version is cut, and how many days the segment has."""
    days = segment_days(cut.timeframe)
    segment = int(Days.of(np.array([cut.start])).numbers[0]) // days
    return TimeRange(segment_range(segment, days).start, cut.start), days


def differing(stored: Checksums, computed: Checksums) -> Iterator[tuple[int, list[str], int]]:
    """Yield each segment whose checksums differ: its number, the columns, and how many bars are too many."""
    for number in sorted(stored.keys() | computed.keys()):
        one, other = stored.get(number, SegmentSums()), computed.get(number, SegmentSums())
        columns = one.differing(other)
        if columns or one.bars != other.bars:
            yield number, columns, other.bars - one.bars


def store_checksums(cursor: StoreCursor, version_id: int, timeframe: str) -> None:
    """Compute the checksums of a version from its bars, and replace the stored ones."""
    cursor.execute(f"DELETE FROM {{db}}.bar_checksum WHERE version_id = {version_id}")
    add_checksums(cursor, {version_id: computed_checksums(cursor, version_id, timeframe)})


def checksums_where(cursor: StoreCursor, timeframes: Mapping[int, str], which: str) -> dict[int, Checksums]:
    """Return the checksums of those stored bars of versions, each of a timeframe, that meet an SQL condition."""
    wanted = {version: (_ALWAYS, segment_days(timeframe)) for version, timeframe in timeframes.items()}
    return _checksums_within(cursor, wanted, unchecked_to(cursor), which)


def checksums_of(cursor: StoreCursor, timeframes: Mapping[int, str]) -> Iterator[tuple[int, Checksums, Checksums]]:
    """Yield versions, each of a timeframe, with the stored checksums and those of the bars: one long, or many short."""
    stored = dict(_added_up(cursor, is_one_of("version_id", timeframes)))
    if len(timeframes) == 1:
        computed = {
            version: computed_checksums(cursor, version, timeframe) for version, timeframe in timeframes.items()
        }
    else:
        computed = checksums_where(cursor, timeframes, "true")
    for version in timeframes:
        yield version, stored.get(version, {}), computed.get(version, {})


def computed_checksums(cursor: StoreCursor, version_id: int, timeframe: str) -> Checksums:
    """Return the checksums of the stored bars of a version."""
    ((rows, first, last),) = cursor.rows(_SIZE, [version_id])
    days = segment_days(timeframe)
    if rows <= _MOST_ROWS:
        return read_checksums(cursor, version_id, days)
    found: Checksums = {}
    start, end = (Days.of(np.array([time])).numbers[0] // days for time in (first, last))
    for number in range(start, end + 1):
        found |= read_checksums(cursor, version_id, days, segment_range(number, days))
    return found


def read_checksums(
    cursor: StoreCursor,
    version_id: int,
    days: int,
    within: TimeRange | None = None,
    *,
    which: str = "true",
    once: bool = False,
) -> Checksums:
    """Return the checksums of the stored bars of a version in a range.

    `which` is a further SQL condition. With `once`, a doubled bar counts once, as the one that was written last.
    """
    which += f" AND version_id = {version_id} AND {is_checked(version_id, unchecked_to(cursor))}"
    if within is not None:
        which += f" AND {starts_between(within.start, within.end)}"
    if once:
        which += " QUALIFY row_number() OVER (PARTITION BY ts ORDER BY ingest_id DESC, rowid DESC) = 1"
    names = checked_columns(cursor)
    listed = ", ".join(f'"{name}"' for name in names)
    table, times = in_time_order(cursor.arrow(f"SELECT ts, {listed} FROM {{db}}.bar WHERE {which}"))
    return sums_of(times, {name: single_array(table[name]) for name in names}, days)


def _checksums_within(
    cursor: StoreCursor, wanted: Mapping[int, tuple[TimeRange, int]], unchecked: int, which: str = "true"
) -> dict[int, Checksums]:
    """Return the checksums of the stored bars of versions, each in a range with segments of so many days.

    `which` is a further SQL condition.
    """
    rows = [(version_id, within.start, within.end) for version_id, (within, _) in wanted.items()]
    cursor.register(_WANTED, rows_of(_WANTED_COLUMNS, rows))
    names = checked_columns(cursor)
    listed = ", ".join(f'bar."{name}"' for name in names)
    table = cursor.arrow(
        f"SELECT version_id, ts, {listed} FROM {{db}}.bar JOIN {_WANTED} USING (version_id) "
        f"WHERE ts >= range_start AND ts < range_end AND (version_id > {unchecked} OR ingest_id > {unchecked}) "
        f"AND {which} ORDER BY version_id, ts"
    ).combine_chunks()
    cursor.unregister(_WANTED)
    return {
        version_id: sums_of(times, {name: single_array(part[name]) for name in names}, wanted[version_id][1])
        for version_id, times, part in by_version(table)
    }


def is_checked(version_id: int, unchecked: int) -> str:
    """Return the SQL condition for bars of a version that have checksums, given up to which ids others have none."""
    return f"ingest_id > {unchecked}" if version_id <= unchecked else "true"


def checked_columns(cursor: StoreCursor) -> list[str]:
    """Return the columns of `bar` that have checksums, besides the start of the bar."""
    return [name for name, _ in bar_columns(cursor) if name not in ("version_id", "ts")]


def stored_checksums(cursor: StoreCursor, version_id: int) -> Checksums:
    """Return the stored checksums of a version."""
    return next((found for _, found in _added_up(cursor, f"version_id = {version_id}")), {})


def all_checksums(cursor: StoreCursor) -> Iterator[tuple[int, Checksums]]:
    """Yield each version and its stored checksums, in order."""
    return _added_up(cursor, "true")


def _added_up(cursor: StoreCursor, which: str) -> Iterator[tuple[int, Checksums]]:
    table = cursor.arrow(_STORED.replace("{which}", which))
    rows = (row for batch in table.to_batches(2_048) for row in zip(*(c.to_pylist() for c in batch), strict=True))
    for version_id, parts in groupby(rows, key=lambda row: row[0]):
        found: Checksums = {}
        with reading(f"the checksums of version {version_id}"):
            for _, number, bars, names, sums in parts:
                values = dict(zip(names.split(","), np.frombuffer(sums, "<u8").tolist(), strict=True))
                found.setdefault(number, SegmentSums()).add(bars, values)
        yield version_id, found


def unchecked_to(cursor: StoreCursor) -> int:
    """Return up to which ids of version and write a bar has no checksum, because an older release stored it."""
    found = cursor.rows("SELECT value FROM {db}.store_meta WHERE key = ?", [_UNCHECKED])
    with reading("store_meta"):
        return int(found[0][0]) if found else 0


def forget_unchecked(cursor: StoreCursor) -> None:
    """Record that all bars have checksums."""
    cursor.execute("DELETE FROM {db}.store_meta WHERE key = ?", [_UNCHECKED])


def _weights(times: Int64Array) -> Words:
    weights: Words = times.view(np.uint64) * _WEIGHT
    weights ^= weights >> _HALF
    weights |= _ONE
    return weights


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of a column as 64-bit numbers, and which of them are there (None: all)."""

    numbers: np.ndarray[Any, Any]
    present: np.ndarray[Any, np.dtype[np.bool_]] | None

    @classmethod
    def of(cls, column: pa.Array) -> _Values:
        present = ~column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return cls(_hashes(column), present)
        if pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        values = (column if present is None else column.fill_null(0)).to_numpy()
        return cls(values if values.dtype == np.float64 else values.astype(np.int64, copy=False), present)

    def sum(self, part: slice, weights: Words) -> int:
        """Return the sum of a part of the column."""
        values = self.numbers[part]
        if values.dtype == np.float64:
            # All NaN are alike, and zeros of both signs: DuckDB does not keep them apart.
            with np.errstate(invalid="ignore", over="ignore"):
                values = values + 0.0
                if np.isnan(values.sum()):
                    values[np.isnan(values)] = np.nan
        words: Words = values.view(np.uint64)
        folded: Words = words >> _HALF
        folded ^= words
        if self.present is not None:
            weights = weights * self.present[part]
        return (int(np.dot(folded, weights)) + _PRESENT * int(weights.sum())) % _MODULUS


def _hashes(column: pa.Array) -> Int64Array:
    coded = column.dictionary_encode()
    codes = (coded.indices.fill_null(0) if column.null_count else coded.indices).to_numpy()
    known = np.array([_hash_of(text) for text in coded.dictionary.to_pylist()], np.uint64)
    hashes: Int64Array = known.view(np.int64)[codes]
    return hashes


def _hash_of(text: str) -> int:
    raw = text.encode("utf-8", "surrogatepass")
    return zlib.crc32(raw) << 32 | zlib.adler32(raw)


def _packed(sums: Mapping[str, int]) -> bytes:
    return np.array(list(sums.values()), "<u8").tobytes()
