"""Statistics equal quantstats' own, and what cannot be computed has a reason instead of NaN or infinity."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quantstats_lumi import stats, utils

from hypothesis_settings import examples
from lumibot_duckdb.comparison.outcome import Backtest, Table
from lumibot_duckdb.comparison.trading_statistics import (
    STYLES,
    benchmark_statistics,
    return_statistics,
    trading_statistics,
)

pytestmark = pytest.mark.xdist_group("statistics")  # importing quantstats takes seconds


def daily(*returns: float) -> pd.Series[float]:
    return pd.Series(returns, pd.date_range("2024-01-01", periods=len(returns)), float)


def backtest(values: list[float], returns: list[float] | None = None, *, days: int | None = None) -> Backtest:
    times = pd.date_range("2024-01-02", periods=len(values), freq="D" if days is None else "min", tz="UTC")
    moves = returns if returns is not None else [0.0, *(b / a - 1 for a, b in pairwise(values))]
    table = Table(["day", "strategy"], [[str(day), repr(each)] for day, each in daily(*moves).items()])
    rows = [[str(time), repr(value), "[]"] for time, value in zip(times, values, strict=True)]
    values_table = Table(["datetime", "portfolio_value", "positions"], rows)
    return Backtest("Mine", "x.Source", True, Table([], []), values_table, {}, returns=table)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the direct calls
@examples(40)
@given(
    st.lists(st.integers(-9_000, 30_000).map(lambda points: points / 10_000), min_size=2, max_size=40),
    st.sampled_from([0.0, 0.02, -0.01]),
)
def test_a_value_is_quantstats_own_and_finite(returns: list[float], rate: float) -> None:
    series = daily(0.0, *returns)
    expected = {
        "total_return": stats.comp(series),
        "cagr": stats.cagr(series),
        "volatility": series.std() * math.sqrt(365),
        "sharpe": stats.sharpe(series, rate, 365),
        "sortino": stats.sortino(series, rate, 365),
        "max_drawdown": stats.max_drawdown(series),
        "winning_days": stats.win_rate(series, prepare_returns=False),
    }
    for name, statistic in return_statistics(series, rate).items():
        if statistic.value is None:
            assert statistic.reason, name
        else:
            assert math.isfinite(statistic.value)
            assert statistic.value == pytest.approx(expected[name], rel=1e-12), name


ALL = {"total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "winning_days"}


@pytest.mark.parametrize(
    ("returns", "rate", "missing", "reason"),
    [
        ([0.0, 0.0, 0.0], 0.0, {"sharpe", "sortino", "winning_days"}, "did not change"),
        ([0.0, 0.0, 0.0], 0.05, {"sharpe", "sortino", "winning_days"}, "did not change"),
        ([0.01, 0.01, 0.01], 0.0, {"sharpe"}, "equal"),
        ([0.0, 0.01, 0.02], 0.0, {"sortino"}, "below the risk-free rate"),
        ([0.0, 0.5, 1.5], 0.0, {"sharpe", "sortino", "max_drawdown"}, "for prices"),
        ([0.0, -0.5, -1.7], 0.0, ALL, "fell below zero"),
        ([0.0, -1.0, math.inf], 0.0, ALL, "rose from zero"),
        ([], 0.0, ALL, "no iteration"),
    ],
)
def test_what_cannot_be_computed_has_a_reason(
    returns: list[float], rate: float, missing: set[str], reason: str
) -> None:
    found = return_statistics(daily(*returns), rate)
    assert set(found) == ALL
    assert {name for name, statistic in found.items() if statistic.value is None} >= missing
    assert all(reason in found[name].reason for name in missing)
    assert all(math.isfinite(each.value) for each in found.values() if each.value is not None)


def test_everything_may_be_lost() -> None:
    found = return_statistics(daily(0.0, -0.5, -1.0, 0.0), 0.0)
    assert {name: found[name].value for name in ("total_return", "cagr", "max_drawdown")} == {
        "total_return": -1.0,
        "cagr": -1.0,
        "max_drawdown": -1.0,
    }


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([100.0, 0.0, 50.0], "rose from zero"),
        ([100.0, 0.0, 0.0, 50.0, 100.0], "rose from zero"),
        ([100.0, 50.0, -0.0, 1e-9], "rose from zero"),
        ([0.0, 100.0, 110.0], "rose from zero"),
        ([100.0, 0.0, -50.0], "fell below zero"),
        ([100.0, 0.0, math.nan, 50.0], "rose from zero"),
    ],
)
@pytest.mark.parametrize("days", [None, 1])
def test_what_follows_a_value_of_zero_is_not_in_the_returns(values: list[float], reason: str, days: int | None) -> None:
    """Lumibot's returns end at the first zero, whether the value rises on another day or on the same one."""
    found = trading_statistics(backtest(values, [0.0, -1.0], days=days))
    assert {name for name, statistic in found.items() if reason in statistic.reason} == ALL
    assert found["end_value"].value == values[-1]


def test_a_value_that_stays_zero_is_a_loss_of_everything() -> None:
    found = trading_statistics(backtest([100.0, 50.0, 0.0, 0.0], [0.0, -0.5, -1.0]))
    assert (found["total_return"].value, found["max_drawdown"].value, found["end_value"].value) == (-1.0, -1.0, 0.0)


def test_a_rise_that_would_be_too_large_for_a_year_has_no_cagr() -> None:
    found = return_statistics(daily(0.0, 2_000.0, -0.01), 0.0)
    assert found["cagr"].value is None
    assert "too short" in found["cagr"].reason
    assert found["total_return"].value == pytest.approx(1979.99)


def test_one_day_is_not_annualised() -> None:
    found = trading_statistics(backtest([100.0, 101.0, 99.0], [0.0, -0.01], days=1))
    assert found["total_return"].value == pytest.approx(-0.01)
    for name in ("cagr", "volatility", "sharpe", "sortino"):
        assert found[name].value is None
        assert "one day" in found[name].reason


def test_a_single_value_and_none_at_all() -> None:
    one = trading_statistics(backtest([100.0], [0.0, 0.0]))
    assert one["total_return"].value == 0.0
    assert one["end_value"].value == 100.0
    none = trading_statistics(replace(backtest([]), returns=Table([], []), values=Table([], [])))
    assert set(none) == set(one) == set(STYLES)
    assert all(none[name].reason for name in (*ALL, "exposure", "win_rate", "end_value"))
    assert (none["fees"].value, none["closed_trades"].value) == (0.0, 0.0)


def test_exposure_is_the_part_of_iterations_with_a_position() -> None:
    mine = backtest([1.0, 2.0, 3.0, 4.0])
    rows = [
        [*row[:2], positions] for row, positions in zip(mine.values.rows, ["[]", "[{}]", "[{}]", "[{}]"], strict=True)
    ]
    assert trading_statistics(replace(mine, values=Table(mine.values.columns, rows)))["exposure"].value == 0.75
    without = Table(mine.values.columns[:2], [row[:2] for row in rows])
    assert "no positions" in trading_statistics(replace(mine, values=without))["exposure"].reason


def test_a_benchmark_has_the_statistics_of_its_returns() -> None:
    mine = backtest([100.0, 90.0, 95.0])
    assert benchmark_statistics(mine) is None
    rows = [[*row, each] for row, each in zip(mine.returns.rows, ["0.0", "0.5", "-0.5"], strict=True)]
    found = benchmark_statistics(replace(mine, returns=Table([*mine.returns.columns, "benchmark"], rows)))
    assert found is not None
    assert found["total_return"].value == pytest.approx(-0.25)
    assert set(found) == ALL


def test_the_years_of_cagr_are_those_of_the_documentation() -> None:
    """docs/cli.md says how many days a year has."""
    found = return_statistics(daily(0.0, *[0.001] * 99), 0.0)
    assert found["cagr"].value == pytest.approx(1.001 ** (99 / (99 / 365.25)) - 1)


def test_quantstats_sees_the_same_callers_without_their_source_code(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = daily(0.01, -0.02, 0.0, 0.03)
    found = return_statistics(returns, 0.05)
    assert utils.inspect is not inspect
    cheap, full = (each.stack() for each in (utils.inspect, inspect))
    assert [each[:2] + each[3:4] for each in cheap] == [each[:2] + each[3:4] for each in full]
    monkeypatch.setattr(utils, "inspect", inspect)
    assert return_statistics(returns, 0.05) == found
