"""Bars of a read on their way from the strategy's thread to the one that records them.

Making a frame and checking its bars take pandas most of a millisecond. So the strategy's thread only copies the arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.live.bar_starts import BarStarts
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.reads.series_keys import Destination, NotRecordedError
from lumibot_duckdb.lumibot_contract.live_reads_hooks import is_usable
from lumibot_duckdb.lumibot_contract.pandas_blocks import column_values
from lumibot_duckdb.storage.api import SeriesKey, TimeRange


@dataclass(frozen=True, slots=True)
class ReadBars:
    """Copies of some rows of a frame that a live source returned.

    Attributes:
        destination: Where they belong.
        starts: Of the bars (UTC).
        names: The columns.
        columns: An array for each of them.
        covered: As in `LiveBars`.
        asked_at: When the source was asked (tz-aware).
    """

    destination: Destination
    starts: BarStarts
    names: Sequence[Any]
    columns: Sequence[Any]
    covered: tuple[TimeRange, ...]
    asked_at: datetime

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def key(self) -> SeriesKey:
        """The series."""
        return self.destination.key

    def live_bars(self) -> LiveBars:
        """Return the bars in the form in which the backtests' source of the provider stores them.

        Raises:
            NotRecordedError: Lumibot would not keep them.
        """
        destination = self.destination
        times = pd.DatetimeIndex(self.starts.ticks.view(f"M8[{self.starts.unit}]"), tz="UTC")
        frame = pd.DataFrame(dict(enumerate(self.columns)), index=times)
        frame.columns = pd.Index(self.names)
        if not is_usable(frame, strict=destination.strict):
            raise NotRecordedError("they are not plausible")
        bars = _as_stored(frame, destination)
        return LiveBars(destination.key, bars, self.covered, self.asked_at, dict(destination.metadata))


def copied(
    frame: pd.DataFrame,
    starts: BarStarts,
    rows: slice | np.ndarray[Any, np.dtype[np.bool_]],
    destination: Destination,
    covered: tuple[TimeRange, ...],
    asked_at: datetime,
) -> ReadBars:
    """Copy rows of a frame, whose bars have these starts (UTC)."""
    columns = [column_values(frame, place)[rows].copy() for place in range(frame.shape[1])]
    kept = BarStarts(starts.ticks[rows].copy(), starts.unit)
    return ReadBars(destination, kept, list(frame.columns), columns, covered, asked_at)


def _as_stored(bars: pd.DataFrame, destination: Destination) -> pd.DataFrame:
    kept: pd.DataFrame
    if destination.columns is None:
        kept = bars.select_dtypes("number")
    else:
        kept = bars[[name for name in destination.columns if name in bars]].astype("float64")
    kept.index = pd.DatetimeIndex(bars.index, name="datetime").as_unit("ns")
    return kept
