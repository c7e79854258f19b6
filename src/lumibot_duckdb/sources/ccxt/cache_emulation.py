"""Emulates Lumibot's CCXT cache: which candles it would hold after its own downloads in this backtest, starting empty.

The contents of a file depend on how it was downloaded. Of candles with identical numbers, Lumibot keeps the first of
each download (so a coin without trades has few candles), and a download has at most as many candles as the limit
allows. The period from the first to the last candle received counts as downloaded. All of this follows from times and
from the candles themselves, so the emulation replays it on the stored candles.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from lumibot.tools.symbol_normalization import build_ccxt_crypto_symbol

from lumibot_duckdb import clock
from lumibot_duckdb.lumibot_contract.ccxt_hooks import CcxtCacheHooks, Period
from lumibot_duckdb.sources.ccxt.candles_view import CandlesView
from lumibot_duckdb.sources.ccxt.client import SECONDS, CcxtProvider
from lumibot_duckdb.sources.ccxt.markets import series_of
from lumibot_duckdb.sources.ccxt.price_rounding import PRICES, STORED, CandleNumbers, time_unit
from lumibot_duckdb.sources.provider import BarRequest
from lumibot_duckdb.sources.shared.downloaded_series import Delivery, DownloadedSeries
from lumibot_duckdb.storage.api import (
    AsOf,
    BarArrays,
    DataStorageInterface,
    EpochSeconds,
    SeriesPin,
    TimeRange,
)
from lumibot_duckdb.storage.bars import coverage
from lumibot_duckdb.storage.bars.outline import Outline
from lumibot_duckdb.storage.bars.repeats import Repeats
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array, bar_starts
from lumibot_duckdb.windows.bar_table import BarTable
from lumibot_duckdb.windows.ranges_view import clipped

logger = logging.getLogger(__name__)

TIMEFRAMES = {"1m": "minute", "1h": "hour", "1d": "day"}
AS_CACHED = "as_cached"
"""Metadata key of a write with candles from Lumibot's cache: the ranges (epoch seconds) that were imported."""

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_NONE: Int64Array = np.empty(0, np.int64)


class StoredCandles(CcxtCacheHooks):
    """Takes the place of Lumibot's cache of an exchange: serves stored candles, and downloads those that are missing.

    It requests nothing later than the moment of its construction.
    """

    def __init__(
        self,
        exchange_id: str,
        max_download_limit: int | None,
        storage: Callable[[], DataStorageInterface],
        *,
        as_of: AsOf | None,
        exact_prices: bool,
    ) -> None:
        super().__init__(exchange_id, max_download_limit)
        self.logger = logger
        self._storage = storage
        self._as_of = as_of
        self._exact = exact_prices
        self._now = clock.utc_now().replace(tzinfo=None)
        self._files: dict[tuple[str, str], CandleFile] = {}
        self._updating = threading.RLock()  # Lumibot sends requests from several threads

    @property
    def api(self) -> Any:
        """ccxt's object of the exchange, with its markets."""
        return CcxtProvider.of(self.exchange_id).exchange()

    def now(self) -> datetime:
        """Return the moment of construction; nothing later is downloaded."""
        return self._now

    def download_ohlcv(
        self, symbol: Any, timeframe: str, start: datetime, end: datetime | None, limit: int | None = None
    ) -> pd.DataFrame:
        """Return the candles from `start` to `end` (naive: UTC), both included, as Lumibot's method does.

        Raises:
            UnknownMarketError: the exchange has no such market; a ValueError, as in Lumibot.
            ValueError: the timeframe or the limit is invalid.
            ProviderError, StorageError: a download failed.
        """
        return self._frame(self.candles(symbol, timeframe, start, end, limit))

    def get_data_from_cache(self, symbol: str, timeframe: str, start: datetime, end: datetime) -> pd.DataFrame:
        """Return the candles from `start` to `end` (naive: UTC) that were downloaded in this backtest.

        Raises:
            FileNotFoundError: none were downloaded for this market and timeframe.
        """
        file = self._files.get((symbol, timeframe))
        if file is None:
            raise FileNotFoundError(f"no {timeframe} candles of {symbol} on {self.exchange_id} were requested yet")
        view = file.view(_between(*map(self.naive, (start, end))))
        return self._frame(None if view is None else (view, file.numbers))

    def _frame(self, found: tuple[CandlesView, CandleNumbers] | None) -> pd.DataFrame:
        if found is None:
            empty: pd.DataFrame = self.empty_frame().set_index("datetime")
            return empty
        view, numbers = found
        bars = view.bars(TimeRange(view.facts.first or 0, (view.facts.last or 0) + 1), STORED)
        index = utc_index(bars.times).tz_localize(None)
        return BarTable(numbers.bars(bars.columns), index).frame(0, len(index))

    def candles(
        self, symbol: Any, timeframe: str, start: datetime, end: datetime | None, limit: int | None = None
    ) -> tuple[CandlesView, CandleNumbers] | None:
        """Return the candles of `download_ohlcv`, unread, and how to convert their numbers; None if there are none.

        Raises what `download_ohlcv` raises.
        """
        if timeframe not in SECONDS:
            raise ValueError(f"CCXT backtests have candles of {', '.join(SECONDS)}, not of {timeframe!r}")
        name = str(build_ccxt_crypto_symbol(symbol, exchange_id=self.exchange_id) or symbol)
        window = self.download_window(start, end)
        wanted = _between(self.naive(start), self.naive(end or self._now))
        if window[0] > window[1]:
            return None
        with self._updating:
            file = self._file(name, timeframe)
            file.series.ensure(_between(*window), file.download)
            self._replay(file, timeframe, window, wanted, self.max_download_limit if limit is None else limit)
            view = file.view(wanted)
            return None if view is None else (view, file.numbers)

    def pinned(self, symbol: Any, timeframe: str) -> SeriesPin | None:
        """Return the pin of a market's candles; None if there are none."""
        name = str(build_ccxt_crypto_symbol(symbol, exchange_id=self.exchange_id) or symbol)
        with self._updating:
            return self._file(name, timeframe).series.pin

    def _file(self, symbol: str, timeframe: str) -> CandleFile:
        if (symbol, timeframe) not in self._files:
            key = series_of(symbol, self.exchange_id, TIMEFRAMES[timeframe])
            # Lumibot downloads what follows the last candle, or precedes the first, in each run.
            series = DownloadedSeries(self._storage(), key, as_of=self._as_of, trusts_provisional=False)
            label = f"{symbol} on {self.exchange_id}"
            file = CandleFile(series, symbol, timeframe, CandleNumbers(label, exact=self._exact))
            if self._exact and file.as_cached:
                logger.warning("%s: candles that were imported from Lumibot's cache have three decimals.", label)
            self._files[symbol, timeframe] = file
        return self._files[symbol, timeframe]

    # -- replaying -------------------------------------------------------------------------------------------

    def _replay(
        self,
        file: CandleFile,
        timeframe: str,
        window: tuple[datetime, datetime],
        wanted: TimeRange,
        limit: int,
    ) -> None:
        """Add what Lumibot would download at this point."""
        if not self._add_window(file, timeframe, window, limit):
            ends = file.ends(wanted)
            if self.lacks_candles(ends, *window, timeframe):
                file.covered = file.all_covered()
                self._add_window(file, timeframe, window, limit)

    def _add_window(self, file: CandleFile, timeframe: str, window: tuple[datetime, datetime], limit: int) -> bool:
        """Add the parts of a window that do not count as downloaded yet; return whether there were any."""
        missing, overlapping = self.missing_periods(file.covered, *window) if file.covered else ([window], [])
        added = [
            file.add_download(*chunk)
            for start, end in missing
            for chunk in self.split_download(start, end, timeframe, limit)
        ]
        if added:
            file.record(added, overlapping, self.merged_periods)
        return bool(missing)


@dataclass(frozen=True)
class Downloaded:
    """An emulated download: its period (both ends included, UTC), and how to find the candles that it kept."""

    start: datetime
    end: datetime
    kept: Callable[[], Int64Array]


class CandleFile:
    """What Lumibot's file of one symbol and timeframe would hold: ranges of the series, without dropped candles."""

    def __init__(self, series: DownloadedSeries, symbol: str, timeframe: str, numbers: CandleNumbers) -> None:
        self.series = series
        self.numbers = numbers
        self._covered: list[Period] = []
        self._unrecorded: Callable[[], None] | None = None
        self._symbol = symbol
        self._timeframe = timeframe
        self._length = SECONDS[timeframe]
        self._ranges: list[TimeRange] = []
        self._dropped: Int64Array = _NONE
        self._ends: tuple[EpochSeconds, EpochSeconds] | None = None
        self._as_cached: tuple[SeriesPin | None, list[TimeRange]] = (None, [])
        self._known: tuple[SeriesPin, Outline, Repeats | None] | None = None

    @property
    def covered(self) -> list[Period]:
        """The periods that count as downloaded in Lumibot's records: both ends included, UTC."""
        if self._unrecorded is not None:
            record, self._unrecorded = self._unrecorded, None
            record()
        return self._covered

    @covered.setter
    def covered(self, periods: list[Period]) -> None:
        self._covered, self._unrecorded = periods, None

    def record(
        self, added: list[Downloaded], overlapping: list[int], merge: Callable[[list[Period]], list[Period]]
    ) -> None:
        """Count downloads, and the covered periods that they overlap, as one record.

        The periods depend on candles that are not needed otherwise, so they are found when they are looked at.
        """
        covered = self.covered

        def find() -> None:
            periods = [period for download in added if (period := self._period_of(download)) is not None]
            if periods:
                old = [covered[number] for number in overlapping]
                rest = [period for period in covered if period not in old]
                self._covered = rest + merge(old + periods)

        self._unrecorded = find

    def _period_of(self, download: Downloaded) -> Period | None:
        """Return the period that Lumibot records for a download; None if it kept no candles."""
        kept = download.kept()
        if not len(kept):
            return None
        first, last = int(kept[0]), int(kept[-1])
        self._ends = (first, last) if self._ends is None else (min(first, self._ends[0]), max(last, self._ends[1]))
        return max(_moment(first), download.start), min(_moment(last + self._length) - _MICROSECOND, download.end)

    @property
    def as_cached(self) -> list[TimeRange]:
        """The ranges imported from Lumibot's cache, which has already dropped candles there."""
        pin = self.series.pin
        if pin is not None and pin != self._as_cached[0]:
            self._as_cached = (pin, _as_cached(self.series.storage, pin))
        return self._as_cached[1]

    def download(self, pieces: list[TimeRange]) -> Iterator[Delivery]:
        """Download pieces of the series, for `DownloadedSeries.ensure`."""
        ranges = tuple((piece.start, piece.end) for piece in pieces)
        request = BarRequest(self._symbol, TIMEFRAMES[self._timeframe], ranges, asset_type="crypto")
        for response in CcxtProvider.of(self.series.key.asset.exchange).bars(request):
            yield Delivery(TimeRange(response.start, response.end), response.bars, {"symbol": self._symbol})

    def add_download(self, start: datetime, end: datetime) -> Downloaded:
        """Add the candles of one download."""
        within = _between(start, end)
        recorded = self._recorded_repeats(within)
        if recorded is not None:
            pin, dropped = recorded
            read_bars = self.series.storage.read_bars
            if len(dropped) or len(self._dropped):
                outside = (self._dropped < within.start) | (self._dropped >= within.end)
                self._drop(dropped, self._dropped[outside | np.isin(self._dropped, dropped, assume_unique=True)])
            self._ranges = coverage.merged([*self._ranges, within])

            def kept_ones() -> Int64Array:
                return np.setdiff1d(read_bars(pin, within, (), remember=False).times, dropped, assume_unique=True)

            return Downloaded(start, end, kept_ones)
        candles = self._candles(within)
        drops = lacks_price(candles.columns)
        fresh = np.flatnonzero(~_inside(candles.times, self.as_cached))
        drops[fresh] |= repeated({name: values[fresh] for name, values in candles.columns.items()})
        kept = candles.times[~drops]
        self._drop(candles.times[drops], np.setdiff1d(self._dropped, kept, assume_unique=True))
        self._ranges = coverage.merged([*self._ranges, within])
        return Downloaded(start, end, lambda: kept)

    def _recorded_repeats(self, within: TimeRange) -> tuple[SeriesPin, Int64Array] | None:
        """Return the candles that Lumibot drops from a download of a range, if the store has a record of them."""
        pin = self.series.pin
        if pin is None or len(self.series.open_bars_in(within)) or clipped(self.as_cached, within):
            return None
        _, repeats = self._known_of(pin)
        if repeats is None or within.end - 1 - within.start > repeats.reach:
            return None
        return pin, repeats.dropped_in(within)

    def _known_of(self, pin: SeriesPin) -> tuple[Outline, Repeats | None]:
        """Return what the store knows of the whole pinned series."""
        if self._known is None or self._known[0] != pin:
            storage = self.series.storage
            self._known = (pin, storage.outline(pin), storage.repeats(pin))
        return self._known[1:]

    def _drop(self, candles: Int64Array, still_dropped: Int64Array) -> None:
        """Leave out candles that a download drops, unless the file has them from an earlier one."""
        if len(candles):
            has = _inside(candles, self._ranges) & ~np.isin(candles, self._dropped, assume_unique=True)
            still_dropped = np.union1d(still_dropped, candles[~has])
        self._dropped = still_dropped

    def _candles(self, within: TimeRange) -> BarArrays:
        pin, added = self.series.pin, self.series.open_bars_in(within)
        if pin is None:
            times = bar_starts(added)
            return BarArrays(times, {name: added[name].to_numpy() if len(added) else np.empty(0) for name in STORED})
        stored = self.series.storage.read_bars(pin, within, STORED, remember=False)
        if not len(added):
            return stored
        times = np.append(stored.times, bar_starts(added))
        order = np.argsort(times, kind="stable")
        columns = {name: np.append(stored.columns[name], added[name].to_numpy())[order] for name in STORED}
        return BarArrays(times[order], columns)

    def ends(self, within: TimeRange) -> pd.DataFrame:
        """Return the first and the last candle of the file in a range, with the columns that `CcxtCacheDB` looks at."""
        view = self.view(within)
        times = [] if view is None else [view.facts.first, view.facts.last]
        ends = pd.DataFrame({"datetime": [_moment(time) for time in times if time is not None]})
        with_prices: pd.DataFrame = ends.assign(open=1.0, high=1.0, low=1.0, close=1.0)
        return with_prices

    def all_covered(self) -> list[tuple[datetime, datetime]]:
        """Return the period from the first to the last candle of the file."""
        if not self.covered or self._ends is None:
            return []
        return [(_moment(self._ends[0]), _moment(self._ends[1] + self._length) - _MICROSECOND)]

    def view(self, within: TimeRange) -> CandlesView | None:
        """Return the candles of the file in a range; None if there are none."""
        pin = self.series.pin
        if pin is None:
            return None
        outline, _ = self._known_of(pin)
        ranges = clipped(self._ranges, within)
        open_candles = self.series.open_bars_in(within)
        view = CandlesView(self.series.storage, pin, ranges, open_candles, outline, self._dropped)
        return view if view.facts.rows else None


def _as_cached(storage: DataStorageInterface, pin: SeriesPin) -> list[TimeRange]:
    notes = [ingest.metadata[AS_CACHED] for ingest in storage.ingests(pin, having=AS_CACHED)]
    return coverage.merged(TimeRange(int(start), int(end)) for ranges in notes for start, end in ranges)


def _inside(times: Int64Array, ranges: list[TimeRange]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return a mask of the times that lie in any of some ranges, which do not overlap."""
    inside = np.zeros(len(times), bool)
    for piece in ranges:
        first, stop = times.searchsorted((piece.start, piece.end))
        inside[first:stop] = True
    return inside


def repeated(columns: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return a mask of the candles whose numbers all equal those of an earlier candle."""
    volume = columns["volume"]
    ordered = np.sort(volume)
    alike = np.isnan(volume)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        alike |= np.isin(volume, twice)
    rows = np.flatnonzero(alike)
    result = np.zeros(len(volume), bool)
    if len(rows) > 1:
        candidates = pd.DataFrame({name: columns[name][rows] for name in STORED})
        result[rows] = candidates.duplicated().to_numpy()
    return result


def lacks_price(columns: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return a mask of the candles that lack a price."""
    missing = np.zeros(len(columns["close"]), bool)
    for name in PRICES:
        missing |= np.isnan(columns[name])
    return missing


def utc_index(times: Int64Array) -> pd.DatetimeIndex:
    """Return candle starts as an index with the resolution of DuckDB's times."""
    nanoseconds = times * NANOSECONDS_PER_SECOND
    index: pd.DatetimeIndex = pd.DatetimeIndex(nanoseconds, tz="UTC", name="datetime").as_unit(time_unit())
    return index


def _moment(time: EpochSeconds) -> datetime:
    return _EPOCH + timedelta(seconds=time)


def _between(start: datetime, end: datetime) -> TimeRange:
    """Return the whole seconds from a moment to another (both naive, UTC), both included."""
    first = -((_EPOCH - start) // timedelta(seconds=1))
    return TimeRange(first, max(first, (end - _EPOCH) // timedelta(seconds=1) + 1))
