"""What TA-Lib and pandas-ta-classic return for each indicator, and whether their definition is the same as ours.

docs/indicators.md has this as a table ("The libraries compared"), which `test_against_libraries.py` compares with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analytics.market import bars_of
from lumibot_duckdb.analytics.bars import Bars, FloatArray

talib: Any = pytest.importorskip("talib")
ta: Any = pytest.importorskip("pandas_ta_classic")


class Kind(Enum):
    """How a library's values compare with ours, in the words of the page."""

    EQUAL = "equal"
    EARLIER = "equal, begins earlier"
    IN_THE_END = "equal in the end"  # they begin in another way, which recursive averages forget
    DIFFERENT = "different"
    ABSENT = "lacking"


@dataclass(frozen=True)
class Comparison:
    """A library's values of an indicator.

    Attributes:
        kind: How they compare with ours.
        values: Returns the outputs in our order.
        converted: Returns them in our units, and by our formula, so that they must be equal.
        apart: Returns which bars are left out of the comparison, for the reason that the page states.
    """

    kind: Kind
    values: Callable[[pd.DataFrame], Sequence[Any]]
    converted: Callable[[pd.DataFrame], Sequence[Any]] | None = None
    apart: Callable[[Bars], FloatArray] | None = None


def _flat(name: str, n: int) -> Callable[[Bars], Any]:
    """Return which of the last n values are all the same."""
    high, low = ("high", "low") if name == "range" else (name, name)
    return lambda bars: talib.MAX(bars.columns[high], n) == talib.MIN(bars.columns[low], n)


def _since(which: Callable[[Bars], Any]) -> Callable[[Bars], Any]:
    """Return the bars since the first of some: recursive averages remember it."""
    return lambda bars: np.logical_or.accumulate(which(bars))


def _rounding_or_none(n: int) -> Callable[[Bars], Any]:
    """Return the bars among whose last n changes of the typical price one is only rounding, or none is a change."""

    def which(bars: Bars) -> Any:
        change = np.abs(np.diff(bars.typical, prepend=bars.typical[0]))
        tiny = (change > 0) & (change <= 1e-14 * np.abs(bars.typical))
        return (talib.MAX(tiny.astype(float), n) > 0) | (talib.MAX(change, n) == 0)

    return which


def _by_day(values: Callable[..., Any], frame: pd.DataFrame) -> FloatArray:
    assert isinstance(frame.index, pd.DatetimeIndex)
    days = [values(*(day[name].to_numpy() for name in ("high", "low", "close", "volume")))
            for _, day in frame.groupby(frame.index.normalize())]  # fmt: skip
    joined: FloatArray = np.concatenate(days)
    return joined


def _columns(table: pd.DataFrame, *prefixes: str) -> list[Any]:
    return [next(table[name] for name in table.columns if name.startswith(prefix)) for prefix in prefixes]


def _with_place_and_width(close: FloatArray, lower: FloatArray, middle: FloatArray, upper: FloatArray) -> list[Any]:
    return [lower, middle, upper, (close - lower) / (upper - lower), (upper - lower) / middle]


def _either(table: pd.DataFrame) -> list[Any]:
    return [table.iloc[:, 0].fillna(table.iloc[:, 1])]


def _same(values: Callable[[pd.DataFrame], Sequence[Any]]) -> Comparison:
    return Comparison(Kind.EQUAL, values)


def _by_arrays(values: Callable[[Bars], Any], kind: Kind = Kind.EQUAL) -> Comparison:
    """Return a comparison with a function of TA-Lib, which returns one array or several."""

    def outputs(frame: pd.DataFrame) -> Sequence[Any]:
        found = values(bars_of(frame))
        return found if isinstance(found, (list, tuple)) else [found]

    return Comparison(kind, outputs)


_ABSENT = Comparison(Kind.ABSENT, lambda frame: [])

TA_LIB: Mapping[str, Comparison] = {
    "sma": _by_arrays(lambda b: talib.SMA(b.close, 20)),
    "ema": _by_arrays(lambda b: talib.EMA(b.close, 20)),
    "wma": _by_arrays(lambda b: talib.WMA(b.close, 20)),
    "dema": _by_arrays(lambda b: talib.DEMA(b.close, 20)),
    "tema": _by_arrays(lambda b: talib.TEMA(b.close, 20)),
    "hma": _by_arrays(lambda b: talib.HMA(b.close, 20)),
    "kama": _by_arrays(lambda b: talib.KAMA(b.close, 10)),
    "bollinger": _by_arrays(lambda b: _with_place_and_width(b.close, *talib.BBANDS(b.close, 20, 2.0, 2.0)[::-1])),
    "keltner": _by_arrays(lambda b: talib.KC(b.high, b.low, b.close, 20, 20, 2.0)[::-1], Kind.DIFFERENT),
    "donchian": _by_arrays(lambda b: talib.DONCHIAN(b.high, b.low, 20)[::-1]),
    "rsi": _by_arrays(lambda b: talib.RSI(b.close, 14)),
    "stochastic": _by_arrays(lambda b: talib.STOCH(b.high, b.low, b.close, 14, 3, 0, 3, 0)),
    "fast_stochastic": _by_arrays(lambda b: talib.STOCHF(b.high, b.low, b.close, 14, 3, 0)),
    "stoch_rsi": _by_arrays(lambda b: talib.STOCHRSI(b.close, 14, 14, 3, 0)),
    "macd": _by_arrays(lambda b: talib.MACD(b.close, 12, 26, 9)),
    "cci": _by_arrays(lambda b: talib.CCI(b.high, b.low, b.close, 20)),
    "williams_r": _by_arrays(lambda b: talib.WILLR(b.high, b.low, b.close, 14)),
    "roc": _by_arrays(lambda b: talib.ROC(b.close, 10)),
    "momentum": _by_arrays(lambda b: talib.MOM(b.close, 10)),
    "trix": _by_arrays(lambda b: talib.TRIX(b.close, 15)),
    "adx": _by_arrays(lambda b: [f(b.high, b.low, b.close, 14) for f in (talib.ADX, talib.PLUS_DI, talib.MINUS_DI)]),
    "aroon": _by_arrays(lambda b: [*talib.AROON(b.high, b.low, 25), talib.AROONOSC(b.high, b.low, 25)]),
    "ichimoku": _ABSENT,
    "pivot_points": _ABSENT,
    "psar": _by_arrays(lambda b: talib.SAR(b.high, b.low, 0.02, 0.2)),
    "supertrend": _by_arrays(
        # Directions before the first line are 0.
        lambda b: [np.where(talib.ATR(b.high, b.low, b.close, 10) > 0, each, np.nan)
                   for each in talib.SUPERTREND(b.high, b.low, b.close, 10, 3.0)]
    ),
    "atr": _by_arrays(lambda b: talib.ATR(b.high, b.low, b.close, 14)),
    "natr": _by_arrays(lambda b: talib.NATR(b.high, b.low, b.close, 14)),
    "volatility": _ABSENT,
    "parkinson": _ABSENT,
    "garman_klass": _ABSENT,
    "zscore": _ABSENT,
    "drawdown": _ABSENT,
    "vwap_session": _same(lambda frame: [_by_day(talib.VWAP, frame)]),
    "vwap": _by_arrays(lambda b: talib.VWMA(b.typical, b.volume, 20)),
    "obv": _by_arrays(lambda b: talib.OBV(b.close, b.volume)),
    "mfi": _by_arrays(lambda b: talib.MFI(b.high, b.low, b.close, b.volume, 14)),
}  # fmt: skip
"""Each indicator with its defaults."""

_OWN = {"talib": False}  # else it may call TA-Lib

PANDAS_TA: Mapping[str, Comparison] = {
    "sma": _same(lambda f: [ta.sma(f.close, 20, **_OWN)]),
    "ema": _same(lambda f: [ta.ema(f.close, 20, **_OWN)]),
    "wma": _same(lambda f: [ta.wma(f.close, 20, **_OWN)]),
    "dema": _same(lambda f: [ta.dema(f.close, 20, **_OWN)]),
    "tema": _same(lambda f: [ta.tema(f.close, 20, **_OWN)]),
    "hma": _same(lambda f: [ta.hma(f.close, 20)]),
    "kama": Comparison(
        Kind.EARLIER, lambda f: [ta.kama(f.close, 10, 2, 30, **_OWN)], apart=_since(_flat("close", 11))
    ),
    "bollinger": Comparison(
        Kind.DIFFERENT,
        lambda f: _bollinger_by_pandas_ta(f, 1),
        lambda f: _bollinger_by_pandas_ta(f, 100),
        apart=_flat("close", 20),
    ),
    "keltner": Comparison(
        Kind.DIFFERENT, lambda f: _columns(ta.kc(f.high, f.low, f.close, 20, 2.0), "KCL", "KCB", "KCU")
    ),
    "donchian": _same(lambda f: _columns(ta.donchian(f.high, f.low, 20, 20), "DCL", "DCM", "DCU")),
    "rsi": _same(lambda f: [ta.rsi(f.close, 14, **_OWN)]),
    "stochastic": Comparison(
        Kind.EARLIER, lambda f: _columns(ta.stoch(f.high, f.low, f.close, 14, 3, 3, **_OWN), "STOCHk", "STOCHd")
    ),
    "fast_stochastic": Comparison(
        Kind.EARLIER, lambda f: _columns(ta.stochf(f.high, f.low, f.close, 14, 3, **_OWN), "STOCHFk", "STOCHFd")
    ),
    "stoch_rsi": Comparison(
        Kind.DIFFERENT, lambda f: _columns(ta.stochrsi(f.close, 14, 14, 3, 3, **_OWN), "STOCHRSIk", "STOCHRSId")
    ),
    "macd": Comparison(
        Kind.IN_THE_END, lambda f: _columns(ta.macd(f.close, 12, 26, 9, **_OWN), "MACD_", "MACDs", "MACDh")
    ),
    "cci": _same(lambda f: [ta.cci(f.high, f.low, f.close, 20, **_OWN)]),
    "williams_r": Comparison(
        Kind.EQUAL, lambda f: [ta.willr(f.high, f.low, f.close, 14, **_OWN)], apart=_flat("range", 14)
    ),
    "roc": _same(lambda f: [ta.roc(f.close, 10, **_OWN)]),
    "momentum": _same(lambda f: [ta.mom(f.close, 10, **_OWN)]),
    "trix": _same(lambda f: _columns(ta.trix(f.close, 15, **_OWN), "TRIX_")),
    "adx": _same(lambda f: _columns(ta.adx(f.high, f.low, f.close, 14, **_OWN), "ADX", "DMP", "DMN")),
    "aroon": _same(lambda f: _columns(ta.aroon(f.high, f.low, 25, **_OWN), "AROOND", "AROONU", "AROONOSC")),
    "ichimoku": _same(
        lambda f: _columns(
            ta.ichimoku(f.high, f.low, f.close, include_chikou=False, as_dataframe=True), "ITS", "IKS", "ISA", "ISB"
        )
    ),
    "pivot_points": _ABSENT,
    "psar": Comparison(Kind.DIFFERENT, lambda f: _either(ta.psar(f.high, f.low, f.close, 0.02, 0.02, 0.2, **_OWN))),
    "supertrend": Comparison(
        Kind.DIFFERENT, lambda f: _columns(ta.supertrend(f.high, f.low, f.close, 10, 3.0), "SUPERT_", "SUPERTd")
    ),
    "atr": _same(lambda f: [ta.atr(f.high, f.low, f.close, 14, **_OWN)]),
    "natr": _same(lambda f: [ta.natr(f.high, f.low, f.close, 14, **_OWN)]),
    "volatility": _same(lambda f: [ta.hvol(f.close, 20, 1) / 100]),
    "parkinson": _ABSENT,
    "garman_klass": _ABSENT,
    "zscore": Comparison(
        Kind.DIFFERENT,
        lambda f: [ta.zscore(f.close, 20)],
        lambda f: [ta.zscore(f.close, 20) * np.sqrt(20 / 19)],
        apart=_flat("close", 20),
    ),
    "drawdown": _same(lambda f: [-ta.drawdown(f.close)["DD_PCT"]]),
    "vwap_session": _same(lambda f: [ta.vwap(f.high, f.low, f.close, f.volume, anchor="D")]),
    "vwap": _same(lambda f: [ta.vwma(ta.hlc3(f.high, f.low, f.close), f.volume, 20)]),
    "obv": _same(lambda f: [ta.obv(f.close, f.volume, **_OWN)]),
    "mfi": Comparison(
        Kind.EARLIER, lambda f: [ta.mfi(f.high, f.low, f.close, f.volume, 14, **_OWN)], apart=_rounding_or_none(14)
    ),
}  # fmt: skip
"""Each indicator with its defaults."""

LIBRARIES = {"TA-Lib": TA_LIB, "pandas-ta-classic": PANDAS_TA}


def _bollinger_by_pandas_ta(frame: pd.DataFrame, percent: float) -> list[Any]:
    lower, middle, upper, place, width = _columns(
        ta.bbands(frame.close, 20, 2.0, ddof=0, **_OWN), "BBL", "BBM", "BBU", "BBP", "BBB"
    )
    return [lower, middle, upper, place, width / percent]
