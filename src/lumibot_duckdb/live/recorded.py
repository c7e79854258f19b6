"""Which series were recorded live.

Recorders note `RECORDED_LIVE` in the metadata of their writes, which tells their bars from those of backtests'
downloads.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from lumibot_duckdb.storage.api import DataStorageInterface, SeriesInfo, SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import SeriesNotFoundError

RECORDED_LIVE = "recorded_live"
"""Metadata key of a write with bars that were recorded live; its value is true."""


@dataclass(frozen=True)
class RecordedSeries:
    """A series, and when bars of it were last recorded live (UTC)."""

    info: SeriesInfo
    recorded_at: datetime


def recorded_series(
    storage: DataStorageInterface, since: datetime, sources: Collection[str] | None = None
) -> list[RecordedSeries]:
    """Return the series that were recorded live since a moment, in the order of `list_series`.

    Parameters:
        storage: the store.
        since: the moment (tz-aware).
        sources: only series of these sources.
    """
    recorded_at = storage.last_writes(RECORDED_LIVE, since)
    return [
        RecordedSeries(info, recorded_at[info.key])
        for info in storage.list_series()
        if info.key in recorded_at and (sources is None or info.key.source in sources)
    ]


def has_recorded(storage: DataStorageInterface, key: SeriesKey, within: TimeRange) -> bool:
    """Return whether a series has bars in a range that were recorded live."""
    try:
        return bool(storage.ingests(storage.pin(key), [within], having=RECORDED_LIVE))
    except SeriesNotFoundError:
        return False  # deleted just now
