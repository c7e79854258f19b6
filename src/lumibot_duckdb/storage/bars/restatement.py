"""Restatement: a series begins a new version without bars, to be filled again, since its source gives other bars now.

The earlier bars stay, for pins and `as_of`, until a compaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_files import sql_file

_RESTATED = "lumibot_duckdb_restated"
_COLUMNS = pa.schema([("series_id", pa.int32()), ("version_id", pa.int32()), ("now", pa.timestamp("us"))])


def restate(cursor: StoreCursor, series: Sequence[int], first_id: int, now: datetime) -> None:
    """Restate series, inside a transaction of the caller.

    The ids from `first_id` on, one per series, and `now` (naive UTC) are above those of all earlier writes.
    """
    if not series:
        return
    ids = range(first_id, first_id + len(series))
    cursor.register(_RESTATED, pa.table([list(series), ids, [now] * len(series)], schema=_COLUMNS))
    cursor.execute(sql_file("restate_series.sql"))
    cursor.unregister(_RESTATED)
