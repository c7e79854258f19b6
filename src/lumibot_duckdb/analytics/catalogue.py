"""The catalogue of indicators: parameters, inputs, outputs, formulas with their source, and warm-up.

This is data alone, so that listing it imports neither NumPy nor TA-Lib. Values that do not exist (too few bars, or a
division by zero that TA-Lib does not define) are missing, and never infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt, lcm

from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.analytics.parameters import Parameter, Value, bars, factor, number_text
from lumibot_duckdb.analytics.warm_up import (
    ALL,
    DAY,
    PREVIOUS_DAY,
    WarmUp,
    kept_by_ema,
    kept_by_wilder,
    smoothed,
    window,
)

BOTH_LAYERS = ("SQL", "Python")
PYTHON_ONLY = ("Python",)

PRICE_PANE, OWN_PANE = "price", "own"

_CLOSE = ("close",)
_RANGE = ("high", "low")
_PRICES = ("high", "low", "close")
_WITH_VOLUME = ("high", "low", "close", "volume")

# pandas-ta-classic has the formula where TA-Lib lacks the indicator.
_PANDAS_TA = "pandas-ta-classic"
_SLOWEST_KAMA = 1 - (2 / 31) ** 2


@dataclass(frozen=True, slots=True)
class Indicator:
    """An entry of the catalogue.

    Attributes:
        name: The name in requests, and of the SQL macro.
        title: What the indicator is called in print.
        group: The kind of indicator, as docs/indicators.md groups them.
        parameters: The parameters, in the order in which a request may give them.
        inputs: The columns of bars that are needed. A missing open, high or low counts as the close, and a missing
            volume as none.
        outputs: The names of the results; a single one has the name of the indicator.
        formula: The formula.
        source: Where the definition is from.
        warm_up: Computes how many earlier bars a value depends on, given the parameters.
        layers: Where the indicator is available: "SQL", "Python".
        pane: Where a chart draws it: on the prices ("price"), or below them ("own").
        drawn: The outputs that a chart draws; empty for all.
    """

    name: str
    title: str
    group: str
    parameters: tuple[Parameter, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    formula: str
    source: str
    warm_up: Callable[..., WarmUp]
    layers: tuple[str, ...] = BOTH_LAYERS
    pane: str = OWN_PANE
    drawn: tuple[str, ...] = ()

    def columns(self, values: dict[str, Value]) -> tuple[str, ...]:
        """Return the names of the columns for parameters: `rsi_14`, `bollinger_20_2_upper`."""
        given = [number_text(value) for value in values.values() if value is not None]
        stem = "_".join([self.name, *given])
        return (stem,) if self.outputs == (self.name,) else tuple(f"{stem}_{output}" for output in self.outputs)

    def usage(self) -> str:
        """Return how a request is written, with the defaults: `bollinger(n=20, k=2)`."""
        defaults = [
            f"{p.name}={'NULL' if p.default is None else number_text(p.default)}"  # as in SQL
            for p in self.parameters
        ]
        return f"{self.name}({', '.join(defaults)})"

    def check(self, values: dict[str, Value], where: str) -> None:
        """Raise `IndicatorError` if parameters do not fit each other."""
        fast, slow = values.get("fast"), values.get("slow")
        if fast is not None and slow is not None and fast >= slow:
            raise IndicatorError(f"{where}: fast must be smaller than slow, not {fast} and {slow}")


def _single(
    name: str,
    title: str,
    group: str,
    parameters: tuple[Parameter, ...],
    inputs: tuple[str, ...],
    formula: str,
    source: str,
    warm_up: Callable[..., WarmUp],
    layers: tuple[str, ...] = BOTH_LAYERS,
    pane: str = OWN_PANE,
) -> Indicator:
    """Return an entry with one output."""
    return Indicator(name, title, group, parameters, inputs, (name,), formula, source, warm_up, layers, pane)


_AVERAGES = (
    _single(
        "sma",
        "Simple moving average",
        "moving averages",
        (bars("n", 20),),
        _CLOSE,
        "mean of the last n closes",
        "TA-Lib SMA",
        lambda n: window(n - 1, block=n),
        pane=PRICE_PANE,
    ),
    _single(
        "ema",
        "Exponential moving average",
        "moving averages",
        (bars("n", 20),),
        _CLOSE,
        "EMA[t] = EMA[t-1] + 2/(n+1) * (close[t] - EMA[t-1]), from the mean of the first n closes",
        "TA-Lib EMA",
        lambda n: smoothed(kept_by_ema(n), n),
        pane=PRICE_PANE,
    ),
    _single(
        "wma",
        "Weighted moving average",
        "moving averages",
        (bars("n", 20),),
        _CLOSE,
        "mean of the last n closes with the weights 1, 2, ..., n",
        "TA-Lib WMA",
        lambda n: window(n - 1, block=n),
        pane=PRICE_PANE,
    ),
    _single(
        "dema",
        "Double exponential moving average",
        "moving averages",
        (bars("n", 20),),
        _CLOSE,
        "2 * EMA(n) - EMA(n) of EMA(n)",
        "TA-Lib DEMA",
        lambda n: smoothed(kept_by_ema(n), 2 * n, times=2),
        pane=PRICE_PANE,
    ),
    _single(
        "tema",
        "Triple exponential moving average",
        "moving averages",
        (bars("n", 20),),
        _CLOSE,
        "3 * E1 - 3 * E2 + E3, where E1 = EMA(n) of the close, E2 = EMA(n) of E1, E3 = EMA(n) of E2",
        "TA-Lib TEMA",
        lambda n: smoothed(kept_by_ema(n), 3 * n, times=3),
        pane=PRICE_PANE,
    ),
    _single(
        "hma",
        "Hull moving average",
        "moving averages",
        (bars("n", 20, least=2),),
        _CLOSE,
        "WMA(floor(sqrt(n))) of 2 * WMA(floor(n/2)) - WMA(n)",
        "TA-Lib HMA",
        lambda n: window(n - 1 + isqrt(n) - 1, block=lcm(n // 2, n, isqrt(n))),
        pane=PRICE_PANE,
    ),
    _single(
        "kama",
        "Kaufman's adaptive moving average",
        "moving averages",
        (bars("n", 10, least=2),),
        _CLOSE,
        "KAMA[t] = KAMA[t-1] + s**2 * (close[t] - KAMA[t-1]), s = E * (2/3 - 2/31) + 2/31, "
        "E = |close[t] - close[t-n]| / sum of the last n |changes|",
        "TA-Lib KAMA",
        lambda n: smoothed(_SLOWEST_KAMA, n),
        layers=PYTHON_ONLY,
        pane=PRICE_PANE,
    ),
)

_BANDS = (
    Indicator(
        "bollinger",
        "Bollinger Bands",
        "bands",
        (bars("n", 20, least=2), factor("k", 2.0)),
        _CLOSE,
        ("lower", "middle", "upper", "percent_b", "bandwidth"),
        "middle = SMA(n), upper and lower = middle +- k * population deviation of the last n closes, "
        "percent_b = (close - lower)/(upper - lower), bandwidth = (upper - lower)/middle",
        "TA-Lib BBANDS; percent_b and bandwidth: John Bollinger",
        lambda n, k: window(n - 1, block=n),
        pane=PRICE_PANE,
        drawn=("lower", "middle", "upper"),
    ),
    Indicator(
        "keltner",
        "Keltner channel",
        "bands",
        (bars("n", 20), factor("k", 2.0)),
        _PRICES,
        ("lower", "middle", "upper"),
        "middle = EMA(n), upper and lower = middle +- k * ATR(n)",
        "Linda Bradford Raschke; TA-Lib's KC takes the EMA of the typical price",
        lambda n, k: smoothed(kept_by_wilder(n) if n > 1 else 0.0, n),
        pane=PRICE_PANE,
    ),
    Indicator(
        "donchian",
        "Donchian channel",
        "bands",
        (bars("n", 20),),
        _RANGE,
        ("lower", "middle", "upper"),
        "upper = highest high, lower = lowest low of the last n bars, middle = (upper + lower)/2",
        "TA-Lib DONCHIAN",
        lambda n: window(n - 1),
        pane=PRICE_PANE,
    ),
)

_OSCILLATORS = (
    _single(
        "rsi",
        "Relative strength index",
        "momentum",
        (bars("n", 14, least=2),),
        _CLOSE,
        "100 * gain/(gain + loss), Wilder's averages of n rises and falls; 0 if there are none",
        "TA-Lib RSI",
        lambda n: smoothed(kept_by_wilder(n), n),
    ),
    Indicator(
        "stochastic",
        "Slow stochastic",
        "momentum",
        (bars("n", 14), bars("k", 3), bars("d", 3)),
        _PRICES,
        ("k", "d"),
        "k = SMA(k) of 100 * (close - lowest low)/(highest high - lowest low) of n bars (0 for a flat range), "
        "d = SMA(d) of k",
        "TA-Lib STOCH",
        lambda n, k, d: window(n + k + d - 3, block=lcm(k, d)),
    ),
    Indicator(
        "fast_stochastic",
        "Fast stochastic",
        "momentum",
        (bars("n", 14), bars("d", 3)),
        _PRICES,
        ("k", "d"),
        "k = 100 * (close - lowest low)/(highest high - lowest low) of n bars (0 for a flat range), d = SMA(d) of k",
        "TA-Lib STOCHF",
        lambda n, d: window(n + d - 2, block=d),
    ),
    Indicator(
        "stoch_rsi",
        "Stochastic RSI",
        "momentum",
        (bars("n", 14, least=2), bars("m", 14), bars("d", 3)),
        _CLOSE,
        ("k", "d"),
        "k = 100 * (RSI(n) - lowest)/(highest - lowest) of m values of RSI(n) (0 for a flat range), d = SMA(d) of k",
        "TA-Lib STOCHRSI",
        lambda n, m, d: smoothed(kept_by_wilder(n), n + m + d, block=d),
    ),
    Indicator(
        "macd",
        "Moving average convergence/divergence",
        "momentum",
        (bars("fast", 12), bars("slow", 26), bars("signal", 9)),
        _CLOSE,
        ("macd", "signal", "histogram"),
        "macd = EMA(fast) - EMA(slow), both from the bar on from which both exist, signal = EMA(signal) of macd, "
        "histogram = macd - signal",
        "TA-Lib MACD",
        lambda fast, slow, signal: smoothed(kept_by_ema(max(slow, signal)), slow + signal, times=2),
    ),
    _single(
        "cci",
        "Commodity channel index",
        "momentum",
        (bars("n", 20, least=2),),
        _PRICES,
        "(P - SMA(n) of P) / (0.015 * mean |deviation| of n bars), P = (high + low + close)/3; 0 for a flat range",
        "TA-Lib CCI",
        lambda n: window(n - 1, block=n),
    ),
    _single(
        "williams_r",
        "Williams %R",
        "momentum",
        (bars("n", 14, least=2),),
        _PRICES,
        "-100 * (highest high - close)/(highest high - lowest low) of n bars; 0 for a flat range",
        "TA-Lib WILLR",
        lambda n: window(n - 1),
    ),
    _single(
        "roc",
        "Rate of change",
        "momentum",
        (bars("n", 10),),
        _CLOSE,
        "100 * (close[t]/close[t-n] - 1); 0 if close[t-n] is 0",
        "TA-Lib ROC",
        lambda n: window(n),
    ),
    _single(
        "momentum",
        "Momentum",
        "momentum",
        (bars("n", 10),),
        _CLOSE,
        "close[t] - close[t-n]",
        "TA-Lib MOM",
        lambda n: window(n),
    ),
    _single(
        "trix",
        "TRIX",
        "momentum",
        (bars("n", 15),),
        _CLOSE,
        "change in percent of EMA(n) of EMA(n) of EMA(n) of the close",
        "TA-Lib TRIX",
        lambda n: smoothed(kept_by_ema(n), 3 * n + 1, times=3),
    ),
)

_TREND = (
    Indicator(
        "adx",
        "Average directional movement index",
        "trend",
        (bars("n", 14, least=2),),
        _PRICES,
        ("adx", "plus_di", "minus_di"),
        "plus_di and minus_di = 100 * Wilder's sums of n upward and downward moves / that of true ranges, "
        "adx = Wilder's average of 100 * |plus_di - minus_di|/(plus_di + minus_di); 0 for flat bars",
        "TA-Lib ADX, PLUS_DI, MINUS_DI",
        lambda n: smoothed(kept_by_wilder(n), 2 * n, times=2),
    ),
    Indicator(
        "aroon",
        "Aroon",
        "trend",
        (bars("n", 25, least=2),),
        _RANGE,
        ("down", "up", "oscillator"),
        "up, down = 100 * (n - bars since the highest high, the lowest low of n+1 bars)/n, oscillator = up - down",
        "TA-Lib AROON, AROONOSC",
        lambda n: window(n),
    ),
    _single(
        "psar",
        "Parabolic stop and reverse",
        "trend",
        (factor("step", 0.02, 1.0), factor("limit", 0.2, 1.0)),
        _RANGE,
        "Wilder's stop: SAR[t] = SAR[t-1] + a * (extreme - SAR[t-1]), a grows by step to limit with each new extreme",
        "TA-Lib SAR",
        lambda step, limit: ALL,
        layers=PYTHON_ONLY,
        pane=PRICE_PANE,
    ),
    Indicator(
        "supertrend",
        "Supertrend",
        "trend",
        (bars("n", 10, least=2), factor("k", 3.0)),
        _PRICES,
        ("supertrend", "direction"),
        "(high + low)/2 -+ k * ATR(n), which moves only towards the close until the close crosses it; "
        "direction = 1 below the close, -1 above",
        "TA-Lib SUPERTREND",
        lambda n, k: ALL,
        layers=PYTHON_ONLY,
        pane=PRICE_PANE,
        drawn=("supertrend",),
    ),
    Indicator(
        "ichimoku",
        "Ichimoku",
        "trend",
        (bars("conversion", 9), bars("base", 26), bars("span", 52)),
        _RANGE,
        ("conversion", "base", "span_a", "span_b"),
        "conversion, base = (highest high + lowest low)/2 of so many bars, span_a[t] = (conversion + base)/2 at "
        "t-base, span_b[t] = (highest high + lowest low)/2 of span bars at t-base",
        _PANDAS_TA + " ichimoku, without the lagging span",
        lambda conversion, base, span: window(base + max(conversion, base, span) - 1),
        pane=PRICE_PANE,
    ),
    Indicator(
        "pivot_points",
        "Pivot points",
        "trend",
        (),
        _PRICES,
        ("pivot", "r1", "s1", "r2", "s2", "r3", "s3"),
        "P = (H + L + C)/3 of the last local day before, r1 = 2P - L, s1 = 2P - H, r2 = P + H - L, s2 = P - H + L, "
        "r3 = H + 2(P - L), s3 = L - 2(H - P)",
        "classic floor-trader pivots",
        lambda: PREVIOUS_DAY,
        pane=PRICE_PANE,
    ),
)

_ANNUAL = Parameter("annual", None, 0.0001, 1e9)

_VOLATILITY = (
    _single(
        "atr",
        "Average true range",
        "volatility",
        (bars("n", 14),),
        _PRICES,
        "Wilder's average of n true ranges",
        "TA-Lib ATR",
        lambda n: smoothed(kept_by_wilder(n), n),
    ),
    _single(
        "natr",
        "Normalised average true range",
        "volatility",
        (bars("n", 14),),
        _PRICES,
        "100 * ATR(n)/close",
        "TA-Lib NATR",
        lambda n: smoothed(kept_by_wilder(n), n),
    ),
    _single(
        "volatility",
        "Realised volatility",
        "volatility",
        (bars("n", 20, least=2), _ANNUAL),
        _CLOSE,
        "sample deviation of the last n log(close[t]/close[t-1]), times sqrt(annual) if bars per year are given",
        _PANDAS_TA + " hvol, not in percent",
        lambda n, annual: window(n, block=n),
    ),
    _single(
        "parkinson",
        "Parkinson's volatility",
        "volatility",
        (bars("n", 20), _ANNUAL),
        _RANGE,
        "sqrt(mean of the last n log(high/low)**2 / (4 log 2)), times sqrt(annual) if given",
        "Parkinson (1980), Journal of Business 53(1), 61-65",
        lambda n, annual: window(n - 1, block=n),
    ),
    _single(
        "garman_klass",
        "Garman-Klass volatility",
        "volatility",
        (bars("n", 20), _ANNUAL),
        ("open", "high", "low", "close"),
        "sqrt(mean of the last n [log(high/low)**2/2 - (2 log 2 - 1) log(close/open)**2]), times sqrt(annual) if given",
        "Garman and Klass (1980), Journal of Business 53(1), 67-78",
        lambda n, annual: window(n - 1, block=n),
    ),
    _single(
        "zscore",
        "Rolling z-score",
        "volatility",
        (bars("n", 20, least=2),),
        _CLOSE,
        "(close - SMA(n)) / population deviation of the last n closes",
        "TA-Lib SMA and STDDEV",
        lambda n: window(n - 1, block=n),
    ),
    _single(
        "drawdown",
        "Drawdown",
        "volatility",
        (),
        _CLOSE,
        "close / highest close so far - 1",
        _PANDAS_TA + " drawdown",
        lambda: ALL,
    ),
)

_VOLUME = (
    _single(
        "vwap_session",
        "Volume-weighted average price of the day",
        "volume",
        (),
        _WITH_VOLUME,
        "sum of (high + low + close)/3 * volume / sum of volume, since the local day began",
        _PANDAS_TA + " vwap",
        lambda: DAY,
        pane=PRICE_PANE,
    ),
    _single(
        "vwap",
        "Volume-weighted average price",
        "volume",
        (bars("n", 20),),
        _WITH_VOLUME,
        "sum of (high + low + close)/3 * volume / sum of volume, over the last n bars",
        "TA-Lib VWMA, with the typical price",
        lambda n: window(n - 1, block=n),
        pane=PRICE_PANE,
    ),
    _single(
        "obv",
        "On-balance volume",
        "volume",
        (),
        ("close", "volume"),
        "the first volume, plus the volume of each bar with a higher close, minus that of each with a lower one",
        "TA-Lib OBV",
        lambda: ALL,
    ),
    _single(
        "mfi",
        "Money flow index",
        "volume",
        (bars("n", 14, least=2),),
        _WITH_VOLUME,
        "100 * rising/(rising + falling), sums of (high + low + close)/3 * volume over n bars on which that price "
        "rose or fell; 0 if there are none",
        "TA-Lib MFI",
        lambda n: window(n, block=n),
    ),
)

CATALOGUE = {each.name: each for each in (*_AVERAGES, *_BANDS, *_OSCILLATORS, *_TREND, *_VOLATILITY, *_VOLUME)}
"""All indicators, by name."""
