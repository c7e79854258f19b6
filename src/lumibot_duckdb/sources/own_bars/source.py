"""`PandasDataBacktesting` for user-supplied bars: stored ones, and those in the frames that a script passes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from lumibot_duckdb.lumibot_contract.own_bars_hooks import OwnBarsHooks
from lumibot_duckdb.lumibot_contract.pandas_data_keys import by_asset_and_quote
from lumibot_duckdb.sources.own_bars.selection import SelectsSeries
from lumibot_duckdb.sources.own_bars.storing import store_frames
from lumibot_duckdb.sources.registry import CLASSES
from lumibot_duckdb.sources.shared.class_substitution import SwitchableMeta
from lumibot_duckdb.sources.shared.data_source_of_windows import DataSourceOfWindows
from lumibot_duckdb.sources.shared.progress import loading
from lumibot_duckdb.sources.shared.reading_moment import reading_moment
from lumibot_duckdb.sources.shared.telemetry import log_line
from lumibot_duckdb.windows.adopted_data import AdoptedData, reason_to_leave
from lumibot_duckdb.windows.trading_index import TradingIndex, session_minutes, trading_days
from lumibot_duckdb.windows.windowed_data import WindowedData

_NAMED = 3
"""How many symbols a message names."""


class PandasDataBacktesting(SelectsSeries, DataSourceOfWindows, OwnBarsHooks, metaclass=SwitchableMeta):
    """Drop-in for Lumibot's class of this name, with the frames of `pandas_data`, or stored series that `using` names.

    The frames of `pandas_data` are read where they are and are not stored.
    """

    def __init__(self, *args: Any, pandas_data: Any = None, **kwargs: Any) -> None:
        self._clock: TradingIndex | None = None  # for as long as the series are aligned with it
        super().__init__(*args, pandas_data=pandas_data, **kwargs)
        if self.settings:
            unit = self.unit()
            with loading("stored series", shown=self.shows_progress) as shown:
                selected = self.selected(self.storage, self.as_of or reading_moment())
                shown.total = len(selected)
                for asset, quote, pin in selected:
                    self.pandas_data.update(by_asset_and_quote([self.windowed(pin, asset, quote, unit)]))
                    shown.advance()

    def load_data(self) -> Any:
        """Serve the bars that the script passes from its own frames, and lay all series on the merged time index."""
        self._adopt_data()
        with self.handing_on_times():
            return super().load_data()

    def symbols_to_suggest(self) -> Collection[str]:
        """Return the symbols of this backtest's bars."""
        return {data.asset.symbol for data in self.loaded_data.values()}

    def _adopt_data(self) -> None:
        left: dict[str, list[str]] = {}
        new = []
        for data in self.pandas_data.values():
            if isinstance(data, AdoptedData):
                data.readopt(self.budget, self._serving.clear)
            elif isinstance(data, WindowedData):
                continue
            elif reason := reason_to_leave(data):
                left.setdefault(reason, []).append(data.asset.symbol)
            else:
                new.append(data)
        store_frames(new, lambda: self.storage)
        for data in new:
            AdoptedData.adopt(data, self.budget, self._serving.clear)
        if left:
            served = "; ".join(f"{_some_of(names)} ({reason})" for reason, names in left.items())
            log_line(f"DuckDB: left to Lumibot's own Data: {served}")

    def update_date_index(self) -> pd.DatetimeIndex:
        """Merge the bar times of all series as Lumibot does, from an outline of each that merges to the same."""
        loaded = self.loaded_data.values()
        minutes = next((data.timestep for data in loaded), None) == "minute"

        times = []
        with loading("bar times", len(loaded), shown=self.shows_progress) as shown:
            for data in loaded:
                outlined = isinstance(data, WindowedData)
                times.append(data.index_outline(minutes_are_filled=minutes) if outlined else data.df.index)
                shown.advance()
        return self.merged_times(times)

    def get_trading_days_pandas(self) -> pd.DataFrame:
        """Return the first and the last time of the clock on each day."""
        times = self.clock_times
        if isinstance(times, TradingIndex):
            return trading_days(times)
        if times is not None and len(times) and times.tz is not None and times.is_monotonic_increasing:
            return trading_days(TradingIndex(times))
        days: pd.DataFrame = super().get_trading_days_pandas()
        return days

    def clean_trading_times(self, dt_index: pd.DatetimeIndex, pcal: pd.DataFrame) -> pd.DatetimeIndex | TradingIndex:
        """Fill the minutes of each day as Lumibot does, without a row of a frame for each minute of the year."""
        if self.clock_timestep != "minute" or len(dt_index) == 0:
            cleaned: pd.DatetimeIndex = super().clean_trading_times(dt_index, pcal)
            return cleaned
        self._clock = minutes = session_minutes(dt_index, pcal, pd.Timestamp(self.datetime_end))
        if len(minutes) and all(type(data) is WindowedData for data in self.loaded_data.values()):
            return minutes
        minutes.share()
        return minutes.index

    def as_index(self, times: Any) -> pd.DatetimeIndex | None:
        """Return the clock's times as Lumibot has them: minutes are made when something looks at them."""
        index: pd.DatetimeIndex | None = times.index if isinstance(times, TradingIndex) else times
        return index


def _some_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


class PandasData(PandasDataBacktesting):
    """The same under the name of Lumibot's base class, which scripts may use instead.

    Lumibot derives other sources from it, which count as instances here as they do there.
    """

    @classmethod
    def __subclasshook__(cls, kind: type[Any]) -> Any:
        if cls is not PandasData:
            return NotImplemented
        # `issubclass` would ask Lumibot's class, and this one again, which is derived from it.
        lumibots = CLASSES["PandasData"].load_lumibots()
        return any(base is lumibots for base in kind.__mro__) or NotImplemented
