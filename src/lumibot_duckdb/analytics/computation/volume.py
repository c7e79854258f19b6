"""Indicators of the price and the volume."""

from __future__ import annotations

from typing import Any

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.rolling import window_sum

_PRICE_ROUNDING = 1e-14
"""A change of the price by less, relative to it, is rounding."""


def vwap_session(ta: Any, bars: Bars) -> tuple[FloatArray]:
    """Return the average price of the local day so far, weighted by volume."""
    return (_since_day_start(bars, bars.typical * bars.volume) / _since_day_start(bars, bars.volume),)


def vwap(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the average price of the last n bars, weighted by volume."""
    return (window_sum(bars.typical * bars.volume, n) / window_sum(bars.volume, n),)


def obv(ta: Any, bars: Bars) -> tuple[FloatArray]:
    """Return the on-balance volume, from the first bar with a volume on."""
    known = np.logical_or.accumulate(bars.has_volume)
    return (np.where(known, ta.OBV(bars.close, bars.volume), np.nan),)


def mfi(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the money flow index."""
    flow = bars.typical * bars.volume
    change = np.diff(bars.typical, prepend=np.nan)
    change[np.abs(change) <= _PRICE_ROUNDING * np.abs(bars.typical)] = 0.0  # as in TA-Lib
    rising = window_sum(np.where(change > 0, flow, 0.0), n)
    total = rising + window_sum(np.where(change < 0, flow, 0.0), n)
    values = np.where(total > 0, 100 * rising / total, 0.0)
    values[:n] = np.nan  # the first bar has no change
    values[window_sum(bars.has_volume.astype(float), n) == 0] = np.nan
    return (values,)


def _since_day_start(bars: Bars, values: FloatArray) -> FloatArray:
    """Return the sum of values since the local day began."""
    sums = np.empty(len(bars))
    starts = bars.day_starts
    for start, stop in zip(starts.tolist(), np.append(starts, len(bars))[1:].tolist(), strict=True):
        np.cumsum(values[start:stop], out=sums[start:stop])
    return sums
