"""Reads one column of many series: a query for each few million bars, not for each series.

For a few thousand bars, DuckDB takes longer to plan a query than to run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from lumibot_duckdb.storage.api import BarArrays, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import output
from lumibot_duckdb.storage.bars.batches import limited_batches
from lumibot_duckdb.storage.bars.columns import in_time_order, pinned_parts, stored_rows
from lumibot_duckdb.storage.bars.first_bars import INGEST
from lumibot_duckdb.storage.bars.layout import ColumnLayout
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.short_series import VERSION
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_times import starts_between

_ROWS = 4_000_000
"""How many bars are read at a time, 100 MB, unless one series has more."""


def column_of(
    store: OpenStore, pins: Sequence[SeriesPin], name: str, within: TimeRange | None
) -> dict[SeriesPin, BarArrays]:
    """Return a column of pinned series, which differ in their versions. Raises `KeyError` for a series without it."""
    alike: dict[ColumnLayout, list[SeriesPin]] = {}
    for pin in pins:
        (column,) = store.state(pin).layout.chosen([name])
        alike.setdefault(column, []).append(pin)
    found = {}
    with store.counters.timing():
        for column, members in alike.items():
            for some in limited_batches(members, lambda pin: store.state(pin).rows, inf, _ROWS):
                found.update(_read(store, some, column, within))
    return found


def _read(
    store: OpenStore, pins: Sequence[SeriesPin], column: ColumnLayout, within: TimeRange | None
) -> dict[SeriesPin, BarArrays]:
    condition = is_one_of(VERSION, [pin.version_id for pin in pins])
    if within is not None:
        condition += f" AND {starts_between(within.start, within.end)}"
    of_version = {pin.version_id: pin for pin in pins}
    found = {}
    with store.read_pinned(*pins) as cursor:
        table = stored_rows(cursor, [column], condition, (VERSION, INGEST))
        for version_id, rows in pinned_parts(table, {pin.version_id: pin.ingest_id for pin in pins}):
            pin = of_version[version_id]
            if rows.num_rows == 0:
                store.refuse_if_gone(cursor, pin)
            found[pin] = output.bar_arrays(*in_time_order(rows), [column])
    store.counters.count_read(table.num_rows, table.nbytes)
    return found
