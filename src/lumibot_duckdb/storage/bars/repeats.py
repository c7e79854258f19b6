"""The table of repeated bars: crypto candles that Lumibot's CCXT cache drops.

Lumibot keeps the first of several candles with the same numbers, among those of one download, and none that lacks a
price. Which candles repeat an earlier one does not depend on the downloads, so it is recorded when bars are written,
for every version with an outline. Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey, EpochSeconds, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars.columns import in_time_order, single_array
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_times import epoch_sql, timestamp_literal
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import Int64Array

REACH = 50_000
"""How many bar lengths apart two candles may be to count as repeated: as long as Lumibot's longest download."""

_TYPES = ("crypto", "crypto_future")
_AT_A_TIME = 200_000
"""Bar lengths whose repeats are found at a time."""

_INCOMING = "lumibot_duckdb_candles"
_PRICES = ("open", "high", "low", "close")
_LACKING = " OR ".join(f"{name} IS NULL OR isnan({name})" for name in _PRICES)
# Equal numbers are those that pandas takes as equal: missing ones, and zeros of either sign.
_ALIKE = ", ".join(
    f"CASE WHEN {name} = 0 THEN 0 WHEN {name} IS NULL THEN 'nan'::DOUBLE ELSE {name} END"
    for name in (*_PRICES, "volume")
)
_CANDLES = f"""
SELECT ts, CASE
    WHEN {_LACKING} THEN ts
    ELSE lag(ts) OVER (PARTITION BY {_ALIKE} ORDER BY ts)
END AS earlier
FROM {{db}}.bar
WHERE version_id = {{version}} AND ts >= {{start}} AND ts < {{end}}
"""
_VOLUMES = "SELECT DISTINCT volume FROM {db}.bar WHERE version_id = {version} AND ts >= {start} AND ts < {end}"
_FEW = 50
"""How many volumes are written into a query: DuckDB skips most of the bars then."""

_RECORDED = "SELECT version_id, ts, earlier FROM {db}.repeated_bar"
_FEW_REPEATS = 10_000
"""So many repeats of several series are read at once, which takes hardly longer than those of one."""

_VERSIONS = f"""
SELECT version_id, timeframe, {epoch_sql("min(ts)")}, {epoch_sql("max(ts)")}
FROM {{db}}.bar JOIN {{db}}.series_version USING (version_id) JOIN {{db}}.series USING (series_id)
    JOIN {{db}}.asset USING (asset_id)
WHERE asset_type IN {_TYPES} AND version_id IN (SELECT version_id FROM {{db}}.outline)
GROUP BY ALL ORDER BY version_id
"""


@dataclass(frozen=True, slots=True)
class Repeats:
    """The bars of a series that repeat an earlier one or lack a price, as parallel arrays, sorted.

    Attributes:
        times: the starts of these bars.
        earlier: the start of the latest earlier bar with the same numbers; of a bar that lacks a price, its own start.
        reach: how many seconds apart they are at most.
    """

    times: Int64Array
    earlier: Int64Array
    reach: int

    def dropped_in(self, within: TimeRange) -> Int64Array:
        """Return the bars that Lumibot drops from a download of a range, which is not longer than `reach`."""
        cut = slice(*self.times.searchsorted((within.start, within.end)))
        dropped: Int64Array = self.times[cut][self.earlier[cut] >= within.start]
        return dropped


def may_repeat(asset: AssetKey) -> bool:
    """Return whether repeats of an asset's bars are recorded."""
    return asset.asset_type in _TYPES


def store_repeats(cursor: StoreCursor, version_id: int, timeframe: str, bars: TimeRange) -> None:
    """Record the repeats of a version that has none recorded, given the range of its bars."""
    for query in _pieces(version_id, timeframe, bars):
        _insert(cursor, version_id, query)


def update_repeats(cursor: StoreCursor, version_id: int, timeframe: str, added: TimeRange, *, at_the_end: bool) -> None:
    """Bring the repeats of a version up to date with bars that were added in a range.

    `at_the_end` says that all other bars are earlier.
    """
    reach = _reach(timeframe)
    first = timestamp_literal(added.start)
    query = _filled(_CANDLES, version_id, added.start - reach, added.end + reach)
    query += f" AND (volume IS NULL OR isnan(volume) OR volume IN ({_volumes(cursor, version_id, added)}))"
    cursor.register(_INCOMING, cursor.arrow(f"SELECT * FROM ({query}) WHERE ts >= {first}"))
    if not at_the_end:
        cursor.execute(
            f"DELETE FROM {{db}}.repeated_bar WHERE version_id = {version_id} AND ts >= {first} "
            f"AND ts IN (SELECT ts FROM {_INCOMING})"
        )
    _insert(cursor, version_id, f"FROM {_INCOMING} WHERE {_is_repeat(reach)}")
    cursor.unregister(_INCOMING)


def build_repeats(cursor: StoreCursor) -> None:
    """Record the repeats of all versions with an outline, in a store that has none recorded."""
    for version_id, timeframe, first, last in cursor.rows(_VERSIONS):
        store_repeats(cursor, version_id, timeframe, TimeRange(first, last + 1))


def delete_repeats(cursor: StoreCursor, version_id: int) -> None:
    """Delete the recorded repeats of a version."""
    cursor.execute(f"DELETE FROM {{db}}.repeated_bar WHERE version_id = {version_id}")


def stored_repeats(cursor: StoreCursor, pin: SeriesPin) -> Repeats:
    """Return the recorded repeats of the bars of a pinned version."""
    return repeats_in(cursor.arrow(f"{_RECORDED} WHERE version_id = {pin.version_id}"), pin)


def few_repeats(cursor: StoreCursor, versions: Collection[int]) -> pa.Table | None:
    """Return the table of the recorded repeats of some versions; None if there are many."""
    table = cursor.arrow(f"{_RECORDED} WHERE {is_one_of('version_id', versions)} LIMIT {_FEW_REPEATS + 1}")
    return table if table.num_rows <= _FEW_REPEATS else None


def repeats_in(table: pa.Table, pin: SeriesPin) -> Repeats:
    """Return the repeats of the bars of a pinned version, which a table of recorded ones has."""
    table, times = in_time_order(table.filter(pa.array(table["version_id"].to_numpy() == pin.version_id)))
    earlier = single_array(table["earlier"]).view(pa.int64()).to_numpy()
    return Repeats(times, earlier, _reach(pin.key.timeframe))


def wrong_repeats(cursor: StoreCursor) -> Iterator[tuple[int, str]]:
    """Compare the recorded repeats with the bars; yield each version for which they are wrong, and a description."""
    known = {version_id for (version_id,) in cursor.rows("SELECT DISTINCT version_id FROM {db}.repeated_bar")}
    for version_id, timeframe, first, last in cursor.rows(_VERSIONS):
        known.discard(version_id)
        ((stored,),) = cursor.rows(f"SELECT count(*) FROM {{db}}.repeated_bar WHERE version_id = {version_id}")
        expected = matching = 0
        for query in _pieces(version_id, timeframe, TimeRange(first, last + 1)):
            ((found, same),) = cursor.rows(
                f"SELECT count(*), count(known.ts) FROM ({query}) AS bar LEFT JOIN {{db}}.repeated_bar AS known "
                f"ON known.version_id = {version_id} AND known.ts = bar.ts AND known.earlier = bar.earlier"
            )
            expected, matching = expected + found, matching + same
        if not stored == expected == matching:
            yield version_id, f"the repeated bars of version {version_id} are not those of its bars"
    for version_id in sorted(known):
        yield version_id, f"version {version_id} has repeated bars, but no outline"


def _volumes(cursor: StoreCursor, version_id: int, bars: TimeRange) -> str:
    """Return SQL for the volumes of the bars in a range: bars with other volumes do not repeat them."""
    query = _filled(_VOLUMES, version_id, bars.start, bars.end)
    found = cursor.rows(f"{query} LIMIT {_FEW + 1}")
    if len(found) > _FEW:
        return query
    return ", ".join("NULL" if volume is None else f"'{volume!r}'::DOUBLE" for (volume,) in found)


def _reach(timeframe: str) -> int:
    return REACH * bar_seconds(timeframe)


def _insert(cursor: StoreCursor, version_id: int, repeats: str) -> None:
    cursor.execute(f"INSERT INTO {{db}}.repeated_bar SELECT {version_id}, ts, earlier FROM ({repeats}) ORDER BY ts")


def _is_repeat(reach: int) -> str:
    return f"earlier >= ts::TIMESTAMP - to_seconds({reach})"


def _pieces(version_id: int, timeframe: str, bars: TimeRange) -> Iterator[str]:
    """Yield queries for the repeats among the bars of a range, a stretch of time each."""
    reach, step = _reach(timeframe), _AT_A_TIME * bar_seconds(timeframe)
    for start in range(bars.start, bars.end, step):
        query = _filled(_CANDLES, version_id, start - reach, min(bars.end, start + step))
        yield f"SELECT * FROM ({query}) WHERE ts >= {timestamp_literal(start)} AND {_is_repeat(reach)}"


def _filled(query: str, version_id: int, start: EpochSeconds, end: EpochSeconds) -> str:
    texts = {"version": str(version_id), "start": timestamp_literal(start), "end": timestamp_literal(end)}
    for name, text in texts.items():
        query = query.replace("{" + name + "}", text)
    return query
