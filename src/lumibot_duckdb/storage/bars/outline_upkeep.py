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
    if before is None or not has_outline(before.rows):
        outline_version(cursor, key, after)
        return
    update_outline(cursor, after.version_id, added)
    if may_repeat(key.asset):
        news = TimeRange(int(added[0]), int(added[-1]) + 1)
        at_the_end = before.last is not None and news.start > before.last
        update_repeats(cursor, after.version_id, key.timeframe, news, at_the_end=at_the_end)


def outline_version(cursor: StoreCursor, key: SeriesKey, version: VersionState) -> None:
    """Store the outline of a version that has none, if it needs one."""
    if not has_outline(version.rows) or version.first is None or version.last is None:
        return
    store_outline(cursor, version.version_id, version.first, version.last)
    if may_repeat(key.asset):
        store_repeats(cursor, version.version_id, key.timeframe, TimeRange(version.first, version.last + 1))
