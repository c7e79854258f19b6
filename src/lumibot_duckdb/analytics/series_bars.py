"""The bars of one series from which indicators are computed, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lumibot_duckdb.storage.api import BarArrays, BarReader, SeriesFacts, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars.outline import Outline
from lumibot_duckdb.storage.times import EpochSeconds

ALWAYS = TimeRange(-(2**62), 2**62)
"""A range that includes all bars."""


class SeriesBars(Protocol):
    """Bars of one series, which do not change. Times are epoch seconds."""

    @property
    def label(self) -> str:
        """A name for people."""

    @property
    def facts(self) -> SeriesFacts:
        """What is known of all bars."""

    def outline(self) -> Outline:
        """Return the outline of all bars."""

    def bars(self, within: TimeRange, columns: Sequence[str]) -> BarArrays:
        """Return some columns of the bars in a range."""

    def last_time_at_or_before(self, time: EpochSeconds, column: str) -> EpochSeconds | None:
        """Return the start of the last bar at or before `time` in which a column is not missing, if any."""


class PinnedBars:
    """The bars of a pinned series."""

    def __init__(self, storage: BarReader, pin: SeriesPin) -> None:
        self._storage = storage
        self._pin = pin

    @property
    def label(self) -> str:
        """A name for people."""
        return self._pin.key.label()

    @property
    def facts(self) -> SeriesFacts:
        """What is known of all bars."""
        return self._storage.facts(self._pin)

    def outline(self) -> Outline:
        """Return the outline of all bars."""
        return self._storage.outline(self._pin)

    def bars(self, within: TimeRange, columns: Sequence[str]) -> BarArrays:
        """Return some columns of the bars in a range."""
        return self._storage.read_bars(self._pin, None if within == ALWAYS else within, columns, remember=False)

    def last_time_at_or_before(self, time: EpochSeconds, column: str) -> EpochSeconds | None:
        """Return the start of the last bar at or before `time` in which a column is not missing, if any."""
        return self._storage.last_time_at_or_before(self._pin, time, column)


@dataclass(frozen=True, slots=True)
class BarsInTimeframe:
    """Bars that are stored in one timeframe, and the one that they are shown in."""

    bars: SeriesBars
    stored: str
    timeframe: str

    @property
    def as_stored(self) -> bool:
        """Whether the bars are shown as they are stored."""
        return self.stored == self.timeframe
