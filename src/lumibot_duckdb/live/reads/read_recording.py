"""Passes what live sources read to the recorder, at the cost of a few microseconds, and without any effect on them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pandas as pd

from lumibot_duckdb import clock
from lumibot_duckdb.live.closed import end_of_closed, settle_margin
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.reads.adjusted_recorder import AdjustedRecorder
from lumibot_duckdb.live.reads.gap_log import GapLog
from lumibot_duckdb.live.reads.live_read import ReadFilter
from lumibot_duckdb.live.reads.proven_ranges import proven_ranges
from lumibot_duckdb.live.reads.series_keys import Destination, NotRecordedError, destination_of
from lumibot_duckdb.lumibot_contract.live_reads_hooks import (
    Fetch,
    Frames,
    is_called_by_backtest,
    is_usable,
)
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import in_ranges, merged, missing
from lumibot_duckdb.storage.times import NEW_YORK, Int64Array

logger = logging.getLogger(__name__)


class ReadRecording:
    """Observes the reads of all live sources of a process. Thread-safe.

    Bars are passed on once: a strategy reads mostly the same ones in each iteration. Where past prices may change, all
    of them are passed on again every day, so that they can be compared with the stored ones.

    Parameters:
        recorder: takes bars; it neither blocks nor raises.
        read_filter: may answer reads from the store.
        begun: is called at the first read.
    """

    def __init__(
        self,
        recorder: AdjustedRecorder,
        read_filter: ReadFilter | None = None,
        *,
        begun: Callable[[], None] | None = None,
    ) -> None:
        self._recorder = recorder
        self._begun = begun
        self._filter = read_filter
        self._destinations: dict[Any, Destination] = {}
        self._passed: dict[SeriesKey, _Passed] = {}
        self._guard = threading.Lock()
        self._logged: set[str] = set()

    def observe(
        self, series: Sequence[Any], start: Any, end: Any, fetch: Fetch, options: Mapping[str, Any]
    ) -> ObservedRead | None:
        """Begin to observe a call of `read_bars_many`; return None for one of a backtest."""
        try:
            if is_called_by_backtest():
                return None
            begun, self._begun = self._begun, None
            if begun is not None:
                begun()
            return ObservedRead(self, series, (start, end), fetch, options)
        except Exception as error:
            self.log_once("a live read was not observed", error)
            return None

    def key_of(self, series: Any) -> SeriesKey | None:
        """Return the series of the store for one of Lumibot's; None if its bars are not recorded. Never raises."""
        try:
            destination = self.destination(series)
        except Exception as error:
            self.log_once("the series of a live read was not recognised", error)
            return None
        return None if destination is None else destination.key

    def destination(self, series: Any) -> Destination | None:
        """Return where the bars of one of Lumibot's series belong; None, which is logged once, if nowhere."""
        found = self._destinations.get(series)
        if found is None:
            try:
                found = self._destinations[series] = destination_of(series)
            except NotRecordedError as error:
                name = f"{series.timestep} bars of {series.symbol} from {series.provider}"
                self.log_once(f"{name} are not recorded", error)
        return found

    @property
    def filter(self) -> ReadFilter | None:
        """What may answer reads from the store."""
        return self._filter

    def take(self, series: Any, frame: pd.DataFrame, answered: Sequence[TimeRange], asked_at: datetime) -> None:
        """Pass on the settled bars of a frame that have not been passed on.

        Parameters:
            series: Lumibot's series.
            frame: its bars, sorted, by start (UTC). It is not changed, and not kept.
            answered: ranges whose bars are all in the frame.
            asked_at: when the source was asked.
        """
        destination = self.destination(series)
        if destination is None or frame.empty:
            return
        key = destination.key
        starts = pd.DatetimeIndex(frame.index).as_unit("s").asi8
        settled = end_of_closed(starts, key.timeframe, asked_at, settle_margin())
        proven = proven_ranges(starts, answered, key.timeframe, settled)
        day = asked_at.astimezone(NEW_YORK).date() if destination.adjusted else None
        with self._guard:  # so that bars are passed on in order, and once
            passed = self._passed.get(key)
            if passed is None or passed.day != day:
                passed = self._passed[key] = _Passed(day)
            new = _with_a_bar_each(passed.lacking(proven), starts)
            if not new:
                return
            bars = frame[in_ranges(starts, new)]
            if not is_usable(bars, strict=destination.strict):
                self.log_once(f"bars of {key.label()} are not recorded", NotRecordedError("they are not plausible"))
                return
            live_bars = LiveBars(key, _as_stored(bars, destination), tuple(new), asked_at, dict(destination.metadata))
            self.pass_on(live_bars, adjusted=destination.adjusted)
            passed.ranges = merged([*passed.ranges, *new])

    def pass_on(self, live_bars: LiveBars | None, *, adjusted: bool) -> None:
        """Pass bars on, if there are any; `adjusted` says that the source may change past prices."""
        if live_bars is not None:
            (self._recorder.record_adjusted if adjusted else self._recorder.record)(live_bars)

    def forget(self, series: Any) -> None:
        """Pass all bars of a series on again, since past prices have changed."""
        key = self.key_of(series)
        if key is not None:
            with self._guard:
                self._passed.pop(key, None)
            self._recorder.recheck(key)

    def log_once(self, what: str, error: Exception) -> None:
        """Log a problem, unless the same one was logged."""
        cause = f"{what}: {error}"
        if cause not in self._logged:
            self._logged.add(cause)
            unforeseen = None if isinstance(error, NotRecordedError) else error
            logger.warning("%s: %s", what, error, exc_info=unforeseen)


class ObservedRead:
    """One call of `read_bars_many`."""

    def __init__(
        self,
        recording: ReadRecording,
        series: Sequence[Any],
        span: tuple[Any, Any],
        fetch: Fetch,
        options: Mapping[str, Any],
    ) -> None:
        self._recording = recording
        self._series = list(dict.fromkeys(series))
        self._start, self._end = (_utc(moment) for moment in span)
        self._from_first_bar = bool(options.get("coverage_from_rows"))
        now, providers = clock.utc_now(), options.get("now")
        self._asked_at = now if providers is None else min(now, _utc(providers).to_pydatetime())
        self._log = GapLog(fetch, recording.filter, recording.key_of)

    def fetch(self, members: Sequence[Any], start: pd.Timestamp, stop: pd.Timestamp) -> Frames | None:
        """Ask the broker, or the store."""
        return self._log.fetch(members, start, stop)

    def returned(self, frames: Mapping[Any, pd.DataFrame]) -> None:
        """Pass the bars on."""
        for series in self._series:
            try:
                self._take(series, frames[series])
            except Exception as error:
                self._recording.log_once("bars of a live read were not recorded", error)

    def _take(self, series: Any, frame: pd.DataFrame) -> None:
        if series.adjusted and not self._log.was_answered(series):
            return  # Lumibot compares what it has with the broker's prices only when it fetches some
        if self._log.was_repeated(series):
            self._recording.forget(series)
        answered = self._log.answered(series, self._start, self._end, from_first_bar=self._from_first_bar)
        self._recording.take(series, frame, answered, self._asked_at)


class _Passed:
    """The ranges of a series that were passed on; `day` is that of New York, where prices may change."""

    def __init__(self, day: date | None) -> None:
        self.day = day
        self.ranges: list[TimeRange] = []

    def lacking(self, proven: Sequence[TimeRange]) -> list[TimeRange]:
        """Return the parts of ranges that were not passed on."""
        return [part for piece in proven for part in missing(piece, self.ranges)]


def _with_a_bar_each(ranges: Sequence[TimeRange], starts: Int64Array) -> list[TimeRange]:
    """Return ranges extended back by a bar where they have none, because coverage is stored along with bars."""
    found = []
    for piece in ranges:
        first, stop = starts.searchsorted((piece.start, piece.end))
        found.append(piece if first < stop or first == 0 else TimeRange(int(starts[first - 1]), piece.end))
    return merged(found)


def _as_stored(bars: pd.DataFrame, destination: Destination) -> pd.DataFrame:
    """Return a copy of bars in the form in which the backtests' source of the provider stores them."""
    kept: pd.DataFrame
    if destination.columns is None:
        kept = bars.select_dtypes("number").copy()
    else:
        kept = bars[[name for name in destination.columns if name in bars]].astype("float64")
    kept.index = pd.DatetimeIndex(bars.index).tz_convert("UTC").as_unit("ns").rename("datetime")
    kept.attrs = {}
    return kept


def _utc(moment: Any) -> pd.Timestamp:
    stamp = pd.Timestamp(moment)
    utc: pd.Timestamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
    return utc
