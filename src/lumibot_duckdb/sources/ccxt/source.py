"""`CcxtBacktesting` on the store: Lumibot's source of crypto candles, which downloads only what the store lacks."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from lumibot.backtesting import CcxtBacktesting as LumibotCcxtBacktesting
from lumibot.constants import LUMIBOT_DEFAULT_PYTZ

from lumibot_duckdb.analytics.series import divides
from lumibot_duckdb.lumibot_contract.ccxt_hooks import CcxtHooks
from lumibot_duckdb.sources.ccxt.cache_emulation import StoredCandles, utc_index
from lumibot_duckdb.sources.ccxt.client import SECONDS, check_exchange
from lumibot_duckdb.sources.ccxt.price_rounding import COLUMNS, STORED
from lumibot_duckdb.sources.shared.class_substitution import SwitchableMeta
from lumibot_duckdb.sources.shared.enhanced_data_source import EnhancedDataSourceBacktesting
from lumibot_duckdb.sources.shared.indicators import SeenBars
from lumibot_duckdb.sources.shared.progress import shows_loading
from lumibot_duckdb.storage.api import AsOf, DataStorageInterface
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array
from lumibot_duckdb.windows.framed_series import FramedSeries, Shape, frame_of_bars
from lumibot_duckdb.windows.series_view import StoredView

logger = logging.getLogger(__name__)

_STEPS = ("day", "hour", "minute")


class CcxtBacktestingData(EnhancedDataSourceBacktesting, CcxtHooks, metaclass=SwitchableMeta):
    """Drop-in for Lumibot's class of this name: minutes, hours and days of any exchange that ccxt knows.

    Candles are downloaded when a strategy first needs them, stored, and never downloaded again. Prices and volumes are
    rounded to three decimals, as in Lumibot's cache, unless `using(..., exact_prices=True)` says otherwise.
    """

    @classmethod
    def using(
        cls,
        storage: DataStorageInterface | str | Path | None = None,
        *,
        exact_prices: bool = False,
        as_of: AsOf | None = None,
        max_memory: int | None = None,
    ) -> Any:
        """Return the class to pass to `Strategy.backtest`, with these settings.

        With `exact_prices`, strategies see the exchange's prices and volumes unrounded; results then differ from
        Lumibot's. The others are those of `EnhancedDataSourceBacktesting.using`.
        """
        return cls._configured(storage=storage, exact_prices=exact_prices, as_of=as_of, max_memory=max_memory)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._serving: dict[tuple[Any, Any, Any], tuple[FramedSeries, int]] = {}
        self._without: set[tuple[Any, Any, Any]] = set()
        self._stored_views: dict[tuple[Any, Any, str], StoredView] = {}
        self._touching = threading.RLock()  # Lumibot sends requests from several threads
        super().__init__(*args, **kwargs)

    def make_cache(self, exchange_id: str, download_limit: int | None) -> StoredCandles:
        """Return the stored candles of an exchange. Raises `ProviderError` for one that ccxt does not know."""
        check_exchange(exchange_id)
        return StoredCandles(
            exchange_id,
            download_limit,
            lambda: self.storage,
            as_of=self.as_of,
            exact_prices=bool(self.settings.get("exact_prices")),
        )

    # -- requests --------------------------------------------------------------------------------------------

    def read_bars(
        self,
        asset: Any,
        length: int | None,
        timestep: str,
        timeshift: Any,
        quote: Any,
        exchange: Any,
        after_hours: bool,
    ) -> pd.DataFrame | None:
        """Answer as Lumibot does: the last `length` candles (None: all) that have closed by now."""
        served = None if exchange is not None else self._serving.get((asset, quote, timestep))
        if served is None:
            served = self._served_by(asset, quote, timestep)
        if served is None:
            if (asset, quote, timestep) in self._without:
                logger.error("There are no candles of %s (%s) on %s.", asset, timestep, self.name)
                return None
            return super().read_bars(asset, length, timestep, timeshift, quote, exchange, after_hours)
        series, duration = served
        end = self.get_datetime()
        if timeshift:
            end = end - timeshift
        stop = series.rows.row_at((int(end.timestamp()) - duration) * NANOSECONDS_PER_SECOND) + 1
        if length is None:
            return series.frame(0, stop)
        return series.frame(stop if length == 0 else slice(-length, None).indices(stop)[0], stop)

    def get_last_price(
        self, asset: Any, timestep: str | None = None, quote: Any = None, exchange: Any = None, **kwargs: Any
    ) -> Any:
        """Return the close of the last candle that has closed by now; None if there is none."""
        served = self._serving.get((asset, quote, timestep or self.get_timestep()))
        if served is None:
            return super().get_last_price(asset, timestep, quote, exchange, **kwargs)
        series, duration = served
        row = series.rows.row_at((int(self.get_datetime().timestamp()) - duration) * NANOSECONDS_PER_SECOND)
        return None if row < 0 else series.value("close", row)

    def bars_for_indicators(self, asset: Any, quote: Any, timeframe: str, length: int) -> SeenBars | None:
        """Return the stored candles, whose numbers are not rounded; Lumibot shows them once they have closed."""
        step = next((each for each in _STEPS if each == timeframe or divides(each, timeframe)), None)
        if step is None or (self._serving.get((asset, quote, step)) or self._served_by(asset, quote, step)) is None:
            return None
        view = self._stored_views.get((asset, quote, step))
        if view is None:
            pin = self.cache_db.pinned(_symbol_of(asset, quote), self.timeframe_of(step))
            if pin is None:
                return None
            view = self._stored_views[asset, quote, step] = StoredView(self.storage, pin)
        return SeenBars(view, step)

    # -- candles ---------------------------------------------------------------------------------------------

    def _served_by(self, asset: Any, quote: Any, timestep: str) -> tuple[FramedSeries, int] | None:
        """Return the series that answers a request and the length of its candles (s); None if Lumibot's code does."""
        if not isinstance(self.cache_db, StoredCandles):
            return None
        symbol = _symbol_of(asset, quote)
        timeframe = self.timeframe_of(timestep)
        name = f"{symbol}_{timeframe}"
        with self._touching:
            if name not in self.loaded_frames and (asset, quote, timestep) not in self._without:
                self._touch(name, symbol, timeframe)
        series = self.loaded_frames.get(name)
        if series is None:
            self._without.add((asset, quote, timestep))
        if not isinstance(series, FramedSeries):
            return None
        self._serving[asset, quote, timestep] = served = (series, SECONDS[timeframe])
        return served

    @shows_loading
    def _touch(self, name: str, symbol: Any, timeframe: str) -> None:
        """Add the candles of the backtest, and of the time before it, to the frames that Lumibot looks up."""
        before = timedelta(seconds=SECONDS[timeframe] * self.candles_before_start)
        start, end = (self.in_utc(moment) for moment in (self.datetime_start, self.datetime_end))
        found = self.cache_db.candles(symbol, timeframe, start - before, end)
        if found is None:
            return
        view, numbers = found
        shape = Shape(COLUMNS, STORED, numbers.bars_with_returns, look_back=1, index=_local_index)
        self.loaded_frames[name] = frame_of_bars(view, shape, self.budget)
        self.let_go()


class CcxtBacktesting(CcxtBacktestingData, LumibotCcxtBacktesting, metaclass=SwitchableMeta):  # type: ignore[misc]
    """Drop-in for Lumibot's class of this name; see `CcxtBacktestingData`."""

    def __init__(self, datetime_start: datetime, datetime_end: datetime, **kwargs: Any) -> None:
        super().__init__(datetime_start, datetime_end, **kwargs)


def _symbol_of(asset: Any, quote: Any) -> Any:
    """Return Lumibot's name of a market: a text, or the asset itself if it has no quote."""
    if isinstance(asset, tuple):
        return f"{asset[0].symbol.upper()}/{asset[1].symbol.upper()}"
    return asset if quote is None else f"{asset.symbol.upper()}/{quote.symbol.upper()}"


def _local_index(times: Int64Array) -> pd.DatetimeIndex:
    local: pd.DatetimeIndex = utc_index(times).tz_convert(LUMIBOT_DEFAULT_PYTZ)
    return local
