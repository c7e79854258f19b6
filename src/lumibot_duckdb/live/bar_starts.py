"""The starts of the bars of a frame, looked up where they are, since converting all of them takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from lumibot_duckdb.storage.api import EpochSeconds
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND
from lumibot_duckdb.storage.times import Int64Array
from lumibot_duckdb.windows.sorted_search import first_from

if TYPE_CHECKING:
    import pandas as pd


class BarStarts:
    """Increasing times, counted in `unit` ("s", "ms", "us" or "ns") since 1970.

    Moments are compared with them in whole seconds, rounded down.
    """

    __slots__ = ("_per_second", "ticks", "unit")

    def __init__(self, ticks: Int64Array, unit: str) -> None:
        self.ticks = ticks
        self.unit = unit
        self._per_second = TICKS_PER_SECOND[unit]

    @classmethod
    def of(cls, index: pd.Index[Any]) -> BarStarts:
        """Return those of an index, whose memory they share. Raises ValueError unless it has tz-aware times."""
        zone = getattr(index, "tz", None)
        if zone is None:
            raise ValueError("the bars are not indexed by tz-aware times")
        times = cast("pd.DatetimeIndex", index)
        return cls(times.asi8, times.unit)

    def __len__(self) -> int:
        return len(self.ticks)

    def __getitem__(self, place: int) -> EpochSeconds:
        return int(self.ticks[place]) // self._per_second

    def seconds_from(self, place: int) -> Int64Array:
        """Return the starts from a place on."""
        seconds: Int64Array = self.ticks[place:] // self._per_second
        return seconds

    def place(self, moment: EpochSeconds) -> int:
        """Return how many bars start before a moment."""
        return first_from(self.ticks, moment * self._per_second)
