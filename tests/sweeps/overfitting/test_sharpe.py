"""The probabilistic and the deflated Sharpe ratio: published examples, a plain model, and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.sweeps.overfitting.returns import NotEnoughError
from lumibot_duckdb.sweeps.overfitting.sharpe import (
    Moments,
    deflated_sharpe_ratio,
    expected_maximum_sharpe,
    moments,
    probabilistic_sharpe_ratio,
)
from sweeps.overfitting import plain_model

PAPER = Moments(2.5 / 250**0.5, skewness=-3, kurtosis=10, days=1250)
NORMAL = Moments(2.5 / 250**0.5, skewness=0, kurtosis=3, days=1250)


@pytest.mark.parametrize(
    ("found", "trials", "published"),
    [(PAPER, 100, 0.9004), (PAPER, 46, 0.9505), (NORMAL, 88, 0.9505)],
)
def test_the_example_of_the_deflated_sharpe_ratio(found: Moments, trials: int, published: float) -> None:
    """Bailey and López de Prado 2014, "A numerical example": 100 trials, variance 1/2 a year, 1,250 days."""
    assert round(deflated_sharpe_ratio(found, trials, 0.5 / 250), 4) == published


def test_the_expected_maximum_of_the_papers() -> None:
    assert round(expected_maximum_sharpe(100, 0.5 / 250), 4) == 0.1132
    # Bailey, Borwein, López de Prado and Zhu, "Pseudo-Mathematics and Financial Charlatanism", 2014: of ten trials,
    # 1.57; and with five years of data, no more than 45 trials before a Sharpe ratio of 1 is expected of luck.
    assert round(expected_maximum_sharpe(10, 1.0), 2) == 1.57
    assert expected_maximum_sharpe(45, 1 / 5) < 1 < expected_maximum_sharpe(46, 1 / 5)


@pytest.mark.parametrize(("skewness", "kurtosis", "published"), [(0, 3, 0.982), (-2.448, 10.164, 0.913)])
def test_the_example_of_the_probabilistic_sharpe_ratio(skewness: float, kurtosis: float, published: float) -> None:
    """Bailey and López de Prado 2012: 24 monthly returns of a hedge fund with a Sharpe ratio of 1.59 a year."""
    assert round(probabilistic_sharpe_ratio(Moments(0.458, skewness, kurtosis, 24)), 3) == published


RETURNS = st.lists(st.integers(-2_000, 2_000).map(lambda each: each / 10_000), min_size=5, max_size=40)


@examples(100)
@given(RETURNS, st.floats(-0.2, 0.2), st.integers(2, 10_000), st.floats(0, 0.1))
def test_the_values_are_those_of_plain_loops(
    returns: list[float], benchmark: float, trials: int, variance: float
) -> None:
    if len(set(returns)) < 3:
        return
    found = moments(np.array(returns))
    assert found.sharpe == pytest.approx(plain_model.sharpe(returns), abs=1e-9)
    assert probabilistic_sharpe_ratio(found, benchmark) == pytest.approx(
        plain_model.probabilistic(returns, benchmark), abs=1e-9
    )
    luck = plain_model.expected_maximum(trials, variance)
    assert expected_maximum_sharpe(trials, variance) == pytest.approx(luck, abs=1e-9)
    assert deflated_sharpe_ratio(found, trials, variance) == pytest.approx(
        plain_model.probabilistic(returns, luck), abs=1e-9
    )


@pytest.mark.parametrize("trials", [5, 50, 500])
def test_the_expected_maximum_is_that_of_simulated_trials(trials: int) -> None:
    best = np.random.default_rng(trials).normal(0, 0.3, (4_000, trials)).max(axis=1)
    assert expected_maximum_sharpe(trials, 0.09) == pytest.approx(best.mean(), rel=0.03)


def test_a_single_trial_was_not_chosen() -> None:
    assert expected_maximum_sharpe(1, 0.5) == 0.0
    assert deflated_sharpe_ratio(NORMAL, 1, 0.5) == probabilistic_sharpe_ratio(NORMAL)


@pytest.mark.parametrize("found", [Moments(0.1, 0, 3, 1), Moments(1.0, 2.0, 5.0, 100), Moments(1.0, 0, np.inf, 100)])
def test_an_estimate_without_an_error_is_not_a_number(found: Moments) -> None:
    with pytest.raises(NotEnoughError, match="too extreme"):
        probabilistic_sharpe_ratio(found)
