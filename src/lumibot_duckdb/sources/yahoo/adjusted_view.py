"""Bars whose prices are adjusted for dividends, as a backtest with `auto_adjust` sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from lumibot_duckdb.storage.api import BarArrays, EpochSeconds, TimeRange
from lumibot_duckdb.storage.bars.outline import Outline
from lumibot_duckdb.storage.times import Int64Array
from lumibot_duckdb.windows.bar_table import Values
from lumibot_duckdb.windows.series_view import SeriesView

_SCALED = ("open", "high", "low")


def adjusted(stored: Mapping[str, Values]) -> dict[str, Values]:
    """Return columns with their prices adjusted, with the arithmetic of `yfinance`; they need `adj_close`."""
    ratio = stored["adj_close"] / stored["close"]
    scaled = {name: stored[name] * ratio for name in _SCALED if name in stored}
    return {**stored, **scaled, "close": stored["adj_close"]}


class AdjustedView(SeriesView):
    """The bars of another view, with adjusted prices."""

    def __init__(self, view: SeriesView) -> None:
        super().__init__(view.label, view.facts)
        self._view = view

    def times(self) -> Int64Array:
        """Return the starts of all bars."""
        return self._view.times()

    def bars(self, within: TimeRange, columns: Sequence[str] | None = None) -> BarArrays:
        """Return the bars in a range."""
        names = self.frame_columns() if columns is None else list(columns)
        found = self._view.bars(within, list(dict.fromkeys((*names, "close", "adj_close"))))
        made = adjusted(found.columns)
        return replace(found, columns={name: made[name] for name in names})

    def frame(self, within: TimeRange | None = None) -> pd.DataFrame:
        """Return bars as a frame."""
        frame = self._view.frame(within)
        made: pd.DataFrame = frame.assign(**adjusted({str(name): frame[name].to_numpy() for name in frame.columns}))
        return made

    def last_time_at_or_before(self, time: EpochSeconds, column: str | None = None) -> EpochSeconds | None:
        """Return the start of the last bar at or before `time` (where `column` is not missing), if any."""
        return self._view.last_time_at_or_before(time, column)

    def outline(self) -> Outline:
        """Return the outline of all bars."""
        return self._view.outline()
