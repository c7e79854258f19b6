"""Reads the rows of a Polygon cache file: bars as Polygon sent them, and the days that Lumibot marked as empty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from lumibot_duckdb.sources.polygon.metadata import whole_numbers
from lumibot_duckdb.sources.shared.old_cache.errors import UnreadableFileError

_PRICES = ("open", "high", "low", "close")
_COLUMNS = (*_PRICES, "volume", "vwap", "transactions", "otc")
_LARGEST_WHOLE = 2.0**53
_OTHER_COLUMNS = ("datetime", "timestamp", "missing")


@dataclass(frozen=True)
class CachedRows:
    """The rows of a file.

    `bars` are indexed by start (UTC, sorted), with Polygon's columns in its order. `marks` are the times of the rows
    that mark days as empty, and `unknown` are columns that Polygon does not have.
    """

    bars: pd.DataFrame
    marks: pd.DatetimeIndex
    unknown: tuple[str, ...]

    @property
    def empty_days(self) -> set[date]:
        """The days that are marked as empty."""
        return set(self.marks.date)

    def stretches(self, bars: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """Split some of the bars into stretches of months with the same dtypes, as in Polygon's responses.

        A row that marks a day turns the whole numbers of a file into floats, and so does any month with fractions.
        Polygon sends whole numbers without a fraction, so they become integers again. A column of whole floats without
        such a cause keeps them.
        """
        begin, first, before = 0, 0, None
        for end in _ends_of_months(bars):
            whole = whole_numbers(self._as_sent(bars.iloc[first:end]))
            if before is not None and whole != before:
                yield self._as_sent(bars.iloc[begin:first])
                begin = first
            before, first = whole, end
        if len(bars):
            yield self._as_sent(bars.iloc[begin:])

    def _as_sent(self, bars: pd.DataFrame) -> pd.DataFrame:
        sent: pd.DataFrame = pd.DataFrame({name: self._own_dtype(bars[name]) for name in bars}, index=bars.index)
        return sent

    def _own_dtype(self, column: pd.Series) -> pd.Series:
        if column.isna().all():
            return pd.Series([None] * len(column), index=column.index, dtype=object)
        if column.dtype != "float64" or not _is_whole(column):
            return column
        sent_as_floats = not len(self.marks) and _is_whole(self.bars[column.name])
        return column if sent_as_floats else column.astype("int64")


def cached_rows(table: pd.DataFrame) -> CachedRows:
    """Return the rows of a file, given as the frame that pandas read. Raises `UnreadableFileError`."""
    table = table.reset_index() if table.index.name == "datetime" else table
    if "datetime" not in table:
        raise UnreadableFileError(f"it has no column datetime, only {', '.join(map(str, table.columns)) or 'an index'}")
    times = _times(table["datetime"])
    values = [name for name in table.columns if name not in _OTHER_COLUMNS]
    marked = table[values].isna().all(axis=1).to_numpy()
    if "missing" in table:
        marked |= table["missing"].eq(True).to_numpy()
    bars = pd.DataFrame(
        {name: table[name].infer_objects().array if name in table else None for name in _COLUMNS}, index=times
    )[~marked].sort_index()
    if len(bars):
        _refuse_unless_bars(bars)
    return CachedRows(bars, times[marked], tuple(str(name) for name in values if name not in _COLUMNS))


def _ends_of_months(bars: pd.DataFrame) -> list[int]:
    months = pd.DatetimeIndex(bars.index).tz_localize(None).to_numpy().astype("M8[M]")
    return [*(np.flatnonzero(months[1:] != months[:-1]) + 1).tolist(), len(bars)] if len(bars) else []


def _is_whole(column: pd.Series) -> bool:
    values = column.to_numpy(dtype=float)
    return bool(np.all((np.abs(values) <= _LARGEST_WHOLE) & (values == np.floor(values))))


def _times(column: pd.Series) -> pd.DatetimeIndex:
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise UnreadableFileError(f"its column datetime holds {column.dtype}, not times")
    times: pd.DatetimeIndex = pd.DatetimeIndex(pd.to_datetime(column, utc=True), name="datetime").as_unit("ns")
    if times.hasnans:
        raise UnreadableFileError("it has a row without a time")
    return times


def _refuse_unless_bars(bars: pd.DataFrame) -> None:
    for name in _PRICES:
        if not pd.api.types.is_numeric_dtype(bars[name].dtype):
            raise UnreadableFileError(f"it has no numbers in a column {name}")
    if not bars.index.is_unique:
        raise UnreadableFileError(f"it has {bars.index[bars.index.duplicated()][0]} twice")
