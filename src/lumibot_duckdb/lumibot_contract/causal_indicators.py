"""The indicators of pandas-ta-classic that can be computed once for a whole series.

Their value in a row has the same bits however many rows follow. Tests compare each of them with what it is without
these rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CAUSAL = frozenset((
    "rsi", "ema", "rma", "dema", "tema", "macd", "ppo", "apo", "trix", "tsi", "uo", "cmo", "cci", "willr", "roc", "mom",
    "stoch", "stochrsi", "mfi", "cmf", "obv", "ad", "adosc", "aroon", "adx", "dm", "atr", "natr", "true_range",
    "bbands", "kc", "donchian", "stdev", "variance", "zscore", "kama", "linreg", "midpoint", "midprice", "hlc3",
    "hl2",
))  # fmt: skip
"""Their names."""

NUMBERS = frozenset((
    "length", "fast", "slow", "signal", "std", "k", "d", "smooth_k", "rsi_length", "c", "scalar", "drift",
    "lower_length", "upper_length", "lensig", "medium",
))  # fmt: skip
"""Parameters that are numbers, and make no value depend on later rows."""


def is_causal(name: str, parameters: Mapping[str, Any]) -> bool:
    """Return whether an indicator with these parameters can be computed once for a whole series."""
    return name in CAUSAL and all(
        key in NUMBERS and type(value) in (int, float) and value > 0 for key, value in parameters.items()
    )
