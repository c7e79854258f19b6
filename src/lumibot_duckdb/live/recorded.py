"""Which series were recorded live.

Recorders note `RECORDED_LIVE` in the metadata of their writes, which tells their bars from those of backtests'
downloads.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from lumibot_duckdb.storage.api import DataStorageInterface, EpochSeconds, SeriesInfo, TimeRange
from lumibot_duckdb.storage.errors import SeriesNotFoundError

RECORDED_LIVE = "recorded_live"
"""Metadata key of a write with bars that were recorded live; its value is true."""


@dataclass(frozen=True)
class RecordedSeries:
    """A series, and when bars of it were last recorded live (UTC)."""

    info: SeriesInfo
    recorded_at: datetime


def recorded_series(
    storage: DataStorageInterface, within: TimeRange, sources: Collection[str] | None = None
) -> list[RecordedSeries]:
    """Return the series with live recorded bars that start in a range, in the order of `list_series`."""
    found = []
    for info in storage.list_series():
        if info.last is None or info.last < within.start or (sources is not None and info.key.source not in sources):
            continue
        recorded_at = _recorded_at(storage, info, within)
        if recorded_at is not None:
            found.append(RecordedSeries(info, recorded_at))
    return found


def _recorded_at(storage: DataStorageInterface, info: SeriesInfo, within: TimeRange) -> datetime | None:
    try:
        pin = storage.pin(info.key)
    except SeriesNotFoundError:
        return None  # deleted just now
    writes = storage.ingests(pin, [within], having=RECORDED_LIVE)
    return max((write.ingested_at for write in writes), default=None)


def since(seconds: EpochSeconds) -> TimeRange:
    """Return the range of all times from a moment on."""
    return TimeRange(seconds, 2**62)
