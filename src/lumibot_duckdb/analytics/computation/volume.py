"""Indicators of volume."""

from __future__ import annotations

from typing import Any

from lumibot_duckdb.analytics.bars import Bars, FloatArray


def obv(ta: Any, bars: Bars) -> tuple[FloatArray]:
    """Return the on-balance volume."""
    return (ta.OBV(bars.close, bars.volume),)
