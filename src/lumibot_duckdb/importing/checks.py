"""What cannot be a bar: numbers that no market makes. Finds such rows of a piece of a file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lumibot_duckdb.importing.arrays import CodeArray, FloatArray
from lumibot_duckdb.importing.columns import PRICES
from lumibot_duckdb.importing.refusal import Refusal, mark


def refuse_implausible(values: Mapping[str, FloatArray], refusals: CodeArray) -> None:
    """Write into `refusals`, where there is none yet, why a row cannot be a bar.

    A price that is missing (NaN) refuses nothing unless all four are; one that is there must be above zero.
    """
    prices = np.array([values[price] for price in PRICES])
    everything = np.array(list(values.values()))
    mark(refusals, np.all(np.isnan(prices), axis=0), Refusal.NO_PRICES)
    mark(refusals, np.any(np.isinf(everything), axis=0), Refusal.NOT_FINITE)
    mark(refusals, np.any(prices <= 0, axis=0), Refusal.NOT_POSITIVE)
    mark(refusals, values["high"] < values["low"], Refusal.HIGH_BELOW_LOW)
    if "volume" in values:
        mark(refusals, values["volume"] < 0, Refusal.NEGATIVE_VOLUME)
