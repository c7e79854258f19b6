"""`AlpacaBacktesting` on the store: Lumibot's Alpaca source, downloading what the store lacks, and only that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from alpaca.data.requests import BaseBarsRequest, CryptoBarsRequest, OptionBarsRequest
from lumibot.backtesting import AlpacaBacktesting as LumibotAlpacaBacktesting
from lumibot.backtesting.alpaca_backtesting import AlpacaOptionHistoryUnavailable
from lumibot.entities import Asset, Bars
from lumibot.tools.helpers import get_decimals, get_trading_days, quantize_to_num_decimals
from lumibot.tools.shared_bar_cache import validate_rows

from lumibot_duckdb.sources.alpaca.actions import ADJUSTED, SOURCE, SPLIT_ADJUSTED, AdjustedHistory
from lumibot_duckdb.sources.alpaca.chains import AlpacaListings, sides_of
from lumibot_duckdb.sources.alpaca.client import AlpacaProvider
from lumibot_duckdb.sources.shared.class_substitution import StandIn
from lumibot_duckdb.sources.shared.downloaded_series import Delivery, DownloadedSeries
from lumibot_duckdb.sources.shared.enhanced_data_source import EnhancedDataSourceBacktesting
from lumibot_duckdb.sources.shared.errors import DownloadIncompleteError, ProviderError
from lumibot_duckdb.storage.api import BarArrays, DataStorageInterface, SeriesKey, TimeRange
from lumibot_duckdb.storage.bar_starts import starts_of
from lumibot_duckdb.storage.errors import StorageError
from lumibot_duckdb.storage.identity import asset_key
from lumibot_duckdb.storage.timeframes import canonical_timeframe
from lumibot_duckdb.windows.bar_table import BarTable
from lumibot_duckdb.windows.calendar_frames import (
    COLUMNS,
    NO_ROWS,
    CalendarFrames,
    CalendarRows,
    index_of,
    minutes_of,
    runs_of,
)
from lumibot_duckdb.windows.framed_series import Shape, rows_of_bars
from lumibot_duckdb.windows.ranges_view import Additions, RangesView, bar_starts
from lumibot_duckdb.windows.series_view import SECOND, Int64Array
from lumibot_duckdb.windows.series_with_returns import SeriesWithReturns

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LONGEST_DAY = 25 * 3600
_MINUTE = 60
_OURS = (ProviderError, StorageError)
"""Errors that say what to do; they are not wrapped in Lumibot's."""


@dataclass(frozen=True)
class Frame:
    """What one of Lumibot's frames is of: an asset's bars at a timestep, over a window, in a zone."""

    asset: Asset
    quote: Asset
    timestep: str
    zone: tzinfo
    start: datetime
    end: datetime
    adjusted: bool


@dataclass(frozen=True)
class Step:
    """A timestep of a request: the bars it is made of, how they are aggregated, and how long one of its bars is."""

    timestep: str
    source: str
    rule: str | None
    length: timedelta
    in_days: bool


@dataclass(frozen=True)
class Wanted:
    """A range of bars of Alpaca's, as Lumibot would ask for it."""

    kind: str
    symbol: str
    within: TimeRange


class AlpacaBacktesting(EnhancedDataSourceBacktesting, LumibotAlpacaBacktesting, metaclass=StandIn):  # type: ignore[misc]
    """Drop-in for Lumibot's class of this name, for stocks, crypto and options, with all its settings.

    Bars are downloaded when a strategy first needs them, kept in the store as Alpaca gives them, and never asked for
    again; what Lumibot makes of them is made when a window is read. `max_memory` bounds, in bytes, what the windows of
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
        self._frames: dict[str, Frame] = {}
        self._keys: dict[tuple[Any, Any, str], str] = {}
        self._steps: dict[str, Step] = {}
        self._series: dict[SeriesKey, DownloadedSeries] = {}
        self._resampled: dict[tuple[str, str | None], tuple[Any, SeriesWithReturns]] = {}
        self._calendar: Int64Array | None = None
        self._midnights: dict[date, int] = {}
        self._loading = threading.RLock()  # Lumibot asks from several threads
        self._alpaca: AlpacaProvider | None = None
        self._history = AdjustedHistory(lambda: self.storage, lambda: self.provider)
        self._listings = AlpacaListings(
            lambda: self.storage,
            lambda: self.provider if self.as_of is None else None,
            self._parse_option_contract,
            usual=self._option_chain_max_days,
            extra=int(self.OPTION_CHAIN_LISTING_EXTRA_DAYS),
        )

    @property
    def provider(self) -> AlpacaProvider:
        """Alpaca, with the credentials of this backtest."""
        if self._alpaca is None:
            known = self._alpaca_credentials
            self._alpaca = AlpacaProvider(
                known["api_key"],
                known["api_secret"],
                known["oauth_token"],
                paper=known["paper"],
                requests_a_minute=self.ALPACA_MAX_REQUESTS_PER_MINUTE,
            )
        return self._alpaca

    # -- requests --------------------------------------------------------------------------------------------

    def get_last_price(self, asset: Any, quote: Any = None, exchange: Any = None) -> Any:
        """Return the open of the bar that the clock is in; of an option, its last trade."""
        base, quote = self._sanitize_base_and_quote_asset(asset, quote)
        if self._is_option(base):
            return super().get_last_price(asset, quote, exchange)
        series = self._series_for(base, quote, self._step_of(self._timestep))
        row = self._row_at(series, self._datetime, self._step_of(self._timestep), closed=False)
        self._refuse_no_bar(row, self._datetime)
        price = series.value("open", row)
        return quantize_to_num_decimals(price, get_decimals(price))

    def get_historical_prices(
        self,
        asset: Any,
        length: int,
        timestep: str | None = None,
        timeshift: timedelta | None = None,
        quote: Any = None,
        exchange: Any = None,
        include_after_hours: bool = True,
        return_polars: bool = False,
        remove_incomplete_current_bar: bool | None = None,
        _extend_history: bool = True,
    ) -> Bars | None:
        """Return the last bars at the clock's time, as Lumibot does, out of a window of the stored ones."""
        if length <= 0:
            raise ValueError("the number of bars must be positive")
        closed = (
            self._remove_incomplete_current_bar
            if remove_incomplete_current_bar is None
            else remove_incomplete_current_bar
        )
        step = self._step_of(self._timestep if timestep is None else timestep)
        quote = self.LUMIBOT_DEFAULT_QUOTE_ASSET if quote is None else quote
        if self._is_option(asset):
            return self._get_option_historical_prices(
                asset,
                length,
                timestep=step.timestep,
                source_timestep=step.source,
                resample_rule=step.rule,
                timeshift=timeshift,
                quote=quote,
                return_polars=return_polars,
                remove_incomplete_current_bar=closed,
            )
        now = self._datetime - timeshift if timeshift else self._datetime
        series = self._series_for(asset, quote, step)
        row = self._row_at(series, now, step, closed=closed)
        reach_back = _extend_history and self._history_before_start
        if reach_back and row + 1 < length:
            longer = self._reach_back(asset, quote, step, now, length)
            if longer is not None:
                series = longer
                row = self._row_at(series, now, step, closed=closed)
        if length > len(series) and not reach_back:
            raise ValueError(f"{length} bars of {asset} were asked for, but there are only {len(series)}")
        if row < 0 and closed:
            return None  # no bar has closed yet
        self._refuse_no_bar(row, now)
        return self._bars(series, row, length, asset, quote, return_polars)

    def _get_option_historical_prices(
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
        extend_history: bool = True,
    ) -> Bars | None:
        """Return the last bars in which an option was traded; None if it was not."""
        # For a last price, Lumibot hands on other bars to make the timestep of than it usually would.
        step = replace(self._step_of(timestep), source=source_timestep, rule=resample_rule)
        series = self._option_series(asset, quote, step)
        now = self._datetime - timeshift if timeshift else self._datetime
        row = self._row_at(series, now, step, closed=remove_incomplete_current_bar)
        if extend_history and self._history_before_start and row + 1 < length:
            longer = self._reach_back(asset, quote, step, now, length)
            if longer is not None:
                series = longer
                row = self._row_at(series, now, step, closed=remove_incomplete_current_bar)
        return None if row < 0 else self._bars(series, row, length, asset, quote, return_polars)

    def get_historical_prices_between_dates(self, **request: Any) -> pd.DataFrame:
        """Return the whole frame of an asset, read for this call; the arguments are Lumibot's."""
        found = self._data_store[self._loaded(**request)]
        return found.whole() if isinstance(found, SeriesWithReturns) else found

    def _bars(
        self, series: SeriesWithReturns, row: int, length: int, asset: Any, quote: Any, return_polars: bool
    ) -> Bars:
        frame = series.bars(max(0, row - length + 1), row + 1)
        return Bars(frame, self.SOURCE, asset=asset, quote=quote, return_polars=return_polars, tzinfo=self.tzinfo)

    def _step_of(self, timestep: str) -> Step:
        step = self._steps.get(timestep)
        if step is None:
            source, rule = self._normalize_timestep_for_source(timestep)
            length, unit = self.convert_timestep_str_to_timedelta(timestep)
            step = self._steps[timestep] = Step(timestep, source, rule, length, unit == "day")
        return step

    def _row_at(self, series: SeriesWithReturns, now: datetime, step: Step, *, closed: bool) -> int:
        """Return the row of the newest bar to see at a time (`closed`: of those that have closed); -1: there is none.

        Days are compared as days: one has closed when the next has begun.
        """
        if not step.in_days:
            return series.rows.row_at(_nanoseconds(now - step.length if closed else now))
        day = now.date()
        if closed:
            day -= timedelta(days=max(step.length.days, 1))
        return series.rows.row_from(self._midnight_after(day)) - 1

    def _midnight_after(self, day: date) -> int:
        found = self._midnights.get(day)
        if found is None:
            following = day + timedelta(days=1)
            midnight = self.tzinfo.localize(datetime(following.year, following.month, following.day))
            found = self._midnights[day] = _nanoseconds(midnight)
        return found

    @staticmethod
    def _refuse_no_bar(row: int, now: datetime) -> None:
        if row < 0:
            raise ValueError(f"there is no bar at or before {now}")

    # -- frames ----------------------------------------------------------------------------------------------

    def _series_for(self, asset: Any, quote: Any, step: Step) -> SeriesWithReturns:
        """Return the frame that serves a request, loaded if it is not there yet."""
        try:
            key = self._key_of(asset, quote, step.source)
            series = self._data_store.get(key)
            if series is None or self._wants_refresh(key):
                key = self._loaded(
                    base_asset=asset,
                    quote_asset=quote,
                    timestep=step.source,
                    data_datetime_start=self._data_datetime_start,
                    data_datetime_end=self._data_datetime_end,
                    auto_adjust=self._auto_adjust,
                )
                series = self._data_store[key]
        except _OURS:
            raise
        except Exception as error:
            raise RuntimeError(f"Unable to fetch historical prices during backtest: {error}") from error
        return self._in_steps(key, series, step)

    def _option_series(self, asset: Any, quote: Any, step: Step) -> SeriesWithReturns:
        """Return the frame of an option's trades; without any, an empty one, which is told once."""
        base, quote = self._sanitize_base_and_quote_asset(asset, quote)
        key = self._key_of(base, quote, step.source)
        if key not in self._data_store:
            self._get_option_bars_frame(base, quote, step.source)
        return self._in_steps(key, self._data_store[key], step)

    def _in_steps(self, key: str, series: Any, step: Step) -> SeriesWithReturns:
        """Return a frame at the timestep of a request, aggregated at most once."""
        if step.rule is None and isinstance(series, SeriesWithReturns):
            return series
        known = self._resampled.get((key, step.rule))
        if known is None or known[0] is not series:
            frame = series.whole() if isinstance(series, SeriesWithReturns) else series
            aggregated = frame if step.rule is None else self._resample_ohlcv_dataframe(frame, step.rule)
            known = self._resampled[key, step.rule] = (series, _of_frame(aggregated, self.budget))
        return known[1]

    def _key_of(self, asset: Any, quote: Any, timestep: str) -> str:
        known = self._keys.get((asset, quote, timestep))
        if known is None:
            base, quoted = self._sanitize_base_and_quote_asset(asset, quote)
            known = self._get_asset_key(base_asset=base, quote_asset=quoted, timestep=timestep)
            self._keys[asset, quote, timestep] = known
        return known

    def _wants_refresh(self, key: str) -> bool:
        return self._refresh_cache and key not in self._refreshed_keys

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
        """Have the frame of an asset in the data store; return its key.

        As in Lumibot, the key is that of the backtest's own window, whatever window is asked for.
        """
        if base_asset is None:
            raise ValueError("there is no asset to get bars of")
        quote = self.LUMIBOT_DEFAULT_QUOTE_ASSET if quote_asset is None else quote_asset
        asset, quote = self._sanitize_base_and_quote_asset(base_asset, quote)
        step = self._timestep if timestep is None else timestep
        key = self._key_of(asset, quote, step)
        with self._loading:
            refreshes = self._wants_refresh(key)
            if refreshes or key not in self._data_store:
                self._load(
                    Frame(
                        asset,
                        quote,
                        step,
                        self.tzinfo if tzinfo is None else tzinfo,
                        self._data_datetime_start if data_datetime_start is None else data_datetime_start,
                        self._data_datetime_end if data_datetime_end is None else data_datetime_end,
                        self._auto_adjust if auto_adjust is None else auto_adjust,
                    ),
                    self.market if market is None else market,
                )
            if refreshes:
                self._refreshed_keys[key] = True
        return key

    def _download_and_cache_ohlcv_data(self, **request: Any) -> pd.DataFrame:
        """Load a frame, downloading what the store lacks of it; the arguments are Lumibot's, all of them needed."""
        names = (
            *("base_asset", "quote_asset", "timestep", "tzinfo", "data_datetime_start", "data_datetime_end"),
            "auto_adjust",
        )
        for name in (*names, "market"):
            if request.get(name) is None:
                raise ValueError(f"{name} is missing")
        with self._loading:
            return self._load(Frame(*(request[name] for name in names)), request["market"]).whole()

    def _load_ohlcv_into_data_store(self, key: str) -> bool:
        """Find nothing in Lumibot's cache files; the store takes their place."""
        return False

    def _load(self, frame: Frame, market: str) -> SeriesWithReturns:
        key = self._get_asset_key(
            base_asset=frame.asset,
            quote_asset=frame.quote,
            timestep=frame.timestep,
            market=market,
            tzinfo=frame.zone,
            data_datetime_start=frame.start,
            data_datetime_end=frame.end,
            auto_adjust=frame.adjusted,
        )
        wanted = self._wanted(frame, frame.start, frame.end)
        option = wanted.kind == "option"
        series = self._with_bars(
            frame, wanted, key, lambda: self._shown(frame, self._trading_days), may_be_empty=option
        )
        if not self._has_bars(series, wanted.within):
            if option:
                raise AlpacaOptionHistoryUnavailable(
                    f"Alpaca returned no option bars for {wanted.symbol} between {frame.start.date()} and "
                    f"{frame.end.date()}. {self.OPTION_HISTORY_START_HINT}, and a contract that never traded in the "
                    "window has no bars. Its price is None for this backtest."
                )
            raise RuntimeError(f"No data fetched for {key}.")
        self._frames[key] = frame
        made = self._data_store[key] = self._made(frame, series, wanted, frame.start)
        return made

    def _made(self, frame: Frame, series: DownloadedSeries, wanted: Wanted, since: datetime) -> SeriesWithReturns:
        """Make the frame of the bars of a window, and of those from `since` to its start."""
        start, end = _seconds(frame.start), _nanoseconds(frame.end) // SECOND
        bars = TimeRange(min(_seconds(since), wanted.within.start), wanted.within.end)
        if wanted.kind == "option" or frame.timestep not in ("day", "minute"):
            seen = TimeRange(bars.start, max(bars.start, min(bars.end, end + 1)))
            view = self._view(series, seen)
            shape = Shape(COLUMNS, COLUMNS, dict, index=lambda seconds: index_of(seconds, frame.zone))
            return SeriesWithReturns(*rows_of_bars(view, shape), self.budget, columns=COLUMNS)
        if frame.timestep == "minute":
            return self._on_minutes(frame, series, bars, start, end)
        view = self._view(series, bars)
        times = view.times()
        window = times[times >= start]
        days = np.setdiff1d(self._midnights_of_trading_days(frame.zone), _days_of(window, frame.zone))
        grid = np.union1d(window, _midnights(days, frame.zone))
        rows = CalendarRows(times[times < start], grid[(grid >= start) & (grid <= end)], frame.zone)
        return CalendarFrames(rows, view.bars, grid).series(self.budget)

    def _on_minutes(
        self, frame: Frame, series: DownloadedSeries, bars: TimeRange, start: int, end: int
    ) -> SeriesWithReturns:
        pin = series.pin
        assert pin is not None
        minutes = self._trading_minutes()
        if not len(minutes):
            # Of Lumibot's type, which compares times with and without a zone then.
            raise TypeError(f"the market {self.market} is not open between {frame.start} and {frame.end}")
        history = NO_ROWS
        if bars.start < start:
            found = self.storage.read_bars(pin, TimeRange(bars.start, start), (), remember=False).times
            days = get_trading_days(
                self.market, _moment(bars.start, self.tzinfo), frame.start + timedelta(days=1), tzinfo=self.tzinfo
            )
            history = found[np.isin(found, minutes_of(days), assume_unique=True)]

        def read(within: TimeRange, columns: Any) -> BarArrays:
            low, high = max(within.start, bars.start), min(within.end, bars.end)
            return self.storage.read_bars(pin, TimeRange(low, max(low, high)), columns, remember=False)

        first, stop = minutes.searchsorted((start, end + 1))
        begin, cut = minutes.searchsorted((start, bars.end))
        rows = CalendarRows(history, minutes[first:stop], frame.zone)
        return CalendarFrames(rows, read, minutes[begin:cut]).series(self.budget)

    def _trading_minutes(self) -> Int64Array:
        if self._calendar is None:
            self._calendar = minutes_of(self._trading_days)
        return self._calendar

    def _midnights_of_trading_days(self, zone: tzinfo) -> Int64Array:
        """Return the local days on which the market opens, as days since 1970."""
        return _days_of(pd.DatetimeIndex(self._trading_days["market_open"]).as_unit("s").asi8, zone)

    def _view(self, series: DownloadedSeries, within: TimeRange) -> RangesView:
        assert series.pin is not None
        rows = series.open_bars
        if len(rows):
            seconds = starts_of(rows)
            rows = rows[(seconds >= within.start) & (seconds < within.end)]
        added = starts_of(rows)
        times = bar_starts(series.storage, series.pin, [within], added)
        return RangesView(series.storage, series.pin, [within], Additions(rows), times)

    # -- history before the window ---------------------------------------------------------------------------

    def _reach_back(self, asset: Any, quote: Any, step: Step, now: datetime, length: int) -> SeriesWithReturns | None:
        """Return the frame with bars of before its window, as many as a request needs; None if that adds none.

        Each request tries that once a day. A frame only ever grows backwards.
        """
        base, quote = self._sanitize_base_and_quote_asset(asset, quote)
        key = self._key_of(base, quote, step.source)
        marker = (key, int(length), str(step.timestep), now.date())
        attempts: set[Any] = self._state("_history_reach_attempts", set)
        if marker in attempts:
            return None
        attempts.add(marker)
        reached: dict[str, datetime] = self._state("_history_loaded_from", dict)
        until = reached.get(key) or self._data_datetime_start
        since: datetime = self._history_start_needed(now, length, step.timestep)
        if since >= until:
            return None
        with self._loading:
            longer = self._extended(key, base, quote, step.source, since, until)
        reached[key] = since
        return None if longer is None else self._in_steps(key, longer, step)

    def _extended(
        self, key: str, asset: Asset, quote: Asset, timestep: str, since: datetime, until: datetime
    ) -> SeriesWithReturns | None:
        frame = self._frames.get(key) or Frame(
            asset,
            quote,
            timestep,
            self.tzinfo,
            self._data_datetime_start,
            self._data_datetime_end,
            self._auto_adjust,
        )
        frame = replace(frame, adjusted=self._auto_adjust)
        last = until - timedelta(seconds=1)
        segment = self._wanted(frame, since, last, request_end=last)
        try:
            before = replace(frame, start=since, end=last)
            series = self._with_bars(
                frame,
                segment,
                f"{key}_{since.date()}_HISTORY",
                lambda: self._shown(before, self._days_before(before)),
                may_be_empty=True,
            )
        except _OURS:
            raise
        except Exception as error:
            raise RuntimeError(f"Failed to fetch history before the backtest window for {key}: {error}") from error
        if not self._has_bars(series, segment.within):
            return None
        longer = self._made(frame, series, self._wanted(frame, frame.start, frame.end), since)
        if len(longer) == len(self._data_store[key]):
            return None
        self._data_store[key] = longer
        return longer

    # -- downloads -------------------------------------------------------------------------------------------

    def _wanted(self, frame: Frame, start: datetime, end: datetime, **settings: Any) -> Wanted:
        """Return what Lumibot would ask Alpaca for. It never asks for the latest sixteen minutes."""
        request: BaseBarsRequest
        _, request = self._history_request(
            base_asset=frame.asset,
            quote_asset=frame.quote,
            timestep=frame.timestep,
            data_datetime_start=start,
            data_datetime_end=end,
            auto_adjust=frame.adjusted,
            **settings,
        )
        kind = "stock"
        if isinstance(request, CryptoBarsRequest):
            kind = "crypto"
        elif isinstance(request, OptionBarsRequest):
            kind = "option"
        assert request.start is not None
        assert request.end is not None
        first = _seconds(request.start.replace(tzinfo=timezone.utc))
        stop = _nanoseconds(request.end.replace(tzinfo=timezone.utc)) // SECOND + 1
        return Wanted(kind, str(request.symbol_or_symbols), TimeRange(first, max(first, stop)))

    def _shown(self, frame: Frame, days: pd.DataFrame) -> list[TimeRange]:
        """Return the ranges whose bars a frame shows: of minutes those of the trading days, else its whole window.

        Lumibot asks for more: bars outside of the sessions, and the day after the end.
        """
        start, stop = _seconds(frame.start), _nanoseconds(frame.end) // SECOND + 1
        if frame.timestep != "minute" or self._is_option(frame.asset):
            return [TimeRange(start, stop)]
        minutes = minutes_of(days)
        minutes = minutes[(minutes >= start) & (minutes < stop)]
        return [TimeRange(first, last + _MINUTE) for first, last in runs_of(minutes, _MINUTE)]

    def _days_before(self, frame: Frame) -> pd.DataFrame:
        after = frame.end + timedelta(days=1)
        days: pd.DataFrame = get_trading_days(self.market, frame.start, after, tzinfo=self.tzinfo)
        return days

    def _with_bars(
        self,
        frame: Frame,
        wanted: Wanted,
        key: str,
        shown: Callable[[], list[TimeRange]],
        *,
        may_be_empty: bool,
    ) -> DownloadedSeries:
        """Return the series of a frame, with all bars of a range in the store, or at least all that will be `shown`.

        The others come along when something has to be asked for, and, unless it `may_be_empty`, when nothing else is
        there: a window of minutes or days without a bar has the price of the next one.
        """
        bar_size = self._get_alpaca_timeframe(frame.timestep)
        source = canonical_timeframe(f"{bar_size.amount}{bar_size.unit.value}")
        adjustment = "" if wanted.kind != "stock" else ADJUSTED if frame.adjusted else SPLIT_ADJUSTED
        name = SeriesKey(asset_key((frame.asset, frame.quote)), SOURCE, source, adjustment)
        series = self._series.get(name)
        read_before = series is not None
        series = series or DownloadedSeries(self.storage, name, as_of=self.as_of)
        refreshes = self._wants_refresh(key) and self.as_of is None
        if not refreshes and self._is_enough(series, wanted.within, shown, empty=may_be_empty):
            self._series[name] = series
            return series
        if adjustment and (refreshes or series.missing(wanted.within)):
            symbol = frame.asset.symbol
            others = any(known.asset == name.asset for known in self._series)
            self._history.check(symbol, adjustment, read_before=read_before or others)
            if not read_before:
                series = DownloadedSeries(self.storage, name, as_of=self.as_of)
        self._series[name] = series

        def download(pieces: list[TimeRange]) -> Iterator[Delivery]:
            return self._download(wanted, source, adjustment, str(frame.asset), pieces, key)

        try:
            if refreshes:
                series.renew(wanted.within, download)
                self._refreshed_keys[key] = True
            else:
                series.ensure(wanted.within, download)
        except DownloadIncompleteError as error:
            if all(type(cause) is ProviderError for cause in error.failed.values()):  # Alpaca disliked the request
                raise RuntimeError(f"Failed to fetch data for {key}: {error}") from None
            raise
        return series

    def _is_enough(
        self, series: DownloadedSeries, within: TimeRange, shown: Callable[[], list[TimeRange]], *, empty: bool
    ) -> bool:
        """Tell whether all that will be shown of a range is there; unless it may be `empty`, some bar as well."""
        missing = series.missing(within)
        if not missing:
            return True
        ranges = shown()
        lacks = any(gap.start < piece.end and piece.start < gap.end for gap in missing for piece in ranges)
        return bool(ranges) and not lacks and (empty or any(self._has_bars(series, piece) for piece in ranges))

    def _download(
        self, wanted: Wanted, timeframe: str, adjustment: str, label: str, pieces: list[TimeRange], key: str
    ) -> Iterator[Delivery]:
        """Download pieces of a series, span by span as they arrive."""
        arriving = self.provider.bars(
            wanted.kind,
            wanted.symbol,
            timeframe,
            [(piece.start, piece.end) for piece in pieces],
            adjustment=adjustment,
            label=label,
        )
        settled = int((datetime.now(timezone.utc) - _EPOCH).total_seconds()) - _LONGEST_DAY
        with closing(arriving):
            for span in arriving:
                if not validate_rows(span.frame):
                    raise RuntimeError(f"Failed to fetch data for {key}: Alpaca returned invalid OHLCV bars")
                # Days of crypto begin when Chicago's do, which no other day does.
                end = min(span.end, settled) if wanted.kind == "crypto" and timeframe == "day" else span.end
                yield Delivery(TimeRange(span.start, max(span.start, end)), span.frame, {})

    def _has_bars(self, series: DownloadedSeries, within: TimeRange) -> bool:
        rows = series.open_bars
        if len(rows):
            seconds = starts_of(rows)
            if bool(((seconds >= within.start) & (seconds < within.end)).any()):
                return True
        if series.pin is None:
            return False
        last = self.storage.last_time_at_or_before(series.pin, within.end - 1)
        return last is not None and last >= within.start

    # -- options ---------------------------------------------------------------------------------------------

    def get_chains(self, asset: Any, quote: Any = None) -> Any:
        """Return the option chain of a stock as of the backtest's day, by Lumibot's rules for its expirations."""
        symbol = str(getattr(asset, "symbol", asset) or "").upper()
        today = self.get_datetime().date()
        hints = getattr(self, "_chain_constraints", None)
        hints = hints if isinstance(hints, dict) else {}
        first = max(today, self._as_date(hints.get("min_expiration_date")) or today)
        last = self._as_date(hints.get("max_expiration_date")) or today + timedelta(days=self._option_chain_max_days)
        chain = self._empty_chain(symbol)
        if first <= last:
            chain["Chains"] = sides_of(self._listings.of(symbol, first, last))
        return self._copy_chain(chain)


def _of_frame(frame: pd.DataFrame, budget: Any) -> SeriesWithReturns:
    """Return a frame that is in memory as a series."""
    index = pd.DatetimeIndex(frame.index)
    rows = CalendarRows(NO_ROWS, index.as_unit("s").asi8, index.tz)

    def load(start: int, stop: int) -> BarTable:
        return BarTable.of_frame(frame.iloc[start:stop])

    return SeriesWithReturns(rows, load, budget, columns=list(frame.columns))


def _nanoseconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1_000


def _seconds(moment: datetime) -> int:
    """Return the first whole second at or after a moment."""
    return -(-_nanoseconds(moment) // SECOND)


def _moment(seconds: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(seconds, zone)


def _days_of(seconds: Int64Array, zone: tzinfo) -> Int64Array:
    """Return the local days of times, as days since 1970."""
    local = index_of(seconds, zone).tz_localize(None)
    days: Int64Array = local.as_unit("s").asi8 // 86_400
    return days


def _midnights(days: Int64Array, zone: tzinfo) -> Int64Array:
    """Return the beginnings of local days (days since 1970)."""
    midnights = pd.DatetimeIndex(days * (86_400 * SECOND)).tz_localize(zone)
    seconds: Int64Array = midnights.as_unit("s").asi8
    return seconds
