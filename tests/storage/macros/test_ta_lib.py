"""Macros give the values of TA-Lib, to 1e-9, on generated bars and with many parameters."""

from __future__ import annotations

import duckdb
import pytest

from storage.macros.bars import SERIES
from storage.macros.comparison import assert_equal, call
from storage.macros.references import PARAMETERS, REFERENCES

pytestmark = pytest.mark.older_duckdb

OF_SERIES = {key[0]: (key[2], bars) for key, bars in SERIES.items()}

EACH = [
    pytest.param(name, number, id=f"{name}-{number}", marks=() if number < 2 else pytest.mark.long)
    for name in REFERENCES
    for number in range(len(PARAMETERS[name]))
]


@pytest.mark.parametrize(("name", "number"), EACH)
def test_talib_on_generated_bars(client: duckdb.DuckDBPyConnection, name: str, number: int) -> None:
    parameters = PARAMETERS[name][number]
    symbols = ("WALK",) if number else ("WALK", "HALTED", "DAILY", "TINY")
    for symbol in symbols:
        timeframe, bars = OF_SERIES[symbol]
        expected = REFERENCES[name](bars.tz_convert("UTC"), **parameters)
        assert_equal(call(client, name, symbol, timeframe, parameters), bars, expected)
