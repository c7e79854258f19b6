"""Returns: the change of a price relative to an earlier one. The macro `price_return` has the same rule."""

from __future__ import annotations

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray


def price_return(closes: FloatArray, n: int, *, log: bool = False) -> FloatArray:
    """Return the return of each row since n rows before; NaN if there is none.

    There is none since a price of 0 or less, which some futures have had: a rise from -37 to 10 would be a loss. A
    logarithmic return needs two positive prices.
    """
    found = np.full(closes.shape, np.nan)
    if len(closes) > n:
        earlier, later = closes[:-n], closes[n:]
        with np.errstate(all="ignore"):
            ratio = later / earlier
            found[n:] = np.where(earlier > 0, np.log(ratio) if log else ratio - 1, np.nan)
    found[~np.isfinite(found)] = np.nan
    return found
