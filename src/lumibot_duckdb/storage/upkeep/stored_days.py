"""The days that have bars, of many series at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import SeriesInfo
from lumibot_duckdb.storage.bars.batches import limited_batches
from lumibot_duckdb.storage.bars.columns import single_array
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.outline import Days
from lumibot_duckdb.storage.bars.outline_records import has_outline, outlined_days
from lumibot_duckdb.storage.connection.cursor import StoreCursor

_ROWS_AT_A_TIME = 1_000_000
_OUTLINED_ROWS = 250
"""Reading the outline of a long series takes about as long as reading so many bars."""
_VERSIONS = "lumibot_duckdb_versions"


def stored_days(store: OpenStore, series: Iterable[SeriesInfo]) -> Iterator[tuple[SeriesInfo, Days]]:
    """Yield series that have bars, and the days of these, in the order of their versions.

    No transaction is open while the caller works. A series whose version was removed meanwhile is left out.
    """
    # Bars lie in the file in the order of versions.
    stored = sorted((info for info in series if info.rows), key=lambda info: info.version_id)
    for some in limited_batches(stored, _cost, inf, _ROWS_AT_A_TIME):
        with store.read() as cursor:
            found = _days(cursor, some)
        for info in some:
            if info.version_id in found:
                yield info, found[info.version_id]


def _cost(info: SeriesInfo) -> int:
    return _OUTLINED_ROWS if has_outline(info.rows) else info.rows


def _days(cursor: StoreCursor, series: Sequence[SeriesInfo]) -> dict[int, Days]:
    found = {}
    for info in series:
        if has_outline(info.rows) and (days := outlined_days(cursor, info.version_id)) is not None:
            found[info.version_id] = days
    found.update(_days_of_bars(cursor, [info.version_id for info in series if info.version_id not in found]))
    return found


def _days_of_bars(cursor: StoreCursor, versions: Sequence[int]) -> Iterator[tuple[int, Days]]:
    cursor.register(_VERSIONS, pa.table({"version_id": pa.array(versions, pa.int32())}))
    table = cursor.arrow(f"SELECT version_id, ts FROM {{db}}.bar SEMI JOIN {_VERSIONS} USING (version_id)")
    cursor.unregister(_VERSIONS)
    ids, times = single_array(table["version_id"]).to_numpy(), single_array(table["ts"]).view(pa.int64()).to_numpy()
    order = np.lexsort((times, ids))
    ids, times = ids[order], times[order]
    there, starts = np.unique(ids, return_index=True)
    for version_id, own in zip(there.tolist(), np.split(times, starts[1:]), strict=False):
        yield version_id, Days.of(own)
