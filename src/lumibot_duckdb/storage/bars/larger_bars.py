"""Larger bars of a pinned series, made in the database, so that only the result takes memory."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import BarArrays, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars.columns import over_bars, pinned_rows
from lumibot_duckdb.storage.bars.layout import Kind, Layout
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.errors import InvalidBarsError
from lumibot_duckdb.storage.sql_files import sql_file
from lumibot_duckdb.storage.sql_times import starts_between
from lumibot_duckdb.storage.timeframes import count_and_unit, is_of_days

COLUMNS = ("open", "high", "low", "close", "volume")

# A date. Weeks begin on Monday, and so does the count of days.
_OF_DAYS = "time_bucket(INTERVAL '{length}', day, TIMESTAMP '{origin}')"
_WITHIN_DAY = "time_bucket(INTERVAL '{length}', ts, day AT TIME ZONE $zone AT TIME ZONE 'UTC')"


def larger_bars(store: OpenStore, pin: SeriesPin, timeframe: str, within: TimeRange | None, zone: str) -> BarArrays:
    """Do what `BarReader.read_larger_bars` documents; `timeframe` is canonical."""
    layout = store.state(pin).layout
    which = pinned_rows(pin)
    if within is not None:
        which += f" AND {starts_between(within.start, within.end)}"
    query = sql_file("larger_bars.sql").replace("{which}", which).replace("{start}", _start(timeframe))
    query = query.replace("{of_days}", str(is_of_days(pin.key.timeframe)))
    query = query.replace("{within_day}", str(not is_of_days(timeframe)))
    for name in COLUMNS:
        query = query.replace(f"{{{name}}}", _number(layout, name, pin))
    named = [column for column in layout.columns if column.name in COLUMNS]
    with store.read_pinned(pin) as cursor:
        table = over_bars(cursor, partial(cursor.arrow, parameters={"zone": zone}), query, named)
        if table.num_rows == 0:
            store.refuse_if_gone(cursor, pin)
    store.counters.count_read(table.num_rows, table.nbytes)
    times = table["ts"].cast(pa.timestamp("s")).cast(pa.int64()).to_numpy()
    numbers = {name: table[name].cast(pa.float64()).to_numpy() for name in COLUMNS}
    return BarArrays(times, {**numbers, "bars": table["bars"].to_numpy().astype(np.int64)})


def _start(timeframe: str) -> str:
    """Return SQL for the start of the larger bar that a bar belongs to, as the macro `bar_start` computes it."""
    count, unit = count_and_unit(timeframe)
    length = f"{count} {unit}"
    if is_of_days(timeframe):
        origin = "2000-01-01" if unit == "month" else "2000-01-03"
        return _OF_DAYS.replace("{length}", length).replace("{origin}", origin)
    return _WITHIN_DAY.replace("{length}", length)


def _number(layout: Layout, name: str, pin: SeriesPin) -> str:
    """Return SQL for a column of numbers, NULL if the series lacks it."""
    column = layout.column(name)
    if column is None or column.physical is None:
        return "NULL"
    if column.kind not in (Kind.NUMBER, Kind.TRUTH):
        raise InvalidBarsError(f"{pin.key.label()}: the column {name!r} has no numbers")
    return f'"{column.physical}"'
