"""What a backtest sees of a series: `SeriesView`, and for a stored series the bars of one pinned version."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from lumibot.constants import LUMIBOT_DEFAULT_PYTZ

from lumibot_duckdb.storage.api import (
    BarArrays,
    ColumnSpec,
    DataStorageInterface,
    EpochSeconds,
    SeriesFacts,
    SeriesPin,
    TimeRange,
)
from lumibot_duckdb.storage.bars.outline import Outline
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array, bar_starts
from lumibot_duckdb.windows.sorted_search import first_after

REPAIRED_COLUMNS = frozenset(("open", "high", "low", "close", "volume", "dividend", "stock_splits"))
"""Columns whose gaps `Data.get_bars` fills, or whose incomplete rows it drops, on every call."""

DAY_ENDS = 23 * 3600 + 59 * 60
"""Second of the day after which Lumibot drops minute bars: `Data`'s default trading hours end at 23:59:00."""


class SeriesView(ABC):
    """The bars of a series, read in ranges, and `facts` about the whole that Lumibot learns from every bar.

    `facts` describes the visible bars; `label` names the series in messages. Times are epoch seconds, UTC.
    """

    def __init__(self, label: str, facts: SeriesFacts) -> None:
        self.label = label
        self.facts = facts

    @abstractmethod
    def times(self) -> Int64Array:
        """Return the starts of all bars."""

    @abstractmethod
    def bars(self, within: TimeRange, columns: Sequence[str] | None = None) -> BarArrays:
        """Return the bars in a range, with all columns unless some are named."""

    @abstractmethod
    def frame(self, within: TimeRange | None = None) -> pd.DataFrame:
        """Return bars as the frame that Lumibot would get."""

    @abstractmethod
    def last_time_at_or_before(self, time: EpochSeconds, column: str | None = None) -> EpochSeconds | None:
        """Return the start of the last bar at or before `time` (where `column` is not missing), if any."""

    def outline(self) -> Outline:
        """Return the outline of all bars."""
        return Outline(times=self.times())

    def unrestricted(self) -> SeriesView:
        """Return the same version of the series with all its bars, including those that Lumibot would not have."""
        return self

    def session_bounds(self) -> Int64Array:
        """Return bar starts that make the same merged index as all do: the first and the last one of each day.

        They are sorted; the only bar of a day is there twice. They are all bar starts if bars start within minutes.
        """
        if not self.facts.on_minute:
            return self.times()
        days = self.outline().days
        return np.stack([days.first, days.last], axis=1).ravel()

    @property
    def complete_from(self) -> EpochSeconds | None:
        """Start of the first row from which on no filled row lacks a value; None if unknown."""
        return None if _has_gaps(self.facts.columns) else self.facts.first

    def surely_has(self, column: str, time: EpochSeconds) -> bool:
        """Whether the row at `time` has a value in a column, if that is known without reading it; else False."""
        return not any(described.name == column and described.has_nulls for described in self.facts.columns)

    def frame_columns(self) -> list[str]:
        """Return the columns of `frame`."""
        return [column.name for column in self.facts.columns]

    def index(self) -> pd.DatetimeIndex:
        """Return the starts of all bars as an index of Lumibot's frames."""
        return self.index_of(self.times())

    def index_of(self, times: Int64Array) -> pd.DatetimeIndex:
        """Return bar starts as an index of Lumibot's frames (New York time)."""
        index = pd.DatetimeIndex(times * NANOSECONDS_PER_SECOND, tz="UTC", name="datetime")
        local: pd.DatetimeIndex = index.as_unit(self.facts.index_unit).tz_convert(LUMIBOT_DEFAULT_PYTZ)
        return local


class StoredView(SeriesView):
    """All bars of a pinned series."""

    def __init__(self, storage: DataStorageInterface, pin: SeriesPin) -> None:
        super().__init__(pin.key.label(), storage.facts(pin))
        self._storage = storage
        self._pin = pin

    @property
    def timeframe(self) -> str:
        """The timeframe of the bars."""
        return self._pin.key.timeframe

    def unrestricted(self) -> StoredView:
        """Return the same version of the series with all its bars, including those that Lumibot would not have."""
        return self if type(self) is StoredView else StoredView(self._storage, self._pin)

    def times(self) -> Int64Array:
        """Return the starts of all bars."""
        return self._storage.read_bars(self._pin, columns=(), remember=False).times

    def bars(self, within: TimeRange, columns: Sequence[str] | None = None) -> BarArrays:
        """Return the bars in a range, with all columns unless some are named."""
        return self._storage.read_bars(self._pin, within, columns, remember=False)

    def frame(self, within: TimeRange | None = None) -> pd.DataFrame:
        """Return bars as the frame that Lumibot would get."""
        return self._storage.read_pandas(self._pin, within)

    def last_time_at_or_before(self, time: EpochSeconds, column: str | None = None) -> EpochSeconds | None:
        """Return the start of the last bar at or before `time` (where `column` is not missing), if any."""
        return self._storage.last_time_at_or_before(self._pin, time, column)

    def outline(self) -> Outline:
        """Return the outline of all bars."""
        return self._storage.outline(self._pin)


class TradingHoursView(StoredView):
    """A series without its bars outside of Lumibot's trading hours, which `Data` drops."""

    def __init__(self, storage: DataStorageInterface, pin: SeriesPin) -> None:
        super().__init__(storage, pin)
        times = super().times()
        local = pd.DatetimeIndex(times * NANOSECONDS_PER_SECOND, tz="UTC").tz_convert(LUMIBOT_DEFAULT_PYTZ)
        seconds = (local.hour * 3600 + local.minute * 60 + local.second).to_numpy()
        self._times: Int64Array = times[seconds <= DAY_ENDS]
        first, last = (int(self._times[end]) if len(self._times) else None for end in (0, -1))
        self.facts = replace(self.facts, rows=len(self._times), first=first, last=last)

    def times(self) -> Int64Array:
        """Return the starts of the bars in trading hours."""
        return self._times

    def bars(self, within: TimeRange, columns: Sequence[str] | None = None) -> BarArrays:
        """Return the bars in a range."""
        found = super().bars(within, columns)
        kept = np.isin(found.times, self._times, assume_unique=True)
        return BarArrays(found.times[kept], {name: values[kept] for name, values in found.columns.items()})

    def frame(self, within: TimeRange | None = None) -> pd.DataFrame:
        """Return bars as the frame that Lumibot would get; the whole frame includes the bars that it drops."""
        found = super().frame(within)
        if within is None:
            return found
        kept = np.isin(bar_starts(found), self._times, assume_unique=True)
        traded: pd.DataFrame = found[kept]
        return traded

    def last_time_at_or_before(self, time: EpochSeconds, column: str | None = None) -> EpochSeconds | None:
        """Return the start of the last bar at or before `time`; with `column`, whether in trading hours or not."""
        if column is not None:
            return super().last_time_at_or_before(time, column)
        place = first_after(self._times, time)
        return int(self._times[place - 1]) if place else None

    def outline(self) -> Outline:
        """Return the outline of the bars in trading hours."""
        return Outline(times=self._times)


def _has_gaps(columns: Sequence[ColumnSpec]) -> bool:
    return any(column.has_nulls and column.name in REPAIRED_COLUMNS for column in columns)


def view_of(storage: DataStorageInterface, pin: SeriesPin, timestep: str) -> SeriesView:
    """Return what a backtest at a timestep sees of a pinned series."""
    view = StoredView(storage, pin)
    return view if view.facts.on_minute or timestep != "minute" else TradingHoursView(storage, pin)
