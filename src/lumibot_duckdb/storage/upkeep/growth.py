"""How the number of stored bars grew, from the log of writes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_files import sql_file
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, EpochSeconds

_INTERVALS = (60, 600, 3_600, SECONDS_PER_DAY)
_MOST_INTERVALS = 1_500
_SPAN = "SELECT CAST(epoch(max(ingested_at)) - epoch(min(ingested_at)) AS BIGINT) FROM {db}.ingest"


@dataclass(frozen=True, slots=True)
class Growth:
    """By how many bars a source and timeframe grew in the interval of `seconds` from `start`; negative if it shrank."""

    start: EpochSeconds
    seconds: int
    source: str
    timeframe: str
    bars: int


def growth(cursor: StoreCursor, series: Collection[int] | None) -> list[Growth]:
    """Return the growth by some series (ids; None: all), in time order."""
    ((span,),) = cursor.rows(_SPAN)
    seconds = next((each for each in _INTERVALS if (span or 0) <= each * _MOST_INTERVALS), SECONDS_PER_DAY)
    which = "true" if series is None else f"series_id IN ({', '.join(map(str, series)) or 'NULL'})"
    rows = cursor.rows(sql_file("growth.sql").replace("{which}", which), {"seconds": seconds})
    return [Growth(start, seconds, source, timeframe, bars) for start, source, timeframe, bars in rows]
