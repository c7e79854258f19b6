"""One read of bars by a live source: what it asked the broker for, and which ranges the answers cover."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import pandas as pd

from lumibot_duckdb.live.reads.live_read import FetchOne, ReadFilter
from lumibot_duckdb.lumibot_contract.live_reads_hooks import Fetch, Frames
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import common, missing
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Answer:
    """A range that the broker was asked for (ns), and the frame that it returned, if any."""

    start: int
    stop: int
    frame: pd.DataFrame | None

    @cached_property
    def first(self) -> int | None:
        """The time of the first bar in the range; None if there was none. Most reads bring nothing new and skip it."""
        return _first_within(self.frame, self.start, self.stop)


class GapLog:
    """What one read fetches. Calls the broker, or the filter, and keeps which ranges were answered.

    Parameters:
        fetch: the broker's.
        read_filter: may answer instead; None: the broker answers everything.
        key_of: returns the series of the store for one of Lumibot's, None if it has none.
    """

    def __init__(self, fetch: Fetch, read_filter: ReadFilter | None, key_of: Callable[[Any], SeriesKey | None]) -> None:
        self._fetch = fetch
        self._filter = read_filter
        self._key_of = key_of
        self._answers: dict[Any, list[_Answer]] = {}

    def fetch(self, members: Sequence[Any], start: pd.Timestamp, stop: pd.Timestamp) -> Frames | None:
        """Fetch the bars of series in a range, as Lumibot's function does."""
        if self._filter is None:
            answer = self._fetch(members, start, stop)
        else:
            answer = self._filtered(self._filter, members, start, stop)
        try:
            self._note(members, start, stop, answer or {})
        except Exception:
            logger.warning("an answer of a broker could not be observed", exc_info=True)
        return answer

    def was_repeated(self, series: Any) -> bool:
        """Return whether Lumibot found that past prices have changed, and fetched everything once more."""
        answers = self._answers.get(series, ())
        if len(answers) < 2:
            return False
        ranges = sorted((each.start, each.stop) for each in answers)
        return any(start < stop for (_, stop), (start, _) in pairwise(ranges))  # which they do not do otherwise

    def was_answered(self, series: Any) -> bool:
        """Return whether the broker returned bars of a series."""
        return any(each.first is not None for each in self._answers.get(series, ()))

    def answered(self, series: Any, start: pd.Timestamp, end: pd.Timestamp, *, from_first_bar: bool) -> list[TimeRange]:
        """Return the parts of a read whose bars are all in the result.

        Lumibot fetches what its cache does not cover, so what was not fetched is covered there. An answer without
        bars proves nothing.

        Parameters:
            series: Lumibot's series.
            start, end: the range of the read (UTC); both are included.
            from_first_bar: the broker may leave out the beginning of a range.
        """
        whole = _whole_seconds(start.value, end.value + 1)
        asked, proven = [], []
        for each in self._answers.get(series, ()):
            asked.append(_whole_seconds(each.start, each.stop))
            if (first := each.first) is not None:
                proven.append(_whole_seconds(max(each.start, first), each.stop) if from_first_bar else asked[-1])
        return common([*missing(whole, asked), *proven], [whole])

    def _note(self, members: Sequence[Any], start: pd.Timestamp, stop: pd.Timestamp, answer: Frames) -> None:
        first, end = start.value, stop.value
        for series in members:
            self._answers.setdefault(series, []).append(_Answer(first, end, answer.get(series)))

    def _filtered(
        self, read_filter: ReadFilter, members: Sequence[Any], start: pd.Timestamp, stop: pd.Timestamp
    ) -> Frames:
        batch = _Batch(self._fetch, members, start, stop)
        found: dict[Any, pd.DataFrame | None] = {}
        for series in members:
            key = self._key_of(series)
            ask = batch.of(series)
            if key is None:
                found[series] = ask(start, stop)
                continue
            try:
                found[series] = read_filter.fetch(series, key, start, stop, ask)
            except Exception as error:
                if error is batch.failure:
                    raise
                logger.warning(
                    "the store could not answer a read of %s; the broker is asked", key.label(), exc_info=True
                )
                found[series] = ask(start, stop)
        return found


_SHARED_PART = 0.1


class _Batch:
    """Asks the broker for the whole range of a call, and for short parts of it, once for all of its series.

    Series that were recorded together lack the same parts, so that a hundred of them need no hundred requests. Longer
    parts are those of a series that was not recorded; the others do not need them.
    """

    def __init__(self, fetch: Fetch, members: Sequence[Any], start: pd.Timestamp, stop: pd.Timestamp) -> None:
        self.failure: Exception | None = None
        self._fetch = fetch
        self._members = members
        self._range = (start, stop)
        self._answers: dict[tuple[pd.Timestamp, pd.Timestamp], Frames] = {}

    def of(self, series: Any) -> FetchOne:
        """Return what asks for the bars of one series."""

        def ask(start: pd.Timestamp, stop: pd.Timestamp) -> pd.DataFrame | None:
            try:
                if not self._is_shared(start, stop):
                    return (self._fetch([series], start, stop) or {}).get(series)
                if (start, stop) not in self._answers:
                    self._answers[start, stop] = self._fetch(self._members, start, stop) or {}
                return self._answers[start, stop].get(series)
            except Exception as error:
                self.failure = error
                raise

        return ask

    def _is_shared(self, start: pd.Timestamp, stop: pd.Timestamp) -> bool:
        whole_start, whole_stop = self._range
        return (start, stop) == self._range or stop - start <= _SHARED_PART * (whole_stop - whole_start)


def _whole_seconds(start: int, stop: int) -> TimeRange:
    """Return the whole seconds in a range of nanoseconds."""
    first = -(-start // NANOSECONDS_PER_SECOND)
    return TimeRange(first, max(first, -(-stop // NANOSECONDS_PER_SECOND)))


def _first_within(frame: pd.DataFrame | None, start: int, stop: int) -> int | None:
    """Return the time (ns) of the first bar of a frame in a range; None if there is none."""
    if frame is None or not len(frame):
        return None
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex):
        index = pd.DatetimeIndex(pd.to_datetime(index, utc=True))
    per_tick = NANOSECONDS_PER_SECOND // TICKS_PER_SECOND[index.unit]
    times = index.asi8
    if per_tick > 1:
        times = times * per_tick
    inside = times[(times >= start) & (times < stop)]
    return int(inside.min()) if len(inside) else None
