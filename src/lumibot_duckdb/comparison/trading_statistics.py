"""Trading statistics of a backtest, from quantstats-lumi, as in Lumibot's tear sheet.

The tear sheet is computed from the returns of calendar days, in UTC and with weekends, for all markets and all lengths
of bars. So a year has 365 periods for all backtests; the years of CAGR are those between the first and the last day.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import TYPE_CHECKING, Literal

from lumibot_duckdb.comparison.outcome import Backtest
from lumibot_duckdb.comparison.round_trips import profits

if TYPE_CHECKING:
    import pandas as pd

PERIODS_PER_YEAR = 365
_LARGE = 1e6
"""Percentages above this are written with an exponent."""

Style = Literal["percent", "ratio", "amount", "count"]

STYLES: dict[str, tuple[str, Style]] = {
    "total_return": ("Total return", "percent"),
    "cagr": ("CAGR", "percent"),
    "volatility": ("Volatility, annualised", "percent"),
    "sharpe": ("Sharpe ratio", "ratio"),
    "sortino": ("Sortino ratio", "ratio"),
    "max_drawdown": ("Maximum drawdown, ends of days", "percent"),
    "winning_days": ("Winning days", "percent"),
    "win_rate": ("Winning trades", "percent"),
    "closed_trades": ("Closed trades", "count"),
    "exposure": ("Exposure", "percent"),
    "fees": ("Fees", "amount"),
    "end_value": ("Value at the end", "amount"),
}
"""The name and the style of each statistic, in the order in which they are shown. Percentages are fractions of 1."""

_NAMES_OF_RETURNS = ("total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "winning_days")
"""The statistics that are computed from daily returns."""

_NO_RETURNS = "Lumibot computed no values, because the backtest had no iteration or an error stopped it"
_ONE_DAY = "the backtest has values of one day only"
_CONSTANT = "the value did not change"
_EQUAL = "all daily returns are equal"
_NO_LOSS = "no day was below the risk-free rate"
_BELOW_ZERO = "the value fell below zero"
_AFTER_ZERO = "the value rose from zero"
_LIKE_PRICES = "quantstats takes returns above 100 % without any loss for prices"
_TOO_LARGE = "the result is too large: the backtest is too short to be annualised"
_NO_TRADE = "no trade was closed"
_NO_POSITIONS = "Lumibot recorded no positions"
NO_POSITIONS = ("[]", "None", "nan", "")
"""The texts of an iteration without positions."""
_FLAT = 1e-12
"""Daily returns that differ by less are equal: they come from rounding."""


@dataclass(frozen=True)
class Statistic:
    """A statistic; without a value, the reason why it has none. A value is a finite number."""

    value: float | None
    reason: str = ""

    @classmethod
    def of(cls, value: float, otherwise: str) -> Statistic:
        """Return a number as a statistic; if it is not finite, return the reason instead."""
        return cls(float(value)) if math.isfinite(value) else cls(None, otherwise)


@dataclass(frozen=True)
class Figures:
    """What the statistics of a backtest are computed from.

    Attributes:
        profits: The profit of each closed trade, after costs.
        fees: The sum of the fees of all fills.
        values: The value of the portfolio at each iteration, without those that are not finite.
        held: Whether the strategy held a position other than cash, at each iteration.
        days: The days on which there were iterations, in the time zone of their times.
        returns: The returns of calendar days.
        risk_free_rate: For a year; 0.05 is 5 %.
    """

    profits: Sequence[float]
    fees: float
    values: Sequence[float]
    held: Sequence[bool]
    days: int
    returns: pd.Series[float]
    risk_free_rate: float


def statistics_of(figures: Figures) -> dict[str, Statistic]:
    """Return the statistics of a backtest, by the names of `STYLES`."""
    closed, values, held = figures.profits, figures.values, figures.held
    won = sum(profit > 0 for profit in closed)
    lost = _change_from_zero(values)
    return {
        **(
            _without_value(lost)
            if lost
            else return_statistics(figures.returns, figures.risk_free_rate, has_days=figures.days > 1)
        ),
        "win_rate": Statistic(won / len(closed)) if closed else Statistic(None, _NO_TRADE),
        "closed_trades": Statistic(float(len(closed))),
        "exposure": Statistic(sum(held) / len(held)) if held else Statistic(None, _NO_POSITIONS),
        "fees": Statistic.of(figures.fees, "a fee is not a number"),
        "end_value": Statistic(values[-1]) if values else Statistic(None, _NO_RETURNS),
    }


def trading_statistics(backtest: Backtest) -> dict[str, Statistic]:
    """Return the statistics of a recorded backtest, by the names of `STYLES`."""
    values = [_finite(text) for text in backtest.values.column("portfolio_value")]
    return statistics_of(
        Figures(
            profits(backtest.events.records()),
            backtest.fees,
            [value for value in values if value is not None],
            [text not in NO_POSITIONS for text in backtest.values.column("positions")],
            _days(backtest),
            _returns(backtest, "strategy"),
            backtest.risk_free_rate or 0.0,
        )
    )


def benchmark_statistics(backtest: Backtest) -> dict[str, Statistic] | None:
    """Return the statistics of the benchmark's daily returns; None if the backtest had no benchmark."""
    if "benchmark" not in backtest.returns.columns:
        return None
    rate = backtest.risk_free_rate or 0.0
    return return_statistics(_returns(backtest, "benchmark"), rate, has_days=_days(backtest) > 1)


def _change_from_zero(values: Sequence[float]) -> str:
    """Return why the returns are not those of all values; "" if they are.

    Lumibot multiplies the returns of all iterations. After one that begins at zero, there is nothing left to multiply,
    so the daily returns end there.
    """
    after = next(filter(None, dropwhile(bool, values)), 0.0)
    return (_AFTER_ZERO if after > 0 else _BELOW_ZERO) if after else ""


def _without_value(reason: str) -> dict[str, Statistic]:
    return {name: Statistic(None, reason) for name in _NAMES_OF_RETURNS}


def _returns(backtest: Backtest, column: str) -> pd.Series[float]:
    import pandas as pd

    numbers = [float(text) for text in backtest.returns.column(column)]
    returns: pd.Series[float] = pd.Series(numbers, pd.DatetimeIndex(backtest.returns.column("day")), float)
    return returns


def _days(backtest: Backtest) -> int:
    return len({time[:10] for time in backtest.values.column("datetime")})


def return_statistics(returns: pd.Series[float], risk_free: float, *, has_days: bool = True) -> dict[str, Statistic]:
    """Return the statistics of daily returns. With `has_days` false, they are of a single day.

    The first importer of quantstats in a process waits a few seconds for matplotlib and seaborn.
    """
    if returns.empty:
        return _without_value(_NO_RETURNS)
    if lost := _unusable(returns):
        return _without_value(lost)
    import numpy as np

    from lumibot_duckdb.comparison.quantstats import stats

    yearly, is_constant = PERIODS_PER_YEAR, not returns.any()
    reasons = {
        "cagr": [(not has_days, _ONE_DAY)],
        "volatility": [(not has_days, _ONE_DAY)],
        "sharpe": [
            (not has_days, _ONE_DAY),
            (is_constant, _CONSTANT),
            (returns.max() - returns.min() < _FLAT, _EQUAL),
            (_is_like_prices(returns), _LIKE_PRICES),
        ],
        "sortino": [
            (not has_days, _ONE_DAY),
            (is_constant, _CONSTANT),
            (_is_like_prices(returns), _LIKE_PRICES),
            (not (returns < daily_rate(risk_free)).any(), _NO_LOSS),
        ],
        "max_drawdown": [(_is_like_prices(returns), _LIKE_PRICES)],
        "winning_days": [(is_constant, _CONSTANT)],
    }
    computed: dict[str, Callable[[], float]] = {
        "total_return": lambda: stats.comp(returns),
        "cagr": lambda: stats.cagr(returns, risk_free, periods=yearly),
        "volatility": lambda: stats.volatility(returns, yearly, prepare_returns=False),
        "sharpe": lambda: stats.sharpe(returns, risk_free, yearly),
        "sortino": lambda: stats.sortino(returns, risk_free, yearly),
        "max_drawdown": lambda: stats.max_drawdown(returns),
        "winning_days": lambda: stats.win_rate(returns, prepare_returns=False),
    }
    found = {}
    for name, compute in computed.items():
        reason = next((reason for applies, reason in reasons.get(name, []) if applies), "")
        with np.errstate(all="ignore"):  # the reason says so
            found[name] = Statistic(None, reason) if reason else Statistic.of(compute(), _TOO_LARGE)
    return found


def _unusable(returns: pd.Series[float]) -> str:
    """Return why daily returns have no statistics; "" if they have."""
    if returns.isin([math.inf]).any() or returns.isna().any():
        return _AFTER_ZERO
    return _BELOW_ZERO if returns.min() < -1 else ""


def _is_like_prices(returns: pd.Series[float]) -> bool:
    """Return whether quantstats would take returns for prices and compute something else."""
    return bool(returns.min() >= 0 and returns.max() >= 1)


def daily_rate(risk_free: float) -> float:
    """Return a yearly rate as quantstats deducts it from each day: negative rates are not deducted."""
    return float((1 + risk_free) ** (1 / PERIODS_PER_YEAR) - 1) if risk_free > 0 else 0.0


def style_of(name: str) -> Style:
    """Return how the value of a statistic is shown. What is not in `STYLES`, such as the Calmar ratio, is a ratio."""
    return STYLES[name][1] if name in STYLES else "ratio"


def value_text(value: float, style: Style) -> str:
    """Return the value of a statistic as people read it, such as "12.50 %"."""
    if style == "percent":
        return f"{100 * value:,.2f} %" if abs(100 * value) < _LARGE else f"{100 * value:.2e} %"
    return f"{value:,.0f}" if style == "count" else f"{value:,.2f}"


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
