"""What may answer a live read instead of the broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from lumibot_duckdb.storage.api import SeriesKey

if TYPE_CHECKING:
    import pandas as pd

FetchOne: TypeAlias = "Callable[[pd.Timestamp, pd.Timestamp], pd.DataFrame | None]"
"""Requests the bars of one series that start in a range, whose end is exclusive (UTC), from the broker."""


class ReadFilter(Protocol):
    """Answers reads of live bars, from the store or from the broker."""

    def fetch(
        self, series: Any, key: SeriesKey, start: pd.Timestamp, stop: pd.Timestamp, fetch: FetchOne
    ) -> pd.DataFrame | None:
        """Return the bars of a series that start in a range, as the broker returns them.

        Parameters:
            series: Lumibot's `BarSeries`.
            key: the stored series with the same bars.
            start, stop: the half-open range (tz-aware).
            fetch: asks the broker, for the range or parts of it.

        Raises:
            what `fetch` raises, and nothing else.
        """
