"""Computes indicators with the SQL macros of the same names, where TA-Lib is missing."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.macros import MacroDatabase
from lumibot_duckdb.analytics.requests import Request
from lumibot_duckdb.analytics.warm_up import DAY, PREVIOUS_DAY

# The bars count as ones of this length, so that the macros do not resample them.
_AS_STORED = "second"


class MacroEngine:
    """Computes indicators with the SQL macros."""

    continues: ClassVar[bool] = False  # DuckDB sums windows in another order

    def __init__(self) -> None:
        self._database = MacroDatabase()

    def compute(self, request: Request, bars: Bars) -> tuple[FloatArray, ...]:
        """Return an array for each output. Values that do not exist are NaN."""
        columns = {name: pa.array(column) for name, column in bars.columns.items()}
        table = pa.table({"ts": pa.array(bars.times).cast(pa.timestamp("s")), **columns})
        found = self._database.rows(table, _AS_STORED, _query(request, bars.zone), list(request.values))
        return tuple(
            np.asarray(found[name].cast(pa.float64()).to_numpy(zero_copy_only=False))
            for name in request.indicator.outputs
        )

    def close(self) -> None:
        """Release the memory of the macros."""
        self._database.close()


def _query(request: Request, zone: str) -> str:
    indicator = request.indicator
    given = [f"{parameter.name} := ?" for parameter in indicator.parameters]
    if request.warm_up in (DAY, PREVIOUS_DAY):
        given.append(f"zone := '{zone}'")
    arguments = ", ".join(["{symbol}", f"timeframe := '{_AS_STORED}'", *given])
    outputs = ", ".join(f'"{name}"' for name in indicator.outputs)
    return f'SELECT {outputs} FROM {indicator.name}({arguments}) ORDER BY "timestamp"'
