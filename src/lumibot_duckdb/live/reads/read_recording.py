"""Passes what live sources read to the recorder, at the cost of a few microseconds, and without any effect on them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb import clock
from lumibot_duckdb.live.bar_starts import BarStarts
from lumibot_duckdb.live.closed import end_of_closed_in_order, settle_margin
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.reads.adjusted_recorder import AdjustedRecorder
from lumibot_duckdb.live.reads.gap_log import GapLog
from lumibot_duckdb.live.reads.live_read import ReadFilter
from lumibot_duckdb.live.reads.proven_ranges import proven_ranges, shortest_bar
from lumibot_duckdb.live.reads.read_bars import copied
from lumibot_duckdb.live.reads.series_keys import Destination, NotRecordedError, destination_of
from lumibot_duckdb.lumibot_contract.live_reads_hooks import (
    Fetch,
    Frames,
    is_called_by_backtest,
)
from lumibot_duckdb.storage.api import EpochSeconds, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import merged, missing
from lumibot_duckdb.storage.times import NEW_YORK, epoch_seconds

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
        self._followed: dict[Any, _Followed] = {}
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
            return ObservedRead(self, (start, end), fetch, options)
        except Exception as error:
            self.log_once("a live read was not observed", error)
            return None

    def key_of(self, series: Any) -> SeriesKey | None:
        """Return the series of the store for one of Lumibot's; None if its bars are not recorded. Never raises."""
        try:
            followed = self._followed_series(series)
        except Exception as error:
            self.log_once("the series of a live read was not recognised", error)
            return None
        return None if followed is None else followed.destination.key

    def _followed_series(self, series: Any) -> _Followed | None:
        """Return where the bars of one of Lumibot's series belong; None, which is logged once, if nowhere."""
        found = self._followed.get(series)
        if found is None:
            try:
                destination = destination_of(series)
            except NotRecordedError as error:
                name = f"{series.timestep} bars of {series.symbol} from {series.provider}"
                self.log_once(f"{name} are not recorded", error)
                return None
            passed = self._passed.setdefault(destination.key, _Passed())
            found = self._followed[series] = _Followed(destination, passed)
        return found

    @property
    def filter(self) -> ReadFilter | None:
        """What may answer reads from the store."""
        return self._filter

    def take(self, series: Any, frame: pd.DataFrame, read: ObservedRead) -> None:
        """Pass on the settled bars of a frame that have not been passed on.

        Parameters:
            series: Lumibot's series.
            frame: its bars, sorted, by start (UTC). It is not changed, and not kept.
            read: the read that returned it.
        """
        followed = self._followed_series(series)
        if followed is None or not len(frame):
            return
        destination, passed = followed.destination, followed.passed
        key = destination.key
        starts = BarStarts.of(
            frame.index if isinstance(frame.index, pd.DatetimeIndex) else pd.DatetimeIndex(frame.index)
        )
        settled = end_of_closed_in_order(starts, key.timeframe, read.settled_at)
        end = starts.place(settled)
        day = read.day if destination.adjusted else None
        with self._guard:  # so that bars are passed on in order, and once
            if end and passed.has(starts[0], starts[end - 1] + shortest_bar(key.timeframe), day):
                return
            if series.adjusted and not read.was_answered(series):
                return  # Lumibot compares what it has with the broker's prices only when it fetches some
            passed.begin(day)
            proven = proven_ranges(starts, read.answered(series), key.timeframe, settled)
            new = _with_a_bar_each(passed.lacking(proven), starts)
            if not new:
                return
            rows = _rows_in(new, starts)
            self._recorder.record_read(copied(frame, starts, rows, destination, tuple(new), read.asked_at))
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
                self._passed[key].ranges = []
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
        span: tuple[Any, Any],
        fetch: Fetch,
        options: Mapping[str, Any],
    ) -> None:
        self._recording = recording
        self._span = span
        self._from_first_bar = bool(options.get("coverage_from_rows"))
        now, providers = clock.utc_now(), options.get("now")
        self.asked_at = now if providers is None else min(now, _utc(providers).to_pydatetime())
        self.settled_at = epoch_seconds(self.asked_at - settle_margin())
        """Bars that had closed by then are settled (s)."""
        self._log = GapLog(fetch, recording.filter, recording.key_of)

    @cached_property
    def day(self) -> date:
        """The day in New York."""
        return self.asked_at.astimezone(NEW_YORK).date()

    def fetch(self, members: Sequence[Any], start: pd.Timestamp, stop: pd.Timestamp) -> Frames | None:
        """Ask the broker, or the store."""
        return self._log.fetch(members, start, stop)

    def returned(self, frames: Mapping[Any, pd.DataFrame]) -> None:
        """Pass the bars on."""
        for series, frame in frames.items() if isinstance(frames, Mapping) else ():
            try:
                if self._log.was_repeated(series) and (self.was_answered(series) or not series.adjusted):
                    self._recording.forget(series)
                self._recording.take(series, frame, self)
            except Exception as error:
                self._recording.log_once("bars of a live read were not recorded", error)

    def was_answered(self, series: Any) -> bool:
        """Return whether the broker returned bars of a series."""
        return self._log.was_answered(series)

    def answered(self, series: Any) -> list[TimeRange]:
        """Return the ranges whose bars are all in the frame of a series."""
        start, end = (_utc(moment) for moment in self._span)
        return self._log.answered(series, start, end, from_first_bar=self._from_first_bar)


class _Passed:
    """The ranges of a series that were passed on; `day` is that of New York, where past prices may change."""

    def __init__(self) -> None:
        self.ranges: list[TimeRange] = []
        self._day: date | None = None

    def begin(self, day: date | None) -> None:
        """Forget what was passed on before a day."""
        if day != self._day:
            self.ranges, self._day = [], day

    def has(self, start: EpochSeconds, end: EpochSeconds, day: date | None) -> bool:
        """Return whether all of a range was passed on, as before most reads."""
        return day == self._day and any(piece.start <= start and end <= piece.end for piece in self.ranges)

    def lacking(self, proven: Sequence[TimeRange]) -> list[TimeRange]:
        """Return the parts of ranges that were not passed on."""
        return [part for piece in proven for part in missing(piece, self.ranges)]


@dataclass(frozen=True, slots=True)
class _Followed:
    """Where the bars of one of Lumibot's series belong, and which of them were passed on."""

    destination: Destination
    passed: _Passed


def _with_a_bar_each(ranges: Sequence[TimeRange], starts: BarStarts) -> list[TimeRange]:
    """Return ranges extended back by a bar where they have none, because coverage is stored along with bars."""
    found = []
    for piece in ranges:
        first, stop = starts.place(piece.start), starts.place(piece.end)
        found.append(piece if first < stop or first == 0 else TimeRange(starts[first - 1], piece.end))
    return merged(found)


def _rows_in(ranges: Sequence[TimeRange], starts: BarStarts) -> Any:
    """Return which bars start within ranges: a slice where that is possible, since it is copied faster."""
    slices = [slice(starts.place(piece.start), starts.place(piece.end)) for piece in ranges]
    if len(slices) == 1:
        return slices[0]
    rows = np.zeros(len(starts), bool)
    for each in slices:
        rows[each] = True
    return rows


def _utc(moment: Any) -> pd.Timestamp:
    stamp = pd.Timestamp(moment)
    utc: pd.Timestamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
    return utc
