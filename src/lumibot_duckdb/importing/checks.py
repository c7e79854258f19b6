"""Finds rows whose numbers cannot be a bar."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lumibot_duckdb.importing.arrays import CodeArray, FloatArray
from lumibot_duckdb.importing.columns import PRICES
from lumibot_duckdb.importing.refusal import Refusal, mark


def refuse_implausible(values: Mapping[str, FloatArray], refusals: CodeArray) -> None:
    """Write into `refusals` why a row cannot be a bar, unless it has a reason.

    A missing price (NaN) is accepted unless all four are missing; a price must be above zero.
    """
    prices = np.array([values[price] for price in PRICES])
    everything = np.array(list(values.values()))
    mark(refusals, np.all(np.isnan(prices), axis=0), Refusal.NO_PRICES)
    mark(refusals, np.any(np.isinf(everything), axis=0), Refusal.NOT_FINITE)
    mark(refusals, np.any(prices <= 0, axis=0), Refusal.NOT_POSITIVE)
    mark(refusals, values["high"] < values["low"], Refusal.HIGH_BELOW_LOW)
    if "volume" in values:
        mark(refusals, values["volume"] < 0, Refusal.NEGATIVE_VOLUME)
