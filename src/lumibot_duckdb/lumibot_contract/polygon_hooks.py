"""The private hooks of Lumibot's Polygon source under public names."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
from lumibot.backtesting import PolygonDataBacktesting as LumibotPolygonDataBacktesting
from lumibot.entities import Data
from lumibot.tools import polygon_helper

from lumibot_duckdb.lumibot_contract.pandas_data_hooks import PandasDataHooks


class PolygonHooks(PandasDataHooks, LumibotPolygonDataBacktesting):  # type: ignore[misc]
    """Lumibot's Polygon source; a subclass loads the bars that it looks up."""

    def load_bars(self, asset: Any, quote: Any, length: int, timestep: str, last_bar: datetime | None = None) -> None:
        """Load the bars of a request unless they are loaded already.

        Parameters:
            asset: an asset, or one and its quote.
            quote: the asset that prices are in; None: US dollars.
            length: how many bars are needed.
            timestep: "minute", "hour" or "day".
            last_bar: the time of the last of them; None: the start of the backtest.
        """
        raise NotImplementedError

    def add_data(self, data: Data) -> None:
        """Add the data of an asset, under the keys by which Lumibot looks assets up."""
        self.pandas_data.update(self._set_pandas_data_keys([data]))

    def lumibots_bars(self, *request: Any) -> pd.DataFrame | None:
        """Return the bars that Lumibot finds among the loaded ones, without loading any."""
        bars: pd.DataFrame | None = super(LumibotPolygonDataBacktesting, self)._pull_source_symbol_bars(*request)
        return bars

    def last_price_of_loaded(self, asset: Any, quote: Any, exchange: Any) -> Any:
        """Return the last price that Lumibot finds among the loaded bars, without loading any."""
        return super(LumibotPolygonDataBacktesting, self).get_last_price(asset=asset, quote=quote, exchange=exchange)

    def _update_pandas_data(self, asset: Any, quote: Any, length: int, timestep: str, start_dt: Any = None) -> None:
        self.load_bars(asset, quote, length, timestep, start_dt)

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


def option_chain_max_days() -> int | None:
    """Return how many days ahead chains reach, by `LUMIBOT_OPTION_CHAIN_MAX_DAYS`; None: without end."""
    days: int | None = polygon_helper._option_chain_max_days()
    return days
