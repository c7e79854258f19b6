"""What is compared: returns, logarithms of returns, differences, or the prices themselves."""

from __future__ import annotations

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.analytics.errors import AnalysisError
from lumibot_duckdb.analytics.returns import price_return

METHODS = ("returns", "log_returns", "differences", "prices")


def check_method(method: str) -> None:
    """Raise `AnalysisError` for a method that there is not."""
    if method not in METHODS:
        raise AnalysisError(f"{method!r} is not a method: write one of {', '.join(METHODS)}")


def changes(rows: FloatArray, method: str) -> FloatArray:
    """Return the change from each row to the next; NaN if there is none or a close is missing, and in the first row.

    With the method "prices", return the rows.
    """
    if method == "prices":
        return rows
    if method != "differences":
        return price_return(rows, 1, log=method == "log_returns")
    changed = np.full(rows.shape, np.nan)
    changed[1:] = np.diff(rows, axis=0)
    changed[~np.isfinite(changed)] = np.nan
    return changed
