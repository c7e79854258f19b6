"""Lumibot's check of downloaded Alpaca bars, which 4.6.25 moved to another module."""

from __future__ import annotations

import pandas as pd

try:
    from lumibot.tools.shared_bar_cache import validate_rows as _validate_rows
except ImportError:
    from lumibot.tools.alpaca_history import _valid_rows

    def _validate_rows(rows: pd.DataFrame) -> bool:
        # The older check wants to know the span of the bars, and refuses an empty frame.
        return rows.empty or bool(_valid_rows(rows, rows.index.min(), rows.index.max() + pd.Timedelta(1)))


def are_plausible(bars: pd.DataFrame) -> bool:
    """Return whether Lumibot accepts downloaded bars: finite, positive prices, and the high and low around them."""
    return bool(_validate_rows(bars))
