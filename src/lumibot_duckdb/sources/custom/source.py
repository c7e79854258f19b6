"""`ProviderDataBacktesting`: a backtest on the bars of a provider that the user wrote."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from lumibot.entities import Asset
from lumibot.tools.helpers import parse_timestep_qty_and_unit

from lumibot_duckdb import clock
from lumibot_duckdb.lumibot_contract.enforcement import require
from lumibot_duckdb.lumibot_contract.own_bars_hooks import OwnBarsHooks
from lumibot_duckdb.sources.custom.downloads import download
from lumibot_duckdb.sources.provider import BarProvider
from lumibot_duckdb.sources.shared.data_source_of_windows import START_BUFFER, DataSourceOfWindows
from lumibot_duckdb.sources.shared.downloaded_series import DownloadedSeries
from lumibot_duckdb.sources.shared.indicators import SeenBars, lumibots_timestep
from lumibot_duckdb.sources.shared.progress import shows_loading
from lumibot_duckdb.sources.shared.rate_limit import RateLimit
from lumibot_duckdb.sources.shared.split_check import SPLIT_ADJUSTED, SplitCheck
from lumibot_duckdb.storage.api import AsOf, DataStorageInterface, SeriesKey, TimeRange
from lumibot_duckdb.storage.identity import asset_key, canonical_source
from lumibot_duckdb.storage.times import NEW_YORK, midnight
from lumibot_duckdb.windows.windowed_data import WindowedData

logger = logging.getLogger(__name__)

_FINER: Mapping[str, tuple[str, ...]] = {"minute": (), "hour": ("minute",), "day": ("hour", "minute")}
"""Timeframes that serve a request for another one, the coarsest first."""

_USD = Asset("USD", "forex")
_WITHOUT_SPLITS = frozenset(("crypto", "crypto_future", "forex", "future", "index"))


@dataclass
class _Loaded:
    """How far back an asset's bars are loaded, in epoch seconds, and at which timeframe."""

    since: int
    timeframe: str


class ProviderDataBacktesting(DataSourceOfWindows, OwnBarsHooks):
    """A Lumibot data source on the bars of a `BarProvider`; `using` names the provider.

    An asset is downloaded when the strategy first needs it, from as far back as its requests reach until the end of
    the backtest. Stored bars are not downloaded again, unless a new split restates them. Requests are answered by
    Lumibot's own rules, as in its Polygon source: bars are loaded at the timeframe of the first request, and minutes
    also serve requests for hours and days.
    """

    @classmethod
    def using(  # type: ignore[override]
        cls,
        storage: DataStorageInterface | str | Path | None = None,
        *,
        provider: BarProvider,
        source: str | None = None,
        as_of: AsOf | None = None,
        max_memory: int | None = None,
    ) -> type[ProviderDataBacktesting]:
        """Return the class to pass to `Strategy.backtest`.

        Parameters:
            storage: a storage, or the path of one; the default store if left out.
            provider: where bars that are not stored come from.
            source: the name under which the store keeps the bars; derived from the provider's class if left out
                (`AcmeProvider` is "acme").
            as_of: read the history as it stood at that moment (tz-aware) or in the snapshot of that name, and
                download nothing.
            max_memory: how many bytes of bars the backtest may hold.

        Raises:
            LumibotContractError: the installed Lumibot does not fit, and it has no class to fall back to.
            TypeError: the provider is not a `BarProvider`.
            ValueError: `source` is not one short word, or the provider's `timeframes` are not usable.
        """
        require("custom")
        if not isinstance(provider, BarProvider):
            raise TypeError(f"provider must be a BarProvider object, not {provider!r}: subclass BarProvider")
        unknown = [each for each in provider.timeframes if each not in _FINER]
        if unknown or not provider.timeframes:
            raise ValueError(
                f"{type(provider).__name__}.timeframes must be of 'minute', 'hour' and 'day', "
                f"not {unknown or list(provider.timeframes)}"
            )
        return cls._configured(
            storage=storage,
            provider=provider,
            source=canonical_source(_source_name(provider) if source is None else source),
            as_of=as_of,
            max_memory=max_memory,
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "use_duckdb" in kwargs:
            raise TypeError(
                "ProviderDataBacktesting always runs on the store, because Lumibot has no class to use in its place: "
                "remove the argument use_duckdb"
            )
        if "provider" not in self.settings:
            raise TypeError("name a provider: ProviderDataBacktesting.using(provider=...)")
        super().__init__(*args, **kwargs)
        self.provider: BarProvider = self.settings["provider"]
        self._source = self.settings["source"]
        self._series: dict[SeriesKey, DownloadedSeries] = {}
        self._loaded: dict[tuple[Asset, Asset], _Loaded] = {}
        self._enough: dict[tuple[Any, Any, str, int], datetime] = {}
        self._limit = RateLimit(self.provider.retry_policy, type(self.provider).__name__)
        self._loading = threading.RLock()  # Lumibot sends requests from several threads
        self._splits = SplitCheck(lambda: self.storage, self._source, self.provider.splits, as_of=self.as_of)
        if "minute" not in self.provider.timeframes:
            self.set_clock_timestep(self._finest)

    @property
    def _finest(self) -> str:
        return min(self.provider.timeframes, key=list(_FINER).index)

    # -- requests --------------------------------------------------------------------------------------------

    def find_asset_in_data_store(self, asset: Any, quote: Any = None, timestep: str | None = None) -> Any:
        """Return the key of an asset's bars; they are loaded if this is the first request for them."""
        self._ensure(asset, quote, 1, timestep or self.clock_timestep, self.get_datetime())
        return super().find_asset_in_data_store(asset, quote, timestep)

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
        now = self.get_datetime()
        moment = now - timeshift if isinstance(timeshift, timedelta) else now
        self._ensure(asset, quote, length, timestep or self.MIN_TIMESTEP, moment)
        return super().read_bars(asset, length, timestep, timeshift, quote, exchange, include_after_hours)

    def bars_for_indicators(self, asset: Any, quote: Any, timeframe: str, length: int) -> SeenBars | None:
        """Load as many bars as a request for `length` would need, then return what answers it."""
        unit, count = lumibots_timestep(timeframe)
        self._ensure(asset, quote, length * count, unit, self.get_datetime())
        return super().bars_for_indicators(asset, quote, timeframe, length)

    # -- loading ---------------------------------------------------------------------------------------------

    def _ensure(self, asset: Any, quote: Any, length: int, timestep: str, now: datetime) -> None:
        """Ensure that the bars of a request are in the data store."""
        request = (asset, quote, timestep, length)
        enough_since = self._enough.get(request)
        if enough_since is not None and enough_since <= now:
            return
        with self._loading:
            base, quote_asset = asset if isinstance(asset, tuple) else (asset, quote or _USD)
            start, _ = self.get_start_datetime_and_ts_unit(max(length, 1), timestep, now, start_buffer=START_BUFFER)
            unit = parse_timestep_qty_and_unit(timestep)[1]
            since = midnight(start.astimezone(NEW_YORK).date(), NEW_YORK)
            loaded = self._loaded.get((base, quote_asset))
            timeframe = self._timeframe_to_load(loaded, since, unit)
            if timeframe is not None:
                self._load(base, quote_asset, since, timeframe)
            self._enough[request] = now

    def _timeframe_to_load(self, loaded: _Loaded | None, since: int, unit: str) -> str | None:
        """Return at which timeframe bars must be loaded for a request; None if what is loaded serves it."""
        serving = (unit, *_FINER.get(unit, ()))
        if loaded is not None and loaded.timeframe in serving:
            return None if loaded.since <= since else loaded.timeframe
        return next((each for each in serving if each in self.provider.timeframes), None)

    @shows_loading
    def _load(self, base: Asset, quote: Asset, since: int, timeframe: str) -> None:
        key = self._series_key(base, quote, timeframe)
        after = midnight(self.datetime_end.astimezone(NEW_YORK).date() + timedelta(days=1), NEW_YORK)
        wanted = TimeRange(since, max(since, min(after, clock.epoch_now())))
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = DownloadedSeries(self.storage, key, as_of=self.as_of)

        def download_missing(pieces: list[TimeRange]) -> Any:
            self._splits.refuse_restated(key.asset.symbol)
            return download(self.provider, key, pieces, self._limit)

        series.ensure(wanted, download_missing)
        self._loaded[base, quote] = _Loaded(since, timeframe)
        self._enough.clear()
        self._show(base, quote, series, wanted)

    def _series_key(self, base: Asset, quote: Asset, timeframe: str) -> SeriesKey:
        asset = asset_key((base, quote))
        adjusted = asset.asset_type not in _WITHOUT_SPLITS and self._splits.is_adjusted(asset.symbol)
        return SeriesKey(asset, self._source, timeframe, SPLIT_ADJUSTED if adjusted else "")

    def _show(self, base: Asset, quote: Asset, series: DownloadedSeries, wanted: TimeRange) -> None:
        """Add the loaded bars to Lumibot's data store."""
        view = series.view(wanted)
        if view is None or not view.facts.rows:
            logger.warning("%s has no bars of %s in this backtest", type(self.provider).__name__, series.key.label())
            return
        pair = series.key.asset.quote is not None
        data = WindowedData(
            base, view, timestep=series.key.timeframe, quote=quote if pair else None, budget=self.budget
        )
        self.pandas_data[base, quote] = data
        self._serving.clear()


def _source_name(provider: BarProvider) -> str:
    """Return a source's name for a provider: its class in snake case, without "Provider"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(provider).__name__.removesuffix("Provider"))
    return words.strip("_").lower() or "provider"
