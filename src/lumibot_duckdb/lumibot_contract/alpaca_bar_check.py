"""Lumibot's check of downloaded Alpaca bars, which 4.6.25 moved to another module."""

from __future__ import annotations

import pandas as pd


def are_plausible(bars: pd.DataFrame) -> bool:
    """Return whether Lumibot accepts downloaded bars: finite, positive prices, and the high and low around them."""
    try:
        from lumibot.tools.shared_bar_cache import validate_rows
    except ImportError:
        from lumibot.tools.alpaca_history import _valid_rows

        # It wants to know the span of the bars, and refuses an empty frame.
        return bars.empty or bool(_valid_rows(bars, bars.index.min(), bars.index.max() + pd.Timedelta(1)))
    return bool(validate_rows(bars))
