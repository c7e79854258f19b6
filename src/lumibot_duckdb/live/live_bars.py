"""Bars on their way from a live source to the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.storage.api import SeriesKey, TimeRange

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class LiveBars:
    """Closed bars of one series.

    Attributes:
        key: The series in which they are stored.
        bars: A frame as `store_ohlcv_data` takes it. All bars had closed at `asked_at`.
        covered: Half-open ranges of bar starts of which the source returned all bars, possibly none; they do not
            overlap, and every bar starts within one of them.
        asked_at: When the source was asked, or sent the bars (tz-aware).
        metadata: What the source says about the bars, as JSON values.
        replace: The source corrected bars: those that are stored in `covered` are replaced, in a new version.
    """

    key: SeriesKey
    bars: pd.DataFrame
    covered: tuple[TimeRange, ...]
    asked_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)
    replace: bool = False
