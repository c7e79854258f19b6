"""What a caller wants to compare: assets, timeframe, range, and how different calendars are joined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

from lumibot_duckdb.analytics.cross_asset.joins import JOINS
from lumibot_duckdb.analytics.errors import AnalysisError
from lumibot_duckdb.analytics.series import ChosenSeries, chosen_series
from lumibot_duckdb.analytics.span import Span
from lumibot_duckdb.storage.api import AsOf, AssetLike, BarReader

LONGEST = 100_000
"""The longest window, in bars, as for indicators."""


@dataclass(frozen=True)
class Selection:
    """The arguments that all methods have."""

    timeframe: str
    start: datetime | date | str | None
    end: datetime | date | str | None
    join: str
    source: str | None
    adjustment: str | None
    as_of: AsOf | None

    def __post_init__(self) -> None:
        if self.join not in JOINS:
            raise AnalysisError(f"{self.join!r} is not a join: write one of {', '.join(JOINS)}")

    @property
    def span(self) -> Span:
        """The range of bar starts. Raises `AnalysisError` if it cannot have bars."""
        return Span.between(self.start, self.end)

    def series(self, storage: BarReader, assets: Sequence[AssetLike]) -> list[ChosenSeries]:
        """Return the series of some assets, each once."""
        return chosen_series(storage, assets, self.timeframe, self.source, self.adjustment, self.as_of)


def asset_list(symbols: AssetLike | Iterable[AssetLike], least: int = 1) -> list[AssetLike]:
    """Return the assets that a caller means. A tuple is a pair, as for all methods of the storage."""
    if isinstance(symbols, (str, tuple)) or not isinstance(symbols, Iterable):
        found = [symbols]
    else:
        found = list(cast("Iterable[Any]", symbols))
    if len(found) < least:
        raise AnalysisError(f"name at least {least} {'assets' if least > 1 else 'asset'}, not {found}")
    return found


def checked_length(name: str, value: int, least: int) -> int:
    """Return a number of bars; raise `AnalysisError` unless it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LONGEST:
        raise AnalysisError(f"{name} must be a whole number from {least} to {LONGEST}, not {value!r}")
    return value
