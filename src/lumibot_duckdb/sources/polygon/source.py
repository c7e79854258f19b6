"""`PolygonDataBacktesting` on the store: Lumibot's Polygon source, which downloads only what the store lacks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from lumibot.entities import Asset, Data
from lumibot.tools import polygon_helper

from lumibot_duckdb.lumibot_contract.polygon_hooks import PolygonHooks
from lumibot_duckdb.sources.polygon.cache_emulation import CachedSeries, zone_ticker
from lumibot_duckdb.sources.polygon.chains import PolygonChains
from lumibot_duckdb.sources.polygon.client import PolygonProvider
from lumibot_duckdb.sources.polygon.metadata import (
    SOURCE,
    TICKER,
    WHOLE_NUMBERS,
    adjusted_as_of,
    whole_numbers,
)
from lumibot_duckdb.sources.provider import BarRequest
from lumibot_duckdb.sources.shared.class_substitution import SwitchableMeta
from lumibot_duckdb.sources.shared.data_source_of_windows import START_BUFFER, DataSourceOfWindows
from lumibot_duckdb.sources.shared.days import DaySpan
from lumibot_duckdb.sources.shared.downloaded_series import Delivery, DownloadedSeries
from lumibot_duckdb.sources.shared.errors import PlanLimitError, ProviderError
from lumibot_duckdb.sources.shared.indicators import SeenBars, lumibots_timestep
from lumibot_duckdb.sources.shared.progress import shows_loading
from lumibot_duckdb.sources.shared.split_check import SPLIT_ADJUSTED, SplitCheck
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import StorageError
from lumibot_duckdb.storage.identity import asset_key
from lumibot_duckdb.windows.ranges_view import RangesView
from lumibot_duckdb.windows.windowed_data import WindowedData

logger = logging.getLogger(__name__)

_SPLIT = (Asset.AssetType.STOCK, Asset.AssetType.OPTION)
_FINER = {"minute": (), "hour": ("minute",), "day": ("minute", "hour")}


class PolygonDataBacktesting(DataSourceOfWindows, PolygonHooks, metaclass=SwitchableMeta):
    """Drop-in for Lumibot's class of this name, for stocks, options, crypto, forex and indices.

    Bars are downloaded when a strategy first needs them, stored, and never downloaded again. `max_memory`
    bounds, in bytes, what the windows of all assets hold together.
    """

    def __init__(
        self,
        datetime_start: datetime,
        datetime_end: datetime,
        pandas_data: Any = None,
        api_key: str | None = None,
        max_memory: int | str | None = None,
        *,
        storage: DataStorageInterface | str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            datetime_start,
            datetime_end,
            pandas_data=pandas_data,
            api_key=api_key,
            max_memory=max_memory,
            storage=storage,
            **kwargs,
        )
        self._cached: dict[SeriesKey, CachedSeries] = {}
        self._enough_since: dict[tuple[Any, Any, str, int], datetime] = {}
        self._splits = SplitCheck(
            lambda: self.storage,
            SOURCE,
            lambda symbol: self.provider.splits(symbol),
            as_of=self.as_of,
            adjusted_on=lambda symbol: adjusted_as_of(self.storage, symbol),
        )
        self._unchecked: set[str] = set()
        self._logged: set[str] = set()
        self._chains = PolygonChains(self)
        self._updating = threading.RLock()  # Lumibot sends requests from several threads
        self._provider: PolygonProvider | None = None

    @property
    def provider(self) -> PolygonProvider:
        """Polygon, with the key of this backtest."""
        if self._provider is None:
            self._provider = PolygonProvider.with_key(self.polygon_client.API_KEY)
        return self._provider

    # -- requests --------------------------------------------------------------------------------------------

    def read_bars(
        self,
        asset: Any,
        length: int,
        timestep: str,
        timeshift: Any,
        quote: Any,
        exchange: Any,
        include_after_hours: bool,
    ) -> pd.DataFrame | None:
        """Load the bars that the request needs, then answer it."""
        self.load_bars(asset, quote, length, timestep, self.get_datetime())
        return super().read_bars(asset, length, timestep, timeshift, quote, exchange, include_after_hours)

    def bars_for_indicators(self, asset: Any, quote: Any, timeframe: str, length: int) -> SeenBars | None:
        """Load as many bars as a request for `length` would need, then return what answers it."""
        unit, count = lumibots_timestep(timeframe)
        self.load_bars(asset, quote, length * count, unit, self.get_datetime())
        return super().bars_for_indicators(asset, quote, timeframe, length)

    def get_last_price(
        self, asset: Any, timestep: str = "minute", quote: Any = None, exchange: Any = None, **kwargs: Any
    ) -> Any:
        """Return the last price as Lumibot does; but a download that failed is an error, not a price of None."""
        try:
            self.load_bars(asset, quote, 1, timestep, self.get_datetime())
        except (ProviderError, StorageError):
            raise
        except Exception as error:
            logger.error("no last price of %s: %s", asset, error)
        return self.last_price_of_loaded(asset, quote, exchange)

    # -- bars ------------------------------------------------------------------------------------------------

    def load_bars(self, asset: Any, quote: Any, length: int, timestep: str, last_bar: datetime | None = None) -> None:
        """Load bars into the data store that reach back as far as a request, by Lumibot's rules."""
        request = (asset, quote, timestep, length)
        since = self._enough_since.get(request)
        if since is not None and last_bar is not None and since <= last_bar:
            return
        with self._updating:
            start, unit = self.get_start_datetime_and_ts_unit(length, timestep, last_bar, start_buffer=START_BUFFER)
            base, quote_asset = asset if isinstance(asset, tuple) else (asset, quote or Asset("USD", "forex"))
            wanted = self._timespan_to_load(self.pandas_data.get((base, quote_asset)), start, unit)
            if wanted is None:
                if last_bar is not None:
                    self._enough_since[request] = last_bar
                return
            self._load(base, quote_asset, start, wanted)

    def _timespan_to_load(self, data: Data | None, start: datetime, unit: str) -> str | None:
        """Return at which timespan bars have to be loaded for a request from `start` at `unit`; None if none have to.

        Finer bars serve as well; if they do not reach back far enough, more of them are loaded.
        """
        if data is None:
            return unit
        if data.timestep != unit and data.timestep not in _FINER.get(unit, ()):
            return unit
        begins = data.datetime_start if isinstance(data, WindowedData) else data.df.index[0]
        return None if begins - start < START_BUFFER else str(data.timestep)

    @shows_loading
    def _load(self, asset: Asset, quote: Asset, start: datetime, timespan: str) -> None:
        """Add the bars from `start` to the end of the backtest to the data store."""
        if timespan not in _FINER:
            Data(asset, pd.DataFrame(), timestep=timespan, quote=quote)  # refuses weeks and months, in Lumibot's words
        try:
            seen = self._history(asset, quote, start, self.datetime_end, timespan)
        except (ProviderError, StorageError):
            raise
        except Exception as error:
            # Lumibot raises this type for every failure.
            raise Exception(f"there are no Polygon bars of {asset}: {error}") from error
        if seen is None:
            return
        if isinstance(seen, RangesView):
            data: Data = WindowedData(asset, seen, timestep=timespan, quote=quote, budget=self.budget)
        else:
            data = Data(asset, seen, timestep=timespan, quote=quote)
        self.add_data(data)
        self._serving.clear()
        self._enough_since.clear()

    def _history(
        self, asset: Asset, quote: Asset, start: datetime, end: datetime, timespan: str
    ) -> RangesView | pd.DataFrame | None:
        """Return what Lumibot's Polygon helper would return at this point of the backtest."""
        cached = self._cached_series(asset, quote, timespan)
        missing = cached.missing_days(start, end)
        if not missing:
            return cached.read_again(start, end)
        wanted = cached.range_of(DaySpan(missing[0], missing[-1]))  # without a gap, as Lumibot does

        def download(pieces: list[TimeRange]) -> Iterator[Delivery]:
            if asset.asset_type in _SPLIT:
                self._splits.refuse_restated(asset.symbol)
            yield from self._download(cached, asset, quote, timespan, pieces)

        cached.series.ensure(wanted, download)
        if asset.asset_type == Asset.AssetType.OPTION and self._is_no_contract(cached.series):
            cached.add_empty_days(start, end)
            return cached.everything()
        cached.add_download(missing)
        return cached.downloaded(start, end)

    def _cached_series(self, asset: Asset, quote: Asset, timespan: str) -> CachedSeries:
        adjusted = asset.asset_type in _SPLIT
        key = SeriesKey(asset_key((asset, quote)), SOURCE, timespan, SPLIT_ADJUSTED if adjusted else "")
        if key not in self._cached:
            if adjusted:
                self._check_splits(asset.symbol)
            # All timespans are pinned at once, so that they are of one history.
            for each in _FINER:
                sibling = replace(key, timeframe=each)
                series = DownloadedSeries(self.storage, sibling, as_of=self.as_of)
                self._cached[sibling] = CachedSeries(series, asset, zone_ticker(asset), each)
        return self._cached[key]

    # -- downloads -------------------------------------------------------------------------------------------

    def _download(
        self, cached: CachedSeries, asset: Asset, quote: Asset, timespan: str, pieces: list[TimeRange]
    ) -> Iterator[Delivery]:
        """Download pieces of a series, chunk by chunk as they arrive. What the plan does not include is left out."""
        ticker = self._ticker(cached.series, asset, quote)
        if ticker is None:
            nothing = pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
            yield from (Delivery(piece, nothing, {TICKER: None}) for piece in pieces)
            return
        ranges = tuple((piece.start, piece.end) for piece in pieces)
        request = BarRequest(ticker, timespan, ranges, str(asset.asset_type), label=str(asset))
        try:
            with closing(self.provider.bars(request)) as arriving:
                for response in arriving:
                    metadata = {TICKER: ticker, WHOLE_NUMBERS: whole_numbers(response.bars)}
                    yield Delivery(TimeRange(response.start, response.end), response.bars, metadata)
        except PlanLimitError as error:
            self._log_once(str(error))

    def _ticker(self, series: DownloadedSeries, asset: Asset, quote: Asset) -> str | None:
        """Return Polygon's ticker of an asset; None for an option that does not exist.

        An option's ticker is requested once, and then stored with its bars.
        """
        if asset.asset_type != Asset.AssetType.OPTION:
            return str(polygon_helper.get_polygon_symbol(asset, None, quote))
        known = () if series.pin is None else self.storage.ingests(series.pin) or self.storage.empty_answers(series.pin)
        for ingest in known:
            if ingest.metadata.get(TICKER):
                return str(ingest.metadata[TICKER])
        return self.provider.option_ticker(asset.symbol, asset.expiration, asset.right, asset.strike)

    def _is_no_contract(self, series: DownloadedSeries) -> bool:
        """Return whether the store knows that Polygon has no such option."""
        if series.pin is None or self.storage.facts(series.pin).rows:
            return False
        answers = self.storage.empty_answers(series.pin)
        return bool(answers) and answers[-1].metadata.get(TICKER, "") is None

    def _check_splits(self, symbol: str) -> None:
        """Check a stock's splits once; a provider that does not answer is no reason to end the backtest."""
        if symbol in self._unchecked:
            return
        try:
            self._splits.check(symbol)
        except ProviderError as error:
            self._unchecked.add(symbol)
            logger.warning("the splits of %s could not be checked: %s", symbol, error)

    def _log_once(self, message: str) -> None:
        if message not in self._logged:
            self._logged.add(message)
            logger.error("%s", message)

    # -- options ---------------------------------------------------------------------------------------------

    def get_chains(self, asset: Asset, quote: Asset | None = None, exchange: str | None = None) -> dict[str, Any]:
        """Return the option chain of a stock as of the backtest's day, by Lumibot's rules of reuse."""
        return self._chains.of(asset.symbol, self.get_datetime().date())
