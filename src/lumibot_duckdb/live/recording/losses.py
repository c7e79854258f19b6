"""Bars that were lost, or spooled: their number, series and times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lumibot_duckdb.display import count
from lumibot_duckdb.storage.api import EpochSeconds, SeriesKey, TimeRange
from lumibot_duckdb.storage.times import moment_of

_MOST_NAMED = 5


@dataclass(slots=True)
class _OfSeries:
    bars: int = 0
    within: TimeRange | None = None

    def add(self, bars: int, within: TimeRange | None) -> None:
        self.bars += bars
        self.within = span(piece for piece in (self.within, within) if piece is not None)


class Losses:
    """Bars of some series. Not safe for threads."""

    def __init__(self) -> None:
        self.bars = 0
        self._series: dict[SeriesKey, _OfSeries] = {}

    def add(self, key: SeriesKey, bars: int, within: TimeRange | None) -> None:
        """Add bars of a series."""
        self.bars += bars
        self._series.setdefault(key, _OfSeries()).add(bars, within)

    def update(self, other: Losses) -> None:
        """Add those of another."""
        self.bars += other.bars
        for key, found in other._series.items():
            self._series.setdefault(key, _OfSeries()).add(found.bars, found.within)

    def __bool__(self) -> bool:
        return bool(self._series)

    def text(self) -> str:
        """Return what there is in words: "3 bars of 1 series (AAPL stock, … from 2024-01-02 14:30 to 14:33 UTC)"."""
        named = [self._of_series(key) for key in list(self._series)[:_MOST_NAMED]]
        more = len(self._series) - len(named)
        if more:
            named.append(f"{count(more, 'further series', 'further series')}")
        series = count(len(self._series), "series", "series")
        return f"{count(self.bars, 'bar')} of {series} ({'; '.join(named)})"

    def _of_series(self, key: SeriesKey) -> str:
        within = self._series[key].within
        if within is None:
            return key.label()
        return f"{key.label()}, {_minute(within.start)} to {_minute(within.end)} UTC"


def _minute(seconds: EpochSeconds) -> str:
    return f"{moment_of(seconds):%Y-%m-%d %H:%M}"


def span(ranges: Iterable[TimeRange]) -> TimeRange | None:
    """Return the smallest range that contains all of these; None if there are none."""
    ranges = list(ranges)
    if not ranges:
        return None
    return TimeRange(min(piece.start for piece in ranges), max(piece.end for piece in ranges))
