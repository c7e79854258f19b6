"""Computes indicators with TA-Lib."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.functions import function_of
from lumibot_duckdb.analytics.requests import Request


class TaLibEngine:
    """Computes indicators with TA-Lib, given its module."""

    continues: ClassVar[bool] = True

    def __init__(self, ta: Any) -> None:
        self._ta = ta

    def compute(self, request: Request, bars: Bars) -> tuple[FloatArray, ...]:
        """Return an array for each output. Values that do not exist are not finite."""
        indicator = request.indicator
        with np.errstate(all="ignore"):
            return function_of(indicator.group, indicator.name)(self._ta, bars, *request.values)

    def close(self) -> None:
        """Do nothing: TA-Lib keeps nothing."""
