"""Gaps in a series while its market was open: the New York Stock Exchange, or always (crypto).

Only times count for which a source has answered: what is not covered is downloaded when a backtest needs it. Options,
futures, currencies and indices are left out: most of them do not trade in every session, or have hours of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from lumibot_duckdb.storage.api import EpochSeconds, TimeRange
from lumibot_duckdb.storage.bars.outline import Days, runs
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, Int64Array, date_of

LEAST_GAP, LEAST_BARS = 3_600, 10
"""A gap within a session is an hour and ten bar lengths long: halts of five to thirty minutes are frequent."""

RARE = 99.0
TIMES_RARE = 4.0
"""And it is four times as long as 99 % of the spacings between bars, so that a rarely traded symbol has few."""

LIQUID = 0.9
"""A symbol that has bars in fewer sessions than this is rarely traded, if it lacks many short runs of sessions."""

FEW_RUNS = 5
"""So many runs of missing sessions are listed for a rarely traded symbol, too."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A range without bars; `sessions` is how many whole sessions it has."""

    within: TimeRange
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class Sessions:
    """Trading sessions by their calendar day in New York (or UTC for a market that is always open)."""

    days: Int64Array
    opens: Int64Array
    closes: Int64Array

    def between(self, first: EpochSeconds, last: EpochSeconds) -> Sessions:
        """Return the sessions that begin after a first bar's session and end before a last bar."""
        inside = (self.opens > first) & (self.closes <= last)
        return Sessions(self.days[inside], self.opens[inside], self.closes[inside])


def sessions_of(asset_type: str, first: EpochSeconds, last: EpochSeconds) -> Sessions | None:
    """Return the sessions of the market of a type of asset; None if they are unknown."""
    if asset_type == "stock":
        return _new_york(date_of(first).year, date_of(last).year)
    if asset_type in ("crypto", "crypto_future"):
        days = np.arange(first // SECONDS_PER_DAY, last // SECONDS_PER_DAY + 1)
        return Sessions(days, days * SECONDS_PER_DAY, (days + 1) * SECONDS_PER_DAY)
    return None


@cache
def _new_york(first_year: int, last_year: int) -> Sessions:
    import pandas as pd
    import pandas_market_calendars

    schedule = pandas_market_calendars.get_calendar("NYSE").schedule(f"{first_year}-01-01", f"{last_year}-12-31")
    opens, closes = (pd.DatetimeIndex(schedule[name]).as_unit("s").asi8 for name in ("market_open", "market_close"))
    return Sessions(opens // SECONDS_PER_DAY, opens, closes)


class GapFinder:
    """Collects the bars of a series, a stretch at a time, and finds its gaps at the end."""

    def __init__(self, asset_type: str, bar_length: int) -> None:
        self._type, self._length = asset_type, bar_length
        self._days: list[Int64Array] = []
        self._long: list[Int64Array] = []
        self._spacings = np.zeros(0, np.int64)
        self._ends: tuple[EpochSeconds, EpochSeconds] | None = None

    def add(self, times: Int64Array) -> None:
        """Add the sorted starts of further bars, which are later than those before."""
        first = int(times[0])
        if self._ends is not None:
            times = np.concatenate([[self._ends[1]], times])
        self._ends = (first if self._ends is None else self._ends[0], int(times[-1]))
        self._days.append(self._days_of(times))
        spacings = np.diff(times)
        counts = np.bincount(np.minimum(spacings, SECONDS_PER_DAY) // 60)
        size = max(len(counts), len(self._spacings))
        self._spacings = np.pad(self._spacings, (0, size - len(self._spacings))) + np.pad(
            counts, (0, size - len(counts))
        )
        at = np.flatnonzero(spacings >= max(LEAST_GAP, LEAST_BARS * self._length))
        self._long.append(np.stack([times[at], times[at + 1]], axis=1))

    def _days_of(self, times: Int64Array) -> Int64Array:
        if self._type != "stock" or (self._length >= SECONDS_PER_DAY and not (times % SECONDS_PER_DAY).any()):
            return np.unique(times // SECONDS_PER_DAY)
        return Days.of(times).numbers

    def found(self, covered: Sequence[TimeRange]) -> tuple[list[Gap], str]:
        """Return the gaps, sorted, or instead of them a sentence about a symbol that is rarely traded."""
        if self._ends is None or self._length > SECONDS_PER_DAY:
            return [], ""
        sessions = sessions_of(self._type, *self._ends)
        if sessions is None:
            return [], ""
        inside = sessions.between(*self._ends)
        expected = np.array(
            [_is_covered(*ends, covered) for ends in zip(inside.opens, inside.closes, strict=True)], bool
        )
        if not expected.any():
            return [], ""
        missing = expected & ~np.isin(inside.days, np.concatenate(self._days))
        found = [
            Gap(TimeRange(int(inside.opens[first]), int(inside.closes[last])), last - first + 1)
            for first, last in (runs(np.flatnonzero(missing)) if missing.any() else [])
        ]
        share = 1 - missing.sum() / expected.sum()
        if share < LIQUID and len(found) > max(FEW_RUNS, 0.02 * expected.sum()):
            return [], f"it has bars in only {100 * share:.0f} % of {int(expected.sum()):,} sessions"
        if self._length < SECONDS_PER_DAY:
            found += self._within_sessions(sessions, covered)
        return sorted(found, key=lambda gap: gap.within.start), ""

    def _within_sessions(self, sessions: Sessions, covered: Sequence[TimeRange]) -> Iterator[Gap]:
        """Yield gaps that are within one session, whose open and close count as bars."""
        limit = max(LEAST_GAP, LEAST_BARS * self._length, TIMES_RARE * self._rare())
        traded = np.isin(sessions.days, np.concatenate(self._days))
        opens, closes = sessions.opens[traded], sessions.closes[traded]
        assert self._ends is not None
        for before, after in np.concatenate(self._long):
            for at in range(int(np.searchsorted(closes, before, "right")), int(np.searchsorted(opens, after))):
                start, end = max(before + self._length, opens[at]), min(after, closes[at])
                if end - start >= limit and _is_covered(start, end, covered):
                    yield Gap(TimeRange(int(start), int(end)))

    def _rare(self) -> float:
        """Return the spacing in seconds that 99 % of all are not longer than."""
        shares = np.cumsum(self._spacings) / max(1, self._spacings.sum())
        return 60.0 * float(np.searchsorted(shares, RARE / 100))


def _is_covered(start: EpochSeconds, end: EpochSeconds, covered: Sequence[TimeRange]) -> bool:
    return any(piece.start <= start and end <= piece.end for piece in covered)
