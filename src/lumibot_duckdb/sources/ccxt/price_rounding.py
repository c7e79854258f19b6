"""Prices and volumes as Lumibot's CCXT cache gives them back.

The columns of its files are of type DECIMAL, which to DuckDB is one of three decimals. Every price that Lumibot's CCXT
backtest sees has gone through that; how the last of them is rounded is up to DuckDB, so DuckDB does it here, too.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from lumibot_duckdb.windows.bar_table import Values
from lumibot_duckdb.windows.framed_series import price_change

logger = logging.getLogger(__name__)

PRICES = ("open", "high", "low", "close")
STORED = (*PRICES, "volume")
COLUMNS = (*STORED, "missing", "price_change", "dividend_yield", "return")
"""What the frames have that strategies are given."""

_TOLD_FROM = 0.001  # of a price
_using = threading.Lock()


class CandleNumbers:
    """Makes the columns of frames from stored ones: rounded as Lumibot's cache does, or (`exact`) as they came.

    `label` names the market in the warning that rounding changes prices by more than a thousandth, given once.
    """

    def __init__(self, label: str, *, exact: bool) -> None:
        self._label = label
        self._exact = exact
        self._told = False

    def bars(self, stored: Mapping[str, Values]) -> dict[str, Values]:
        """Return open, high, low, close, volume and missing of stored candles; no volume is a volume of 0."""
        columns = {name: stored[name] for name in STORED}
        columns["volume"] = np.where(np.isnan(columns["volume"]), 0.0, columns["volume"])
        given = columns
        if not self._exact:
            columns = rounded(columns)
            self._tell_of_changed_prices(given, columns)
        return {**columns, "missing": np.zeros(len(columns["close"]), np.int64)}

    def bars_with_returns(self, stored: Mapping[str, Values]) -> dict[str, Values]:
        """Return the columns of `COLUMNS`; the first return is missing."""
        columns = self.bars(stored)
        change = price_change(columns["close"])
        no_yield = np.zeros(len(change), np.int64)
        return {**columns, "price_change": change, "dividend_yield": no_yield, "return": no_yield + change}

    def _tell_of_changed_prices(self, given: Mapping[str, Values], columns: Mapping[str, Values]) -> None:
        if self._told:
            return
        for name in PRICES:
            changed = np.abs(columns[name] - given[name]) > _TOLD_FROM * np.abs(given[name])
            if changed.any():
                self._told = True
                row = int(changed.argmax())
                logger.warning(
                    "%s: prices are rounded to three decimals, as Lumibot's CCXT cache does, which makes %.6g of %.6g. "
                    "CcxtBacktesting.using(..., exact_prices=True) gives what the exchange gave.",
                    self._label,
                    columns[name][row],
                    given[name][row],
                )
                return


def rounded(columns: Mapping[str, Values]) -> dict[str, Values]:
    """Return numbers as they come back from a DECIMAL column. One too large for it, on which Lumibot fails, stays."""
    casts = ", ".join(f'try_cast("{name}" AS DECIMAL) AS "{name}"' for name in columns)
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    with _using:
        found: dict[str, Any] = _duck().from_arrow(table).project(casts).fetchnumpy()
    return {
        name: np.where(values.mask, columns[name], values.data) if isinstance(values, np.ma.MaskedArray) else values
        for name, values in found.items()
    }


@cache
def _duck() -> duckdb.DuckDBPyConnection:
    """Return a connection to an instance in memory, which knows of no file."""
    return duckdb.connect(config={"threads": 1})


atexit.register(_duck.cache_clear)  # else DuckDB complains of it when Python ends


@cache
def time_unit() -> Any:
    """Return the resolution of times that come from DuckDB as a frame, which those of Lumibot's cache have."""
    return np.datetime_data(_duck().sql("SELECT TIMESTAMP '2000-01-01' AS t").df()["t"].dtype)[0]
