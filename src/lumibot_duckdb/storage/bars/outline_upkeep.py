"""Keeps what is recorded of the times of a version, its outline and its repeated bars, up to date with its bars.

Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.outline_records import has_outline, store_outline, update_outline
from lumibot_duckdb.storage.bars.repeats import may_repeat, store_repeats, update_repeats
from lumibot_duckdb.storage.bars.version_state import VersionState
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.times import Int64Array


def keep_outline(
    cursor: StoreCursor, key: SeriesKey, before: VersionState | None, after: VersionState, added: Int64Array
) -> None:
    """Store the outline of a version, or update it if there is one from before bars were added at some times."""
    if not has_outline(after.rows) or after.first is None or after.last is None:
        return
    repeats = may_repeat(key.asset)
    if before is None or not has_outline(before.rows):
        store_outline(cursor, after.version_id, after.first, after.last)
        if repeats:
            bars = TimeRange(after.first, after.last + 1)
            store_repeats(cursor, after.version_id, key.timeframe, bars)
        return
    update_outline(cursor, after.version_id, added)
    if repeats:
        news = TimeRange(int(added[0]), int(added[-1]) + 1)
        at_the_end = before.last is not None and news.start > before.last
        update_repeats(cursor, after.version_id, key.timeframe, news, at_the_end=at_the_end)
