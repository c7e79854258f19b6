"""A series whose rows are numbered and filled: what `WindowedData` answers requests with."""

from __future__ import annotations

from dataclasses import dataclass

from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND
from lumibot_duckdb.windows.bar_rows import BarRows
from lumibot_duckdb.windows.bucketed_series import can_be_bucketed
from lumibot_duckdb.windows.filled_series import FilledSeries
from lumibot_duckdb.windows.larger_bars import LargerBars
from lumibot_duckdb.windows.row_lookup import RowLookup
from lumibot_duckdb.windows.row_windows import RowWindows
from lumibot_duckdb.windows.series_view import SeriesView
from lumibot_duckdb.windows.shown_rows import ShownRows
from lumibot_duckdb.windows.window import MemoryBudget


@dataclass(frozen=True, slots=True)
class AlignedSeries:
    """The parts of a series on given rows, either those of a backtest's index or its own bars.

    `complete_from` is the first row from which on no filled row lacks a value. `larger_bars` is None for a series whose
    larger bars Lumibot has to make.
    """

    rows: BarRows
    lookup: RowLookup
    windows: RowWindows
    larger_bars: LargerBars | None
    complete_from: int

    @classmethod
    def of(
        cls, view: SeriesView, series: FilledSeries, timestep: str, budget: MemoryBudget, *, has_gaps: bool
    ) -> AlignedSeries:
        """Make the parts. `has_gaps` says that some filled rows may still lack prices."""
        rows = series.rows
        lookup = RowLookup(rows, timestep)
        shown = ShownRows(budget.statistics)
        windows = RowWindows(series, budget, shown)
        larger_bars = None
        if can_be_bucketed({column.name: column.dtype for column in view.facts.columns}):
            larger_bars = LargerBars(series, windows.recent, lookup, timestep, shown, budget, has_gaps=has_gaps)
        begin = view.complete_from
        complete_from = len(rows) if begin is None else rows.row_from(begin * NANOSECONDS_PER_SECOND)
        return cls(rows, lookup, windows, larger_bars, complete_from)
