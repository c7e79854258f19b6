"""Two assets against each other: spread, ratio, and a test for cointegration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.analytics.computation.rolling import window_deviation, window_sum
from lumibot_duckdb.analytics.cross_asset.closes import read_closes
from lumibot_duckdb.analytics.cross_asset.correlations import two_series
from lumibot_duckdb.analytics.cross_asset.moments import both, moments
from lumibot_duckdb.analytics.cross_asset.selection import Selection, checked_length
from lumibot_duckdb.analytics.errors import AnalysisError, MissingLibraryError
from lumibot_duckdb.storage.api import AssetLike, BarReader

if TYPE_CHECKING:
    import pandas as pd

_LEAST_BARS = 20


@dataclass(frozen=True)
class Cointegration:
    """The result of an Engle-Granger test of two assets' prices.

    Attributes:
        statistic: The Dickey-Fuller statistic of what the regression of the first on the second leaves.
        p_value: The probability of such a statistic if the prices are not cointegrated (MacKinnon).
        critical_values: The statistics at which that probability is 1 %, 5 % and 10 %.
        hedge_ratio, intercept: The coefficients of that regression.
        bars: How many bars were used.
    """

    statistic: float
    p_value: float
    critical_values: Mapping[str, float]
    hedge_ratio: float
    intercept: float
    bars: int


def spread_table(
    storage: BarReader,
    first: AssetLike,
    second: AssetLike,
    window: int,
    hedge_ratio: float,
    selection: Selection,
) -> pd.DataFrame:
    """Return spread and ratio of two closes, with their z-scores."""
    import pandas as pd

    checked_length("window", window, least=2)
    if isinstance(hedge_ratio, bool) or not isinstance(hedge_ratio, (int, float)) or not np.isfinite(hedge_ratio):
        raise AnalysisError(f"hedge_ratio must be a number, not {hedge_ratio!r}")
    closes = read_closes(storage, two_series(storage, first, second, selection), selection, before=window)
    a, b = closes.rows.T
    with np.errstate(all="ignore"):
        ratio = a / b
    columns = {"spread": a - hedge_ratio * b, "ratio": np.where(np.isfinite(ratio), ratio, np.nan)}
    columns |= {f"{name}_zscore": _zscore(values, window) for name, values in columns.items()}
    table = {name: values[closes.first :] for name, values in columns.items()}
    return cast("pd.DataFrame", pd.DataFrame(table, index=closes.index()))


def cointegration_of(
    storage: BarReader, first: AssetLike, second: AssetLike, selection: Selection, *, log: bool
) -> Cointegration:
    """Test whether some multiple of the second price keeps a steady distance from the first."""
    coint = _statsmodels_coint()
    closes = read_closes(storage, two_series(storage, first, second, selection), selection, before=0)
    rows = closes.rows[closes.first :]
    if log:
        with np.errstate(all="ignore"):
            rows = np.log(rows)
    a, b = rows[both(*rows.T)].T
    names = " and ".join(closes.symbols)
    if len(a) < _LEAST_BARS:
        raise AnalysisError(f"a test for cointegration needs {_LEAST_BARS} bars, and {names} have {len(a)} in common")
    regression = moments(b, a)
    if not np.isfinite(regression.correlation) or abs(regression.correlation) > 1 - 1e-12:
        raise AnalysisError(
            f"cannot test {names} for cointegration: a price is constant, or one is a multiple of the other"
        )
    statistic, p_value, critical = coint(a, b)
    levels = dict(zip(("1%", "5%", "10%"), map(float, critical), strict=True))
    hedge, intercept = regression.beta.item(), regression.alpha.item()
    return Cointegration(float(statistic), float(p_value), levels, hedge, intercept, len(a))


def _statsmodels_coint() -> Any:
    try:
        from statsmodels.tsa.stattools import coint
    except ImportError:
        raise MissingLibraryError("cointegration needs statsmodels: pip install 'lumibot-duckdb[analytics]'") from None
    return coint


def _zscore(values: FloatArray, n: int) -> FloatArray:
    """Return the z-score among the last n values that exist; NaN where these are the same."""
    scores = np.full(len(values), np.nan)
    used = np.flatnonzero(np.isfinite(values))
    known = values[used]
    deviation = window_deviation(known, n)
    with np.errstate(all="ignore"):
        found = (known - window_sum(known, n) / n) / deviation
    scores[used] = np.where(deviation > 0, found, np.nan)
    return scores
