"""What a sweep optimises."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.comparison.trading_statistics import STYLES, return_statistics
from lumibot_duckdb.sweeps.search.errors import SearchError
from lumibot_duckdb.sweeps.search.objectives import Objective, objective_names


def test_every_statistic_is_an_objective() -> None:
    assert list(objective_names()) == [*STYLES, "calmar"]
    for name in objective_names():
        assert Objective.of(name).name == name


def test_directions() -> None:
    assert {name for name in objective_names() if Objective.of(name).minimize} == {"volatility", "fees"}
    assert Objective.of("sharpe", "minimize").direction == "minimize"
    assert Objective.of("volatility", "maximize").direction == "maximize"


def test_names_are_forgiving() -> None:
    assert Objective.of(" Max-Drawdown ") == Objective("max_drawdown")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sharp", "unknown objective sharp; did you mean sharpe"),
        ("drawdown", "did you mean max_drawdown"),
        ("xyz", "known are total_return, cagr"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(SearchError, match=message):
        Objective.of(name)


def test_the_greatest_loss_is_never_the_aim() -> None:
    with pytest.raises(SearchError, match="below zero"):
        Objective.of("max_drawdown", "minimize")


@pytest.mark.long  # imports quantstats
def test_the_calmar_ratio_is_that_of_quantstats() -> None:
    import pandas as pd
    from quantstats_lumi import stats

    returns = pd.Series([0.01, -0.02, 0.015, 0.003, -0.001] * 40, pd.date_range("2024-01-01", periods=200))
    statistics = {name: each.value for name, each in return_statistics(returns, 0.03).items()}
    assert Objective.of("calmar").value(statistics) == pytest.approx(stats.calmar(returns), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "statistics", "expected"),
    [
        ("sharpe", {"sharpe": 1.5}, 1.5),
        ("sharpe", {"sharpe": None}, None),
        ("sharpe", {}, None),
        ("sharpe", {"sharpe": math.inf}, None),
        ("sharpe", {"sharpe": math.nan}, None),
        ("calmar", {"cagr": 0.3, "max_drawdown": -0.2}, 1.5),
        ("calmar", {"cagr": 0.3, "max_drawdown": 0.0}, None),
        ("calmar", {"cagr": None, "max_drawdown": -0.2}, None),
        ("calmar", {"cagr": 0.3}, None),
    ],
)
def test_values(name: str, statistics: dict[str, float | None], expected: float | None) -> None:
    found = Objective.of(name).value(statistics)
    assert found is None if expected is None else found == pytest.approx(expected)


RESULTS = st.dictionaries(
    st.integers(1, 30), st.none() | st.integers(-3, 3).map(float) | st.sampled_from([math.nan, math.inf]), max_size=8
)


@examples(200)
@given(RESULTS, st.booleans())
def test_the_best_trial(results: dict[int, float | None], minimize: bool) -> None:
    objective = Objective("sharpe", minimize)
    best = objective.best(results.items())
    assert best == objective.best(reversed(results.items()))
    usable = {number: value for number, value in results.items() if value is not None and math.isfinite(value)}
    if best is None:
        assert not usable
        return
    assert not any(objective.is_better(value, usable[best]) for value in usable.values())
    assert best == min(number for number, value in usable.items() if value == usable[best])
