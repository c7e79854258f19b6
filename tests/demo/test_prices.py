"""The sample prices are real daily bars, adjusted for splits and dividends."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from lumibot_duckdb.demo.prices import SYMBOLS, SampleDataMissingError, daily_bars


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_bars_are_adjusted_and_indexed_by_day_in_new_york(symbol):
    from bokeh_sampledata import stocks

    bars = daily_bars(symbol)
    assert list(bars.columns) == ["open", "high", "low", "close", "volume"]
    assert bars["volume"].dtype == np.int64
    assert str(bars.index.tz) == "America/New_York"
    assert bars.index.name == "datetime"
    assert (bars.index == bars.index.normalize()).all()
    assert bars.index.is_monotonic_increasing
    assert bars.index.is_unique
    raw = getattr(stocks, symbol)
    np.testing.assert_allclose(bars["close"], raw["adj_close"], rtol=1e-12)
    np.testing.assert_allclose(bars["high"] / bars["close"], np.divide(raw["high"], raw["close"]), rtol=1e-12)


@pytest.mark.parametrize("day_of_split", ["2000-06-21", "2005-02-28"])
def test_no_split_looks_like_a_crash(day_of_split):
    assert abs(daily_bars("AAPL")["close"].pct_change()[day_of_split]) < 0.10


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh_sampledata", None)
    with pytest.raises(SampleDataMissingError, match=r"pip install 'lumibot-duckdb\[demo\]'"):
        daily_bars("AAPL")
