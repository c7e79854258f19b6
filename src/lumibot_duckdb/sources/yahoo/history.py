"""One symbol's bars from Yahoo in the store: kept up to date, and returned as Lumibot's Yahoo helper would.

This needs no data source. Daily bars are the whole history; a new dividend or split changes all adjusted prices, so the
whole history is restated. Yahoo keeps only a few days of intraday bars, so they accumulate in the store; those from
before a split are rescaled, because Yahoo does not provide them again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from lumibot_duckdb import clock
from lumibot_duckdb.sources.provider import BarRequest
from lumibot_duckdb.sources.shared.downloaded_series import ALWAYS, Delivery, DownloadedSeries
from lumibot_duckdb.sources.shared.errors import ProviderError, UnknownSymbolError
from lumibot_duckdb.sources.shared.trading_hours import Session, TradingHours
from lumibot_duckdb.sources.yahoo.client import COLUMNS, EARLIEST, KEPT, ZONE, Market, YahooProvider
from lumibot_duckdb.sources.yahoo.corporate_actions import YahooActions, rescaled
from lumibot_duckdb.sources.yahoo.notes import SYMBOL, KnownMarket, notes_of, store_metadata
from lumibot_duckdb.sources.yahoo.sessions import NEW_YORK, Stamps, hours_of_market, may_have_traded, stamped_index
from lumibot_duckdb.storage.api import (
    AsOf,
    AssetKey,
    DataStorageInterface,
    EpochSeconds,
    IngestInfo,
    SeriesKey,
    SeriesPin,
    TimeRange,
)
from lumibot_duckdb.storage.errors import HistoryRestatedError
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import Int64Array, bar_starts, date_of, midnight
from lumibot_duckdb.windows.series_view import SeriesView

logger = logging.getLogger(__name__)

SOURCE = "yahoo"
ADJUSTMENT = "split"
TIMEFRAMES = ("day", "15minute", "minute")

FINAL_AFTER = {"day": 5 * 86_400, "15minute": 86_400, "minute": 86_400}
"""Seconds for which each run requests missing bars after the last one: funds may report late, and servers lag."""

_LATELY = 3 * 86_400
"""How long ago times are (s) that decide whether a symbol without bars is requested again.

An answer without bars about the last week is believed for a day, and one that is older than a few days was requested
when their bars had closed.
"""

ROUNDING = 1e-6
"""Relative difference up to which prices count as equal: Yahoo's last digits vary."""

_PRICES = ("open", "high", "low", "close", "adj_close")
_OF_FUTURES = (".CME", ".NYMEX", ".CBOT", ".COMEX", ".NYBOT")
_YAHOOS = {ours: theirs for theirs, ours in COLUMNS.items()}


def asset_of(symbol: str) -> AssetKey:
    """Return the asset under which the bars of one of Yahoo's symbols are stored."""
    symbol = symbol.upper()
    if symbol.startswith("^"):
        return AssetKey(symbol, "index")
    return AssetKey(symbol, "future" if symbol.endswith(("=F", *_OF_FUTURES)) else "stock")


class YahooHistory:
    """The bars of one symbol ("SPY", "^IRX", "ES=F") at a timeframe ("day", "15minute", "minute").

    With `as_of`, they are read as of that moment, and nothing is downloaded.
    """

    def __init__(
        self,
        storage: DataStorageInterface,
        provider: YahooProvider,
        symbol: str,
        timeframe: str = "day",
        *,
        as_of: AsOf | None = None,
    ) -> None:
        self.symbol = symbol
        self.key = SeriesKey(asset_of(symbol), SOURCE, timeframe, ADJUSTMENT)
        self._storage = storage
        self._provider = provider
        self._as_of = as_of
        self._series = self._pinned()
        self._actions = YahooActions(storage, self.key.asset, SOURCE, self._day_of)
        self._market: KnownMarket | None = None
        self._market_requested = False
        self._zone: str | None = None
        self._stamps: Stamps | None = None
        self._was_read = False

    def _pinned(self) -> DownloadedSeries:
        return DownloadedSeries(self._storage, self.key, as_of=self._as_of, hours=_HoursOf(self))

    def __len__(self) -> int:
        pin = self._series.pin
        return 0 if pin is None else self._storage.facts(pin).rows + len(self._series.open_bars)

    # -- reading --------------------------------------------------------------------------------------------

    @property
    def view(self) -> SeriesView | None:
        """The bars: those that are stored, and those still open when they were downloaded; None if there are none."""
        view = self._series.view()
        self._was_read = self._was_read or view is not None
        return view

    @property
    def market(self) -> Market | None:
        """The market of the symbol; None if it is not known."""
        if self._market is None:
            self._look_up()
        return None if self._market is None else self._market.market

    @property
    def stamps(self) -> Stamps:
        """How Lumibot stamps the bars; fixed at the first use."""
        if self._stamps is None:
            self._stamps = Stamps.of(self.market or Market())
        return self._stamps

    def index_of(self, times: Int64Array) -> pd.DatetimeIndex:
        """Return bar starts (seconds, UTC) as the index of Lumibot's frames."""
        pin = self._series.pin
        unit = "ns" if pin is None else self._storage.facts(pin).index_unit
        name = "Date" if self.key.timeframe == "day" else "Datetime"
        return stamped_index(self.stamps, times.tobytes(), name, unit)

    def frame(self) -> pd.DataFrame | None:
        """Return all bars as `YahooHelper.fetch_symbol_data` does, indexed by Lumibot's stamps in New York time."""
        view = self.view
        if view is None or not view.facts.rows:
            return None
        bars = view.bars(ALWAYS)
        columns = {_YAHOOS.get(name, name): bars.columns[name] for name in view.frame_columns()}
        frame: pd.DataFrame = pd.DataFrame(columns, index=self.index_of(bars.times))
        return frame

    # -- downloading -----------------------------------------------------------------------------------------

    def ensure(self, until: datetime) -> None:
        """Make sure that everything up to a moment (tz-aware) is stored. Sends no request if there can be nothing new.

        Raises:
            UnknownSymbolError: Yahoo does not know the symbol or has no bars of it; this is remembered for a day.
            ProviderError: see `YahooProvider.bars`.
            HistoryRestatedError, StoreBusyError, StoreWriteError: from the store.
        """
        now = clock.epoch_now()
        end = min(int(until.timestamp()) + 1, now)
        if self._as_of is not None:
            self._series.report_gaps(TimeRange(EARLIEST, max(EARLIEST, end)))
            return
        if not len(self):
            end = max(end, now - _LATELY)
        wanted = TimeRange(EARLIEST, max(EARLIEST, end))
        try:
            self._series.ensure(wanted, self._download)
        except HistoryRestatedError:
            if self._was_read:
                raise
            # Another process has restated the history in the meantime, so this uses the new version.
            self._series = self._pinned()
            self._series.ensure(wanted, self._download)
        if not len(self):
            raise UnknownSymbolError(f"Yahoo has no {self.key.timeframe} bars of {self.symbol!r}.")
        if self.market is None and self._request_market() and self._series.pin is not None:
            store_metadata(self._storage, self.key, {"zone": self.zone, **self._market_note()})

    def _download(self, missing: list[TimeRange]) -> Iterator[Delivery]:
        pin = self._series.pin
        last = None if pin is None else self._storage.facts(pin).last
        if pin is None or last is None:
            if missing[0].start < clock.epoch_now() - _LATELY:
                yield from self._begin()
            return
        gaps = [gap for gap in missing if may_have_traded(self.market or Market(), self.zone, gap.start, gap.end)]
        if not gaps:
            return
        if self.key.timeframe == "day":
            yield from self._continue_days(pin, last, gaps[0].start)
        else:
            yield from self._continue_minutes(pin, last, gaps[0].start)

    def _begin(self) -> Iterator[Delivery]:
        """Download all bars that Yahoo has."""
        requested_at = clock.epoch_now()
        try:
            frame = self._bars().dropna()
        except UnknownSymbolError:
            frame = pd.DataFrame()
        if frame.empty:
            self._storage.forget_coverage(self.key)  # a symbol may become known any day, so this is never permanent
            self._storage.record_coverage(
                self.key.asset, TimeRange(EARLIEST, requested_at), SOURCE, self.key.timeframe, adjustment=ADJUSTMENT
            )
            return
        kept = KEPT.get(self.key.timeframe)
        since = None if kept is None else requested_at - int(kept.total_seconds())
        yield self._delivery(frame, requested_at, EARLIEST, kept_since=since)
        if self.key.timeframe == "day":
            self._actions.store(frame)

    def _continue_days(self, pin: SeriesPin, last: EpochSeconds, start: EpochSeconds) -> Iterator[Delivery]:
        """Download the days from the last stored one on; all days if earlier ones lack or adjusted prices have changed.

        `start` is the start of what is missing.
        """
        earlier = start < last
        requested_at = clock.epoch_now()
        frame = self._bars(since=EARLIEST if earlier else last).dropna()
        starts = bar_starts(frame)
        restated = self._actions.are_new_in(frame[starts > last]) or not self._agrees(pin, frame[starts <= last])
        if restated:
            logger.info("the adjusted prices of %s have changed: its daily history is downloaded again", self.symbol)
            frame = frame if earlier else self._bars().dropna()
        elif earlier:
            frame = self._with_stored(pin, frame)
        elif self._same_volumes(pin, frame[starts <= last]):
            frame = frame[starts > last]
        start = EARLIEST if earlier or restated else start
        yield self._delivery(frame, requested_at, start, last=last, replace=restated)
        self._actions.store(frame, replace=restated)

    def _continue_minutes(self, pin: SeriesPin, last: EpochSeconds, start: EpochSeconds) -> Iterator[Delivery]:
        """Download the intraday bars that are missing from `start` on; rescale the stored ones after a split."""
        requested_at = clock.epoch_now()
        kept = requested_at - int(KEPT[self.key.timeframe].total_seconds())
        day = int(datetime.combine(self._day_of(last), datetime.min.time(), ZoneInfo(self.zone)).timestamp())
        since = max(min(day, start), kept + 60)
        answer = self._bars(since)
        actions = answer if day >= kept else self._bars(day, "day")
        frame = answer.dropna()
        starts = bar_starts(frame)
        ratio = self._actions.ratio_since(actions, last)
        fresh = frame[starts > last]
        if ratio != 1.0 and not self._is_adjusted_by(ratio, pin, frame[starts <= last]):
            logger.info("%s was split: its stored %s bars are rescaled", self.symbol, self.key.timeframe)
            # Bars that Yahoo still has are stored as Yahoo adjusts them. Rescaled ones may differ in the last bit.
            again = frame if since <= kept + 60 else self._bars(since=kept + 60).dropna()
            stored = self._storage.read_pandas(pin).tz_convert("UTC")
            gone = stored[~np.isin(bar_starts(stored), bar_starts(again))]
            bars = pd.concat([rescaled(gone, ratio), again])
            yield self._delivery(bars, requested_at, EARLIEST, last=last, kept_since=kept + 60, replace=True)
        else:
            bars = self._with_stored(pin, frame, since) if start < last else fresh
            yield self._delivery(bars, requested_at, start, last=last, kept_since=since)

    def _with_stored(self, pin: SeriesPin, frame: pd.DataFrame, since: EpochSeconds = EARLIEST) -> pd.DataFrame:
        """Return the stored bars since a moment, and those of a frame that are not stored."""
        stored = self._storage.read_pandas(pin, TimeRange(since, ALWAYS.end)).tz_convert("UTC")
        together: pd.DataFrame = pd.concat([stored, frame[~np.isin(bar_starts(frame), bar_starts(stored))]])
        return together

    def _bars(self, since: EpochSeconds = EARLIEST, timeframe: str = "") -> pd.DataFrame:
        """Download bars, including those with gaps, which Lumibot leaves out."""
        until = max(since, clock.epoch_now()) + 1
        (answer,) = self._provider.bars(BarRequest(self.symbol, timeframe or self.key.timeframe, ((since, until),)))
        self._zone = answer.metadata.get(ZONE, self._zone)
        return answer.bars

    def _delivery(
        self,
        frame: pd.DataFrame,
        requested_at: int,
        start: EpochSeconds,
        *,
        last: EpochSeconds | None = None,
        kept_since: EpochSeconds | None = None,
        replace: bool = False,
    ) -> Delivery:
        """Return the bars to store and the range that they cover, up to the last closed bar or `FINAL_AFTER` ago."""
        length = bar_seconds(self.key.timeframe)
        closed = bar_starts(frame)
        closed = closed[closed + length <= requested_at]
        latest = int(closed[-1]) if len(closed) else last
        end = max(requested_at - FINAL_AFTER[self.key.timeframe], EARLIEST if latest is None else self._end_of(latest))
        if len(closed):  # the metadata of the last bar is read first
            self._refresh_market()
        metadata = {SYMBOL: self.symbol, "zone": self.zone, **self._market_note()}
        end = min(end, requested_at)
        return Delivery(TimeRange(min(start, end), end), frame, metadata, replace, kept_since)

    def _end_of(self, start: EpochSeconds) -> EpochSeconds:
        """Return the end of a bar: for days, the next midnight of the exchange."""
        if self.key.timeframe != "day":
            return start + bar_seconds(self.key.timeframe)
        following = self._day_of(start) + timedelta(days=1)
        return midnight(following, ZoneInfo(self.zone))

    def _day_of(self, time: EpochSeconds) -> date:
        return date_of(time, ZoneInfo(self.zone))

    # -- comparing stored bars with those that were downloaded again -----------------------------------------

    def _is_adjusted_by(self, ratio: float, pin: SeriesPin, again: pd.DataFrame) -> bool:
        """Return whether stored bars are adjusted for a split, by comparing those that were downloaded again."""
        stored, downloaded = self._both(pin, again, "close")
        if not len(stored):
            return False
        between = abs(np.log(np.median(stored / downloaded)))
        return bool(between < abs(np.log(ratio)) / 2)

    def _agrees(self, pin: SeriesPin, again: pd.DataFrame) -> bool:
        """Return whether the stored bars have Yahoo's current prices."""
        names = [name for name in _PRICES if name in again]
        return all(np.allclose(*self._both(pin, again, name), rtol=ROUNDING, atol=0, equal_nan=True) for name in names)

    def _same_volumes(self, pin: SeriesPin, again: pd.DataFrame) -> bool:
        stored, downloaded = self._both(pin, again, "volume")
        return len(stored) == len(again) and bool(np.array_equal(stored, downloaded))

    def _both(self, pin: SeriesPin, again: pd.DataFrame, column: str) -> tuple[Any, Any]:
        """Return a column of the stored bars that were downloaded again: the stored and the downloaded values."""
        if again.empty:
            return np.empty(0), np.empty(0)
        starts = bar_starts(again)
        stored = self._storage.read_bars(pin, TimeRange(int(starts[0]), int(starts[-1]) + 1), [column], remember=False)
        _, here, there = np.intersect1d(stored.times, starts, assume_unique=True, return_indices=True)
        return stored.columns[column][here], again[column].to_numpy()[there]

    # -- market and time zone --------------------------------------------------------------------------------

    @property
    def zone(self) -> str:
        """The name of the exchange's time zone."""
        if self._zone is None:
            self._look_up()
        return self._zone or NEW_YORK

    def _look_up(self) -> None:
        """Read the zone and the market from the metadata of the last write, or of other writes at any timeframe."""
        pin = self._series.pin
        last = None if pin is None else self._storage.facts(pin).last
        if pin is not None and last is not None and self._take(self._storage.ingests(pin, [TimeRange(last, last + 1)])):
            return
        for timeframe in dict.fromkeys((self.key.timeframe, *TIMEFRAMES)):
            key = SeriesKey(self.key.asset, SOURCE, timeframe, ADJUSTMENT)
            if self._take(notes_of(self._storage, key, self._as_of)):
                return

    def _take(self, notes: Sequence[IngestInfo]) -> bool:
        """Set the zone and the market from metadata; return whether the market is now known."""
        for note in reversed(notes):
            self._zone = self._zone or note.metadata.get("zone")
            self._market = self._market or KnownMarket.of(note.metadata)
        return self._market is not None

    def _market_note(self) -> dict[str, Any]:
        """Return the metadata that keeps the market; empty if it is not known."""
        return {} if self._market is None else self._market.metadata

    def _refresh_market(self) -> None:
        """Request the market again if it is not known or not valid any more. If that fails, the earlier one is used."""
        if self._market is None:
            self._look_up()
        if self._market is None or not self._market.is_current:
            self._request_market()

    def _request_market(self) -> bool:
        """Request the symbol's market from Yahoo, once; return whether it has answered now.

        If that fails, log it and stamp bars at midnight, as Lumibot does.
        """
        if self._market_requested:
            return False
        self._market_requested = True
        try:
            self._market = KnownMarket.requested_now(self._provider.market(self.symbol))
        except ProviderError as error:
            logger.warning(
                "the market of %s is not available from Yahoo (%s). %s in this backtest.",
                self.symbol,
                error,
                "Its bars are stamped at midnight" if self._market is None else "The market known so far is used",
            )
            return False
        return True


class _HoursOf(TradingHours):
    """The hours of a history's market, which is known once it has bars."""

    def __init__(self, history: YahooHistory) -> None:
        self._history = history

    def sessions(self, first: date, last: date) -> Sequence[Session]:
        """Return the sessions of the market."""
        return hours_of_market(self._history.market or Market(), self._history.zone).sessions(first, last)
