"""The outline of a series: the bars of each day by number, first and last one, and how far apart bars are.

Lumibot learns this from all bars of a series. An outline tells it before any bar is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, EpochSeconds, Int64Array

DAYS_PER_BLOCK = 64
"""How many calendar days one count of spacings is for."""

SESSION_GAP = 3_600
"""Seconds up to which the time between the last bar of a day and the first of the next counts as a spacing."""

ReadTimes: TypeAlias = Callable[[TimeRange], Int64Array]
"""Reads the starts of the bars in a range."""

_MINUTE = 60
_MOST_READS = 16
_KNOWN_DAYS = 100 * 365
_NO_TIMES: Int64Array = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Days:
    """The New York calendar days that have bars, as parallel arrays.

    Attributes:
        numbers: the days, counted from 1970.
        bars: how many bars start on each day.
        first: the start of the first bar of each day.
        last: the start of the last bar of each day.
    """

    numbers: Int64Array
    bars: Int64Array
    first: Int64Array
    last: Int64Array

    @classmethod
    def of(cls, times: Int64Array) -> Days:
        """Return the days of sorted bar starts."""
        numbers, starts = _days_and_starts(times)
        stops = np.append(starts, len(times))[1:]
        return cls(numbers, stops - starts, times[starts], times[stops - 1])

    @classmethod
    def joined(cls, parts: Sequence[Days]) -> Days:
        """Return the days of all parts, sorted. No day is in two of them."""
        columns = [np.concatenate(arrays) for arrays in zip(*(part.columns() for part in parts), strict=True)]
        order = np.argsort(columns[0], kind="stable")
        return cls(*(column[order] for column in columns))

    def __len__(self) -> int:
        return len(self.numbers)

    def columns(self) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
        """Return the arrays in the order of the attributes."""
        return self.numbers, self.bars, self.first, self.last

    def chosen(self, which: Any) -> Days:
        """Return the days that a mask or a slice selects."""
        return Days(*(column[which] for column in self.columns()))

    def every_minute(self, within: TimeRange) -> Int64Array | None:
        """Return the bar starts in a range if its days have a bar for each minute; None otherwise.

        All bars must start at whole minutes.
        """
        days = self.chosen(slice(*self._days_within(within)))
        if ((days.last - days.first) // _MINUTE + 1 != days.bars).any():
            return None
        starts = np.maximum(days.first, -(-within.start // _MINUTE) * _MINUTE).tolist()
        ends = np.minimum(days.last + 1, within.end).tolist()
        pieces = [np.arange(start, end, _MINUTE) for start, end in zip(starts, ends, strict=True)]
        return pieces[0] if len(pieces) == 1 else np.concatenate([_NO_TIMES, *pieces])

    def are_mostly_minutes(self) -> bool:
        """Whether a minute is surely the most common spacing, if all bars start at whole minutes.

        A longer spacing within a day needs a minute without a bar, and one between days takes two days.
        """
        spacings = self.bars - 1
        longer = np.minimum((self.last - self.first) // _MINUTE - spacings, spacings)
        return bool(spacings.sum() - longer.sum() > longer.sum() + len(self))

    def _days_within(self, within: TimeRange) -> tuple[int, int]:
        return int(self.last.searchsorted(within.start)), int(self.first.searchsorted(within.end))

    @property
    def blocks(self) -> Int64Array:
        """The block of each day."""
        return self.numbers // DAYS_PER_BLOCK


@dataclass(frozen=True, slots=True)
class Spacings:
    """How often two consecutive bars of a day are how many seconds apart; each number of seconds occurs once."""

    seconds: Int64Array
    counts: Int64Array

    @classmethod
    def of(cls, gaps: Int64Array) -> Spacings:
        """Count spacings."""
        counts = np.bincount(gaps)
        seconds = np.flatnonzero(counts)
        return cls(seconds, counts[seconds])

    @classmethod
    def within(cls, days: Days, times: Int64Array) -> Spacings:
        """Count the spacings within days, given the sorted starts of all their bars."""
        return cls.of(np.delete(np.diff(times), np.cumsum(days.bars)[:-1] - 1))

    @classmethod
    def joined(cls, parts: Sequence[Spacings]) -> Spacings:
        """Return the sum of counts."""
        seconds, place = np.unique(np.concatenate([part.seconds for part in parts]), return_inverse=True)
        counts = np.zeros(len(seconds), np.int64)
        np.add.at(counts, place, np.concatenate([part.counts for part in parts]))
        return cls(seconds, counts)

    @property
    def total(self) -> int:
        """How many spacings there are."""
        return int(self.counts.sum())

    @property
    def most_common(self) -> int:
        """The most common spacing; of equally common ones the smallest, and 0 if there are none."""
        return int(self.seconds[self.counts.argmax()]) if len(self.counts) else 0

    def leads_by(self, further: int) -> bool:
        """Whether the most common spacing stays the same with so many further spacings of any length."""
        if not len(self.counts):
            return False
        ordered = np.sort(self.counts)
        return bool(ordered[-1] > further + (ordered[-2] if len(ordered) > 1 else 0))


class Outline:
    """The outline of the bars of a series, or of those that a backtest sees.

    Parameters:
        times: all bar starts, sorted. Nothing else is needed then.
        days: the days.
        spacings: the spacings within days, by block. Blocks that it lacks are counted when they are needed.
    """

    def __init__(
        self,
        *,
        times: Int64Array | None = None,
        days: Days | None = None,
        spacings: Mapping[int, Spacings] | None = None,
    ) -> None:
        self.times = times
        self._days = days
        self._spacings = spacings or {}

    @property
    def days(self) -> Days:
        """The days."""
        if self._days is None:
            assert self.times is not None
            self._days = Days.of(self.times)
        return self._days

    @property
    def rows(self) -> int:
        """The number of bars."""
        return len(self.times) if self.times is not None else int(self.days.bars.sum())

    @property
    def ends(self) -> tuple[int, int] | None:
        """The start of the first and of the last bar; None if there is no bar."""
        if not self.rows:
            return None
        if self.times is not None:
            return int(self.times[0]), int(self.times[-1])
        return int(self.days.first[0]), int(self.days.last[-1])

    def within(self, ranges: Sequence[TimeRange], read: ReadTimes, added: Int64Array = _NO_TIMES) -> Outline:
        """Return the outline of the bars in some ranges, which are sorted and disjoint, and of `added` ones.

        `read` reads exactly these bars.
        """
        if self.times is not None:
            pieces = [self.times[slice(*self.times.searchsorted((r.start, r.end)))] for r in ranges]
            visible = pieces[0] if len(pieces) == 1 else np.concatenate([_NO_TIMES, *pieces])
            return Outline(times=np.union1d(visible, added) if len(added) else visible)
        days = self.days
        whole, cut = _whole_and_cut(days, ranges)
        unlike = np.union1d(days.numbers[cut], Days.of(added).numbers)
        kept = whole & ~np.isin(days.numbers, unlike)
        read_again = [Days.of(read(part)) for part in _ranges_of(unlike)]
        wrong = {*days.blocks[~kept].tolist(), *(unlike // DAYS_PER_BLOCK).tolist()}
        spacings = {block: found for block, found in self._spacings.items() if block not in wrong}
        if read_again:
            again = Days.joined(read_again)
            again = again.chosen(np.isin(again.numbers, unlike))
            return Outline(days=Days.joined([days.chosen(kept), again]), spacings=spacings)
        return Outline(days=days if bool(kept.all()) else days.chosen(kept), spacings=spacings)

    def most_common_spacing(self, read: ReadTimes, *, on_minute: bool = False) -> int:
        """Return the most common number of seconds between two bars of a session; of equally common ones, the smallest.

        It is 0 if there are none. `read` reads bars of the outline. With `on_minute`, all bars start at whole minutes.
        """
        days = self.days
        if on_minute and days.are_mostly_minutes():
            return _MINUTE
        between = days.first[1:] - days.last[:-1]
        within_days = list(self._spacings.values())
        spacings = Spacings.joined([Spacings.of(between[between <= SESSION_GAP]), *within_days])
        uncounted = int((days.bars - 1).sum()) - sum(part.total for part in within_days)
        counted_now = self._counted_now(read)
        while uncounted and not spacings.leads_by(uncounted):
            part = next(counted_now)
            spacings = Spacings.joined([spacings, part])
            uncounted -= part.total
        return spacings.most_common

    def _counted_now(self, read: ReadTimes) -> Iterator[Spacings]:
        """Count the spacings that were not counted yet, block by block."""
        if self.times is not None:
            yield Spacings.within(self.days, self.times)
            return
        missing = self.days.chosen(~np.isin(self.days.blocks, list(self._spacings)))
        for block in np.unique(missing.blocks).tolist():
            days = missing.chosen(missing.blocks == block)
            yield Spacings.within(days, read(TimeRange(int(days.first[0]), int(days.last[-1]) + 1)))


def midnights(days: Int64Array) -> Int64Array:
    """Return the epoch seconds at which calendar days of New York begin."""
    if len(days) and days[0] >= 0 and days[-1] < _KNOWN_DAYS:
        return _known_midnights()[days]
    return _midnights(days)


@cache
def _known_midnights() -> Int64Array:
    return _midnights(np.arange(_KNOWN_DAYS))


def _midnights(days: Int64Array) -> Int64Array:
    import pandas as pd  # here and below, since SQL does without it

    dates: pd.DatetimeIndex = pd.DatetimeIndex((days * SECONDS_PER_DAY).view("M8[s]"))
    begin: Int64Array = dates.tz_localize(_new_york(), ambiguous=True, nonexistent=timedelta(hours=1)).asi8
    return begin


def block_range(first: int, last: int | None = None) -> TimeRange:
    """Return the range of time of a block, or of those up to a last one."""
    after = (first if last is None else last) + 1
    return _days_range(first * DAYS_PER_BLOCK, after * DAYS_PER_BLOCK - 1)


def _days_range(first: int, last: int) -> TimeRange:
    return TimeRange(*midnights(np.array([first, last + 1])).tolist())


def blocks_between(first: EpochSeconds, last: EpochSeconds) -> tuple[int, int]:
    """Return the blocks of the first and the last of some bars."""
    start, end = (local_days(np.array([first, last])) // DAYS_PER_BLOCK).tolist()
    return start, end


def runs(numbers: Int64Array) -> list[tuple[int, int]]:
    """Return the first and the last number of each run of consecutive ones among sorted numbers."""
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    firsts, lasts = np.append(numbers[:1], numbers[breaks + 1]), np.append(numbers[breaks], numbers[-1:])
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _days_and_starts(times: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the calendar days of sorted times, and the place of the first time of each."""
    if not len(times):
        return _NO_TIMES, _NO_TIMES
    if times[-1] - times[0] > SECONDS_PER_DAY * len(times):  # more days than bars
        days = local_days(times)
        starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        return days[starts], starts
    first, last = local_days(times[[0, -1]]).tolist()
    places = times.searchsorted(midnights(np.arange(first, last + 2)))
    traded = np.flatnonzero(np.diff(places))
    return traded + first, places[traded]


def local_days(times: Int64Array) -> Int64Array:
    """Return the calendar days of sorted times."""
    known = _known_midnights()
    if known[0] <= times[0] and times[-1] < known[-1]:
        return known.searchsorted(times, side="right") - 1
    import pandas as pd

    index = pd.DatetimeIndex(times, dtype=pd.DatetimeTZDtype("s", _new_york()))  # integers are UTC
    days: Int64Array = index.tz_localize(None).asi8 // SECONDS_PER_DAY
    return days


def _new_york() -> Any:
    from lumibot_duckdb.storage.bars.output import NEW_YORK

    return NEW_YORK


def _whole_and_cut(days: Days, ranges: Sequence[TimeRange]) -> tuple[Any, Any]:
    """Return a mask of the days whose bars are all in one of some ranges, and one of those that may have some bars."""
    starts, ends = (np.array(bounds, np.int64) for bounds in ([r.start for r in ranges], [r.end for r in ranges]))
    place = ends.searchsorted(days.first, side="right")  # the first range that ends after the day's first bar
    starts, ends = np.append(starts, np.iinfo(np.int64).max), np.append(ends, np.iinfo(np.int64).max)
    whole = (starts[place] <= days.first) & (days.last < ends[place])
    return whole, ~whole & (starts[place] <= days.last)


def _ranges_of(days: Int64Array) -> list[TimeRange]:
    """Return ranges of time that include all of some sorted days: not too many ranges, each read by one query."""
    if not len(days):
        return []
    found = runs(days)
    return [_days_range(*run) for run in (found if len(found) <= _MOST_READS else [(found[0][0], found[-1][1])])]
