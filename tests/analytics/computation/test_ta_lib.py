"""Every indicator on generated bars, with halts and jumps, against TA-Lib or its formula in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from analytics.market import REQUESTS, assert_close, bars_of, frame
from lumibot_duckdb.analytics.bars import Bars
from lumibot_duckdb.analytics.computation.engine import outputs
from lumibot_duckdb.analytics.computation.ta_lib_engine import TaLibEngine

talib: Any = pytest.importorskip("talib")

SERIES = [("generated", "minute", frame(2000)), ("generated days", "day", frame(1500, seed=1, freq="D"))]


def computed(name: str, bars: Bars) -> tuple[Any, ...]:
    return outputs(TaLibEngine(talib), REQUESTS[name], bars)


DIRECT: dict[str, Callable[[Bars], Any]] = {
    "sma": lambda b: talib.SMA(b.close, 20),
    "ema": lambda b: talib.EMA(b.close, 20),
    "wma": lambda b: talib.WMA(b.close, 20),
    "dema": lambda b: talib.DEMA(b.close, 20),
    "tema": lambda b: talib.TEMA(b.close, 20),
    "hma": lambda b: talib.HMA(b.close, 20),
    "kama": lambda b: talib.KAMA(b.close, 10),
    "donchian": lambda b: talib.DONCHIAN(b.high, b.low, 20)[::-1],
    "rsi": lambda b: talib.RSI(b.close, 14),
    "stochastic": lambda b: talib.STOCH(b.high, b.low, b.close, 14, 3, 0, 3, 0),
    "fast_stochastic": lambda b: talib.STOCHF(b.high, b.low, b.close, 14, 3, 0),
    "macd": lambda b: talib.MACD(b.close, 12, 26, 9),
    "adx": lambda b: [f(b.high, b.low, b.close, 14) for f in (talib.ADX, talib.PLUS_DI, talib.MINUS_DI)],
    "atr": lambda b: talib.ATR(b.high, b.low, b.close, 14),
    "natr": lambda b: talib.NATR(b.high, b.low, b.close, 14),
    "cci": lambda b: talib.CCI(b.high, b.low, b.close, 20),
    "williams_r": lambda b: talib.WILLR(b.high, b.low, b.close, 14),
    "mfi": lambda b: talib.MFI(b.high, b.low, b.close, b.volume, 14),
    "obv": lambda b: talib.OBV(b.close, b.volume),
    "roc": lambda b: talib.ROC(b.close, 10),
    "momentum": lambda b: talib.MOM(b.close, 10),
    "trix": lambda b: talib.TRIX(b.close, 15),
    "aroon": lambda b: [*talib.AROON(b.high, b.low, 25), talib.AROONOSC(b.high, b.low, 25)],
    "psar": lambda b: talib.SAR(b.high, b.low, 0.02, 0.2),
    "supertrend": lambda b: [
        (line := talib.SUPERTREND(b.high, b.low, b.close, 10, 3.0))[0],
        np.where(np.isnan(line[0]), np.nan, line[1]),
    ],
    "zscore": lambda b: (b.close - exact_mean(b.close, 20)) / exact_deviation(b.close, 20),
    "volatility": lambda b: np.append(np.nan, exact_deviation(np.diff(np.log(b.close)), 20) * np.sqrt(20 / 19)),
    "parkinson": lambda b: np.sqrt(exact_mean(np.log(b.high / b.low) ** 2, 20) / (4 * np.log(2))),
    "garman_klass": lambda b: np.sqrt(
        exact_mean(np.log(b.high / b.low) ** 2 / 2 - (2 * np.log(2) - 1) * np.log(b.close / b.open) ** 2, 20)
    ),
    "drawdown": lambda b: b.close / np.maximum.accumulate(b.close) - 1,
}


def exact_mean(values: Any, n: int) -> Any:
    """Return the mean of each window, computed alone: TA-Lib's running sums collect rounding errors."""
    return np.append(np.full(n - 1, np.nan), sliding_window_view(values, n).mean(axis=1))


def exact_deviation(values: Any, n: int) -> Any:
    deviations = sliding_window_view(values, n).std(axis=1)
    return np.append(np.full(n - 1, np.nan), np.where(deviations < 1e-13 * np.abs(values[n - 1 :]), 0, deviations))


def scale(name: str, bars: Bars) -> float:
    """Return the size of what an indicator is the difference of; a hundred percent for one in percent."""
    if name in ("macd", "momentum"):
        return float(bars.close.max())
    if name == "zscore":
        return 1.0
    return 100.0 if name in ("stochastic", "fast_stochastic", "cci", "mfi", "adx", "rsi", "trix") else 0.0


@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("series", SERIES, ids=lambda series: series[0])
def test_values_are_those_of_ta_lib(name: str, series: tuple[str, str, pd.DataFrame]) -> None:
    bars = bars_of(series[2])
    with np.errstate(all="ignore"):
        found = DIRECT[name](bars)
    expected = [
        np.where(np.isfinite(each), each, np.nan) for each in (found if isinstance(found, (list, tuple)) else [found])
    ]
    actual = computed(name, bars)
    assert len(actual) == len(expected) == len(REQUESTS[name].columns)
    for one, other, column in zip(actual, expected, REQUESTS[name].columns, strict=True):
        assert_close(one, other, scale(name, bars), column)


def test_sessions_and_pivots_by_hand() -> None:
    table = frame(600, freq="15min")
    bars = bars_of(table)
    day = table.index.normalize()
    typical = (table["high"] + table["low"] + table["close"]) / 3
    sums = (typical * table["volume"]).groupby(day).cumsum() / table["volume"].groupby(day).cumsum()
    assert_close(computed("vwap_session", bars)[0], sums)
    rolled = (typical * table["volume"]).rolling(20).sum() / table["volume"].rolling(20).sum()
    assert_close(computed("vwap", bars)[0], rolled)
    daily = table.groupby(day).agg({"high": "max", "low": "min", "close": "last"}).shift(1)
    high, low, close = (daily[name].reindex(day).to_numpy() for name in ("high", "low", "close"))
    pivot = (high + low + close) / 3
    levels = [pivot, 2 * pivot - low, 2 * pivot - high, pivot + high - low, pivot - high + low]
    levels += [high + 2 * (pivot - low), low - 2 * (high - pivot)]
    for actual, expected in zip(computed("pivot_points", bars), levels, strict=True):
        assert_close(actual, expected)
    changed = bars_of(table)
    changed.times[:] += 5 * 3600
    other = Bars(changed.times - 5 * 3600, bars.columns, "UTC")
    assert not np.allclose(computed("vwap_session", other)[0], sums, equal_nan=True)


def test_keltner_is_an_average_of_closes_with_the_true_range() -> None:
    bars = bars_of(frame(300))
    middle = talib.EMA(bars.close, 20)
    reach = 2 * talib.ATR(bars.high, bars.low, bars.close, 20)
    lower, average, upper = computed("keltner", bars)
    assert_close(lower, middle - reach)
    assert_close(upper, middle + reach)
    assert_close(average[20:], middle[20:])
    # TA-Lib's own channel is one of the typical price.
    assert_close(
        talib.KC(bars.high, bars.low, bars.close, 20, 20, 2.0)[1][200:], talib.EMA(bars.typical, 20)[200:], 0.1
    )


def test_stochastic_rsi_is_that_of_ta_lib_while_the_price_moves() -> None:
    bars = bars_of(frame(1500).drop(frame(1500).index[500:504]))
    for actual, expected in zip(computed("stoch_rsi", bars), talib.STOCHRSI(bars.close, 14, 14, 3, 0), strict=True):
        assert_close(actual, expected, 1.0)
