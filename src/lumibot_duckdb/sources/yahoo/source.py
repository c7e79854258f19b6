"""`YahooData` and `YahooDataBacktesting` on the store: Lumibot's Yahoo source, which downloads what the store lacks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lumibot.backtesting import YahooDataBacktesting as LumibotYahooDataBacktesting
from lumibot.entities import Asset

from lumibot_duckdb.analytics.series import divides
from lumibot_duckdb.lumibot_contract.yahoo_hooks import YahooHooks
from lumibot_duckdb.sources.shared.class_substitution import SwitchableMeta
from lumibot_duckdb.sources.shared.enhanced_data_source import EnhancedDataSourceBacktesting
from lumibot_duckdb.sources.shared.errors import ProviderError, UnknownSymbolError
from lumibot_duckdb.sources.shared.indicators import SeenBars
from lumibot_duckdb.sources.shared.progress import shows_loading
from lumibot_duckdb.sources.yahoo.adjusted_view import AdjustedView, adjusted
from lumibot_duckdb.sources.yahoo.client import ZERO_IF_ABSENT, YahooProvider
from lumibot_duckdb.sources.yahoo.history import ADJUSTMENT, SOURCE, TIMEFRAMES, YahooHistory
from lumibot_duckdb.sources.yahoo.notes import remember_symbol, symbol_that_answered
from lumibot_duckdb.sources.yahoo.sessions import StampedRows
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey
from lumibot_duckdb.storage.identity import asset_key
from lumibot_duckdb.storage.times import epoch_nanoseconds
from lumibot_duckdb.windows.bar_table import Values
from lumibot_duckdb.windows.framed_series import FramedSeries, Shape, price_change, rows_of_bars
from lumibot_duckdb.windows.series_view import SeriesView

logger = logging.getLogger(__name__)

_TIMEFRAMES = {"1d": "day", "15m": "15minute", "1m": "minute"}
_DAY = timedelta(days=1)

_AS_LUMIBOT_HAS_THEM = {"capital_gains": "Capital Gains"}
_DERIVED = ("price_change", "dividend_yield", "return")


class YahooData(EnhancedDataSourceBacktesting, YahooHooks, metaclass=SwitchableMeta):
    """Drop-in for Lumibot's class of this name.

    Bars are downloaded when a strategy first needs them, stored, and never downloaded again. `max_memory`
    bounds, in bytes, what the windows of all assets hold together. With `auto_adjust`, prices are adjusted for
    dividends as `yfinance` does it.
    """

    def __init__(
        self,
        auto_adjust: bool = False,
        datetime_start: datetime | None = None,
        datetime_end: datetime | None = None,
        *,
        storage: DataStorageInterface | str | Path | None = None,
        max_memory: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        self._absent: set[Any] = set()
        self._stored_views: dict[Any, SeriesView] = {}
        self._loading = threading.RLock()  # Lumibot sends requests from several threads
        self._provider: YahooProvider | None = None
        super().__init__(
            auto_adjust=auto_adjust,
            datetime_start=datetime_start,
            datetime_end=datetime_end,
            storage=storage,
            max_memory=max_memory,
            **kwargs,
        )

    @property
    def provider(self) -> YahooProvider:
        """Yahoo."""
        if self._provider is None:
            self._provider = YahooProvider()
        return self._provider

    # -- requests --------------------------------------------------------------------------------------------

    def read_bars(
        self, asset: Any, length: int, timestep: str, timeshift: Any, quote: Any, exchange: Any, after_hours: bool
    ) -> pd.DataFrame | None:
        """Return the last `length` rows before the clock, by Lumibot's rule for each timestep."""
        data = self.frame_of(asset, timestep)
        if not isinstance(data, (FramedSeries, type(None))):
            return super().read_bars(asset, length, timestep, timeshift, quote, exchange, after_hours)
        if data is None:
            return None
        end = self.rows_seen(data, timestep, timeshift)
        frame = data.frame(max(0, end - length), end)
        return frame if len(frame) else None

    def read_bars_of_assets(
        self, assets: Any, length: int, timestep: str, timeshift: Any, quote: Any, after_hours: bool
    ) -> dict[Any, pd.DataFrame | None]:
        """Return the rows of several assets. Lumibot's own fails with a `RecursionError` for those not yet loaded."""
        return {asset: self.read_bars(asset, length, timestep, timeshift, None, None, True) for asset in assets}

    def rows_seen(self, data: Any, timestep: str, timeshift: Any = None, asset: Any = None) -> int:
        """Return how many rows are visible: of days those until yesterday, else those before the clock."""
        if not isinstance(data, FramedSeries):
            return super().rows_seen(data, timestep, timeshift, asset)
        end = self.to_default_timezone(self.clock)
        if timestep == "day":
            end = end.replace(hour=23, minute=59, second=59, microsecond=999_999) - _DAY
        if timeshift:
            end = end - (timedelta(days=timeshift) if isinstance(timeshift, int) else timeshift)
        return data.rows.row_from(epoch_nanoseconds(end))

    def last_daily_open(self, asset: Any, timestep: str, quote: Any = None, exchange: Any = None) -> float | None:
        """Return the open of the last visible day, which Lumibot takes from the interval that it loaded last."""
        data = self.frame_of(asset, timestep)
        if not isinstance(data, FramedSeries):
            return super().last_daily_open(asset, timestep, quote, exchange)
        end = self.rows_seen(data, timestep)
        if end <= 0:
            return None
        opens: FramedSeries = self.frames_of_opens.get(asset, data)
        value: float = opens.value("open", end - 1)
        return value

    def bars_for_indicators(self, asset: Any, quote: Any, timeframe: str, length: int) -> SeenBars | None:
        """Return the bars of the longest interval that fits."""
        stored = next((each for each in TIMEFRAMES if each == timeframe or divides(each, timeframe)), None)
        if stored is None:
            return None
        base = asset[0] if isinstance(asset, tuple) else asset
        data = self.frame_of(base, stored)
        view = self._stored_views.get(self.frame_key(base, _interval_of(type(self), stored)))
        if not isinstance(data, FramedSeries) or view is None:
            return None
        rows = data.rows
        seen = self.rows_seen(data, stored)
        visible_until = rows.start(seen) if isinstance(rows, StampedRows) and seen < len(rows) else None
        return SeenBars(view, stored, visible_until)

    # -- bars ------------------------------------------------------------------------------------------------

    def frame_of(self, asset: Any, timestep: str) -> Any:
        """Return the frame of an asset that Lumibot would hold; None, which is logged once, if Yahoo has none."""
        if isinstance(asset, str):
            asset = Asset(symbol=asset)
        interval = _interval_of(type(self), timestep)
        key, frames = self.frame_key(asset, interval), self.loaded_frames
        data = frames.get(key)
        if data is not None or key in self._absent:
            return data
        with self._loading:
            if key not in frames and key not in self._absent:
                history = self._history(asset, _TIMEFRAMES[interval])
                if history is None:
                    self._absent.add(key)
                    logger.error(
                        "Yahoo has no %s bars of %s. Check the symbol, and whether Yahoo has this kind of bars for it.",
                        _TIMEFRAMES[interval],
                        asset.symbol,
                    )
                else:
                    self.keep_frame(asset, self._framed(history), interval)
                    self._stored_views[key] = self._stored_view(history)
                    self.let_go()
            return frames.get(key)

    def keep_frame(self, asset: Any, data: Any, interval: str = "1d") -> Any:
        """Add a frame to the loaded ones."""
        if not isinstance(data, FramedSeries):
            return super().keep_frame(asset, data, interval)
        self.loaded_frames[self.frame_key(asset, interval)] = data
        self.frames_of_opens[asset] = data
        return data

    @shows_loading
    def _history(self, asset: Asset, timeframe: str) -> YahooHistory | None:
        """Return the history of the first of Yahoo's symbols for an asset that has bars; None if none has."""
        symbols = self._symbols_of(asset)
        key = SeriesKey(asset_key(asset), SOURCE, timeframe, ADJUSTMENT)
        known = ""
        if len(symbols) > 1:
            known, is_current = symbol_that_answered(self.storage, key, self.as_of)
            if is_current and known in symbols:
                symbols = [known]
        for place, symbol in enumerate(symbols):
            history = YahooHistory(self.storage, self.provider, symbol, timeframe, as_of=self.as_of)
            try:
                history.ensure(self._last_needed(timeframe))
            except UnknownSymbolError:
                continue
            except ProviderError as error:
                if known not in symbols[place + 1 :]:
                    raise
                logger.warning("Yahoo may have bars of %s as %s by now, but: %s", asset.symbol, symbol, error)
                continue
            if len(history):
                if place and self.as_of is None:
                    remember_symbol(self.storage, key, symbol)
                return history
        return None

    def _symbols_of(self, asset: Asset) -> list[str]:
        """Return the symbols that Lumibot tries for an asset, in order."""
        if asset.asset_type in ("futures", Asset.AssetType.FUTURE):
            return self.symbols_of_future(asset.symbol)
        if asset.asset_type == Asset.AssetType.INDEX:
            return self.symbols_of_index(asset.symbol)
        return [asset.symbol]

    def _last_needed(self, timeframe: str) -> datetime:
        """Return until when bars can matter: for a last price, Lumibot looks a day ahead in intraday bars."""
        end: datetime = self.datetime_end
        if timeframe != "day":
            return end + _DAY
        return end.replace(hour=23, minute=59, second=59)

    def _framed(self, history: YahooHistory) -> FramedSeries:
        view = history.view
        assert view is not None
        shape = _shape(history, view.frame_columns(), adjust=self.auto_adjust)
        starts, load = rows_of_bars(view, shape)
        rows = StampedRows(starts, history.stamps, history.index_of)
        return FramedSeries(rows, load, self.budget, columns=shape.columns)

    def _stored_view(self, history: YahooHistory) -> SeriesView:
        """Return the stored bars, with the prices that the backtest sees."""
        assert history.view is not None
        view = history.view.unrestricted()
        return AdjustedView(view) if self.auto_adjust and "adj_close" in view.frame_columns() else view


class YahooDataBacktesting(YahooData, LumibotYahooDataBacktesting):  # type: ignore[misc]
    """Drop-in for Lumibot's class of this name; see `YahooData`."""

    def __init__(self, datetime_start: datetime, datetime_end: datetime, **kwargs: Any) -> None:
        super().__init__(datetime_start=datetime_start, datetime_end=datetime_end, **kwargs)


@lru_cache(maxsize=256)
def _interval_of(source: type[YahooData], timestep: str) -> str:
    """Return Yahoo's interval for a timestep. Raises what Lumibot raises for an unsupported one."""
    return source.interval_of(timestep)


def _shape(history: YahooHistory, columns: list[str], *, adjust: bool) -> Shape:
    """Return how to build Lumibot's frame from stored bars."""
    given = [name for name in columns if name != "adj_close"]
    absent = [name for name in ZERO_IF_ABSENT if name not in columns]
    adjust = adjust and "adj_close" in columns

    def make(stored: Mapping[str, Values]) -> Mapping[str, Values]:
        bars = {name: stored[name] for name in given}
        if adjust:
            prices = adjusted(stored)
            bars = {name: prices[name] for name in given}
        bars |= {name: np.zeros(len(bars["close"])) for name in absent}
        change = price_change(bars["close"])
        with np.errstate(divide="ignore", invalid="ignore"):
            dividend_yield = bars["dividend"] / bars["close"]
        made = {_AS_LUMIBOT_HAS_THEM.get(name, name): values for name, values in bars.items()}
        return made | {"price_change": change, "dividend_yield": dividend_yield, "return": dividend_yield + change}

    names = [_AS_LUMIBOT_HAS_THEM.get(name, name) for name in (*given, *absent)]
    reads = columns if adjust else given
    return Shape((*names, *_DERIVED), reads, make, look_back=1, index=history.index_of)
