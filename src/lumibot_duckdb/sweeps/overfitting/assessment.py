"""Is the best trial of a sweep luck? All statistics of overfitting, from the daily returns of its trials."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lumibot_duckdb.comparison.trading_statistics import PERIODS_PER_YEAR, Statistic, daily_rate
from lumibot_duckdb.sweeps.overfitting.bootstrap import Interval, LuckRange, interval, range_of_luck
from lumibot_duckdb.sweeps.overfitting.cross_validation import CrossValidation, cross_validate
from lumibot_duckdb.sweeps.overfitting.measures import ABOVE_RISK_FREE, MEASURES, RESAMPLED
from lumibot_duckdb.sweeps.overfitting.returns import FEWEST_DAYS, DailyReturns, FloatArray, NotEnoughError, prepare
from lumibot_duckdb.sweeps.overfitting.sharpe import (
    Moments,
    deflated_sharpe_ratio,
    expected_maximum_sharpe,
    moments,
    probabilistic_sharpe_ratio,
)

if TYPE_CHECKING:
    import pandas as pd

_YEARLY = math.sqrt(PERIODS_PER_YEAR)
_RANKED_LIKE = {"cagr": "total_return", "end_value": "total_return"}
"""Objectives that rank trials as another one does, if all have the same days and the same capital."""
_ALONE = "only one trial can be compared (equal returns count once), so none was chosen"


@dataclass(frozen=True)
class Assessment:
    """What the daily returns say about the luck of the best trial.

    A statistic without a value has its reason; of a part that is None, `reasons` has it by the name of the part.

    Attributes:
        best: The trial that was chosen; None if there is no usable one.
        objective: What it was chosen by.
        days: The number of days that all compared trials have. Days without trading count, as in Lumibot's tear sheet.
        trials: How many trials are compared. Those with the same returns count once.
        tried: How many trials the best one was chosen from.
        left_out: The trials that are not compared, by reason.
        repeated: How many trials have exactly the same returns as another one, and do not count.
        moments: The Sharpe ratio (of a day), skewness and kurtosis of the best trial.
        sharpe: The Sharpe ratio of the best trial (of a year, as all that follow).
        spread: The standard deviation of the Sharpe ratios of all compared trials.
        expected_maximum: The Sharpe ratio that the best of `tried` trials without an edge is expected to show.
        probabilistic_sharpe: The probability that the true Sharpe ratio of the best trial is positive, had it been the
            only one.
        deflated_sharpe: The probability that it is above `expected_maximum`.
        luck: The best Sharpe ratios of simulated sweeps without an edge.
        selection: How the best trials of half of the days did on the other half.
        intervals: Bootstrap intervals of the best trial's objective and Sharpe ratio.
        reasons: Why `luck`, `selection` or `interval` is missing.
    """

    best: Hashable | None
    objective: str
    days: int
    trials: int
    tried: int
    left_out: Mapping[str, Sequence[Hashable]]
    repeated: int
    moments: Moments | None
    sharpe: Statistic
    spread: Statistic
    expected_maximum: Statistic
    probabilistic_sharpe: Statistic
    deflated_sharpe: Statistic
    luck: LuckRange | None = None
    selection: CrossValidation | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


def assess(
    returns: pd.DataFrame,
    best: Hashable | None = None,
    *,
    objective: str = "sharpe",
    minimize: bool = False,
    risk_free: float = 0.0,
    others: int = 0,
    blocks: int = 16,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> Assessment:
    """Assess whether the best trial of a sweep is luck.

    Args:
        returns: Daily returns, a row for each day and a column for each trial (0.01 is 1 %). The index has the days.
            Missing values: a trial that lacks more than a tenth of the days is left out; then, days are left out that
            another one lacks (see `prepare`).
        best: The column of the trial that was chosen (default: the one with the highest Sharpe ratio).
        objective: What it was chosen by: a name in `trading_statistics.STYLES`. The cross-validation chooses by it,
            too, if it can be computed from sums of daily returns; otherwise by the Sharpe ratio.
        minimize: Whether low values of the objective are good.
        risk_free: The risk-free rate of a year, deducted as quantstats does (0.05 is 5 %).
        others: How many other trials the best one was chosen from, which have no column: pruned ones, and those of
            earlier sweeps over the same days.
        blocks: Into how many blocks the cross-validation divides the days: an even number from 4 to 20.
        confidence: How much of the resamples' values the intervals contain.
        resamples: How many resamples there are for the intervals, and simulated sweeps for the range of luck.
        seed: The seed of the resamples. The same seed gives the same result.

    Raises:
        ValueError: `blocks` is odd or out of range, or `best` is no column.

    Example:
        Fifty trials without an edge, over three years. The best one looks good, but it is luck:

        >>> import numpy as np
        >>> import pandas as pd
        >>> days = pd.date_range("2021-01-01", periods=3 * 365)
        >>> returns = pd.DataFrame(0.01 * np.random.default_rng(1).standard_normal((len(days), 50)), days)
        >>> found = assess(returns)
        >>> [round(each.value, 2) for each in (found.sharpe, found.probabilistic_sharpe, found.deflated_sharpe)]
        [1.36, 0.99, 0.37]
        >>> round(found.luck.probability, 2), round(found.selection.probability, 2)
        (0.36, 0.55)
    """
    if best is not None and best not in returns.columns:
        raise ValueError(f"trial {best!r} has no column in the daily returns")
    prepared = prepare(returns)
    reason = _unusable(prepared, best)
    if reason:
        return _without_values(prepared, best, objective, others, reason)
    rate = daily_rate(risk_free)
    excess = prepared.values - rate
    sharpes = MEASURES["sharpe"].value([part.sum(axis=0) for part in MEASURES["sharpe"].parts(excess)], len(excess))
    if best is None:
        best = prepared.labels[int(sharpes.argmax())]
    chosen = prepared.column(best)
    of_best, trials = moments(chosen - rate), len(prepared.labels)
    tried = trials + others
    variance = float(np.var(sharpes / _YEARLY, ddof=1)) if trials > 1 else math.nan
    reasons: dict[str, str] = {}
    return Assessment(
        best=best,
        objective=objective,
        days=prepared.days,
        trials=trials,
        tried=tried,
        left_out=prepared.left_out,
        repeated=len(prepared.alias),
        moments=of_best,
        sharpe=Statistic(of_best.sharpe * _YEARLY),
        spread=Statistic.of(math.sqrt(variance) * _YEARLY, _ALONE),
        expected_maximum=Statistic.of(
            expected_maximum_sharpe(tried, variance) * _YEARLY if trials > 1 else math.nan, _ALONE
        ),
        probabilistic_sharpe=_probability(of_best, 1, 0.0),
        deflated_sharpe=_probability(of_best, tried, variance),
        luck=range_of_luck(excess, of_best.sharpe * _YEARLY, resamples=resamples, seed=seed),
        selection=_selection(prepared, excess, objective, minimize, blocks, reasons),
        intervals=_intervals(chosen, rate, objective, prepared.years, confidence, resamples, seed, reasons),
        reasons=reasons,
    )


def _unusable(prepared: DailyReturns, best: Hashable | None) -> str:
    """Return why there are no statistics; "" if there are."""
    if best is not None and (reason := prepared.reason(best)):
        return f"the best trial cannot be assessed: {reason}"
    if not prepared.labels:
        return "no trial has daily returns that vary"
    if prepared.days < FEWEST_DAYS:
        return f"there are only {prepared.days} days that all trials have; at least {FEWEST_DAYS} are needed"
    return ""


def _without_values(
    prepared: DailyReturns, best: Hashable | None, objective: str, others: int, reason: str
) -> Assessment:
    trials, missing = len(prepared.labels), Statistic(None, reason)
    return Assessment(
        best=best,
        objective=objective,
        days=prepared.days,
        trials=trials,
        tried=trials + others,
        left_out=prepared.left_out,
        repeated=len(prepared.alias),
        moments=None,
        sharpe=missing,
        spread=missing,
        expected_maximum=missing,
        probabilistic_sharpe=missing,
        deflated_sharpe=missing,
        reasons=dict.fromkeys(("luck", "selection", "interval"), reason),
    )


def _probability(found: Moments, tried: int, variance: float) -> Statistic:
    if math.isnan(variance):
        return Statistic(None, _ALONE)
    try:
        if tried == 1:
            return Statistic(probabilistic_sharpe_ratio(found))
        return Statistic(deflated_sharpe_ratio(found, tried, variance))
    except NotEnoughError as error:
        return Statistic(None, str(error))


def _selection(
    prepared: DailyReturns, excess: FloatArray, objective: str, minimize: bool, blocks: int, reasons: dict[str, str]
) -> CrossValidation | None:
    measure = _RANKED_LIKE.get(objective, objective)
    if measure not in MEASURES:
        measure, minimize = "sharpe", False
    values = excess if measure in ABOVE_RISK_FREE else prepared.values
    try:
        return cross_validate(values, measure=measure, minimize=minimize, blocks=blocks)
    except NotEnoughError as error:
        reasons["selection"] = str(error)
        return None


def _intervals(
    chosen: FloatArray,
    rate: float,
    objective: str,
    years: float,
    confidence: float,
    resamples: int,
    seed: int,
    reasons: dict[str, str],
) -> dict[str, Interval]:
    if objective not in RESAMPLED:
        reasons["interval"] = "the objective depends on more than daily returns, which are what is resampled"
    return {
        name: interval(
            chosen - rate if name in ABOVE_RISK_FREE else chosen,
            name,
            years=years,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        )
        for name in dict.fromkeys((objective, "sharpe"))
        if name in RESAMPLED
    }
