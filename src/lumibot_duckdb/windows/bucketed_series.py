"""Larger bars (five minutes, hours, days) of a series' filled rows, computed once for each bucket.

Lumibot resamples the rows of every request with pandas. A bucket's values depend on its own rows only, so they are
computed once, with pandas' own arithmetic. Only the first and the last bucket of a request can be incomplete; those
bars are computed from the request's rows.

Rows close to the backtest's time come from the window that requests for rows use, too, and buckets are computed ahead
as far as that window has rows. So no row is read again for larger bars, unless it is far in the past.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.windows.bar_table import BarTable, slice_with_frequency
from lumibot_duckdb.windows.bucket_numbering import BucketNumbering
from lumibot_duckdb.windows.filled_series import FilledRows, FilledSeries
from lumibot_duckdb.windows.filling import price_change
from lumibot_duckdb.windows.growing_window import GrowingWindow
from lumibot_duckdb.windows.sorted_search import first_from
from lumibot_duckdb.windows.window import MemoryBudget, SlidingWindow

Values: TypeAlias = "np.ndarray[Any, Any]"

AGGREGATES = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
EVENT_AGGREGATES = {"dividend": "sum", "stock_splits": "max"}
FEW_ROWS = 1_440
"""Up to this many rows of one bucket, Python aggregates faster than pandas."""

_SMALL = 2**40

_FAR_WEIGHT = 16
"""Rows far in the past are read ahead in smaller steps, since nothing but the beginnings of requests needs them."""

ROWS_AT_ONCE = 32_768
"""Filled rows held at a time while buckets are computed, so that 200 days do not hold 288,000 minutes."""


@dataclass(slots=True)
class BucketRows:
    """Computed buckets: the increasing `numbers` of those that have values, and a `table` of the values.

    The table has a `return` column if that is the only one that Lumibot's `Bars` would add. `exact_sums` says that what
    is summed, in all rows of these buckets, are whole numbers so small that any sum of `FEW_ROWS` is exact.
    """

    numbers: Values
    table: BarTable
    exact_sums: bool

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self.numbers.nbytes) + self.table.nbytes


@dataclass(slots=True)
class BucketedBars:
    """The result of a request: rows `[low, high)` of a table. `patches` replaces some, by row of the result."""

    table: BarTable
    low: int
    high: int
    index: pd.DatetimeIndex
    patches: dict[int, dict[str, Any]]

    def frame(self) -> pd.DataFrame:
        """Return the frame, with a `return` column if that is known; otherwise `Bars` adds the columns it lacks."""
        known = "return" in self.table.columns and self.patches.keys() <= {0} and self.high > self.low
        if not known:
            return self.without_returns()
        bar = self.patches.get(0, {}) | {"return": np.nan}
        return self.table.patched(self.low, self.high, self.index, {0: bar})

    def without_returns(self) -> pd.DataFrame:
        """Return the frame without derived columns, as `Data.get_bars` does."""
        frame = self.table.patched(self.low, self.high, self.index, self.patches)
        return frame.drop(columns="return") if "return" in self.table.columns else frame


def can_be_bucketed(dtypes: Mapping[str, str]) -> bool:
    """Whether larger bars of a series, by the dtypes of its columns, depend on their buckets alone.

    With whole-number prices the dtype of pandas' result depends on whether the rows of a request leave a bucket empty,
    and unusual columns may fail. Those are left to Lumibot's own code.
    """
    prices = all(dtypes.get(name) == "float64" for name in ("open", "high", "low", "close"))
    others = [dtypes[name] for name in ("volume", *EVENT_AGGREGATES) if name in dtypes]
    return prices and "volume" in dtypes and all(dtype in ("float64", "int64") for dtype in others)


class BucketedSeries:
    """The larger bars of a series, of one size and with one anchor of their buckets.

    `recent` is a window over the series' rows. `has_gaps` says that some filled rows may still lack prices, so that
    buckets may be missing.
    """

    def __init__(
        self,
        series: FilledSeries,
        recent: SlidingWindow[FilledRows],
        numbering: BucketNumbering,
        budget: MemoryBudget,
        *,
        has_gaps: bool,
    ) -> None:
        self._series = series
        self._recent = recent
        self._budget = budget
        self._rows = series.rows
        self._numbering = numbering
        self._has_gaps = has_gaps
        self._begin = numbering.of_row(self._rows, 0)
        size = numbering.of_row(self._rows, len(series) - 1) + 1 - self._begin
        names = series.column_names
        self._aggregates = {name: how for name, how in (AGGREGATES | EVENT_AGGREGATES).items() if name in names}
        self._summed = [name for name, how in self._aggregates.items() if how == "sum"]
        self._window: GrowingWindow[BucketRows] = GrowingWindow(
            size, self._compute, self._joined, self._computed_until, budget, 8 * (len(self._aggregates) + 3)
        )

    def bars(self, rows: tuple[int, int], until: int, count: int) -> BucketedBars | None:
        """Return the last `count` bars made of rows `[start, stop)` that are labelled before `until` (ns).

        None if an edge of the request lacks values: Lumibot's own code decides then.
        """
        start, stop = rows
        of_row, all_rows = self._numbering.of_row, self._rows
        first, last = of_row(all_rows, start), of_row(all_rows, stop - 1)
        end = self._numbering.last_before(until, last)
        _, computed = self._window.cover(first - self._begin, last + 1 - self._begin)
        numbers = computed.numbers
        low, high, stop_number = (first_from(numbers, number) for number in (first, end + 1, last + 1))
        frequency = self._frequency(numbers[low:stop_number])
        low = max(low, high - count)
        patches: dict[int, dict[str, Any]] = {}
        if high > low:
            cuts = self._cuts(numbers.item(low), numbers.item(high - 1), first, last, start, stop)
            for place, (begin, until_row) in cuts.items():
                bar = self._cut_bucket(begin, until_row, exact_sums=computed.exact_sums)
                if bar is None:
                    return None
                patches[place % (high - low)] = bar
        high = max(low, high)
        index = slice_with_frequency(computed.table.index, low, high, frequency)
        return BucketedBars(computed.table, low, high, index, patches)

    def _frequency(self, numbers: Values) -> Any:
        """Return the frequency that pandas leaves on the result of `resample` once empty buckets are dropped."""
        count = len(numbers)
        if count < 2 or numbers.item(-1) - numbers.item(0) == count - 1:
            return self._numbering.offset
        stride = numbers.item(1) - numbers.item(0)
        if numbers.item(-1) - numbers.item(0) != stride * (count - 1) or not np.all(np.diff(numbers) == stride):
            return None
        return self._numbering.offset * stride

    def _first_row(self, number: int) -> int:
        """Return the first row of a bucket, or the one after it if it has none."""
        return self._rows.row_from(self._numbering.label(number))

    # -- computing -------------------------------------------------------------------------------------------

    def _rows_of_buckets(self, start: int, stop: int) -> tuple[int, int]:
        """Return the rows of buckets `[start, stop)`, counted from the first of the series."""
        return self._first_row(self._begin + start), self._first_row(self._begin + stop)

    def _computed_until(self, start: int, stop: int) -> int:
        """Return up to which bucket to compute when `[start, stop)` are: as far as their rows are in memory then."""
        if self._recent.cover_near(*self._rows_of_buckets(start, stop)) is None:
            return stop
        held = self._recent.stop
        if held == 0:
            return stop
        complete = self._numbering.of_row(self._rows, held - 1) - self._begin + (held == len(self._series))
        return max(stop, complete)

    def _rows_at(self, start: int, stop: int) -> tuple[int, FilledRows]:
        """Return the first of consecutive rows that include `[start, stop)`, and these."""
        return self._recent.cover_near(start, stop) or (start, self._series.load(start, stop))

    def _compute(self, start: int, stop: int) -> BucketRows:
        """Compute buckets `[start, stop)`, counted from the first of the series, in pieces of `ROWS_AT_ONCE`."""
        row, last = self._rows_of_buckets(start, max(stop, start + 1))
        pieces: list[pd.DataFrame] = []
        exact_sums = True
        while row < last:
            following = last
            if row + ROWS_AT_ONCE < last:
                number = self._numbering.of_row(self._rows, row + ROWS_AT_ONCE)
                begin = self._first_row(number)
                following = begin if begin > row else self._first_row(number + 1)
            first, rows = self._rows_at(row, following)
            cut = slice(row - first, following - first)
            values = {name: rows.bars.columns[name][cut] for name in self._aggregates}
            numbers = self._numbering.of_rows(self._rows, row, rows.nanoseconds[cut])
            pieces.append(pd.DataFrame(values, copy=False).groupby(numbers).agg(self._aggregates))
            exact_sums = exact_sums and all(_adds_up_exactly(values[name]) for name in self._summed)
            row = following
        buckets = (pieces[0] if len(pieces) == 1 else pd.concat(pieces)).dropna()
        columns = {str(name): buckets[name].to_numpy() for name in buckets.columns}
        return self._bucket_rows(buckets.index.to_numpy(), columns, exact_sums=exact_sums)

    def _joined(self, pieces: Sequence[BucketRows], start: int, stop: int) -> BucketRows:
        """Return buckets `[start, stop)`, counted from the first of the series, of pieces that end with the last."""
        begin = int(pieces[0].numbers.searchsorted(self._begin + start))
        numbers = np.concatenate([pieces[0].numbers[begin:], *(piece.numbers for piece in pieces[1:])])
        columns = {
            name: np.concatenate([values[begin:], *(piece.table.columns[name] for piece in pieces[1:])])
            for name, values in pieces[0].table.columns.items()
            if name != "return"
        }
        return self._bucket_rows(numbers, columns, exact_sums=all(piece.exact_sums for piece in pieces))

    def _bucket_rows(self, numbers: Values, columns: dict[str, Values], *, exact_sums: bool) -> BucketRows:
        if "dividend" not in columns:
            columns["return"] = price_change(columns["close"])
        labels = self._numbering.labels(numbers, self._rows.index(0, 1))
        return BucketRows(numbers, BarTable(columns, labels), exact_sums)

    # -- the edges of a request ------------------------------------------------------------------------------

    def _cuts(
        self, lowest: int, highest: int, first: int, last: int, start: int, stop: int
    ) -> dict[int, tuple[int, int]]:
        """Return the rows of the first (0) and the last (-1) bar, if the request has only some of their bucket's rows.

        The bars are buckets `lowest` to `highest`; the request's rows lie in buckets `first` to `last`.
        """
        of_row, rows = self._numbering.of_row, self._rows
        cuts: dict[int, tuple[int, int]] = {}
        if lowest == first and start > 0 and of_row(rows, start - 1) == first:
            cuts[0] = (start, min(stop, self._first_row(first + 1)))
        if highest == last and stop < len(rows) and of_row(rows, stop) == last:
            cuts[-1] = (max(start, self._first_row(last)), stop)
        return cuts

    @cached_property
    def _far_rows(self) -> SlidingWindow[FilledRows]:
        """The window for the beginnings of requests that look back far."""
        series = self._series
        return SlidingWindow(
            len(series), series.load, self._budget, series.row_bytes, weight=_FAR_WEIGHT, join=series.join
        )

    def _cut_bucket(self, start: int, stop: int, *, exact_sums: bool) -> dict[str, Any] | None:
        """Return the bar that pandas makes of some rows of one bucket; None if prices are missing."""
        offset, rows = self._recent.cover_near(start, stop) or self._far_rows.cover(start, stop)
        table = rows.table
        if self._has_gaps and any(np.isnan(table.columns[name][start - offset]) for name in AGGREGATES):
            return None
        if exact_sums and stop - start <= FEW_ROWS:
            few = table.lists(start - offset, stop - offset)
            return {name: _OF_LISTS[how](few[name]) for name, how in self._aggregates.items()}
        values = {name: table.columns[name][start - offset : stop - offset] for name in self._aggregates}
        frame = pd.DataFrame(values, copy=False)
        bar: pd.DataFrame = frame.groupby(np.zeros(stop - start, dtype=np.int64)).agg(self._aggregates)
        return {str(name): bar[name].iloc[0] for name in bar.columns}


_OF_LISTS: dict[str, Callable[[list[Any]], Any]] = {
    "first": itemgetter(0),
    "last": itemgetter(-1),
    "max": max,
    "min": min,
    "sum": sum,  # only used where every order of adding gives the same; pandas compensates what is rounded off
}


def _adds_up_exactly(values: Values) -> bool:
    """Whether the sum of `FEW_ROWS` of these values is exact in any order: whole numbers far below 2**53."""
    small = np.all((values > -_SMALL) & (values < _SMALL))
    return bool(small and (values.dtype.kind == "i" or np.all(values == np.floor(values))))
