"""Returns over some bars: of the past as features, of the future as targets."""

from __future__ import annotations

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.analytics.catalogue import Indicator
from lumibot_duckdb.analytics.parameters import bars
from lumibot_duckdb.analytics.warm_up import window


def change(closes: FloatArray, n: int, *, log: bool) -> FloatArray:
    """Return the return of each close since n closes before; NaN if there is none, or one of the two is not positive.

    A price of 0 or less, which some futures have had, has no meaningful return.
    """
    found = np.full(len(closes), np.nan)
    if len(closes) > n:
        earlier, later = closes[:-n], closes[n:]
        with np.errstate(all="ignore"):
            ratio = later / earlier
            found[n:] = np.where((earlier > 0) & (later > 0), np.log(ratio) if log else ratio - 1, np.nan)
    found[~np.isfinite(found)] = np.nan
    return found


def _entry(name: str, title: str, formula: str) -> Indicator:
    return Indicator(
        name=name,
        title=title,
        group="returns",
        parameters=(bars("n", 1),),
        inputs=("close",),
        outputs=(name,),
        formula=formula,
        source="pandas pct_change",
        warm_up=window,
    )


RETURNS = {
    entry.name: entry
    for entry in (
        _entry("return", "Return", "close / close[n] - 1"),
        _entry("log_return", "Logarithmic return", "ln(close / close[n])"),
    )
}
"""What panels have besides the catalogue of indicators."""
