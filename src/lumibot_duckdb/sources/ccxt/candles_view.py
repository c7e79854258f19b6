"""What a backtest sees of a series of candles: some ranges of it, without the candles that Lumibot drops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import BarArrays, DataStorageInterface, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars.outline import Outline
from lumibot_duckdb.storage.times import Int64Array, bar_starts
from lumibot_duckdb.windows.ranges_view import Additions, RangesView

_NONE: Int64Array = np.empty(0, np.int64)


class CandlesView(RangesView):
    """Candles of a pinned series in some ranges, and the `added` open ones, all without the `dropped` ones."""

    def __init__(
        self,
        storage: DataStorageInterface,
        pin: SeriesPin,
        ranges: list[TimeRange],
        added: pd.DataFrame,
        outline: Outline,
        dropped: Int64Array,
    ) -> None:
        starts = bar_starts(added)
        self._dropped = np.setdiff1d(dropped, starts, assume_unique=True)
        added = added[~np.isin(starts, dropped)]
        super().__init__(storage, pin, ranges, Additions(rows=added), outline)

    def _visible(self, outline: Outline) -> Outline:
        """Return the outline of the candles: their number on each day, and some times between which they are.

        The first and the last candle of all are exact.
        """
        visible = outline.within(self._ranges, self._starts_with_dropped, self._added_times)
        dropped = np.concatenate([_NONE, *(self._dropped_in(piece) for piece in self._ranges)])
        if not len(dropped):
            return visible
        if visible.times is not None:
            return Outline(times=np.setdiff1d(visible.times, dropped, assume_unique=True))
        days = visible.days
        places = days.first.searchsorted(dropped, side="right") - 1
        days = replace(days, bars=days.bars - np.bincount(places, minlength=len(days)))
        days = days.chosen(days.bars > 0)
        for end in (0, -1) if len(days) else ():
            times = self._starts(TimeRange(int(days.first[end]), int(days.last[end]) + 1))
            days.first[end], days.last[end] = times[0], times[-1]
        return Outline(days=days)

    def _starts_with_dropped(self, within: TimeRange) -> Int64Array:
        pieces = [super(CandlesView, self)._stored(piece, ()).times for piece in self._inside(within)]
        low, high = self._added_times.searchsorted((within.start, within.end))
        starts: Int64Array = np.sort(np.concatenate([_NONE, *pieces, self._added_times[low:high]]))
        return starts

    def _dropped_in(self, within: TimeRange) -> Int64Array:
        return self._dropped[slice(*self._dropped.searchsorted((within.start, within.end)))]

    def _stored(self, within: TimeRange, columns: Any) -> BarArrays:
        found = super()._stored(within, columns)
        dropped = self._dropped_in(within)
        if not len(dropped):
            return found
        kept = ~np.isin(found.times, dropped, assume_unique=True)
        return BarArrays(found.times[kept], {name: values[kept] for name, values in found.columns.items()})
