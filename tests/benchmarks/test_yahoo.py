"""The Yahoo benchmarks: the same bars on both sides, and a request to Yahoo is reported even if its error is hidden."""

from __future__ import annotations

from contextlib import suppress

import pytest


def ask_yahoo_and_hide_it() -> None:
    from curl_cffi.requests import Session

    from benchmarks.yahoo.sides import nothing_asked

    with nothing_asked(), suppress(ConnectionError):
        Session().get("https://query1.finance.yahoo.com/v7/finance/quote")


def test_a_request_whose_error_is_hidden_is_reported():
    with pytest.raises(AssertionError, match=r"query1\.finance\.yahoo\.com"):
        ask_yahoo_and_hide_it()


def test_the_bars_have_the_columns_of_our_provider():
    from benchmarks.yahoo.bars import yahoo_bars
    from lumibot_duckdb.sources.yahoo.client import COLUMNS

    bars = yahoo_bars("SIM001")
    assert list(bars.columns) == [name for name in COLUMNS.values() if name != "capital_gains"]
    assert str(bars["volume"].dtype) == "int64"
    assert bars.equals(yahoo_bars("SIM001"))
    assert bars["adj_close"].iloc[0] < bars["close"].iloc[0]
    assert bars["adj_close"].iloc[-1] == bars["close"].iloc[-1]
