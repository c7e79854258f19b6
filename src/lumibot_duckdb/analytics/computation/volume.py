"""Indicators of volume."""

from __future__ import annotations

from typing import Any

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray


def obv(ta: Any, bars: Bars) -> tuple[FloatArray]:
    """Return the on-balance volume, from the first bar with a volume on."""
    known = np.logical_or.accumulate(bars.has_volume)
    return (np.where(known, ta.OBV(bars.close, bars.volume), np.nan),)
