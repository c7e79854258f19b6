"""Requests for indicators, and the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analytics.market import REQUESTS, SHORT, bars_of, frame
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.catalogue import CATALOGUE, PYTHON_ONLY
from lumibot_duckdb.analytics.computation.engine import engine_for, outputs
from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.analytics.requests import parsed_request, parsed_requests
from lumibot_duckdb.analytics.warm_up import Reach
from lumibot_duckdb.panels.features import parsed_features


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("rsi", ["rsi_14"]),
        ("rsi(14)", ["rsi_14"]),
        (" RSI ( n = 7 ) ", ["rsi_7"]),
        ("rsi(n := 7.0)", ["rsi_7"]),
        (
            "bollinger(20, 2)",
            [f"bollinger_20_2_{name}" for name in ("lower", "middle", "upper", "percent_b", "bandwidth")],
        ),
        ("keltner(k=1.5)", ["keltner_20_1.5_lower", "keltner_20_1.5_middle", "keltner_20_1.5_upper"]),
        ("macd", ["macd_12_26_9_macd", "macd_12_26_9_signal", "macd_12_26_9_histogram"]),
        ("obv()", ["obv"]),
        ("vwap_session", ["vwap_session"]),
        ("volatility", ["volatility_20"]),
        ("volatility(20, annual=NULL)", ["volatility_20"]),
        ("volatility(20, 252)", ["volatility_20_252"]),
        ("psar", ["psar_0.02_0.2"]),
    ],
)
def test_requests_name_columns(text: str, columns: list[str]) -> None:
    assert list(parsed_request(text).columns) == columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rsii(14)", "there is no indicator 'rsii'; did you mean rsi?"),
        ("xyzzy", "there is no indicator 'xyzzy'; `lumibot-duckdb indicators --list` shows all"),
        ("rsi(14", "'rsi(14' is not an indicator"),
        ("", "'' is not an indicator"),
        ("sma(50), rsi(14)", "'sma(50), rsi(14)' is not an indicator"),
        (14, "14 is not an indicator"),
        ("rsi(14, 3)", "rsi(14, 3): too many values; it is rsi(n=14)"),
        ("rsi(m=3)", "rsi(m=3): rsi has no parameter 'm'; it is rsi(n=14)"),
        ("rsi(n=3, n=4)", "n is given twice"),
        ("macd(12, fast=3)", "fast is given twice"),
        ("macd(slow=30, 9)", "a value without a name comes after one with a name"),
        ("rsi(1)", "rsi(1): n must be a whole number from 2 to 100000, not 1"),
        ("rsi(2.5)", "n must be a whole number from 2 to 100000, not 2.5"),
        ("rsi(1e9)", "not 1000000000"),
        ("rsi(nan)", "not nan"),
        ("rsi(x)", "not 'x'"),
        ("rsi()()", "is not an indicator"),
        ("rsi(,)", "not ''"),
        ("rsi(null)", "not 'null'"),
        ("bollinger(20, 0)", "k must be a number from 0.0001 to 1000, not 0"),
        ("bollinger(20, inf)", "not inf"),
        ("macd(26, 12)", "fast must be smaller than slow, not 26 and 12"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(IndicatorError) as error:
        parsed_request(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_each_request_counts_once() -> None:
    assert [each.columns for each in parsed_requests(["rsi", "sma(5)", "rsi(14)"])] == [("rsi_14",), ("sma_5",)]
    assert len(parsed_requests("rsi")) == 1
    with pytest.raises(IndicatorError, match="no indicator is requested"):
        parsed_requests([])


def test_the_catalogue_has_every_indicator() -> None:
    assert " ".join(sorted(CATALOGUE)) == (
        "adx aroon atr bollinger cci dema donchian drawdown ema fast_stochastic garman_klass hma ichimoku kama keltner "
        "macd mfi momentum natr obv parkinson pivot_points psar roc rsi sma stoch_rsi stochastic supertrend tema trix "
        "volatility vwap vwap_session williams_r wma zscore"
    )
    assert {name for name, each in CATALOGUE.items() if each.layers == PYTHON_ONLY} == {"kama", "psar", "supertrend"}
    for each in CATALOGUE.values():
        assert each.title
        assert each.formula
        assert each.source
        assert str(REQUESTS[each.name].warm_up)


@pytest.mark.parametrize("name", SHORT)
def test_the_warm_up_is_how_many_bars_come_before_the_first_value(name: str) -> None:
    pytest.importorskip("talib")
    request = SHORT[name]
    bars = bars_of(frame(40, freq="h"))
    values = outputs(engine_for((request,)), request, bars)
    first = max(int(np.flatnonzero(np.isfinite(each))[0]) for each in values)
    if request.warm_up.reach is Reach.BARS:
        assert first == request.warm_up.bars
    elif request.warm_up.reach is Reach.RECURSIVE:
        assert first < request.warm_up.bars


@pytest.mark.parametrize("texts", [{"sma": 3}, 3])
def test_a_mapping_has_values_that_would_be_lost(texts: Any, tmp_path: Path) -> None:
    with pytest.raises(IndicatorError, match=r'is no list of names with their parameters: write \["sma\(3\)"'):
        parsed_requests(texts)
    with pytest.raises(IndicatorError, match="is no list of names"):
        parsed_features(texts)
    with DuckDBDataStorage(tmp_path) as storage, pytest.raises(IndicatorError, match="is no list of names"):
        storage.chart("AAPL", indicators=texts)
