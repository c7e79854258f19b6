"""A broker's bars, and how it returns them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.times import bar_starts

BEGIN = int(pd.Timestamp("2026-11-23 14:30", tz="UTC").timestamp())
"""The start of minute 0."""


def bars_at(minutes: Sequence[int], seed: int = 0) -> pd.DataFrame:
    """Return bars in Alpaca's form at some minutes after `BEGIN`; those of a minute are the same in every frame."""
    rng = np.random.default_rng(seed)
    prices = 100 + np.cumsum(rng.normal(0, 0.05, 4_000))[np.asarray(minutes, dtype=int)]
    index = pd.to_datetime(np.asarray(minutes, dtype="int64") * 60 + BEGIN, unit="s", utc=True).as_unit("ns")
    columns = {
        "open": prices,
        "high": prices + 0.1,
        "low": prices - 0.1,
        "close": prices + 0.03,
        "volume": np.round(prices) * 10,
        "trade_count": np.round(prices),
        "vwap": prices / 3,
    }
    return pd.DataFrame(columns, index=pd.DatetimeIndex(index, name="timestamp"))


def moment(minute: float) -> pd.Timestamp:
    return pd.Timestamp(BEGIN, unit="s", tz="UTC") + pd.Timedelta(minutes=minute)


def minutes(first: int, stop: int) -> TimeRange:
    return TimeRange(BEGIN + 60 * first, BEGIN + 60 * stop)


@dataclass
class Broker:
    """Returns bars from the start to the end of a range, both included, as Alpaca does."""

    bars: pd.DataFrame
    asked: list[tuple[pd.Timestamp, pd.Timestamp]] = field(default_factory=list)

    def __call__(self, start: pd.Timestamp, stop: pd.Timestamp) -> pd.DataFrame | None:
        self.asked.append((start, stop))
        return self.answer(start, stop)

    def answer(self, start: pd.Timestamp, stop: pd.Timestamp) -> pd.DataFrame | None:
        found = self.bars[(self.bars.index >= start) & (self.bars.index <= stop)]
        return found.copy() if len(found) else None

    def within(self, start: pd.Timestamp, stop: pd.Timestamp) -> pd.DataFrame:
        """Return the bars that start in a half-open range."""
        return self.bars[(self.bars.index >= start) & (self.bars.index < stop)]


def store(storage: DuckDBDataStorage, key: SeriesKey, bars: pd.DataFrame, *covered: TimeRange) -> None:
    """Store the bars that start in some ranges, as recorded."""
    starts = bar_starts(bars)
    for piece in covered:
        inside = bars[(starts >= piece.start) & (starts < piece.end)]
        storage.store_ohlcv_data(
            key.asset,
            inside,
            key.source,
            key.timeframe,
            adjustment=key.adjustment,
            covered=piece,
            provisional=(),
            metadata={"recorded_live": True},
        )
