"""The table of outlines: a row for each block of days of a version, replaced by the writes that add bars to it.

A short version has no rows there, because reading its bar times is as fast. Everything here runs inside one transaction
of the caller.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import SeriesPin
from lumibot_duckdb.storage.bars.columns import single_array
from lumibot_duckdb.storage.bars.outline import (
    Days,
    Outline,
    ReadTimes,
    Spacings,
    block_range,
    blocks_between,
    runs,
)
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_times import epoch_sql, starts_between
from lumibot_duckdb.storage.stored_values import reading
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, EpochSeconds, Int64Array

SHORT_SERIES = 10_000
"""Up to so many bars, a version has no stored outline."""

_BLOCKS_AT_A_TIME = 16
_INCOMING = "lumibot_duckdb_blocks"
_COLUMNS = pa.schema(
    [
        ("version_id", pa.int32()),
        ("block", pa.int32()),
        ("ingest_id", pa.int32()),
        ("days", pa.int16()),
        ("packed", pa.binary()),
    ]
)
_STORED = "SELECT block, ingest_id, days, packed FROM {db}.outline WHERE version_id = ? ORDER BY block"
_VERSIONS = f"""
SELECT version_id, count(*), {epoch_sql("min(ts)")}, {epoch_sql("max(ts)")}
FROM {{db}}.bar GROUP BY version_id HAVING count(*) > ? ORDER BY version_id
"""
_OUTLINED = "SELECT DISTINCT version_id FROM {db}.outline"

# Bar starts are stored as seconds since midnight UTC of their day, which compresses well.
_DAY = np.dtype([("number", "<i4"), ("bars", "<i4"), ("first", "<i4"), ("last", "<i4")])
_SPACING = np.dtype([("seconds", "<i4"), ("count", "<i4")])


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A row: the days of a block and their spacings, packed, and the last write that added bars to the block."""

    number: int
    ingest_id: int
    days: int
    packed: bytes


def has_outline(rows: int) -> bool:
    """Return whether a version with so many bars has a stored outline."""
    return rows > SHORT_SERIES


def store_outline(cursor: StoreCursor, version_id: int, first: EpochSeconds, last: EpochSeconds) -> None:
    """Store the outline of a version that has none, given the starts of its first and last bar."""
    _insert(cursor, version_id, [blocks_between(first, last)])


def update_outline(cursor: StoreCursor, version_id: int, added: Int64Array) -> None:
    """Bring the outline of a version up to date with bars that were added at some times (sorted)."""
    changed = runs(np.unique(Days.of(added).blocks))
    for first, last in changed:
        cursor.execute(
            f"DELETE FROM {{db}}.outline WHERE version_id = {version_id} AND block BETWEEN {first} AND {last}"
        )
    _insert(cursor, version_id, changed)


def build_outlines(cursor: StoreCursor) -> None:
    """Store the outlines of all versions, in a store that has none."""
    for version_id, _, first, last in cursor.rows(_VERSIONS, [SHORT_SERIES]):
        store_outline(cursor, version_id, first, last)


def delete_outline(cursor: StoreCursor, version_id: int) -> None:
    """Delete the outline of a version."""
    cursor.execute(f"DELETE FROM {{db}}.outline WHERE version_id = {version_id}")


def stored_blocks(cursor: StoreCursor, version_id: int) -> list[StoredBlock]:
    """Return the stored outline of a version."""
    return [StoredBlock(*row) for row in cursor.rows(_STORED, [version_id])]


def outline_of(stored: Sequence[StoredBlock], pin: SeriesPin, rows: int, read: ReadTimes) -> Outline | None:
    """Return the outline of the pinned bars, which are so many, from the stored one; None if there is none.

    Blocks to which later writes added bars are outlined from the starts of the pinned bars, which `read` reads.
    """
    days, spacings = _unpacked([block for block in stored if block.ingest_id <= pin.ingest_id])
    changed = [Days.of(read(block_range(block.number))) for block in stored if block.ingest_id > pin.ingest_id]
    if changed:
        days = Days.joined([days, *changed])
    return Outline(days=days, spacings=spacings) if int(days.bars.sum()) == rows else None


def outlined_days(cursor: StoreCursor, version_id: int) -> Days | None:
    """Return the days of a version from its stored outline; None if it has none."""
    stored = stored_blocks(cursor, version_id)
    return _unpacked(stored)[0] if stored else None


def wrong_outlines(cursor: StoreCursor) -> Iterator[tuple[int, str]]:
    """Compare the stored outlines with the bars; yield each version whose outline is wrong, and a description."""
    outlined = {version_id for (version_id,) in cursor.rows(_OUTLINED)}
    for version_id, rows, first, last in cursor.rows(_VERSIONS, [0]):
        if version_id not in outlined:
            if has_outline(rows):
                yield version_id, f"version {version_id} has {rows} bars, but no outline"
            continue
        outlined.remove(version_id)
        if stored_blocks(cursor, version_id) != list(_outlined(cursor, version_id, [blocks_between(first, last)])):
            yield version_id, f"the outline of version {version_id} is not that of its bars"
    for version_id in sorted(outlined):
        yield version_id, f"version {version_id} has an outline, but no bars"


def _insert(cursor: StoreCursor, version_id: int, blocks: Sequence[tuple[int, int]]) -> None:
    rows = [
        (version_id, block.number, block.ingest_id, block.days, block.packed)
        for block in _outlined(cursor, version_id, blocks)
    ]
    cursor.register(_INCOMING, pa.table(list(zip(*rows, strict=True)), schema=_COLUMNS))
    cursor.execute(f"INSERT INTO {{db}}.outline SELECT * FROM {_INCOMING}")
    cursor.unregister(_INCOMING)


def _outlined(cursor: StoreCursor, version_id: int, blocks: Sequence[tuple[int, int]]) -> Iterator[StoredBlock]:
    """Yield the blocks of a version, of some runs of blocks, as they should be stored."""
    for first, last in blocks:
        for start in range(first, last + 1, _BLOCKS_AT_A_TIME):
            yield from _blocks_of(*_bars(cursor, version_id, start, min(last, start + _BLOCKS_AT_A_TIME - 1)))


def _bars(cursor: StoreCursor, version_id: int, first: int, last: int) -> tuple[Int64Array, Int64Array]:
    """Return the starts of the bars of some blocks, sorted, and the writes that brought them."""
    within = block_range(first, last)
    table = cursor.arrow(
        f"SELECT ts, ingest_id FROM {{db}}.bar WHERE version_id = {version_id} "
        f"AND {starts_between(within.start, within.end)}"
    )
    times, ingests = single_array(table["ts"]).view(pa.int64()).to_numpy(), single_array(table["ingest_id"]).to_numpy()
    if not bool((times[1:] > times[:-1]).all()):
        order = np.argsort(times, kind="stable")
        times, ingests = times[order], ingests[order]
    return times, ingests


def _blocks_of(times: Int64Array, ingests: Int64Array) -> Iterator[StoredBlock]:
    days = Days.of(times)
    stops = np.cumsum(days.bars)
    numbers, firsts = np.unique(days.blocks, return_index=True)
    for number, first, stop in zip(numbers.tolist(), firsts, np.append(firsts, len(days))[1:], strict=True):
        bars = slice(stops[first] - days.bars[first], stops[stop - 1])
        inside = days.chosen(slice(first, stop))
        packed = _packed(inside, Spacings.within(inside, times[bars]))
        yield StoredBlock(number, int(ingests[bars].max()), len(inside), packed)


def _packed(days: Days, spacings: Spacings) -> bytes:
    rows = np.empty(len(days), _DAY)
    midnight = days.numbers * SECONDS_PER_DAY
    rows["number"], rows["bars"] = days.numbers, days.bars
    rows["first"], rows["last"] = days.first - midnight, days.last - midnight
    counts = np.empty(len(spacings.seconds), _SPACING)
    counts["seconds"], counts["count"] = spacings.seconds, spacings.counts
    return zlib.compress(rows.tobytes() + counts.tobytes())


def _unpacked(blocks: Sequence[StoredBlock]) -> tuple[Days, dict[int, Spacings]]:
    days, spacings = [], {}
    for block in blocks:
        with reading(f"block {block.number} of an outline"):
            content = _decompressed(block.packed)
            end = block.days * _DAY.itemsize
            days.append(content[:end])
            counts = np.frombuffer(content, _SPACING, offset=end)
        spacings[block.number] = Spacings(counts["seconds"], counts["count"])
    rows = np.frombuffer(b"".join(days), _DAY)
    numbers, bars, first, last = (rows[name].astype(np.int64) for name in _DAY.names or ())
    midnight = numbers * SECONDS_PER_DAY
    return Days(numbers, bars, midnight + first, midnight + last), spacings


def _decompressed(packed: bytes) -> bytes:
    try:
        return zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(str(error)) from None
