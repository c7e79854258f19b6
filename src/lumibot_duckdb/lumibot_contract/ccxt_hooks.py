"""The private hooks of Lumibot's CCXT source and of its cache under public names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import MutableMapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from lumibot.data_sources import CcxtBacktestingData as LumibotCcxtBacktestingData
from lumibot.tools.ccxt_data_store import CcxtCacheDB

Period = tuple[datetime, datetime]

DOWNLOAD = "_get_barset_from_api"
"""The method of `CcxtCacheDB` that requests candles from the exchange, page by page."""

_CANDLES_BEFORE_START = 300


class CcxtHooks(LumibotCcxtBacktestingData):  # type: ignore[misc]
    """A source that Lumibot calls under public names, and whose constructor sends no request to an exchange.

    A subclass provides its cache.
    """

    def __init__(
        self,
        *args: Any,
        auto_adjust: bool = False,
        max_data_download_limit: int | None = None,
        exchange_id: str = "binance",
        **kwargs: Any,
    ) -> None:
        super(LumibotCcxtBacktestingData, self).__init__(*args, **kwargs)
        self.name = exchange_id
        self.auto_adjust = auto_adjust
        self._data_store: dict[str, Any] = {}
        self._download_start_dt_prebuffer = _CANDLES_BEFORE_START
        self.cache_db = self.make_cache(exchange_id, max_data_download_limit)

    def make_cache(self, exchange_id: str, download_limit: int | None) -> Any:
        """Return what takes the place of Lumibot's cache of an exchange."""
        raise NotImplementedError

    @property
    def loaded_frames(self) -> MutableMapping[str, Any]:
        """The frame of each market and timeframe, under a name such as "BTC/USDT_1m"."""
        return self._data_store

    @property
    def candles_before_start(self) -> int:
        """How many candles before the start of the backtest are loaded."""
        return self._download_start_dt_prebuffer

    def timeframe_of(self, timestep: str) -> str:
        """Return the exchange's timeframe ("1m") for a timestep ("minute")."""
        return str(self._parse_source_timestep(timestep, reverse=True))

    def in_utc(self, moment: datetime) -> datetime:
        """Return a moment in UTC; one without a zone is in UTC already."""
        there: datetime = self._to_utc_timezone(moment)
        return there

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
        """Return the last candles (None: all) that have closed at the clock's time; by default as Lumibot does."""
        bars: pd.DataFrame | None = super()._pull_source_symbol_bars(
            asset, length, timestep, timeshift, quote, exchange, after_hours
        )
        return bars

    def _pull_source_symbol_bars(
        self,
        asset: Any,
        length: int | None = None,
        timestep: str = "minute",
        timeshift: Any = None,
        quote: Any = None,
        exchange: Any = None,
        include_after_hours: bool = True,
    ) -> pd.DataFrame | None:
        return self.read_bars(asset, length, timestep, timeshift, quote, exchange, include_after_hours)


class CcxtCacheHooks(CcxtCacheDB, ABC):  # type: ignore[misc]
    """The rules of Lumibot's cache of an exchange, without its files. All times are naive and in UTC.

    Parameters:
        exchange_id: the exchange, by ccxt's name.
        download_limit: the most candles of one download; None: as many as Lumibot allows.
    """

    def __init__(self, exchange_id: str, download_limit: int | None) -> None:
        # Lumibot's own constructor loads the markets of the exchange.
        self.exchange_id = exchange_id
        self.max_download_limit = 50_000 if download_limit is None else download_limit

    @abstractmethod
    def now(self) -> datetime:
        """Return the time after which nothing is downloaded."""

    def naive(self, moment: datetime) -> datetime:
        """Return a moment in UTC, without a zone."""
        naive: datetime = self._to_utc_naive(moment)
        return naive

    def download_window(self, start: datetime, end: datetime | None) -> Period:
        """Return the period that a request downloads; its start is after its end if there is nothing to download."""
        window: Period = self._normalize_download_window(start, end)
        return window

    def split_download(self, start: datetime, end: datetime, timeframe: str, limit: int) -> list[Period]:
        """Return the periods of the downloads for a period, each of as many candles as the limit allows."""
        chunks: list[Period] = self._split_download_range(start, end, timeframe, limit)
        return chunks

    def missing_periods(
        self, covered: Sequence[Period], start: datetime, end: datetime
    ) -> tuple[list[Period], list[int]]:
        """Return the parts of a period that are not covered, and the numbers of the covered ones that overlap it."""
        known = pd.DataFrame(covered, columns=["start_dt", "end_dt"])
        known["id"] = known.index
        missing, overlapping, _ = self._find_non_overlapping_range(known, start, end)
        return [(_plain(first), _plain(last)) for first, last in missing], [int(number) for number in overlapping]

    def merged_periods(self, periods: list[Period]) -> list[Period]:
        """Return periods with those that overlap or touch joined."""
        merged: list[Period] = self._merge_coverage_ranges(periods)
        return merged

    def lacks_candles(self, candles: pd.DataFrame, start: datetime, end: datetime, timeframe: str) -> bool:
        """Return whether a period has so few candles that Lumibot downloads it again."""
        return bool(self._is_materially_underfilled(candles, start, end, timeframe))

    def empty_frame(self) -> pd.DataFrame:
        """Return a frame without candles."""
        empty: pd.DataFrame = self._empty_ohlcv_frame()
        return empty

    def _current_utc_naive(self) -> datetime:
        return self.now()


def _plain(moment: Any) -> datetime:
    plain: datetime = pd.Timestamp(moment).to_pydatetime()
    return plain
