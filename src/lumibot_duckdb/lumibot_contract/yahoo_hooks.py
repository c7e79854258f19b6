"""The private hooks of Lumibot's Yahoo source under public names."""

from __future__ import annotations

from collections.abc import MutableMapping
from operator import attrgetter
from typing import Any

import pandas as pd
from lumibot.data_sources import YahooData as LumibotYahooData


class YahooHooks(LumibotYahooData):  # type: ignore[misc]
    """A source that Lumibot calls under public names. Unless they are overridden, methods do what Lumibot would do."""

    # Every request reads these, so their getters are not Python functions.
    clock = property(attrgetter("_datetime"), doc="The time of the backtest.")
    loaded_frames = property(attrgetter("_data_store"), doc="The frame of each asset, by `frame_key`: a mapping.")
    frame_key = staticmethod(LumibotYahooData._store_key)  # of an asset and Yahoo's interval: "1d", "15m" or "1m"

    @property
    def frames_of_opens(self) -> MutableMapping[Any, Any]:
        """The frame of each asset that was loaded last; its opens are last prices."""
        frames: MutableMapping[Any, Any] = self._data_open_values
        return frames

    def symbols_of_future(self, symbol: str) -> list[str]:
        """Return Yahoo's symbols for a future, in the order in which Lumibot tries them."""
        return list(self._format_futures_symbol(symbol))

    def symbols_of_index(self, symbol: str) -> list[str]:
        """Return Yahoo's symbols for an index, in the order in which Lumibot tries them."""
        return list(self._format_index_symbol(symbol))

    @classmethod
    def interval_of(cls, timestep: str) -> str:
        """Return Yahoo's interval for a timestep. Raises what Lumibot raises for one that Yahoo does not have."""
        return str(cls._parse_source_timestep(cls, timestep, reverse=True))

    # -- what Lumibot calls ----------------------------------------------------------------------------------

    def read_bars(
        self, asset: Any, length: int, timestep: str, timeshift: Any, quote: Any, exchange: Any, after_hours: bool
    ) -> pd.DataFrame | None:
        """Return the last rows before the clock's time; None if there are none."""
        bars: pd.DataFrame | None = super()._pull_source_symbol_bars(
            asset, length, timestep, timeshift, quote, exchange, after_hours
        )
        return bars

    def read_bars_of_assets(
        self, assets: Any, length: int, timestep: str, timeshift: Any, quote: Any, after_hours: bool
    ) -> dict[Any, pd.DataFrame | None]:
        """Return the last rows of several assets."""
        bars: dict[Any, pd.DataFrame | None] = super()._pull_source_bars(
            assets, length, timestep, timeshift, quote, after_hours
        )
        return bars

    def frame_of(self, asset: Any, timestep: str) -> Any:
        """Return the whole frame of an asset, loaded if it is not loaded yet; None if Yahoo has none."""
        return super()._get_source_symbol_data(asset, timestep)

    def rows_seen(self, data: Any, timestep: str, timeshift: Any = None, asset: Any = None) -> int:
        """Return how many rows are visible at the clock's time, or `timeshift` (days or a timedelta) earlier."""
        return int(super()._get_filtered_end_index(data, timestep, timeshift=timeshift, asset=asset))

    def last_daily_open(self, asset: Any, timestep: str, quote: Any = None, exchange: Any = None) -> float | None:
        """Return the open of the last visible row; None if there is none."""
        price: float | None = super()._get_last_daily_open_price(asset, timestep, quote, exchange)
        return price

    def keep_frame(self, asset: Any, data: Any, interval: str = "1d") -> Any:
        """Add a frame to the loaded ones; return it as Lumibot keeps it."""
        return super()._append_data(asset, data, interval)

    def _pull_source_symbol_bars(
        self,
        asset: Any,
        length: int,
        timestep: str = "day",
        timeshift: Any = None,
        quote: Any = None,
        exchange: Any = None,
        include_after_hours: bool = True,
    ) -> pd.DataFrame | None:
        return self.read_bars(asset, length, timestep, timeshift, quote, exchange, include_after_hours)

    def _pull_source_bars(
        self,
        assets: Any,
        length: int,
        timestep: str = "day",
        timeshift: Any = None,
        quote: Any = None,
        include_after_hours: bool = False,
    ) -> dict[Any, pd.DataFrame | None]:
        return self.read_bars_of_assets(assets, length, timestep, timeshift, quote, include_after_hours)

    def _get_source_symbol_data(self, asset: Any, timestep: str) -> Any:
        return self.frame_of(asset, timestep)

    def _get_filtered_end_index(self, data: Any, timestep: str, timeshift: Any = None, asset: Any = None) -> int:
        return self.rows_seen(data, timestep, timeshift, asset)

    def _get_last_daily_open_price(
        self, asset: Any, timestep: str, quote: Any = None, exchange: Any = None
    ) -> float | None:
        return self.last_daily_open(asset, timestep, quote, exchange)

    def _append_data(self, asset: Any, data: Any, interval: str = "1d") -> Any:
        return self.keep_frame(asset, data, interval)
