"""`AlpacaBacktesting` on the store: Lumibot's Alpaca source, which downloads only what the store lacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
from lumibot.entities import Bars
from lumibot.tools.helpers import get_decimals, quantize_to_num_decimals

from lumibot_duckdb.lumibot_contract.alpaca_hooks import AlpacaHooks
from lumibot_duckdb.sources.alpaca.chains import AlpacaListings, sides_of
from lumibot_duckdb.sources.alpaca.client import AlpacaProvider
from lumibot_duckdb.sources.alpaca.downloads import AlpacaDownloads
from lumibot_duckdb.sources.alpaca.frames import Frame, FrameBuilder
from lumibot_duckdb.sources.alpaca.loading import FrameLoader
from lumibot_duckdb.sources.alpaca.steps import Step, Steps
from lumibot_duckdb.sources.shared.class_substitution import SwitchableMeta
from lumibot_duckdb.sources.shared.enhanced_data_source import EnhancedDataSourceBacktesting
from lumibot_duckdb.sources.shared.indicators import SeenBars, lumibots_timestep
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesPin
from lumibot_duckdb.windows.series_view import StoredView
from lumibot_duckdb.windows.series_with_returns import SeriesWithReturns

_Load: TypeAlias = Callable[[Any, Any, str], tuple[str, SeriesWithReturns]]


class AlpacaBacktesting(EnhancedDataSourceBacktesting, AlpacaHooks, metaclass=SwitchableMeta):
    """Drop-in for Lumibot's class of this name, for stocks, crypto and options, with all its settings.

    Bars are downloaded when a strategy first needs them, stored as Alpaca gives them, and never downloaded again; they
    are filled and resampled as Lumibot does when a window is read. `max_memory` bounds, in bytes, what the windows of
    all assets hold together.
    """

    def __init__(
        self,
        datetime_start: datetime | None = None,
        datetime_end: datetime | None = None,
        backtesting_started: datetime | None = None,
        config: dict[str, Any] | None = None,
        api_key: str | None = None,
        show_progress_bar: bool = True,
        delay: int | None = None,
        pandas_data: Any = None,
        max_memory: int | str | None = None,
        *,
        storage: DataStorageInterface | str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            datetime_start=datetime_start,
            datetime_end=datetime_end,
            backtesting_started=backtesting_started,
            config=config,
            api_key=api_key,
            show_progress_bar=show_progress_bar,
            delay=delay,
            pandas_data=pandas_data,
            max_memory=max_memory,
            storage=storage,
            **kwargs,
        )
        self._alpaca: AlpacaProvider | None = None
        self._stored_views: dict[SeriesPin, StoredView] = {}
        builder = FrameBuilder(self.budget, self.market, self.tzinfo, self.trading_days)
        self._downloads = AlpacaDownloads(lambda: self.storage, lambda: self.provider, self.as_of)
        self._loader = FrameLoader(self, builder, self._downloads)
        self._steps = Steps(self, builder)
        self._listings = AlpacaListings(
            lambda: self.storage,
            lambda: self.provider if self.as_of is None else None,
            self.parsed_contract,
            usual=self.usual_chain_days,
            extra=int(self.OPTION_CHAIN_LISTING_EXTRA_DAYS),
        )

    @property
    def provider(self) -> AlpacaProvider:
        """Alpaca, with the credentials of this backtest."""
        if self._alpaca is None:
            known = self.credentials
            self._alpaca = AlpacaProvider(
                known["api_key"],
                known["api_secret"],
                known["oauth_token"],
                paper=known["paper"],
                requests_per_minute=self.ALPACA_MAX_REQUESTS_PER_MINUTE,
            )
        return self._alpaca

    # -- requests --------------------------------------------------------------------------------------------

    def get_last_price(self, asset: Any, quote: Any = None, exchange: Any = None) -> Any:
        """Return the open of the bar that the clock is in; of an option, its last trade."""
        base, quote = self.base_and_quote(asset, quote)
        if self.is_option(base):
            return super().get_last_price(asset, quote, exchange)
        step = self._steps.of(self.clock_timestep)
        series = self._steps.resampled(*self._loader.frame_for(base, quote, step.source), step)
        row = self._steps.newest_row(series, self.clock, step, closed=False)
        self._refuse_no_bar(row, self.clock)
        price = series.value("open", row)
        return quantize_to_num_decimals(price, get_decimals(price))

    def read_bars(
        self,
        asset: Any,
        length: int,
        timestep: str | None,
        timeshift: timedelta | None,
        quote: Any,
        *,
        return_polars: bool,
        remove_incomplete_current_bar: bool | None,
        extend_history: bool,
    ) -> Bars | None:
        """Return the last bars at the clock's time, as Lumibot does, out of a window of the stored ones."""
        if length <= 0:
            raise ValueError("the number of bars must be positive")
        closed = self.only_closed_bars if remove_incomplete_current_bar is None else remove_incomplete_current_bar
        step = self._steps.of(self.clock_timestep if timestep is None else timestep)
        quote = self.LUMIBOT_DEFAULT_QUOTE_ASSET if quote is None else quote
        if self.is_option(asset):
            return self.read_option_bars(
                asset,
                length,
                timestep=step.timestep,
                source_timestep=step.source,
                resample_rule=step.rule,
                timeshift=timeshift,
                quote=quote,
                return_polars=return_polars,
                remove_incomplete_current_bar=closed,
                extend_history=True,
            )
        load, extend = self._loader.frame_for, extend_history and self.reaches_before_window
        series, row = self._history(load, asset, quote, step, timeshift, length, closed=closed, extend=extend)
        if length > len(series) and not extend:
            raise ValueError(f"{length} bars of {asset} were requested, but there are only {len(series)}")
        if row < 0 and closed:
            return None  # no bar has closed yet
        self._refuse_no_bar(row, self.clock - timeshift if timeshift else self.clock)
        return self._bars(series, row, length, asset, quote, return_polars)

    def read_option_bars(
        self,
        asset: Any,
        length: int,
        *,
        timestep: str,
        source_timestep: str,
        resample_rule: str | None,
        timeshift: timedelta | None,
        quote: Any,
        return_polars: bool,
        remove_incomplete_current_bar: bool,
        extend_history: bool,
    ) -> Bars | None:
        """Return the last bars in which an option was traded; None if it was not."""
        # For a last price, Lumibot passes other bars to resample than it usually would.
        step = replace(self._steps.of(timestep), source=source_timestep, rule=resample_rule)
        load, closed = self._loader.option_frame_for, remove_incomplete_current_bar
        extend = extend_history and self.reaches_before_window
        series, row = self._history(load, asset, quote, step, timeshift, length, closed=closed, extend=extend)
        return None if row < 0 else self._bars(series, row, length, asset, quote, return_polars)

    def bars_for_indicators(self, asset: Any, quote: Any, timeframe: str, length: int) -> SeenBars | None:
        """Return the stored bars of the timestep that answers a request; Lumibot may show them before they close."""
        unit, count = lumibots_timestep(timeframe)
        is_larger = unit not in timeframe
        step = self._steps.of(unit if is_larger else timeframe)
        quote = self.LUMIBOT_DEFAULT_QUOTE_ASSET if quote is None else quote
        load = self._loader.option_frame_for if self.is_option(asset) else self._loader.frame_for
        wanted = length * count if is_larger else length
        self._history(load, asset, quote, step, None, wanted, closed=True, extend=self.reaches_before_window)
        series = self._loader.series.get(self._loader.key_of(*self.base_and_quote(asset, quote), step.source))
        if series is None or series.pin is None:
            return None
        view = self._stored_views.get(series.pin)
        if view is None:
            view = self._stored_views[series.pin] = StoredView(self.storage, series.pin)
        return SeenBars(view, view.timeframe)

    def get_historical_prices_between_dates(self, **request: Any) -> pd.DataFrame:
        """Return the whole frame of an asset, read for this call; the arguments are Lumibot's."""
        found = self.loaded_frames[self._loaded(**request)]
        return found.whole() if isinstance(found, SeriesWithReturns) else found

    def _history(
        self,
        load: _Load,
        asset: Any,
        quote: Any,
        step: Step,
        timeshift: timedelta | None,
        length: int,
        *,
        closed: bool,
        extend: bool,
    ) -> tuple[SeriesWithReturns, int]:
        """Return the bars that a request is answered from, and the row of the newest; -1 if there is none."""
        now = self.clock - timeshift if timeshift else self.clock
        series = self._steps.resampled(*load(asset, quote, step.source), step)
        row = self._steps.newest_row(series, now, step, closed=closed)
        if extend and row + 1 < length:
            longer = self._loader.reach_back(asset, quote, step, now, length)
            if longer is not None:
                series = self._steps.resampled(*longer, step)
                row = self._steps.newest_row(series, now, step, closed=closed)
        return series, row

    def _bars(
        self, series: SeriesWithReturns, row: int, length: int, asset: Any, quote: Any, return_polars: bool
    ) -> Bars:
        frame = series.bars(max(0, row - length + 1), row + 1)
        return Bars(frame, self.SOURCE, asset=asset, quote=quote, return_polars=return_polars, tzinfo=self.tzinfo)

    @staticmethod
    def _refuse_no_bar(row: int, now: datetime) -> None:
        if row < 0:
            raise ValueError(f"there is no bar at or before {now}")

    # -- what Lumibot's own code loads -----------------------------------------------------------------------

    def _loaded(
        self,
        *,
        base_asset: Any = None,
        quote_asset: Any = None,
        timestep: str | None = None,
        market: str | None = None,
        tzinfo: tzinfo | None = None,
        data_datetime_start: datetime | None = None,
        data_datetime_end: datetime | None = None,
        auto_adjust: bool | None = None,
    ) -> str:
        """Ensure that the frame of an asset is in the data store; return its key."""
        return self._loader.load(
            base_asset, quote_asset, timestep, data_datetime_start, data_datetime_end, auto_adjust, tzinfo, market
        )

    def read_frame(self, **request: Any) -> pd.DataFrame:
        """Load a frame, downloading what the store lacks of it; the arguments are Lumibot's, all of them needed."""
        names = (
            *("base_asset", "quote_asset", "timestep", "tzinfo", "data_datetime_start", "data_datetime_end"),
            "auto_adjust",
        )
        for name in (*names, "market"):
            if request.get(name) is None:
                raise ValueError(f"{name} is missing")
        return self._loader.load_frame(Frame(*(request[name] for name in names)), request["market"]).whole()

    # -- options ---------------------------------------------------------------------------------------------

    def get_chains(self, asset: Any, quote: Any = None) -> Any:
        """Return the option chain of a stock as of the backtest's day, by Lumibot's rules for its expirations."""
        symbol = str(getattr(asset, "symbol", asset) or "").upper()
        today = self.get_datetime().date()
        earliest, latest = self.chain_bounds
        first = max(today, earliest or today)
        last = latest or today + timedelta(days=self.usual_chain_days)
        chain = self.empty_chain(symbol)
        if first <= last:
            chain["Chains"] = sides_of(self._listings.of(symbol, first, last))
        return self.copied_chain(chain)
