"""Live bars for the tests of recording: minutes of a day in January 2024, numbered from its opening."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from storage import held_store

OPENING = 1_704_205_800  # 2024-01-02 09:30 in New York
SOURCE = "my_feed"


def key_of(symbol: str = "X") -> SeriesKey:
    return SeriesKey(AssetKey(symbol), SOURCE, "minute")


def start_of(minute: int) -> int:
    return OPENING + 60 * minute


def within(first: int, end: int) -> TimeRange:
    """Return the range from one minute to another."""
    return TimeRange(start_of(first), start_of(end))


def moment(minute: float) -> datetime:
    return datetime.fromtimestamp(OPENING, timezone.utc) + timedelta(minutes=minute)


def frame_of(minutes: Sequence[int], seed: int = 0, **columns: Any) -> pd.DataFrame:
    """Return bars of some minutes, whose prices depend on the minute and the seed only."""
    numbers = np.asarray(minutes, np.int64)
    close = 100 + ((numbers * 7 + seed * 13) % 50) / 100
    index = pd.to_datetime(OPENING + 60 * numbers, unit="s", utc=True)
    return pd.DataFrame(
        {"open": close, "high": close + 0.25, "low": close - 0.25, "close": close, "volume": 100 + numbers, **columns},
        index=index,
    )


def live(
    first: int,
    end: int,
    symbol: str = "X",
    seed: int = 0,
    asked_at: datetime | None = None,
    minutes: Sequence[int] | None = None,
    **more: Any,
) -> LiveBars:
    """Return the bars from one minute to another (or of `minutes` in there), asked for when the last had closed."""
    bars = frame_of(range(first, end) if minutes is None else minutes, seed)
    return LiveBars(key_of(symbol), bars, (within(first, end),), asked_at or moment(end), **more)


def stored(storage: DuckDBDataStorage, symbol: str = "X") -> dict[int, float]:
    """Return the closing prices that are stored, by minute; nothing if there is no such series."""
    if not any(info.key == key_of(symbol) for info in storage.list_series()):
        return {}
    frame = storage.read_pandas(storage.pin(symbol, "minute", SOURCE))
    minutes = (frame.index.as_unit("s").asi8 - OPENING) // 60
    return dict(zip(minutes.tolist(), frame["close"].tolist(), strict=True))


def closes(minutes: Sequence[int], seed: int = 0) -> dict[int, float]:
    """Return the closing prices of `frame_of`, by minute."""
    return dict(zip(minutes, frame_of(minutes, seed)["close"].tolist(), strict=True))


def covered(storage: DuckDBDataStorage, symbol: str = "X") -> list[tuple[int, int]]:
    """Return the covered ranges, in minutes."""
    ranges = storage.coverage(symbol, "minute", SOURCE)
    return [((piece.start - OPENING) // 60, (piece.end - OPENING) // 60) for piece in ranges]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a store as another process does."""
    StoreConnection.of(path).close()
    with held_store.locked(path):
        yield
