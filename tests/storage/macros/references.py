"""What each indicator is for a frame of bars: by TA-Lib where it has the indicator, else by its formula on pandas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

talib = pytest.importorskip("talib", reason="TA-Lib is not installed")

Outputs = Mapping[str, Any]
NEW_YORK = "America/New_York"


def _columns(*names: str) -> Callable[[pd.DataFrame], list[np.ndarray]]:
    return lambda bars: [bars[name].to_numpy(np.float64) for name in names]


_hlc, _hlcv = _columns("high", "low", "close"), _columns("high", "low", "close", "volume")
_hl, _c, _cv = _columns("high", "low"), _columns("close"), _columns("close", "volume")


def _typical(bars: pd.DataFrame) -> pd.Series:
    return (bars.high + bars.low + bars.close) / 3


def _day(bars: pd.DataFrame, zone: str) -> pd.Series:
    return pd.Series(bars.index.tz_convert(zone).normalize(), bars.index)


def bollinger(bars: pd.DataFrame, n: int = 20, k: float = 2.0) -> Outputs:
    upper, middle, lower = talib.BBANDS(*_c(bars), n, k, k)
    return {
        "lower": lower,
        "middle": middle,
        "upper": upper,
        "percent_b": 0.5 + zscore(bars, n)["zscore"] / (2 * k),
        "bandwidth": (upper - lower) / middle,
    }


def keltner(bars: pd.DataFrame, n: int = 20, k: float = 2.0) -> Outputs:
    half = k * talib.ATR(*_hlc(bars), n)
    middle = np.where(np.isnan(half), np.nan, talib.EMA(*_c(bars), n))
    return {"lower": middle - half, "middle": middle, "upper": middle + half}


def donchian(bars: pd.DataFrame, n: int = 20) -> Outputs:
    upper, middle, lower = talib.DONCHIAN(*_hl(bars), n)
    return {"lower": lower, "middle": middle, "upper": upper}


def stochastic(bars: pd.DataFrame, n: int = 14, k: int = 3, d: int = 3) -> Outputs:
    return dict(zip("kd", talib.STOCH(*_hlc(bars), n, k, 0, d, 0), strict=True))


def fast_stochastic(bars: pd.DataFrame, n: int = 14, d: int = 3) -> Outputs:
    return dict(zip("kd", talib.STOCHF(*_hlc(bars), n, d, 0), strict=True))


def stoch_rsi(bars: pd.DataFrame, n: int = 14, m: int = 14, d: int = 3) -> Outputs:
    return dict(zip("kd", talib.STOCHRSI(*_c(bars), n, m, d, 0), strict=True))


def macd(bars: pd.DataFrame, fast: int = 12, slow: int = 26, signal: int = 9) -> Outputs:
    return dict(zip(("macd", "signal", "histogram"), talib.MACD(*_c(bars), fast, slow, signal), strict=True))


def adx(bars: pd.DataFrame, n: int = 14) -> Outputs:
    functions = {"adx": talib.ADX, "plus_di": talib.PLUS_DI, "minus_di": talib.MINUS_DI}
    return {name: function(*_hlc(bars), n) for name, function in functions.items()}


def aroon(bars: pd.DataFrame, n: int = 25) -> Outputs:
    down, up = talib.AROON(*_hl(bars), n)
    return {"down": down, "up": up, "oscillator": talib.AROONOSC(*_hl(bars), n)}


def ichimoku(bars: pd.DataFrame, conversion: int = 9, base: int = 26, span: int = 52) -> Outputs:
    def middle(n: int) -> pd.Series:
        return (bars.high.rolling(n).max() + bars.low.rolling(n).min()) / 2

    return {
        "conversion": middle(conversion),
        "base": middle(base),
        "span_a": ((middle(conversion) + middle(base)) / 2).shift(base),
        "span_b": middle(span).shift(base),
    }


def pivot_points(bars: pd.DataFrame, zone: str = NEW_YORK) -> Outputs:
    day = _day(bars, zone)
    daily = bars.groupby(day).agg({"high": "max", "low": "min", "close": "last"}).shift()
    high, low, close = (day.map(daily[name]) for name in ("high", "low", "close"))
    pivot = (high + low + close) / 3
    return {
        "pivot": pivot,
        "r1": 2 * pivot - low,
        "s1": 2 * pivot - high,
        "r2": pivot + (high - low),
        "s2": pivot - (high - low),
        "r3": high + 2 * (pivot - low),
        "s3": low - 2 * (high - pivot),
    }


def vwap_session(bars: pd.DataFrame, zone: str = NEW_YORK) -> Outputs:
    day = _day(bars, zone)
    volume = bars.volume.groupby(day).cumsum()
    return {"vwap_session": (_typical(bars) * bars.volume).groupby(day).cumsum() / volume.where(volume != 0)}


def vwap(bars: pd.DataFrame, n: int = 20) -> Outputs:
    flow, volume = windows(_typical(bars) * bars.volume, n).sum(axis=1), windows(bars.volume, n).sum(axis=1)
    return {"vwap": flow / np.where(volume == 0, np.nan, volume)}


def volatility(bars: pd.DataFrame, n: int = 20, annual: float | None = None) -> Outputs:
    returns = np.log(bars.close / bars.close.shift())
    return {"volatility": windows(returns, n).std(axis=1, ddof=1) * np.sqrt(annual or 1)}


def parkinson(bars: pd.DataFrame, n: int = 20, annual: float | None = None) -> Outputs:
    variance = np.log(bars.high / bars.low) ** 2 / (4 * np.log(2))
    return {"parkinson": np.sqrt(windows(variance, n).mean(axis=1) * (annual or 1))}


def garman_klass(bars: pd.DataFrame, n: int = 20, annual: float | None = None) -> Outputs:
    variance = np.log(bars.high / bars.low) ** 2 / 2 - (2 * np.log(2) - 1) * np.log(bars.close / bars.open) ** 2
    return {"garman_klass": np.sqrt(windows(variance, n).mean(axis=1) * (annual or 1))}


def zscore(bars: pd.DataFrame, n: int = 20) -> Outputs:
    recent = windows(bars.close, n)
    deviation = np.where(recent.max(axis=1) > recent.min(axis=1), recent.std(axis=1), np.nan)
    return {"zscore": (bars.close.to_numpy() - recent.mean(axis=1)) / deviation}


def drawdown(bars: pd.DataFrame) -> Outputs:
    return {"drawdown": bars.close / bars.close.cummax() - 1}


def windows(values: pd.Series, n: int) -> np.ndarray:
    """Return the last n values at each, as rows: unlike pandas' rolling sums, they forget what has left the window."""
    padded = np.concatenate([np.full(n - 1, np.nan), values.to_numpy(np.float64)])
    return np.lib.stride_tricks.sliding_window_view(padded, n)


def _single(name: str, function: str, columns: Callable[[pd.DataFrame], list[np.ndarray]], n: int | None) -> Any:
    def reference(bars: pd.DataFrame, n: int | None = n) -> Outputs:
        parameters = [] if n is None else [n]
        return {name: getattr(talib, function)(*columns(bars), *parameters)}

    return reference


REFERENCES: Mapping[str, Callable[..., Outputs]] = {
    **{
        name: _single(name, function, columns, n)
        for name, function, columns, n in (
            ("sma", "SMA", _c, 20),
            ("ema", "EMA", _c, 20),
            ("wma", "WMA", _c, 20),
            ("dema", "DEMA", _c, 20),
            ("tema", "TEMA", _c, 20),
            ("hma", "HMA", _c, 20),
            ("rsi", "RSI", _c, 14),
            ("atr", "ATR", _hlc, 14),
            ("natr", "NATR", _hlc, 14),
            ("cci", "CCI", _hlc, 20),
            ("williams_r", "WILLR", _hlc, 14),
            ("mfi", "MFI", _hlcv, 14),
            ("obv", "OBV", _cv, None),
            ("roc", "ROC", _c, 10),
            ("momentum", "MOM", _c, 10),
            ("trix", "TRIX", _c, 15),
        )
    },
    **{
        function.__name__: function
        for function in (
            *(bollinger, keltner, donchian, stochastic, fast_stochastic, stoch_rsi, macd, adx, aroon, ichimoku),
            *(pivot_points, vwap, vwap_session, volatility, parkinson, garman_klass, zscore, drawdown),
        )
    },
}
"""Keyed by indicator; the arguments after the bars have the names and defaults of the macro's parameters."""

PARAMETERS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    **{name: ({}, {"n": 2}, {"n": 7}, {"n": 200}) for name in REFERENCES},
    "bollinger": ({}, {"n": 5, "k": 0.5}),
    "keltner": ({}, {"n": 5, "k": 0.5}, {"n": 1}),
    "stochastic": ({}, {"n": 5, "k": 1, "d": 2}, {"n": 30, "k": 7, "d": 1}),
    "fast_stochastic": ({}, {"n": 5, "d": 1}),
    "stoch_rsi": ({}, {"n": 5, "m": 9, "d": 2}),
    "macd": ({}, {"fast": 3, "slow": 100, "signal": 5}, {"fast": 26, "slow": 12}, {"fast": 2, "slow": 2, "signal": 1}),
    "ichimoku": ({}, {"conversion": 3, "base": 5, "span": 11}),
    "obv": ({},),
    "drawdown": ({},),
    "pivot_points": ({}, {"zone": "Asia/Tokyo"}),
    "vwap_session": ({}, {"zone": "UTC"}),
    "volatility": ({}, {"n": 5, "annual": 252}),
    "parkinson": ({}, {"n": 1, "annual": 252}),
    "garman_klass": ({}, {"n": 5, "annual": 98280.0}),
    **{name: ({}, {"n": 1}, {"n": 3}, {"n": 250}) for name in ("sma", "ema", "wma", "dema", "tema", "hma", "atr")},
    "trix": ({}, {"n": 1}, {"n": 100}),
}
"""Keyed by indicator; the parameters that are tested."""
