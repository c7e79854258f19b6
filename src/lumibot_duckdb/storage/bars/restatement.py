"""Renewal: a series begins a new version without bars, to be filled anew, since what its source gives has changed.

The bars of before stay, for pins and `as_of`, until a compaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files

import pyarrow as pa

from lumibot_duckdb.storage.connection.store_connection import StoreCursor

_RENEWED = "lumibot_duckdb_renewed"
_COLUMNS = pa.schema([("series_id", pa.int32()), ("version_id", pa.int32()), ("now", pa.timestamp("us"))])


def renew(cursor: StoreCursor, series: Sequence[int], first_id: int, now: datetime) -> None:
    """Renew series, inside a transaction of the caller.

    The ids from `first_id` on, one a series, and `now` (UTC, naive) are above those of all earlier writes.
    """
    if not series:
        return
    ids = range(first_id, first_id + len(series))
    cursor.register(_RENEWED, pa.table([list(series), ids, [now] * len(series)], schema=_COLUMNS))
    cursor.execute(_script())
    cursor.unregister(_RENEWED)


@cache
def _script() -> str:
    return (files("lumibot_duckdb.storage") / "sql" / "renew_series.sql").read_text("utf-8")
