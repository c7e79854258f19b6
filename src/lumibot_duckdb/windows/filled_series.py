"""Rows of one stored series as Lumibot fills them: aligned with the backtest's time index, without gaps, with returns.

Lumibot fills the whole series at once (`Data.repair_times_and_fill`). Here any range of rows is filled alone, with the
same result, because the rows from which the first one inherits values are read as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lumibot.entities import Asset, Data

from lumibot_duckdb.storage.api import BarArrays, EpochSeconds, TimeRange
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array, moment_of
from lumibot_duckdb.windows.bar_rows import BarRows, StoredRows
from lumibot_duckdb.windows.bar_table import BarTable
from lumibot_duckdb.windows.filling import (
    BAR_COLUMNS,
    EVENTS,
    PLAIN_DTYPES,
    PRICES,
    bar_columns,
    derived_columns_of,
    fill_bars,
)
from lumibot_duckdb.windows.series_view import SeriesView

QUOTES = ("bid", "ask", "bid_size", "ask_size")
QUOTE_TIMES = ("last_bid_time", "last_ask_time")
QUOTE_SESSION_GAP = 120 * 60 * NANOSECONDS_PER_SECOND
"""Nanoseconds between two rows over which Lumibot carries no quote forward (`Data.repair_times_and_fill`)."""


@dataclass(slots=True)
class FilledRows:
    """Filled rows and their times (ns, UTC).

    `table` has every column that was filled; `bars` has those that a request for bars returns, in Lumibot's order.
    `shares_times` says that the index and the times are parts of those that all series of a backtest share.
    """

    table: BarTable
    bars: BarTable
    nanoseconds: Int64Array
    shares_times: bool

    @classmethod
    def of(cls, table: BarTable, nanoseconds: Int64Array, *, shares_times: bool) -> FilledRows:
        """Return the rows of a filled table, which have these times."""
        names = list(table.columns)
        wanted = bar_columns(names)
        bars = table
        if wanted != names:
            bars = BarTable({name: table.columns[name] for name in wanted}, table.index)
        return cls(table, bars, nanoseconds, shares_times)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        columns = self.table.column_bytes + (0 if self.bars is self.table else self.bars.column_bytes)
        return columns if self.shares_times else columns + 2 * self.nanoseconds.nbytes


class FilledSeries:
    """Reads and fills ranges of rows of a series.

    On an index shared with other series, `load` reads all columns. Otherwise it reads only those that requests for bars
    return, and `load_whole` reads the others, too.
    """

    def __init__(self, view: SeriesView, rows: BarRows, asset: Asset, quote: Asset | None, timestep: str) -> None:
        self._view = view
        self._rows = rows
        self._described = view.facts.columns
        names = [column.name for column in self._described]
        self._has_quotes = any(name in names for name in (*QUOTES, *QUOTE_TIMES))
        self._own_rows = isinstance(rows, StoredRows)
        if self._own_rows and not self._has_quotes:
            self._described = tuple(column for column in self._described if column.name in BAR_COLUMNS)
        self._columns = [column.name for column in self._described]
        self._nullable = [column.name for column in self._described if column.has_nulls]
        self._asset = asset
        self._quote = quote
        self._timestep = timestep

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> BarRows:
        """The rows and their times."""
        return self._rows

    @property
    def has_every_column(self) -> bool:
        """Whether `load` reads all columns of the series."""
        return not self._own_rows or self._has_quotes

    @property
    def column_names(self) -> list[str]:
        """Names of the stored columns that `load` reads."""
        return self._columns

    def filled_names(self) -> list[str]:
        """Return the names of all columns of filled rows, in their order."""
        if not self._is_plain():
            return list(self.load_whole(0, 1).columns)
        stored = self._view.frame_columns()
        names = stored if "volume" in stored else [*stored, "volume"]
        return [*names, *(name for name in derived_columns_of(names) if name not in names)]

    @property
    def row_bytes(self) -> int:
        """Estimate of the bytes that one filled row takes."""
        return 8 * (len(self._columns) + 4)

    def load(self, start: int, stop: int) -> FilledRows:
        """Return rows `[start, stop)`, filled."""
        if not self._is_plain():
            frame = self.load_whole(start, stop)
            return self._filled(BarTable.of_frame(frame), self._rows.nanoseconds(start, start + len(frame)))
        if len(self) == 0:
            none = self._view.bars(TimeRange(0, 0), self._columns)
            return self._filled(fill_bars(self._rows.index(0, 0), none.times, none), none.times)
        stop = max(stop, start + 1)
        begin = self._begin_of(start)
        if self._own_rows:
            return self._load_own(begin, start, stop)
        nanoseconds = self._rows.nanoseconds(begin, stop)
        bars = self._bars_visible_in(begin, stop)
        table = fill_bars(self._rows.index(begin, stop), nanoseconds, bars, drop=start - begin)
        return self._filled(table, nanoseconds[start - begin :])

    @property
    def join(self) -> Callable[[Sequence[FilledRows], int, int], FilledRows] | None:
        """Joins loaded pieces; None if Lumibot fills the rows, since it decides on dtypes piece by piece."""
        return self._joined if self._is_plain() else None

    def _joined(self, pieces: Sequence[FilledRows], start: int, stop: int) -> FilledRows:
        """Return rows `[start, stop)` of adjoining pieces. They begin in the first piece and end with the last."""
        cut = slice(sum(len(piece.nanoseconds) for piece in pieces) - (stop - start), None)
        first, *others = pieces
        columns = {
            name: np.concatenate([values[cut], *(piece.table.columns[name] for piece in others)])
            for name, values in first.table.columns.items()
        }
        if not self._own_rows:
            return self._filled(BarTable(columns, self._rows.index(start, stop)), self._rows.nanoseconds(start, stop))
        nanoseconds = np.concatenate([first.nanoseconds[cut], *(piece.nanoseconds for piece in others)])
        return self._filled(BarTable(columns, self._view.index_of(nanoseconds // NANOSECONDS_PER_SECOND)), nanoseconds)

    def _filled(self, table: BarTable, nanoseconds: Int64Array) -> FilledRows:
        return FilledRows.of(table, nanoseconds, shares_times=not self._own_rows)

    def load_whole(self, start: int, stop: int) -> pd.DataFrame:
        """Return rows `[start, stop)` with every column, filled by Lumibot's own `Data`."""
        if len(self) == 0:
            return self._view.frame(TimeRange(0, 0))
        stop = max(stop, start + 1)
        begin = self._begin_of(start)
        filled: pd.DataFrame = self._fill_by_lumibot(self._rows.index(begin, stop)).iloc[start - begin :]
        return filled

    def load_every_column(self, start: int, stop: int) -> BarTable:
        """Return rows `[start, stop)` with every column, as a table."""
        if self.has_every_column:
            return self.load(start, stop).table
        return BarTable.of_frame(self.load_whole(start, stop))

    def _begin_of(self, start: int) -> int:
        """Return the row to begin with: the first return needs the row before it, and gaps the rows that fill them."""
        return self._inherits_from(max(0, start - 1))

    def _load_own(self, begin: int, start: int, stop: int) -> FilledRows:
        """Fill rows that are the stored bars themselves. They are read by whole days, whose rows are known."""
        first = self._rows.day(begin).first
        bars = self._view.bars(self._rows.covering(begin, stop), self._columns)
        cut = slice(begin - first, stop - first)
        bars = BarArrays(bars.times[cut], {name: values[cut] for name, values in bars.columns.items()})
        nanoseconds = bars.times * NANOSECONDS_PER_SECOND
        table = fill_bars(self._view.index_of(bars.times), nanoseconds, bars, drop=start - begin)
        return self._filled(table, nanoseconds[start - begin :])

    def _is_plain(self) -> bool:
        """Whether only prices and volume have to be filled, and other columns carried forward.

        Lumibot's own code fills quotes and unusual dtypes.
        """
        return (
            all(
                column.dtype in PLAIN_DTYPES or (column.dtype == "object" and column.name not in BAR_COLUMNS)
                for column in self._described
            )
            and all(name in self._columns for name in PRICES)
            and not self._has_quotes
        )

    def _fill_by_lumibot(self, index: pd.DatetimeIndex) -> pd.DataFrame:
        first, last = (int(index[row].value) // NANOSECONDS_PER_SECOND for row in (0, -1))
        bars = self._view.frame(TimeRange(self._bar_at_or_before(first), last + 1))
        data = Data(self._asset, bars, timestep=self._timestep, quote=self._quote)
        # The last bar may be carried forward to many rows of the index, so the piece ends where the index does.
        data.datetime_end = max(data.datetime_end, index[-1].to_pydatetime())
        data.repair_times_and_fill(index)
        frame: pd.DataFrame = data.df
        return frame

    # -- reading ---------------------------------------------------------------------------------------------

    def _bars_visible_in(self, begin: int, stop: int) -> BarArrays:
        """Read the bars that rows `[begin, stop)` show: those in their range, and the last one before it if needed."""
        first = self._rows.time(begin) // NANOSECONDS_PER_SECOND
        last = self._rows.time(stop - 1) // NANOSECONDS_PER_SECOND
        bars = self._view.bars(TimeRange(first, last + 1))
        if len(bars.times) and bars.times[0] == first:
            return bars
        shown = self._bar_at_or_before(first)
        before = self._view.bars(TimeRange(shown, shown + 1))
        columns = {name: np.concatenate([values, bars.columns[name]]) for name, values in before.columns.items()}
        return BarArrays(np.concatenate([before.times, bars.times]), columns)

    def _bar_at_or_before(self, time: EpochSeconds) -> EpochSeconds:
        found = self._view.last_time_at_or_before(time)
        if found is None:
            raise LookupError(
                f"{self._view.label}: no bar at or before {moment_of(time)}, although the series begins earlier; "
                "run `lumibot-duckdb verify`"
            )
        return found

    # -- what rows inherit -----------------------------------------------------------------------------------

    def _inherits_from(self, row: int) -> int:
        """Return the row to begin filling with, so that `row` has the values as if filled from the very first row."""
        begin = row
        for name in self._inherited_columns():
            begin = min(begin, self._origin_of_value(name, row))
        if any(name in self._columns for name in QUOTES):
            begin = max(0, begin - 1)  # so that a session boundary at the first row is found
        return begin

    def _inherited_columns(self) -> list[str]:
        """Return the columns with gaps whose values Lumibot carries forward."""
        own = {"volume", *EVENTS, *QUOTE_TIMES}
        follows_close = {"open", "high", "low"}
        return [name for name in self._nullable if name not in own and name not in follows_close]

    def _origin_of_value(self, name: str, row: int) -> int:
        """Return the row from which `row` inherits its value of a column with gaps; `row` itself if it has a value."""
        time: EpochSeconds | None = self._rows.time(row) // NANOSECONDS_PER_SECOND
        if self._own_rows and time is not None and self._view.surely_has(name, time):
            return row
        floor = self._quote_session_start(row) if name in QUOTES else 0
        while time is not None:
            time = self._view.last_time_at_or_before(time, column=name)
            if time is None:
                return row
            origin = self._rows.row_from(time * NANOSECONDS_PER_SECOND)
            if origin < floor:
                return min(row, floor)
            if self._shows(origin, time):
                return min(row, origin)
            time -= 1  # no row of the index shows that bar, since a later one comes before the next row
        return row

    def _shows(self, row: int, time: EpochSeconds) -> bool:
        """Whether a row shows the bar at `time`, which must be the last one at or before it."""
        shown = self._bar_at_or_before(self._rows.time(row) // NANOSECONDS_PER_SECOND)
        return shown == time

    def _quote_session_start(self, row: int) -> int:
        if self._timestep == "day":
            return 0
        gaps = np.flatnonzero(np.diff(self._rows.nanoseconds(0, row + 1)) > QUOTE_SESSION_GAP)
        return int(gaps[-1]) + 1 if len(gaps) else 0
