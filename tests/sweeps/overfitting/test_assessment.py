"""The assessment of a sweep: noise, an edge, missing values, and whatever else daily returns may be."""

from __future__ import annotations

import math
from dataclasses import fields
from statistics import variance
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.comparison.trading_statistics import Statistic
from lumibot_duckdb.sweeps.overfitting import Assessment, assess, cross_validate, verdict
from lumibot_duckdb.sweeps.overfitting.bootstrap import interval
from lumibot_duckdb.sweeps.overfitting.returns import prepare
from sweeps.overfitting import plain_model

FEW = {"resamples": 100, "blocks": 6}


def sweep(days: int, trials: int, seed: int = 0, edge: float = 0.0) -> pd.DataFrame:
    """Daily returns of trials 1, 2, ...; the third has an edge."""
    values = 0.01 * np.random.default_rng(seed).standard_normal((days, trials))
    if edge:
        values[:, 2] += edge
    return pd.DataFrame(values, pd.date_range("2020-01-01", periods=days), range(1, trials + 1))


def test_the_values_are_those_of_plain_loops() -> None:
    returns = sweep(400, 12)
    found = assess(returns, risk_free=0.03, **FEW)
    daily = 1.03 ** (1 / 365) - 1
    trials = [[float(each) - daily for each in returns[number]] for number in returns]
    sharpes = [plain_model.sharpe(trial) for trial in trials]
    best = sharpes.index(max(sharpes))
    spread = variance(sharpes)
    assert found.best == best + 1
    assert (found.days, found.trials, found.tried, found.repeated) == (400, 12, 12, 0)
    assert found.sharpe.value == pytest.approx(365**0.5 * max(sharpes))
    assert found.spread.value == pytest.approx((365 * spread) ** 0.5)
    luck = plain_model.expected_maximum(12, spread)
    assert found.expected_maximum.value == pytest.approx(365**0.5 * luck)
    assert found.probabilistic_sharpe.value == pytest.approx(plain_model.probabilistic(trials[best], 0.0))
    assert found.deflated_sharpe.value == pytest.approx(plain_model.probabilistic(trials[best], luck))
    assert found.selection is not None
    assert found.selection.rank == pytest.approx([each[2] for each in plain_model.splits(trials, 6)])


def test_of_useless_trials_none_is_convincing() -> None:
    found = [assess(sweep(730, 40, seed), **FEW) for seed in range(25)]
    deflated = [each.deflated_sharpe.value or 0.0 for each in found]
    assert sum(each >= 0.95 for each in deflated) <= 3
    assert 0.3 < np.median(deflated) < 0.7
    assert np.mean([each.selection.probability for each in found if each.selection]) == pytest.approx(0.5, abs=0.12)
    warned = [verdict(each).headline for each in found]
    assert sum(each == "The best of 40 trials is within the range of luck." for each in warned) >= 22


def test_a_trial_with_an_edge_is_recognised() -> None:
    found = assess(sweep(1_460, 100, edge=0.0018), **FEW)
    assert found.best == 3
    assert found.deflated_sharpe.value is not None
    assert found.deflated_sharpe.value > 0.95
    assert found.luck is not None
    assert found.luck.probability < 0.02
    assert found.selection is not None
    assert found.selection.probability < 0.1
    judged = verdict(found)
    assert (judged.mood, judged.headline) == ("good", "The best of 100 trials is beyond the range of luck.")
    assert judged.warning == ""


def test_trials_that_were_tried_earlier_make_the_best_one_less_convincing() -> None:
    returns = sweep(1_000, 20, edge=0.001)
    once, often = assess(returns, **FEW), assess(returns, others=4_980, **FEW)
    assert (once.tried, often.tried) == (20, 5_000)
    assert often.expected_maximum.value > once.expected_maximum.value  # type: ignore[operator]
    assert often.deflated_sharpe.value < once.deflated_sharpe.value  # type: ignore[operator]


def test_the_chosen_trial_need_not_have_the_highest_sharpe_ratio() -> None:
    returns = sweep(300, 5)
    found = assess(returns, 4, objective="win_rate", **FEW)
    assert found.best == 4
    assert found.sharpe.value == pytest.approx(365**0.5 * plain_model.sharpe(returns[4].tolist()))
    assert found.selection is not None
    assert found.selection.measure == "sharpe"
    assert list(found.intervals) == ["sharpe"]
    assert found.reasons == {
        "interval": "the objective depends on more than daily returns, which are what is resampled"
    }
    with pytest.raises(ValueError, match="trial 9 has no column in the daily returns"):
        assess(returns, 9)


@pytest.mark.parametrize(
    ("objective", "measure"),
    [("cagr", "total_return"), ("sortino", "sortino"), ("max_drawdown", "sharpe"), ("calmar", "sharpe")],
)
def test_objectives_are_ranked_by_themselves_if_possible(objective: str, measure: str) -> None:
    found = assess(sweep(300, 5), objective=objective, **FEW)
    assert found.selection is not None
    assert found.selection.measure == measure
    assert list(found.intervals) == [objective, "sharpe"]


@pytest.mark.parametrize(("objective", "deducts"), [("total_return", False), ("sortino", True)])
def test_the_risk_free_rate_is_deducted_only_for_ratios(objective: str, deducts: bool) -> None:
    returns = sweep(300, 5)
    found = assess(returns, 2, objective=objective, risk_free=0.5, **FEW)
    used = returns.to_numpy() - (1.5 ** (1 / 365) - 1 if deducts else 0.0)
    years = 299 / 365.25
    assert found.intervals[objective] == interval(used[:, 1], objective, years=years, resamples=100)
    assert found.selection is not None
    expected = cross_validate(used, measure=objective, blocks=6)
    assert found.selection.in_sample == pytest.approx(expected.in_sample)


def test_missing_days_are_left_out_for_all_and_trials_with_few_days_altogether() -> None:
    returns = sweep(200, 6)
    returns.iloc[:5, 0] = np.nan
    returns.iloc[50, 1] = np.nan
    returns.iloc[100:, 3] = np.nan
    found = prepare(returns)
    assert found.left_out == {"it lacks more than 10 % of the days": [4]}
    assert found.labels == [1, 2, 3, 5, 6]
    kept = [day for day in range(5, 200) if day != 50]
    assert np.array_equal(found.values, returns.iloc[kept][[1, 2, 3, 5, 6]].to_numpy())
    assert found.years == pytest.approx(194 / 365.25)


def test_days_are_ordered_and_may_be_dates() -> None:
    returns = sweep(100, 3)
    shuffled = returns.sample(frac=1, random_state=1)
    shuffled.index = pd.Index([day.date() for day in shuffled.index])
    found = prepare(shuffled)
    assert np.array_equal(found.values, returns.to_numpy())
    assert found.years == pytest.approx(99 / 365.25)


def test_a_parameter_without_effect_does_not_count() -> None:
    returns = sweep(300, 5)
    doubled = pd.concat([returns, returns.rename(columns=lambda number: number + 5)], axis=1)
    once, twice = assess(returns, **FEW), assess(doubled, int(assess(returns).best) + 5, **FEW)  # type: ignore[call-overload]
    assert (twice.trials, twice.repeated) == (5, 5)
    assert twice.deflated_sharpe == once.deflated_sharpe
    assert twice.sharpe == once.sharpe


def unusual() -> dict[str, pd.DataFrame]:
    plain = sweep(300, 4)
    return {
        "no trial": plain[[]],
        "no day": plain.iloc[:0],
        "one day": plain.iloc[:1],
        "few days": plain.iloc[:29],
        "flat": plain * 0,
        "constant": plain * 0 + 0.001,
        "missing": plain * np.nan,
        "one trial": plain[[1]],
        "equal trials": pd.concat([plain[[1]]] * 3, axis=1, keys=[1, 2, 3]),
        "infinite": plain.replace(plain.iloc[7, 0], np.inf),
        "bankrupt": plain.replace(plain.iloc[7, 0], -1.5),
        "total loss": plain.replace(plain.iloc[7, 0], -1.0),
        "one trade": (plain * 0).replace(0.0, 0.0).mask(plain == plain.iloc[9, 1], 0.05),
        "large": plain * 1e6 + 1e5,
        "tiny": plain * 1e-9,
        "two values": pd.DataFrame({1: [0.0, 0.01] * 100, 2: [0.01, 0.0] * 100}, plain.index[:200]),
        "objects": plain.astype(object).where(plain > -0.02, None),
    }


REASONS = {
    "no trial": "no trial has daily returns that vary",
    "no day": "no trial has daily returns that vary",
    "one day": "no trial has daily returns that vary",
    "few days": "there are only 29 days that all trials have; at least 30 are needed",
    "flat": "no trial has daily returns that vary",
    "constant": "no trial has daily returns that vary",
    "missing": "no trial has daily returns that vary",
}


@pytest.mark.parametrize("name", unusual())
def test_unusual_returns_have_finite_values_or_a_reason(name: str) -> None:
    found = assess(unusual()[name], **FEW)
    check_finite(found)
    assert verdict(found).sentences
    if name in REASONS:
        assert found.deflated_sharpe == Statistic(None, REASONS[name])
        assert set(found.reasons) == {"luck", "selection", "interval"}
        assert verdict(found).mood == "unknown"
    else:
        assert found.sharpe.value is not None
        assert found.luck is not None


@pytest.mark.parametrize("name", ["one trial", "equal trials"])
def test_of_one_trial_there_is_no_deflated_sharpe_ratio(name: str) -> None:
    found = assess(unusual()[name], **FEW)
    reason = "only one trial can be compared (equal returns count once), so none was chosen"
    assert found.deflated_sharpe == found.expected_maximum == found.spread == Statistic(None, reason)
    assert found.selection is None
    assert "only one trial" in found.reasons["selection"]
    assert found.probabilistic_sharpe.value is not None


@pytest.mark.parametrize(("name", "reason"), [("infinite", "its value fell below zero"), ("bankrupt", "below zero")])
def test_a_best_trial_that_cannot_be_compared_is_a_reason(name: str, reason: str) -> None:
    found = assess(unusual()[name], 1, **FEW)
    assert found.sharpe.value is None
    assert found.sharpe.reason.startswith("the best trial cannot be assessed: ")
    assert reason in found.sharpe.reason
    assert assess(unusual()[name], **FEW).left_out == {"its value fell below zero, or rose from zero": [1]}


@examples(60)
@given(st.data())
def test_no_returns_crash_or_give_infinite_values(data: st.DataObject) -> None:
    days, trials = data.draw(st.integers(0, 60)), data.draw(st.integers(0, 4))
    value = st.sampled_from(
        [0.0, -0.0, 0.01, -0.01, 0.02, -1.0, -1.5, 1.0, 1e300, 1e-300, math.nan, math.inf, -math.inf]
    )
    column = st.one_of(st.lists(value, min_size=days, max_size=days), value.map(lambda each: [each] * days))
    values = {number: data.draw(column) for number in range(trials)}
    frame = pd.DataFrame(values, pd.date_range("2020-01-01", periods=days), dtype=float)
    found = assess(frame, resamples=20, blocks=4)
    check_finite(found)
    assert verdict(found).headline


def check_finite(found: Assessment) -> None:
    for field in fields(found):
        each = getattr(found, field.name)
        if isinstance(each, Statistic):
            assert (each.value is None) == bool(each.reason), field.name
            assert each.value is None or math.isfinite(each.value), field.name
    for part, numbers in (("luck", _numbers(found.luck)), ("selection", _numbers(found.selection))):
        assert np.isfinite(numbers).all(), part
        assert (len(numbers) == 0) == (part in found.reasons), part
    for each in found.intervals.values():
        assert math.isfinite(each.low)
        assert math.isfinite(each.high)


def _numbers(part: Any) -> Any:
    if part is None:
        return np.array([])
    if hasattr(part, "best"):
        return np.array([*part.best, part.probability])
    return np.array([*part.in_sample, *part.out_of_sample, *part.logits, part.loss, *(part.degradation or ())])
