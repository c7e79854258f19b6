"""What is compared: returns, logarithms of returns, differences, or the prices themselves."""

from __future__ import annotations

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.analytics.errors import AnalysisError

METHODS = ("returns", "log_returns", "differences", "prices")


def check_method(method: str) -> None:
    """Raise `AnalysisError` for a method that there is not."""
    if method not in METHODS:
        raise AnalysisError(f"{method!r} is not a method: write one of {', '.join(METHODS)}")


def changes(rows: FloatArray, method: str) -> FloatArray:
    """Return the change from each row to the next; NaN if it is not finite or a close is missing, and in the first row.

    With the method "prices", return the rows.
    """
    if method == "prices":
        return rows
    changed = np.full(rows.shape, np.nan)
    before, after = rows[:-1], rows[1:]
    with np.errstate(all="ignore"):
        if method == "differences":
            changed[1:] = after - before
        elif method == "log_returns":
            changed[1:] = np.log(after / before)
        else:
            changed[1:] = after / before - 1
    changed[~np.isfinite(changed)] = np.nan
    return changed
