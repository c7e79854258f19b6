"""Prices and volumes as Lumibot's CCXT cache returns them.

The columns of its files have the type DECIMAL, which has three decimals in DuckDB, so Lumibot's CCXT backtests see
rounded prices. DuckDB rounds them here as well, because it decides how the last decimal is rounded.
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
"""The columns of the frames that strategies receive."""

_WARNED_FROM = 0.001  # of a price
_using = threading.Lock()


class CandleNumbers:
    """Makes the columns of frames from stored columns: rounded as in Lumibot's cache, or unchanged (`exact`).

    If rounding changes a price by more than a thousandth, one warning is logged, which calls the market `label`.
    """

    def __init__(self, label: str, *, exact: bool) -> None:
        self._label = label
        self._exact = exact
        self._warned = False

    def bars(self, stored: Mapping[str, Values]) -> dict[str, Values]:
        """Return open, high, low, close, volume and missing of stored candles. A missing volume becomes 0."""
        columns = {name: stored[name] for name in STORED}
        columns["volume"] = np.where(np.isnan(columns["volume"]), 0.0, columns["volume"])
        original = columns
        if not self._exact:
            columns = rounded(columns)
            self._warn_of_changed_prices(original, columns)
        return {**columns, "missing": np.zeros(len(columns["close"]), np.int64)}

    def bars_with_returns(self, stored: Mapping[str, Values]) -> dict[str, Values]:
        """Return the columns of `COLUMNS`; the first return is NaN."""
        columns = self.bars(stored)
        change = price_change(columns["close"])
        no_yield = np.zeros(len(change), np.int64)
        return {**columns, "price_change": change, "dividend_yield": no_yield, "return": no_yield + change}

    def _warn_of_changed_prices(self, original: Mapping[str, Values], columns: Mapping[str, Values]) -> None:
        if self._warned:
            return
        for name in PRICES:
            changed = np.abs(columns[name] - original[name]) > _WARNED_FROM * np.abs(original[name])
            if changed.any():
                self._warned = True
                row = int(changed.argmax())
                logger.warning(
                    "%s: prices are rounded to three decimals, as in Lumibot's CCXT cache, which changes %.6g to %.6g. "
                    "CcxtBacktesting.using(..., exact_prices=True) keeps the exchange's prices.",
                    self._label,
                    original[name][row],
                    columns[name][row],
                )
                return


def rounded(columns: Mapping[str, Values]) -> dict[str, Values]:
    """Return numbers as a DECIMAL column returns them. Numbers too large for it, on which Lumibot fails, are kept."""
    # The columns of a dtype in one: DuckDB takes longer to plan a query for each of them than to round the numbers.
    alike: dict[Any, list[str]] = {}
    for name, values in columns.items():
        alike.setdefault(values.dtype, []).append(name)
    found: dict[str, Values] = {}
    for names in alike.values():
        together = _rounded(np.concatenate([columns[name] for name in names]))
        found |= zip(names, np.split(together, np.cumsum([len(columns[name]) for name in names])[:-1]), strict=True)
    return {name: found[name] for name in columns}


def _rounded(numbers: Values) -> Values:
    with _using:
        column = _duck().from_arrow(pa.table({"number": pa.array(numbers)})).project("try_cast(number AS DECIMAL) AS n")
        values: Any = column.fetchnumpy()["n"]
    return np.where(values.mask, numbers, values.data) if isinstance(values, np.ma.MaskedArray) else values


@cache
def _duck() -> duckdb.DuckDBPyConnection:
    """Return a connection to an in-memory database."""
    return duckdb.connect(config={"threads": 1})


atexit.register(_duck.cache_clear)  # otherwise DuckDB prints a warning when Python exits


@cache
def time_unit() -> Any:
    """Return the resolution of times in DuckDB's frames, and therefore in the frames of Lumibot's cache."""
    return np.datetime_data(_duck().sql("SELECT TIMESTAMP '2000-01-01' AS t").df()["t"].dtype)[0]
